"""Haystack: a chat generator that warms up with our clients."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from _snippets import SAID, connect
from pydantic import BaseModel

from aitoearn_openai import sandbox

haystack = pytest.importorskip("haystack")
dataclasses = pytest.importorskip("haystack.dataclasses")


class City(BaseModel):
    """A city."""

    name: str
    people: int


@pytest.fixture
def generator(site: sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    return connect("Haystack", site, monkeypatch).generator


def _question() -> list[Any]:
    return [dataclasses.ChatMessage.from_user("你好")]


def test_a_generator_answers(generator: Any) -> None:
    """With the tokens that it took."""
    (reply,) = generator.run(_question())["replies"]

    assert reply.text == SAID
    assert reply.meta["usage"]["total_tokens"] > 0


def test_a_generator_streams(generator: Any) -> None:
    """In more than one piece."""
    pieces: list[str] = []
    (reply,) = generator.run(_question(), streaming_callback=lambda chunk: pieces.append(chunk.content))[
        "replies"
    ]

    assert len(pieces) > 2
    assert "".join(pieces) == reply.text == SAID


def test_a_generator_answers_async_code(generator: Any) -> None:
    """By the async client."""
    (reply,) = asyncio.run(generator.run_async(_question()))["replies"]

    assert reply.text == SAID


def test_a_generator_answers_with_an_object(generator: Any) -> None:
    """By a JSON schema."""
    (reply,) = generator.run(_question(), generation_kwargs={"response_format": City})["replies"]

    assert City.model_validate_json(reply.text) == City(name="sandbox", people=0)


def test_a_generator_that_was_closed_comes_back_with_our_client(generator: Any) -> None:
    """It never speaks to OpenAI in between."""
    generator.run(_question())
    generator.close()

    assert generator.run(_question())["replies"][0].text == SAID


@pytest.mark.parametrize("callback", [None, lambda chunk: None], ids=["whole", "streamed"])
def test_missing_credits_are_an_error(callback: Any, site: sandbox.Sandbox, monkeypatch: Any) -> None:
    """Though the service reports them as HTTP 200, also when it should stream."""
    generator = connect("Haystack", site, monkeypatch, key="fail-12001").generator

    with pytest.raises(openai.APIStatusError, match="Insufficient credits") as caught:
        generator.run(_question(), streaming_callback=callback)
    assert caught.value.status_code == 402


def test_missing_credits_stop_a_pipeline(site: sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """With Haystack's own error, which repeats the service's words."""
    pipeline = haystack.Pipeline()
    pipeline.add_component("llm", connect("Haystack", site, monkeypatch, key="fail-12001").generator)

    with pytest.raises(haystack.core.errors.PipelineRuntimeError, match="Insufficient credits"):
        pipeline.run({"llm": {"messages": _question()}})
