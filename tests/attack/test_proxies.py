"""A proxy sees what is asked through it: what is on this machine is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from aitoearn_openai import Settings
from aitoearn_openai._sites import is_here
from conftest import Asker, Reply, ScriptedServer, list_models

KEY = "canary-5d0b6f"
MODELS = Reply({"code": 0, "data": []})


@pytest.fixture
def proxy(other_server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> ScriptedServer:
    """A proxy that the environment names for everything."""
    other_server.answer(MODELS)
    for name in ("HTTP_PROXY", "ALL_PROXY"):
        for spelling in (name, name.lower()):
            monkeypatch.setenv(spelling, other_server.origin)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    return other_server


CLIENTS: dict[str, Callable[[Asker, str], Any]] = {
    "variable": lambda asker, url: asker.client(),
    "argument": lambda asker, url: asker.client(base_url=url, api_key=KEY),
    "settings": lambda asker, url: type(asker.client()).from_settings(Settings(base_url=url, api_key=KEY)),
    "copy": lambda asker, url: asker.client(base_url="http://other.invalid").with_options(base_url=url),
}


@pytest.mark.parametrize("way", CLIENTS)
def test_a_gateway_on_this_machine_is_asked_without_a_proxy(
    asker: Asker, server: ScriptedServer, proxy: ScriptedServer, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The proxy would see the key; whatever site the settings name."""
    monkeypatch.setenv("AITOEARN_BASE_URL", server.base_url if way == "variable" else "http://other.invalid")
    monkeypatch.setenv("AITOEARN_API_KEY", KEY)
    server.answer(MODELS)
    client = CLIENTS[way](asker, server.base_url)
    Asker(asker.is_async, Mock(OpenAI=lambda: client, AsyncOpenAI=lambda: client)).run(list_models)

    assert (len(server.requests), proxy.requests) == (1, [])


HERE = [
    "LOCALHOST:8080",
    "localhost.",
    "x.localhost",
    "ip6-localhost",
    "127.9.9.9",
    "127.1",
    "2130706433",
    "0x7f.1",
]
HERE += ["0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]"]
ELSEWHERE = ["localhost.example", "notlocalhost", "128.0.0.1", "[::2]", "[", "é", ""]


@pytest.mark.parametrize("host", HERE)
def test_this_machine_is_known_by_each_of_its_names(host: str) -> None:
    """As the system understands them."""
    assert is_here(f"http://{host}/v1")


@pytest.mark.parametrize("host", ELSEWHERE)
def test_no_other_is_taken_for_this_machine(host: str) -> None:
    """Their proxy may be the only way to them."""
    assert not is_here(f"http://{host}/v1")
