"""Streams: the same chunks and events, and the connection back however they are left."""

from __future__ import annotations

import contextlib
from typing import Any

import openai
import pytest

from conftest import MESSAGES, complete, stream
from parity.calls import ANSWER, CHUNKS, Weather, chunk, sse
from parity.twins import (
    Each,
    Twins,
    WithRaw,
    close,
    entered,
    first,
    listed,
    one_connection,
    told,
    wait,
)

WAYS_OUT = ["close", "block", "break", "error", "to-the-end", "not-at-all"]


@pytest.mark.parametrize("way", WAYS_OUT)
def test_after_a_stream_that_is_left_the_connection_can_be_used(twins: Twins, way: str) -> None:
    """Closed early, left by its block, by `break` or by an error, or read to its end, there is one connection."""

    async def ask(client: Any) -> Any:
        chunks = await wait(stream("m")(client))
        got = []
        if way == "close":
            got.append(await first(chunks))
            await close(chunks)
        elif way == "break":
            async with entered(chunks):
                got.append(await first(chunks))
        elif way == "block":
            async with entered(chunks) as same:
                assert same is chunks
        elif way == "error":
            with contextlib.suppress(KeyError):
                async with entered(chunks):
                    got.append(await first(chunks))
                    raise KeyError
        elif way == "to-the-end":
            got += await listed(chunks)
        else:
            await close(chunks)
        await close(chunks)
        left = (chunks.response.is_closed, chunks.response.is_stream_consumed, type(chunks))
        try:
            got += await listed(chunks)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other has it too
            got.append(told(error))
        return got, left, await wait(complete("m")(client)), await listed(await wait(stream("m")(client)))

    outcome = twins.same(ask, CHUNKS, ANSWER, CHUNKS, http_client=Each(lambda: one_connection(twins)))

    assert outcome.result[1][0]
    assert len(outcome.requests) == 3


def test_a_stream_can_be_read_raw(twins: Twins) -> None:
    """`with_raw_response` and `stream=True`: the headers first, the chunks from `parse()`."""

    async def ask(client: Any) -> Any:
        raw = await wait(stream("m")(WithRaw(client)))
        before = (raw.headers["content-type"], raw.request_id, raw.http_response.is_stream_consumed)
        return before, type(raw.parse()), await listed(raw.parse())

    assert twins.same(ask, CHUNKS).result[0] == ["text/event-stream", "r-1", False]


HELPERS: dict[str, dict[str, Any]] = {
    "text": {},
    "response-format": {"response_format": Weather},
    "tools": {"tools": [openai.pydantic_function_tool(Weather)]},
}


@pytest.mark.parametrize("left", [False, True], ids=["to-the-end", "left-early"])
@pytest.mark.parametrize("name", HELPERS)
def test_the_stream_helper_gives_the_same_events(twins: Twins, name: str, left: bool) -> None:
    """Content, parsed objects and tool calls as they grow, and the final completion."""
    function = {"name": "Weather", "arguments": ""}
    pieces = ['{"city": "北京", ', '"degrees": 7}']
    tools = sse(
        chunk(
            role="assistant", tool_calls=[{"index": 0, "id": "c", "type": "function", "function": function}]
        ),
        *(chunk(tool_calls=[{"index": 0, "function": {"arguments": piece}}]) for piece in pieces),
        chunk(finish_reason="tool_calls"),
    )

    async def ask(client: Any) -> Any:
        manager = client.chat.completions.stream(model="m", messages=MESSAGES, **HELPERS[name])
        async with entered(manager) as events:
            if left:
                return [await first(events), type(events)], await wait(events.close())
            seen_events = [(event.type, event) for event in await listed(events)]
            return seen_events, await wait(events.get_final_completion()), type(events)

    outcome = twins.same(ask, tools if name == "tools" else CHUNKS)

    assert left or len(outcome.result[0]) > 5
