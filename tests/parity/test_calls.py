"""Calls, streams and raw responses: byte for byte to the server, and an equal object, or the same exception, back."""

from __future__ import annotations

import contextlib
import gc
import inspect
import re
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from operator import methodcaller
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion

from conftest import MESSAGES, Reply, complete, raw, stream
from faults.runner import entered, first, wait
from parity.calls import ANSWER, CALLS, CHUNKS, MODELS, Weather, chunk, sse
from parity.conftest import Each, Twins, headers, listed, one_connection, sdks_class, told


@pytest.mark.parametrize("strict", [{}, {"_strict_response_validation": True}], ids=["loose", "strict"])
@pytest.mark.parametrize("name", CALLS)
def test_a_call_sends_and_returns_the_same(twins: Twins, name: str, strict: dict[str, Any]) -> None:
    """Whatever is asked, and whatever it is answered."""
    ask, reply = CALLS[name]

    async def asked(client: Any) -> Any:
        result = await wait(ask(client))
        if isinstance(result, (openai.Stream, openai.AsyncStream)):
            return await listed(result)
        if hasattr(result, "http_response"):
            return result.content
        return result, getattr(result, "_request_id", "")

    twins.same(asked, reply, **strict)


def test_the_model_list_differs_by_its_address_and_second_key_alone(twins: Twins) -> None:
    """The same headers otherwise, a second key that the client was given included; what comes back is read as in the SDK."""

    async def ask(client: Any) -> Any:
        results, lists = [], [await listed(client.models.list())]
        for models in (client.with_raw_response.models, client.models.with_raw_response):
            raw = await wait(models.list(extra_headers={"X-One": "1"}, extra_query={"q": "1"}, timeout=5))
            results += [sdks_class(raw), raw.status_code, raw.request_id, raw.retries_taken]
            lists.append(raw.parse().data)
        async with entered(client.models.with_streaming_response.list()) as response:
            results.append(response.http_response.is_stream_consumed)
            lists.append((await wait(response.parse())).data)
        page = await wait(client.with_options(default_headers={"X-Two": "2"}).models.list())
        results += [page.has_next_page(), page.next_page_info(), page._request_id]
        return results, [[model.id for model in models] for models in [*lists, await listed(page)]]

    outcome = twins.same(ask, Reply(MODELS, headers={"X-Request-Id": "r-1"}))
    twins.same(ask, Reply(MODELS), default_headers={"X-Api-Key": "mine"})
    twins.same(lambda client: client.models.retrieve(""), Reply(MODELS))

    assert outcome.result[1] == [["a", "b"]] * 5


@pytest.mark.parametrize("way", ["close", "break", "error", "to-the-end"])
def test_after_a_stream_that_is_left_the_connection_can_be_used(twins: Twins, way: str) -> None:
    """Closed early, left by `break` or by an error, or read to its end, there is one connection."""

    async def ask(client: Any) -> Any:
        chunks = await wait(stream("m")(client))
        got = []
        with contextlib.suppress(KeyError):
            async with entered(chunks) as same:
                assert same is chunks
                got.append(await first(chunks))
                if way == "close":
                    await wait(chunks.close())
                elif way == "error":
                    raise KeyError
                elif way == "to-the-end":
                    got += await listed(chunks)
        left = (chunks.response.is_closed, chunks.response.is_stream_consumed, type(chunks))
        return got, left, await wait(complete("m")(client)), await listed(await wait(stream("m")(client)))

    outcome = twins.same(ask, CHUNKS, ANSWER, CHUNKS, http_client=Each(lambda: one_connection(twins)))

    assert outcome.result[1][0]


BEGUN = [{"index": 0, "id": "c", "type": "function", "function": {"name": "Weather", "arguments": ""}}]
STREAMED_CALL = sse(
    chunk(role="assistant", tool_calls=BEGUN),
    chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"city": "北京", '}}]),
    chunk(tool_calls=[{"index": 0, "function": {"arguments": '"degrees": 7}'}}]),
    chunk(finish_reason="tool_calls"),
)
HELPED: dict[str, tuple[dict[str, Any], Reply]] = {
    "text": ({}, CHUNKS),
    "response-format": ({"response_format": Weather}, CHUNKS),
    "tools": ({"tools": [openai.pydantic_function_tool(Weather)]}, STREAMED_CALL),
}


@pytest.mark.parametrize("name", HELPED)
def test_the_stream_helper_gives_the_same_events(twins: Twins, name: str) -> None:
    """Content, parsed objects and tool calls as they grow, and the final completion; or it is left early."""
    given, reply = HELPED[name]

    async def ask(client: Any) -> Any:
        helper = client.chat.completions.stream
        async with entered(helper(model="m", messages=MESSAGES, **given)) as events:
            seen = [(event.type, event) for event in await listed(events)]
            final = await wait(events.get_final_completion())
        async with entered(helper(model="m", messages=MESSAGES, **given)) as events:
            return seen, final, await first(events), type(events), await wait(events.close())

    assert len(twins.same(ask, reply).result[0]) > 5


@pytest.mark.parametrize("name", ["plain", "images", "json-of-another-charset", "parsed"])
def test_a_raw_response_is_the_same_in_each_part(twins: Twins, name: str) -> None:
    """Headers, status, request and content, how often it was retried, and the parsed object; and how it is shown."""
    wanted, answer = CALLS[name]

    async def ask(client: Any) -> Any:
        raw = await wait(wanted(client.with_raw_response))
        http = raw.http_response
        parsed = await wait(raw.parse())
        return [
            (sdks_class(raw), raw.status_code, raw.method, str(raw.url), raw.http_version, raw.is_closed),
            (raw.retries_taken, raw.request_id, headers(raw), raw.content, raw.text, type(raw.elapsed)),
            (type(http), http.reason_phrase, http.is_stream_consumed, http.encoding, http.history),
            (http.num_bytes_downloaded, http.request.method, raw.http_request.headers.multi_items()),
            (parsed, parsed is await wait(raw.parse()), parsed._request_id),
            # For those who look before they call, and in a log.
            (str(inspect.signature(raw.parse)), [name for name in dir(raw) if not name.startswith("_")]),
            re.sub(r"[\w.]+\.|0x\w+", "", repr(raw)),
        ]

    reply = replace(answer, headers={"X-Request-Id": "r-1", "Set-Cookie": "a=b"})
    outcome = twins.same(ask, Reply(status=503, headers={"Retry-After-Ms": "1"}), reply)

    assert outcome.result[1][:2] == [1, "r-1"]


OTHER_TYPES = [str, object, dict, dict[str, Any], int, Weather, ChatCompletion, openai.BaseModel]


@pytest.mark.parametrize("to", OTHER_TYPES, ids=str)
def test_a_raw_response_can_be_parsed_to_another_type(twins: Twins, to: Any) -> None:
    """Whatever the SDK's `parse(to=...)` takes, text included; unread or not."""

    async def ask(client: Any) -> Any:
        async with entered(complete("m")(client.with_streaming_response)) as response:
            return await wait(response.parse(to=to)), re.sub(r"[\w.]+\.|0x\w+", "", repr(response))

    twins.same(ask, ANSWER)
    twins.same(raw(complete("m"), to=to), ANSWER)


NAMES = "parse", "read", "text", "json", "iter_text", "iter_lines", "close"
READERS: dict[str, Callable[[Any], Any]] = {
    **{name: methodcaller(name) for name in NAMES},
    "iter_bytes": methodcaller("iter_bytes", chunk_size=7),
    "nothing": lambda response: None,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["completion", "stream"])
def test_an_unread_response_is_read_the_same_way(twins: Twins, reader: str, kind: str) -> None:
    """Its body is unread at hand-over, each reader gives the same, and the block closes it, by an exception too."""
    wanted = complete("m") if kind == "completion" else stream("m")

    async def ask(client: Any) -> Any:
        with contextlib.suppress(KeyError):
            async with entered(wanted(client.with_streaming_response)) as response:
                http = response.http_response
                before = [http.is_stream_consumed, http.is_closed, sdks_class(response), headers(response)]
                before += [
                    response.status_code,
                    response.request_id,
                    response.retries_taken,
                    response.is_closed,
                ]
                try:
                    result = await wait(READERS[reader](response))
                    result = await listed(result) if isinstance(result, (Iterator, AsyncIterator)) else result
                except ValueError as error:  # A stream is no JSON.
                    result = told(error)
                raise KeyError
        closed = http.is_closed, http.is_stream_consumed
        return before, result, *closed, await wait(complete("m")(client))

    pool = Each(lambda: one_connection(twins))
    outcome = twins.same(ask, CHUNKS if kind == "stream" else ANSWER, ANSWER, http_client=pool)

    assert outcome.result[0][:2] == [False, False]
    assert outcome.result[2]


def test_a_stream_can_be_read_raw(twins: Twins) -> None:
    """`with_raw_response` and `stream=True`: the headers first, the chunks from `parse()`."""

    async def ask(client: Any) -> Any:
        raw = await wait(stream("m")(client.with_raw_response))
        before = (raw.headers["content-type"], raw.request_id, raw.http_response.is_stream_consumed)
        return before, type(raw.parse()), await listed(raw.parse())

    assert twins.same(ask, CHUNKS).result[0] == ["text/event-stream", "r-1", False]


@pytest.mark.parametrize("kind", ["completion", "raw", "stream"])
def test_an_answer_is_let_go_with_the_last_reference_to_it(twins: Twins, kind: str) -> None:
    """Answers can be large: they do not wait for the garbage collector where the SDK's do not."""

    async def ask(client: Any) -> Any:
        asked = stream("m") if kind == "stream" else complete("m")
        answer = await wait(asked(client.with_raw_response if kind == "raw" else client))
        if kind == "raw":
            answer.parse()
        elif kind == "stream":
            answer = (await listed(answer))[-1]
        held = [weakref.ref(answer), weakref.ref(getattr(answer, "http_response", answer))]
        gc.disable()
        try:
            del answer
            return [each() is None for each in held]
        finally:
            gc.enable()

    # openai 1.x keeps some of the rest.
    assert twins.same(ask, CHUNKS if kind == "stream" else ANSWER).result[0]
