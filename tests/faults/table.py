"""The table of faults: what the server does in each row, and what an honest client makes of it."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import openai

from .server import Close, Hang, Repeat, Request, Reset, Step, chunked, head, reply

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


# The rows. A line is a row, or what is different in it: names of tables say where the line goes.
# fmt: off


def transport() -> Iterable[Row]:
    silent = right(lambda content, kind: [reply(content_type=kind, length=500), Hang])
    yield Row("the connection is refused", always(), refused=True, words="Connection error.")
    yield Row("a reset before the headers", always(Reset), requests=2, words="Connection error.")
    yield Row("no answer at all", always(Hang), timeout=0.5, requests=2, words="Request timed out.")
    yield Row("headers, then silence", silent, timeout=0.5, words="Request timed out.")
    yield Row("bytes that are not HTTP", always(b"\x00\x01\x02 SSH-2.0-OpenSSH_9.9\r\n\r\n", Close))


def cuts() -> Iterable[Row]:
    some = CHUNKS[0] + CHUNKS[1]
    short = right(lambda content, kind: [reply(content[:40], content_type=kind, length=len(content)), Close])
    yield Row("a body shorter than its content length", short, modes=EVERY, words="Connection error.")
    yield Row("JSON that breaks off", right(lambda content, _: [reply(content[:40])]), modes=WHOLE)
    for name, answer, said, more in [
        ("cut between events", events(some, Close, end=False), CONTENT, {}),
        ("silent after two events", events(some, Hang, end=False), CONTENT, {"timeout": 0.5, "words": "Request timed out."}),
        ("cut inside an event", events(some[:-20], Close, end=False), "你好", {}),
        ("cut after its last chunk, before [DONE]", events(*CHUNKS, Close, end=False), CONTENT, {}),
        ("that ends in order between events, half said", events(some), CONTENT, {"words": f"{UNDONE} 2)"}),
        ("that ends in order inside an event", events(some[:-20]), "你好", {"words": f"{UNDONE} 1)"}),
    ]:
        yield Row(f"a stream {name}", answer, modes=STREAM, said=said, **more)
    # The SDK 1.x reads on to the end of the stream, so as to use its connection again.
    silence: Truth = "either" if openai.__version__.startswith("1.") else "value"
    yield Row("a stream without [DONE]", events(*CHUNKS), modes=STREAM, truth="value")
    yield Row("silence after [DONE]", events(EVENTS, Hang, end=False), modes=STREAM, truth=silence, timeout=0.5)
    yield Row("events after [DONE]", events(EVENTS + CHUNKS[0]), modes=STREAM, truth="value")
    packer = zlib.compressobj(wbits=31)
    pieces = [packer.compress(chunk("x")) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2)]
    packed = [chunked(piece, end=False) for piece in pieces]
    gzipped = {"transfer_encoding": "chunked", "content_encoding": "gzip"}
    for kind in (SSE, "application/json", "text/plain", None):
        for how, endless in {
            "": events(Repeat(chunk("x"), 0.01), end=False, content_type=kind),
            ", in gzip": always(head(content_type=kind, **gzipped), packed[0], Repeat(packed[1], 0.01)),
        }.items():
            if not (how and "json" in str(kind)):  # A failure in gzip has no length, so JSON is read to its end.
                yield Row(f"a stream without end, {kind or 'without a type'}{how}, closed by the caller",
                          endless, modes=("closing",), truth="value", timeout=0.5)


UNDONE = "The stream ended before the answer was complete (chunks so far:"


def bodies() -> Iterable[Row]:
    for name, content in {
        "an empty body": b"",
        "null": b"null",
        "a number of 5,000 digits": b"7" * 5000,
        "an empty object": b"{}",
        "NUL bytes": b"\x00" * 64,
        "a completion in the service's envelope": json.dumps({"code": 0, "message": "ok", "data": COMPLETION}).encode(),
    }.items():
        yield Row(f"{name} for an answer", body(content), modes=EVERY)
        # A line end would end the event.
        yield Row(f"{name} for an event", events(b"data: " + content.strip() + b"\n\n"), modes=STREAM)
    deep = b"[" * 100_000 + b"]" * 100_000
    inside = body(b'{"choices": [], "x": ' + deep + b"}", "application/json")
    large = always(reply({**COMPLETION, "padding": "x" * 1_000_000}))
    levels = "100,000 levels of nesting"
    yield Row(f"{levels} inside a completion", inside, modes=CHAT, heavy=True)
    yield Row(f"{levels} in an event", events(b"data: " + deep + b"\n\n"), modes=STREAM, heavy=True)
    yield Row("1 MB of JSON", large, modes=ONE, truth="value")
    shapes = {"null": None, "a string": "none", "an object": {"message": {"content": "x"}}, "a list of null": [None]}
    for name, choices in shapes.items():
        odd = {**COMPLETION, "choices": choices}
        # In a stream, a frame of null choices is passed over.
        yield Row(f"choices that are {name}", as_asked(odd, frame(odd), DONE),
                  modes=CHAT if choices is not None else ("completion",))


def headers() -> Iterable[Row]:
    for kind in ("text/plain", "application/octet-stream", "nonsense", "", None):
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
    for charset in ("utf-16", "no-such-charset", "zlib"):  # The last is a codec of Python's, but not of text.
        name, page = f"charset={charset}", f"text/html; charset={charset}"
        answer = right(lambda content, kind, c=charset: [reply(content, content_type=f"{kind}; charset={c}")])  # type: ignore[misc]
        yield Row(f"{name} on a right answer", answer, truth="value", modes=EVERY)
        yield Row(f"{name} on a 400", always(reply(refused, status=400, content_type=page)), status=400)
        yield Row(f"{name} on an envelope", body(envelope, f"application/json; charset={charset}"), status=402)
    packed = json.dumps(envelope).encode()
    page = "<!DOCTYPE html><html><title>Log in</title>"
    torn = changed(lambda content: gzip.compress(content)[:-20], content_encoding="gzip")
    in_pieces = always(head(content_type="text/html", transfer_encoding="chunked"), chunked(page.encode()))
    for name, answer, more in [
        ("a byte order mark", changed(b"\xef\xbb\xbf".__add__), {"truth": "value"}),
        ("a failure with a byte order mark", body(b"\xef\xbb\xbf" + packed), {"status": 402}),
        ("gzip", changed(gzip.compress, content_encoding="gzip"), {"truth": "value"}),
        ("a failure in gzip", body(gzip.compress(packed), content_encoding="gzip"), {"status": 402}),
        ("gzip that is not gzip", changed(content_encoding="gzip"), {}),
        ("gzip cut short", torn, {"modes": WHOLE}),
        ("an HTML page", body(page, "text/html"), {"words": "Check the base URL"}),
        ("an HTML page in pieces", in_pieces, {"words": "Check the base URL"}),
        ("an HTML page announced as what was asked for", body(page), {}),
        ("204 and nothing", always(b"HTTP/1.1 204 No Content\r\n\r\n"), {}),
        ("304", always(b"HTTP/1.1 304 Not Modified\r\n\r\n"), {"modes": ALL}),
        ("status 299 with the right answer", right(lambda c, kind: [reply(c, 299, kind)]), {"truth": "value", "modes": ALL}),
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
    yield Row("307 to an address that is not one", leading("http://[::bad/"))
    yield Row("307 to a port that cannot be", leading("http://127.0.0.1:65537/"))  # Cut to 16 bits, nobody is there.
    yield Row("307 without an address", always(reply(status=307, content_type=None)))


def statuses() -> Iterable[Row]:
    """What parity has not: there, the same failures and retries are those of the plain SDK."""
    for wait in ("1", "31536000", "nan", "9" * 1000, "Wed, 21 Oct 99999 07:28:00 GMT", "Wed, 21 Foo 2015 07:28:00 GMT"):
        answer = always(reply({"error": {"message": "slow down"}}, 429, retry_after=wait))
        yield Row(f"429 with Retry-After: {wait:.40}", answer, status=429, modes=CHAT)
    yield Row("400 with bytes that are not text", always(reply(b"\xff\xfe\x00\xd8", 400, "text/plain")), status=400)
    for name, content in {
        "an error that is a string": {"error": "model is away"},
        "an error and a code that are strings": {"code": "invalid-argument", "error": "model is away"},
        "the service's envelope": {"code": 12001, "message": "model is away"},
        "a detail": {"detail": "model is away"},
        "a list for detail": {"detail": [{"loc": ["body"], "msg": "model is away"}]},
    }.items():
        yield Row(f"422 with {name}", always(reply(content, 422)), status=422, words="model is away")
    yield Row("400 whose body is cut short", always(reply(b'{"error"', 400, length=500), Close))
    yield Row("400 whose body never comes", always(reply(b"", 400, length=500), Hang), timeout=0.5)


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
            due: Any = {"modes": STREAM, "words": f"failed {code}", "status": status, "code": str(code)}
            only = b"event: error\n" + frame(content).rstrip()
            yield Row(f"HTTP 200 with code {code} announced as a stream", body(content, SSE), **due)
            yield Row(f"code {code} inside a stream", events(CHUNKS[0], frame(content)), said="你好", **due)
            yield Row(f"code {code} in the only event of a stream, without a blank line", events(only), **due)
    for extra in ({"type": "error"}, {"object": "error"}, {"id": "1"}):
        for data in ({}, None):
            content = {"data": data, "code": 12301, "message": "model is away", **extra}
            name = f"an envelope with data {data} and {extra}"
            yield enveloped(name, content, 502, "12301", "502 - model is away (AiToEarn code 12301)")
    for error, status in [
        ({"code": 429}, 429), ({"code": "429"}, 429), ({"code": "rate_limit_exceeded"}, 429), ({"code": "bad"}, 400),
        ({"code": None, "type": "server_error"}, 500), ({"code": "bad", "type": "server_error"}, 400),
        ({"code": ["odd"], "type": {}}, 400),
    ]:
        content = {"error": {"message": "no", **error}}
        yield enveloped(f"HTTP 200 with an error of OpenAI's of {error}", content, status, words="no")
    yield enveloped("a code beside an error of text", {"error": "no", "code": 429}, 429, words="no")
    for choices in ([], None):
        content = {"id": "1", "choices": choices, "code": 12301, "message": "no"}
        yield Row(f"a code beside choices: {choices}", body(content, "application/json", retry_after_ms="10"),
                  modes=ONE, status=502, requests=2, words="no")
    odd: dict[str, tuple[Any, ...]] = {
        "code '12001' as text": ({"code": "12001", "message": "m"}, 200),
        "a negative code": ({"code": -1, "message": "m"}, 400, "-1"),
        "code true": ({"code": True, "message": "m"}, 200),
        "no message": ({"code": 12001, "data": {}}, 402),
        "a message that is an object": ({"code": 12001, "message": {"zh": "没有"}}, 402),
        "a message of 1 MB": ({"code": 12001, "message": "x" * 1_000_000}, 402),
        "a waiting time of 5,000 digits": ({"code": 10003, "message": f"again after {'9' * 5000} seconds"}, 429),
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
KEEP_ALIVES = [
    b": ping", b"retry: 3000", b"id: 7", b"id: 7\n: ping", b"event: ping", b"event: ping\ndata:", b"event: ping\nid: 7",
    b"data:", b"data", b"data:  ", b"\n", b'event: keep_alive\ndata: "ok"', b"event: Ping\ndata: 7", b'data: {"type": "ping"}',
    b"event: heartbeat\ndata: 2026-11-25",
]
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
FRAMES: dict[str, tuple[Any, str]] = {
    "usage and choices: []": ({**BEGUN, "choices": [], "usage": USAGE}, "+usage"),
    "usage and choices: null": ({**BEGUN, "choices": None, "usage": USAGE}, "+usage"),
    "usage alone": ({"usage": USAGE}, "+usage"),
    "cost alone": ({"cost": "0.1"}, "+cost"),
    "nothing but choices: null": ({**BEGUN, "choices": None}, ""),
    "choices: null alone": ({"choices": None}, ""),
    "choices: [] and a field of another service": ({"choices": [], "prompt_filter_results": [1]}, "+prompt_filter_results"),
    "null": (None, ""),
    "nothing at all": ({}, ""),
    "an empty error": ({"error": {}}, ""),
    "success": ({"code": 200, "message": "success"}, ""),
    "an error of null beside a delta": ({**BEGUN, "error": {"code": None}, "choices": [{"delta": {"content": "-"}}]}, "-"),
}
"""Frames that are no part of the text, and what the caller reads of each."""
FAILED_EVENTS = {
    "an error event of text": (b"event: error\ndata: upstream broke", "upstream broke"),
    "an event of text by the default name": (b"event: message\ndata: upstream broke", "upstream broke"),
    "an error event in Chinese": ("event: error\ndata: 没有".encode(), "没有"),
    "an error event of a list": (b"event: error\ndata: [1]", "[1]"),
    "an error event of text over several lines": (b"event: error\ndata: upstream\ndata: broke", "upstream broke"),
    "an error event in JSON over several lines": (b'event: error\ndata: {"message":\ndata: "broke"}', "broke"),
    "an error event in OpenAI's format": (b'event: error\ndata: {"error": {"message": "broke"}}', "broke"),
    "an error event with nothing": (b"event: error", "The server sent an error event without a message."),
    "an error in OpenAI's format": (b'data: {"error": {"message": "broke", "code": "c"}}', "broke"),
    "an error of text": (b'data: {"error": "broke"}', "broke"),
    "the error of a choice": (b'data: {"choices": [{"delta": {}, "error": {"code": 502, "detail": "broke"}}]}', "502 - broke"),
    "bytes that are not UTF-8": (b"data: \xff\xfe", "The stream broke: it is not UTF-8 text."),
    "text": (b"data: oops", "oops"),
    "a list": (b"data: [1]", "The stream sent something other than a chunk: [1]"),
    "a list of choices that are none": (b'data: {"choices": [null]}', "The stream sent something other than a chunk: "),
    "an envelope over several lines": (b'data: {"code": 12301,\ndata: "message": "broke"}', "502 - broke (AiToEarn code 12301)"),
    "an envelope beside null choices": (b'data: {"id": "1", "code": 12301, "message": "broke", "choices": null}', "502 - broke"),
    "an envelope with a code in words": (b'data: {"code": "InternalError", "message": "broke"}', "broke"),
    "an envelope without data:": (b'{"code": 12001, "message": "no credits"}', "no credits (AiToEarn code 12001)"),
    "an indented envelope": (b'{\n  "code": 12001,\n  "message": "no credits"\n}', "no credits (AiToEarn code 12001)"),
    "an error without data:": (b'{\n "error": {\n  "message": "broke"\n }\n}', "400 - broke"),
    # As llama.cpp sends it.
    "a field of error": (b'error: {"code": 500, "message": "broke", "type": "server_error"}', "500 - broke"),
    "a field of error in text": (b'Error : "broke"', "broke"),
}
"""What fails in each place of a stream, and its words: see `test_events.py` too."""


def streams() -> Iterable[Row]:
    """What is well formed reaches the caller, and what is a failure reaches it in the server's words."""
    def passing(name: str, *pieces: Step, said: str | None = None, truth: Truth = "value") -> Row:
        return Row(name, events(*pieces), modes=STREAM, truth=truth, said=said)

    def failing(name: str, *pieces: Step, said: str = "你好", words: str = "", **more: Any) -> Row:
        return Row(name, events(*pieces), modes=STREAM, said=said, words=words, **more)

    first, second, third = CHUNKS
    some, mark = first + second, b"\xef\xbb\xbf"
    alive = b"\n\n".join([*KEEP_ALIVES, b""])
    for name, end in LINE_ENDS.items():
        kept = b"".join([alive, b"id: 1\n" + first, alive, second, alive, third, alive, DONE]).replace(b"\n", end)
        yield passing(f"keep-alives before, among and after the chunks, in {name}", kept)
    yield failing("a stream of keep-alives alone", alive, said="")
    yield failing("a frame of {} and no more", frame({}), said="")
    yield failing("usage and no more", frame({**BEGUN, "choices": None, "usage": USAGE}), DONE, said="+usage")
    yield passing("[DONE] and nothing before", DONE, truth="either", said="")
    million = "x" * 1_000_000
    yield passing("an event of a million characters", chunk(million), third, DONE, said=million)
    for name, (data, said) in FRAMES.items():
        yield passing(f"a frame of {name} among the chunks", first, frame(data), second, third, DONE, said=f"你好{said}, wörld")
    for name, pieces in {
        "a byte order mark in pieces": [mark[:1], mark[1:], *CHUNKS],
        "2,000 byte order marks": [mark * 2000, *CHUNKS],
        "a failure after [DONE]": [EVENTS + frame({"code": 12301, "message": "late"})],
        "a finish_reason in an error event": [some, b"event: error\n" + third],
        "odd lines before other events": [first, b": comment\n\n{odd: 1\n" + second, b"trace: 7\n" + third],
        "words after the finish_reason": [*CHUNKS, b"upstream died"],
        "words after [DONE]": [some, DONE, b"upstream died"],
        "an object of its own before more chunks": [first, frame({"note": "queued"}), second, DONE],
        "words before [DONE]": [some, b"upstream died\n\n", DONE],
        "a line [DONE]": [some, b"[DONE]\n\n"],
        "Data: [DONE]": [some, b"Data: [DONE]\n\n"],
        "errors that are none": [first, b"error: null\n\nerror: {}\n\nerror:\n\n", second, DONE],
        "blank characters at the end": [*CHUNKS, "\ufeff\n\0\n\u200b\n\xa0\n".encode()],
        "only [DONE]": [some, DONE],
        "[DONE] without a blank line": [some, DONE.strip()],
        "events whose name ends in failed": [b"event: step.failed\n" + piece for piece in CHUNKS],
        "an error that says nothing in each chunk": [with_fields(each, {"error": {"code": None}}) for each in CHUNKS],
        "a page after the finish_reason": [*CHUNKS, b"<html>502 Bad Gateway</html>\n"],
    }.items():
        yield passing(f"a right stream with {name}", *pieces)
    for name, (extra, said) in {
        "a message": ({"message": "ok"}, "+message+usage"), "detail": ({"detail": {"cached": 1}}, "+detail+usage"),
    }.items():
        data = frame({"id": "c-1", "choices": [], "usage": USAGE, **extra})
        yield passing(f"a right stream with {name} beside choices: [] and usage", some, data, DONE, said=CONTENT + said)

    for name, (event, words) in FAILED_EVENTS.items():
        yield failing(f"{name} inside a stream", first, event + b"\n\n", DONE, words=words)
    yield failing("a failure and then silence", first, frame({"code": 12301, "message": "m"}), Hang, status=502, timeout=0.5)
    slow = b"event: error\n" + frame({"type": "rate_limit", "code": 429, "message": "slow down"})
    yield failing("a failure with a type of its own inside a stream", first, slow, words="slow down", status=429)
    for name, (place, words) in {
        "text": (b"upstream timed out", "complete (chunks so far: 0): upstream timed out"),
        "a list of an error": (b'[{"error": {"message": "broke"}}]', "broke"),
        "an envelope after a space": (b' {"code": 12001, "message": "no credits"}', "no credits (AiToEarn code 12001)"),
    }.items():
        yield failing(f"{name} in the place of a stream", place, said="", words=words)
    for name, (rest, words) in {
        "text": ("上游超时".encode(), "complete (chunks so far: 1): 上游超时"),
        "a field and text": (b"meta: 1\nupstream died\n", "complete (chunks so far: 1): upstream died"),
        "an object with a detail": (b'{"detail": "broke"}', "broke"),
        "a page": (b"<html><h1>502 Bad Gateway</h1></html>", "complete (chunks so far: 1)."),
        "the beginning of a line": (b"dat", ""),
    }.items():
        yield failing(f"{name} in place of the rest of a stream", first, rest[:5], rest[5:] or b" ", words=words)
    for name, failure in {"finish_reason error": {"finish_reason": "error"}, "an error": {"error": {"message": "died"}}}.items():
        last = frame({"choices": [{"delta": {"content": ", wo"}, **failure}]})
        yield failing(f"a chunk with text and {name}", first, last, said="你好, wo", status=502)


def refusals() -> Iterable[Row]:
    """Failures with HTTP 200 in other shapes than the service's, and right answers that look like them."""
    away = "model is away"
    empty = {"index": 0, "message": {"content": ""}, "delta": {}, "finish_reason": "error"}
    for name, content in {
        "an object named error": {"object": "error", "message": away, "type": "t", "code": 400},
        "base_resp": {"base_resp": {"status_code": 1008, "status_msg": away}},
        "success: false and msg": {"success": False, "code": 0, "msg": away},
        "error: a text": {"error": away},
        "an error with a reason": {"error": {"code": 1, "reason": away}},
        "a status of failed": {"status": "failed", "reason": away},
        "a statusCode": {"statusCode": 502, "message": away, "error": "Bad Gateway"},
        "errors": {"errors": [away]},
        "a message alone": {"message": away},
        "detail beside no choices": {"id": "c-1", "choices": [], "detail": away},
        "an error beside a choice": {"id": "c-1", "choices": [empty], "error": {"code": "gone", "message": away}},
        "a list for detail": {"detail": [{"loc": ["body"], "msg": away, "type": "t"}]},
    }.items():
        said = "+detail" if name == "detail beside no choices" else ""
        yield Row(f"{name} for an answer", body(content, "application/json"), modes=EVERY, words=away)
        yield Row(f"{name} inside a stream", events(CHUNKS[0], frame(content)), modes=STREAM, said=f"你好{said}", words=away)
    for name, extra in {
        "error: null": {"error": None},
        "error: {}": {"error": {}},
        "code: 0": {"code": 0},
        "success: true": {"success": True},
        "base_resp of success": {"base_resp": {"status_code": 0, "status_msg": "success"}},
    }.items():
        answer = as_asked({**COMPLETION, **extra}, *(with_fields(piece, extra) for piece in CHUNKS), DONE)
        yield Row(f"a right answer with {name}", answer, modes=(*ONE, "stream"), truth="value")

    died = {"code": 502, "message": "provider died"}
    broken = {"index": 0, "finish_reason": "error", "error": died}
    for name, choice in {
        "a failure": broken,
        "a failure with a code in words": {**broken, "error": {**died, "code": "gone"}},
        "a failure with a code that says when": {**broken, "error": {**died, "code": 429}},
        "a failure without words": {"index": 0, "finish_reason": "error"},
        "a failure in Zhipu's word": {"index": 0, "finish_reason": "network_error"},
        "a failure in vLLM's word": {"index": 0, "finish_reason": "abort"},
        "a failure at the provider's account": {"error": {**died, "code": 401}},
    }.items():
        words = "provider died" if "error" in choice else f"The model failed: finish_reason '{choice['finish_reason']}'"
        due: Any = {"words": words, "status": 429 if "when" in name else 502}
        whole = {**BEGUN, "object": "chat.completion", "choices": [{"message": {"role": "assistant", "content": ""}, **choice}]}
        part = frame({**BEGUN, "choices": [{"delta": {"content": ""}, **choice}]})
        yield Row(f"{name} inside a choice", body(whole, "application/json", retry_after_ms="10"), modes=ONE, requests=2, **due)
        yield Row(f"{name} inside a choice of a stream", events(CHUNKS[0], part, DONE), modes=STREAM, said="你好", **due)
    for choice in ({}, {"index": 0, "message": None, "finish_reason": "stop"}):
        yield Row(f"the choice {choice}", body({**COMPLETION, "choices": [choice]}, "application/json"),
                  modes=("completion", "raw"), words="was expected")

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


def lists() -> Iterable[Row]:
    """Whose entries are odd, see `test_models.py`."""
    m = {"id": "m", "name": "m"}
    for name, content, said in ("an empty list", [], ""), ("a list with duplicates", [m] * 3, "m m m"):
        answer = body({"code": 0, "message": "ok", "data": content}, "application/json")
        yield Row(name, answer, modes=LIST, truth="value", said=said)
    yield Row("a bare list of models", body([m], "application/json"), modes=LIST)


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
