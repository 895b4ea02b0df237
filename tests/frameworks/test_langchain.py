"""LangChain: `ChatOpenAI` with our clients."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from _snippets import SAID, connect
from pydantic import BaseModel

from aitoearn_openai import sandbox

pytest.importorskip("langchain_openai")


class City(BaseModel):
    """A city."""

    name: str
    people: int


@pytest.fixture
def llm(site: sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    return connect("LangChain", site, monkeypatch).llm


def test_a_model_answers(llm: Any) -> None:
    """With the tokens that it took."""
    message = llm.invoke("你好")

    assert message.content == SAID
    assert message.usage_metadata["total_tokens"] > 0


def test_a_model_streams(llm: Any) -> None:
    """In more than one piece."""
    pieces = [chunk.content for chunk in llm.stream("你好")]

    assert len(pieces) > 2
    assert "".join(pieces) == SAID


def test_a_model_streams_to_async_code(llm: Any) -> None:
    """By the async client."""

    async def stream() -> str:
        return "".join([chunk.content async for chunk in llm.astream("你好")])

    assert asyncio.run(stream()) == SAID


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_a_model_answers_with_an_object(llm: Any, method: str) -> None:
    """By a JSON schema or by a forced tool call."""
    assert llm.with_structured_output(City, method=method).invoke("你好") == City(name="sandbox", people=0)


def test_a_model_calls_a_tool(llm: Any) -> None:
    """With arguments that fit its schema."""
    (call,) = llm.bind_tools([City], tool_choice="any").invoke("你好").tool_calls

    assert (call["name"], call["args"]) == ("City", {"name": "sandbox", "people": 0})


@pytest.mark.parametrize("ask", [lambda llm: llm.invoke("你好"), lambda llm: list(llm.stream("你好"))])
def test_missing_credits_are_an_error(ask: Any, site: sandbox.Sandbox, monkeypatch: Any) -> None:
    """Though the service reports them as HTTP 200, also when it should stream."""
    llm = connect("LangChain", site, monkeypatch, key="fail-12001").llm

    with pytest.raises(openai.APIStatusError, match="Insufficient credits") as caught:
        ask(llm)
    assert caught.value.status_code == 402


def test_a_name_of_the_responses_api_is_asked_by_chat_completions(llm: Any) -> None:
    """The service has such a model or not; it is not asked at an address that it does not have."""
    with pytest.raises(openai.NotFoundError, match=r"Model not found: gpt-5\.2-pro"):
        llm.model_copy(update={"model_name": "gpt-5.2-pro"}).invoke("你好")
