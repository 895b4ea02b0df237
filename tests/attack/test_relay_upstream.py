"""A hostile server behind the relay: what it repeats of the key, where it leads, and how much it sends."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from aitoearn_openai import _events
from aitoearn_openai.relay import Relay, _service
from faults.server import Hang, Server, Step, Visit, chunked, head, reply
from faults.table import COMPLETION, DONE, SSE, chunk
from relays import BACKENDS, BODY, CHAT, relay_to, send

LIST = "/models"
KEY = "ak_0123456789abcdefghijklmnopqrstuvwxyz"
ESCAPED = "\\u0061" + KEY[1:]
"""The key as JSON may have it; in text that is not JSON, it is a secret that no mask can know."""
CHUNK = chunk("Hi")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def visit(server: Server) -> Visit:
    return server.visit("api", lambda request: [])


@pytest.fixture(scope="module")
def here(server: Server, visit: Visit) -> Iterator[Relay]:
    with relay_to(server, api_key=KEY) as here:
        yield here


def ask(here: Relay, path: str = CHAT, *, stream: bool = True) -> tuple[int, str, str]:
    """The status, the headers and the body that a program gets."""
    got = send(here, path, {**BODY, "stream": stream} if path == CHAT else None)
    head = "\n".join([got.reason_phrase, *(f"{name}: {value}" for name, value in got.headers.items())])
    return got.status_code, head, got.content.decode(errors="replace")


def answer(visit: Visit, *steps: Step) -> None:
    visit.answer = lambda request: list(steps)


def answer_endlessly(visit: Visit, *pieces: bytes, content_type: str = SSE) -> None:
    """Pieces, and then nothing, on a connection that stays open."""
    begun = head(content_type=content_type, transfer_encoding="chunked")
    answer(visit, begun, *(chunked(piece, end=False) for piece in pieces), Hang)


def events(*texts: str | bytes) -> bytes:
    encoded = (each if isinstance(each, bytes) else each.encode() for each in texts)
    return reply(b"".join(encoded), content_type=SSE)


@pytest.mark.parametrize(
    "said",
    [
        reply(f'{{"error": {{"message": "no", "code": ["{ESCAPED}"]}}}}', 400),
        reply(f'{{"code": "{ESCAPED}", "data": {{}}, "message": "no"}}'),
        reply(f'{{"code": 12001, "data": {{}}, "message": "no", "requestId": "{ESCAPED}"}}'),
        reply(f'{{"code": 12001, "data": {{}}, "message": "{ESCAPED}"}}'),
        reply(COMPLETION, x_request_id=f"r-{KEY}", x_ratelimit_key=KEY, retry_after=KEY),
        reply(COMPLETION, set_cookie=KEY, location=f"/{KEY}", x_other=KEY),
        reply(COMPLETION, f"401 {KEY}"),
        reply(f"<{KEY}>", 502, content_type=f"text/{KEY}"),
        reply("", 302, location=f"http://127.0.0.1/{KEY}?{KEY}#{KEY}"),
        events(f'data: {{"error": {{"message": "no", "code": "{ESCAPED}"}}}}\n\n'),
        events(CHUNK, f"{KEY}\n\n"),
        events(CHUNK, f'{{"message": "{ESCAPED}", "code": 12001}}\n\n', ": ping\n\n"),
        events(CHUNK, f"odd {KEY}\nid: {KEY}\r: {KEY}\rdata-x: {KEY}\n".encode() + CHUNK),
        events(CHUNK, DONE, f"data: {KEY}\n\n", KEY),
        events(CHUNK, f"event: error\ndata: {ESCAPED}\n\n"),
        events(f"event: error\ndata: {'x' * 290}{KEY}\n\n"),
        reply(f"{'x' * 290}{KEY} tail", 401, content_type="text/plain"),
        reply({"error": {"reason": f"{'x' * 270}{KEY}"}}),
    ],
)
@pytest.mark.parametrize(("path", "stream"), [(CHAT, True), (CHAT, False), (LIST, False)])
def test_the_key_comes_back_in_nothing_but_an_answer(
    here: Relay, visit: Visit, said: bytes, path: str, stream: bool
) -> None:
    """However the server has it in its words, codes, headers, and in what stands between events."""
    answer(visit, said)
    got = " ".join(map(str, ask(here, path, stream=stream)))

    assert KEY[:8] not in got  # Also where words are cut.


def test_only_events_go_on_and_a_models_words_stay_as_they_are(here: Relay, visit: Visit) -> None:
    """What stands between events, or follows the end, does not; a comment in its place keeps the connection alive."""
    event = CHUNK.replace(b"Hi", KEY.encode())
    answer(visit, events(f"id: {KEY}\nevent: {KEY}\n", event, "odd\n\n", event, DONE, "odd\n\n", CHUNK))
    told = ask(here)[2].replace(":\n\n", "")

    assert told == f"event: **********\n{event.decode()}{event.decode()}{DONE.decode()}"


def test_a_frame_that_is_no_answer_goes_on_without_the_key(here: Relay, visit: Visit) -> None:
    """Also one that is a part of a failure; a last chunk that no blank line ends comes before it."""
    frame = {"id": "1", "choices": [{"delta": {"content": "Hi"}}], "error": {"message": f"bad key {KEY}"}}
    for data in ({"id": "1", "message": f"bad key {KEY}"}, frame):
        answer(visit, events(f"data: {json.dumps(data)}\n\n"))
        got = ask(here)[2]
        assert "bad key **********" in got
        assert KEY not in got
    answer(visit, events(CHUNK, CHUNK.rstrip()))
    got = ask(here)[2].replace(":\n\n", "")
    assert got.startswith(CHUNK.decode() * 2)
    assert "chunks so far: 2" in got


def test_a_failure_and_the_end_do_not_wait_for_a_server_that_stays(here: Relay, visit: Visit) -> None:
    """It may keep the connection open."""
    failure = json.dumps({"error": {"message": "quota gone"}})
    for last, words in ((f"data: {failure}\n\n".encode(), "quota gone"), (DONE, "[DONE]")):
        answer_endlessly(visit, CHUNK, last)
        got = ask(here)[2].rstrip()
        assert words in got
        assert "timed out" not in got


NOWHERE = ["http://127.0.0.1:65537/", "http://127.0.0.1:x/", "http://[::1/", "file:///etc/passwd"]
NOWHERE += ["/a b\tc", "//", f"http://{'a' * 70}.invalid/", f"/{'x' * 70_000}"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("location", NOWHERE)
def test_a_redirect_to_nowhere_is_an_error(server: Server, visit: Visit, backend: Any, location: str) -> None:
    """In OpenAI's form, whatever the HTTP library makes of the address."""
    answer(visit, reply("", 307, location=location))
    with relay_to(server, http_backend=backend) as here:
        for path in (CHAT, LIST):
            status, _, body = ask(here, path)
            error = json.loads(body)["error"]
            assert (status, error["type"], bool(error["message"])) == (502, "server_error", True)


@pytest.mark.parametrize("path", [CHAT, LIST])
def test_a_compressed_answer_is_refused_unread(here: Relay, visit: Visit, path: str) -> None:
    """Nobody asked for it, and a few bytes of it may be gigabytes; its status stays."""
    bomb = gzip.compress(b" " * 10_000_000)
    for status, encoding, got in ((200, "gzip", 502), (429, "x-unknown", 429)):
        answer(visit, reply(bomb, status, content_encoding=encoding, retry_after="7"))
        told, headers, body = ask(here, path)
        assert (told, "retry-after: 7" in headers) == (got, True)
        assert f"with the content encoding '{encoding}'" in json.loads(body)["error"]["message"]
    assert {request.headers["accept-encoding"] for request in visit.requests} == {"identity"}


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_has_a_limit(
    here: Relay, visit: Visit, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    """Also one of blanks, which servers send while a model thinks."""
    monkeypatch.setattr(_service, "MAX_ANSWER", 1 << 20)
    monkeypatch.setattr(_service, "MAX_EVENT", 1 << 20)
    for piece in (b" " * 65536, b"{" * 65536):
        answer_endlessly(visit, *[piece] * 20, content_type="application/json")
        status, _, body = ask(here, stream=stream)
        assert (status, "is larger than 1 MB" in body) == (502, True)


def test_an_event_has_a_limit(here: Relay, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bytes, and in lines, of which each costs more. What came before passes."""
    monkeypatch.setattr(_events, "MAX_EVENT", 1 << 20)
    for piece in (b"data: " + b"x" * 65536, b"data: x\n" * 8192, b"x" * 65536):
        answer_endlessly(visit, CHUNK, *[piece] * 50)
        body = ask(here)[2]
        assert body.startswith(CHUNK.decode())
        assert "The stream sent an event of more than 1 MB, or 100000 lines." in body[len(CHUNK) :]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("start", "piece"),
    [(b'data: {"choices":[],"x":"', b"x" * 4096), (b"", b" " * 4096), (CHUNK + DONE, b"x" * 4096)],
)
def test_the_time_grows_as_the_bytes_do(here: Relay, visit: Visit, start: bytes, piece: bytes) -> None:
    """In one event, in blanks before the first, and after the end: what has been looked at is not looked at again."""

    def processor_seconds(count: int) -> float:
        pieces = [start + piece, *[piece] * count, b'"}\n\n']
        begun = head(content_type=SSE, transfer_encoding="chunked")
        answer(visit, begun, *(chunked(each, end=False) for each in pieces), chunked())
        started = time.process_time()
        ask(here)
        return time.process_time() - started

    processor_seconds(10)
    short, long = (min(processor_seconds(count) for _ in range(2)) for count in (500, 2000))
    assert long < 8 * short
