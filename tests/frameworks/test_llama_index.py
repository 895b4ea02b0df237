"""LlamaIndex: `OpenAILike` with our clients."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from _snippets import SAID, connect
from pydantic import BaseModel

from aitoearn_openai import sandbox

pytest.importorskip("llama_index.llms.openai_like")


class City(BaseModel):
    """A city."""

    name: str
    people: int


@pytest.fixture
def llm(site: sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    return connect("LlamaIndex", site, monkeypatch).llm


def test_a_model_answers(llm: Any) -> None:
    """With what the service adds to OpenAI's answer."""
    answer = llm.complete("你好")

    assert answer.text == SAID
    assert answer.raw.cost == "0"


def test_a_model_streams(llm: Any) -> None:
    """In more than one piece."""
    pieces = [chunk.delta for chunk in llm.stream_complete("你好")]

    assert len(pieces) > 2
    assert "".join(pieces) == SAID


def test_a_model_answers_async_code(llm: Any) -> None:
    """By the async client."""
    assert asyncio.run(llm.acomplete("你好")).text == SAID


def test_a_model_answers_with_an_object(llm: Any) -> None:
    """By a forced tool call."""
    assert llm.as_structured_llm(City).complete("你好").raw == City(name="sandbox", people=0)


@pytest.mark.parametrize(
    "ask", [lambda llm: llm.complete("你好"), lambda llm: list(llm.stream_complete("你好"))]
)
def test_missing_credits_are_an_error(ask: Any, site: sandbox.Sandbox, monkeypatch: Any) -> None:
    """Though the service reports them as HTTP 200, also when it should stream."""
    llm = connect("LlamaIndex", site, monkeypatch, key="fail-12001").llm

    with pytest.raises(openai.APIStatusError, match="Insufficient credits") as caught:
        ask(llm)
    assert caught.value.status_code == 402
