"""Clients travel: to another process by pickle, and within one by `copy`."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from typing import Any

import openai
import pytest
from pydantic import SecretStr

from aitoearn_openai import OpenAI, Settings
from aitoearn_openai.sandbox import Sandbox
from conftest import MESSAGES, Asker, complete, in_turns


def there_and_back(client: Any) -> Any:
    return pickle.loads(pickle.dumps(client))


def arrived(client: Any, monkeypatch: pytest.MonkeyPatch, **settings: str) -> Any:
    """The client in another process, so to speak, which has these settings and no others."""
    data = pickle.dumps(client)
    assert b"hidden" not in data
    for name in [name for name in os.environ if name.startswith("AITOEARN_")]:
        monkeypatch.delenv(name)
    for name, value in settings.items():
        monkeypatch.setenv(f"AITOEARN_{name.upper()}", value)
    return pickle.loads(data)


def test_a_client_arrives_with_the_same_options(asker: Asker) -> None:
    """All that its constructor took, and what was changed since."""
    client = asker.client(
        api_key="k",
        base_url="http://h.example/x",
        organization="o",
        project="p",
        timeout=openai.Timeout(9, connect=1),
        max_retries=7,
        default_headers={"X-Mine": "1"},
        default_query={"q": "1"},
        _strict_response_validation=True,
    )
    client.max_retries = 8
    arrived = there_and_back(client)
    assert there_and_back(client.copy(timeout=None)).timeout is None

    assert type(arrived) is type(client)
    for name in ("api_key", "base_url", "organization", "project", "timeout", "max_retries", "default_query"):
        assert getattr(arrived, name) == getattr(client, name)
    assert arrived.default_headers["X-Mine"] == "1"
    assert arrived._strict_response_validation


THERE = {"api_key": "of-there", "base_url": "http://there.example", "timeout": "22"}


def test_what_came_from_settings_does_not_travel(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither from the client, nor from copies of it, nor from `from_settings`: the other side reads its own."""
    for make in (
        lambda: asker.client(max_retries=4),
        lambda: asker.client().with_options(max_retries=4).copy(),
        lambda: type(asker.client()).from_settings(Settings(max_retries=4)),
    ):
        for name, value in {
            "API_KEY": "hidden",
            "BASE_URL": "http://hidden.example",
            "TIMEOUT": "11",
        }.items():
            monkeypatch.setenv(f"AITOEARN_{name}", value)
        client = make()
        there = arrived(client, monkeypatch, **THERE)

        assert (there.api_key, str(there.base_url)) == ("of-there", "http://there.example/api/ai/")
        assert (there.timeout, there.max_retries) == (22, 4)
        with pytest.raises(openai.OpenAIError, match="AITOEARN_API_KEY"):
            arrived(client, monkeypatch)


def test_what_was_given_in_code_travels_also_where_it_equals_the_senders_settings(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who gave it meant it: to the client, to a copy, or to the `Settings` of `from_settings`."""
    given: Any = {"base_url": "https://aitoearn.ai/api/ai", "api_key": "ai", "max_retries": 5, "timeout": 7.0}
    for make in (
        lambda: asker.client(**given).copy(),
        lambda: asker.client().copy(**given),
        lambda: type(asker.client()).from_settings(
            Settings(site="ai", api_key="ai", timeout=7, max_retries=5)
        ),
    ):
        for name, value in {"SITE": "ai", "API_KEY": "ai", "MAX_RETRIES": "5", "TIMEOUT": "7"}.items():
            monkeypatch.setenv(f"AITOEARN_{name}", value)
        there = arrived(make(), monkeypatch, site="cn", api_key="of-cn", max_retries="2", timeout="9")

        assert (str(there.base_url), there.api_key) == ("https://aitoearn.ai/api/ai/", "ai")
        assert (there.max_retries, there.timeout) == (5, 7)


@pytest.mark.parametrize("copied", [False, True])
def test_a_key_that_travels_takes_its_address_along(
    asker: Asker, monkeypatch: pytest.MonkeyPatch, copied: bool
) -> None:
    """It never arrives at another origin than it was given for, though that came from settings."""
    monkeypatch.setenv("AITOEARN_SITE", "ai")
    client = asker.client(api_key="of-settings" if copied else "of-ai")
    there = arrived(
        client.copy(api_key="of-ai") if copied else client, monkeypatch, site="cn", api_key="of-cn"
    )

    assert (str(there.base_url), there.api_key) == ("https://aitoearn.ai/api/ai/", "of-ai")


def test_a_client_with_an_http_client_of_its_own_refuses(asker: Asker) -> None:
    """Connections cannot travel; nor can what only looks like the same client."""
    http_client = (openai.DefaultAsyncHttpxClient if asker.is_async else openai.DefaultHttpxClient)()
    client = asker.client(api_key="k", http_client=http_client)
    given_later = asker.client(api_key="k").with_options(http_client=http_client)
    for each in (client, client.with_options(timeout=1), given_later):
        with pytest.raises(TypeError, match="an http_client of its own cannot be pickled"):
            pickle.dumps(each)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_copies_of_the_standard_library_work(asker: Asker, site: Sandbox, duplicate: Any) -> None:
    """As `client.copy()`: the same options, the same connections."""
    arguments = {"base_url": site.base_url, "api_key": site.api_key, "max_retries": 5}
    client = asker.client(**arguments)

    assert (duplicate(client).max_retries, duplicate(client)._client) == (5, client._client)
    assert asker.run(lambda client: complete("glm-5.2")(duplicate(client)), **arguments).choices


def test_a_client_works_in_another_process(site: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which has settings of its own."""
    client = OpenAI(base_url=site.base_url, api_key="only-here")
    monkeypatch.setenv("AITOEARN_API_KEY", "x")
    code = (
        "import pickle, sys; client = pickle.load(sys.stdin.buffer).with_options(api_key='sandbox');"
        f"print(client.chat.completions.create(model='glm-5.2', messages={MESSAGES!r}).choices[0].finish_reason)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps(client),
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )

    assert shown.stdout.split() == [b"stop"]


@in_turns(
    "option,value,travels",
    [
        ("default_headers", {"X-Title": "a"}, False),
        ("default_headers", {"Api-Key": "k"}, True),
        ("default_headers", {"Authorization": "x"}, True),
        ("default_query", {"version": "1"}, False),
        ("default_query", {"api_key": "k"}, True),
    ],
)
def test_what_may_be_a_key_takes_its_address_along(
    asker: Asker, monkeypatch: pytest.MonkeyPatch, option: str, value: dict[str, str], travels: bool
) -> None:
    """Any other header or parameter leaves the address to the settings of the other side."""
    monkeypatch.setenv("AITOEARN_API_KEY", "hidden")
    monkeypatch.setenv("AITOEARN_BASE_URL", "http://here.example")
    there = arrived(asker.client(**{option: value}), monkeypatch, **THERE)

    assert there.base_url.host == ("here.example" if travels else "there.example")
    assert getattr(there, option).items() >= value.items()


def test_a_copy_of_settings_travels_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what was changed in it; a key that was taken out does not come back."""
    made = Settings(site="cn", api_key="of-cn", max_retries=1)
    at_ai = {"site": "ai", "base_url": "https://aitoearn.ai/api/ai", "api_key": SecretStr("of-ai")}
    moved, bare = made.model_copy(update=at_ai), made.model_copy(update={"api_key": None, "max_retries": 9})
    monkeypatch.setenv("AITOEARN_API_KEY", "of-there")

    assert "ak_plain" not in repr(made.model_copy(update={"api_key": "ak_plain"}))
    assert OpenAI.from_settings(made.model_copy(update={"api_key": "ak_plain"})).api_key == "ak_plain"
    assert there_and_back(moved) == moved
    assert there_and_back(bare) == bare
    monkeypatch.setenv("AITOEARN_SITE", "ai")
    there = arrived(Settings(api_key="of-ai"), monkeypatch, site="cn", api_key="of-cn")
    assert there.base_url == "https://aitoearn.ai/api/ai"
    assert OpenAI.from_settings(there_and_back(moved)).api_key == "of-ai"
    assert there_and_back(Settings.model_construct(site="cn")).site == "cn"
