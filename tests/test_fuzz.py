"""Fuzzing: whatever a server sends and a user types, the caller gets what the types promise, or an error in words.

`FUZZ_PROFILE=nightly` tries 10,000 examples of each property instead of some twenty. With `CI` set the
examples are the same each time.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Any
from unittest import mock

import openai
import pytest
from hypothesis import assume, example, given, settings, strategies as st
from openai.types import CompletionUsage

from aitoearn_openai import ChatModel, OpenAI, Settings
from aitoearn_openai._settings import load
from conftest import Asker, complete, stream
from faults.runner import problem_with
from faults.table import Mode

settings.register_profile("dev", max_examples=20, deadline=None, derandomize="CI" in os.environ)
settings.register_profile("nightly", max_examples=10_000, deadline=None, derandomize="CI" in os.environ)
settings.load_profile(os.environ.get("FUZZ_PROFILE", "dev"))

more = settings(max_examples=settings().max_examples * 4)
PASSWORD = "Tr0ub4dor-3-pw"


# What a server may say.

text = st.text(max_size=12)
numbers = st.one_of(st.integers(-2, 600), st.sampled_from([10**30, 10003, 12001, 12300, 2**63]), st.floats())
scalars = st.one_of(st.none(), st.booleans(), numbers, text)
NAMES = [
    "choices", "code", "data", "message", "requestId", "error", "id", "object", "model", "usage", "type", "delta", "index",
    "finish_reason", "name", "label", "tags", "pricing", "tiers", "price", "input", "text", "maxInputTokens", "cost",
]  # fmt: skip
json_values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(NAMES), text), inner, max_size=5),
    ),
    max_leaves=12,
)
waits = st.from_regex(r"after [0-9]{1,30} seconds|请在 ?[0-9]{1,30}秒后重试", fullmatch=True)
envelopes = st.fixed_dictionaries(
    {"code": st.one_of(numbers, json_values)},
    optional={"data": json_values, "message": st.one_of(json_values, waits), "requestId": json_values},
)
errors = st.fixed_dictionaries({"error": json_values}, optional={"id": text, "choices": json_values})


def answers_of(kind: str, part: str, **fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Right answers, with fields that are beyond OpenAI's."""
    said = {"role": st.just("assistant"), "content": st.one_of(st.none(), text), "reasoning_content": text}
    whole = part == "message"
    inner = st.fixed_dictionaries(said if whole else {}, optional={"name": st.none()} if whole else said)
    reason = st.sampled_from(["stop", "length", None])
    choice = st.fixed_dictionaries({"index": st.integers(0, 3), part: inner, "finish_reason": reason})
    head = {"id": text, "created": st.integers(0, 2**31), "model": text, "object": st.just(kind)}
    return st.fixed_dictionaries(
        {**head, "choices": st.lists(choice, min_size=whole, max_size=2)},
        optional={"cost": text, "extra": json_values, **fields},
    )


counts = ("prompt_tokens", "completion_tokens", "total_tokens")
used = st.fixed_dictionaries(dict.fromkeys(counts, st.integers(0, 9)))
completions = answers_of("chat.completion", "message", usage=used)
chunks = answers_of("chat.completion.chunk", "delta", usage=st.none())
line = st.text(st.characters(exclude_characters="\r\n\x00", exclude_categories=["Cs"]), max_size=8)
EXTRA = [": ", ":", "id: ", "retry: ", "x-unknown: ", "unknown"]
KEEPALIVES = [": ping", "retry: 5", "id: 1", "event: ping", "data:", "data: {}", 'data: {"type": "ping"}']


@st.composite
def event_streams(draw: st.DrawFn) -> tuple[bytes, list[Any]]:
    """A valid stream of chunks, with all that the format allows around them, and the chunks."""
    parts: list[str] = [draw(st.sampled_from(["", "\ufeff"]))]
    sent: list[Any] = []
    extra_lines = st.lists(st.builds("{}{}".format, st.sampled_from(EXTRA), line), max_size=3)
    # Of all three kinds at once, a line that ends in CR and a blank line of LF would be one line's end.
    ends = draw(st.sampled_from([["\n"], ["\r\n"], ["\r"], ["\n", "\r\n"]]))
    for body in draw(st.lists(chunks, min_size=1, max_size=5)):
        end = draw(st.sampled_from(ends))
        payload = json.dumps(body, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
        payload = payload.encode("utf-8", "replace").decode()
        sent.append(json.loads(payload))
        lines = [f"data:{draw(st.sampled_from(['', ' ']))}{each}" for each in payload.split("\n")]
        parts += [each + end for each in [*draw(extra_lines), *lines, *draw(extra_lines)]]
        parts.append(end * draw(st.integers(1, 3)))
        parts.append(draw(st.sampled_from(["", *(f"{each}{end}{end}" for each in KEEPALIVES)])))
    parts.append(draw(st.sampled_from(["data: [DONE]\n\n", "data:[DONE]\r\n\r\n"])))
    return "".join(parts).encode(), sent


ways = st.sampled_from(["completion", "raw", "unread"])
right_answers = st.one_of(
    event_streams().map(lambda streamed: ("stream", *streamed)),
    st.builds(lambda way, body: (way, json.dumps(body).encode(), [body]), ways, completions),
)
right_types = st.sampled_from(["text/event-stream", "application/json", "text/plain", None])
values = st.one_of(json_values, envelopes, errors, completions).map(lambda value: json.dumps(value).encode())
bodies = st.one_of(
    values,
    values.map(lambda value: value[:-1]),
    values.map(lambda value: b"data: " + value + b"\n\n"),
    event_streams().map(lambda streamed: streamed[0]),
    st.sampled_from([b"", b"\xef\xbb\xbf{}", b"<!DOCTYPE html><p>hi", b'{"code":1e999}']),
    st.binary(max_size=60),
)
printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12).map(str.strip)
TYPES = ["application/json", "text/event-stream", "text/html", "a/b+json", "", "json"]
CHARSETS = ["", ";;=", "; charset=utf-16", "; charset=zlib", '; charset="']
with_charset = st.builds("{}{}".format, st.sampled_from(TYPES), st.sampled_from(CHARSETS))
content_types = st.one_of(with_charset, printable, st.none())
headers = st.fixed_dictionaries(
    {},
    optional={
        "content-encoding": st.sampled_from(["gzip", "deflate", "br", "zstd", "x", "gzip, gzip"]),
        "retry-after": printable,
        "retry-after-ms": printable,
        "x-request-id": printable,
        "x-should-retry": st.sampled_from(["true", "false", "maybe"]),
        "location": st.one_of(printable, st.sampled_from(["/x", "//", "http://[", "ftp://x"])),
    },
)
statuses = st.one_of(st.just(200), st.sampled_from([201, 204, 301, 304, 307, 400, 401, 429, 500, 599]))
modes: st.SearchStrategy[Mode] = st.sampled_from(["completion", "stream", "list", "raw", "unread"])
places = st.lists(st.integers(0, 10_000), max_size=30)


# Clients over a transport that answers without a socket.

_family = sys.modules[openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0]]
_answer: dict[str, Any] = {}


class _Pieces(_family.SyncByteStream, _family.AsyncByteStream):  # type: ignore[misc, name-defined]
    def __iter__(self) -> Iterator[bytes]:
        yield from _answer["pieces"]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in _answer["pieces"]:
            yield piece


def _respond(_: Any) -> Any:
    return _family.Response(_answer["status"], headers=_answer["headers"], stream=_Pieces())


def arguments(is_async: bool) -> dict[str, Any]:
    make: Any = openai.DefaultAsyncHttpxClient if is_async else openai.DefaultHttpxClient
    pool = make(transport=_family.MockTransport(_respond), trust_env=False)
    return {"base_url": "http://h.invalid/api/ai", "api_key": "k", "max_retries": 0, "http_client": pool}


@pytest.fixture(scope="module")
def ours() -> Any:
    return OpenAI(**arguments(is_async=False))


def answer(
    body: bytes,
    status: int = 200,
    content_type: str | None = "application/json",
    places: Iterable[int] = (),
    **headers: str,
) -> None:
    """What the transport of all clients says from now on, in pieces that are cut at these places."""
    ends = sorted({0, len(body), *(place % (len(body) + 1) for place in places)})
    typed = {} if content_type is None else {"content-type": content_type}
    pieces = [body[start:end] for start, end in pairwise(ends)]
    _answer.update(pieces=pieces, status=status, headers={**typed, **headers})


def ask(client: Any, mode: Mode) -> list[Any]:
    """What the call gives: the chunks of a stream, or the one value."""
    if mode == "list":
        return [client.models.list()]
    if mode == "stream":
        return list(stream("m")(client))
    if mode == "raw":
        return [complete("m")(client.with_raw_response).parse()]
    if mode == "unread":
        with complete("m")(client.with_streaming_response) as response:
            return [response.parse()]
    return [complete("m")(client)]


def check_words(error: BaseException, holding: str = "") -> None:
    """That an error says something, and no secret."""
    told = str(error)
    if not any(character.isalnum() for character in told):
        # All that the server said: the SDK tells a body that is not JSON as it is, and a stream its `error`.
        assert isinstance(error, openai.APIError)
        assert told.strip()
        said = error.response.text if isinstance(error, openai.APIStatusError) else str(error.body)
        assert told in said or repr(told)[1:-1] in said
    assert holding in told
    assert PASSWORD not in f"{error} {error.__cause__}"


@given(bodies, content_types, headers, statuses, modes, places)
@example(b'{"code": 1}', "application/json; charset=zlib", {}, 200, "completion", [])
@example(b'data:{"error":";"}', None, {}, 200, "stream", [])
@example(b'data:{"error":" "}', None, {}, 200, "stream", [])
@example(b'data:{"error":"\\u0000"}', None, {}, 200, "stream", [])
@example(b"null", "application/json; charset=utf-16", {}, 301, "completion", [])
@example(b"data: [DONE]\n\n", "", {"content-encoding": "gzip"}, 200, "stream", [0])
@more
def test_any_answer_is_a_right_value_or_an_error_in_words(
    ours: Any, body: bytes, content_type: Any, headers: dict[str, str], status: int, mode: Mode, places: Any
) -> None:
    """Never another exception, whatever the body, its type, its encoding and the status."""
    is_gzip = headers.get("content-encoding") == "gzip" and len(places) % 2
    answer(gzip.compress(body) if is_gzip else body, status, content_type, places, **headers)
    try:
        got = ask(ours, mode)
    except openai.OpenAIError as error:
        check_words(error)
    else:
        for value in got:
            if choices := getattr(value, "choices", None):
                # One with a message is enough, whatever is beside it.
                value.choices = [each for each in choices if isinstance(each, openai.BaseModel)]
                assert value.choices
        assert problem_with(mode, got, may_be_empty=b"[DONE]" in body) == ""


@given(right_answers, right_types, places, st.booleans())
@more
def test_a_right_answer_arrives_field_for_field(
    ours: Any, right: tuple[Mode, bytes, Any], content_type: str | None, places: list[int], is_async: bool
) -> None:
    """Those beyond OpenAI's too, in every way to read it, wherever the network cuts it, whatever keeps a stream alive."""
    mode, content, sent = right
    answer(content, content_type=content_type, places=places)
    is_async &= mode == "stream"
    got = Asker(True).run(stream("m"), **arguments(is_async=True)) if is_async else ask(ours, mode)

    plain = [each.to_dict() for each in got]
    assert json.dumps(plain, sort_keys=True) == json.dumps(
        sent, sort_keys=True
    )  # A text, in which NaN is itself.


# Settings.

url_parts = st.text(st.characters(min_codepoint=32, max_codepoint=0x3000), max_size=8)
HOSTS = ["aitoearn.cn", "AiToEarn.AI", "localhost", "127.0.0.1", "[::1]", "[", "a.b.", ""]
PATHS = ["", "/", "/api", "/api/ai/", "/v1", "//", "/api/ai/chat/completions", "/api/ai/models/chat/"]
USERS = ["", f"user:{PASSWORD}@", f"{PASSWORD}@", f":{PASSWORD}@", f"{PASSWORD}:{PASSWORD}@@"]
addresses = st.one_of(
    st.text(max_size=30),
    st.tuples(
        st.sampled_from(["", " ", "\n"]),
        st.sampled_from(["https://", "http://", "HTTPS://", "ftp://", "//", "https:/", "", "https:// "]),
        st.sampled_from(USERS),
        st.one_of(st.sampled_from(HOSTS), url_parts),
        st.sampled_from(["", ":443", ":8080", ":x", ":99999", ":"]),
        st.one_of(st.lists(st.sampled_from(PATHS), max_size=2).map("".join), url_parts.map("/{}".format)),
        st.sampled_from(["", "?a=b", f"?key={PASSWORD}", "#x", "?", "#"]),
        st.sampled_from(["", " ", "\n", "/"]),
    ).map("".join),
)


FIELDS = ["SITE", "API_KEY", "MODEL", "TIMEOUT", "MAX_RETRIES", "HTTP_BACKEND", "ENV_FILE"]
typed = st.one_of(
    addresses, text, st.sampled_from(["cn", " AI ", "sandbox", "1", "-1", "inf", "nan", "0", PASSWORD])
)
environments = st.fixed_dictionaries({"BASE_URL": addresses}, optional=dict.fromkeys(FIELDS, typed))


@given(st.one_of(environments, st.fixed_dictionaries({"BASE_URL": addresses})))
@example({"BASE_URL": "http://h/ #"})
@example({"BASE_URL": "http://h/?a #"})
@settings(max_examples=settings().max_examples * 10)
def test_any_environment_gives_settings_or_an_error_that_names_the_variable(values: dict[str, str]) -> None:
    """Without its value, where that could be a secret; what was made of an address stays as it is when it is read again."""
    assume(PASSWORD not in values.get("ENV_FILE", ""))  # A path, not a secret.
    sendable = {name: value.replace("\x00", "").encode("utf-8", "replace") for name, value in values.items()}
    with mock.patch.dict(os.environ, {f"AITOEARN_{name}": each.decode() for name, each in sendable.items()}):
        try:
            made = load()
        except openai.OpenAIError as error:
            check_words(error, "AITOEARN_")
            return
    assert PASSWORD not in repr(made.api_key)
    assert made.base_url.startswith(("http://", "https://"))
    assert Settings(base_url=made.base_url).base_url == made.base_url


# Model lists.

priced = st.one_of(scalars, st.sampled_from(["0.075", "1E+999999", "-1", "1e-30", "sNaN", "9" * 40, 10**40]))
prices = st.dictionaries(st.sampled_from(["text", "image", "cacheRead", "cacheWrite5m"]), priced, max_size=4)
sides = {"maxInputTokens": scalars, "input": prices, "output": prices}
tiers = st.lists(st.one_of(st.fixed_dictionaries({}, optional=sides), scalars), max_size=3)
pricings = st.one_of(st.fixed_dictionaries({"tiers": tiers}, optional={"price": priced}), json_values)
LISTED = ["label", "tags", "scenes", "channel", "inputModalities", "fixedImagePricing", "created", "id"]
entries = st.fixed_dictionaries(
    {"name": st.one_of(st.just("m"), text, scalars)},
    optional={"pricing": pricings, **dict.fromkeys(LISTED, json_values)},
)
odd_counts = st.one_of(st.integers(0, 300_000), st.integers(), json_values)
odd_details = st.fixed_dictionaries({}, optional={"cached_tokens": odd_counts, "audio_tokens": odd_counts})
odd_usage = {
    **dict.fromkeys(counts, odd_counts),
    "prompt_tokens_details": st.one_of(json_values, odd_details),
}
usages = st.fixed_dictionaries({}, optional=odd_usage).map(lambda each: CompletionUsage.construct(**each))
"""What the SDK makes of the `usage` of an answer: it checks no field."""


@given(st.one_of(st.lists(st.one_of(entries, json_values), max_size=4), json_values), usages)
@example([{"name": "m", "pricing": {"tiers": [{"input": {"text": "1E+999999"}}]}}], None)
@more
def test_any_model_list_is_a_page_of_models_or_an_error_in_words(ours: Any, listed: Any, usage: Any) -> None:
    """And each model can find itself and say a price of any usage, or that there is none: the answer is paid by then."""
    answer(json.dumps({"code": 0, "message": "ok", "data": listed}).encode())
    try:
        page = ours.models.list()
    except openai.OpenAIError as error:
        check_words(error)
        return
    for model in page.data:
        assert isinstance(ours.models.retrieve(model.id), ChatModel)
        for credits in (model.credits(usage), model.credits(prompt_tokens=10, completion_tokens=10)):
            assert credits is None or isinstance(credits, Decimal)
