"""Clients travel: to another process by pickle, and within one by `copy`."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
from typing import Any

import openai
import pytest

from aitoearn_openai import Settings
from conftest import Asker, in_turns


def there_and_back(sent: Any) -> Any:
    return pickle.loads(pickle.dumps(sent))


def arrived(sent: Any, monkeypatch: pytest.MonkeyPatch, **settings: str) -> Any:
    """The client in another process, so to speak, which has these settings and no others."""
    data = pickle.dumps(sent)
    assert b"hidden" not in data
    have(monkeypatch, **settings)
    return pickle.loads(data)


def have(monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
    for name in [name for name in os.environ if name.startswith("AITOEARN_")]:
        monkeypatch.delenv(name)
    for name, value in settings.items():
        monkeypatch.setenv(f"AITOEARN_{name.upper()}", value)


def test_a_client_arrives_with_the_same_options(asker: Asker) -> None:
    """All that its constructor took, and what was changed since."""
    given = {"api_key": "k", "base_url": "http://h.example", "organization": "o", "default_query": {"q": "1"}}
    given |= {"timeout": openai.Timeout(9, connect=1), "max_retries": 7, "default_headers": {"X-Mine": "1"}}
    client = asker.client(**given, _strict_response_validation=True)
    client.max_retries, client.project = 8, "p"
    arrived = there_and_back(client)

    assert type(arrived) is type(client)
    for name in (*given, "project", "_strict_response_validation"):
        assert getattr(arrived, name) == getattr(client, name)
    assert arrived.default_headers["X-Mine"] == "1"
    assert there_and_back(client.copy(timeout=None)).timeout is None
    if "data_residency" in inspect.signature(openai.OpenAI.__init__).parameters:
        european = asker.client(api_key="k", data_residency="eu")
        assert there_and_back(european).base_url == european.base_url


AI = "https://aitoearn.ai/api/ai"
THERE = {"api_key": "of-there", "base_url": "http://there.example", "timeout": "22"}


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ({"base_url": AI, "api_key": "ai", "timeout": 7}, (f"{AI}/", "ai", 7)),
        ({}, ("http://there.example/api/ai/", "of-there", 22)),
    ],
)
def test_what_was_given_in_code_travels_and_nothing_else(
    asker: Asker, monkeypatch: pytest.MonkeyPatch, code: Any, wanted: tuple[Any, ...]
) -> None:
    """To the client, to a copy, or to the `Settings` of `from_settings`, be it what the variables of here say or not."""
    for make in (
        lambda: asker.client(**code, max_retries=4).with_options().copy(),
        lambda: asker.client().copy(**code, max_retries=4),
        lambda: type(asker.client()).from_settings(Settings(**code, max_retries=4)),
    ):
        have(monkeypatch, site="ai", api_key="ai" if code else "hidden", timeout="7", max_retries="4")
        client = make()
        there = arrived(client, monkeypatch, **THERE, max_retries="2")

        assert (str(there.base_url), there.api_key, there.timeout) == wanted
        assert there.max_retries == 4
        if not code:
            with pytest.raises(openai.OpenAIError, match="AITOEARN_API_KEY"):
                arrived(client, monkeypatch)


@in_turns(
    "option,value,travels",
    [
        ("api_key", "of-code", True),
        ("default_headers", {"X-Title": "a"}, False),
        ("default_headers", {"Api-Key": "k"}, True),
        ("default_headers", {"Authorization": "x"}, True),
        ("default_query", {"version": "1"}, False),
        ("default_query", {"api_key": "k"}, True),
    ],
)
def test_what_may_be_a_key_takes_its_address_along(
    asker: Asker, monkeypatch: pytest.MonkeyPatch, option: str, value: Any, travels: bool
) -> None:
    """It never arrives at another origin than it was given for, be it given at first, to a copy or later."""

    def assigned() -> Any:
        client = asker.client()
        setattr(client, option, value)
        return client

    makes = [lambda: asker.client(**{option: value}), lambda: asker.client().copy(**{option: value})]
    for make in [*makes, assigned][: 3 if option == "api_key" else 2]:
        have(monkeypatch, api_key="hidden", base_url="http://here.example")
        there = arrived(make(), monkeypatch, **THERE)

        assert there.base_url.host == ("here.example" if travels else "there.example")
        assert getattr(there, option) == value or getattr(there, option).items() >= value.items()


def test_a_client_with_an_http_client_of_its_own_refuses(asker: Asker) -> None:
    """Connections cannot travel; nor can what only looks like the same client."""
    http_client = (openai.DefaultAsyncHttpxClient if asker.is_async else openai.DefaultHttpxClient)()
    client = asker.client(api_key="k", http_client=http_client)
    given_later = asker.client(api_key="k").with_options(http_client=http_client)
    for each in (client, client.with_options(timeout=1), given_later):
        with pytest.raises(TypeError, match="an http_client of its own cannot be pickled"):
            pickle.dumps(each)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_copies_of_the_standard_library_are_those_of_the_client(asker: Asker, duplicate: Any) -> None:
    """The same options, the same connections."""
    client = asker.client(api_key="k", max_retries=5)
    client.note = "mine"
    if duplicate is copy.copy:
        assert duplicate(client).note == "mine"

    assert (duplicate(client).max_retries, duplicate(client)._client) == (5, client._client)


def test_settings_travel_as_clients_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """So do copies with what was changed in them; a key that was taken out does not come back."""
    made = Settings(site="cn", api_key="of-cn", max_retries=1)
    at_ai = {"site": "ai", "base_url": AI, "api_key": "of-ai"}
    have(monkeypatch, site="ai", api_key="of-there")
    for changes in (at_ai, {"api_key": None, "max_retries": 9}):
        copied = made.model_copy(update=changes)
        assert there_and_back(copied) == copied
    there = arrived(Settings(api_key="of-ai"), monkeypatch, site="cn", api_key="of-cn")
    assert there.base_url == AI
    assert there_and_back(Settings.model_construct(site="cn")).site == "cn"
