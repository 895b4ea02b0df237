"""Clients: the SDK's own classes with other defaults, and nothing of OpenAI's in them."""

from __future__ import annotations

import os
from typing import Any

import openai
import pytest

from aitoearn_openai import Settings
from conftest import KEY, Asker, Reply, ScriptedServer, complete, in_turns

OPENAI_VARIABLES = {
    f"OPENAI_{name}": f"leak-{name.lower()}"
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "WEBHOOK_SECRET")
} | {
    "OPENAI_BASE_URL": "http://127.0.0.1:9/leak-url",
    "OPENAI_CUSTOM_HEADERS": "X-Leak: leak-header\nAuthorization: Bearer leak-authorization",
}
SHOWN = ["api_key", "admin_api_key", "organization", "project", "webhook_secret", "base_url"]
COMPLETION = Reply({"id": "1", "object": "chat.completion", "choices": [], "model": "m", "created": 1})


def options(client: Any) -> tuple[Any, ...]:
    return client.api_key, str(client.base_url), client.timeout, client.max_retries


def test_key_and_site_come_from_settings(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of variables, or of `Settings` in hand, as for a second site; an argument wins, and is used as given."""
    for name, value in {"API_KEY": "k", "SITE": "ai", "TIMEOUT": "7.5", "MAX_RETRIES": "5"}.items():
        monkeypatch.setenv(f"AITOEARN_{name}", value)
    client = asker.client()
    other = type(client).from_settings(Settings(site="cn", timeout=3), max_retries=9)
    own = asker.client(api_key="other", base_url="http://h.example/api", timeout=None, max_retries=0)

    assert options(client) == ("k", "https://aitoearn.ai/api/ai/", 7.5, 5)
    assert type(other) is type(client)
    assert options(other) == ("k", "https://aitoearn.cn/api/ai/", 3, 9)
    assert options(own) == ("other", "http://h.example/api/", None, 0)


@pytest.mark.parametrize("site", ["cn", "ai"])
def test_a_missing_key_says_what_to_do(asker: Asker, site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where to create one, the variable to set, why OPENAI_API_KEY is not used, and the way without a key."""
    monkeypatch.setenv("OPENAI_API_KEY", "leak-key")
    monkeypatch.setenv("AITOEARN_SITE", site)
    with pytest.raises(openai.OpenAIError) as caught:
        asker.client()

    for words in (f"https://aitoearn.{site}", "AITOEARN_API_KEY", "OPENAI_API_KEY", "AITOEARN_SITE=sandbox"):
        assert words in str(caught.value)
    assert "leak" not in str(caught.value)


def test_a_wrong_argument_is_told_in_our_words(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty key, as `os.getenv("X", "")` gives it: that of the settings is not sent in its place; and settings."""
    monkeypatch.setenv("AITOEARN_API_KEY", "k")
    with pytest.raises(openai.OpenAIError, match=r"api_key is empty: give a key, or .* AITOEARN_API_KEY"):
        asker.client(api_key="")
    for name in ("site", "http_backend"):
        advice = rf"OpenAI\(\) has no '{name}': write .*OpenAI\.from_settings\(Settings\({name}=\.\.\.\)\)"
        with pytest.raises(TypeError, match=advice):
            asker.client(**{name: "ai"})


def test_an_omitted_authorization_sends_no_key_at_all(asker: Asker, server: ScriptedServer) -> None:
    """The model list is public, and can be read without a key."""
    headers = {"Authorization": openai.Omit()}
    server.answer(Reply({"code": 0, "data": []}))
    asker.run(lambda client: client.models.list(extra_headers=headers), api_key="x", base_url=server.base_url)

    assert not {"authorization", "x-api-key"} & server.requests[0].headers.keys()


def test_no_leak_of_openai(asker: Asker, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every variable of OpenAI's set, no header and no attribute holds one of their values."""
    for name, value in OPENAI_VARIABLES.items():
        monkeypatch.setenv(name, value)
    scripted.answer(COMPLETION)
    asker.run(complete("m"))
    asker.run(lambda client: complete("m")(client.copy(timeout=9).with_options(max_retries=1)))

    assert scripted.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert "leak" not in repr(scripted.requests)
    assert "leak" not in repr([getattr(asker.client(), name, None) for name in (*SHOWN, "default_headers")])
    Asker(asker.is_async, openai).run(complete("m"), api_key="k", base_url=scripted.base_url)
    assert "leak-org_id" in repr(scripted.requests)  # By the plain SDK.


def test_these_are_all_the_variables_that_the_sdk_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """If it reads another one, that one is to be added above, as what is in it may be sent."""

    class Environment(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:
            read.add(name)
            return super().get(name, default)

        __getitem__ = get

    read: set[str] = set()
    monkeypatch.setattr(os, "environ", Environment(os.environ, OPENAI_API_KEY="k"))
    openai.OpenAI()
    openai.AsyncOpenAI()

    assert {"OPENAI_API_KEY", "OPENAI_ORG_ID"} <= read
    assert {name for name in read if name.startswith("OPENAI_")} <= OPENAI_VARIABLES.keys()


def http_client(asker: Asker, **arguments: Any) -> Any:
    return (openai.DefaultAsyncHttpxClient if asker.is_async else openai.DefaultHttpxClient)(**arguments)


def test_settings_limit_the_wait_where_code_does_not(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an argument, for which wrappers may hand on `NOT_GIVEN`, nor an `http_client`; else the SDK does."""
    client = asker.client(api_key="k")
    assert (client.timeout, client.max_retries) == (openai.DEFAULT_TIMEOUT, openai.DEFAULT_MAX_RETRIES)

    monkeypatch.setenv("AITOEARN_TIMEOUT", "99")
    assert asker.client(api_key="k", timeout=openai.NOT_GIVEN).timeout == 99
    assert asker.client(api_key="k", http_client=http_client(asker)).timeout == 99
    own = http_client(asker, timeout=5.5)
    assert asker.client(api_key="k", http_client=own).timeout == own.timeout


@in_turns(
    "key,user,sent",
    [
        ('My "API" Key', "", 'Bearer My "API" Key'),
        ("Bearer\tak_1", "", "Bearer Bearer\tak_1"),
        ("k", "me:pass@", "Basic bWU6cGFzcw=="),
    ],
)
def test_a_key_and_a_user_in_code_are_sent_as_they_are_given(
    asker: Asker, server: ScriptedServer, key: str, user: str, sent: str
) -> None:
    """Test suites of other people's programs have odd keys; a user in the base URL comes before the key, as in httpx."""
    server.answer(COMPLETION)
    base_url = server.base_url.replace("//", f"//{user}")
    asker.run(complete("m"), api_key=key, base_url=base_url, http_client=http_client(asker))

    assert server.requests[0].headers["authorization"] == sent


@in_turns(
    "name,value,arguments",
    [
        ("BASE_URL", "no address", {}),
        ("SITE", "nowhere", {}),
        ("API_KEY", "two words", {}),
        ("TIMEOUT", "soon", {"timeout": 1}),
        ("MAX_RETRIES", "many", {"max_retries": 1}),
    ],
)
def test_a_bad_setting_is_an_error_only_where_it_would_hold(
    asker: Asker, monkeypatch: pytest.MonkeyPatch, name: str, value: str, arguments: dict[str, Any]
) -> None:
    """What names its own server and key works wherever it runs, copies too; a bad limit shows before an endless request."""
    monkeypatch.setenv(f"AITOEARN_{name}", value)
    own = {"api_key": "k", "base_url": "http://h.example/x"}
    copy = asker.client(**own, **arguments).copy()
    assert options(copy)[:2] == ("k", "http://h.example/x/")

    with pytest.raises(openai.OpenAIError, match=f"AITOEARN_{name}: "):
        asker.client(**(own if arguments else {}))
