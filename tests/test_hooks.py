"""Hooks: an SDK that skips a step is noticed by the next one, and streams that are no chat stay the SDK's."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion

from aitoearn_openai import ChatModel, OpenAI
from aitoearn_openai._resource import _Page
from aitoearn_openai._sdk.private import SSEDecoder
from aitoearn_openai._sdk.response import family_of
from aitoearn_openai._sdk.stream import Decoder
from conftest import MESSAGES, Asker, Reply, ScriptedServer, list_models, stream


def test_data_of_a_response_that_nobody_saw_is_refused() -> None:
    """A failure in it would go unnoticed."""
    with pytest.raises(openai.OpenAIError, match="cannot work with openai"):
        OpenAI(api_key="k")._process_response_data(data={}, cast_to=ChatCompletion, response=object())


def test_a_stream_that_nobody_looked_at_is_refused() -> None:
    """A failure in it would go unnoticed."""
    with pytest.raises(openai.OpenAIError, match="cannot work with openai"):
        list(Decoder().iter_bytes(iter([b""])))


def test_a_stream_whose_events_nobody_looked_at_is_refused(
    asker: Asker, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of an SDK that has another way to decode them."""
    iter_bytes, aiter_bytes = SSEDecoder.iter_bytes, SSEDecoder.aiter_bytes
    monkeypatch.setattr(SSEDecoder, "iter_bytes", lambda _, parts: iter_bytes(SSEDecoder(), parts))
    monkeypatch.setattr(SSEDecoder, "aiter_bytes", lambda _, parts: aiter_bytes(SSEDecoder(), parts))
    server.answer(Reply('data: {"data": {}, "code": 12001}\n\n', content_type="text/event-stream"))
    with pytest.raises(openai.OpenAIError, match=r"SSEDecoder\.decode is gone or no longer used"):
        asker.run(stream("m"), base_url=server.base_url, api_key="k", max_retries=0)


def test_a_stream_whose_end_nobody_looks_at_is_refused() -> None:
    """As of an SDK that decodes line by line."""
    decoder = Decoder()
    decoder.decode("data: {}")
    with pytest.raises(openai.OpenAIError, match=r"SSEDecoder\.iter_bytes is gone or no longer used"):
        decoder.decode("")


def test_an_unread_response_that_was_read_is_refused(
    asker: Asker, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of an SDK that says in another way that it is to come unread."""
    monkeypatch.setattr("aitoearn_openai._sdk.response.RAW_RESPONSE_HEADER", "X-Gone")
    server.answer(Reply({"id": "c", "object": "chat.completion", "choices": []}))

    async def ask_async(client: Any) -> Any:
        completions = client.chat.completions.with_streaming_response
        async with completions.create(model="m", messages=MESSAGES) as response:
            return response

    def ask(client: Any) -> Any:
        with client.chat.completions.with_streaming_response.create(model="m", messages=MESSAGES) as response:
            return response

    with pytest.raises(openai.OpenAIError, match="RAW_RESPONSE_HEADER is gone or no longer used"):
        asker.run(ask_async if asker.is_async else ask, base_url=server.base_url, api_key="k", max_retries=0)


@pytest.mark.parametrize("mark", ["raw", "true"])
def test_a_response_that_the_caller_asks_for_by_its_class_or_header_may_be_read(
    asker: Asker, server: ScriptedServer, mark: str
) -> None:
    """It is not one that comes unread."""
    kind: Any = openai.AsyncAPIResponse[Any] if asker.is_async else openai.APIResponse[Any]
    server.answer(Reply({"id": "c", "object": "chat.completion", "choices": []}))
    by_class = lambda client: client.post("/x", body={}, cast_to=kind)
    by_header = lambda client: client.chat.completions.create(
        model="m", messages=MESSAGES, extra_headers={"X-Stainless-Raw-Response": mark}
    )

    for ask in (by_class, by_header):
        response = asker.run(ask, base_url=server.base_url, api_key="k", max_retries=0)
        assert response.http_response.is_stream_consumed


def test_an_http_client_of_another_library_is_refused() -> None:
    """As of an SDK that has moved to another one."""
    with pytest.raises(openai.OpenAIError, match="httpx is gone or no longer used"):
        family_of(type("Client", (), {}))


def test_a_page_that_the_sdk_made_in_its_own_way_is_refused(
    asker: Asker, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would hold models without a name, and unconverted prices."""
    monkeypatch.setattr(_Page, "build", classmethod(lambda cls, *, response, data: cls.construct(**data)))
    server.answer(Reply({"code": 0, "data": [{"name": "m"}, {}]}))
    with pytest.raises(openai.OpenAIError, match="build is gone or no longer used"):
        asker.run(list_models, base_url=server.base_url, api_key="k", max_retries=0)


def test_a_failure_in_an_unread_list_is_the_services(asker: Asker, server: ScriptedServer) -> None:
    """With its status and its code."""
    server.answer(Reply({"data": {}, "code": 12001, "message": "no credits"}))

    async def ask_async(client: Any) -> Any:
        async with client.models.with_streaming_response.list() as response:
            return await response.parse()

    def ask(client: Any) -> Any:
        with client.models.with_streaming_response.list() as response:
            return response.parse()

    with pytest.raises(openai.APIStatusError, match="no credits") as caught:
        asker.run(ask_async if asker.is_async else ask, base_url=server.base_url, api_key="k", max_retries=0)
    assert caught.value.status_code == 402


def test_events_of_other_endpoints_stay_the_sdks(asker: Asker, server: ScriptedServer) -> None:
    """They need not be objects, and `[DONE]` may be all there is."""
    kind: Any = openai.AsyncStream[object] if asker.is_async else openai.Stream[object]

    def ask(client: Any) -> Any:
        return client.post("/x", cast_to=object, stream=True, stream_cls=kind)

    for body, wanted in (("data: 5\n\ndata: [DONE]\n\n", [5]), ("data: [DONE]\n\n", [])):
        server.answer(Reply(body, content_type="text/event-stream"))
        assert asker.run(ask, base_url=server.base_url, api_key="k", max_retries=0) == wanted


def test_a_chunk_that_no_blank_line_ends_is_not_dispatched(asker: Asker, server: ScriptedServer) -> None:
    """By the standard; it may be half of what was to come."""
    chunk = 'data: {"id": "1", "choices": [{"index": 0, "delta": {"content": "hi"}}]}'
    server.answer(Reply(f"{chunk}\n\n{chunk}", content_type="text/event-stream"))

    assert len(asker.run(stream("m"), base_url=server.base_url, api_key="k", max_retries=0)) == 1


def test_a_model_is_made_of_a_model_too() -> None:
    """As pydantic allows."""
    model = ChatModel.model_validate({"name": "m"})

    assert ChatModel.model_validate(model) == model
