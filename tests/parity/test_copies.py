"""The constructor and copies: each argument makes a client that holds and sends the same."""

from __future__ import annotations

import importlib
from itertools import pairwise
from typing import Any

import openai
import pytest

from conftest import Reply, complete
from parity.calls import ANSWER
from parity.twins import Each, Twins, arguments_of, close, state, told, wait

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


@pytest.mark.parametrize("name", arguments_of("copy"))
def test_each_argument_of_a_copy_makes_the_same_client(twins: Twins, name: str) -> None:
    """A copy has our class and the SDK's ways, and the client that it came from stays as it was."""

    async def ask(client: Any) -> Any:
        value = value_of(name, twins)
        before = state(client)
        try:
            copied = client.copy(**{name: value.make() if isinstance(value, Each) else value})
        except openai.OpenAIError as error:
            return None, told(error), before == state(client)
        assert type(copied) is type(client)
        answered, unchanged = await state_and_call(copied, twins), before == state(client)
        await close(copied)
        return client.is_closed(), answered, unchanged

    shares, _, unchanged = twins.same(
        ask, ANSWER, default_headers={"X-First": "1"}, default_query={"first": "1"}, organization="first"
    ).result

    assert shares in (name != "http_client", None)
    assert unchanged


@pytest.mark.parametrize(
    ("one", "other"), [*pairwise(arguments_of("copy")), ("default_query", "max_retries")]
)
def test_two_arguments_of_a_copy_agree_or_are_refused_as_in_the_sdk(
    twins: Twins, one: str, other: str
) -> None:
    """Some exclude each other; the refusal is the SDK's."""

    async def ask(client: Any) -> Any:
        values = {name: value_of(name, twins) for name in (one, other)}
        made = {name: value.make() if isinstance(value, Each) else value for name, value in values.items()}
        try:
            copied = client.copy(**made)
        finally:
            for value in made.values():
                if hasattr(value, "is_closed"):
                    await wait(value.aclose() if twins.is_async else value.close())
        return state(copied)

    twins.same(ask, ANSWER)


@pytest.mark.parametrize("limit", [None, 0.5, "parts"], ids=str)
def test_a_timeout_of_any_kind_arrives(twins: Twins, limit: Any) -> None:
    """None, seconds or the SDK's `Timeout`, of the client, of a copy and of one call."""
    limit = openai.Timeout(9, connect=3, read=4) if limit == "parts" else limit

    async def ask(client: Any) -> Any:
        for each in (client, client.with_options(timeout=limit), client.copy(timeout=1)):
            await wait(complete("m")(each))
            await wait(complete("m", timeout=limit)(each))
        return client.timeout

    outcome = twins.same(ask, ANSWER, timeout=limit)

    assert outcome.result == limit
    assert len(outcome.requests) == 6


def test_a_copy_shares_the_connections_and_another_client_does_not(twins: Twins) -> None:
    """And closing any of those that share closes the pool of all."""

    async def ask(client: Any) -> Any:
        other = type(client)(api_key="k", base_url=twins.server.base_url)
        copied = client.copy(api_key="x").with_options(timeout=1)
        await close(copied)
        closed = [each.is_closed() for each in (client, copied, other)]
        await close(other)
        try:
            await wait(complete("m")(client))
        except Exception as error:  # noqa: BLE001 - whatever it is, the other has it too
            return closed, type(error), str(error)

    assert twins.same(ask, ANSWER).result[0] == [True, True, False]


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
