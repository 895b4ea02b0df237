"""The table of faults: what the server does in each row, and what an honest client makes of it."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import Any, Literal

from .server import Close, Hang, Pause, Repeat, Request, Reset, Step, chunked, head, reply

Mode = Literal["completion", "stream", "list", "raw", "unread", "closing"]
"""How the client asks.

`completion`, `stream` and `list` are the plain ways; `raw` and `unread` ask for a completion by
`with_raw_response` and `with_streaming_response`; `closing` closes a stream after its third chunk.
"""

Truth = Literal["value", "error", "either"]

CHAT: tuple[Mode, ...] = ("completion", "stream")
ALL: tuple[Mode, ...] = ("completion", "stream", "list")
WHOLE: tuple[Mode, ...] = ("completion", "raw", "unread", "list")
EVERY: tuple[Mode, ...] = ("completion", "raw", "unread", "stream", "list")
STREAM: tuple[Mode, ...] = ("stream",)
LIST: tuple[Mode, ...] = ("list",)

Answer = Callable[[Mode, "Origins"], "list[Step]"]


@dataclass(frozen=True)
class Origins:
    main: str
    other: str
    visit: str


@dataclass(frozen=True)
class Row:
    """One fault. `truth` says what is honest: its value, an error, or either."""

    name: str
    answer: Answer
    truth: Truth = "error"
    modes: tuple[Mode, ...] = ALL
    status: int | None = None
    """The status that the error of this package must have."""
    requests: int | None = None
    """Requests that this package makes; by default as many as the plain SDK."""
    timeout: float = 4.0
    refused: bool = False
    """The client is pointed at a port where nobody listens."""
    count: int | None = None
    """Models in the list, where it is a list that is read."""
    heavy: bool = False
    """Run alone: it takes the processor for itself."""


# What a healthy server says.

CONTENT = "你好, wörld"
COMPLETION = {
    "id": "c-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": CONTENT}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    "cost": "0.1",
}
# Both an `id` and a `name`, so that the plain SDK can read it too.
MODELS = {
    "code": 0,
    "message": "ok",
    "data": [{"id": "m-1", "name": "m-1", "label": "One"}, {"id": "m-2", "name": "m-2"}],
}


def chunk(text: str, finish: str | None = None) -> bytes:
    delta = {"content": text} if finish is None else {}
    body = {
        "id": "c-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
CHUNKS = [chunk("你好"), chunk(", wörld"), chunk("", "stop")]
EVENTS = b"".join([*CHUNKS, DONE])
SSE = "text/event-stream"


def good(mode: Mode) -> bytes:
    """The body of a right answer."""
    if mode in ("stream", "closing"):
        return EVENTS
    return json.dumps(MODELS if mode == "list" else COMPLETION, ensure_ascii=False).encode()


def type_of(mode: Mode) -> str:
    return SSE if mode in ("stream", "closing") else "application/json"


def is_stream(mode: Mode) -> bool:
    return mode in ("stream", "closing")


# Ways to write a row.


def always(*steps: Step) -> Answer:
    return lambda mode, origins: list(steps)


def body(content: Any, content_type: str | None = "", **headers: str) -> Answer:
    """That body in one piece, of the type that was asked for unless one is given."""
    return lambda mode, origins: [
        reply(content, content_type=type_of(mode) if content_type == "" else content_type, **headers)
    ]


def right(content_type: str | None = "", change: Callable[[bytes], bytes] = bytes, **headers: str) -> Answer:
    """The right body, changed, with other headers."""
    return lambda mode, origins: [
        reply(
            change(good(mode)), content_type=type_of(mode) if content_type == "" else content_type, **headers
        )
    ]


def events(*pieces: Step, end: bool = True, content_type: str | None = SSE) -> Answer:
    """A chunked event stream: bytes are its chunks."""
    steps: list[Step] = [head(content_type=content_type, transfer_encoding="chunked")]
    for piece in pieces:
        if isinstance(piece, Repeat):
            steps.append(replace(piece, piece=chunked(piece.piece, end=False)))
        else:
            steps.append(chunked(piece, end=False) if isinstance(piece, bytes) else piece)
    steps += [chunked()] if end else []
    return always(*steps)


def until_close(*pieces: Step) -> Answer:
    """An event stream that ends where the connection does: nothing tells the end from a cut."""
    return always(head(content_type=SSE, connection="close"), *pieces, Close)


# The rows.


def transport() -> Iterable[Row]:
    yield Row("the connection is refused", always(), refused=True)
    yield Row("a reset before the headers", always(Reset))
    yield Row("an orderly close before the headers", always(Close))
    yield Row(
        "a reset after the headers",
        lambda mode, _: [reply(content_type=type_of(mode), length=500), Pause(0.1), Reset],
    )
    yield Row("no answer at all", always(Hang), timeout=0.4)
    yield Row(
        "half of the headers, then silence", always(b"HTTP/1.1 200 OK\r\ncontent-ty", Hang), timeout=0.4
    )
    yield Row(
        "headers, then silence",
        lambda mode, _: [reply(content_type=type_of(mode), length=500), Hang],
        timeout=0.4,
    )
    yield Row(
        "headers a byte at a time",
        lambda mode, _: (
            [
                step
                for byte in reply(good(mode), content_type=type_of(mode))[:60]
                for step in (bytes([byte]), Pause(0.01))
            ]
            + [reply(good(mode), content_type=type_of(mode))[60:]]
        ),
        truth="value",
    )
    yield Row("headers later than the timeout", lambda mode, _: [Pause(3), *right()(mode, _)], timeout=0.4)
    yield Row(
        "a body a few bytes at a time, in all slower than the timeout",
        lambda mode, _: (
            [head(content_type=type_of(mode), content_length=str(len(good(mode))))]
            + [
                step
                for at in range(0, len(good(mode)), 1 + len(good(mode)) // 25)
                for step in (good(mode)[at : at + 1 + len(good(mode)) // 25], Pause(0.06))
            ]
        ),
        truth="value",
        timeout=1.2,
    )
    yield Row("bytes that are no HTTP", always(b"\x00\x01\x02 SSH-2.0-OpenSSH_9.9\r\n\r\n", Close))
    yield Row("a status line with no number", always(b"HTTP/1.1 OK fine\r\n\r\n", Close))
    yield Row(
        "a content length that is no number", always(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", Close)
    )
    yield Row(
        "headers of 200 kB",
        lambda mode, _: [reply(good(mode), content_type=type_of(mode), x_long="x" * 200_000)],
        truth="either",
    )
    yield Row(
        "100 Continue and 103 Early Hints before the answer",
        lambda mode, _: [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n", *right()(mode, _)],
        truth="value",
    )


def cuts() -> Iterable[Row]:
    yield Row(
        "a body shorter than its content length",
        lambda mode, _: [
            reply(good(mode)[:40], content_type=type_of(mode), length=len(good(mode))),
            Close,
        ],
        modes=EVERY,
    )
    yield Row(
        "a chunked body cut short",
        lambda mode, _: [
            head(content_type=type_of(mode), transfer_encoding="chunked"),
            chunked(good(mode)[:40], end=False),
            Close,
        ],
        modes=EVERY,
    )
    yield Row(
        "a body cut short where the close is its end",
        lambda mode, _: [head(content_type="application/json", connection="close"), good(mode)[:40], Close],
        modes=WHOLE,
    )
    yield Row("JSON that breaks off", lambda mode, _: [reply(good(mode)[:40])], modes=WHOLE)
    some = CHUNKS[0] + CHUNKS[1]
    torn = CHUNKS[1].index("ö".encode()) + 1
    yield Row("a stream cut between events", events(some, Close, end=False), modes=STREAM)
    yield Row("a stream reset between events", events(some, Pause(0.1), Reset, end=False), modes=STREAM)
    yield Row("a stream silent after two events", events(some, Hang, end=False), modes=STREAM, timeout=0.4)
    yield Row("a stream cut inside an event", events(some[:-20], Close, end=False), modes=STREAM)
    yield Row(
        "a stream cut inside a UTF-8 character",
        events(CHUNKS[0] + CHUNKS[1][:torn], Close, end=False),
        modes=STREAM,
    )
    yield Row(
        "a stream cut after its last chunk, before [DONE]",
        events(*CHUNKS, Close, end=False),
        modes=STREAM,
    )
    yield Row(
        "a stream that ends in order between events, half said",
        events(some),
        modes=STREAM,
        truth="either",
    )
    yield Row(
        "a stream that ends in order inside an event",
        events(some[:-20]),
        modes=STREAM,
        truth="either",
    )
    yield Row(
        "a stream that ends in order inside a UTF-8 character",
        events(CHUNKS[0] + CHUNKS[1][:torn]),
        modes=STREAM,
    )
    yield Row("a stream without [DONE]", events(*CHUNKS), modes=STREAM, truth="value")
    yield Row(
        "a stream without [DONE], ended by the close", until_close(*CHUNKS), modes=STREAM, truth="value"
    )
    yield Row(
        "silence after [DONE]", events(EVENTS, Hang, end=False), modes=STREAM, truth="value", timeout=0.4
    )
    yield Row("events after [DONE]", events(EVENTS + CHUNKS[0]), modes=STREAM, truth="value")
    for content_type in (SSE, "application/json", None):
        yield Row(
            f"a stream without end, {content_type or 'without a type'}, closed by the caller",
            events(Repeat(chunk("x"), 0.01), end=False, content_type=content_type),
            modes=("closing",),
            truth="value",
            timeout=1.0,
        )


def bodies() -> Iterable[Row]:
    shapes: dict[str, Any] = {
        "an empty body": b"",
        "white space": b" \r\n\t ",
        "null": b"null",
        "true": b"true",
        "a number": b"7",
        "NaN": b"NaN",
        "a number of 5,000 digits": b"7" * 5000,
        "a string": b'"hello"',
        "a list": b"[]",
        "a list of completions": [COMPLETION],
        "an empty object": b"{}",
        "two objects": b'{"a": 1}{"b": 2}',
        "NUL bytes": b"\x00" * 64,
        "a completion in the service's envelope": {"code": 0, "message": "ok", "data": COMPLETION},
    }
    for name, content in shapes.items():
        yield Row(f"{name} for an answer", body(content), modes=EVERY)
        # A line end would end the event.
        event = (content if isinstance(content, bytes) else json.dumps(content).encode()).strip()
        yield Row(f"{name} for an event", events(b"data: " + event + b"\n\n"), modes=STREAM)
    deep = b"[" * 100_000 + b"]" * 100_000
    yield Row("100,000 levels of nesting", body(deep), modes=("completion", "raw"), heavy=True)
    yield Row(
        "100,000 levels of nesting inside a completion",
        body(b'{"choices": [], "x": ' + deep + b"}", "application/json"),
        modes=CHAT,
        heavy=True,
    )
    yield Row(
        "100,000 levels of nesting inside an envelope",
        body(b'{"code": 12001, "data": ' + deep + b"}"),
        modes=("completion", "list"),
        heavy=True,
    )
    yield Row(
        "100,000 levels of nesting in an event", events(b"data: " + deep + b"\n\n"), modes=STREAM, heavy=True
    )
    yield Row(
        "100,000 levels of nesting with status 400",
        always(reply(deep, status=400)),
        modes=STREAM,
        status=400,
        heavy=True,
    )
    large = {**COMPLETION, "padding": "x" * 50_000_000}
    yield Row(
        "50 MB of JSON",
        lambda mode, _: [reply(large)],
        modes=("completion",),
        truth="value",
        heavy=True,
        timeout=30,
    )
    broken: dict[str, Any] = {
        "null": None,
        "a string": "none",
        "a number": 5,
        "an object": {"message": {"content": "x"}},
        "a list of null": [None],
        "a list of strings": ["x"],
    }
    for name, choices in broken.items():
        yield Row(
            f"choices that are {name}",
            lambda mode, _, choices=choices: (
                [
                    reply(
                        b"data: " + json.dumps({**COMPLETION, "choices": choices}).encode() + b"\n\n" + DONE,
                        content_type=SSE,
                    )
                ]
                if mode == "stream"
                else [reply({**COMPLETION, "choices": choices})]
            ),
            modes=CHAT,
        )
    yield Row(
        "choices: [] with nothing said",
        lambda mode, _: [reply({**COMPLETION, "choices": []})],
        modes=("completion",),
        truth="either",
    )
    yield Row(
        "null choices with an error beside them",
        body(
            {
                "id": "c-1",
                "object": "chat.completion",
                "choices": None,
                "error": {"message": "m", "code": 429},
            },
            "application/json",
        ),
        modes=CHAT,
    )
    yield Row(
        "an error of OpenAI's with an id beside it",
        body({"id": "c-1", "error": {"message": "overloaded", "code": 529}}, "application/json"),
        modes=CHAT,
    )
    yield Row(
        "an error that is a string",
        body({"error": "overloaded"}, "application/json"),
        modes=ALL,
    )


def headers() -> Iterable[Row]:
    for content_type in (
        "text/plain",
        "application/octet-stream",
        "application/x-unknown",
        "nonsense",
        "",
        None,
    ):
        shown = "no content type" if content_type is None else f"content type {content_type!r}"
        yield Row(
            f"{shown} on a right answer",
            (lambda mode, _, t=content_type: [reply(good(mode), content_type=t)]),
            truth="value",
            modes=EVERY,
        )
    yield Row(
        "JSON announced, a stream sent",
        lambda mode, _: [reply(EVENTS, content_type="application/json")],
        modes=STREAM,
        truth="value",
    )
    yield Row(
        "a stream announced and sent where a completion was due",
        always(reply(EVENTS, content_type=SSE)),
        modes=("completion", "raw", "unread"),
    )
    yield Row(
        "a whole completion where a stream was due",
        always(reply(COMPLETION)),
        modes=STREAM,
    )
    yield Row(
        "a whole completion where a stream was due, announced as a stream",
        always(reply(COMPLETION, content_type=SSE)),
        modes=STREAM,
    )
    # The last one is a codec of Python's, but none of text.
    for charset in ("utf-16", "ascii", "no-such-charset", "zlib"):
        yield Row(
            f"charset={charset} on a right answer",
            lambda mode, _, c=charset: [reply(good(mode), content_type=f"{type_of(mode)}; charset={c}")],
            truth="value",
            modes=EVERY,
        )
        yield Row(
            f"charset={charset} on a page",
            body("<p>hello", f"text/html; charset={charset}"),
            modes=EVERY,
        )
        yield Row(
            f"charset={charset} on a 400",
            always(
                reply({"error": {"message": "no"}}, status=400, content_type=f"text/html; charset={charset}")
            ),
            status=400,
        )
        yield Row(
            f"charset={charset} on a 301 that leads nowhere",
            always(reply("x", status=301, content_type=f"application/json; charset={charset}")),
            status=301,
        )
        yield Row(
            f"charset={charset} on an envelope",
            body({"code": 12001, "message": "no credits"}, f"application/json; charset={charset}"),
            status=402,
        )
    for encoding in ("utf-16", "gb18030"):
        yield Row(
            f"a body in {encoding}",
            right(change=lambda content, e=encoding: content.decode().encode(e)),
            truth="either",
            modes=EVERY,
        )
    yield Row("a byte order mark", right(change=b"\xef\xbb\xbf".__add__), truth="value", modes=EVERY)
    yield Row(
        "a failure with a byte order mark",
        body(b'\xef\xbb\xbf{"code": 12001, "message": "no credits"}'),
        status=402,
        modes=EVERY,
    )
    yield Row("gzip", right(change=gzip.compress, content_encoding="gzip"), truth="value", modes=EVERY)
    yield Row(
        "a failure in gzip",
        body(gzip.compress(b'{"code": 12001, "message": "no credits"}'), content_encoding="gzip"),
        status=402,
        modes=EVERY,
    )
    yield Row("gzip that is none", right(content_encoding="gzip"), modes=EVERY)
    torn = right(change=lambda content: gzip.compress(content)[:-20], content_encoding="gzip")
    yield Row("gzip cut short", torn, modes=WHOLE)
    yield Row("gzip cut short, its length told as if it were whole", torn, modes=STREAM, truth="either")
    yield Row(
        "gzip with a bad end",
        right(change=lambda c: gzip.compress(c)[:-8] + b"x" * 8, content_encoding="gzip"),
        modes=EVERY,
    )
    yield Row("an unknown content encoding", right(content_encoding="x-none"), truth="either", modes=EVERY)
    page = "<!DOCTYPE html><html><title>Log in</title>"
    yield Row("an HTML page", body(page, "text/html"), modes=EVERY)
    yield Row("an HTML page announced as what was asked for", body(page), modes=EVERY)
    yield Row("an HTML page without a type", body(page, None), modes=EVERY)
    yield Row("204 and nothing", always(b"HTTP/1.1 204 No Content\r\n\r\n"), modes=EVERY)
    yield Row("205 and nothing", always(reply(status=205)), modes=ALL)
    yield Row("304", always(b"HTTP/1.1 304 Not Modified\r\n\r\n"), modes=ALL)
    yield Row(
        "status 299 with the right answer",
        lambda mode, _: [reply(good(mode), 299, type_of(mode))],
        truth="value",
    )
    yield Row("status 999", lambda mode, _: [reply(good(mode), 999, type_of(mode))])


def redirects() -> Iterable[Row]:
    def to_login(mode: Mode, origins: Origins) -> list[Step]:
        return [reply(status=301, location=f"{origins.visit}/login", content_type=None)]

    def elsewhere(mode: Mode, origins: Origins) -> list[Step]:
        target = "models/chat" if mode == "list" else "chat/completions"
        other = origins.visit.replace(origins.main, origins.other)
        return [reply(status=307, location=f"{other}/elsewhere/{target}", content_type=None)]

    yield Row("301 to a login page", to_login)
    yield Row("307 to another origin, which answers", elsewhere, truth="value")
    yield Row(
        "307 to itself, again and again",
        lambda mode, _: [reply(status=307, location="?again", content_type=None)],
    )
    for name, location in {
        "to a scheme that is none": "gopher://127.0.0.1/",
        "to an address that is none": "http://[::bad/",
        "to a port that is none": "http://127.0.0.1:99999/",
        "to a closed port of port 1": "http://127.0.0.1:1/",
        "to an empty address": "",
    }.items():
        yield Row(f"307 {name}", always(reply(status=307, location=location, content_type=None)))
    yield Row("307 without an address", always(reply(status=307, content_type=None)))


STATUSES = (400, 401, 402, 403, 404, 408, 409, 422, 429, 500, 502, 503, 504, 529)


def statuses() -> Iterable[Row]:
    def openai_error(status: int, **extra: str) -> bytes:
        error = {"message": f"failed with {status}", "type": "t", "param": None, "code": f"c_{status}"}
        return reply({"error": error}, status=status, **extra)

    for status in STATUSES:
        yield Row(
            f"{status} in OpenAI's format", always(openai_error(status, retry_after_ms="10")), status=status
        )
    waits = {
        "0 seconds": "0",
        "1 second": "1",
        "a date that has passed": "Wed, 21 Oct 2015 07:28:00 GMT",
        "a date 1 second ahead": None,
        "a year in seconds": "31536000",
        "-5": "-5",
        "words": "soon",
        "nan": "nan",
        "inf": "inf",
        "1e999": "1e999",
        "1,000 digits": "9" * 1000,
        "a date in the year 99999": "Wed, 21 Oct 99999 07:28:00 GMT",
        "a date with no such month": "Wed, 21 Foo 2015 07:28:00 GMT",
        "a date with no such day": "Wed, 99 Oct 2015 07:28:00 GMT",
        "a date with an absurd zone": "Wed, 21 Oct 2015 07:28:00 +99999999999999",
    }
    for name, wait in waits.items():
        for status in (429, 503):
            yield Row(
                f"{status} with Retry-After: {name}",
                # The date is written when the answer is, as it counts from then.
                lambda mode, _, s=status, w=wait: [
                    openai_error(s, retry_after=w or formatdate(time.time() + 1.5, usegmt=True))
                ],
                status=status,
                modes=CHAT,
            )
    yield Row(
        "429 with Retry-After-Ms: words",
        always(openai_error(429, retry_after_ms="x")),
        status=429,
        modes=CHAT,
    )
    yield Row("500 with no body", always(reply(status=500, retry_after_ms="10")), status=500)
    yield Row(
        "502 with an HTML page",
        always(reply("<html>bad gateway", 502, "text/html", retry_after_ms="10")),
        status=502,
    )
    yield Row("400 with a list", always(reply(b"[1]", 400)), status=400)
    yield Row("400 with null", always(reply(b"null", 400)), status=400)
    yield Row("400 with JSON that breaks off", always(reply(b'{"error": {"mess', 400)), status=400)
    yield Row(
        "400 with bytes that are no text", always(reply(b"\xff\xfe\x00\xd8", 400, "text/plain")), status=400
    )
    yield Row("400 with an error that is a string", always(reply({"error": "no"}, 400)), status=400)
    yield Row(
        "400 with the service's envelope", always(reply({"code": 12001, "message": "no"}, 400)), status=400
    )
    yield Row(
        "400 whose body is cut short",
        always(reply(b'{"error"', 400, length=500), Close),
        truth="error",
    )
    yield Row("400 whose body never comes", always(reply(b"", 400, length=500), Hang), timeout=0.4)
    yield Row(
        "500 whose body is broken gzip",
        always(reply(b"{}", 500, content_encoding="gzip", retry_after_ms="10")),
    )


CODES = {
    **{code: code for code in (400, 401, 402, 403, 404, 409, 422, 429, 500, 502, 503, 504, 529, 599)},
    10002: 400,
    19000: 401,
    19001: 503,
    10003: 429,
    12000: 401,
    12001: 402,
    12003: 403,
    12008: 403,
    12009: 402,
    12300: 404,
    12301: 502,
    1: 400,
    399: 400,
    600: 400,
    19999: 400,
}
"""The contract's table, written down once more: the package's own must agree with it."""


def _retried(status: int) -> int:
    return 2 if status in (408, 409, 429) or status >= 500 else 1


def envelopes() -> Iterable[Row]:
    def enveloped(name: str, content: Any, status: int, modes: tuple[Mode, ...] = ALL) -> Row:
        requests = None if any(mode in ("raw", "unread") for mode in modes) else _retried(status)
        return Row(
            name,
            body(content, "application/json", retry_after_ms="10"),
            status=status,
            modes=modes,
            requests=requests,
        )

    for code, status in CODES.items():
        content = {"data": {}, "code": code, "message": f"failed {code}", "requestId": "r-1"}
        yield enveloped(f"HTTP 200 with code {code}", content, status)
        if code in (401, 12001, 12301):
            yield Row(
                f"HTTP 200 with code {code} announced as a stream",
                body(content, SSE),
                modes=STREAM,
                status=None,
            )
            yield Row(
                f"code {code} inside a stream",
                events(CHUNKS[0], b"data: " + json.dumps(content).encode() + b"\n\n"),
                modes=STREAM,
            )
            yield Row(
                f"code {code} in a stream's last event, without the blank line that ends one",
                events(CHUNKS[0], b"data: " + json.dumps(content).encode()),
                modes=STREAM,
            )
    odd: dict[str, tuple[Any, int]] = {
        "code '12001' as text": ({"code": "12001", "message": "m"}, 402),
        "code E_NO_CREDITS": ({"code": "E_NO_CREDITS", "message": "m"}, 400),
        "an empty text for a code": ({"code": "", "message": "m"}, 400),
        "a code of 30 digits": ({"code": 10**30, "message": "m"}, 400),
        "a negative code": ({"code": -1, "message": "m"}, 400),
        "a code that is a list": ({"code": [1], "message": "m"}, 400),
        "a code that is an object": ({"code": {"a": 1}, "message": "m"}, 400),
        "code true": ({"code": True, "message": "m"}, 400),
        "code 12001.0": ({"code": 12001.0, "message": "m"}, 402),
        "code 1e400": (b'{"code": 1e400, "message": "m"}', 400),
        "code NaN": (b'{"code": NaN, "message": "m"}', 400),
        "no message": ({"code": 12001, "data": {}}, 402),
        "an empty message": ({"code": 12001, "message": ""}, 402),
        "message null": ({"code": 12001, "message": None}, 402),
        "a message that is an object": ({"code": 12001, "message": {"zh": "没有"}}, 402),
        "a message of 1 MB": ({"code": 12001, "message": "x" * 1_000_000}, 402),
        "data: null": ({"code": 12001, "message": "m", "data": None}, 402),
        "a waiting time of 5,000 digits": (
            {"code": 10003, "message": f"again after {'9' * 5000} seconds"},
            429,
        ),
        "a waiting time in other digits": ({"code": 12001, "message": "请在１秒后重试"}, 402),
        "a request id with a line end": ({"code": 12001, "message": "m", "requestId": "a\r\nb: c"}, 402),
        "a message with half a character": (b'{"code": 12001, "message": "\\ud83d"}', 402),
    }
    for name, (content, status) in odd.items():
        yield enveloped(f"an envelope with {name}", content, status)
    for name, content in {
        "data: null": {"code": 0, "message": "ok", "data": None},
        "no data": {"code": 0, "message": "ok"},
        "an error in data": {"code": 0, "data": {"error": {"message": "boom", "code": 500}}, "message": "ok"},
        "a text for data": {"code": 0, "data": "nothing", "message": "ok"},
        "an object for data": {"code": 0, "data": {"list": []}, "message": "ok"},
    }.items():
        yield Row(f"an envelope of code 0 with {name}", body(content, "application/json"))
    for name, event in {
        "an error event of plain text": b"event: error\ndata: upstream broke\n\n",
        "an error event of nothing": b"event: error\ndata:\n\n",
        "an error event in JSON": b'event: error\ndata: {"message": "broke"}\n\n',
        "an error in OpenAI's format": b'data: {"error": {"message": "m", "code": "c"}}\n\n',
        "an error that is a string": b'data: {"error": "broke"}\n\n',
        "an empty error": b'data: {"error": {}}\n\n',
        "bytes that are no UTF-8": b"data: \xff\xfe\n\n",
        "no JSON": b"data: {oops\n\n",
    }.items():
        yield Row(f"{name} inside a stream", events(CHUNKS[0], event, DONE), modes=STREAM)
    yield Row(
        "an event of a million characters",
        events(chunk("x" * 1_000_000), CHUNKS[2], DONE),
        modes=STREAM,
        truth="value",
    )
    yield Row("a stream of comments alone", events(b": ping\n\n" * 50), modes=STREAM)
    yield Row("[DONE] and nothing before", events(DONE), modes=STREAM, truth="either")
    yield Row(
        "heartbeats among the chunks",
        events(*(b": ping\n\n" + c for c in CHUNKS), DONE),
        modes=STREAM,
        truth="value",
    )
    yield Row(
        "a chunk of usage alone",
        events(
            *CHUNKS[:2],
            b'data: {"id":"c-1","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}\n\n',
            DONE,
        ),
        modes=STREAM,
        truth="value",
    )


def lists() -> Iterable[Row]:
    def listing(name: str, entries: Any, count: int, **extra: Any) -> Row:
        return Row(
            name,
            body({"code": 0, "message": "ok", "data": entries}, "application/json"),
            modes=LIST,
            truth="value",
            count=count,
            **extra,
        )

    def model(name: str, **fields: Any) -> dict[str, Any]:
        return {"id": name, "name": name, **fields}

    yield listing(
        "a list of 10,000 models",
        [model(f"m-{n}", pricing={"tiers": [{"input": {"text": "1"}}]}) for n in range(10_000)],
        10_000,
        heavy=True,
    )
    yield listing("an empty list", [], 0)
    yield listing("a list with duplicates", [model("m")] * 3, 3)
    yield listing(
        "a list with nameless models",
        [
            model("m"),
            {"label": "x"},
            {"name": ""},
            {"name": None},
            {"name": 5},
            {"name": "  "},
            {"id": "", "name": ""},
        ],
        1,
    )
    yield listing("a list with things that are no models", [model("m"), None, 1, "x", [], True], 1)
    odd_values: list[Any] = [
        None,
        True,
        -1,
        1e300,
        "x",
        "",
        [],
        ["x", None, 1],
        {},
        {"a": {"b": []}},
        [[]],
        [{}],
        "NaN",
    ]
    for name in (
        "label",
        "description",
        "tags",
        "scenes",
        "channel",
        "created",
        "object",
        "creditsScope",
        "inputModalities",
        "outputModalities",
        "pricing",
        "fixedImagePricing",
        "owned_by",
    ):
        yield listing(
            f"a list with wrong types in {name}",
            [model(f"m-{n}", **{name: v}) for n, v in enumerate(odd_values)],
            len(odd_values),
        )
    for name in ("tiers", "price", "originPrice", "originPricing"):
        yield listing(
            f"a list with wrong types in pricing.{name}",
            [model(f"m-{n}", pricing={name: v}) for n, v in enumerate(odd_values)],
            len(odd_values),
        )
    for name in ("maxInputTokens", "input", "output"):
        yield listing(
            f"a list with wrong types in a tier's {name}",
            [model(f"m-{n}", pricing={"tiers": [{name: v}]}) for n, v in enumerate(odd_values)],
            len(odd_values),
        )
    nested: Any = {}
    for _ in range(300):
        nested = {"originPricing": nested}
    yield listing("a list with prices nested 300 levels deep", [model("m", pricing=nested)], 1)
    yield listing("a list with a price of 1E+999999", [model("m", pricing={"price": "1E+999999"})], 1)
    yield Row(
        "a list under another name", body({"code": 0, "models": [model("m")]}, "application/json"), modes=LIST
    )
    yield Row("a bare list of models", body([model("m")], "application/json"), modes=LIST)
    yield Row(
        "a list of OpenAI's",
        body(
            {"object": "list", "data": [{"id": "m-1", "object": "model", "created": 1, "owned_by": "o"}]},
            "application/json",
        ),
        modes=LIST,
        truth="value",
        count=1,
    )


ROWS: list[Row] = [
    *transport(),
    *cuts(),
    *bodies(),
    *headers(),
    *redirects(),
    *statuses(),
    *envelopes(),
    *lists(),
]
assert len({row.name for row in ROWS}) == len(ROWS), "each row has a name of its own"


def answer_to(row: Row, mode: Mode, origins: Origins) -> Callable[[Request], list[Step]]:
    """What the server does for that row: the fault, and afterwards the healthy answer to the good request."""

    def answer(request: Request) -> list[Step]:
        if request.is_good:
            return [reply(COMPLETION)]
        if request.target.endswith("/login"):
            return [reply("<!DOCTYPE html><title>Log in</title>", content_type="text/html")]
        if "/elsewhere/" in request.target:
            return [reply(good(mode), content_type=type_of(mode))]
        return row.answer(mode, origins)

    return answer
