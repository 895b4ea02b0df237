"""A server that wants to act on whoever asks it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conftest import Reply, ScriptedServer

EVIL = "evil\x1b]0;owned\x07\x9b2J\x08\x7f\u202e[red]\r\naitoearn-openai: all is well\n"
"""Words that set the title, clear the screen, go back, turn the order round, and look like a line of ours."""
STEERING = {chr(code) for code in [*range(32), *range(0x7F, 0xA0), *range(0x202A, 0x202F)]} - {"\n"}


def is_clean(shown: str) -> bool:
    """Whether what a command showed steers nothing."""
    return not STEERING.intersection(shown)


@pytest.fixture
def hostile(server: ScriptedServer) -> ScriptedServer:
    server.lists({"name": "m"})
    return server


def chunks(*deltas: dict[str, str], **more: Any) -> Reply:
    """A streamed answer."""
    events = [{"choices": [{"index": 0, "delta": delta, **more}]} for delta in deltas]
    body = "".join(
        f"data: {json.dumps({'id': '1', 'object': 'chat.completion.chunk', **each})}\n\n" for each in events
    )
    return Reply(f"{body}data: [DONE]\n\n", content_type="text/event-stream")
