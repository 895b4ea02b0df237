"""The constructor, copies, keys and subclasses: each argument makes a client that holds and sends the same."""

from __future__ import annotations

import importlib
import inspect
import re
import typing
from itertools import pairwise
from typing import Any
from unittest import mock

import openai
import pytest

import aitoearn_openai
from conftest import Reply, complete
from faults.runner import entered, wait
from parity.calls import ANSWER, COMPLETION, MODELS, soon
from parity.conftest import Each, Twins, arguments_of, state, told

PAIRS = [(aitoearn_openai.OpenAI, openai.OpenAI), (aitoearn_openai.AsyncOpenAI, openai.AsyncOpenAI)]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_who_inspects_the_class_sees_the_sdks(ours: Any, theirs: Any) -> None:
    """An editor or a framework: each name with its signature and type hints, `isinstance`, and a `repr` without the key."""
    assert set(dir(ours)) >= set(dir(theirs))
    for name in dir(theirs):
        member, its_member = getattr(ours, name), getattr(theirs, name)
        if inspect.isfunction(its_member) and (name == "__init__" or not name.startswith("_")):
            assert inspect.signature(member) == inspect.signature(its_member), name
    assert typing.get_type_hints(ours.__init__) == typing.get_type_hints(theirs.__init__)

    shown, its_shown = (
        re.sub(r"[\w.]+\.|0x\w+", "", repr(each(api_key="sk-secret"))) for each in (ours, theirs)
    )
    assert isinstance(ours(api_key="k"), theirs)
    assert shown == its_shown
    assert "secret" not in shown


WRONG: list[dict[str, Any]] = [
    {"max_retries": None},
    {"http_client": "wrong kind"},
    {"base_url": 7},
    {"base_url": ""},
    {"unheard_of": 1},
    {"api_key": 7},
    {"api_key": ..., "api_kee": "k"},  # And not the news that there is no key.
]


@pytest.mark.parametrize("arguments", WRONG, ids=repr)
def test_a_wrong_argument_is_told_as_the_sdk_tells_it(twins: Twins, arguments: dict[str, Any]) -> None:
    """At once or with the first call, with the same exception."""
    if arguments.get("http_client") == "wrong kind":
        arguments = {"http_client": Each(Twins(not twins.is_async, twins.server).pool)}
    twins.same(complete("m"), ANSWER, **arguments)


RIVALS = {
    "workload_identity": {"api_key": ...},
    "provider": {"api_key": ..., "base_url": ...},
    "data_residency": {"base_url": ...},
}
"""Arguments that the SDK takes only where others are left out."""


def value_of(name: str, twins: Twins) -> Any:
    """Something for each argument that is not what it would be anyway."""
    identity = {
        "identity_provider_id": "i",
        "service_account_id": "s",
        "provider": {"token_type": "jwt", "get_token": str},
    }
    values: dict[str, Any] = {
        "api_key": "other",
        "admin_api_key": "admin",
        "workload_identity": identity,
        "provider": Each(lambda: bedrock(twins.server.origin)),
        "organization": "org",
        "project": "project",
        "webhook_secret": "whsec",
        "websocket_base_url": "wss://h.example/ws",
        "base_url": f"{twins.server.origin}/other/path/?of=mine",
        "data_residency": "eu",
        "timeout": 3.5,
        "max_retries": 7,
        "default_headers": {"X-Mine": "1", "User-Agent": "mine"},
        "set_default_headers": {"X-Other": "2"},
        "default_query": {"q": "1", "many": ["a", "b"]},
        "set_default_query": {"r": "你"},
        "http_client": Each(lambda: twins.pool(headers={"X-Pool": "1"}, follow_redirects=False)),
        "_strict_response_validation": True,
        "_enforce_credentials": False,
        "_extra_kwargs": {"_strict_response_validation": True},
    }
    if name not in values:
        pytest.fail(f"The installed SDK has a new argument {name!r}: say in this table what to give for it.")
    return values[name]


def bedrock(origin: str) -> Any:
    providers = importlib.import_module("openai.providers")
    return providers.bedrock(base_url=f"{origin}/provider", api_key="b")


async def state_and_call(client: Any, twins: Twins) -> Any:
    """What the client holds, and, unless it would leave this machine, what it is answered."""
    before = state(client)
    at_home = str(client.base_url).startswith(twins.server.origin)
    if not at_home or getattr(client, "workload_identity", None):
        return before, str(client.base_url)
    return before, await wait(complete("m")(client)), client.default_headers.keys()


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "with-key-and-url"])
@pytest.mark.parametrize("name", arguments_of("__init__"))
def test_each_argument_of_the_constructor_makes_the_same_client(twins: Twins, name: str, alone: bool) -> None:
    """The same state and the same request, or the same refusal."""
    arguments = {**(RIVALS.get(name, {}) if alone else {}), name: value_of(name, twins)}
    twins.same(lambda client: state_and_call(client, twins), ANSWER, **arguments)


COPIED = arguments_of("copy")


@pytest.mark.parametrize(
    "names", [*((name,) for name in COPIED), *pairwise(COPIED), ("default_query", "max_retries")], ids=str
)
def test_each_argument_of_a_copy_makes_the_same_client(twins: Twins, names: tuple[str, ...]) -> None:
    """Alone or with another, where the SDK takes them; and the client that it came from stays as it was."""

    async def ask(client: Any) -> Any:
        values = {name: value_of(name, twins) for name in names}
        values = {name: value.make() if isinstance(value, Each) else value for name, value in values.items()}
        before = state(client)
        try:
            copied = client.copy(**values)
        except Exception as error:  # noqa: BLE001 - some exclude each other
            if pool := values.get("http_client"):
                await wait(pool.aclose() if twins.is_async else pool.close())
            return None, told(error), before == state(client)
        assert type(copied) is type(client)
        answered, unchanged = await state_and_call(copied, twins), before == state(client)
        await wait(copied.close())
        return client.is_closed(), answered, unchanged

    given = {"default_headers": {"X-First": "1"}, "default_query": {"first": "1"}, "organization": "first"}
    shares, _, unchanged = twins.same(ask, ANSWER, **given).result

    assert shares in (None, "http_client" not in names)
    assert unchanged


def test_attributes_assigned_later_are_sent(twins: Twins) -> None:
    """Programs set them on a running client, and the next call has them."""

    async def ask(client: Any) -> Any:
        await wait(complete("m")(client))
        client.api_key, client.organization, client.project = "new", "o", "p"
        client.base_url = f"{twins.server.origin}/v2"
        client.timeout, client.max_retries = 4.5, 1
        return await wait(complete("m")(client)), state(client), state(client.copy())

    outcome = twins.same(ask, ANSWER, Reply(status=500), ANSWER)

    assert [request[1] for request in outcome.requests[1:]] == ["/v2/chat/completions"] * 2


def key(twins: Twins, **outcome: Any) -> Each:
    """A callable key."""
    kind = mock.AsyncMock if twins.is_async else mock.Mock
    return Each(lambda: kind(return_value=None, **outcome))


def test_a_callable_key_is_asked_for_each_try(twins: Twins) -> None:
    """A fresh key for every request, retries and the model list included."""

    async def ask(client: Any) -> Any:
        answers = [await wait(complete("m")(each)) for each in (client, client.copy())]
        return answers, len((await wait(client.models.list())).data), client.api_key

    both = Reply({**COMPLETION, **MODELS})
    outcome = twins.same(ask, soon(500), both, api_key=key(twins, side_effect="abcd"))
    sent = [dict(request[2]).get("authorization") for request in outcome.requests]

    assert sent == [f"Bearer {name}" for name in "abcd"]


@pytest.mark.parametrize(
    "wrong", [RuntimeError("no vault"), openai.OpenAIError("no key"), [""], None], ids=repr
)
def test_a_callable_key_that_fails_is_told_as_the_sdk_tells_it(twins: Twins, wrong: Any) -> None:
    """Its exception reaches the caller; nothing is sent, as where it gives none."""
    twins.same(complete("m"), ANSWER, api_key=key(twins, side_effect=wrong))


def test_a_subclass_is_built_copied_and_sent_as_one_of_the_sdks(twins: Twins) -> None:
    """Its constructor gets the same arguments from a copy, and its headers and name are sent."""

    async def ask(client: Any) -> Any:
        given: list[set[str]] = []

        class Mine(type(client)):  # type: ignore[misc]
            def __init__(self, **arguments: Any) -> None:
                given.append(arguments.keys() - {"http_client"})
                super().__init__(**arguments)

            @property
            def default_headers(self) -> Any:
                return {**super().default_headers, "X-Subclass": "1"}

        mine = Mine(api_key="k", base_url=str(client.base_url))
        copied = mine.copy(timeout=1).with_options(max_retries=0)
        async with entered(mine):
            return given, await wait(complete("m")(copied)), type(copied).__name__

    sent = dict(twins.same(ask, ANSWER).requests[0][2])

    assert sent["x-subclass"] == "1"
    assert sent["user-agent"].startswith("Mine/Python")
