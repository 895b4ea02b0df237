"""Streams: chunks as they came, and failures inside them in the service's words."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from aitoearn_openai._sdk.stream import Decoder as _Decoder
from aitoearn_openai.sandbox import Sandbox
from conftest import Asker, Reply, ScriptedServer, complete, stream

CHUNK = 'data: {"id":"1","choices":[{"index":0,"delta":{"content":"hi","reasoning_content":"r"}}],"cost":"0.1"}\n\n'
DONE = "data: [DONE]\n\n"


def events(*parts: str | bytes, content_type: str | None = "text/event-stream") -> Reply:
    body = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    return Reply(body, content_type=content_type)


def collect(asker: Asker, server: ScriptedServer) -> tuple[list[Any], openai.APIError | None]:
    """The chunks that arrived and the error, if any, that ended them."""
    chunks: list[Any] = []

    async def ask_async(client: Any) -> None:
        async for chunk in await stream("m")(client):
            chunks.append(chunk)

    def ask(client: Any) -> None:
        chunks.extend(stream("m")(client))  # Keeps what came before an error.

    try:
        asker.run(ask_async if asker.is_async else ask, base_url=server.base_url, api_key="k", max_retries=0)
    except openai.APIError as error:
        return chunks, error
    return chunks, None


@pytest.mark.parametrize("content_type", ["text/event-stream; charset=utf-8", "text/plain", None])
def test_chunks_arrive_as_the_plain_sdk_gives_them(
    asker: Asker, server: ScriptedServer, content_type: str | None
) -> None:
    """Fields beyond OpenAI's included, whatever the content type."""
    server.answer(events(CHUNK, ": comment\n\n", "{odd: 1\n", CHUNK, DONE, content_type=content_type))
    ours, error = collect(asker, server)
    theirs, _ = collect(Asker(asker.is_async, openai), server)

    assert error is None
    assert [c.to_dict() for c in ours] == [c.to_dict() for c in theirs]
    assert (len(ours), ours[0].cost, ours[0].choices[0].delta.reasoning_content) == (2, "0.1", "r")


@pytest.mark.parametrize(
    ("event", "message", "code"),
    [
        ("event: error\ndata: upstream broke\n\n", "upstream broke", None),
        ("event: error\ndata: 你好\n\n", "你好", None),
        ('event: error\ndata: {"message": "broke"}\n\n', "broke", None),
        ("event: error\ndata: [1]\n\n", "[1]", None),
        ('event: error\ndata: {"error": {"message": "m", "code": "c"}}\n\n', "m", "c"),
        (
            'data: {"data": {}, "code": 12001, "message": "no credits", "requestId": "r"}\n\n',
            "no credits (AiToEarn code 12001, request id r)",
            "12001",
        ),
        ('data: {"error": {"message": "m", "code": 5}}\n\n', "m", "5"),
        ("data: not json\n\n", "not json", None),
        ('{"data": {}, "code": 12001, "message": "m"}', "m", "12001"),
        ('event: error\ndata: {"code": 12001, "message": "m"}\n\n', "m", "12001"),
        ('data: {"id": "1"}\n\n', "where ChatCompletionChunk was due", None),
        ("data: null\n\n", "where ChatCompletionChunk was due", None),
        ("data: 5\n\n", "where ChatCompletionChunk was due", None),
        (b"data: \xff\xfe\n\n", "not UTF-8", None),
    ],
)
def test_a_failure_inside_a_stream_has_the_services_words(
    asker: Asker, server: ScriptedServer, event: str | bytes, message: str, code: str | None
) -> None:
    """The chunks before it have arrived."""
    server.answer(events(CHUNK, event))
    chunks, error = collect(asker, server)

    assert len(chunks) == 1
    assert error is not None
    assert message in str(error)
    assert str(error.code) == str(code)


@pytest.mark.parametrize(
    "body", ["", ": only a comment\n\n", "<!DOCTYPE html><p>hello", "upstream timed out"]
)
def test_a_stream_without_any_event_is_an_error(asker: Asker, server: ScriptedServer, body: str) -> None:
    """An empty stream is what the plain SDK makes of anything that is none."""
    server.answer(events(body))
    chunks, error = collect(asker, server)

    assert chunks == []
    assert "ended before its first event" in str(error)


def test_a_stream_may_end_without_its_last_word(asker: Asker, server: ScriptedServer) -> None:
    """Servers that never say `[DONE]` are read to their end, as the plain SDK does."""
    server.answer(events(CHUNK, CHUNK))

    assert [len(part or []) for part in collect(asker, server)] == [2, 0]


def test_an_answer_in_one_piece_where_a_stream_was_due_is_an_error(
    asker: Asker, server: ScriptedServer
) -> None:
    """A server that ignores `stream`."""
    server.answer(Reply({"id": "1", "choices": []}))
    _, error = collect(asker, server)

    assert "an event stream was due" in str(error)


def test_a_stream_that_says_it_is_json_is_read_all_the_same(asker: Asker, server: ScriptedServer) -> None:
    """As the plain SDK would."""
    server.answer(events(CHUNK, DONE, content_type="application/json"))

    assert len(collect(asker, server)[0]) == 1


@pytest.mark.parametrize("name", ["fail-stream-cut", "fail-stream-error", "fail-stream-envelope"])
def test_streams_that_break_in_the_sandbox(asker: Asker, site: Sandbox, name: str) -> None:
    """Each of the sandbox's ways is one of the SDK's errors."""
    with pytest.raises(openai.APIError):
        asker.run(stream(name), base_url=site.base_url, api_key=site.api_key, max_retries=0)


def test_an_unread_stream_tells_its_failure_when_it_is_iterated(asker: Asker, site: Sandbox) -> None:
    """`with_streaming_response` with `stream=True`: the envelope is found where the events were due."""

    async def ask_async(client: Any) -> None:
        create = client.chat.completions.with_streaming_response.create
        async with create(
            model="fail-12001", messages=[{"role": "user", "content": "x"}], stream=True
        ) as response:
            assert not response.http_response.is_stream_consumed
            async for _ in await response.parse():
                pass

    def ask(client: Any) -> None:
        create = client.chat.completions.with_streaming_response.create
        with create(model="fail-12001", messages=[{"role": "user", "content": "x"}], stream=True) as response:
            assert not response.http_response.is_stream_consumed
            for _ in response.parse():
                pass

    with pytest.raises(openai.APIError, match="AiToEarn code 12001") as caught:
        asker.run(ask_async if asker.is_async else ask, base_url=site.base_url, api_key=site.api_key)
    assert caught.value.code == "12001"


def test_fields_beyond_openais_reach_the_caller(asker: Asker, site: Sandbox) -> None:
    """`cost` and `reasoning_content`, in one piece and streamed."""
    arguments = {"base_url": site.base_url, "api_key": site.api_key}
    reasoner = "deepseek-v4"
    answer = asker.run(complete(reasoner), **arguments)
    chunks = asker.run(stream(reasoner), **arguments)

    assert answer.cost
    assert answer.choices[0].message.reasoning_content
    assert any(getattr(c.choices[0].delta, "reasoning_content", None) for c in chunks if c.choices)


def test_a_stream_that_stalls_times_out_as_the_sdk_does(asker: Asker) -> None:
    """Its read timeout holds between chunks, and ends in the SDK's own error on every version."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        pool.submit(_stall, listener)
        with pytest.raises(openai.APITimeoutError):
            asker.run(
                stream("m", timeout=0.2),
                base_url=f"http://127.0.0.1:{listener.getsockname()[1]}",
                api_key="k",
                max_retries=0,
            )


def _stall(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        connection.sendall((head + CHUNK).encode())
        while connection.recv(65536):  # Until the client gives up.
            pass


@pytest.mark.parametrize("end", ["", "\n", "\r"])
@pytest.mark.parametrize("start", ["", CHUNK])
@pytest.mark.parametrize("name", ["", "event: error\n"])
def test_a_failure_that_no_blank_line_ends_is_told(
    asker: Asker, server: ScriptedServer, name: str, start: str, end: str
) -> None:
    """The standard has such an event dropped, and with it the only word of what went wrong."""
    server.answer(events(start, f'{name}data: {{"data": {{}}, "code": 12001, "message": "no credits"}}{end}'))
    chunks, error = collect(asker, server)

    assert len(chunks) == bool(start)
    assert isinstance(error, openai.APIStatusError)
    assert (error.status_code, error.code) == (402, "12001")


def test_a_chunk_that_no_blank_line_ends_is_dropped_as_by_the_plain_sdk(
    asker: Asker, server: ScriptedServer
) -> None:
    """It may be half of what was to come."""
    server.answer(events(CHUNK, CHUNK.rstrip()))
    ours, error = collect(asker, server)
    theirs, _ = collect(Asker(asker.is_async, openai), server)

    assert error is None
    assert [c.to_dict() for c in ours] == [c.to_dict() for c in theirs]


def test_an_event_that_was_told_is_not_told_again_at_the_end() -> None:
    """Whoever reads the events on after a failure sees each once."""
    for line in ('data: {"code": 12001, "message": "m"}', '{"code": 12001, "message": "m"}'):
        assert len(list(_Decoder().iter_bytes(iter([f"{line}\n\n".encode()])))) == 1
