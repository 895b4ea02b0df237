"""Streams: chunks as they came, in time. What goes wrong inside them is in the fault matrix."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from aitoearn_openai.sandbox import Sandbox
from conftest import Asker, Reply, ScriptedServer, complete, stream

CHUNK = 'data: {"id":"1","choices":[{"index":0,"delta":{"content":"hi","reasoning_content":"r"}}],"cost":"0.1"}\n\n'
END = 'data: {"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
CHOICES = 'data: {"choices":[{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"content":"b"}}]}\n\n'


def test_chunks_arrive_as_the_plain_sdk_gives_them(asker: Asker, server: ScriptedServer) -> None:
    """Fields beyond OpenAI's included, among comments and lines that mean nothing."""
    body = f"{CHUNK}: comment\n\n{{odd: 1\n{CHOICES}data: [DONE]\n\n"
    server.answer(Reply(body, content_type="text/event-stream; charset=utf-8"))
    where = {"base_url": server.base_url, "api_key": "k"}
    ours = asker.run(stream("m"), **where)

    assert ours == Asker(asker.is_async, openai).run(stream("m"), **where)
    assert (len(ours), ours[0].cost, ours[0].choices[0].delta.reasoning_content) == (2, "0.1", "r")


@pytest.mark.parametrize(
    "frame",
    [
        {"statusCode": 500, "message": "upstream died"},
        {"statusCode": 502, "message": "upstream died", "error": "Bad Gateway"},
        {"status": "Error", "message": "upstream died"},
        {"message": "upstream died"},
        {"errors": ["upstream died"]},
        {"error_code": 18, "error_msg": "upstream died"},
        {"id": "1", "code": 12301, "message": "upstream died", "choices": None},
        {"id": "1", "code": "InternalError", "message": "upstream died"},
        {"choices": [{"index": 0, "delta": {}, "error": {"code": 502, "detail": "upstream died"}}]},
    ],
)
def test_a_frame_that_reports_a_failure_is_raised_in_its_words(
    asker: Asker, server: ScriptedServer, frame: Any
) -> None:
    """In whatever shape the server has for it, after the chunks before it."""
    server.answer(
        Reply(f"{CHUNK}data: {json.dumps(frame)}\n\ndata: [DONE]\n\n", content_type="text/event-stream")
    )
    with pytest.raises(openai.APIError, match="upstream died"):
        asker.run(stream("m"), base_url=server.base_url, api_key="k", max_retries=0)


@pytest.mark.parametrize(
    "frame",
    [
        'event: keep_alive\ndata: "ok"',
        "event: Ping\ndata: 7",
        'data: {"type": "ping"}',
        'data: {"code": 200, "message": "success"}',
        'data: {"error": {"code": null, "message": null}, "choices": []}',
    ],
)
def test_what_keeps_a_stream_alive_is_no_failure(asker: Asker, server: ScriptedServer, frame: str) -> None:
    """By the names, and with the signs of success, that gateways use."""
    server.answer(Reply(f"{CHUNK}{frame}\n\n{CHUNK}data: [DONE]\n\n", content_type="text/event-stream"))
    chunks = asker.run(stream("m"), base_url=server.base_url, api_key="k", max_retries=0)

    assert [chunk.choices[0].delta.content for chunk in chunks if chunk.choices] == ["hi", "hi"]


@pytest.mark.parametrize(
    "body",
    [
        '{\n "code": 12001,\n "data": {},\n "message": "no credits left"\n}',
        ' {"code": 12001, "data": {}, "message": "no credits left"}',
        '[{"error": {"message": "no credits left"}}]',
        "no credits left",
    ],
)
def test_what_comes_in_the_place_of_events_is_told(asker: Asker, server: ScriptedServer, body: str) -> None:
    """Its words are the reason that there is no event."""
    server.answer(Reply(body, content_type="text/event-stream"))
    with pytest.raises(openai.APIError, match="no credits left"):
        asker.run(stream("m"), base_url=server.base_url, api_key="k", max_retries=0)


@pytest.mark.parametrize(
    "rest",
    [
        '{\n "code": 12001,\n "data": {},\n "message": "upstream died"\n}',
        ' {"code": 12001, "data": {}, "message": "upstream died"}',
        '{"detail": "upstream died"}\n\n',
        "upstream died",
        'error: {"message": "upstream died"}\n\n',
        "meta: 1\nupstream died\n",
    ],
)
def test_what_ends_a_stream_in_place_of_events_is_told(
    asker: Asker, server: ScriptedServer, rest: str
) -> None:
    """After the chunks before it: half an answer is no whole one."""
    server.answer(Reply(f"{CHUNK}{rest}", content_type="text/event-stream"))
    with pytest.raises(openai.APIError, match="upstream died"):
        asker.run(stream("m"), base_url=server.base_url, api_key="k", max_retries=0)


@pytest.mark.parametrize(
    "rest",
    [
        'error: {"code": 500, "message": "upstream died", "type": "server_error"}\n\n',
        "error: upstream died\n\n",
        'error: "upstream died"\n\n',
        'Error : {"code": 429, "message": "upstream died"}\n\n',
        '{\n "error": {\n  "message": "upstream died"\n }\n}\n\n',
    ],
)
def test_a_failure_in_place_of_an_event_counts_before_the_end_mark_too(
    asker: Asker, server: ScriptedServer, rest: str
) -> None:
    """As llama.cpp sends it; other words before `[DONE]` are passed over."""
    server.answer(Reply(f"{CHUNK}{rest}data: [DONE]\n\n", content_type="text/event-stream"))
    with pytest.raises(openai.APIError, match=r"(^|- )upstream died"):
        asker.run(stream("m"), base_url=server.base_url, api_key="k", max_retries=0)


@pytest.mark.parametrize("name", ["error", "step.failed", "message.error"])
def test_a_chunk_is_one_whatever_its_event_is_called(asker: Asker, server: ScriptedServer, name: str) -> None:
    """What it carries counts."""
    server.answer(Reply(f"{CHUNK}event: {name}\n{END}", content_type="text/event-stream"))

    assert len(asker.run(stream("m"), base_url=server.base_url, api_key="k", max_retries=0)) == 2


def read(asker: Asker, server: ScriptedServer, body: str) -> tuple[list[str], openai.APIError]:
    """The texts that reach the caller, and the error that follows them."""
    server.answer(Reply(body, content_type="text/event-stream"))
    texts: list[str] = []

    async def ask_async(client: Any) -> None:
        async for chunk in await stream("m")(client):
            texts.append(chunk.choices[0].delta.content)

    def ask(client: Any) -> None:
        for chunk in stream("m")(client):
            texts.append(chunk.choices[0].delta.content)

    with pytest.raises(openai.APIError) as failed:
        asker.run(ask_async if asker.is_async else ask, base_url=server.base_url, api_key="k", max_retries=0)
    return texts, failed.value


@pytest.mark.parametrize(
    ("body", "chunks"), [(CHUNK, 1), (CHUNK * 2, 2), (f"{CHUNK}: bye\n\n", 1), (f"{CHUNK}{CHUNK[:-9]}", 1)]
)
def test_a_stream_that_ends_before_its_end_is_said_is_an_error(
    asker: Asker, server: ScriptedServer, body: str, chunks: int
) -> None:
    """With neither `[DONE]` nor a `finish_reason`, it is a part of an answer; the chunks come first."""
    texts, error = read(asker, server, body)

    assert texts == ["hi"] * chunks
    assert str(error).startswith("The stream ended before the answer was complete")
    assert f"chunks so far: {chunks}" in str(error)


@pytest.mark.parametrize("end", ["data: [DONE]\n\n", "data: [DONE]", END, END.rstrip()])
def test_either_word_ends_a_stream(asker: Asker, server: ScriptedServer, end: str) -> None:
    """Some servers send `[DONE]` alone, some a `finish_reason` alone; a blank line may be missing."""
    server.answer(Reply(f"{CHUNK}{end}", content_type="text/event-stream"))

    assert asker.run(stream("m"), base_url=server.base_url, api_key="k", max_retries=0)


@pytest.mark.parametrize("failure", [{"finish_reason": "error"}, {"error": {"message": "died"}}])
def test_the_text_of_a_chunk_that_fails_comes_before_the_failure(
    asker: Asker, server: ScriptedServer, failure: Any
) -> None:
    """It was paid for."""
    chunk = json.dumps({"choices": [{"delta": {"content": "wo"}, **failure}]})
    texts, error = read(asker, server, f"{CHUNK}data: {chunk}\n\n")

    assert texts == ["hi", "wo"]
    assert isinstance(error, openai.InternalServerError)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("event: error\ndata: busy", "busy"),
        ("data: busy", "busy"),
        ("event: error\ndata:", "The server sent an error event without a message."),
    ],
)
def test_the_words_of_an_event_that_is_text_are_the_message(
    asker: Asker, server: ScriptedServer, event: str, message: str
) -> None:
    """Nothing stands before or after them."""
    server.answer(Reply(f"{CHUNK}{event}\n\n", content_type="text/event-stream"))
    with pytest.raises(openai.APIError) as failed:
        asker.run(stream("m"), base_url=server.base_url, api_key="k", max_retries=0)

    assert str(failed.value) == message
    assert failed.value.body == event.partition("data:")[2].strip()


@pytest.mark.parametrize("is_plain", [True, False])
def test_the_body_of_an_error_in_a_stream_is_the_error(
    asker: Asker, server: ScriptedServer, is_plain: bool
) -> None:
    """With its code and parameter, as in the plain SDK."""
    error = {"message": "busy", "code": "slow_down", "param": "model"}
    server.answer(Reply(f"{CHUNK}data: {json.dumps({'error': error})}\n\n", content_type="text/event-stream"))
    asker = Asker(asker.is_async, openai) if is_plain else asker
    with pytest.raises(openai.APIError) as failed:
        asker.run(stream("m"), base_url=server.base_url, api_key="k", max_retries=0)

    assert (failed.value.message, failed.value.body) == ("busy", error)
    assert (failed.value.code, failed.value.param) == ("slow_down", "model")


def test_of_very_much_in_place_of_events_a_part_is_kept(asker: Asker, server: ScriptedServer) -> None:
    """Memory does not grow with it."""
    server.answer(Reply("line\n" * 5000, content_type="text/event-stream"))
    with pytest.raises(openai.APIError) as failed:
        asker.run(stream("m"), base_url=server.base_url, api_key="k", max_retries=0)

    assert len(str(failed.value.body)) < 10_000


@pytest.mark.parametrize(
    "body",
    [
        f"{CHUNK}trace: 7\n{CHUNK}data: [DONE]\n\nupstream died",
        f"trace: 7\n{CHUNK}odd\n\n{END}",
        f"{CHUNK} \n\n{END}: bye\n\nretry\n\n \n",
        f"{CHUNK}{END}upstream died",
        f"{CHUNK}{END}<html>502 Bad Gateway</html>\n",
        f"{CHUNK}{CHUNK}[DONE]\n\n",
        f"{CHUNK}{CHUNK}upstream died\n\ndata: [DONE]\n\n",
        f"{CHUNK}{CHUNK}Data: [DONE]\n\n",
        f"{CHUNK}error: null\n\nerror: {{}}\n\nerror:\n\n{CHUNK}data: [DONE]\n\n",
        f"{CHUNK}{END}meta: {{}}\n\nevent : done\n\n",
        f'{END}data: {{"usage": {{}}}}\nodd\n\n',
        f"{CHUNK}{END}\ufeff\n\0\n\u200b\n\xa0\n",
        "\ufeff" * 2000 + CHUNK + END,
    ],
)
def test_lines_that_mean_nothing_end_no_stream(asker: Asker, server: ScriptedServer, body: str) -> None:
    """Before another event, after the end, and blank ones."""
    server.answer(Reply(body, content_type="text/event-stream"))

    assert len(asker.run(stream("m"), base_url=server.base_url, api_key="k", max_retries=0)) == 2


@pytest.mark.parametrize(
    "event",
    [
        'data: {"message": "hello"}',
        'event: thread.run.step.failed\ndata: {"id": "1", "error": {"message": "no"}}',
    ],
)
def test_an_event_that_the_sdk_takes_for_none_is_no_failure(
    asker: Asker, server: ScriptedServer, event: str
) -> None:
    """Of the caller's own endpoint, or of OpenAI's assistants, whose events carry what failed."""
    server.answer(Reply(f"{event}\n\n", content_type="text/event-stream"))
    stream_class = openai.AsyncStream[object] if asker.is_async else openai.Stream[object]
    ask = lambda client: client.post("/x", body={}, cast_to=object, stream=True, stream_cls=stream_class)

    assert len(asker.run(ask, base_url=server.base_url, api_key="k")) == 1


def test_a_page_in_place_of_the_rest_is_not_quoted(asker: Asker, server: ScriptedServer) -> None:
    """HTML tells nobody anything."""
    server.answer(Reply(f"{CHUNK}<html>502 Bad Gateway</html>\n", content_type="text/event-stream"))
    with pytest.raises(openai.APIError, match=r"^The stream broke off\.$"):
        asker.run(stream("m"), base_url=server.base_url, api_key="k", max_retries=0)


@pytest.mark.parametrize(
    "frame",
    [
        {"detail": "upstream died"},
        {"error": "upstream died"},
        {"error": {"message": "upstream died"}},
        {"success": False, "msg": "upstream died"},
    ],
)
def test_a_stream_that_is_no_chat_breaks_with_words_too(
    asker: Asker, server: ScriptedServer, frame: Any
) -> None:
    """Where the event has no type, which all events of these endpoints have."""
    server.answer(Reply(f"data: {json.dumps(frame)}\n\n", content_type="text/event-stream"))
    draw = lambda client: client.images.generate(model="m", prompt="cat", stream=True)
    with pytest.raises(openai.APIError, match=r"^upstream died$"):
        asker.run(draw, base_url=server.base_url, api_key="k", max_retries=0)


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


def test_an_error_that_breaks_off_is_the_sdks_own_error(asker: Asker) -> None:
    """Also where a stream was asked for: the plain SDK lets out the HTTP library's then."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        pool.submit(_break_off, listener)
        with pytest.raises(openai.APIConnectionError):
            asker.run(
                stream("m"),
                base_url=f"http://127.0.0.1:{listener.getsockname()[1]}",
                api_key="k",
                max_retries=0,
            )


def _break_off(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        head = "HTTP/1.1 500 Odd\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall((head + '5\r\n{"err\r\n').encode())


def _stall(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        connection.sendall((head + CHUNK).encode())
        while connection.recv(65536):  # Until the client gives up.
            pass
