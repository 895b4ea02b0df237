"""A proxy sees what is asked through it: what is on this machine is not."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from aitoearn_openai import Settings
from aitoearn_openai._sites import is_here
from conftest import KEY, Asker, Reply, ScriptedServer, list_models

CLIENTS: dict[str, Callable[[Asker, str], Any]] = {
    "variable": lambda asker, url: asker.client(),
    "argument": lambda asker, url: asker.client(base_url=url, api_key=KEY),
    "settings": lambda asker, url: type(asker.client()).from_settings(Settings(base_url=url, api_key=KEY)),
    "copy": lambda asker, url: asker.client(base_url="http://other.invalid").with_options(base_url=url),
}


@pytest.mark.parametrize("way", CLIENTS)
def test_a_gateway_on_this_machine_is_asked_without_a_proxy(
    asker: Asker,
    scripted: ScriptedServer,
    other_server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    """The one that the environment names for everything would see the key; whatever site the settings name."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, other_server.origin)
    if way != "variable":
        monkeypatch.setenv("AITOEARN_BASE_URL", "http://other.invalid")
    for each in (scripted, other_server):
        each.answer(Reply({"code": 0, "data": []}))
    client = CLIENTS[way](asker, scripted.base_url)
    Asker(asker.is_async, Mock(OpenAI=lambda: client, AsyncOpenAI=lambda: client)).run(list_models)

    assert (len(scripted.requests), other_server.requests) == (1, [])


HERE = ["LOCALHOST:8080", "localhost.", "x.localhost", "ip6-localhost", "127.9.9.9", "127.1", "2130706433"]
HERE += ["0x7f.1", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]"]
ELSEWHERE = ["localhost.example", "notlocalhost", "128.0.0.1", "[::2]", "[", "é", ""]


@pytest.mark.parametrize("host", [*HERE, *ELSEWHERE])
def test_this_machine_is_known_by_each_of_its_names_and_no_other_is_taken_for_it(host: str) -> None:
    """As the system understands them; the proxy may be the only way to another."""
    assert is_here(f"http://{host}/v1") == (host in HERE)
