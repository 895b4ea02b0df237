"""Server-sent events: what is well formed arrives, keep-alives are passed over, and a failure is never missed."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from conftest import Asker, Reply, ScriptedServer, stream

USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def frame(**fields: Any) -> str:
    return f"data: {json.dumps(fields)}\n\n"


def chunk(text: str, **fields: Any) -> str:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return frame(**{**head, "choices": [choice], **fields})


A, B, DONE = chunk("a"), chunk("b"), "data: [DONE]\n\n"


def collect(
    asker: Asker, server: ScriptedServer, body: str | bytes
) -> tuple[list[Any], openai.APIError | None]:
    """The chunks that arrived, and the error, if any, that came after them."""
    server.answer(Reply(body, content_type="text/event-stream"))
    chunks: list[Any] = []

    async def ask_async(client: Any) -> None:
        async for each in await stream("m")(client):
            chunks.append(each)

    def ask(client: Any) -> None:
        chunks.extend(stream("m")(client))  # Keeps what came before an error.

    try:
        asker.run(ask_async if asker.is_async else ask, base_url=server.base_url, api_key="k", max_retries=0)
    except openai.APIError as error:
        return chunks, error
    return chunks, None


def texts(chunks: list[Any]) -> list[str]:
    return [choice.delta.content for each in chunks for choice in each.choices]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "body",
    [
        "retry: 3000\n\n" + A + B,
        A + "retry: 3000\n\n" + B,
        "id: 1\n" + A + ": ping\n\n" + B,
        "id: 1\n" + A + "\n\n" + B,
        A + "event: ping\n\n" + B,
        A + "event: ping\nid: 7\n\n" + B,
        A + "data:\n\n" + B,
        A + "data: \n\n" + B,
        A + "data:  \n\n" + B,
        A + "event: message\ndata\n\n" + B,
        A + ": \n\n: comment\n" + B,
    ],
)
def test_an_event_without_data_is_not_dispatched(
    asker: Asker, server: ScriptedServer, body: str, line_end: str
) -> None:
    """So says the standard: it is how servers keep a connection alive."""
    chunks, error = collect(asker, server, (body + DONE).replace("\n", line_end))

    assert (texts(chunks), error) == (["a", "b"], None)


@pytest.mark.parametrize("first", [A, ": comment\n\n" + A, "id: 1\n" + A])
def test_a_byte_order_mark_is_no_part_of_the_first_line(
    asker: Asker, server: ScriptedServer, first: str
) -> None:
    """The first chunk is not lost."""
    chunks, error = collect(asker, server, "\ufeff" + first + B + DONE)

    assert (texts(chunks), error) == (["a", "b"], None)


@pytest.mark.parametrize("place", ["before", "between", "after"])
@pytest.mark.parametrize(
    "alive",
    [
        "data: {}\n\n",
        "data: null\n\n",
        'data: {"type": "ping"}\n\n',
        'event: ping\ndata: {"type": "ping"}\n\n',
        "event: heartbeat\ndata: 2026-11-25\n\n",
        'data: {"error": null}\n\n',
        'data: {"error": {}}\n\n',
        'data: {"choices": null}\n\n',
    ],
)
def test_a_frame_with_nothing_of_a_chunk_is_passed_over(
    asker: Asker, server: ScriptedServer, alive: str, place: str
) -> None:
    """It keeps the connection alive, and there is nothing in it for the caller."""
    parts = {"before": [alive, A, B], "between": [A, alive, B], "after": [A, B, alive]}[place]
    chunks, error = collect(asker, server, "".join([*parts, DONE]))

    assert (texts(chunks), len(chunks), error) == (["a", "b"], 2, None)


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"choices": None, "usage": USAGE}, "usage", USAGE),
        ({"usage": USAGE}, "usage", USAGE),
        (
            {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "usage": USAGE},
            "usage",
            USAGE,
        ),
        ({"cost": "0.1"}, "cost", "0.1"),
        ({"choices": [], "prompt_filter_results": [1]}, "prompt_filter_results", [1]),
        ({"id": "c"}, "id", "c"),
    ],
)
def test_a_frame_with_something_of_a_chunk_is_a_chunk_without_choices(
    asker: Asker, server: ScriptedServer, fields: dict[str, Any], name: str, value: Any
) -> None:
    """Code that loops over `chunk.choices` works, and the numbers arrive."""
    chunks, error = collect(asker, server, A + B + frame(**fields) + DONE)

    assert (texts(chunks), error) == (["a", "b"], None)
    assert chunks[2].choices == []
    assert chunks[2].to_dict()[name] == value


@pytest.mark.parametrize(
    "body",
    [
        "data: {}\n\n",
        "data: {}\n\n" + DONE,
        DONE,
        ": ping\n\n",
        frame(choices=None, usage=USAGE) + DONE,
        "event: ping\n\n",
    ],
)
def test_a_stream_of_nothing_but_keep_alives_is_an_error(
    asker: Asker, server: ScriptedServer, body: str
) -> None:
    """There is no answer in it."""
    assert "ended before its first event" in str(collect(asker, server, body)[1])


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("event: error\ndata: upstream broke", "upstream broke"),
        ("event: error\ndata: upstream\ndata: broke", "upstream\nbroke"),
        ('event: error\ndata: {"message":\ndata:  "upstream broke"}', "upstream broke"),
        ('data: {"code": 12301,\ndata: "message": "upstream broke"}', "upstream broke"),
        ("event: error", "without a message"),
    ],
)
def test_a_failure_that_no_blank_line_ends_is_raised(
    asker: Asker, server: ScriptedServer, event: str, message: str, end: str
) -> None:
    """The server broke off in the middle of saying why."""
    chunks, error = collect(asker, server, A + event + end)

    assert texts(chunks) == ["a"]
    assert message in str(error)


@pytest.mark.parametrize(
    "fields",
    [
        {"error": "upstream broke"},
        {"error": {"message": "upstream broke"}},
        {"error": {"code": 1, "reason": "upstream broke"}},
        {"error": ["upstream broke"]},
        {"object": "error", "message": "upstream broke", "code": 400},
        {"object": "error", "message": "upstream broke"},
        {"success": False, "msg": "upstream broke"},
        {"detail": "upstream broke"},
        {"base_resp": {"status_code": 1002, "status_msg": "upstream broke"}},
        {"type": "error", "message": "upstream broke"},
        {"status": "failed", "reason": "upstream broke"},
        {"code": 12301, "message": "upstream broke"},
        {
            "choices": [
                {"index": 0, "delta": {}, "finish_reason": "error", "error": {"message": "upstream broke"}}
            ]
        },
        {"choices": [{"index": 0, "delta": {}, "error": "upstream broke"}]},
        {"choices": "upstream broke"},
        {"choices": ["upstream broke"]},
    ],
)
def test_every_shape_of_a_failure_in_a_stream_has_the_servers_words(
    asker: Asker, server: ScriptedServer, fields: dict[str, Any]
) -> None:
    """After the chunks before it, and without a word of the base URL, which was right."""
    chunks, error = collect(asker, server, A + frame(**fields) + B + DONE)

    assert texts(chunks) == ["a"]
    assert "upstream broke" in str(error)
    assert "base URL" not in str(error)


def test_a_choice_that_failed_has_the_status_that_its_code_stands_for(
    asker: Asker, server: ScriptedServer
) -> None:
    """As gateways send it; without a code it is a failure of the model behind them."""
    for error, status in (
        ({"code": 429, "message": "slow down"}, 429),
        ({"message": "died"}, 502),
        ("died", 502),
    ):
        failed = [{"index": 0, "delta": {"content": ""}, "finish_reason": "error", "error": error}]
        _, raised = collect(asker, server, A + frame(id="c", choices=failed) + DONE)
        assert isinstance(raised, openai.APIStatusError)
        assert raised.status_code == status
    _, raised = collect(
        asker, server, A + frame(choices=[{"index": 0, "delta": {}, "finish_reason": "error"}])
    )
    assert isinstance(raised, openai.APIStatusError)


def test_what_comes_after_the_end_is_nobodys_business(asker: Asker, server: ScriptedServer) -> None:
    """`[DONE]` is the end, whatever a server goes on to say; openai 1.x reads on."""
    chunks, error = collect(asker, server, A + DONE + frame(code=12301, message="late") + B)

    assert (texts(chunks), error) == (["a"], None)
