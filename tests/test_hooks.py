"""Hooks: whoever stands where the SDK or httpx stood, and streams that are not a chat stay the SDK's."""

from __future__ import annotations

import builtins
import json
import signal
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any
from unittest import mock

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

import aitoearn_openai
from aitoearn_openai import OpenAI
from aitoearn_openai._sdk.exceptions import family_of
from conftest import LIBRARY, Asker, Reply, ScriptedServer, complete, list_models, raw, stream
from faults.table import CHUNKS, COMPLETION, CONTENT, DONE, EVENTS, chunk, frame, type_of

ENVELOPE = {"data": {}, "code": 12001, "message": "no credits"}

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


def answered(asker: Asker, body: Any, *, is_class: bool = True, kind: str = "completion") -> Any:
    """What becomes of a body that a `send` of the caller's own gives."""
    content = json.dumps(body).encode() if isinstance(body, dict) else body
    headers = {"Content-Type": "application/json"}
    if isinstance(content, bytes):
        headers = {"Content-Type": type_of("stream" if content == EVENTS else "completion")}
        headers["Content-Length"], content = str(len(content)), LIBRARY.ByteStream(content)

    def send(self: Any, request: Any, **_: Any) -> Any:
        # Unread, as from a server.
        return LIBRARY.Response(200, stream=content, headers=headers, request=request)

    async def send_async(self: Any, request: Any, **_: Any) -> Any:
        return send(self, request)

    client_class, default, replaced = LIBRARY.Client, openai.DefaultHttpxClient, send
    if asker.is_async:
        client_class, default, replaced = LIBRARY.AsyncClient, openai.DefaultAsyncHttpxClient, send_async
    where: Any = {"base_url": "http://h/v1", "api_key": "k", "max_retries": 0}
    if not is_class:
        where["http_client"] = type("Mine", (default,), {"send": replaced})()
    with pytest.MonkeyPatch.context() as patch:
        if is_class:
            patch.setattr(client_class, "send", replaced)
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


class Broken(LIBRARY.AsyncByteStream, LIBRARY.SyncByteStream):  # type: ignore[misc]
    """A body that breaks off."""

    def __init__(self, error: str) -> None:
        self.error = error

    def __iter__(self) -> Iterator[bytes]:
        yield b"{"
        raise getattr(LIBRARY, self.error)("broke")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"<p>hello", openai.APIResponseValidationError),
        (Broken("ReadError"), openai.APIConnectionError),
        (Broken("ReadTimeout"), openai.APITimeoutError),
    ],
)
def test_what_is_no_answer_is_the_sdks_own_error_there_too(is_async: bool, body: Any, error: Any) -> None:
    """A page, and what breaks off: as from any server."""
    with pytest.raises(openai.APIError) as failed:
        answered(Asker(is_async), body)
    assert failed.type is error


def failed_with(modules: Any, respond: Any, *, key: Any = "k", is_async: bool = False) -> Exception:
    """What a call raises by a transport or a key of the caller's own."""
    pool = openai.DefaultAsyncHttpxClient if is_async else openai.DefaultHttpxClient
    given = {"http_client": pool(transport=LIBRARY.MockTransport(respond)), "max_retries": 1}
    with pytest.raises(Exception) as failed:  # noqa: PT011 - openai 1.x wraps whatever a transport raises
        Asker(is_async, modules).run(complete("m"), base_url="http://h/v1", api_key=key, **given)
    return failed.value


def refused(after: str) -> Any:
    return LIBRARY.Response(503, headers={"Retry-After-Ms": after}, content=b"no")


def test_an_error_of_the_callers_own_transport_after_a_refusal_is_theirs() -> None:
    """The refusal was of the try before."""
    ours, theirs = (
        failed_with(modules, mock.Mock(side_effect=[refused("1"), KeyError("mine")]))
        for modules in (aitoearn_openai, openai)
    )
    assert type(ours) is type(theirs)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no groups of exceptions")
def test_a_group_of_exceptions_of_the_callers_own_transport_is_theirs() -> None:
    """It says nothing of the connection."""
    mine = mock.Mock(side_effect=builtins.ExceptionGroup("mine", [KeyError("mine")]))  # type: ignore[attr-defined, unused-ignore]
    ours, theirs = (failed_with(modules, mine, is_async=True) for modules in (aitoearn_openai, openai))
    assert type(ours) is type(theirs)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers that send signals")
@pytest.mark.parametrize("module", [{"__name__": "theirs"}, {"__name__": None}, {}], ids=repr)
def test_a_signal_that_ends_the_wait_before_a_retry_is_the_callers(module: dict[str, Any]) -> None:
    """As the time limits of task queues do it, whatever their module is called."""
    time_is_up = AssertionError()
    end = eval("lambda *_: fail()", {"fail": mock.Mock(side_effect=time_is_up), **module})

    def respond(_: Any) -> Any:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        return refused("30000")

    before = signal.signal(signal.SIGALRM, end)
    try:
        assert failed_with(aitoearn_openai, respond) is time_is_up
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_between_calls_a_client_has_the_sdks_own_authentication() -> None:
    """For who looks at it."""
    with OpenAI(api_key="k", base_url="http://h/v1") as client:
        assert client.custom_auth is None


def test_a_stream_made_by_hand_gives_its_chunks_and_raises_a_failure() -> None:
    """As the SDK's own tests make it, with a response that nobody sent."""
    request = LIBRARY.Request("POST", "http://h/v1/chat/completions")
    with OpenAI(api_key="k", base_url="http://h/v1") as client:

        def made(end: bytes) -> openai.Stream[ChatCompletionChunk]:
            response = LIBRARY.Response(200, content=chunk(CONTENT) + end, request=request)
            return openai.Stream(cast_to=ChatCompletionChunk, client=client, response=response)

        assert [each.choices[0].delta.content for each in made(CHUNKS[2] + DONE)] == [CONTENT, None]
        failing = made(frame(ENVELOPE))
        assert next(failing).choices[0].delta.content == CONTENT
        with pytest.raises(openai.APIStatusError, match="no credits"):
            next(failing)


@pytest.mark.parametrize("mark", ["raw", "true", ""])
def test_a_response_that_the_caller_asks_for_by_its_class_or_header_may_be_read(
    asker: Asker, server: ScriptedServer, mark: str
) -> None:
    """It is not one that comes unread."""
    kind: Any = openai.AsyncAPIResponse[Any] if asker.is_async else openai.APIResponse[Any]
    by_class = lambda client: client.post("/x", body={}, cast_to=kind)
    by_header = complete("m", extra_headers={"X-Stainless-Raw-Response": mark})
    response = asker.ask(server, by_header if mark else by_class, Reply(COMPLETION))

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


@pytest.mark.parametrize(
    "error",
    [KeyError("mine"), LIBRARY.ConnectError("mine"), LIBRARY.ReadTimeout("mine", request=LIBRARY.Request("GET", "http://h"))],
    ids=repr,
)  # fmt: skip
def test_what_fails_while_a_retry_gets_a_key_is_the_callers(error: Exception) -> None:
    """It is neither the refusal of the try before nor a lost connection to the service."""
    keys = mock.Mock(side_effect=["k", error])
    assert failed_with(aitoearn_openai, lambda _: refused("1"), key=lambda: keys()) is error


@pytest.mark.parametrize("is_broken", [False, True])
def test_what_fails_while_python_gets_a_key_for_a_retry_comes_out(is_broken: bool) -> None:
    """No frame of the caller's led there, and none of it was about the answer before."""
    answer = LIBRARY.Response(200, stream=Broken("ReadError")) if is_broken else refused("1")
    assert type(failed_with(aitoearn_openai, lambda _: answer, key=deque(["k"]).popleft)) is IndexError
