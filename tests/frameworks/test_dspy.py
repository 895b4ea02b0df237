"""DSPy: its LiteLLM engine with our clients."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from _snippets import SAID, connect

from aitoearn_openai import sandbox

dspy = pytest.importorskip("dspy")


@pytest.fixture
def snippet(site: sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    return connect("DSPy", site, monkeypatch)


def test_a_model_answers(snippet: Any) -> None:
    """And its copies do, as optimizers make them."""
    assert snippet.lm("你好") == [SAID]
    assert snippet.lm.copy(temperature=0.5)("你好") == [SAID]


def test_a_model_answers_async_code(snippet: Any) -> None:
    """By the async client."""
    assert asyncio.run(snippet.async_lm.acall("你好")) == [SAID]


def test_a_program_answers(snippet: Any) -> None:
    """With the model that the snippet configures."""
    with dspy.context(adapter=dspy.JSONAdapter()):
        prediction = dspy.Predict("question -> answer")(question="你好")

    assert "no model read your message" in prediction.answer


def test_a_program_answers_with_fields_of_their_types(snippet: Any) -> None:
    """By a JSON schema, for a model that LiteLLM knows to take one."""
    with dspy.context(adapter=dspy.JSONAdapter(), lm=snippet.lm.copy(model="openai/gpt-5.2")):
        prediction = dspy.Predict("question -> city, people: int")(question="你好")

    assert (prediction.city, prediction.people) == ("sandbox", 0)


def test_a_program_streams(snippet: Any) -> None:
    """A field comes in more than one piece."""
    listener = dspy.streaming.StreamListener(signature_field_name="answer")
    program = dspy.streamify(
        dspy.Predict("question -> answer"), stream_listeners=[listener], async_streaming=False
    )
    with dspy.context(adapter=dspy.JSONAdapter(), lm=snippet.async_lm):
        *pieces, prediction = program(question="你好")

    assert len(pieces) > 2
    assert "no model read your message" in prediction.answer


@pytest.mark.parametrize(
    "ask",
    [lambda snippet: snippet.lm("你好"), lambda snippet: asyncio.run(snippet.async_lm.acall("你好"))],
    ids=["sync", "async"],
)
def test_missing_credits_are_an_error(ask: Any, site: sandbox.Sandbox, monkeypatch: Any) -> None:
    """Though the service reports them as HTTP 200."""
    snippet = connect("DSPy", site, monkeypatch, key="fail-12001")

    with (
        dspy.context(disable_history=True),
        pytest.raises(dspy.LMError, match="Insufficient credits") as caught,
    ):
        ask(snippet)
    assert caught.value.status == 402
