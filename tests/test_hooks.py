"""Hooks: whoever stands where the SDK or httpx stood, and streams that are not a chat stay the SDK's."""

from __future__ import annotations

import builtins
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

import aitoearn_openai
from aitoearn_openai import OpenAI
from aitoearn_openai._sdk.exceptions import family_of
from conftest import MESSAGES, Asker, Reply, ScriptedServer, complete, list_models, raw, stream
from faults.table import CHUNKS, COMPLETION, CONTENT, DONE, EVENTS, chunk, frame

ENVELOPE = {"data": {}, "code": 12001, "message": "no credits"}
LIBRARY = family_of(openai.DefaultHttpxClient)


ASKS: dict[str, tuple[Any, Any, Any]] = {
    "completion": (complete("m"), COMPLETION, lambda answer: answer.choices[0].message.content == CONTENT),
    "stream": (stream("m"), EVENTS, lambda chunks: chunks[0].choices[0].delta.content == "你好"),
    "raw": (raw(complete("m")), COMPLETION, lambda answer: answer.choices[0].message.content == CONTENT),
    "list": (list_models, {"code": 0, "data": [{"name": "m"}]}, lambda page: page.data[0].id == "m"),
    "text": (
        lambda client: client.audio.transcriptions.create(model="m", file=b"", response_format="text"),
        b"hi",
        lambda text: text == "hi",
    ),
}
"""What is asked, the right answer to it, and whether it came."""


def answered(asker: Asker, body: Any, *, is_class: bool, kind: str) -> Any:
    """What becomes of a body that a `send` of the caller's own gives."""

    def send(self: Any, request: Any, **_: Any) -> Any:
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        is_stream = isinstance(content, bytes) and content.startswith(b"data:")
        headers = {"Content-Type": "text/event-stream" if is_stream else "application/json"}
        if isinstance(content, bytes):
            headers["Content-Length"], content = str(len(content)), LIBRARY.ByteStream(content)
        # Unread, as from a server.
        return LIBRARY.Response(200, stream=content, headers=headers, request=request)

    async def send_async(self: Any, request: Any, **_: Any) -> Any:
        return send(self, request)

    client_class, default = LIBRARY.Client, openai.DefaultHttpxClient
    if asker.is_async:
        client_class, default = LIBRARY.AsyncClient, openai.DefaultAsyncHttpxClient
    replaced = {"send": send_async if asker.is_async else send}
    where: Any = {"base_url": "http://h/v1", "api_key": "k", "max_retries": 0}
    if not is_class:
        return asker.run(ASKS[kind][0], http_client=type("Mine", (default,), replaced)(), **where)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client_class, "send", replaced["send"])
        return asker.run(ASKS[kind][0], **where)


@pytest.mark.parametrize("kind", ASKS)
@pytest.mark.parametrize("is_class", [True, False])
@pytest.mark.parametrize("is_async", [True, False])
def test_who_sends_in_the_place_of_the_http_client_gets_answers_and_failures(
    is_async: bool, is_class: bool, kind: str
) -> None:
    """As test suites, caches and signers do; whether `httpx.Client.send` is replaced, or that of their own class."""
    asker = Asker(is_async)

    assert ASKS[kind][2](answered(asker, ASKS[kind][1], is_class=is_class, kind=kind))
    with pytest.raises(openai.APIStatusError, match="no credits") as failed:
        answered(asker, ENVELOPE, is_class=is_class, kind=kind)
    assert failed.value.status_code == 402


@pytest.mark.parametrize("is_async", [True, False])
def test_a_page_from_who_sends_in_the_place_of_the_http_client_is_an_error(is_async: bool) -> None:
    """As from any server."""
    with pytest.raises(openai.APIResponseValidationError, match="was expected"):
        answered(Asker(is_async), b"<p>hello", is_class=True, kind="completion")


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("is_timeout", [True, False])
def test_an_answer_that_breaks_off_there_is_a_connection_error(is_async: bool, is_timeout: bool) -> None:
    """The SDK's own, as of any server."""
    error = LIBRARY.ReadTimeout if is_timeout else LIBRARY.ReadError

    class Broken(LIBRARY.AsyncByteStream, LIBRARY.SyncByteStream):  # type: ignore[misc, name-defined]
        def __iter__(self) -> Iterator[bytes]:
            yield b"{"
            raise error("broke")

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"{"
            raise error("broke")

    due = openai.APITimeoutError if is_timeout else openai.APIConnectionError
    with pytest.raises(openai.APIConnectionError) as failed:
        answered(Asker(is_async), Broken(), is_class=True, kind="completion")
    assert failed.type is due


def failed_with(modules: Any, transport: Any) -> type:
    """What a call raises, sync or async, by a transport of the caller's own."""
    is_async = isinstance(transport, LIBRARY.AsyncBaseTransport)
    pool = (openai.DefaultAsyncHttpxClient if is_async else openai.DefaultHttpxClient)(transport=transport)
    with pytest.raises(Exception) as failed:  # noqa: PT011 - openai 1.x wraps whatever a transport raises
        Asker(is_async, modules).run(
            complete("m"), base_url="http://h/v1", api_key="k", max_retries=1, http_client=pool
        )
    return failed.type


def test_an_error_of_the_callers_own_transport_after_a_refusal_is_theirs() -> None:
    """The refusal was of the try before."""

    class Mine(LIBRARY.BaseTransport):  # type: ignore[misc, name-defined]
        answers = 0

        def handle_request(self, request: Any) -> Any:
            self.answers += 1
            if self.answers == 2:
                raise KeyError("mine")
            return LIBRARY.Response(503, headers={"Retry-After-Ms": "1"}, content=b"no")

    assert failed_with(aitoearn_openai, Mine()) is failed_with(openai, Mine())


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers that send signals")
def test_a_signal_that_ends_the_wait_before_a_retry_is_the_callers() -> None:
    """As the time limits of task queues do it."""

    class Mine(LIBRARY.BaseTransport):  # type: ignore[misc, name-defined]
        def handle_request(self, request: Any) -> Any:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            return LIBRARY.Response(503, headers={"Retry-After": "30"}, content=b"no")

    class TimeIsUp(Exception):
        pass

    def end(*_: Any) -> None:
        raise TimeIsUp

    before = signal.signal(signal.SIGALRM, end)
    try:
        assert failed_with(aitoearn_openai, Mine()) is TimeIsUp
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_between_calls_a_client_has_the_sdks_own_authentication() -> None:
    """For who looks at it."""
    with OpenAI(api_key="k", base_url="http://h/v1") as client:
        assert client.custom_auth is None


def test_a_stream_made_by_hand_gives_its_chunks_and_raises_a_failure() -> None:
    """As the SDK's own tests make it, with a response that nobody sent."""
    with OpenAI(api_key="k", base_url="http://h/v1") as client:
        for end, due in ((CHUNKS[2] + DONE, [CONTENT, None]), (frame(ENVELOPE), "no credits")):
            request = LIBRARY.Request("POST", "http://h/v1/chat/completions")
            response = LIBRARY.Response(200, content=chunk(CONTENT) + end, request=request)
            chunks = openai.Stream(cast_to=ChatCompletionChunk, client=client, response=response)
            if due == "no credits":
                assert next(chunks).choices[0].delta.content == CONTENT
                with pytest.raises(openai.APIStatusError, match=due):
                    list(chunks)
            else:
                assert [chunk.choices[0].delta.content for chunk in chunks] == due


def test_a_group_of_exceptions_of_the_callers_own_transport_is_theirs() -> None:
    """It says nothing of the connection."""

    class Mine(LIBRARY.AsyncBaseTransport):  # type: ignore[misc, name-defined]
        async def handle_async_request(self, request: Any) -> Any:
            raise group

    group_type = getattr(builtins, "ExceptionGroup", None)
    if group_type is None:
        pytest.skip("Python 3.10 has no groups of exceptions")
    group = group_type("mine", [KeyError("mine")])

    assert failed_with(aitoearn_openai, Mine()) is failed_with(openai, Mine())


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


@pytest.mark.slow
def test_an_sdk_whose_methods_a_tracer_has_wrapped_is_the_same_sdk() -> None:
    """Also where that was before the import, which is a process of its own."""
    code = """
import functools, openai
for client in openai.OpenAI, openai.AsyncOpenAI:
    for kind in client.__mro__:
        if "request" in vars(kind):
            request = kind.request
            kind.request = functools.wraps(request)(lambda *args, _request=request, **kwargs: _request(*args, **kwargs))
import aitoearn_openai
aitoearn_openai.OpenAI
"""
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)

    assert (ran.returncode, ran.stderr) == (0, "")
