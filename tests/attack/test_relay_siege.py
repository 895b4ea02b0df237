"""The relay under siege: connections that say nothing or never end, with the token and without it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aitoearn_openai import _serving, relay
from aitoearn_openai.relay import Relay
from aitoearn_openai.sandbox import Sandbox, _app
from conftest import MESSAGES
from relays import connect, serving

SAID = "You said: 你好"
TOKEN = "a-token-of-the-test"
HOST = b"Host: 127.0.0.1\r\n"
BEARER = f"Authorization: Bearer {TOKEN}\r\n".encode()
POST = b"POST /v1/chat/completions HTTP/1.1\r\n" + HOST


def question(model: str) -> bytes:
    body = json.dumps({"model": model, "messages": MESSAGES}).encode()
    return POST + BEARER + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


QUESTION, SLOW = question("glm-5.2"), question("slow-first-byte")
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
HALF = {
    "silence": b"",
    "half a head": POST + b"X-Half: ",
    "a head without a body": POST + b"Content-Length: 1000\r\n\r\n",
    "half a body": POST + b"Content-Length: 1000\r\n\r\n{",
    "half a chunk": POST + CHUNKED + b"5\r\nab",
    "half a body, with the token": POST + BEARER + b"Content-Length: 1000\r\n\r\n{",
    "half a second request": b"GET /v1/models HTTP/1.1\r\n" + HOST + b"\r\nGET /v1/mod",
}


@pytest.fixture(scope="module")
def here(site: Sandbox) -> Iterator[Relay]:
    with relay.serve(settings=site.settings, token=TOKEN) as here:
        yield here


def answer_on(connection: socket.socket) -> tuple[int, str]:
    """The status and the body of the next answer; it is read as far as its length says."""
    with contextlib.closing(http.client.HTTPResponse(connection)) as response:
        response.begin()
        return response.status, response.read().decode()


def is_answered(connection: socket.socket, sent: bytes) -> bool:
    connection.sendall(sent)
    status, told = answer_on(connection)
    return status == 200 and SAID in told


def answers(here: Relay | str, question: bytes = b"") -> bool:
    """Whether a program that comes now is answered."""
    with connect(here) as connection:
        return is_answered(connection, question or QUESTION)


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side ends the connection, after what it may have answered."""
    with contextlib.suppress(ConnectionError):
        while connection.recv(65536):
            pass
    return True


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
@pytest.mark.parametrize(
    ("count", "whose", "body"), [(300, b"", b"{" * 500_000), (300, BEARER, b"{"), (4096, b"", b"")]
)
def test_a_siege_keeps_out_no_program(site: Sandbox, count: int, whose: bytes, body: bytes) -> None:
    """Half requests and a header without an end, with the token or not, cost little memory, and no program waits."""
    halves = [POST + whose + b"X-Half: ", POST + whose + b"Content-Length: 1000000\r\n\r\n" + body, b""]
    settings = {"AITOEARN_SITE": "sandbox", "AITOEARN_BASE_URL": site.base_url, "MY_TOKEN": TOKEN}
    with (
        serving("relay", "--token-env", "MY_TOKEN", **settings) as (process, (_, second, _), _),
        contextlib.ExitStack() as stack,
    ):
        base_url = second.split()[-1]
        endless = stack.enter_context(connect(base_url, POST + whose + b"X-Endless: "))
        pushing = threading.Thread(target=push, args=(endless,))
        pushing.start()
        for number in range(count):
            connection = stack.enter_context(connect(base_url))
            connection.setblocking(False)
            with contextlib.suppress(OSError):
                connection.send(halves[number % 3])
        assert answers(base_url)
        pushing.join()
        files = (Path(f"/proc/{process.pid}/{name}").read_text() for name in ("status", "limits"))
        memory, limits = (" ".join(text.split()) for text in files)
        assert int(memory.partition("VmHWM: ")[2].split()[0]) < 150 << 10
        assert "Max core file size 0 0" in limits  # A core file would hold the key.


def push(connection: socket.socket, piece: bytes = b"x" * 65536, times: int = 1000) -> int:
    """How many bytes the other side takes of these, sent again and again."""
    sent = 0
    with contextlib.suppress(OSError):
        for _ in range(times):
            sent += connection.send(piece)
    return sent


@pytest.mark.parametrize("sent", HALF.values(), ids=HALF)
def test_half_a_request_is_given_up(here: Relay, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """Also one that goes on byte by byte."""
    monkeypatch.setattr(_serving, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(_serving, "BODY_SECONDS", 0.2)
    with connect(here, sent) as connection, connect(here, sent or b"G") as dripping:
        for _ in range(6):
            time.sleep(0.05)
            with contextlib.suppress(OSError):
                dripping.send(b"1")
        assert is_closed(connection)
        assert is_closed(dripping)


@pytest.mark.slow
def test_who_waits_is_not_given_up(site: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """For an answer, also while half of the next request is there; for the next question; in the middle of a body."""
    monkeypatch.setattr(_serving, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(_app, "SLOW_SECONDS", 0.6)
    with relay.serve(settings=site.settings, token=TOKEN) as here:
        assert answers(here, SLOW + QUESTION[:9])
        with connect(here, QUESTION) as connection:
            assert is_answered(connection, b"")
            time.sleep(0.6)  # Longer than a head may take.
            connection.sendall(QUESTION[:-10])
            time.sleep(0.6)
            assert is_answered(connection, QUESTION[-10:])


@pytest.mark.slow
def test_connections_without_the_token_make_room(here: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest first; one that has shown the token stays longest, and one that waits for an answer stays."""
    monkeypatch.setattr(_serving, "MAX_IDLE", 10)
    monkeypatch.setattr(_app, "SLOW_SECONDS", 0.6)
    with contextlib.ExitStack() as stack:
        known, waiting, oldest = (stack.enter_context(connect(here)) for _ in range(3))
        assert is_answered(known, QUESTION)
        waiting.sendall(SLOW)
        others = [stack.enter_context(connect(here)) for _ in range(20)]
        assert is_closed(oldest)
        assert is_answered(known, QUESTION)
        assert is_answered(others[-1], QUESTION)
        assert is_answered(waiting, b"")


def test_a_head_has_a_limit(here: Relay) -> None:
    """One of 60 kB passes; of one without an end, or of trailers without an end, little is taken."""
    assert answers(here, QUESTION.replace(b"\r\n", b"\r\nX-Long: %b\r\n" % (b"x" * 60_000), 1))
    for start in (POST + b"X-Endless: ", b"GET /", POST + CHUNKED + b"0\r\nX-Endless: "):
        with connect(here, start) as connection:
            assert push(connection) < 32 << 20  # The system's buffers count as taken.


@pytest.mark.parametrize(
    ("sent", "status", "told"),
    [
        (POST + CHUNKED + b"0\r\n" + BEARER + b"\r\n", 401, "no key"),
        (POST + b"Authorization: Bearer wrong\r\n" + BEARER + b"\r\n", 401, "not the token"),
        (POST + BEARER.replace(b"ization", b"ization_") + b"\r\n", 401, "no key"),
        (POST + b"aUTHORIZATION:bearer   %b \r\nContent-Length: 2\r\n\r\n{}" % TOKEN.encode(), 400, ""),
        (POST + BEARER + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400, ""),
        (POST + BEARER + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", 415, "compressed"),
        (POST.replace(b"POST", b"OPTIONS") + b"\r\n", 401, "no key"),
        (POST.replace(b"POST", b"OPTIONS") + BEARER + b"\r\n", 404, "no OPTIONS /chat/completions"),
        (POST + b"X: y\r\n" * 256 + b"\r\n", 400, ""),
    ],
)
def test_odd_requests_are_refused(here: Relay, sent: bytes, status: int, told: str) -> None:
    """Trailers are no headers, the last of two keys does not count, and no length is believed."""
    with connect(here, sent) as connection:
        got, answer = answer_on(connection)

    assert got == status
    assert told in answer


def test_chunks_without_an_end_are_refused(here: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    """When they are more than a body may have."""
    monkeypatch.setattr(_serving, "MAX_BODY", 1 << 20)
    with connect(here, POST + BEARER + CHUNKED) as connection:
        push(connection, b"1000\r\n%b\r\n" % (b"x" * 4096))
        assert answer_on(connection)[0] == 413


def test_a_pipeline_is_answered_in_turn(here: Relay) -> None:
    """One of more requests than a program would send is closed."""
    text = b""
    with connect(here, QUESTION * 10) as connection, connect(here, QUESTION * 1000) as flood:
        while text.count(SAID.encode()) < 10:
            piece = connection.recv(65536)
            assert piece
            text += piece
        assert is_closed(flood)


def test_a_program_that_does_not_read_stops_only_itself(here: Relay) -> None:
    """Its answers are not kept for it."""
    with connect(here) as deaf:
        deaf.setblocking(False)
        assert push(deaf, b"OPTIONS /v1/models HTTP/1.1\r\n%b\r\n" % HOST, 1_000_000) < 32 << 20
        assert answers(here)
