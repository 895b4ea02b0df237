"""The sandbox with an engine behind it: no web page uses it, and who has not its token spends nothing."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from aitoearn_openai import OpenAI, Settings, sandbox
from aitoearn_openai._sites import SITES

MESSAGES = [{"role": "user", "content": "Hi"}]
PATHS = ["/models/chat", "/models/image/edit", "/chat/completions", "/images/generations"]


def ask(site: sandbox.Sandbox, path: str, **headers: str) -> tuple[int, str]:
    """The code and the message of the service's envelope; 0 for an answer."""
    body = {"model": "glm-5.2" if "chat" in path else "gpt-image-2", "messages": MESSAGES, "prompt": "a cat"}
    address = urlsplit(site.base_url)
    connection = http.client.HTTPConnection(str(address.netloc), timeout=30)
    try:
        method, content = ("GET", None) if "models" in path else ("POST", json.dumps(body))
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, address.path + path, content, sent)
        answer = json.loads(connection.getresponse().read())
        return answer.get("code", 0), answer.get("message", "")
    finally:
        connection.close()


@pytest.fixture(scope="module")
def front(site: sandbox.Sandbox) -> Iterator[sandbox.Sandbox]:
    """A sandbox whose engine is another one, which needs a key."""
    with sandbox.serve(upstream=site.base_url, upstream_key=site.api_key) as front:
        yield front


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:80"}, 403),
        ({"Host": "127.0.0.1/../../user?"}, 403),
        ({"Host": "evil@127.0.0.1"}, 403),
        ({"Host": "localhost:abc"}, 403),
        ({"Host": "[::bad"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Origin": "app://obsidian.md", "Host": "[::1]:1"}, 0),
        ({"Host": "localhost:1"}, 0),
        ({}, 0),
    ],
)
def test_a_web_page_cannot_use_the_engine(
    front: sandbox.Sandbox, site: sandbox.Sandbox, headers: dict[str, str], code: int
) -> None:
    """Not under a name of its own for this machine, and not with the token; nor without a key, as its time is spent, too."""
    with sandbox.serve(upstream=site.base_url) as keyless:
        for here in (front, keyless) if code else (front,):
            for path in PATHS:
                got, message = ask(here, path, Authorization=f"Bearer {here.api_key}", **headers)
                assert (got, "The sandbox" in message) == (code, bool(code))


@pytest.mark.parametrize("path", PATHS)
def test_only_the_token_spends_from_the_engines_key(front: sandbox.Sandbox, path: str) -> None:
    """In either header; a key that fails on purpose opens nothing on its second try."""
    for key in ("", "sandbox", "wrong", "fail-once-502", "sandbox-"):
        for sent in ({}, {"X_Api_Key": key}):
            for _ in range(2):
                assert ask(front, path, Authorization=f"Bearer {key}", **sent)[0] in (401, 502)
    assert ask(front, path)[0] == 401
    assert ask(front, path, Authorization=f"Bearer {front.api_key}")[0] == 0
    assert front.api_key not in repr(front)


def test_without_an_engine_the_sandbox_answers_as_before(site: sandbox.Sandbox) -> None:
    """It has nothing to spend."""
    assert ask(site, "/chat/completions", Host="my.test", Authorization="Bearer sandbox")[0] == 0


def test_settings_send_the_token_of_a_sandbox_and_no_other_key() -> None:
    """At its own address, too."""
    for key, sent in (("sandbox-token", "sandbox-token"), ("ak_real", "sandbox")):
        settings = Settings(site="sandbox", base_url=SITES["sandbox"], api_key=key)
        assert settings.api_key
        assert settings.api_key.get_secret_value() == sent


def test_a_sandbox_of_ones_own_needs_a_token_for_an_engines_key(site: sandbox.Sandbox) -> None:
    """One that settings would send."""
    with pytest.raises(ValueError, match="needs a token"):
        sandbox.app(site.base_url, "a-key")
    with pytest.raises(ValueError, match="must begin with 'sandbox'"):
        sandbox.app(site.base_url, "a-key", token="ak_real")


@pytest.mark.slow
def test_a_body_of_any_size_is_not_kept(site: sandbox.Sandbox) -> None:
    """The service takes 50 MB, and so does its stand-in."""
    messages: Any = [{"role": "user", "content": "x" * (51 << 20)}]
    with (
        OpenAI.from_settings(site.settings, max_retries=0) as client,
        pytest.raises(
            openai.APIError, match=r"too large|Connection error"
        ),  # It may be cut off while it sends.
    ):
        client.chat.completions.create(model="glm-5.2", messages=messages)
