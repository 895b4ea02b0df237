"""Failures: whatever the service reports as HTTP 200 reaches the caller as the SDK's own exception.

Which body is a failure, of which status, in which words, and how often it is asked for again, is in the fault matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest

from aitoearn_openai import OpenAI
from aitoearn_openai._sdk.exceptions import family_of
from aitoearn_openai.sandbox import Sandbox
from conftest import MESSAGES, Asker, Reply, ScriptedServer, complete, draw, list_models, stream
from faults.runner import each, entered, wait
from faults.table import CODES

ASKS: dict[str, Callable[[str], Callable[[Any], Any]]] = {
    "completion": complete,
    "stream": stream,
    "image": draw,
    "list": lambda _: list_models,
}
LIBRARY = family_of(openai.DefaultHttpxClient)

SYNC = Asker(is_async=False)


def caught(asker: Asker, server: ScriptedServer, ask: Any, *replies: Reply) -> openai.APIError:
    """The error of one try."""
    server.answer(*replies)
    with pytest.raises(openai.APIError) as raised:
        asker.run(ask, base_url=server.base_url, api_key="k", max_retries=0)
    return raised.value


def envelope(code: int, message: str = "no") -> Reply:
    return Reply({"data": {}, "code": code, "message": message, "requestId": "r-1"})


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_the_exception_that_the_sdk_raises_for_its_status(
    server: ScriptedServer, code: int
) -> None:
    """With the whole envelope in its body, and the request id of the envelope where the response has none."""
    error: Any = caught(SYNC, server, complete("m"), envelope(code))
    theirs: Any = caught(Asker(False, openai), server, complete("m"), Reply(status=CODES[code]))

    assert type(error) is type(theirs)
    assert error.body == {"data": {}, "code": code, "message": "no", "requestId": "r-1"}
    assert error.request_id == "r-1"


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Too many requests, please try again after 7 seconds", "7"),
        ("Please try again after 1 second", "1"),
        ("请求过于频繁，请在12秒后重试", "12"),
        ("Too many requests", None),
    ],
)
def test_a_stated_waiting_time_reaches_the_sdk(
    server: ScriptedServer, message: str, seconds: str | None
) -> None:
    """As the header that the SDK obeys."""
    error: Any = caught(SYNC, server, complete("m"), envelope(10003, message))

    assert error.response.headers.get("Retry-After") == seconds


@pytest.mark.parametrize("code", [401, 12000, 19000])
@pytest.mark.parametrize(
    ("origin", "hint"),
    [
        ("https://aitoearn.cn", "If that is https://aitoearn.ai, set AITOEARN_SITE=ai."),
        ("https://aitoearn.ai", "If that is https://aitoearn.cn, set AITOEARN_SITE=cn."),
    ],
)
def test_a_refused_key_names_the_site(origin: str, hint: str, code: int) -> None:
    """The most common failure is a key of the other site."""
    body = {"data": {}, "code": code, "message": "Unauthorized"}
    transport = LIBRARY.MockTransport(lambda _: LIBRARY.Response(200, json=body))
    pool = openai.DefaultHttpxClient(transport=transport)
    with pytest.raises(openai.AuthenticationError) as raised:
        SYNC.run(complete("m"), base_url=f"{origin}/api/ai", api_key="k", http_client=pool)

    assert f"Unauthorized (AiToEarn code {code}). The key was sent to {origin}, " in str(raised.value)
    assert str(raised.value).endswith(hint)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"detail": "model is away"}, "422 - model is away"),
        ({"detail": [{"loc": ["body"], "msg": "model is away"}]}, "model is away"),
        ({"error": "model is away"}, "model is away"),
        ({"code": "invalid-argument", "error": "model is away"}, "model is away"),
    ],
)
def test_the_words_of_another_server_are_in_the_message(
    server: ScriptedServer, body: dict[str, Any], words: str
) -> None:
    """In whatever field, with a status of its own; a code in words is not AiToEarn's."""
    error: Any = caught(SYNC, server, complete("m"), Reply(body, status=422))

    assert words in str(error).replace("{'detail': 'model", "model")
    assert "AiToEarn" not in str(error)


def test_the_sites_of_the_service_are_no_advice_about_another_server(server: ScriptedServer) -> None:
    """Its keys are its own."""
    error: Any = caught(SYNC, server, complete("m"), envelope(401, "Unauthorized"))

    assert str(error) == "Error code: 401 - Unauthorized (AiToEarn code 401, request id r-1)"


def test_a_byte_order_mark_hides_no_failure(server: ScriptedServer) -> None:
    """Neither with a status of its own, nor where a hook of the caller's has read the text already."""
    body = '\ufeff{"data": {}, "code": 12001, "message": "no credits"}'
    error: Any = caught(SYNC, server, complete("m"), Reply(body, status=402))
    assert "402 - no credits" in str(error)
    assert error.code == "12001"

    def read(response: Any) -> None:
        response.read()
        _ = response.text

    server.answer(Reply(body))
    with (
        openai.DefaultHttpxClient(event_hooks={"response": [read]}) as pool,
        OpenAI(base_url=server.base_url, api_key="k", http_client=pool) as client,
        pytest.raises(openai.APIStatusError) as raised,
    ):
        client.models.list()
    assert raised.value.status_code == 402


@pytest.mark.parametrize("kind", ASKS)
def test_a_page_in_the_place_of_json_names_the_base_url(site: Sandbox, kind: str) -> None:
    """A wrong base URL or a captive portal: the error also names the content type."""
    with pytest.raises(openai.APIError, match=r"text/html.*Check the base URL") as raised:
        SYNC.run(ASKS[kind]("fail-html"), base_url=site.base_url, api_key="fail-html", max_retries=0)

    assert site.base_url in str(raised.value)


@pytest.mark.parametrize(
    ("body", "content_type", "due"),
    [
        *((body, "application/json", "ChatCompletion was expected") for body in ("null", "[]", "7", "{}")),
        ('{"data": {"choices": []}, "code": 0}', "application/json", "ChatCompletion was expected"),
        ('{"choices": [{"ind', "application/json", "where JSON was expected"),
        ("upstream timed out", "application/jsonl", "JSON was expected"),
        ("upstream timed out", "application/json-seq", "JSON was expected"),
    ],
)
def test_a_body_of_another_shape_says_what_was_due(
    server: ScriptedServer, body: str, content_type: str, due: str
) -> None:
    """Not a completion full of None, a str, or a JSONDecodeError."""
    error = caught(SYNC, server, complete("m"), Reply(body, content_type=content_type))

    assert isinstance(error, openai.APIResponseValidationError)
    assert due in str(error)


AWAY = {"message": "model is away"}
CHOICE = {"index": 0, "finish_reason": "error", "error": {"code": 502, **AWAY}}


@pytest.mark.parametrize(
    "body",
    [
        {"error": "model is away"},
        {"object": "error", **AWAY, "code": 400},
        {"base_resp": {"status_code": 1008, "status_msg": "model is away"}},
        {"detail": [{"msg": "model is away"}]},
        {"choices": [CHOICE]},
    ],
    ids=lambda body: next(iter(body)),
)
def test_a_failure_of_another_shape_has_the_whole_body(server: ScriptedServer, body: dict[str, Any]) -> None:
    """What the server sent is in the error, for those who know its shape; of `error` the SDK keeps the inside."""
    assert caught(SYNC, server, complete("m"), Reply(body)).body in (body, body.get("error"))


def test_an_error_of_the_callers_own_parsing_passes_through(asker: Asker, site: Sandbox) -> None:
    """Only a broken body is the service's fault; bad arguments of a tool fail as in the SDK."""

    def parse(_: Any) -> Any:
        raise ValueError("no good")

    post = lambda client: client.post(
        "/chat/completions",
        cast_to=openai.types.chat.ChatCompletion,
        body={"model": "glm-5.2", "messages": MESSAGES},
        options={"post_parser": parse},
    )
    with pytest.raises(ValueError, match="no good"):
        asker.run(post, base_url=site.base_url, api_key=site.api_key)


def unread(model: str, **arguments: Any) -> Callable[[Any], Any]:
    """Ask for a completion or a stream unread, and read it when it has been seen to be so."""

    async def ask(client: Any) -> Any:
        create = client.chat.completions.with_streaming_response.create
        async with entered(create(model=model, messages=MESSAGES, **arguments)) as response:
            assert not response.http_response.is_stream_consumed
            result = await wait(response.parse())
            return [chunk async for chunk in each(result)] if arguments else result

    return ask


@pytest.mark.parametrize("arguments", [{}, {"stream": True}], ids=["whole", "stream"])
def test_a_failure_in_an_unread_response_is_raised_when_it_is_parsed(
    asker: Asker, site: Sandbox, arguments: dict[str, Any]
) -> None:
    """`with_streaming_response` hands over the response unread, good or bad."""
    where = {"base_url": site.base_url, "api_key": site.api_key, "max_retries": 0}

    assert asker.run(unread("glm-5.2", **arguments), **where)
    with pytest.raises(openai.APIStatusError, match="AiToEarn code 12001") as raised:
        asker.run(unread("fail-12001", **arguments), **where)
    assert (raised.value.status_code, raised.value.code) == (402, "12001")
    with pytest.raises(openai.APIError, match="Check the base URL"):
        asker.run(unread("fail-html", **arguments), **where)
