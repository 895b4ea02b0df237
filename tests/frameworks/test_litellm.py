"""LiteLLM: calls with our clients."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from _snippets import SAID, connect
from pydantic import BaseModel

from aitoearn_openai import sandbox

litellm = pytest.importorskip("litellm")

MESSAGES = [{"role": "user", "content": "你好"}]


class City(BaseModel):
    """A city."""

    name: str
    people: int


@pytest.fixture
def snippet(site: sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    return connect("LiteLLM", site, monkeypatch)


def test_a_model_answers(snippet: Any) -> None:
    """With what the service adds to OpenAI's answer."""
    assert snippet.answer.choices[0].message.content == SAID
    assert snippet.answer.cost == "0"


def test_a_model_streams(snippet: Any) -> None:
    """In more than one piece."""
    chunks = snippet.completion("openai/glm-5.2", MESSAGES, stream=True)
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]

    assert len(pieces) > 2
    assert "".join(pieces) == SAID


def test_a_model_answers_async_code(snippet: Any) -> None:
    """By the async client."""
    answer = asyncio.run(snippet.acompletion("openai/glm-5.2", MESSAGES))

    assert answer.choices[0].message.content == SAID


def test_a_model_answers_with_an_object(snippet: Any) -> None:
    """By a JSON schema."""
    answer = snippet.completion("openai/glm-5.2", MESSAGES, response_format=City)

    assert City.model_validate_json(answer.choices[0].message.content) == City(name="sandbox", people=0)


@pytest.mark.parametrize(
    ("failure", "error", "status"),
    [
        ("fail-401", "AuthenticationError", 401),
        ("fail-12001", "APIError", 402),
        ("fail-12300", "NotFoundError", 404),
        ("fail-10003", "RateLimitError", 429),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_is_an_error_of_litellm(
    snippet: Any, failure: str, error: str, status: int, stream: bool
) -> None:
    """Though the service reports it as HTTP 200, also when it should stream."""
    with pytest.raises(getattr(litellm, error)) as caught:
        snippet.completion(f"openai/{failure}", MESSAGES, stream=stream, max_retries=0)
    assert caught.value.status_code == status
