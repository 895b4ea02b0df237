"""A proxy sees what is asked through it: what is on this machine is not, and who asks over plain http is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from aitoearn_openai import Settings
from aitoearn_openai._sites import needs_no_proxy
from commands import run
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


def test_any_other_host_is_asked_through_the_proxy(asker: Asker, proxy: ScriptedServer) -> None:
    """As with the plain SDK."""
    asker.run(list_models, base_url="http://other.invalid", api_key=KEY)

    assert proxy.requests[0].path.startswith("http://other.invalid/")


@pytest.mark.parametrize(
    ("address", "is_here"),
    [
        *(
            (f"http://{host}:8080/v1", True)
            for host in ("LOCALHOST", "localhost.", "x.localhost", "127.9.9.9", "127.1")
        ),
        *(
            (f"http://{host}/v1", True)
            for host in ("2130706433", "0x7f.1", "0.0.0.0", "[::1]", "[::]", "ip6-localhost")
        ),
        ("http://[::ffff:127.0.0.1]", True),
        *(
            (f"http://{host}", False)
            for host in ("localhost.example", "notlocalhost", "128.0.0.1", "[::2]", "[", "", "é")
        ),
    ],
)
def test_this_machine_is_known_by_each_of_its_names(address: str, is_here: bool) -> None:
    """As the system understands them; for others, their proxy may be the only way to them."""
    assert needs_no_proxy(address) is is_here


@pytest.mark.parametrize(("base_url", "warned"), [("http://other.invalid/v1", True), ("", False)])
def test_check_warns_of_plain_http_to_another_machine(
    hostile: ScriptedServer, proxy: ScriptedServer, base_url: str, warned: bool
) -> None:
    """Others on the way can read the key; on this machine there are none."""
    models, no = Reply({"code": 0, "data": [{"name": "m"}]}), Reply({"error": {"message": "no"}}, status=400)
    proxy.answer(models, models, no)
    hostile.answer(no)
    shown = run("check", AITOEARN_API_KEY=KEY, AITOEARN_BASE_URL=base_url or hostile.origin)

    assert shown.returncode == 0
    told = "?    TLS     not used: plain http: others on the way can read the key and the prompts; use https"
    assert (told in shown.stdout) is warned
