"""Streams: chunks as they came, in time. What is in the fault matrix is not here."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from aitoearn_openai._sdk.exceptions import family_of
from conftest import Asker, Reply, ScriptedServer, in_turns, stream
from faults.runner import each, wait

CHUNK = 'data: {"id":"1","choices":[{"index":0,"delta":{"content":"hi","reasoning_content":"r"}}],"cost":"0.1"}\n\n'
END = 'data: {"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = "data: [DONE]\n\n"
BROKE = "upstream died"


def read(asker: Asker, server: ScriptedServer, body: str, wanted: Any = None) -> list[Any]:
    server.answer(Reply(body, content_type="text/event-stream"))
    return asker.run(wanted or stream("m"), base_url=server.base_url, api_key="k", max_retries=0)  # type: ignore[no-any-return]


def event(data: Any) -> str:
    return f"data: {json.dumps(data)}\n\n"


# fmt: off
@in_turns("body", [
    # What keeps a stream alive, by the names and with the signs of success that gateways use.
    f'{CHUNK}event: keep_alive\ndata: "ok"\n\n{CHUNK}{DONE}',
    f"{CHUNK}event: Ping\ndata: 7\n\n{CHUNK}{DONE}",
    f'{CHUNK}data: {{"code": 200, "message": "success"}}\n\n{CHUNK}{DONE}',
    f'data: {{"error": {{"code": null}}, "choices": [{{"delta": {{}}}}]}}\n\n{CHUNK}{DONE}',
    # A chunk whatever its event is called.
    f"{CHUNK}event: error\n{END}",
    # Half a character, which the SDK can read.
    f'data: {{"choices":[{{"delta":{{"content":"\\ud83d"}}}}]}}\n\n{CHUNK}{DONE}',
    # Lines that mean nothing: before another event, after the end, and blank ones.
    f"{CHUNK}: comment\n\n{{odd: 1\n{CHUNK}{DONE}",
    f"{CHUNK}trace: 7\n{CHUNK}{DONE}{BROKE}",
    f"trace: 7\n{CHUNK}odd\n\n{END}",
    f"{CHUNK} \n\n{END}: bye\n\nretry\n\n \n",
    f"{CHUNK}{END}{BROKE}",
    f"{CHUNK}{CHUNK}[DONE]\n\n",
    f"{CHUNK}{CHUNK}{BROKE}\n\n{DONE}",
    f"{CHUNK}{CHUNK}Data: [DONE]\n\n",
    f"{CHUNK}error: null\n\nerror: {{}}\n\nerror:\n\n{CHUNK}{DONE}",
    f"{CHUNK}{END}meta: {{}}\n\nevent : done\n\n",
    f'{END}data: {{"usage": {{}}}}\nodd\n\n',
    f"{CHUNK}{END}\ufeff\n\0\n\u200b\n\xa0\n",
    "\ufeff" * 2000 + CHUNK + END,
])
def test_what_means_nothing_ends_no_stream(asker: Asker, server: ScriptedServer, body: str) -> None:
    """It is passed over, and the chunks around it come."""
    assert len(read(asker, server, body)) == 2


def test_a_last_chunk_that_no_blank_line_ends_is_not_lost(asker: Asker, server: ScriptedServer) -> None:
    """The plain SDK passes over it in silence."""
    assert len(read(asker, server, CHUNK + END.rstrip())) == 2


def test_a_page_in_pieces_in_the_place_of_a_stream_gives_its_connection_back(
    asker: Asker, server: ScriptedServer
) -> None:
    """Or a pool of one has none for the next call."""
    pieces = "a\r\n<p>no page\r\n0\r\n\r\n"
    page = Reply(pieces, content_type="text/html", headers={"Transfer-Encoding": "chunked"})
    server.answer(page, page)
    library = family_of(openai.DefaultHttpxClient)
    kind = openai.DefaultAsyncHttpxClient if asker.is_async else openai.DefaultHttpxClient
    pool = kind(limits=library.Limits(max_connections=1), timeout=library.Timeout(10, pool=2))

    async def ask_twice(client: Any) -> list[type]:
        failed = []
        for _ in range(2):
            with pytest.raises(openai.APIError) as caught:
                await wait(stream("m")(client))
            failed.append(caught.type)
        return failed

    failed = asker.run(ask_twice, base_url=server.base_url, api_key="k", max_retries=0, http_client=pool)
    assert failed == [openai.APIResponseValidationError] * 2


ENVELOPE = f'{{"code": 12001, "data": {{}}, "message": "{BROKE}"}}'


@in_turns("body,words", [
    (CHUNK + event({"id": "1", "code": 12301, "message": BROKE, "choices": None}) + DONE, f"- {BROKE}"),
    (CHUNK + event({"id": "1", "code": "InternalError", "message": BROKE}) + DONE, BROKE),
    (CHUNK + event({"choices": [{"index": 0, "delta": {}, "error": {"code": 502, "detail": BROKE}}]}) + DONE, f"- {BROKE}"),
    # What comes in the place of events, and what ends a stream there.
    (ENVELOPE.replace(", ", ",\n "), f"- {BROKE}"),
    (f" {ENVELOPE}", f"- {BROKE}"),
    (f'[{{"error": {{"message": "{BROKE}"}}}}]', BROKE),
    (BROKE, rf"complete \(chunks so far: 0\): {BROKE}$"),
    (f"{CHUNK}meta: 1\n{BROKE}\n", rf"complete \(chunks so far: 1\): {BROKE}$"),
    (f"{CHUNK}<html>502 Bad Gateway</html>\n", r"complete \(chunks so far: 1\)\.$"),  # HTML tells nobody anything.
    # As llama.cpp sends it; other words before `[DONE]` are passed over.
    (f'{CHUNK}error: {{"code": 500, "message": "{BROKE}", "type": "server_error"}}\n\n{DONE}', f"- {BROKE}"),
    (f"{CHUNK}error: {BROKE}\n\n{DONE}", f"^{BROKE}$"),
    (f'{CHUNK}error: "{BROKE}"\n\n{DONE}', f"^{BROKE}$"),
    (f'{CHUNK}Error : {{"code": 429, "message": "{BROKE}"}}\n\n{DONE}', f"- {BROKE}"),
    (f'{CHUNK}{{\n "error": {{\n  "message": "{BROKE}"\n }}\n}}\n\n{DONE}', f"- {BROKE}"),
    # Neither `[DONE]` nor a `finish_reason`: a part of an answer.
    *((body, rf"^The stream ended before the answer was complete \(chunks so far: {count}\)")
      for body, count in [(CHUNK, 1), (f"{CHUNK}: bye\n\n", 1), (f"{CHUNK}{CHUNK[:-9]}", 1), (CHUNK * 2, 2)]),
])
def test_what_ends_a_stream_is_told_in_its_words(
    asker: Asker, server: ScriptedServer, body: str, words: str
) -> None:
    """In whatever shape the server has for it, after the chunks before it."""
    with pytest.raises(openai.APIError, match=words):
        read(asker, server, body)


# fmt: on
@pytest.mark.parametrize("failure", [{"finish_reason": "error"}, {"error": {"message": "died"}}])
def test_the_text_of_a_chunk_that_fails_comes_before_the_failure(
    asker: Asker, server: ScriptedServer, failure: Any
) -> None:
    """It was paid for."""
    texts: list[str] = []

    async def ask(client: Any) -> None:
        async for chunk in each(await wait(stream("m")(client))):
            texts.append(chunk.choices[0].delta.content)

    body = CHUNK + event({"choices": [{"delta": {"content": "wo"}, **failure}]})
    with pytest.raises(openai.InternalServerError):
        read(asker, server, body, ask)
    assert texts == ["hi", "wo"]


@in_turns(
    "frame,message",
    [
        ("event: error\ndata: busy", "busy"),
        ("data: busy", "busy"),
        ("event: error\ndata:", "The server sent an error event without a message."),
    ],
)
def test_the_words_of_an_event_that_is_text_are_the_message(
    asker: Asker, server: ScriptedServer, frame: str, message: str
) -> None:
    """Nothing stands before or after them."""
    with pytest.raises(openai.APIError) as failed:
        read(asker, server, f"{CHUNK}{frame}\n\n")

    assert str(failed.value) == message
    assert failed.value.body == frame.partition("data:")[2].strip()


@pytest.mark.parametrize("is_plain", [True, False])
def test_the_body_of_an_error_in_a_stream_is_the_error(
    asker: Asker, server: ScriptedServer, is_plain: bool
) -> None:
    """With its code and parameter, as in the plain SDK."""
    error = {"message": "busy", "code": "slow_down", "param": "model"}
    with pytest.raises(openai.APIError) as failed:
        read(Asker(asker.is_async, openai) if is_plain else asker, server, CHUNK + event({"error": error}))

    assert (failed.value.message, failed.value.body) == ("busy", error)
    assert (failed.value.code, failed.value.param) == ("slow_down", "model")


def test_of_very_much_in_place_of_events_a_part_is_kept(asker: Asker, server: ScriptedServer) -> None:
    """Memory does not grow with it."""
    with pytest.raises(openai.APIError) as failed:
        read(asker, server, "line\n" * 5000)

    assert len(str(failed.value.body)) < 10_000


@pytest.mark.parametrize(
    "body",
    [
        event({"message": "hello"}),
        "event: thread.run.step.failed\n" + event({"id": "1", "error": {"message": "no"}}),
        f"data: 5\n\n{DONE}",
        DONE,
    ],
)
def test_events_of_other_endpoints_stay_the_sdks(asker: Asker, server: ScriptedServer, body: str) -> None:
    """Of the caller's own, which need not be objects, or of OpenAI's assistants, whose events carry what failed."""
    stream_class: Any = openai.AsyncStream[object] if asker.is_async else openai.Stream[object]
    post = lambda client: client.post("/x", body={}, cast_to=object, stream=True, stream_cls=stream_class)

    assert len(read(asker, server, body, post)) == (body != DONE)


@in_turns(
    "frame",
    [{"detail": BROKE}, {"error": BROKE}, {"error": {"message": BROKE}}, {"success": False, "msg": BROKE}],
)
def test_a_stream_of_another_endpoint_breaks_with_words_too(
    asker: Asker, server: ScriptedServer, frame: Any
) -> None:
    """Where the event has no type, which all events of these endpoints have."""
    streamed = lambda client: client.images.generate(model="m", prompt="cat", stream=True)
    with pytest.raises(openai.APIError, match=rf"^{BROKE}$"):
        read(asker, server, event(frame), streamed)


@pytest.mark.parametrize(
    ("begun", "due"),
    [
        (CHUNK, openai.APITimeoutError),
        (CHUNK + event({"code": 12301, "message": BROKE}), openai.InternalServerError),
    ],
    ids=["chunk", "failure"],
)
def test_a_stream_that_stalls_times_out_as_the_sdk_does(
    asker: Asker, begun: str, due: type[Exception]
) -> None:
    """Its read timeout holds between chunks, on every version; a failure does not wait for what follows."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        pool.submit(_stall, listener, begun)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(due):
            asker.run(stream("m", timeout=0.2), base_url=url, api_key="k", max_retries=0)


def _stall(listener: socket.socket, begun: str) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        connection.sendall((head + begun).encode())
        while connection.recv(65536):  # Until the client gives up.
            pass
