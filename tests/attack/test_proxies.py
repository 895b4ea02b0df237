"""A proxy sees what is asked through it: what is on this machine is not, and who asks over plain http is told."""

from __future__ import annotations

from typing import Any
from unittest import mock

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


def by_variable(asker: Asker, base_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AITOEARN_BASE_URL", base_url)
    monkeypatch.setenv("AITOEARN_API_KEY", KEY)
    return asker.run(list_models)


def by_argument(asker: Asker, base_url: str, _: pytest.MonkeyPatch) -> Any:
    return asker.run(list_models, base_url=base_url, api_key=KEY)


def by_settings(asker: Asker, base_url: str, _: pytest.MonkeyPatch) -> Any:
    client = type(asker.client(api_key=KEY)).from_settings(Settings(base_url=base_url, api_key=KEY))
    return Asker(asker.is_async, mock.Mock(OpenAI=lambda: client, AsyncOpenAI=lambda: client)).run(
        list_models
    )


def by_copy(asker: Asker, base_url: str, _: pytest.MonkeyPatch) -> Any:
    def ask(client: Any) -> Any:
        return client.with_options(base_url=base_url).models.list()

    return asker.run(ask, base_url="http://other.invalid", api_key=KEY)


@pytest.mark.parametrize("way", [by_variable, by_argument, by_settings, by_copy])
def test_a_gateway_on_this_machine_is_asked_without_a_proxy(
    asker: Asker, server: ScriptedServer, proxy: ScriptedServer, monkeypatch: pytest.MonkeyPatch, way: Any
) -> None:
    """The proxy would see the key; whatever site the settings name."""
    server.answer(MODELS)
    way(asker, server.base_url, monkeypatch)

    assert (len(server.requests), proxy.requests) == (1, [])


def test_any_other_host_is_asked_through_the_proxy(asker: Asker, proxy: ScriptedServer) -> None:
    """As with the plain SDK."""
    asker.run(list_models, base_url="http://other.invalid", api_key=KEY)

    assert proxy.requests[0].path.startswith("http://other.invalid/")


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "localhost.", "x.localhost", "127.0.0.1", "127.9.9.9", "127.1", "2130706433", "0x7f.1",
     "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "ip6-localhost"],
)  # fmt: skip
def test_this_machine_is_known_by_each_of_its_names(host: str) -> None:
    """As the system understands them."""
    assert needs_no_proxy(f"http://{host}:8080/v1")


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost.example",
        "http://notlocalhost",
        "http://128.0.0.1",
        "http://[::2]",
        "http://[",
        "",
        "http://é",
    ],
)
def test_other_machines_are_not_taken_for_this_one(address: str) -> None:
    """Their proxy is the only way to them for some."""
    assert not needs_no_proxy(address)


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
