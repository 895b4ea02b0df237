"""The OpenAI Agents SDK: its chat completions model with our client."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from _snippets import SAID, connect
from pydantic import BaseModel

from aitoearn_openai import sandbox

agents = pytest.importorskip("agents")


class City(BaseModel):
    """A city."""

    name: str
    people: int


@pytest.fixture
def agent(site: sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    return connect("OpenAI Agents SDK", site, monkeypatch).agent


async def _stream(agent: Any) -> list[str]:
    events = agents.Runner.run_streamed(agent, "你好").stream_events()
    return [
        event.data.delta
        async for event in events
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
    ]


def test_an_agent_answers(agent: Any) -> None:
    """By chat completions, as the service has no responses."""
    assert agents.Runner.run_sync(agent, "你好").final_output == SAID


def test_an_agent_streams(agent: Any) -> None:
    """In more than one piece."""
    pieces = asyncio.run(_stream(agent))

    assert len(pieces) > 2
    assert "".join(pieces) == SAID


def test_an_agent_answers_with_an_object(agent: Any) -> None:
    """By a JSON schema."""
    result = agents.Runner.run_sync(agent.clone(output_type=City), "你好")

    assert result.final_output == City(name="sandbox", people=0)


def test_an_agent_calls_a_tool_and_goes_on(agent: Any) -> None:
    """The tool's result goes back to the model."""
    cities = []

    @agents.function_tool
    def weather(city: str) -> str:
        cities.append(city)
        return "sunny"

    settings = agents.ModelSettings(tool_choice="required")
    result = agents.Runner.run_sync(agent.clone(tools=[weather], model_settings=settings), "你好")

    assert cities == ["sandbox"]
    assert result.final_output == SAID


@pytest.mark.parametrize(
    "ask", [lambda agent: agents.Runner.run_sync(agent, "你好"), lambda agent: asyncio.run(_stream(agent))]
)
def test_missing_credits_are_an_error(ask: Any, site: sandbox.Sandbox, monkeypatch: Any) -> None:
    """Though the service reports them as HTTP 200, also when it should stream."""
    agent = connect("OpenAI Agents SDK", site, monkeypatch, key="fail-12001").agent

    with pytest.raises(openai.APIStatusError, match="Insufficient credits") as caught:
        ask(agent)
    assert caught.value.status_code == 402
