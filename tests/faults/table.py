"""The table of faults: what the server does in each row, and what an honest client makes of it."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
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

Modes = tuple[Mode, ...]
CHAT: Modes = ("completion", "stream")
ALL: Modes = ("completion", "stream", "list")
ONE: Modes = ("completion", "raw", "unread")
WHOLE: Modes = (*ONE, "list")
EVERY: Modes = (*ONE, "stream", "list")
STREAM: Modes = ("stream",)
LIST: Modes = ("list",)

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
    modes: Modes = ALL
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


BEGUN = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def chunk(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text} if finish is None else {}, "finish_reason": finish}
    return b"data: " + json.dumps({**BEGUN, "choices": [choice]}, ensure_ascii=False).encode() + b"\n\n"


def frame(data: Any) -> bytes:
    """An event of that JSON."""
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def with_fields(event: bytes, extra: dict[str, Any]) -> bytes:
    return frame({**json.loads(event.removeprefix(b"data: ")), **extra})


DONE = b"data: [DONE]\n\n"
CHUNKS = [chunk("你好"), chunk(", wörld"), chunk("", "stop")]
EVENTS = b"".join([*CHUNKS, DONE])
SSE = "text/event-stream"


def good(mode: Mode) -> bytes:
    """The body of a right answer."""
    content = json.dumps(MODELS if mode == "list" else COMPLETION, ensure_ascii=False).encode()
    return EVENTS if mode in ("stream", "closing") else content


def type_of(mode: Mode) -> str:
    return SSE if mode in ("stream", "closing") else "application/json"


# Ways to write a row.


def always(*steps: Step) -> Answer:
    return lambda mode, origins: list(steps)


def right(make: Callable[[bytes, str], list[Step]]) -> Answer:
    """What is made of the right body and its content type."""
    return lambda mode, origins: make(good(mode), type_of(mode))


def body(content: Any, content_type: str | None = "", **headers: str) -> Answer:
    """That body in one piece, of the type that was asked for unless one is given."""
    return right(
        lambda _, kind: [reply(content, content_type=kind if content_type == "" else content_type, **headers)]
    )


def changed(change: Callable[[bytes], bytes] = bytes, **headers: str) -> Answer:
    """The right body, changed, with other headers."""
    return right(lambda content, kind: [reply(change(content), content_type=kind, **headers)])


def as_asked(content: dict[str, Any], *pieces: bytes) -> Answer:
    """The one for a completion, the pieces for a stream."""
    return lambda mode, origins: events(*pieces)(mode, origins) if mode == "stream" else [reply(content)]


def events(*pieces: Step, end: bool = True, content_type: str | None = SSE) -> Answer:
    """A chunked event stream: bytes are its chunks."""
    steps: list[Step] = [head(content_type=content_type, transfer_encoding="chunked")]
    for piece in pieces:
        if isinstance(piece, Repeat):
            steps.append(replace(piece, piece=chunked(piece.piece, end=False)))
        else:
            steps.append(chunked(piece, end=False) if isinstance(piece, bytes) else piece)
    return always(*steps, *([chunked()] if end else []))


def dripping(content: bytes, size: int, pause: float) -> Iterator[Step]:
    for start in range(0, len(content), size):
        yield from (content[start : start + size], Pause(pause))


# The rows. A line is a row, or what is different in it: names of tables say where the line goes.
# fmt: off


def transport() -> Iterable[Row]:
    silent = right(lambda content, kind: [reply(content_type=kind, length=500), Hang])
    reset = right(lambda content, kind: [reply(content_type=kind, length=500), Pause(0.1), Reset])
    first = right(lambda content, kind: [
        *dripping(reply(content, content_type=kind)[:60], 1, 0.01), reply(content, content_type=kind)[60:]])
    slow = right(lambda content, kind: [
        head(content_type=kind, content_length=str(len(content))), *dripping(content, 1 + len(content) // 25, 0.06)])
    late = right(lambda content, kind: [Pause(3), reply(content, content_type=kind)])
    hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n"
    yield Row("the connection is refused", always(), refused=True)
    yield Row("a reset before the headers", always(Reset))
    yield Row("an orderly close before the headers", always(Close))
    yield Row("a reset after the headers", reset)
    yield Row("no answer at all", always(Hang), timeout=1.0)
    yield Row("half of the headers, then silence", always(b"HTTP/1.1 200 OK\r\ncontent-ty", Hang), timeout=1.0)
    yield Row("headers, then silence", silent, timeout=1.0)
    yield Row("headers a byte at a time", first, truth="value")
    yield Row("headers later than the timeout", late, timeout=1.0)
    yield Row("a body a few bytes at a time, in all slower than the timeout", slow, truth="value", timeout=1.2)
    yield Row("bytes that are not HTTP", always(b"\x00\x01\x02 SSH-2.0-OpenSSH_9.9\r\n\r\n", Close))
    yield Row("a status line with no number", always(b"HTTP/1.1 OK fine\r\n\r\n", Close))
    yield Row("a content length that is not a number", always(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", Close))
    yield Row("headers of 200 kB", changed(x_long="x" * 200_000), truth="either")
    yield Row("100 Continue and 103 Early Hints before the answer",
              right(lambda content, kind: [hints, reply(content, content_type=kind)]), truth="value")


def cuts() -> Iterable[Row]:
    some, torn = CHUNKS[0] + CHUNKS[1], CHUNKS[0] + CHUNKS[1][: CHUNKS[1].index("ö".encode()) + 1]
    short = right(lambda content, kind: [reply(content[:40], content_type=kind, length=len(content)), Close])
    unended = right(lambda content, kind: [
        head(content_type=kind, transfer_encoding="chunked"), chunked(content[:40], end=False), Close])
    closed = right(lambda content, _: [head(content_type="application/json", connection="close"), content[:40], Close])
    yield Row("a body shorter than its content length", short, modes=EVERY)
    yield Row("a chunked body cut short", unended, modes=EVERY)
    yield Row("a body cut short where the close is its end", closed, modes=WHOLE)
    yield Row("JSON that breaks off", right(lambda content, _: [reply(content[:40])]), modes=WHOLE)
    for name, answer, said, more in [
        ("cut between events", events(some, Close, end=False), CONTENT, {}),
        ("reset between events", events(some, Pause(0.1), Reset, end=False), CONTENT, {}),
        ("silent after two events", events(some, Hang, end=False), CONTENT, {"timeout": 1.0}),
        ("cut inside an event", events(some[:-20], Close, end=False), "你好", {}),
        ("cut inside a UTF-8 character", events(torn, Close, end=False), "你好", {}),
        ("cut after its last chunk, before [DONE]", events(*CHUNKS, Close, end=False), CONTENT, {}),
        ("that ends in order between events, half said", events(some), CONTENT, {"words": f"{UNDONE} 2)"}),
        ("that ends in order inside an event", events(some[:-20]), "你好", {"words": f"{UNDONE} 1)"}),
        ("that ends in order inside a UTF-8 character", events(torn), "你好", {}),
    ]:
        yield Row(f"a stream {name}", answer, modes=STREAM, said=said, **more)
    # An event stream whose end is that of the connection: nothing tells the end from a cut.
    ended = always(head(content_type=SSE, connection="close"), *CHUNKS, Close)
    # The SDK 1.x reads on to the end of the stream, so as to use its connection again.
    silence: Truth = "either" if openai.__version__.startswith("1.") else "value"
    yield Row("a stream without [DONE]", events(*CHUNKS), modes=STREAM, truth="value")
    yield Row("a stream without [DONE], ended by the close", ended, modes=STREAM, truth="value")
    yield Row("silence after [DONE]", events(EVENTS, Hang, end=False), modes=STREAM, truth=silence, timeout=1.0)
    yield Row("events after [DONE]", events(EVENTS + CHUNKS[0]), modes=STREAM, truth="value")
    for kind in (SSE, "application/json", None):
        endless = events(Repeat(chunk("x"), 0.01), end=False, content_type=kind)
        yield Row(f"a stream without end, {kind or 'without a type'}, closed by the caller",
                  endless, modes=("closing",), truth="value", timeout=1.0)


UNDONE = "The stream ended before the answer was complete (chunks so far:"


def bodies() -> Iterable[Row]:
    for name, content in {
        "an empty body": b"",
        "white space": b" \r\n\t ",
        "null": b"null",
        "true": b"true",
        "a number": b"7",
        "NaN": b"NaN",
        "a number of 5,000 digits": b"7" * 5000,
        "a string": b'"hello"',
        "a list": b"[]",
        "a list of completions": json.dumps([COMPLETION]).encode(),
        "an empty object": b"{}",
        "two objects": b'{"a": 1}{"b": 2}',
        "NUL bytes": b"\x00" * 64,
        "a completion in the service's envelope": json.dumps({"code": 0, "message": "ok", "data": COMPLETION}).encode(),
    }.items():
        yield Row(f"{name} for an answer", body(content), modes=EVERY)
        # A line end would end the event.
        yield Row(f"{name} for an event", events(b"data: " + content.strip() + b"\n\n"), modes=STREAM)
    deep = b"[" * 100_000 + b"]" * 100_000
    inside = body(b'{"choices": [], "x": ' + deep + b"}", "application/json")
    enveloped = body(b'{"code": 12001, "data": ' + deep + b"}")
    large = always(reply({**COMPLETION, "padding": "x" * 50_000_000}))
    levels = "100,000 levels of nesting"
    yield Row(levels, body(deep), modes=("completion", "raw"), heavy=True)
    yield Row(f"{levels} inside a completion", inside, modes=CHAT, heavy=True)
    yield Row(f"{levels} inside an envelope", enveloped, modes=("completion", "list"), heavy=True)
    yield Row(f"{levels} in an event", events(b"data: " + deep + b"\n\n"), modes=STREAM, heavy=True)
    yield Row(f"{levels} with status 400", always(reply(deep, status=400)), modes=STREAM, status=400, heavy=True)
    yield Row("50 MB of JSON", large, modes=("completion",), truth="value", heavy=True, timeout=30)
    for name, choices in {
        "null": None,
        "a string": "none",
        "a number": 5,
        "an object": {"message": {"content": "x"}},
        "a list of null": [None],
        "a list of strings": ["x"],
    }.items():
        odd = {**COMPLETION, "choices": choices}
        # In a stream, a frame of null choices is passed over.
        yield Row(f"choices that are {name}", as_asked(odd, frame(odd), DONE),
                  modes=CHAT if choices is not None else ("completion",))
    yield Row("choices: [] with nothing said", always(reply({**COMPLETION, "choices": []})),
              modes=("completion",), truth="either", said="+cost+usage")
    beside = {"id": "c-1", "object": "chat.completion", "choices": None, "error": {"message": "m", "code": 429}}
    yield Row("null choices with an error beside them", body(beside, "application/json"), modes=CHAT)
    overloaded = {"id": "c-1", "error": {"message": "overloaded", "code": 529}}
    yield Row("an error of OpenAI's with an id beside it", body(overloaded, "application/json"), modes=CHAT)


def headers() -> Iterable[Row]:
    for kind in ("text/plain", "application/octet-stream", "application/x-unknown", "nonsense", "", None):
        shown = "no content type" if kind is None else f"content type {kind!r}"
        answer = right(lambda content, _, kind=kind: [reply(content, content_type=kind)])  # type: ignore[misc]
        yield Row(f"{shown} on a right answer", answer, truth="value", modes=EVERY)
    whole = "a whole completion where a stream was expected"
    as_json = always(reply(EVENTS, content_type="application/json"))
    yield Row("JSON announced, a stream sent", as_json, modes=STREAM, truth="value")
    yield Row("a stream announced and sent where a completion was expected", body(EVENTS, SSE), modes=ONE)
    yield Row(whole, always(reply(COMPLETION)), modes=STREAM)
    yield Row(f"{whole}, announced as a stream", body(COMPLETION, SSE), modes=STREAM)
    refused, envelope = {"error": {"message": "no"}}, {"code": 12001, "message": "no credits"}
    for charset in ("utf-16", "ascii", "no-such-charset", "zlib"):  # The last is a codec of Python's, but not of text.
        name, json_type, page = f"charset={charset}", f"application/json; charset={charset}", f"text/html; charset={charset}"
        answer = right(lambda content, kind, c=charset: [reply(content, content_type=f"{kind}; charset={c}")])  # type: ignore[misc]
        nowhere = always(reply("x", status=301, content_type=json_type))
        yield Row(f"{name} on a right answer", answer, truth="value", modes=EVERY)
        yield Row(f"{name} on a page", body("<p>hello", page), modes=EVERY)
        yield Row(f"{name} on a 400", always(reply(refused, status=400, content_type=page)), status=400)
        yield Row(f"{name} on a 301 that leads nowhere", nowhere, status=301)
        yield Row(f"{name} on an envelope", body(envelope, json_type), status=402)
    packed = json.dumps(envelope).encode()
    page = "<!DOCTYPE html><html><title>Log in</title>"
    torn = changed(lambda content: gzip.compress(content)[:-20], content_encoding="gzip")
    spoilt = changed(lambda content: gzip.compress(content)[:-8] + b"x" * 8, content_encoding="gzip")
    for name, answer, more in [
        ("a body in utf-16", changed(lambda content: content.decode().encode("utf-16")), {"truth": "either"}),
        ("a body in gb18030", changed(lambda content: content.decode().encode("gb18030")), {"truth": "either"}),
        ("a byte order mark", changed(b"\xef\xbb\xbf".__add__), {"truth": "value"}),
        ("a failure with a byte order mark", body(b"\xef\xbb\xbf" + packed), {"status": 402}),
        ("gzip", changed(gzip.compress, content_encoding="gzip"), {"truth": "value"}),
        ("a failure in gzip", body(gzip.compress(packed), content_encoding="gzip"), {"status": 402}),
        ("gzip that is not gzip", changed(content_encoding="gzip"), {}),
        ("gzip cut short", torn, {"modes": WHOLE}),
        ("gzip cut short, its length told as if it were whole", torn, {"modes": STREAM, "truth": "either"}),
        ("gzip with a bad end", spoilt, {}),
        ("an unknown content encoding", changed(content_encoding="x-none"), {"truth": "either"}),
        ("an HTML page", body(page, "text/html"), {"words": "Check the base URL"}),
        ("an HTML page announced as what was asked for", body(page), {}),
        ("an HTML page without a type", body(page, None), {}),
        ("204 and nothing", always(b"HTTP/1.1 204 No Content\r\n\r\n"), {}),
        ("205 and nothing", always(reply(status=205)), {"modes": ALL}),
        ("304", always(b"HTTP/1.1 304 Not Modified\r\n\r\n"), {"modes": ALL}),
        ("status 299 with the right answer", right(lambda c, kind: [reply(c, 299, kind)]), {"truth": "value", "modes": ALL}),
        ("status 999", right(lambda content, kind: [reply(content, 999, kind)]), {"modes": ALL}),
    ]:
        yield Row(name, answer, **{"modes": EVERY, **more})  # type: ignore[arg-type]


def redirects() -> Iterable[Row]:
    def leading(place: str, status: int = 307) -> Answer:
        return always(reply(status=status, location=place, content_type=None))

    def elsewhere(mode: Mode, origins: Origins) -> list[Step]:
        target = "models/chat" if mode == "list" else "chat/completions"
        other = origins.visit.replace(origins.main, origins.other)
        return leading(f"{other}/elsewhere/{target}")(mode, origins)

    yield Row("301 to a login page", lambda mode, origins: leading(f"{origins.visit}/login", 301)(mode, origins))
    yield Row("307 to another origin, which answers", elsewhere, truth="value", modes=CHAT)
    yield Row("307 of the model list to another origin", elsewhere,
              modes=LIST, status=307, requests=1, words="redirects to http://127.0.0.1")
    yield Row("307 to itself, again and again", leading("?again"))
    for name, location in {
        "to a scheme that does not exist": "gopher://127.0.0.1/",
        "to an address that is not one": "http://[::bad/",
        "to a closed port of port 1": "http://127.0.0.1:1/",
        "to an empty address": "",
    }.items():
        yield Row(f"307 {name}", leading(location))
    yield Row("307 without an address", always(reply(status=307, content_type=None)))


STATUSES = (400, 401, 402, 403, 404, 408, 409, 422, 429, 500, 502, 503, 504, 529)


def statuses() -> Iterable[Row]:
    def openai_error(status: int, **extra: str) -> bytes:
        error = {"message": f"failed with {status}", "type": "t", "param": None, "code": f"c_{status}"}
        return reply({"error": error}, status=status, **extra)

    for status in STATUSES:
        yield Row(f"{status} in OpenAI's format", always(openai_error(status, retry_after_ms="10")), status=status)
    for name, wait in {
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
    }.items():
        for status in (429, 503):
            # The date is written when the answer is, as it counts from then.
            answer = lambda mode, _, s=status, w=wait: [openai_error(s, retry_after=w or formatdate(time.time() + 1.5, usegmt=True))]
            yield Row(f"{status} with Retry-After: {name}", answer, status=status, modes=CHAT)
    yield Row("429 with Retry-After-Ms: words", always(openai_error(429, retry_after_ms="x")), status=429, modes=CHAT)
    for name, sent in {
        "500 with no body": reply(status=500, retry_after_ms="10"),
        "502 with an HTML page": reply("<html>bad gateway", 502, "text/html", retry_after_ms="10"),
        "400 with a list": reply(b"[1]", 400),
        "400 with null": reply(b"null", 400),
        "400 with JSON that breaks off": reply(b'{"error": {"mess', 400),
        "400 with bytes that are not text": reply(b"\xff\xfe\x00\xd8", 400, "text/plain"),
        "400 with an error that is a string": reply({"error": "no"}, 400),
        "400 with the service's envelope": reply({"code": 12001, "message": "no"}, 400),
    }.items():
        yield Row(name, always(sent), status=int(name[:3]))
    broken = reply(b"{}", 500, content_encoding="gzip", retry_after_ms="10")
    yield Row("400 whose body is cut short", always(reply(b'{"error"', 400, length=500), Close))
    yield Row("400 whose body never comes", always(reply(b"", 400, length=500), Hang), timeout=1.0)
    yield Row("500 whose body is broken gzip", always(broken))


CODES = {
    **{code: code for code in (400, 401, 402, 403, 404, 409, 422, 429, 500, 502, 503, 504, 529, 599)},
    10002: 400, 19000: 401, 19001: 503, 10003: 429, 12000: 401, 12001: 402, 12003: 403, 12008: 403, 12009: 402,
    12300: 404, 12301: 502, 1: 400, 399: 400, 600: 400, 19999: 400,
}
"""The contract's table, written down once more: the package's own must agree with it."""


def envelopes() -> Iterable[Row]:
    def enveloped(name: str, content: Any, status: int, code: str | None = None, words: str = "") -> Row:
        answer = body(content, "application/json", retry_after_ms="10")
        retried = 2 if status in (408, 409, 429) or status >= 500 else 1
        return Row(name, answer, status=status, code=code, words=words, requests=retried)

    for code, status in CODES.items():
        content = {"data": {}, "code": code, "message": f"failed {code}", "requestId": "r-1"}
        words = f"Error code: {status} - failed {code} (AiToEarn code {code}, request id r-1)"
        yield enveloped(f"HTTP 200 with code {code}", content, status, str(code), words)
        if code in (401, 12001, 12301):
            due: Any = {"modes": STREAM, "words": f"failed {code}"}
            inside = {**due, "status": status, "code": str(code)}
            last, only = frame(content).rstrip(), b"event: error\n" + frame(content).rstrip()
            unended = "without the blank line that ends one"
            yield Row(f"HTTP 200 with code {code} announced as a stream", body(content, SSE), **due)
            yield Row(f"code {code} inside a stream", events(CHUNKS[0], frame(content)), said="你好", **inside)
            yield Row(f"code {code} in a stream's last event, {unended}", events(CHUNKS[0], last), said="你好", **inside)
            yield Row(f"code {code} in a stream's only event, {unended}", events(only), **inside)
    for extra in ({"type": "error"}, {"object": "error"}, {"id": "1"}):
        for data in ({}, None):
            content = {"data": data, "code": 12301, "message": "model is away", **extra}
            name = f"an envelope with data {data} and {extra}"
            yield enveloped(name, content, 502, "12301", "502 - model is away (AiToEarn code 12301)")
    for word, status in {429: 429, "bad": 400, None: 400}.items():
        content = {"error": {"message": "no", "code": word}}
        yield enveloped(f"HTTP 200 with an error of OpenAI's of code {word}", content, status, words="no")
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
        "a waiting time of 5,000 digits": ({"code": 10003, "message": f"again after {'9' * 5000} seconds"}, 429),
        "a waiting time in other digits": ({"code": 12001, "message": "请在１秒后重试"}, 402),
        "a request id with a line end": ({"code": 12001, "message": "m", "requestId": "a\r\nb: c"}, 402),
        "a message with half a character": (b'{"code": 12001, "message": "\\ud83d"}', 402),
    }
    for name, (content, *expected) in odd.items():
        yield enveloped(f"an envelope with {name}", content, *expected)
    for name, content in {
        "data: null": {"code": 0, "message": "ok", "data": None},
        "no data": {"code": 0, "message": "ok"},
        "an error in data": {"code": 0, "data": {"error": {"message": "boom", "code": 500}}, "message": "ok"},
        "a text for data": {"code": 0, "data": "nothing", "message": "ok"},
        "an object for data": {"code": 0, "data": {"list": []}, "message": "ok"},
    }.items():
        yield Row(f"an envelope of code 0 with {name}", body(content, "application/json"))


LINE_ENDS = {"LF": b"\n", "CRLF": b"\r\n", "CR": b"\r"}


def streams() -> Iterable[Row]:
    """What is well formed reaches the caller, and what is a failure reaches it in the server's words."""
    def passing(name: str, *pieces: Step, said: str | None = None, truth: Truth = "value") -> Row:
        return Row(name, events(*pieces), modes=STREAM, truth=truth, said=said)

    def failing(name: str, *pieces: Step, said: str = "你好", words: str = "", **more: Any) -> Row:
        return Row(name, events(*pieces), modes=STREAM, said=said, words=words, **more)

    million = "x" * 1_000_000
    yield passing("an event of a million characters", chunk(million), CHUNKS[2], DONE, said=million)
    yield passing("[DONE] and nothing before", DONE, truth="either", said="")
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
    first, second, third = CHUNKS
    for end_name, end in LINE_ENDS.items():
        for name, alive in keepalives.items():
            begin = b"id: 1\n" + first if "after an id:" in name else first
            pieces = [alive, begin, alive, second, alive, third, alive, DONE]
            yield passing(f"{name} before, among and after the chunks, in {end_name}",
                          *(piece.replace(b"\n", end) for piece in pieces))
    yield failing("text in the place of a stream", b"upstream timed out", said="")
    yield failing("a stream of keep-alives alone", *keepalives.values(), frame({"type": "ping"}), said="")
    mark = b"\xef\xbb\xbf"
    for name, start in {
        "a byte order mark": [mark + first],
        "a byte order mark in pieces": [mark[:1], mark[1:], first],
        "a byte order mark and a comment": [mark + b": hello\n\n" + first],
        "a byte order mark and retry:": [mark + b"retry: 5\n\n", first],
    }.items():
        yield passing(f"{name} at the start of a stream", *start, second, third, DONE)

    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    for name, (data, said) in {
        "usage and choices: []": ({**BEGUN, "choices": [], "usage": usage}, "+usage"),
        "usage and choices: null": ({**BEGUN, "choices": None, "usage": usage}, "+usage"),
        "usage and no choices": ({**BEGUN, "usage": usage}, "+usage"),
        "usage alone": ({"usage": usage}, "+usage"),
        "cost alone": ({"cost": "0.1"}, "+cost"),
        "nothing but choices: null": ({**BEGUN, "choices": None}, ""),
        "choices: null alone": ({"choices": None}, ""),
        "choices: [] and a field of another service": ({"choices": [], "prompt_filter_results": [1]}, "+prompt_filter_results"),
        "null": (None, ""),
        "nothing at all": ({}, ""),
        "a ping": ({"type": "ping"}, ""),
        "an empty error": ({"error": {}}, ""),
        "error: null": ({"error": None}, ""),
    }.items():
        named = b"event: ping\n" + frame(data)
        yield passing(f"a frame of {name} among the chunks", first, frame(data), second, third, DONE, said=f"你好{said}, wörld")
        yield passing(f"a frame of {name} after the chunks, with the name of a ping", *CHUNKS, named, DONE, said=CONTENT + said)
    yield passing("an event of another name with text among the chunks",
                  first, b"event: heartbeat\ndata: 2026-11-25\n\n", second, third, DONE)
    yield failing("usage and no more", frame({**BEGUN, "choices": None, "usage": usage}), DONE, said="+usage")
    yield passing("a failure after [DONE]", EVENTS + frame({"code": 12301, "message": "late"}))
    yield failing("a frame of {} and no more", frame({}), frame({"type": "ping"}), said="")

    for name, (event, words) in {
        "an error event of text": (b"event: error\ndata: upstream broke\n\n", "upstream broke"),
        "an error event in Chinese": ("event: error\ndata: 没有\n\n".encode(), "没有"),
        "an error event of a list": (b"event: error\ndata: [1]\n\n", "[1]"),
        "an error event of text over several lines": (b"event: error\ndata: upstream\ndata: broke\n\n", "upstream broke"),
        "an error event in JSON": (b'event: error\ndata: {"message": "broke"}\n\n', "broke"),
        "an error event in JSON over several lines": (b'event: error\ndata: {"message":\ndata: "broke"}\n\n', "broke"),
        "an error event in OpenAI's format": (b'event: error\ndata: {"error": {"message": "broke"}}\n\n', "broke"),
        "an error in OpenAI's format": (frame({"error": {"message": "broke", "code": "c"}}), "broke"),
        "bytes that are not UTF-8": (b"data: \xff\xfe\n\n", "UTF-8"),
        "no JSON": (b"data: {oops\n\n", "{oops"),
        "a list": (b"data: [1]\n\n", ""),
        "a number": (b"data: 5\n\n", ""),
        "an envelope over several lines": (b'data: {"code": 12301,\ndata: "message": "broke"}\n\n', "broke"),
        "an envelope without data:": (b'{"code": 12001, "message": "no credits"}\n\n', "no credits"),
    }.items():
        yield failing(f"{name} inside a stream", first, event, DONE, words=words)
        if event.startswith(b"event: error") or "several" in name:
            for end_name, end in LINE_ENDS.items() if "several" in name else [("LF", b"\n")]:
                for rest, at_end in {"a line end": end, "nothing": b""}.items():
                    yield failing(f"{name} at the end of a stream, with {rest} after it, in {end_name}",
                                  first.replace(b"\n", end), event.rstrip().replace(b"\n", end) + at_end, words=words)
    for name, (text, words) in {
        "text": (b"upstream timed out", "upstream timed out"),
        "text in Chinese": ("上游超时".encode(), "上游超时"),
        "an indented envelope": (b'{\n  "code": 12001,\n  "message": "no credits"\n}', "no credits (AiToEarn code 12001)"),
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
                ended = text.replace(b"\n", end) + after
                yield failing(f"{name} in place of the rest of a stream, {how}, in {end_name}",
                              first.replace(b"\n", end), ended[:5], ended[5:] or b" ", words=words)
    slow = frame({"type": "rate_limit", "code": 429, "message": "slow down"})
    typed = "a failure with a type of its own inside a stream"
    yield failing(f"{typed}, without a name", first, slow, words="slow down", status=429)
    yield failing(f"{typed}, named", first, b"event: error\n" + slow, words="slow down", status=429)
    yield failing("an error event with nothing at the end of a stream", first, b"event: error")
    yield failing("an error event with empty data at the end of a stream", first, b"event: error\ndata:\n\n")


def refusals() -> Iterable[Row]:
    """Failures with HTTP 200 in other shapes than the service's, and right answers that look like them."""
    away = "model is away"
    empty = {"index": 0, "message": {"content": ""}, "delta": {}, "finish_reason": "error"}
    for name, content in {
        "an object named error": {"object": "error", "message": away, "type": "t", "code": 400},
        "base_resp": {"base_resp": {"status_code": 1008, "status_msg": away}},
        "base_resp beside null choices": {"id": "c-1", "choices": None, "base_resp": {"status_code": 1008, "status_msg": away}},
        "success: false": {"success": False, "message": away},
        "success: false and msg": {"success": False, "code": 0, "msg": away},
        "an error of text": {"error": away},
        "an error of text beside an id": {"id": "c-1", "error": away},
        "an error with a reason": {"error": {"code": 1, "reason": away}},
        "a type of error": {"type": "error", "message": away},
        "a status of failed": {"status": "failed", "reason": away},
        "a status of Error": {"status": "Error", "message": away},
        "a statusCode": {"statusCode": 502, "message": away, "error": "Bad Gateway"},
        "errors": {"errors": [away]},
        "error_code": {"error_code": 18, "error_msg": away},
        "a message alone": {"message": away},
        "detail beside no choices": {"id": "c-1", "choices": [], "detail": away},
        "an error beside a choice": {"id": "c-1", "choices": [empty], "error": {"code": "gone", "message": away}},
        "detail": {"detail": away},
        "a list for detail": {"detail": [{"loc": ["body"], "msg": away, "type": "t"}]},
    }.items():
        said = {"base_resp beside null choices": "+base_resp", "detail beside no choices": "+detail"}.get(name, "")
        yield Row(f"{name} for an answer", body(content, "application/json"), modes=EVERY, words=away)
        yield Row(f"{name} inside a stream", events(CHUNKS[0], frame(content)), modes=STREAM, said=f"你好{said}", words=away)
    for name, choices in {"a text": away, "a list of text": [away]}.items():
        yield Row(f"choices that are {name} inside a stream", events(CHUNKS[0], frame({"choices": choices})),
                  modes=STREAM, said="你好", words=away)
    for name, extra in {
        "error: null": {"error": None},
        "error: {}": {"error": {}},
        "code: 0": {"code": 0},
        "success: true": {"success": True},
        "base_resp of success": {"base_resp": {"status_code": 0, "status_msg": "success"}},
        "detail: null": {"detail": None},
    }.items():
        answer = as_asked({**COMPLETION, **extra}, *(with_fields(piece, extra) for piece in CHUNKS), DONE)
        yield Row(f"a right answer with {name}", answer, modes=(*ONE, "stream"), truth="value")

    died = {"code": 502, "message": "provider died"}
    broken = {"index": 0, "finish_reason": "error", "error": died}
    for name, choice in {
        "a failure": broken,
        "a failure of text": {**broken, "error": "provider died"},
        "a failure with a code in words": {**broken, "error": {**died, "code": "gone"}},
        "a failure with a code that says when": {**broken, "error": {**died, "code": 429}},
        "a failure without words": {"index": 0, "finish_reason": "error"},
        "a failure in Zhipu's word": {"index": 0, "finish_reason": "network_error"},
        "a failure in DeepSeek's words": {"index": 0, "finish_reason": "insufficient_system_resource"},
        "a failure in vLLM's word": {"index": 0, "finish_reason": "abort"},
        "a failure at the provider's account": {"error": {**died, "code": 401}},
    }.items():
        words = "provider died" if "error" in choice else f"The model failed: finish_reason '{choice['finish_reason']}'"
        due: Any = {"words": words, "status": 429 if "when" in name else 502}
        whole = {**BEGUN, "object": "chat.completion", "choices": [{"message": {"role": "assistant", "content": ""}, **choice}]}
        part = frame({**BEGUN, "choices": [{"delta": {"content": ""}, **choice}]})
        yield Row(f"{name} inside a choice", body(whole, "application/json", retry_after_ms="10"), modes=ONE, **due)
        yield Row(f"{name} inside a choice of a stream", events(CHUNKS[0], part, DONE), modes=STREAM, said="你好", **due)
    unfailed = {**COMPLETION, "choices": [{**COMPLETION["choices"][0], "error": None}]}
    yield Row("error: null inside a choice", body(unfailed, "application/json"), modes=("completion", "raw"), truth="value")

    envelope = {"data": {}, "code": 12301, "message": away}
    for name, (content, kind) in {
        'the message "choices"': ({**envelope, "message": "choices"}, "application/json"),
        "null choices in its data": ({**envelope, "data": {"choices": None}}, "application/json"),
        "choices in its data": ({**envelope, "data": {"choices": []}}, "application/json"),
        "the type text/plain": (envelope, "text/plain"),
        "the type text/event-stream": (envelope, SSE),
        "no type": (envelope, None),
    }.items():
        yield Row(f"an envelope worth another try with {name}", body(content, kind, retry_after_ms="10"),
                  modes=("completion", "list") if "type" in name else ALL, status=502, requests=2, words=content["message"])
    schema = {"type": "object", "properties": {"stream": {"const": True}}, "default": {"stream": True}}
    unmeasured = always(head(transfer_encoding="chunked", retry_after_ms="10"), chunked(json.dumps(envelope).encode()))
    yield Row('an envelope of no stated length after a request with "stream": true in a schema', unmeasured,
              modes=("completion", "raw"), status=502, requests=2, words=away,
              asked={"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]})


def lists() -> Iterable[Row]:
    def listing(name: str, entries: Any, said: str, **extra: Any) -> Row:
        answer = body({"code": 0, "message": "ok", "data": entries}, "application/json")
        return Row(f"a list {name}", answer, modes=LIST, truth="value", said=said, **extra)

    def model(name: str, **fields: Any) -> dict[str, Any]:
        return {"id": name, "name": name, **fields}

    def odd(name: str, fields: Callable[[Any], dict[str, Any]]) -> Row:
        values = [None, True, -1, 1e300, "x", "", [], ["x", None, 1], {}, {"a": {"b": []}}, [[]], [{}], "NaN"]
        models = [model(f"m-{n}", **fields(value)) for n, value in enumerate(values)]
        return listing(f"with wrong types in {name}", models, " ".join(each["id"] for each in models))

    many = [model(f"m-{n}", pricing={"tiers": [{"input": {"text": "1"}}]}) for n in range(10_000)]
    nameless = [{"label": "x"}, {"name": ""}, {"name": None}, {"name": 5}, {"name": "  "}, {"id": "", "name": ""}]
    nested: Any = {}
    for _ in range(300):
        nested = {"originPricing": nested}
    yield listing("of 10,000 models", many, " ".join(each["id"] for each in many), heavy=True)
    yield Row("an empty list", body({"code": 0, "message": "ok", "data": []}, "application/json"), "value", LIST, said="")
    yield listing("with duplicates", [model("m")] * 3, "m m m")
    yield listing("with nameless models", [model("m"), *nameless], "m")
    yield listing("with things that are not models", [model("m"), None, 1, "x", [], True], "m")
    for name in (
        "label", "description", "tags", "scenes", "channel", "created", "object", "creditsScope", "inputModalities",
        "outputModalities", "pricing", "fixedImagePricing", "owned_by",
    ):
        yield odd(name, lambda value, name=name: {name: value})  # type: ignore[misc]
    for name in ("tiers", "price", "originPrice", "originPricing"):
        yield odd(f"pricing.{name}", lambda value, name=name: {"pricing": {name: value}})  # type: ignore[misc]
    for name in ("maxInputTokens", "input", "output"):
        yield odd(f"a tier's {name}", lambda value, name=name: {"pricing": {"tiers": [{name: value}]}})  # type: ignore[misc]
    openais = {"object": "list", "data": [{"id": "m-1", "object": "model", "created": 1, "owned_by": "o"}]}
    yield listing("with prices nested 300 levels deep", [model("m", pricing=nested)], "m")
    yield listing("with a price of 1E+999999", [model("m", pricing={"price": "1E+999999"})], "m")
    yield Row("a list under another name", body({"code": 0, "models": [model("m")]}, "application/json"), modes=LIST)
    yield Row("a bare list of models", body([model("m")], "application/json"), modes=LIST)
    yield Row("a list of OpenAI's", body(openais, "application/json"), modes=LIST, truth="value", said="m-1")


def right_answers() -> Iterable[Row]:
    """What other servers have beside an answer, or in the place of a part of it."""
    whole = COMPLETION["choices"][0]
    died = {"code": 502, "message": "provider died"}
    nothing = {"role": "assistant", "content": ""}
    calling = {**whole, "finish_reason": "error", "message": {**nothing, "tool_calls": [{"id": "t"}]}}
    failed = {"index": 1, "finish_reason": "error", "message": nothing, "error": died}
    filtered = {"index": 1, "finish_reason": "content_filter", "content_filter_results": {"hate": {"filtered": True}}}
    for name, (extra, said) in {
        "an error that says ok": ({"error": {"code": 0, "message": "ok"}}, CONTENT),
        "an error that says none": ({"error": "none"}, CONTENT),
        "an error beside the text": ({"error": died}, CONTENT),
        "code 1 and success": ({"code": 1, "message": "success"}, CONTENT),
        "code 200 and success": ({"code": 200, "message": "success", "data": None}, CONTENT),
        "finish_reason abort after some text": ({"choices": [{**whole, "finish_reason": "abort"}]}, CONTENT),
        "an error after some text": ({"choices": [{**whole, "finish_reason": "error", "error": died}]}, CONTENT),
        "one of two choices failed": ({"choices": [whole, failed]}, CONTENT),
        "one of two choices filtered": ({"choices": [whole, filtered]}, CONTENT),
        "the only choice filtered": ({"choices": [filtered]}, ""),
        "the message of a filtered choice null": ({"choices": [{**filtered, "message": None}]}, ""),
        "tool calls and finish_reason error": ({"choices": [calling]}, ""),
        "choices: [] and usage": ({"choices": []}, "+cost+usage"),
    }.items():
        answer = body({**COMPLETION, **extra}, "application/json")
        yield Row(f"a right answer with {name}", answer, modes=ONE, truth="value", said=said)
    usage = {"id": "c-1", "choices": [], "usage": {"total_tokens": 2}}
    some = CHUNKS[:2]
    for name, (pieces, said) in {
        "only a finish_reason": (CHUNKS, CONTENT),
        "only [DONE]": ([*some, DONE], CONTENT),
        "[DONE] without a blank line": ([*some, DONE.strip()], CONTENT),
        "events whose name ends in failed": ([b"event: step.failed\n" + piece for piece in CHUNKS], CONTENT),
        "events that are called message.error": ([b"event: message.error\n" + piece for piece in CHUNKS], CONTENT),
        "a message beside choices: [] and usage": ([*some, frame({**usage, "message": "ok"}), DONE], f"{CONTENT}+message+usage"),
        "detail beside choices: [] and usage": ([*some, frame({**usage, "detail": {"cached": 1}}), DONE], f"{CONTENT}+detail+usage"),
        "an error that says nothing in each chunk": ([with_fields(each, {"error": {"code": None}}) for each in CHUNKS], CONTENT),
        "a page after the finish_reason": ([*CHUNKS, b"<html>502 Bad Gateway</html>\n"], CONTENT),
    }.items():
        yield Row(f"a right stream with {name}", events(*pieces), modes=STREAM, truth="value", said=said)
    own, envelope = "an answer of one's own", {"code": 12001, "message": "no"}
    for name, content in {
        "code in words": {"code": "US"},
        "a number for a code": {"code": 7},
        "code and message around its data": {"code": 1, "message": "success", "data": [1]},
        "an error": {"error": {"message": "mine", "code": 500}},
        "a detail": {"detail": "mine"},
        "a status of failed": {"status": "failed"},
    }.items():
        answer = body(content, "application/json")
        yield Row(f"{own} with {name}", answer, modes=("object", "bytes"), truth="value", said=json.dumps(content))
    yield Row(f"the envelope for {own}", body(envelope, "application/json"), modes=("object",), status=402)
    file = {**envelope, "data": {}}
    yield Row("a file that is an envelope", body(file, "application/json"), modes=("bytes",), truth="value", said=json.dumps(file))


PARTS = transport, cuts, bodies, headers, redirects, statuses, envelopes, streams, refusals, right_answers, lists
ROWS = [row for part in PARTS for row in part()]
# fmt: on
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
