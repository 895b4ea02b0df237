"""Streams: the words of a failure and its body, and streams of other endpoints. What is in the fault matrix is not here."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel, field_validator

from aitoearn_openai import OpenAI
from conftest import Asker, Reply, ScriptedServer, in_turns, stream

CHUNK = 'data: {"id":"1","choices":[{"index":0,"delta":{"content":"hi","reasoning_content":"r"}}],"cost":"0.1"}\n\n'
END = 'data: {"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
DONE = "data: [DONE]\n\n"
BROKE = "upstream died"
CHAT = stream("m")


def read(asker: Asker, server: ScriptedServer, body: str, wanted: Any = CHAT) -> list[Any]:
    return asker.ask(server, wanted, Reply(body, content_type="text/event-stream"))  # type: ignore[no-any-return]


def event(data: Any) -> str:
    return f"data: {json.dumps(data)}\n\n"


def test_a_last_chunk_that_no_blank_line_ends_is_not_lost(asker: Asker, server: ScriptedServer) -> None:
    """The plain SDK passes over it in silence."""
    assert len(read(asker, server, CHUNK + END)) == 2


ERROR = {"message": "busy", "code": "slow", "param": "model"}


MANY = "no " * 5000


@in_turns(
    "frame,words,body",
    [
        ("data: busy", "busy", "busy"),
        (f"data: {MANY}", MANY[:300], MANY),
        (f"event: error\ndata: {MANY}", MANY[:300], MANY),
        ('event: error\ndata: {"message": "busy"}', "busy", {"message": "busy"}),
        (event({"error": ERROR}), "busy", ERROR),
        (event({"error": "busy"}), "busy", {"error": "busy"}),
    ],
)
def test_the_words_of_a_failure_are_the_message_and_what_came_is_the_body(
    asker: Asker, server: ScriptedServer, frame: str, words: str, body: Any
) -> None:
    """Nothing stands before or after the first words; of an error in OpenAI's format, see `parity/` too."""
    with pytest.raises(openai.APIError) as failed:
        read(asker, server, f"{CHUNK}{frame}\n\n")
    assert (str(failed.value), failed.value.body) == (words, body)


def images(client: Any) -> Any:
    return client.images.generate(model="m", prompt="cat", stream=True)


def own(client: Any) -> Any:
    """A stream of the caller's own."""
    kind: Any = openai.AsyncStream if isinstance(client, openai.AsyncOpenAI) else openai.Stream
    return client.post("/x", body={}, cast_to=object, stream=True, stream_cls=kind[object])


class Poll(openai.BaseModel):
    choices: list[str]


def polls(client: Any) -> Any:
    kind: Any = openai.AsyncStream if isinstance(client, openai.AsyncOpenAI) else openai.Stream
    return client.post("/x", body={}, cast_to=Poll, stream=True, stream_cls=kind[Poll])


def transcribe(client: Any) -> Any:
    return client.audio.transcriptions.create(model="m", file=b"", stream=True)


IMAGE = event({"type": "image.done", "error": None})
CREDITS = event({"code": 12001, "message": "no credits", "data": {}})


@in_turns(
    "wanted,body,words",
    [
        # All events of the SDK's endpoints have a type.
        (images, event({"detail": BROKE}), f"^{BROKE}$"),
        (images, event({"error": BROKE}), f"^{BROKE}$"),
        (images, event({"error": {"message": BROKE}}), f"^{BROKE}$"),
        (images, event({"success": False, "msg": BROKE}), f"^{BROKE}$"),
        # Half an event, after a whole one.
        (images, IMAGE + IMAGE[:-9], "before the answer was complete"),
        (images, CREDITS, r"402 - no credits \(AiToEarn code 12001\)"),
        (own, CREDITS, r"402 - no credits \(AiToEarn code 12001\)"),
    ],
)
def test_a_stream_of_another_endpoint_breaks_with_words_too(
    asker: Asker, server: ScriptedServer, wanted: Any, body: str, words: str
) -> None:
    """The service's failure with its status, of the caller's own stream too."""
    with pytest.raises(openai.APIError, match=words):
        read(asker, server, body, wanted)


@pytest.mark.parametrize(
    ("wanted", "body"),
    [
        (own, event({"message": "hello"})),
        (own, "event: thread.run.step.failed\n" + event({"id": "1", "error": {"message": "no"}})),
        (own, "data: 5\n\n"),
        (own, DONE),
        (polls, event({"choices": ["yes", "no"]})),
        (images, IMAGE),
        (transcribe, event({"text": "hi"})),
    ],
)
def test_events_of_other_endpoints_stay_the_sdks(
    asker: Asker, server: ScriptedServer, wanted: Any, body: str
) -> None:
    """Of the caller's own, which need not be objects, or of OpenAI's assistants, whose events carry what failed.

    Servers of speech leave out the type.
    """
    assert len(read(asker, server, body, wanted)) == (body != DONE)


def test_a_stream_that_is_called_html_is_read(asker: Asker, server: ScriptedServer) -> None:
    """As PHP calls all that it sends."""
    got = asker.ask(server, CHAT, Reply(f"\n{CHUNK}{END}\n\n", content_type="text/html; charset=UTF-8"))
    assert len(got) == 2


def test_a_stream_is_read_within_another_call(server: ScriptedServer) -> None:
    """By a validator here; a server that is tested in the same process does so too."""
    message = {"role": "assistant", "content": '{"name": "x"}'}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    server.answer(Reply({"choices": [choice]}), Reply(CHUNK + END, content_type="text/event-stream"))
    with OpenAI(api_key="k", base_url=server.base_url) as client:

        class Named(BaseModel):
            name: str

            @field_validator("name")
            @classmethod
            def ask(cls, _: str) -> str:
                return "".join(each.choices[0].delta.content or "" for each in CHAT(client))

        messages: Any = [{"role": "user", "content": "hi"}]
        answer = client.chat.completions.parse(model="m", messages=messages, response_format=Named)
    assert answer.choices[0].message.parsed == Named.model_construct(name="hi")
