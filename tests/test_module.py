"""`import aitoearn_openai as openai`: every name that existing code reaches the SDK by."""

from __future__ import annotations

import functools
import inspect
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import openai
import pytest

import aitoearn_openai
from aitoearn_openai import _module
from aitoearn_openai.sandbox import Sandbox
from conftest import MESSAGES, Reply, ScriptedServer

OURS = {"OpenAI", "AsyncOpenAI", "Client", "AsyncClient"}
STATE = {name for name in openai.__annotations__ if not name.startswith("_")}
RESOURCES = {
    name
    for name in dir(openai)
    if isinstance(inspect.getattr_static(openai.OpenAI, name, None), functools.cached_property)
}
PUBLIC = [name for name in dir(openai) if not name.startswith("_")]
COMPLETION = Reply({"id": "1", "object": "chat.completion", "choices": [], "model": "m", "created": 1})


@pytest.fixture(autouse=True)
def fresh_module(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings of the module that a test assigns end with it."""
    monkeypatch.setattr(_module, "_latest", None)
    before = {name: getattr(aitoearn_openai, name) for name in _module._SETTINGS}
    yield
    vars(aitoearn_openai).update(before)


@pytest.mark.slow
def test_each_name_of_the_sdk_is_ours_or_the_very_same() -> None:
    """Clients, module settings and resources are ours; anything else is the SDK's own object."""
    for name in PUBLIC:
        found = getattr(aitoearn_openai, name)
        if name in OURS:
            assert issubclass(found, getattr(openai, name))
            assert found.__module__.startswith("aitoearn_openai")
        elif name in RESOURCES:
            assert type(found).__module__ == "aitoearn_openai._module"
        elif name in STATE:
            assert found == _module._DEFAULTS.get(name)
        else:
            assert found is getattr(openai, name)


def test_dir_and_star_import_agree() -> None:
    """What `dir()` shows can be had, and `*` brings each name of the SDK's `*`; its private modules are no part of it."""
    shown, star = dir(aitoearn_openai), dict[str, Any]()
    exec("from aitoearn_openai import *", star)

    assert set(PUBLIC) <= set(shown)
    assert all(hasattr(aitoearn_openai, name) for name in shown)
    assert set(openai.__all__) | {"ChatModel", "Settings"} <= star.keys()
    assert star["OpenAI"] is aitoearn_openai.OpenAI
    for name in ("nonsense", "_base_client", "__nonsense__"):
        with pytest.raises(AttributeError, match=name):
            getattr(aitoearn_openai, name)


def test_the_module_is_a_client(site: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """`openai.chat.completions.create(...)` and `openai.models.list()`; programs import first and configure later."""
    from aitoearn_openai import chat

    with pytest.raises(openai.OpenAIError, match="AITOEARN_API_KEY"):
        chat.completions.create(model="glm-5.2", messages=MESSAGES)
    monkeypatch.setenv("AITOEARN_BASE_URL", site.base_url)
    monkeypatch.setenv("AITOEARN_API_KEY", site.api_key)
    answer = chat.completions.create(model="glm-5.2", messages=MESSAGES)

    assert answer.choices[0].message.content
    assert aitoearn_openai.models.retrieve("GLM 5.2").credits(answer.usage)


def test_the_module_can_be_set_at_any_time(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call has those of its moment; the SDK's own are neither read nor written."""
    monkeypatch.setattr(openai, "api_key", "of-openai")
    monkeypatch.setattr(openai, "azure_endpoint", "of-azure")
    theirs = {name: getattr(openai, name) for name in STATE}
    server.answer(COMPLETION)
    aitoearn_openai.base_url = server.base_url

    def ask(**settings: Any) -> Any:
        vars(aitoearn_openai).update(settings)
        aitoearn_openai.chat.completions.create(model="m", messages=MESSAGES)
        return server.requests[-1]

    assert ask(api_key="a").headers["authorization"] == "Bearer a"
    assert _module.client() is _module.client()  # One pool of connections.
    assert aitoearn_openai.azure_endpoint is None
    assert ask(api_key=lambda: "b").headers["authorization"] == "Bearer b"
    assert ask(default_headers={"X-Mine": "1"}).headers["x-mine"] == "1"
    assert ask(default_query={"q": "1"}).path.endswith("?q=1")
    assert ask(timeout=7).headers["x-stainless-read-timeout"] == "7"
    assert "x-stainless-read-timeout" not in ask(timeout=None).headers
    assert ask(organization="org-of-mine").headers["openai-organization"] == "org-of-mine"
    with openai.DefaultHttpxClient(headers={"X-Pool": "mine"}) as pool:
        assert ask(http_client=pool).headers["x-pool"] == "mine"
    assert theirs == {name: getattr(openai, name) for name in STATE}


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_retries", openai.DEFAULT_MAX_RETRIES), ("timeout", openai.DEFAULT_TIMEOUT), ("timeout", None)],
)
def test_what_is_assigned_wins_over_a_variable_also_where_it_is_the_default(
    monkeypatch: pytest.MonkeyPatch, name: str, value: Any
) -> None:
    """Whoever writes it down means it; who reads the defaults of the module finds the SDK's."""
    assert str(getattr(aitoearn_openai, name)) == str(getattr(openai, f"DEFAULT_{name.upper()}"))
    monkeypatch.setenv("AITOEARN_API_KEY", "k")
    monkeypatch.setenv(f"AITOEARN_{name.upper()}", "5")
    assert str(getattr(_module.client(), name)).startswith("5")
    monkeypatch.setattr(aitoearn_openai, name, value)

    assert getattr(_module.client(), name) == value


IMPORTS = """
import sys, aitoearn_openai
print("openai" in sys.modules)
import openai
before = set(sys.modules)
aitoearn_openai.OpenAI
names = ["aitoearn_openai.batch", "aitoearn_openai.relay", "aitoearn_openai.sandbox"]
print([name for name in set(sys.modules) - before if name.startswith("openai.") or name in names])
print(aitoearn_openai.batch.run.__name__, aitoearn_openai.relay.serve.__name__)
sys.modules["starlette"] = None
print(hasattr(aitoearn_openai, "sandbox"))
aitoearn_openai.sandbox
"""


@pytest.mark.slow
def test_importing_reads_no_settings_and_loads_what_is_used() -> None:
    """Nothing until a name is asked for, then what the SDK's import costs; a missing extra is a missing attribute."""
    wrong = {**os.environ, "AITOEARN_SITE": "x"}
    run = [sys.executable, "-c", IMPORTS]
    done = subprocess.run(run, capture_output=True, text=True, check=False, env=wrong)

    assert done.stdout.splitlines() == ["False", "[]", "run serve", "False"]
    assert "\nAttributeError: the sandbox needs Starlette and uvicorn: install `aitoearn-open" in done.stderr
    public = [each.name for each in pkgutil.iter_modules(aitoearn_openai.__path__) if each.name[0] != "_"]
    assert public == list(_module._SUBMODULES)
