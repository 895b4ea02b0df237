"""Fuzzing: whatever a server sends and a user types, the caller gets what the types promise, or an error in words.

`FUZZ_PROFILE=nightly` tries 10,000 examples of each property instead of some twenty. With `CI` set the
examples are the same each time.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import sys
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Any
from unittest import mock

import openai
import pytest
from hypothesis import assume, example, given, settings, strategies as st
from openai.types import CompletionUsage
from pydantic import ValidationError

import aitoearn_openai
from aitoearn_openai import ChatModel, Settings
from aitoearn_openai._settings import load
from conftest import MESSAGES, Asker
from faults.runner import problem_with
from faults.server import Close, Server, Step, head
from faults.table import COMPLETION, Mode

settings.register_profile("dev", max_examples=20, deadline=None, derandomize="CI" in os.environ)
settings.register_profile("nightly", max_examples=10_000, deadline=None, derandomize="CI" in os.environ)
settings.load_profile(os.environ.get("FUZZ_PROFILE", "dev"))

EXAMPLES = settings().max_examples
# A decoder or a setting takes microseconds, a call a hundred times as long, and a socket a hundred times that.
cheap = settings(max_examples=EXAMPLES * 4)
dear = settings(max_examples=max(10, EXAMPLES // 10))

PASSWORD = "Tr0ub4dor-3-pw"


# What a server may say.

text = st.text(max_size=12)
numbers = st.one_of(
    st.integers(-2, 600),
    st.sampled_from([0, 10**30, -(10**30), 10003, 12001, 12300, 1e308, 2**63]),
    st.floats(allow_nan=True, allow_infinity=True),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, text)
NAMES = [
    "choices", "code", "data", "message", "requestId", "error", "id", "object", "model", "created", "usage", "type",
    "delta", "index", "finish_reason", "name", "label", "channel", "tags", "scenes", "pricing", "tiers", "price",
    "originPrice", "originPricing", "input", "output", "text", "image", "maxInputTokens", "cacheRead",
    "inputModalities", "outputModalities", "fixedImagePricing", "resolution", "cost",
]  # fmt: skip
json_values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(NAMES), text), inner, max_size=5),
    ),
    max_leaves=12,
)
envelopes = st.fixed_dictionaries(
    {"code": st.one_of(numbers, text, json_values)},
    optional={
        "data": json_values,
        "message": st.one_of(
            json_values, st.from_regex(r"after [0-9]{1,30} seconds|请在 ?[0-9]{1,30}秒后重试", fullmatch=True)
        ),
        "requestId": json_values,
        "timestamp": scalars,
    },
)
errors = st.fixed_dictionaries({"error": json_values}, optional={"id": text, "choices": json_values})
choices = st.lists(
    st.fixed_dictionaries(
        {
            "index": st.integers(0, 3),
            "message": st.fixed_dictionaries(
                {"role": st.just("assistant"), "content": st.one_of(st.none(), text)},
                optional={"reasoning_content": text, "name": st.none(), "tool_calls": st.just([])},
            ),
            "finish_reason": st.sampled_from(["stop", "length", None]),
        },
        optional={"logprobs": st.none(), "extra": json_values},
    ),
    min_size=1,
    max_size=3,
)
completions = st.fixed_dictionaries(
    {
        "id": text,
        "object": st.just("chat.completion"),
        "created": st.integers(0, 2**31),
        "model": text,
        "choices": choices,
    },
    optional={
        "cost": st.decimals(0, 10, places=4).map(str),
        "usage": st.fixed_dictionaries(
            {name: st.integers(0, 9) for name in ("prompt_tokens", "completion_tokens", "total_tokens")},
            optional={"prompt_tokens_details": st.none()},
        ),
        "extra": json_values,
    },
)
bodies = st.one_of(
    st.one_of(json_values, envelopes, errors, completions).map(lambda value: json.dumps(value).encode()),
    st.one_of(json_values, envelopes).map(lambda value: json.dumps(value).encode()[:-1]),
    st.one_of(json_values, envelopes).map(lambda value: b"data: " + json.dumps(value).encode() + b"\n\n"),
    st.sampled_from(
        [b"", b"\xef\xbb\xbf{}", b"<!DOCTYPE html><p>hi", b"data: [DONE]\n\n", b'{"code":1e999}']
    ),
    st.binary(max_size=60),
)
TYPES = ["application/json", "text/event-stream", "text/html", "text/plain", "a/b+json", "", "json"]
CHARSETS = ["utf-8", "utf-16", "none", "zlib", '"']
content_types = st.one_of(
    st.builds(
        "{}{}".format,
        st.sampled_from(TYPES),
        st.sampled_from(["", ";;=", *(f"; charset={each}" for each in CHARSETS)]),
    ),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12),
    st.none(),
)
header_values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12).map(str.strip)
headers = st.fixed_dictionaries(
    {},
    optional={
        "content-encoding": st.sampled_from(["gzip", "deflate", "identity", "br", "zstd", "x", "gzip, gzip"]),
        "retry-after": header_values,
        "retry-after-ms": header_values,
        "x-request-id": header_values,
        "x-should-retry": st.sampled_from(["true", "false", "maybe"]),
        "location": st.one_of(header_values, st.sampled_from(["/x", "//", "http://[", "ftp://x", "?", "#"])),
        "openai-processing-ms": header_values,
    },
)
statuses = st.one_of(
    st.just(200), st.sampled_from([201, 204, 301, 304, 307, 400, 401, 402, 429, 500, 529, 599])
)
modes: st.SearchStrategy[Mode] = st.sampled_from(["completion", "stream", "list", "raw", "unread"])


def cut(content: bytes, at: Iterable[int]) -> list[bytes]:
    """The content in pieces, cut at these places."""
    ends = sorted({0, len(content), *(place % (len(content) + 1) for place in at)})
    return [content[start:end] for start, end in pairwise(ends)]


places = st.lists(st.integers(0, 10_000), max_size=30)


# Both clients, over a transport that answers without a socket.

_family = sys.modules[openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0]]


class _Pieces(_family.SyncByteStream, _family.AsyncByteStream):  # type: ignore[misc, name-defined]
    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece


_answer: dict[str, Any] = {}


def _respond(request: Any) -> Any:
    pieces = _Pieces(_answer["pieces"])
    return _family.Response(_answer["status"], headers=_answer["headers"], stream=pieces)


def _client(asker: Asker) -> Any:
    pool = openai.DefaultAsyncHttpxClient if asker.is_async else openai.DefaultHttpxClient
    return asker.client(
        base_url="http://127.0.0.1:1/api/ai",
        api_key="k",
        max_retries=0,
        http_client=pool(transport=_family.MockTransport(_respond), trust_env=False),
    )


@pytest.fixture(scope="module")
def ours() -> Iterator[Any]:
    with _client(Asker(False)) as client:
        yield client


@pytest.fixture(scope="module")
def ours_async() -> Any:
    return _client(Asker(True))


@pytest.fixture(scope="module")
def theirs() -> Iterator[Any]:
    with _client(Asker(False, openai)) as client:
        yield client


def answer(pieces: list[bytes], status: int = 200, **fields: str | None) -> None:
    """What the transport of both clients says from now on; `content_type=None` sends none."""
    _answer.update(
        pieces=pieces,
        status=status,
        headers=[(name.replace("_", "-"), value) for name, value in fields.items() if value is not None],
    )


def ask(client: Any, mode: Mode) -> list[Any]:
    """What the call gives: the chunks of a stream, or the one value."""
    if mode == "list":
        return [client.models.list()]
    arguments: Any = {"model": "m", "messages": MESSAGES}
    create = client.chat.completions.create
    if mode == "stream":
        return list(create(**arguments, stream=True))
    if mode == "raw":
        return [client.chat.completions.with_raw_response.create(**arguments).parse()]
    if mode == "unread":
        with client.chat.completions.with_streaming_response.create(**arguments) as response:
            return [response.parse()]
    return [create(**arguments)]


def outcome(client: Any, mode: Mode) -> Any:
    """The values in plain types, or the exception."""
    try:
        return [value.to_dict() for value in ask(client, mode)]
    except Exception as error:  # noqa: BLE001 - what comes out is the question
        return error


def check_words(error: BaseException, holding: str = "") -> None:
    """That an error says something, and no secret."""
    told = str(error)
    if not any(character.isalnum() for character in told):
        # The SDK tells a body that is not JSON, of a failure with a status of its own, as it is.
        assert isinstance(error, openai.APIStatusError)
        assert told == error.response.text.strip()
    assert holding in told
    assert PASSWORD not in f"{error} {error.__cause__}"


@given(
    st.deferred(lambda: bodies | event_streams().map(lambda streamed: streamed[0])),
    content_types,
    headers,
    statuses,
    modes,
    places,
)
@example(b'{"code": 1}', "application/json; charset=zlib", {}, 200, "completion", [])
@example(b"null", "application/json; charset=utf-16", {}, 301, "completion", [])
@example(b"data: [DONE]\n\n", "", {"content-encoding": "gzip"}, 200, "stream", [0])
@settings(max_examples=EXAMPLES * 3)
def test_any_answer_is_a_right_value_or_an_error_in_words(
    ours: Any,
    body: bytes,
    content_type: str | None,
    headers: dict[str, str],
    status: int,
    mode: Mode,
    places: list[int],
) -> None:
    """Never another exception, whatever the body, its type, its encoding and the status."""
    ends = b"[DONE]" in body
    if headers.get("content-encoding") == "gzip" and len(places) % 2:
        body = gzip.compress(body)
    if headers.get("content-encoding") == "deflate" and len(places) % 2:
        body = zlib.compress(body)
    answer(cut(body, places), status, content_type=content_type, **headers)
    try:
        got = ask(ours, mode)
    except openai.OpenAIError as error:
        check_words(error)
    else:
        assert problem_with(mode, got, may_be_empty=ends) == ""


@given(st.one_of(envelopes, errors), modes)
def test_any_envelope_with_a_code_is_never_a_success(ours: Any, body: dict[str, Any], mode: Mode) -> None:
    """Unless its code is 0: then the list may be what it holds."""
    assume("choices" not in body)
    assume(not (mode == "list" and isinstance(body.get("data"), list)))
    answer([json.dumps(body).encode()], content_type="application/json")
    with pytest.raises(openai.OpenAIError):
        ask(ours, mode)


@given(completions, st.sampled_from(["application/json", "text/plain", None]), places)
def test_a_right_completion_is_what_the_plain_sdk_gives(
    ours: Any, theirs: Any, body: dict[str, Any], content_type: str | None, places: list[int]
) -> None:
    """Field for field, those beyond OpenAI's included, read in every way."""
    answer(
        cut(json.dumps(body, ensure_ascii=len(places) % 2 == 0).encode("utf-8", "replace"), places),
        content_type=content_type,
    )
    for mode in ("completion", "raw", "unread"):
        expected = outcome(theirs, mode)
        assert isinstance(expected, list)
        assert same(outcome(ours, mode), expected)


def same(one: Any, other: Any) -> bool:
    """Equal as JSON, in which NaN is itself."""
    if isinstance(one, Exception):
        raise one
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


# Streams.

deltas = st.fixed_dictionaries(
    {},
    optional={"role": st.just("assistant"), "content": st.one_of(st.none(), text), "reasoning_content": text},
)
chunk_bodies = st.fixed_dictionaries(
    {
        "id": text,
        "object": st.just("chat.completion.chunk"),
        "created": st.integers(0, 2**31),
        "model": text,
        "choices": st.lists(
            st.fixed_dictionaries(
                {
                    "index": st.integers(0, 3),
                    "delta": deltas,
                    "finish_reason": st.sampled_from([None, "stop", "length"]),
                }
            ),
            max_size=2,
        ),
    },
    optional={"usage": st.none(), "cost": text, "extra": json_values},
)
line_text = st.text(st.characters(exclude_characters="\r\n\x00", exclude_categories=["Cs"]), max_size=8)
extra_lines = st.one_of(
    line_text.map(": {}".format),
    st.just(":"),
    line_text.map("id: {}".format),
    st.one_of(st.integers(0, 9999), line_text).map("retry: {}".format),
    line_text.map("x-unknown: {}".format),
    st.just("unknown"),
    # A name of its own, but none that the SDK or the service give a meaning.
    st.sampled_from(["event", "event: ", "event: message", "event:chunk"]),
)


KEEPALIVES = [": ping", "retry: 5", "id: 1", "event: ping", "data:", "data: {}", 'data: {"type": "ping"}']


@st.composite
def event_streams(draw: st.DrawFn) -> tuple[bytes, list[Any]]:
    """A valid stream of chunks, with all that the format allows around them, and the chunks."""
    parts: list[str] = [draw(st.sampled_from(["", "", "\ufeff"]))]
    sent: list[Any] = []
    # Of all three kinds at once, a line that ends in CR and a blank line of LF would be one line's end.
    ends = draw(st.sampled_from([["\n"], ["\r\n"], ["\r"], ["\n", "\r\n"]]))
    for body in draw(st.lists(chunk_bodies, min_size=1, max_size=5)):
        end = draw(st.sampled_from(ends))
        indent = draw(st.sampled_from([None, None, 1]))
        payload = json.dumps(body, ensure_ascii=draw(st.booleans()), indent=indent)
        payload = payload.encode("utf-8", "replace").decode()
        sent.append(json.loads(payload))
        lines = [f"data:{draw(st.sampled_from(['', ' ']))}{line}" for line in payload.split("\n")]
        before = draw(st.lists(extra_lines, max_size=3))
        after = draw(st.lists(extra_lines, max_size=2))
        parts += [line + end for line in [*before, *lines, *after]]
        parts.append(end * draw(st.integers(1, 3)))
        parts.append(draw(st.sampled_from(["", *(f"{line}{end}{end}" for line in KEEPALIVES)])))
    parts.append(draw(st.sampled_from(["data: [DONE]\n\n", "data:[DONE]\r\n\r\n"])))
    return "".join(parts).encode(), sent


stream_types = st.sampled_from(["text/event-stream", "application/json", None])


@given(event_streams(), places, stream_types, st.booleans())
@example((b"id: 1\rdata: {}\r\r: ping\r\r", []), [3], "text/event-stream", False)
@settings(max_examples=EXAMPLES * 3)
def test_a_right_stream_gives_each_of_its_chunks(
    ours: Any,
    ours_async: Any,
    streamed: tuple[bytes, list[Any]],
    places: list[int],
    content_type: str | None,
    is_async: bool,
) -> None:
    """Field for field, sync and async, wherever the network cuts it, whatever keeps it alive."""
    content, sent = streamed
    answer(cut(content, places), content_type=content_type)
    got = asyncio.run(outcome_async(ours_async)) if is_async else outcome(ours, "stream")

    assert isinstance(got, openai.OpenAIError) if not sent else same(got, sent)


async def outcome_async(client: Any) -> Any:
    """The chunks of a stream in plain types, or the exception."""
    try:
        chunks = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        return [chunk.to_dict() async for chunk in chunks]
    except Exception as error:  # noqa: BLE001 - what comes out is the question
        return error


@given(bodies, content_types, places, modes)
@dear
def test_any_bytes_over_a_socket_are_a_right_value_or_an_error_in_words(
    body: bytes, content_type: str | None, places: list[int], mode: Mode
) -> None:
    """Also where the connection ends with the body, or before it."""
    claimed = len(body) + len(places) % 3
    pieces: list[Step] = [
        head(content_type=content_type, content_length=str(claimed)),
        *cut(body, places),
        Close,
    ]
    with Server() as server:
        visit = server.visit("v", lambda _: pieces)
        with aitoearn_openai.OpenAI(
            base_url=f"{server.origin()}/v", api_key="k", max_retries=0, timeout=5
        ) as client:
            try:
                got = ask(client, mode)
            except openai.OpenAIError as error:
                check_words(error)
            else:
                assert problem_with(mode, got, may_be_empty=b"[DONE]" in body) == ""
        assert server.settled_connections(visit, 0) == 0


# Settings.

url_parts = st.text(st.characters(min_codepoint=32, max_codepoint=0x3000), max_size=8)
HOSTS = ["aitoearn.cn", "aitoearn.ai", "AiToEarn.CN", "localhost", "127.0.0.1", "[::1]", "[", "a.b.", ""]
PATHS = [
    *("", "/", "/api", "/api/", "/api/ai", "/api/ai/", "/v1", "//", "/api//", "/api/chat/completions"),
    *("/api/ai/chat/completions", "/api/ai/models/chat/", "/chat/completions/chat/completions"),
    "/images/edits/images/edits",
]
USERS = ["", f"user:{PASSWORD}@", f"{PASSWORD}@", f":{PASSWORD}@", f"{PASSWORD}:{PASSWORD}@@"]
addresses = st.one_of(
    st.text(max_size=30),
    st.builds(
        "{}{}{}{}{}{}{}{}".format,
        st.sampled_from(["", " ", "\n", "\t"]),
        st.sampled_from(["https://", "http://", "HTTPS://", "ftp://", "//", "https:/", "", "https:// "]),
        st.sampled_from(USERS),
        st.one_of(st.sampled_from(HOSTS), url_parts),
        st.sampled_from(["", ":443", ":8080", ":x", ":99999", ":-1", ":"]),
        st.one_of(st.sampled_from(PATHS), url_parts.map("/{}".format)),
        st.sampled_from(["", "?a=b", f"?key={PASSWORD}", "#x", "?", "#"]),
        st.sampled_from(["", " ", "\n", "/"]),
    ),
)


@given(addresses)
@example("https://h/chat/completions/chat/completions")
@example("http://h/ #")
@example("http://h/x ?")
@example("http://h/?a #")
@settings(max_examples=EXAMPLES * 10)
def test_any_address_is_a_base_url_or_refused_without_its_password(address: str) -> None:
    """And what was made of it stays as it is when it is read once more."""
    try:
        url = Settings(base_url=address).base_url
    except ValidationError as error:
        check_words(error)
    else:
        assert url.startswith(("http://", "https://"))
        assert Settings(base_url=url).base_url == url


setting_values = st.one_of(
    addresses, text, st.sampled_from(["cn", " AI ", "sandbox", "1", "-1", "inf", "nan", "0", PASSWORD])
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.one_of(setting_values, json_values)
            for name in ("site", "base_url", "api_key", "model", "timeout", "max_retries")
        },
    )
)
@cheap
def test_any_settings_are_settings_or_refused_without_a_password(arguments: dict[str, Any]) -> None:
    """Nor do good settings show the key."""
    try:
        made = Settings(**arguments)
    except ValidationError as error:
        check_words(error)
    else:
        key = made.api_key.get_secret_value() if made.api_key else ""
        assert PASSWORD not in key or PASSWORD not in repr(made.api_key)
        assert Settings(base_url=made.base_url).base_url == made.base_url


@given(
    st.dictionaries(
        st.sampled_from(
            ["SITE", "BASE_URL", "API_KEY", "MODEL", "TIMEOUT", "MAX_RETRIES", "HTTP_BACKEND", "ENV_FILE"]
        ),
        setting_values.map(lambda value: value.replace("\x00", "").encode("utf-8", "replace").decode()),
    )
)
@cheap
def test_any_environment_gives_settings_or_an_error_that_names_the_variable(values: dict[str, str]) -> None:
    """Not its value, where that could be a secret."""
    assume(PASSWORD not in values.get("ENV_FILE", ""))  # A path, not a secret.
    with mock.patch.dict(os.environ, {f"AITOEARN_{name}": value for name, value in values.items()}):
        try:
            made = load()
        except openai.OpenAIError as error:
            check_words(error, "AITOEARN_")
        else:
            assert Settings(base_url=made.base_url).base_url == made.base_url


# Model lists.

priced = st.one_of(
    scalars,
    st.sampled_from(["0.075", "1E+999999", "-1", "1e-30", "NaN", "sNaN", "Infinity", "9" * 40, 0.1, 10**40]),
)
prices = st.dictionaries(
    st.sampled_from(["text", "image", "audio", "video", "cacheRead", "cacheWrite5m", "cacheWrite1h"]),
    priced,
    max_size=4,
)
tiers = st.lists(
    st.one_of(
        st.fixed_dictionaries({}, optional={"maxInputTokens": scalars, "input": prices, "output": prices}),
        scalars,
    ),
    max_size=3,
)
pricings = st.one_of(
    st.fixed_dictionaries({"tiers": tiers}),
    st.fixed_dictionaries({"tiers": tiers}, optional={"price": priced, "originPrice": priced}),
    json_values,
)
FIELDS = [
    "label", "description", "tags", "scenes", "channel", "creditsScope", "inputModalities", "outputModalities",
    "fixedImagePricing", "created", "object", "id", "owned_by",
]  # fmt: skip
model_entries = st.fixed_dictionaries(
    {"name": st.one_of(st.just("m"), text, scalars)},
    optional={"pricing": pricings, **dict.fromkeys(FIELDS, json_values)},
)
counts = st.one_of(st.integers(0, 300_000), st.integers())
odd_counts = st.one_of(counts, json_values)
usages = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {},
        optional={
            "prompt_tokens": odd_counts,
            "completion_tokens": odd_counts,
            "total_tokens": odd_counts,
            "prompt_tokens_details": st.one_of(
                json_values,
                st.fixed_dictionaries({}, optional={"cached_tokens": odd_counts, "audio_tokens": odd_counts}),
            ),
        },
    ).map(lambda fields: CompletionUsage.construct(**fields)),
)
"""What the SDK makes of the `usage` of an answer: it checks no field."""


@given(st.one_of(st.lists(st.one_of(model_entries, json_values), max_size=4), json_values))
def test_any_model_list_is_a_page_of_models_or_an_error_in_words(ours: Any, entries: Any) -> None:
    """And each model can say its price, find itself, and be shown."""
    answer(
        [json.dumps({"code": 0, "message": "ok", "data": entries}).encode()], content_type="application/json"
    )
    try:
        page = ours.models.list()
    except openai.OpenAIError as error:
        check_words(error)
        return
    assert isinstance(page.data, list)
    for model in page.data:
        assert isinstance(model, ChatModel)
        assert model.id.strip()
        credits = model.credits(prompt_tokens=10, completion_tokens=10)
        assert credits is None or isinstance(credits, Decimal)
        assert model.id in repr(model) or repr(model)
        assert isinstance(ours.models.retrieve(model.id), ChatModel)


@given(pricings, usages, counts, counts, counts)
@example({"tiers": [{}]}, CompletionUsage.construct(), 0, 0, 0)
@example({"tiers": [{}]}, CompletionUsage.construct(prompt_tokens=1, prompt_tokens_details=True), 0, 0, 0)
@example({"tiers": [{"input": {"text": "1E+999999"}}]}, None, 10, 1, 1)
@cheap
def test_any_usage_of_any_model_has_a_price_or_none(
    pricing: Any, usage: Any, prompt_tokens: int, completion_tokens: int, cached_tokens: int
) -> None:
    """Never an exception: the answer has been paid for by then."""
    model = ChatModel.model_validate({"name": "m", "pricing": pricing})
    credits = model.credits(
        usage, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, cached_tokens=cached_tokens
    )

    assert credits is None or isinstance(credits, Decimal)


def test_the_answer_that_the_examples_start_from_is_right(ours: Any) -> None:
    """The transport without a socket answers as a server does."""
    answer([json.dumps(COMPLETION).encode()], content_type="application/json")

    assert outcome(ours, "completion") == outcome(ours, "unread")
