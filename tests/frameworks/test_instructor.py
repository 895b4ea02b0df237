"""Instructor: our client, wrapped."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from _snippets import connect
from pydantic import BaseModel

from aitoearn_openai import sandbox

pytest.importorskip("instructor")
errors = pytest.importorskip("instructor.core")


class City(BaseModel):
    """A city."""

    name: str
    people: int


QUESTION: Any = {
    "model": "glm-5.2",
    "messages": [{"role": "user", "content": "你好"}],
    "response_model": City,
}


@pytest.fixture
def client(site: sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    return connect("Instructor", site, monkeypatch).client


def test_a_model_answers_with_an_object(client: Any) -> None:
    """And with the completion that it came from, which has what the service adds to OpenAI's."""
    city, completion = client.create_with_completion(**QUESTION)

    assert isinstance(city, City)
    assert city.model_dump() == {"name": "sandbox", "people": 0}
    assert completion.cost == "0"


def test_an_object_streams(client: Any) -> None:
    """Its fields come one after the other."""
    cities = list(client.create_partial(**QUESTION))

    assert [cities[0].name, cities[0].people] == [None, None]
    assert [cities[-1].name, cities[-1].people] == ["sandbox", 0]


def test_the_list_of_models_is_the_services(client: Any) -> None:
    """As on the client that is wrapped."""
    assert "glm-5.2" in [model.id for model in client.models.list()]


@pytest.mark.parametrize("ask", [lambda client: client.create, lambda client: client.create_partial])
def test_missing_credits_are_an_error(ask: Any, site: sandbox.Sandbox, monkeypatch: Any) -> None:
    """Though the service reports them as HTTP 200, also when it should stream."""
    client = connect("Instructor", site, monkeypatch, key="fail-12001").client

    with pytest.raises(errors.InstructorRetryException, match="Insufficient credits") as caught:
        list(ask(client)(**QUESTION))
    assert isinstance(caught.value.__cause__, openai.APIStatusError)
    assert caught.value.__cause__.status_code == 402
