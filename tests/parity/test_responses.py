"""Raw and unread responses: the same in each part, however they are read."""

from __future__ import annotations

import gc
import inspect
import re
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from operator import methodcaller
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion

from conftest import MESSAGES, Reply, complete, stream
from parity.calls import ANSWER, CALLS, CHUNKS, FILES, PICTURES, Weather
from parity.twins import (
    Each,
    Twins,
    WithRaw,
    WithStreaming,
    entered,
    headers,
    listed,
    one_connection,
    request_id,
    sdks_class,
    told,
    wait,
)


@pytest.mark.parametrize(
    "name",
    ["plain", "images", "edit-named", "json-of-another-charset", "parsed", "parsed-tools"],
)
def test_a_raw_response_is_the_same_in_each_part(twins: Twins, name: str) -> None:
    """Headers, status, request and content, how often it was retried, and the parsed object."""
    raw_asks: dict[str, Callable[[Any], Any]] = {
        "plain": lambda client: complete("m")(WithRaw(client)),
        "images": lambda client: client.images.with_raw_response.generate(model="m", prompt="p"),
        "parsed": lambda client: client.chat.completions.with_raw_response.parse(
            model="m", messages=MESSAGES, response_format=Weather
        ),
        "parsed-tools": lambda client: client.with_raw_response.chat.completions.parse(
            model="m", messages=MESSAGES, tools=[openai.pydantic_function_tool(Weather)]
        ),
        "edit-named": lambda client: client.images.with_raw_response.edit(image=FILES["named"], prompt="p"),
        "json-of-another-charset": lambda client: complete("m")(WithRaw(client)),
    }

    async def ask(client: Any) -> Any:
        raw = await wait(raw_asks[name](client))
        http = raw.http_response
        parsed = await wait(raw.parse())
        return [
            (sdks_class(raw), raw.status_code, raw.method, str(raw.url), raw.http_version, raw.is_closed),
            (raw.retries_taken, raw.request_id, headers(raw), raw.content, raw.text, type(raw.elapsed)),
            (type(http), http.reason_phrase, http.is_stream_consumed, http.encoding, http.history),
            (http.num_bytes_downloaded, http.request.method),
            [pair for pair in raw.http_request.headers.multi_items() if pair[0] != "content-type"],
            (parsed, parsed is await wait(raw.parse()), request_id(parsed)),
        ]

    wanted = Reply(**{**vars(CALLS[name][1]), "headers": {"X-Request-Id": "r-1", "Set-Cookie": "a=b"}})
    outcome = twins.same(ask, Reply(status=503, headers={"Retry-After-Ms": "1"}), wanted)

    assert outcome.result[1][:2] == [1, "r-1"]


@pytest.mark.parametrize("wrapper", [WithRaw, WithStreaming])
def test_a_raw_response_is_shown_as_the_sdk_shows_it(twins: Twins, wrapper: Any) -> None:
    """In a log or a prompt it is an `APIResponse`, with its status."""

    async def ask(client: Any) -> Any:
        if wrapper is WithRaw:
            shown = repr(await wait(complete("m")(WithRaw(client))))
        else:
            async with entered(complete("m")(WithStreaming(client))) as response:
                shown = repr(response)
        return re.sub(r"[\w.]+\.|0x\w+", "", shown)

    twins.same(ask, ANSWER)


OTHER_TYPES = [str, object, dict, dict[str, Any], int, Weather, ChatCompletion, openai.BaseModel]


@pytest.mark.parametrize("wrapper", [WithRaw, WithStreaming])
@pytest.mark.parametrize("to", OTHER_TYPES, ids=str)
def test_a_raw_response_can_be_parsed_to_another_type(twins: Twins, to: Any, wrapper: Any) -> None:
    """Whatever the SDK's `parse(to=...)` takes, text included."""

    async def ask(client: Any) -> Any:
        if wrapper is WithRaw:
            return (await wait(complete("m")(WithRaw(client)))).parse(to=to)
        async with entered(complete("m")(WithStreaming(client))) as response:
            return await wait(response.parse(to=to))

    twins.same(ask, ANSWER)


def raw_bytes(response: Any) -> Any:
    http = response.http_response
    return http.aiter_raw() if isinstance(response, openai.AsyncAPIResponse) else http.iter_raw()


READERS: dict[str, Callable[[Any], Any]] = {
    **{
        name: methodcaller(name)
        for name in ("parse", "read", "text", "json", "iter_bytes", "iter_text", "iter_lines", "close")
    },
    "iter_bytes-small": methodcaller("iter_bytes", chunk_size=7),
    "http_response": raw_bytes,
    "nothing": lambda response: None,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["completion", "stream", "image"])
def test_an_unread_response_is_read_the_same_way(twins: Twins, reader: str, kind: str) -> None:
    """Its body is unread at hand-over, each reader gives the same, and the block closes it."""

    async def ask(client: Any) -> Any:
        images = client.images.with_streaming_response
        manager = {
            "completion": lambda: complete("m")(WithStreaming(client)),
            "stream": lambda: stream("m")(WithStreaming(client)),
            "image": lambda: images.generate(model="m", prompt="p"),
        }[kind]()
        async with entered(manager) as response:
            http = response.http_response
            before = (sdks_class(response), http.is_stream_consumed, http.is_closed, headers(response))
            more = (response.status_code, response.request_id, response.retries_taken, response.is_closed)
            try:
                result = await wait(READERS[reader](response))
                result = await listed(result) if isinstance(result, (Iterator, AsyncIterator)) else result
            except ValueError as error:  # A stream is no JSON.
                result = told(error)
        after = (http.is_closed, http.is_stream_consumed)
        return before, more, result, after, await wait(complete("m")(client))

    replies = {"completion": ANSWER, "stream": CHUNKS, "image": PICTURES}
    outcome = twins.same(ask, replies[kind], ANSWER)
    before, _, _, after, again = outcome.result

    assert before[1:3] == [False, False]
    assert after[0]
    assert isinstance(again, ChatCompletion)


def test_an_exception_inside_the_block_closes_an_unread_response(twins: Twins) -> None:
    """The caller's own error passes through, and the connection is given back."""

    async def ask(client: Any) -> Any:
        responses = []
        try:
            async with entered(complete("m")(WithStreaming(client))) as response:
                responses.append(response.http_response)
                raise KeyError("mine")
        except KeyError as error:
            again = await wait(complete("m")(client))
            return str(error), responses[0].is_closed, responses[0].is_stream_consumed, again

    assert twins.same(ask, ANSWER, http_client=Each(lambda: one_connection(twins))).result[1]


@pytest.mark.parametrize("kind", ["completion", "raw", "stream"])
def test_an_answer_is_let_go_with_the_last_reference_to_it(twins: Twins, kind: str) -> None:
    """Answers can be large: they do not wait for the garbage collector where the SDK's do not."""

    async def ask(client: Any) -> Any:
        asks = {
            "completion": complete("m"),
            "raw": lambda each: complete("m")(WithRaw(each)),
            "stream": stream("m"),
        }
        answer = await wait(asks[kind](client))
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

    assert twins.same(ask, CHUNKS if kind == "stream" else ANSWER).result[
        0
    ]  # openai 1.x keeps some of the rest.


def test_the_methods_of_a_raw_response_have_the_sdks_signatures(twins: Twins) -> None:
    """`parse` too, for those who look before they call."""

    async def ask(client: Any) -> Any:
        raw = await wait(complete("m")(WithRaw(client)))
        return str(inspect.signature(raw.parse)), [name for name in dir(raw) if not name.startswith("_")]

    twins.same(ask, ANSWER)
