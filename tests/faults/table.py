"""The table of faults: what the server does in each row, and what an honest client makes of it."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any, Literal

import openai

from .server import Close, Hang, Pause, Repeat, Request, Reset, Step, chunked, head, reply

Mode = Literal["completion", "stream", "list", "raw", "unread", "closing", "bytes", "object"]
"""How the client asks.

`completion`, `stream` and `list` are the plain ways; `raw` and `unread` ask for a completion by
`with_raw_response` and `with_streaming_response`; `closing` closes a stream after its third chunk. `bytes` is the
content of a file, `object` an endpoint of the caller's own.
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
    said: str | None = None
    """What the caller reads, as `runner.said_in` puts it, of the value or, in a stream, before the error.

    By default all of the right answer, and nothing before an error.
    """
    code: str | None = None
    """The `code` of the error of this package."""
    words: str = ""
    """What the message of this package's error quotes, white space aside."""
    asked: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """More arguments of the call."""
    heavy: bool = False
    """Run alone: it takes the processor for itself."""

    @property
    def is_slow(self) -> bool:
        """Whether it takes more than a second: it waits for a timeout, or takes the processor."""
        return self.heavy or self.timeout < 4

    def due(self, mode: Mode) -> str:
        """What the caller is to read."""
        if self.said is not None:
            return self.said
        return "" if self.truth == "error" else {"list": "m-1 m-2", "closing": "xxx"}.get(mode, CONTENT)


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
    yield Row("no answer at all", always(Hang), timeout=1.0)
    yield Row(
        "half of the headers, then silence", always(b"HTTP/1.1 200 OK\r\ncontent-ty", Hang), timeout=1.0
    )
    yield Row(
        "headers, then silence",
        lambda mode, _: [reply(content_type=type_of(mode), length=500), Hang],
        timeout=1.0,
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
    yield Row("headers later than the timeout", lambda mode, _: [Pause(3), *right()(mode, _)], timeout=1.0)
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
    both = "你好, wörld"
    yield Row("a stream cut between events", events(some, Close, end=False), modes=STREAM, said=both)
    yield Row(
        "a stream reset between events", events(some, Pause(0.1), Reset, end=False), modes=STREAM, said=both
    )
    yield Row(
        "a stream silent after two events",
        events(some, Hang, end=False),
        modes=STREAM,
        timeout=1.0,
        said=both,
    )
    yield Row("a stream cut inside an event", events(some[:-20], Close, end=False), modes=STREAM, said="你好")
    yield Row(
        "a stream cut inside a UTF-8 character",
        events(CHUNKS[0] + CHUNKS[1][:torn], Close, end=False),
        modes=STREAM,
        said="你好",
    )
    yield Row(
        "a stream cut after its last chunk, before [DONE]",
        events(*CHUNKS, Close, end=False),
        modes=STREAM,
        said=both,
    )
    yield Row(
        "a stream that ends in order between events, half said",
        events(some),
        modes=STREAM,
        said=both,
        words="The stream ended before the answer was complete (chunks so far: 2)",
    )
    yield Row(
        "a stream that ends in order inside an event",
        events(some[:-20]),
        modes=STREAM,
        said="你好",
        words="The stream ended before the answer was complete (chunks so far: 1)",
    )
    yield Row(
        "a stream that ends in order inside a UTF-8 character",
        events(CHUNKS[0] + CHUNKS[1][:torn]),
        modes=STREAM,
        said="你好",
    )
    yield Row("a stream without [DONE]", events(*CHUNKS), modes=STREAM, truth="value")
    yield Row(
        "a stream without [DONE], ended by the close", until_close(*CHUNKS), modes=STREAM, truth="value"
    )
    yield Row(
        "silence after [DONE]",
        events(EVENTS, Hang, end=False),
        modes=STREAM,
        # The SDK 1.x reads on to the end of the stream, so as to use its connection again.
        truth="either" if openai.__version__.startswith("1.") else "value",
        timeout=1.0,
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
            # In a stream, null choices are none, which is no failure.
            modes=CHAT if choices is not None else ("completion",),
        )
    yield Row(
        "choices: [] with nothing said",
        lambda mode, _: [reply({**COMPLETION, "choices": []})],
        modes=("completion",),
        truth="either",
        said="+cost+usage",
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
        "a stream announced and sent where a completion was expected",
        always(reply(EVENTS, content_type=SSE)),
        modes=("completion", "raw", "unread"),
    )
    yield Row(
        "a whole completion where a stream was expected",
        always(reply(COMPLETION)),
        modes=STREAM,
    )
    yield Row(
        "a whole completion where a stream was expected, announced as a stream",
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
    yield Row("an HTML page", body(page, "text/html"), modes=EVERY, words="Check the base URL")
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
    yield Row("307 to another origin, which answers", elsewhere, truth="value", modes=CHAT)
    yield Row(
        "307 of the model list to another origin",
        elsewhere,
        modes=LIST,
        status=307,
        requests=1,
        words="redirects to http://127.0.0.1",
    )
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
    yield Row("400 whose body never comes", always(reply(b"", 400, length=500), Hang), timeout=1.0)
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
    def enveloped(name: str, content: Any, status: int, code: str | None = None, words: str = "") -> Row:
        return Row(
            name,
            body(content, "application/json", retry_after_ms="10"),
            status=status,
            code=code,
            words=words,
            requests=_retried(status),
        )

    for code, status in CODES.items():
        content = {"data": {}, "code": code, "message": f"failed {code}", "requestId": "r-1"}
        words = f"Error code: {status} - failed {code} (AiToEarn code {code}, request id r-1)"
        yield enveloped(f"HTTP 200 with code {code}", content, status, str(code), words)
        if code in (401, 12001, 12301):
            yield Row(
                f"HTTP 200 with code {code} announced as a stream",
                body(content, SSE),
                modes=STREAM,
                words=f"failed {code}",
            )
            yield Row(
                f"code {code} inside a stream",
                events(CHUNKS[0], frame(content)),
                modes=STREAM,
                status=status,
                code=str(code),
                said="你好",
                words=f"failed {code}",
            )
            yield Row(
                f"code {code} in a stream's last event, without the blank line that ends one",
                events(CHUNKS[0], frame(content).rstrip()),
                modes=STREAM,
                status=status,
                code=str(code),
                said="你好",
                words=f"failed {code}",
            )
            yield Row(
                f"code {code} in a stream's only event, without the blank line that ends one",
                events(b"event: error\n" + frame(content).rstrip()),
                modes=STREAM,
                status=status,
                code=str(code),
                words=f"failed {code}",
            )
    for extra in ({"type": "error"}, {"object": "error"}, {"id": "1"}):
        for data in ({}, None):
            content = {"data": data, "code": 12301, "message": "model is away", **extra}
            name = f"an envelope with data {data} and {extra}"
            yield enveloped(name, content, 502, "12301", "502 - model is away (AiToEarn code 12301)")
    for code, status in {429: 429, "bad": 400, None: 400}.items():
        content = {"error": {"message": "no", "code": code}}
        yield enveloped(f"HTTP 200 with an error of OpenAI's of code {code}", content, status, words="no")
    odd: dict[str, tuple[Any, ...]] = {
        "code '12001' as text": ({"code": "12001", "message": "m"}, 200),
        "code E_NO_CREDITS": ({"code": "E_NO_CREDITS", "message": "m"}, 200),
        "a code of 30 digits": ({"code": 10**30, "message": "m"}, 400, str(10**30)),
        "a negative code": ({"code": -1, "message": "m"}, 400, "-1"),
        "a code that is a list": ({"code": [1], "message": "m"}, 200),
        "code true": ({"code": True, "message": "m"}, 200),
        "code 1e400": (b'{"code": 1e400, "message": "m"}', 200),
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
    for name, (content, *due) in odd.items():
        yield enveloped(f"an envelope with {name}", content, *due)
    for name, content in {
        "data: null": {"code": 0, "message": "ok", "data": None},
        "no data": {"code": 0, "message": "ok"},
        "an error in data": {"code": 0, "data": {"error": {"message": "boom", "code": 500}}, "message": "ok"},
        "a text for data": {"code": 0, "data": "nothing", "message": "ok"},
        "an object for data": {"code": 0, "data": {"list": []}, "message": "ok"},
    }.items():
        yield Row(f"an envelope of code 0 with {name}", body(content, "application/json"))


def frame(data: Any) -> bytes:
    """An event of that JSON."""
    return b"data: " + json.dumps(data).encode() + b"\n\n"


LINE_ENDS = {"LF": b"\n", "CRLF": b"\r\n", "CR": b"\r"}


def streams() -> Iterable[Row]:
    """What is well formed reaches the caller, and what is a failure reaches it in the server's words."""
    yield Row(
        "an event of a million characters",
        events(chunk("x" * 1_000_000), CHUNKS[2], DONE),
        modes=STREAM,
        truth="value",
        said="x" * 1_000_000,
    )
    yield Row("[DONE] and nothing before", events(DONE), modes=STREAM, truth="either", said="")
    keepalives = {
        "a comment": b": ping\n\n",
        "a comment after an id:": b": ping\n\n",
        "retry: alone": b"retry: 3000\n\n",
        "id: alone": b"id: 7\n\n",
        "id: and a comment": b"id: 7\n: ping\n\n",
        "an event without data": b"event: ping\n\n",
        "an event with empty data": b"event: ping\ndata:\n\n",
        "empty data": b"data:\n\n",
        "data without a colon": b"data\n\n",
        "data of spaces": b"data:  \n\n",
        "an event with an id: and no data": b"event: ping\nid: 7\n\n",
        "blank lines": b"\n\n\n",
    }
    for end_name, end in LINE_ENDS.items():
        for name, keepalive in keepalives.items():
            first, second, third = CHUNKS
            if "after an id:" in name:
                first = b"id: 1\n" + first
            pieces = [keepalive, first, keepalive, second, keepalive, third, keepalive, DONE]
            yield Row(
                f"{name} before, among and after the chunks, in {end_name}",
                events(*(piece.replace(b"\n", end) for piece in pieces)),
                modes=STREAM,
                truth="value",
            )
    yield Row("text in the place of a stream", events(b"upstream timed out"), modes=STREAM)
    yield Row(
        "a stream of keep-alives alone", events(*keepalives.values(), frame({"type": "ping"})), modes=STREAM
    )
    mark = b"\xef\xbb\xbf"
    for name, start in {
        "a byte order mark": [mark + CHUNKS[0]],
        "a byte order mark in pieces": [mark[:1], mark[1:], CHUNKS[0]],
        "a byte order mark and a comment": [mark + b": hello\n\n" + CHUNKS[0]],
        "a byte order mark and retry:": [mark + b"retry: 5\n\n", CHUNKS[0]],
    }.items():
        yield Row(
            f"{name} at the start of a stream", events(*start, *CHUNKS[1:], DONE), modes=STREAM, truth="value"
        )

    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    begun = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    for name, (data, said) in {
        "usage and choices: []": ({**begun, "choices": [], "usage": usage}, "+usage"),
        "usage and choices: null": ({**begun, "choices": None, "usage": usage}, "+usage"),
        "usage and no choices": ({**begun, "usage": usage}, "+usage"),
        "usage alone": ({"usage": usage}, "+usage"),
        "cost alone": ({"cost": "0.1"}, "+cost"),
        "nothing but choices: null": ({**begun, "choices": None}, ""),
        "choices: null alone": ({"choices": None}, ""),
        "choices: [] and a field of another service": (
            {"choices": [], "prompt_filter_results": [1]},
            "+prompt_filter_results",
        ),
        "null": (None, ""),
        "nothing at all": ({}, ""),
        "a ping": ({"type": "ping"}, ""),
        "an empty error": ({"error": {}}, ""),
        "error: null": ({"error": None}, ""),
    }.items():
        pieces = [CHUNKS[0], frame(data), *CHUNKS[1:]]
        yield Row(
            f"a frame of {name} among the chunks",
            events(*pieces, DONE),
            modes=STREAM,
            truth="value",
            said=f"你好{said}, wörld",
        )
        yield Row(
            f"a frame of {name} after the chunks, with the name of a ping",
            events(*CHUNKS, b"event: ping\n" + frame(data), DONE),
            modes=STREAM,
            truth="value",
            said=f"{CONTENT}{said}",
        )
    yield Row(
        "an event of another name with text among the chunks",
        events(CHUNKS[0], b"event: heartbeat\ndata: 2026-11-25\n\n", *CHUNKS[1:], DONE),
        modes=STREAM,
        truth="value",
    )
    yield Row(
        "usage and no more",
        events(frame({**begun, "choices": None, "usage": usage}), DONE),
        modes=STREAM,
        said="+usage",
    )
    yield Row(
        "a failure after [DONE]",
        events(EVENTS + frame({"code": 12301, "message": "late"})),
        modes=STREAM,
        truth="value",
    )
    yield Row("a frame of {} and no more", events(frame({}), frame({"type": "ping"})), modes=STREAM)

    for name, (event, words) in {
        "an error event of text": (b"event: error\ndata: upstream broke\n\n", "upstream broke"),
        "an error event in Chinese": ("event: error\ndata: 没有\n\n".encode(), "没有"),
        "an error event of a list": (b"event: error\ndata: [1]\n\n", "[1]"),
        "an error event of text over several lines": (
            b"event: error\ndata: upstream\ndata: broke\n\n",
            "upstream broke",
        ),
        "an error event in JSON": (b'event: error\ndata: {"message": "broke"}\n\n', "broke"),
        "an error event in JSON over several lines": (
            b'event: error\ndata: {"message":\ndata: "broke"}\n\n',
            "broke",
        ),
        "an error event in OpenAI's format": (
            b'event: error\ndata: {"error": {"message": "broke"}}\n\n',
            "broke",
        ),
        "an error in OpenAI's format": (frame({"error": {"message": "broke", "code": "c"}}), "broke"),
        "bytes that are no UTF-8": (b"data: \xff\xfe\n\n", "UTF-8"),
        "no JSON": (b"data: {oops\n\n", "{oops"),
        "a list": (b"data: [1]\n\n", ""),
        "a number": (b"data: 5\n\n", ""),
        "an envelope over several lines": (b'data: {"code": 12301,\ndata: "message": "broke"}\n\n', "broke"),
        "an envelope without data:": (b'{"code": 12001, "message": "no credits"}\n\n', "no credits"),
    }.items():
        yield Row(
            f"{name} inside a stream",
            events(CHUNKS[0], event, DONE),
            modes=STREAM,
            said="你好",
            words=words,
        )
        if event.startswith(b"event: error") or "several" in name:
            for end_name, end in LINE_ENDS.items() if "several" in name else [("LF", b"\n")]:
                for rest, at_end in {"a line end": end, "nothing": b""}.items():
                    yield Row(
                        f"{name} at the end of a stream, with {rest} after it, in {end_name}",
                        events(CHUNKS[0].replace(b"\n", end), event.rstrip().replace(b"\n", end) + at_end),
                        modes=STREAM,
                        said="你好",
                        words=words,
                    )
    for name, (rest, words) in {
        "text": (b"upstream timed out", "upstream timed out"),
        "text in Chinese": ("上游超时".encode(), "上游超时"),
        "an indented envelope": (
            b'{\n  "code": 12001,\n  "message": "no credits"\n}',
            "no credits (AiToEarn code 12001)",
        ),
        "an envelope after a space": (b' {"code": 12001, "message": "no credits"}', "no credits"),
        "an object with a detail": (b'{"detail": "broke"}', "broke"),
        "a field with another name": (b'error: {"message": "broke"}', "broke"),
        "an HTML page": (b"<html><h1>502 Bad Gateway</h1></html>", ""),
        "the beginning of a line": (b"dat", ""),
    }.items():
        for end_name, end in LINE_ENDS.items():
            ends = {"and nothing after it": b"", "and blank lines": end * 2}
            if "field" in name or "indented" in name:
                ends["and then [DONE]"] = end * 2 + b"data: [DONE]" + end * 2
            for how, after in ends.items():
                rest_ended = rest.replace(b"\n", end) + after
                yield Row(
                    f"{name} in place of the rest of a stream, {how}, in {end_name}",
                    events(CHUNKS[0].replace(b"\n", end), rest_ended[:5], rest_ended[5:] or b" "),
                    modes=STREAM,
                    said="你好",
                    words=words,
                )
    for named in (b"", b"event: error\n"):
        yield Row(
            f"a failure with a type of its own inside a stream, {'named' if named else 'without a name'}",
            events(CHUNKS[0], named + frame({"type": "rate_limit", "code": 429, "message": "slow down"})),
            modes=STREAM,
            status=429,
            said="你好",
            words="slow down",
        )
    for name, event in {"nothing": b"event: error", "empty data": b"event: error\ndata:\n\n"}.items():
        yield Row(
            f"an error event with {name} at the end of a stream",
            events(CHUNKS[0], event),
            modes=STREAM,
            said="你好",
        )


def refusals() -> Iterable[Row]:
    """Failures with HTTP 200 in other shapes than the service's, and right answers that look like them."""
    for name, content in {
        "an object named error": {"object": "error", "message": "model is away", "type": "t", "code": 400},
        "base_resp": {"base_resp": {"status_code": 1008, "status_msg": "model is away"}},
        "base_resp beside null choices": {
            "id": "c-1",
            "choices": None,
            "base_resp": {"status_code": 1008, "status_msg": "model is away"},
        },
        "success: false": {"success": False, "message": "model is away"},
        "success: false and msg": {"success": False, "code": 0, "msg": "model is away"},
        "an error of text": {"error": "model is away"},
        "an error of text beside an id": {"id": "c-1", "error": "model is away"},
        "an error with a reason": {"error": {"code": 1, "reason": "model is away"}},
        "a type of error": {"type": "error", "message": "model is away"},
        "a status of failed": {"status": "failed", "reason": "model is away"},
        "a status of Error": {"status": "Error", "message": "model is away"},
        "a statusCode": {"statusCode": 502, "message": "model is away", "error": "Bad Gateway"},
        "errors": {"errors": ["model is away"]},
        "error_code": {"error_code": 18, "error_msg": "model is away"},
        "a message alone": {"message": "model is away"},
        "detail beside no choices": {"id": "c-1", "choices": [], "detail": "model is away"},
        "an error beside a choice": {
            "id": "c-1",
            "choices": [{"index": 0, "message": {"content": ""}, "delta": {}, "finish_reason": "error"}],
            "error": {"code": "gone", "message": "model is away"},
        },
        "detail": {"detail": "model is away"},
        "a list for detail": {"detail": [{"loc": ["body"], "msg": "model is away", "type": "t"}]},
    }.items():
        yield Row(
            f"{name} for an answer", body(content, "application/json"), modes=EVERY, words="model is away"
        )
        yield Row(
            f"{name} inside a stream",
            events(CHUNKS[0], frame(content)),
            modes=STREAM,
            said="你好"
            + "+base_resp" * (name == "base_resp beside null choices")
            + "+detail" * ("choices" in name and "detail" in name),
            words="model is away",
        )
    for name, choices in {"a text": "model is away", "a list of text": ["model is away"]}.items():
        yield Row(
            f"choices that are {name} inside a stream",
            events(CHUNKS[0], frame({"choices": choices})),
            modes=STREAM,
            said="你好",
            words="model is away",
        )
    for name, extra in {
        "error: null": {"error": None},
        "error: {}": {"error": {}},
        "code: 0": {"code": 0},
        "success: true": {"success": True},
        "base_resp of success": {"base_resp": {"status_code": 0, "status_msg": "success"}},
        "detail: null": {"detail": None},
    }.items():
        yield Row(
            f"a right answer with {name}",
            lambda mode, origins, extra=extra: (
                events(*(_with(piece, extra) for piece in CHUNKS), DONE)(mode, origins)
                if mode == "stream"
                else [reply({**COMPLETION, **extra})]
            ),
            modes=("completion", "raw", "unread", "stream"),
            truth="value",
        )

    broken = {"index": 0, "finish_reason": "error", "error": {"code": 502, "message": "provider died"}}
    head_of = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m"}
    for name, choice in {
        "a failure": broken,
        "a failure of text": {**broken, "error": "provider died"},
        "a failure with a code in words": {**broken, "error": {"code": "gone", "message": "provider died"}},
        "a failure with a code that says when": {
            **broken,
            "error": {"code": 429, "message": "provider died"},
        },
        "a failure without words": {"index": 0, "finish_reason": "error"},
        "a failure in Zhipu's word": {"index": 0, "finish_reason": "network_error"},
        "a failure in DeepSeek's words": {"index": 0, "finish_reason": "insufficient_system_resource"},
        "a failure in vLLM's word": {"index": 0, "finish_reason": "abort"},
        "a failure at the provider's account": {"error": {"code": 401, "message": "provider died"}},
    }.items():
        due = {
            "words": "provider died" if "error" in choice else "",
            "status": 429 if "when" in name else 502,
        }
        whole = {**head_of, "choices": [{"message": {"role": "assistant", "content": ""}, **choice}]}
        yield Row(
            f"{name} inside a choice",
            body(whole, "application/json", retry_after_ms="10"),
            modes=("completion", "raw", "unread"),
            **due,
        )
        part = {
            **head_of,
            "object": "chat.completion.chunk",
            "choices": [{"delta": {"content": ""}, **choice}],
        }
        part["choices"][0].pop("message", None)
        yield Row(
            f"{name} inside a choice of a stream",
            events(CHUNKS[0], frame(part), DONE),
            modes=STREAM,
            said="你好",
            **due,
        )
    yield Row(
        "error: null inside a choice",
        body({**COMPLETION, "choices": [{**COMPLETION["choices"][0], "error": None}]}, "application/json"),
        modes=("completion", "raw"),
        truth="value",
    )

    away = {"data": {}, "code": 12301, "message": "model is away"}
    for name, (content, content_type) in {
        'the message "choices"': ({**away, "message": "choices"}, "application/json"),
        "null choices in its data": ({**away, "data": {"choices": None}}, "application/json"),
        "choices in its data": ({**away, "data": {"choices": []}}, "application/json"),
        "the type text/plain": (away, "text/plain"),
        "the type text/event-stream": (away, SSE),
        "no type": (away, None),
    }.items():
        yield Row(
            f"an envelope worth another try with {name}",
            body(content, content_type, retry_after_ms="10"),
            modes=("completion", "list") if "type" in name else ALL,
            status=502,
            requests=2,
            words=content["message"],
        )
    schema = {"type": "object", "properties": {"stream": {"const": True}}, "default": {"stream": True}}
    yield Row(
        'an envelope of no stated length after a request with "stream": true in a schema',
        lambda mode, _: [
            head(transfer_encoding="chunked", retry_after_ms="10"),
            chunked(json.dumps(away).encode()),
        ],
        modes=("completion", "raw"),
        status=502,
        requests=2,
        words="model is away",
        asked={"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]},
    )


def _with(event: bytes, extra: dict[str, Any]) -> bytes:
    return frame({**json.loads(event.removeprefix(b"data: ")), **extra})


def lists() -> Iterable[Row]:
    def listing(name: str, entries: Any, said: str, **extra: Any) -> Row:
        return Row(
            name,
            body({"code": 0, "message": "ok", "data": entries}, "application/json"),
            modes=LIST,
            truth="value",
            said=said,
            **extra,
        )

    def model(name: str, **fields: Any) -> dict[str, Any]:
        return {"id": name, "name": name, **fields}

    yield listing(
        "a list of 10,000 models",
        [model(f"m-{n}", pricing={"tiers": [{"input": {"text": "1"}}]}) for n in range(10_000)],
        " ".join(f"m-{n}" for n in range(10_000)),
        heavy=True,
    )
    yield listing("an empty list", [], "")
    yield listing("a list with duplicates", [model("m")] * 3, "m m m")
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
        "m",
    )
    yield listing("a list with things that are no models", [model("m"), None, 1, "x", [], True], "m")
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
            " ".join(f"m-{n}" for n in range(len(odd_values))),
        )
    for name in ("tiers", "price", "originPrice", "originPricing"):
        yield listing(
            f"a list with wrong types in pricing.{name}",
            [model(f"m-{n}", pricing={name: v}) for n, v in enumerate(odd_values)],
            " ".join(f"m-{n}" for n in range(len(odd_values))),
        )
    for name in ("maxInputTokens", "input", "output"):
        yield listing(
            f"a list with wrong types in a tier's {name}",
            [model(f"m-{n}", pricing={"tiers": [{name: v}]}) for n, v in enumerate(odd_values)],
            " ".join(f"m-{n}" for n in range(len(odd_values))),
        )
    nested: Any = {}
    for _ in range(300):
        nested = {"originPricing": nested}
    yield listing("a list with prices nested 300 levels deep", [model("m", pricing=nested)], "m")
    yield listing("a list with a price of 1E+999999", [model("m", pricing={"price": "1E+999999"})], "m")
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
        said="m-1",
    )


def right_answers() -> Iterable[Row]:
    """What other servers have beside an answer, or in the place of a part of it."""
    whole = COMPLETION["choices"][0]
    died = {"code": 502, "message": "provider died"}
    nothing = {"role": "assistant", "content": ""}
    failed = {"index": 1, "finish_reason": "error", "message": nothing, "error": died}
    filtered = {
        "index": 1,
        "finish_reason": "content_filter",
        "content_filter_results": {"hate": {"filtered": True}},
    }
    for name, (extra, said) in {
        "an error that says ok": ({"error": {"code": 0, "message": "ok"}}, CONTENT),
        "an error that says none": ({"error": "none"}, CONTENT),
        "an error beside the text": ({"error": died}, CONTENT),
        "code 1 and success": ({"code": 1, "message": "success"}, CONTENT),
        "code 200 and success": ({"code": 200, "message": "success", "data": None}, CONTENT),
        "finish_reason abort after some text": ({"choices": [{**whole, "finish_reason": "abort"}]}, CONTENT),
        "an error after some text": (
            {"choices": [{**whole, "finish_reason": "error", "error": died}]},
            CONTENT,
        ),
        "one of two choices failed": ({"choices": [whole, failed]}, CONTENT),
        "one of two choices filtered": ({"choices": [whole, filtered]}, CONTENT),
        "the only choice filtered": ({"choices": [filtered]}, ""),
        "the message of a filtered choice null": ({"choices": [{**filtered, "message": None}]}, ""),
        "tool calls and finish_reason error": (
            {
                "choices": [
                    {**whole, "finish_reason": "error", "message": {**nothing, "tool_calls": [{"id": "t"}]}}
                ]
            },
            "",
        ),
        "choices: [] and usage": ({"choices": []}, "+cost+usage"),
    }.items():
        yield Row(
            f"a right answer with {name}",
            body({**COMPLETION, **extra}, "application/json"),
            modes=("completion", "raw", "unread"),
            truth="value",
            said=said,
        )
    usage = {"id": "c-1", "choices": [], "usage": {"total_tokens": 2}}
    for name, (pieces, said) in {
        "only a finish_reason": (CHUNKS, CONTENT),
        "only [DONE]": ([*CHUNKS[:2], DONE], CONTENT),
        "[DONE] without a blank line": ([*CHUNKS[:2], DONE.strip()], CONTENT),
        "events whose name ends in failed": ([b"event: step.failed\n" + piece for piece in CHUNKS], CONTENT),
        "events that are called message.error": (
            [b"event: message.error\n" + piece for piece in CHUNKS],
            CONTENT,
        ),
        "a message beside choices: [] and usage": (
            [*CHUNKS[:2], frame({**usage, "message": "ok"}), DONE],
            f"{CONTENT}+message+usage",
        ),
        "detail beside choices: [] and usage": (
            [*CHUNKS[:2], frame({**usage, "detail": {"cached": 1}}), DONE],
            f"{CONTENT}+detail+usage",
        ),
        "an error that says nothing in each chunk": (
            [_with(piece, {"error": {"code": None}}) for piece in CHUNKS],
            CONTENT,
        ),
        "a page after the finish_reason": ([*CHUNKS, b"<html>502 Bad Gateway</html>\n"], CONTENT),
    }.items():
        yield Row(f"a right stream with {name}", events(*pieces), modes=STREAM, truth="value", said=said)
    for name, content in {
        "code in words": {"code": "US"},
        "a number for a code": {"code": 7},
        "code and message around its data": {"code": 1, "message": "success", "data": [1]},
        "an error": {"error": {"message": "mine", "code": 500}},
        "a detail": {"detail": "mine"},
        "a status of failed": {"status": "failed"},
    }.items():
        yield Row(
            f"an answer of one's own with {name}",
            body(content, "application/json"),
            modes=("object", "bytes"),
            truth="value",
            said=json.dumps(content),
        )
    yield Row(
        "the envelope for an answer of one's own",
        body({"code": 12001, "message": "no"}, "application/json"),
        modes=("object",),
        status=402,
    )
    envelope = {"code": 12001, "message": "no", "data": {}}
    yield Row(
        "a file that is an envelope",
        body(envelope, "application/json"),
        modes=("bytes",),
        truth="value",
        said=json.dumps(envelope),
    )


ROWS: list[Row] = [
    *transport(),
    *cuts(),
    *bodies(),
    *headers(),
    *redirects(),
    *statuses(),
    *envelopes(),
    *streams(),
    *refusals(),
    *right_answers(),
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
