"""Failures: whatever the service reports as HTTP 200 reaches the caller as the SDK's own exception."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from aitoearn_openai import OpenAI
from aitoearn_openai.sandbox import Sandbox
from conftest import Asker, Reply, ScriptedServer, complete, draw, list_models, stream

CODES = {
    400: (400, openai.BadRequestError),
    401: (401, openai.AuthenticationError),
    403: (403, openai.PermissionDeniedError),
    404: (404, openai.NotFoundError),
    409: (409, openai.ConflictError),
    422: (422, openai.UnprocessableEntityError),
    429: (429, openai.RateLimitError),
    500: (500, openai.InternalServerError),
    502: (502, openai.InternalServerError),
    599: (599, openai.InternalServerError),
    10002: (400, openai.BadRequestError),
    19000: (401, openai.AuthenticationError),
    19001: (503, openai.InternalServerError),
    10003: (429, openai.RateLimitError),
    12000: (401, openai.AuthenticationError),
    12001: (402, openai.APIStatusError),
    12003: (403, openai.PermissionDeniedError),
    12008: (403, openai.PermissionDeniedError),
    12009: (402, openai.APIStatusError),
    12300: (404, openai.NotFoundError),
    12301: (502, openai.InternalServerError),
    19999: (400, openai.BadRequestError),
    1: (400, openai.BadRequestError),
}
"""The contract's table: the service's code, the HTTP status that says the same, the SDK's exception for it."""

ASKS: dict[str, Callable[[str], Callable[[Any], Any]]] = {
    "completion": complete,
    "stream": stream,
    "image": draw,
    "list": lambda _: list_models,
}


def failing(name: str, kind: str, site: Sandbox) -> dict[str, Any]:
    """Arguments of a client of the sandbox: the model list has no model that could fail, so its key does."""
    key = name if kind == "list" else site.api_key
    return {"base_url": site.base_url, "api_key": key, "max_retries": 0}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("kind", ASKS)
def test_every_code_is_the_sdks_exception_for_its_status(
    asker: Asker, site: Sandbox, kind: str, code: int
) -> None:
    """With the service's message, its code, the status that it stands for, and the request id."""
    status, exception = CODES[code]
    name = f"fail-{code}"
    with pytest.raises(openai.APIStatusError) as caught:
        asker.run(ASKS[kind](name), **failing(name, kind, site), default_headers={"X-Request-Id": "r-1"})
    error = caught.value

    assert type(error) is exception
    assert (error.status_code, error.code, error.request_id) == (status, str(code), "r-1")
    assert isinstance(error.body, dict)
    assert f"{error.body['message']} (AiToEarn code {code}, request id r-1)" in str(error)
    assert f"Error code: {status} - " in str(error)


@pytest.mark.parametrize("kind", ASKS)
@pytest.mark.parametrize("code", [429, 12301])
def test_what_is_worth_retrying_is_retried_by_the_sdk(
    asker: Asker, site: Sandbox, kind: str, code: int
) -> None:
    """A failure that passes is not seen by the caller."""
    name = f"fail-once-{code}"

    assert asker.run(ASKS[kind](name), **{**failing(name, kind, site), "max_retries": 1})


@pytest.mark.parametrize("kind", ASKS)
@pytest.mark.parametrize("code", [400, 401, 403, 404, 10002, 12000, 12001, 12003, 12009, 12300, 19999])
def test_what_is_not_worth_retrying_is_not(
    asker: Asker, server: ScriptedServer, kind: str, code: int
) -> None:
    """Nobody waits three times for credits that are not there."""
    server.answer(Reply({"data": {}, "code": code, "message": "no"}))
    with pytest.raises(openai.APIStatusError):
        asker.run(ASKS[kind]("m"), base_url=server.base_url, api_key="k")
    assert len(server.requests) == 1


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
    asker: Asker, server: ScriptedServer, message: str, seconds: str | None
) -> None:
    """As the header that the SDK obeys."""
    server.answer(Reply({"data": {}, "code": 10003, "message": message}))
    with pytest.raises(openai.RateLimitError) as caught:
        asker.run(complete("m"), base_url=server.base_url, api_key="k", max_retries=0)
    assert caught.value.response.headers.get("Retry-After") == seconds


def test_the_sdk_waits_as_long_as_the_service_says(site: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """The SDK's own log names the stated second, not a delay of its own."""
    caplog.set_level("INFO", logger="openai")
    Asker(False).run(complete("fail-once-10003"), base_url=site.base_url, api_key=site.api_key)

    assert "in 1.000000 seconds" in caplog.text


@pytest.mark.parametrize(
    ("origin", "hint"),
    [
        ("https://aitoearn.cn", "If that is https://aitoearn.ai, set AITOEARN_SITE=ai."),
        ("https://aitoearn.ai", "If that is https://aitoearn.cn, set AITOEARN_SITE=cn."),
        ("http://localhost:8080", "the one site that it was created on."),
    ],
)
def test_a_refused_key_names_the_site(origin: str, hint: str) -> None:
    """The most common failure is a key of the other site."""
    from aitoearn_openai._settings import site_hint

    assert site_hint(origin).startswith(f"The key was sent to {origin}, and a key belongs to the one site")
    assert site_hint(origin).endswith(hint)


@pytest.mark.parametrize("code", [401, 12000])
def test_a_401_says_which_site_was_asked(asker: Asker, server: ScriptedServer, code: int) -> None:
    """And that keys belong to one site."""
    server.answer(Reply({"data": {}, "code": code, "message": "Unauthorized"}))
    told = rf"\)\. The key was sent to {server.origin}, .* belongs to the one site"
    with pytest.raises(openai.AuthenticationError, match=told):
        asker.run(list_models, base_url=server.base_url, api_key="k")


def test_a_real_http_error_stays_the_sdks_own(asker: Asker, server: ScriptedServer) -> None:
    """A failure in OpenAI's format with its own status is worded by the SDK."""
    body = {"error": {"message": "slow down", "code": "rate_limit_exceeded", "type": "requests"}}
    server.answer(Reply(body, status=429))
    errors = []
    for modules in (openai, None):
        plain = Asker(asker.is_async, modules) if modules else asker
        with pytest.raises(openai.RateLimitError) as caught:
            plain.run(complete("m"), base_url=server.base_url, api_key="k", max_retries=0)
        errors.append(caught.value)
    theirs, ours = errors

    assert (str(ours), ours.code, ours.type, ours.body) == (
        str(theirs),
        theirs.code,
        theirs.type,
        theirs.body,
    )


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"code": "12001", "message": "m"}, 402, "12001"),
        ({"code": -1}, 400, "-1"),
        ({"code": 10**30, "message": None, "data": None}, 400, str(10**30)),
        ({"code": "E_NO", "message": {"a": 1}}, 400, "E_NO"),
        ({"code": [1]}, 400, "[1]"),
        ({"error": {"message": "m", "code": 429}}, 429, 429),
        ({"error": {"message": "m", "code": "bad"}}, 400, "bad"),
        ({"error": {"message": "m"}}, 400, None),
    ],
)
@pytest.mark.parametrize("kind", ASKS)
def test_odd_envelopes_are_failures_too(
    asker: Asker, server: ScriptedServer, kind: str, body: dict[str, Any], status: int, code: str | int | None
) -> None:
    """Codes as text, huge, negative or unknown; no message; an error in OpenAI's format with HTTP 200."""
    server.answer(Reply(body))
    with pytest.raises(openai.APIStatusError) as caught:
        asker.run(ASKS[kind]("m"), base_url=server.base_url, api_key="k", max_retries=0)
    assert caught.value.status_code == status
    # The SDK leaves a number in OpenAI's format a number before 3.x.
    assert caught.value.code in (code, str(code))


@pytest.mark.parametrize(
    "more",
    [{"type": "error"}, {"object": "error"}, {"id": "1"}],
    ids=["type", "object", "id"],
)
@pytest.mark.parametrize("data", [{}, None])
@pytest.mark.parametrize("kind", ASKS)
def test_an_envelope_with_fields_of_an_answer_is_a_failure_still(
    asker: Asker, server: ScriptedServer, kind: str, data: Any, more: dict[str, Any]
) -> None:
    """What another service adds to it on the way makes it no answer, and is retried as ever."""
    server.answer(Reply({"data": data, "code": 12301, "message": "upstream is away", **more}))
    with pytest.raises(openai.InternalServerError, match=r"502 - upstream is away \(AiToEarn code 12301\)"):
        asker.run(ASKS[kind]("m"), base_url=server.base_url, api_key="k", max_retries=1)
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [200, 402])
def test_a_byte_order_mark_hides_no_failure(asker: Asker, server: ScriptedServer, status: int) -> None:
    """Its words and its code are told as without one."""
    server.answer(Reply('\ufeff{"data": {}, "code": 12001, "message": "no credits"}', status=status))
    with pytest.raises(openai.APIStatusError, match="402 - no credits") as caught:
        asker.run(complete("m"), base_url=server.base_url, api_key="k", max_retries=0)
    assert (caught.value.status_code, caught.value.code) == (402, "12001")


def test_a_hook_may_have_read_what_a_byte_order_mark_begins(server: ScriptedServer) -> None:
    """httpx lets nobody say how to read a text that was read."""

    def read(response: Any) -> None:
        response.read()
        _ = response.text

    server.answer(Reply('\ufeff{"data": {}, "code": 12001, "message": "no credits"}'))
    with (
        openai.DefaultHttpxClient(event_hooks={"response": [read]}) as pool,
        OpenAI(base_url=server.base_url, api_key="k", http_client=pool) as client,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        client.models.list()
    assert caught.value.status_code == 402


@pytest.mark.parametrize("name", ["event: error\n", ""])
def test_a_typed_failure_inside_a_stream_is_told_in_its_own_words(
    asker: Asker, server: ScriptedServer, name: str
) -> None:
    """A code that is a number tells it from the events of other endpoints."""
    data = '{"type": "rate_limit", "code": 429, "message": "slow down"}'
    server.answer(Reply(f"{name}data: {data}\n\n", content_type="text/event-stream"))
    with pytest.raises(openai.RateLimitError, match="slow down"):
        asker.run(stream("m"), base_url=server.base_url, api_key="k", max_retries=0)


@pytest.mark.parametrize("content_type", ["text/plain", "text/event-stream", None])
@pytest.mark.parametrize("kind", ["completion", "list"])
def test_an_envelope_of_the_wrong_content_type_is_a_failure_still(
    asker: Asker, server: ScriptedServer, kind: str, content_type: str | None
) -> None:
    """The body counts."""
    server.answer(Reply({"data": {}, "code": 12001, "message": "m"}, content_type=content_type))
    with pytest.raises(openai.APIStatusError) as caught:
        asker.run(ASKS[kind]("m"), base_url=server.base_url, api_key="k", max_retries=0)
    assert caught.value.status_code == 402


@pytest.mark.parametrize("kind", ASKS)
def test_a_page_in_the_place_of_json_says_to_check_the_base_url(
    asker: Asker, site: Sandbox, kind: str
) -> None:
    """A wrong base URL or a captive portal: the error names the URL and the content type."""
    with pytest.raises(openai.APIError, match=r"text/html.*Check the base URL") as caught:
        asker.run(ASKS[kind]("fail-html"), **failing("fail-html", kind, site))
    assert site.base_url in str(caught.value)


@pytest.mark.parametrize("body", [b"null", b"[]", b"7", b"{}", b'{"data": {"choices": []}, "code": 0}'])
def test_json_of_another_shape_is_an_api_error(asker: Asker, server: ScriptedServer, body: bytes) -> None:
    """Not a completion full of None."""
    server.answer(Reply(body))
    with pytest.raises(openai.APIError, match="where ChatCompletion was due"):
        asker.run(complete("m"), base_url=server.base_url, api_key="k", max_retries=0)


@pytest.mark.parametrize("content_type", ["application/jsonl", "application/json-seq"])
def test_text_under_the_name_of_some_other_json_is_an_api_error(
    asker: Asker, server: ScriptedServer, content_type: str
) -> None:
    """Not a str in the place of a completion."""
    server.answer(Reply(b"upstream timed out", content_type=content_type))
    with pytest.raises(openai.APIError, match="where JSON was due"):
        asker.run(complete("m"), base_url=server.base_url, api_key="k", max_retries=0)


@pytest.mark.parametrize("kind", ["completion", "list", "image"])
def test_json_that_breaks_off_is_an_api_error(asker: Asker, server: ScriptedServer, kind: str) -> None:
    """Not a JSONDecodeError."""
    server.answer(Reply(b'{"choices": [{"ind'))
    with pytest.raises(openai.APIError, match="valid JSON was due"):
        asker.run(ASKS[kind]("m"), base_url=server.base_url, api_key="k", max_retries=0)


def test_an_error_of_the_callers_own_parsing_passes_through(asker: Asker, site: Sandbox) -> None:
    """Only a broken body is the service's fault; bad arguments of a tool are told as the SDK tells them."""
    with pytest.raises(ValueError, match="no good"):
        asker.run(
            lambda client: client.post(
                "/chat/completions",
                cast_to=openai.types.chat.ChatCompletion,
                body={"model": "glm-5.2", "messages": [{"role": "user", "content": "x"}]},
                options={"post_parser": _no_good},
            ),
            base_url=site.base_url,
            api_key=site.api_key,
        )


def _no_good(_: Any) -> Any:
    raise ValueError("no good")


def unread(ask: str, **arguments: Any) -> Callable[[Any], Any]:
    """Ask for a completion unread, and parse it when it has been seen to be so."""

    async def ask_async(client: Any) -> Any:
        async with complete(ask, **arguments)(WithStreaming(client)) as response:
            assert not response.http_response.is_stream_consumed
            return await response.parse()

    def ask_sync(client: Any) -> Any:
        with complete(ask, **arguments)(WithStreaming(client)) as response:
            assert not response.http_response.is_stream_consumed
            return response.parse()

    return lambda client: (ask_async if isinstance(client, openai.AsyncOpenAI) else ask_sync)(client)


class WithStreaming:
    def __init__(self, client: Any) -> None:
        self.chat = client.chat.with_streaming_response


def test_a_failure_in_an_unread_response_is_raised_when_it_is_parsed(asker: Asker, site: Sandbox) -> None:
    """`with_streaming_response` hands over the response unread, good or bad."""
    arguments = {"base_url": site.base_url, "api_key": site.api_key, "max_retries": 0}

    assert asker.run(unread("glm-5.2"), **arguments).choices
    with pytest.raises(openai.APIStatusError) as caught:
        asker.run(unread("fail-12001"), **arguments)
    assert (caught.value.status_code, caught.value.code) == (402, "12001")
    with pytest.raises(openai.APIError, match="Check the base URL"):
        asker.run(unread("fail-html"), **arguments)


def test_an_upload_that_is_refused_in_a_body_without_a_length_is_told(asker: Asker) -> None:
    """The files of an upload are not in memory, so nothing can be read from the request."""
    body = b'{"data": {}, "code": 12001, "message": "no credits"}'
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        pool.submit(_refuse, listener, body)
        with pytest.raises(openai.APIStatusError, match="AiToEarn code 12001"):
            asker.run(
                lambda client: client.images.edit(model="m", prompt="a cat", image=("a.png", b"png")),
                base_url=f"http://127.0.0.1:{listener.getsockname()[1]}",
                api_key="k",
                max_retries=0,
            )


def _refuse(listener: socket.socket, body: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        received = b""
        while not received.rstrip().endswith(b"--"):  # The last boundary of the upload.
            received += connection.recv(65536)
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" + body
        )
