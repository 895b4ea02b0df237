"""One key that can be told from all else, looked for wherever something is printed."""

from __future__ import annotations

import inspect
import logging
import pickle
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import openai
import pytest
from rich.pretty import pretty_repr

import aitoearn_openai
from aitoearn_openai import OpenAI, Settings
from aitoearn_openai._module import _Resource
from aitoearn_openai.sandbox import Sandbox
from conftest import WAYS, Asker, Reply, ScriptedServer, complete, draw, in_turns, list_models, stream

CANARY = "canary-5d0b6f"
OURS = str(Path(aitoearn_openai.__file__).parent)
ASKS: dict[str, Callable[[str], Callable[[Any], Any]]] = {
    "completion": complete,
    "stream": stream,
    "image": draw,
    "list": lambda _: list_models,
    "retrieve": lambda _: lambda client: client.models.retrieve("nothing-like-it"),
    "raw": lambda name: lambda client: complete(name)(client.with_raw_response),
}
FAULTS = {
    "envelope": Reply({"data": {}, "code": 12001, "message": "no credits"}),
    "wrong key": Reply({"data": {}, "code": 401, "message": "Unauthorized"}),
    "http 401": Reply({"error": {"message": "no", "code": "invalid_api_key"}}, status=401),
    "html": Reply("<html>", content_type="text/html"),
    "broken json": Reply(b'{"choices": ['),
    "null": Reply(b"null"),
    "broken stream": Reply("event: error\ndata: broke\n\n", content_type="text/event-stream"),
}


def keyed(how: str, asker: Asker, monkeypatch: pytest.MonkeyPatch, key: str = CANARY) -> dict[str, Any]:
    """Arguments of a client that has this key, given in that way."""

    async def ask() -> str:
        return key

    if how == "settings":
        monkeypatch.setenv("AITOEARN_API_KEY", key)
        return {}
    if how == "code":
        return {"api_key": key}
    return {"api_key": ask if asker.is_async else lambda: key}


def shown(error: BaseException) -> str:
    """An error as people meet it: its texts, and its traceback with the locals of this package's frames."""
    told = [str(error), repr(error), "".join(traceback.format_exception(error))]
    if isinstance(error, openai.APIError):
        told += [repr(error.body), repr(error.message), repr(error.code), repr(error.request)]
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename.startswith(OURS):
            # A resource of the module that cannot be loaded has no `repr` either, as in the SDK.
            shown = {name: value for name, value in frame.f_locals.items() if type(value) is not _Resource}
            told += [f"{name} = {value!r}" for name, value in shown.items()]  # As pytest does.
            told.append(pretty_repr(shown))  # As rich does.
    return "\n".join(told)


HOW = ("code", "settings", "callable")
# Each pair of a way to ask, a way to give the key, a call and a fault is there once.
PAIRS = [
    (WAYS[(one + 2 * two) % len(WAYS)], HOW[(one + two) % len(HOW)], kind, fault)
    for one, kind in enumerate(ASKS)
    for two, fault in enumerate(FAULTS)
]


@pytest.mark.parametrize(("asker", "how", "kind", "fault"), PAIRS, indirect=["asker"])
def test_no_failure_shows_the_key(
    asker: Asker,
    how: str,
    kind: str,
    fault: str,
    server: ScriptedServer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither its message, nor its traceback with our locals, nor any log; it reaches the server all the same."""
    server.answer(FAULTS[fault])
    given = keyed(how, asker, monkeypatch)
    caplog.set_level(logging.DEBUG)
    try:
        asker.run(ASKS[kind]("m"), base_url=server.base_url, max_retries=0, **given)
    except openai.OpenAIError as error:
        assert "canary" not in shown(error)  # noqa: PT017 - a raw response may be of no error
    else:
        assert kind == "raw"  # A broken body is told when the caller parses it.

    assert "canary" not in caplog.text
    assert CANARY in repr(server.requests[0].headers)


@pytest.mark.parametrize("way", ["code", "from_settings", "module"])
@in_turns("arguments", [{"http_client": object()}, {"base_url": 7}, {"max_retries": None}])
def test_a_constructor_that_fails_does_not_show_the_key(
    asker: Asker, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], way: str
) -> None:
    """Whatever is wrong with its other arguments; nor do the frames between a resource of the module and it."""

    def make() -> Any:
        if way == "code":
            return asker.client(api_key=CANARY, **arguments)
        if way == "from_settings":
            return OpenAI.from_settings(Settings(), api_key=CANARY, **arguments)
        for name, value in {"api_key": CANARY, **arguments}.items():
            monkeypatch.setattr(aitoearn_openai, name, value)
        return aitoearn_openai.models.list()

    with pytest.raises((AttributeError, TypeError)) as caught:
        make()

    assert "canary" not in shown(caught.value)


def test_no_text_or_repr_shows_the_key(asker: Asker, site: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """`repr` and `str` of clients, resources, settings and copies of them, models; a pickle of a client of settings."""
    monkeypatch.setenv("AITOEARN_API_KEY", CANARY)
    client = asker.client()
    models = asker.run(list_models, base_url=site.base_url, api_key=site.api_key)
    things = [
        client, client.models, client.chat.completions, client.with_raw_response, client.with_options(timeout=1),
        vars(client), vars(asker.client(api_key=CANARY)), Settings(), Settings().model_copy(update={"api_key": CANARY}),
        Settings().model_dump(), Settings().model_dump_json(), models, models.data[0],
    ]  # fmt: skip

    assert "canary" not in "".join(f"{thing!r}{thing!s}" for thing in things)
    assert b"canary" not in pickle.dumps(client)


UNSENDABLE = ["line\r\nX-Evil: 1", "clé", "钥匙", "\x00", "space at the end "]
WHERE = "with_options", "assigned", "callable", "module"


@pytest.mark.parametrize(
    ("where", "key"),
    [*(("code", key) for key in UNSENDABLE), *((where, f"{CANARY}\n") for where in WHERE)],
)
def test_a_key_that_no_header_can_carry_is_refused_before_anything_is_sent(
    asker: Asker, server: ScriptedServer, where: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it comes from, as from a file with a line end; no frame of ours shows it."""

    def ask(client: Any) -> Any:
        if where == "with_options":
            client = client.with_options(api_key=key)
        elif where == "assigned":
            client.api_key = key
        elif where == "module":
            monkeypatch.setattr(aitoearn_openai, "api_key", key)
            return aitoearn_openai.models.list()
        return client.models.list()

    given = keyed(where, asker, monkeypatch, key) if where in HOW else {"api_key": "k"}
    with pytest.raises(openai.OpenAIError, match="a header cannot carry this key") as caught:
        asker.run(ask, base_url=server.base_url, **given)

    assert key.strip() not in shown(caught.value)
    assert not server.requests


@pytest.mark.skipif(
    "data_residency" not in inspect.signature(openai.OpenAI).parameters, reason="an older SDK"
)
def test_a_key_of_settings_is_not_sent_to_openai(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    """`data_residency` chooses one; a key that was given with it is the caller's affair."""
    monkeypatch.setenv("AITOEARN_API_KEY", CANARY)
    filled = asker.client()
    from_settings = partial(type(filled).from_settings, Settings(site="ai", api_key=CANARY))
    for make in (asker.client, from_settings, filled.with_options(timeout=3).copy):
        with pytest.raises(openai.OpenAIError, match=r"leave it out, or give OpenAI's api_key too\."):
            make(data_residency="eu")
    for make in (asker.client, filled.with_options):
        moved = make(api_key="sk-openai", data_residency="eu")
        assert moved.api_key == "sk-openai"
        assert moved.base_url.host.endswith("openai.com")
    filled.api_key = "sk-openai"
    assert filled.copy(data_residency="eu").base_url == moved.base_url
