"""Pydantic AI: an agent whose provider has our client."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from _snippets import SAID, connect
from pydantic import BaseModel

from aitoearn_openai import sandbox

pydantic_ai = pytest.importorskip("pydantic_ai")


class City(BaseModel):
    """A city."""

    name: str
    people: int


@pytest.fixture
def agent(site: sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    return connect("Pydantic AI", site, monkeypatch).agent


async def _stream(agent: Any) -> list[str]:
    async with agent.run_stream("你好") as result:
        return [piece async for piece in result.stream_text(delta=True, debounce_by=None)]


def test_an_agent_answers(agent: Any) -> None:
    """With the tokens that it took."""
    result = agent.run_sync("你好")

    assert result.output == SAID
    assert result.usage.total_tokens > 0


def test_an_agent_streams(agent: Any) -> None:
    """In more than one piece."""
    pieces = asyncio.run(_stream(agent))

    assert len(pieces) > 2
    assert "".join(pieces) == SAID


@pytest.mark.parametrize("way", ["ToolOutput", "NativeOutput"])
def test_an_agent_answers_with_an_object(agent: Any, way: str) -> None:
    """By a forced tool call or by a JSON schema."""
    output_type = getattr(pydantic_ai, way)(City)

    assert agent.run_sync("你好", output_type=output_type).output == City(name="sandbox", people=0)


@pytest.mark.parametrize(
    "ask", [lambda agent: agent.run_sync("你好"), lambda agent: asyncio.run(_stream(agent))]
)
def test_missing_credits_are_an_error(ask: Any, site: sandbox.Sandbox, monkeypatch: Any) -> None:
    """Though the service reports them as HTTP 200, also when it should stream."""
    agent = connect("Pydantic AI", site, monkeypatch, key="fail-12001").agent

    with pytest.raises(pydantic_ai.ModelHTTPError, match="Insufficient credits") as caught:
        ask(agent)
    assert caught.value.status_code == 402
