"""A server that wants to act on whoever asks it."""

from __future__ import annotations

import pytest

from conftest import ScriptedServer

EVIL = "evil\x1b]0;owned\x07\x9b2J\x08\x7f\u202e[red]\r\naitoearn-openai: all is well\n"
"""Words that set the title, clear the screen, go back, turn the order round, and look like a line of ours."""
STEERING = {chr(code) for code in [*range(32), *range(0x7F, 0xA0), *range(0x202A, 0x202F)]} - {"\n"}


def is_clean(shown: str) -> bool:
    """Whether what a command showed steers nothing."""
    return not STEERING.intersection(shown)


@pytest.fixture
def hostile(scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> ScriptedServer:
    """Such a server, which the command finds by its settings."""
    monkeypatch.setenv("AITOEARN_MAX_RETRIES", "0")
    scripted.lists({"name": "m"})
    return scripted
