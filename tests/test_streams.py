"""Streams: chunks as they came, in time. What is in the fault matrix is not here."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from conftest import Asker, Reply, ScriptedServer, in_turns, stream

CHUNK = 'data: {"id":"1","choices":[{"index":0,"delta":{"content":"hi","reasoning_content":"r"}}],"cost":"0.1"}\n\n'
END = 'data: {"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = "data: [DONE]\n\n"
BROKE = "upstream died"


def read(asker: Asker, server: ScriptedServer, body: str, wanted: Any = None) -> list[Any]:
    server.answer(Reply(body, content_type="text/event-stream"))
    return asker.run(wanted or stream("m"), base_url=server.base_url, api_key="k", max_retries=0)  # type: ignore[no-any-return]


def event(data: Any) -> str:
    return f"data: {json.dumps(data)}\n\n"


def test_a_last_chunk_that_no_blank_line_ends_is_not_lost(asker: Asker, server: ScriptedServer) -> None:
    """The plain SDK passes over it in silence."""
    assert len(read(asker, server, CHUNK + END.rstrip())) == 2


ERROR = {"message": "busy", "code": "slow", "param": "model"}


@in_turns(
    "frame,body",
    [
        ("data: busy", "busy"),
        ('event: error\ndata: {"message": "busy"}', {"message": "busy"}),
        (event({"error": ERROR}), ERROR),
    ],
)
def test_the_words_of_a_failure_are_the_message_and_what_came_is_the_body(
    asker: Asker, server: ScriptedServer, frame: str, body: Any
) -> None:
    """Nothing stands before or after the words; of an error in OpenAI's format, it is all as in the plain SDK."""
    with pytest.raises(openai.APIError) as failed:
        read(asker, server, f"{CHUNK}{frame}\n\n")
    assert (str(failed.value), failed.value.body) == ("busy", body)

    if body is ERROR:
        with pytest.raises(openai.APIError) as theirs:
            read(Asker(asker.is_async, openai), server, f"{CHUNK}{frame}\n\n")
        for name in ("message", "body", "code", "param"):
            assert getattr(failed.value, name) == getattr(theirs.value, name)


STREAMED_IMAGES = lambda client: client.images.generate(model="m", prompt="cat", stream=True)


@in_turns(
    "frame",
    [{"detail": BROKE}, {"error": BROKE}, {"error": {"message": BROKE}}, {"success": False, "msg": BROKE}],
)
def test_a_stream_of_another_endpoint_breaks_with_words_too(
    asker: Asker, server: ScriptedServer, frame: Any
) -> None:
    """Where the event has no type, which all events of these endpoints have."""
    with pytest.raises(openai.APIError, match=rf"^{BROKE}$"):
        read(asker, server, event(frame), STREAMED_IMAGES)


@pytest.mark.parametrize(
    ("body", "is_typed"),
    [
        (event({"message": "hello"}), False),
        ("event: thread.run.step.failed\n" + event({"id": "1", "error": {"message": "no"}}), False),
        ("data: 5\n\n", False),
        (DONE, False),
        (event({"type": "image.done", "error": None}), True),
    ],
)
def test_events_of_other_endpoints_stay_the_sdks(
    asker: Asker, server: ScriptedServer, body: str, is_typed: bool
) -> None:
    """Of the caller's own, which need not be objects, or of OpenAI's assistants, whose events carry what failed."""
    stream_class: Any = openai.AsyncStream[object] if asker.is_async else openai.Stream[object]
    post = lambda client: client.post("/x", body={}, cast_to=object, stream=True, stream_cls=stream_class)

    assert len(read(asker, server, body, STREAMED_IMAGES if is_typed else post)) == (body != DONE)


def test_half_an_event_of_another_endpoint_is_a_failure(asker: Asker, server: ScriptedServer) -> None:
    """As half a chunk is; what is whole came before it."""
    whole = event({"type": "image.done", "error": None})
    with pytest.raises(openai.APIError, match="before the answer was complete"):
        read(asker, server, whole + whole[:-9], STREAMED_IMAGES)


def test_of_many_words_in_place_of_a_chunk_the_first_are_the_message(
    asker: Asker, server: ScriptedServer
) -> None:
    """The body has all of them."""
    with pytest.raises(openai.APIError) as failed:
        read(asker, server, f"{CHUNK}data: {'no ' * 5000}\n\n")
    assert len(failed.value.message) <= 300
    assert len(str(failed.value.body)) >= 14_999


@in_turns("wanted", [STREAMED_IMAGES, None])
def test_the_services_failure_in_a_stream_of_another_endpoint_is_its_status(
    asker: Asker, server: ScriptedServer, wanted: Any
) -> None:
    """Of the caller's own, too."""
    stream_class: Any = openai.AsyncStream[object] if asker.is_async else openai.Stream[object]
    post = lambda client: client.post("/x", body={}, cast_to=object, stream=True, stream_cls=stream_class)
    envelope = {"code": 12001, "message": "no credits", "data": {}}
    with pytest.raises(openai.APIStatusError, match=r"402 - no credits \(AiToEarn code 12001\)"):
        read(asker, server, event(envelope), wanted or post)
