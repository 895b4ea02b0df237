"""An `http_client` of the caller's own: its hooks, authentication, cookies and transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

import aitoearn_openai
from conftest import Reply, complete
from parity.calls import ANSWER, CALLS, COMPLETION, ERROR, soon
from parity.twins import Each, Twins, driven, headers, hooks, listed, seen, state, wait

CALLS_OF_A_POOL = ["plain", "stream", "images", "edit-named", "get"]


@pytest.mark.parametrize("name", CALLS_OF_A_POOL)
def test_the_hooks_of_an_http_client_run_in_their_order(twins: Twins, family: Any, name: str) -> None:
    """Each sees what it saw before: the request as it goes out, the response unread and with its own status."""
    ask, reply = CALLS[name]
    log: list[Any] = []
    logs: list[list[Any]] = []

    def note(label: str) -> Callable[[Any], None]:
        def noted(event: Any) -> None:
            response = getattr(event, "is_stream_consumed", None)
            log.append(
                (label, response, getattr(event, "status_code", None), type(event), list(event.headers))
            )
            if response is None:
                event.headers[f"x-{label}"] = "1"

        return noted

    async def asked(client: Any) -> Any:
        log.clear()
        result = await wait(ask(client))
        logs.append([*log])
        return await listed(result) if isinstance(result, (openai.Stream, openai.AsyncStream)) else result

    pool = Each(
        lambda: twins.pool(family, event_hooks=hooks(twins, [note("c"), note("d")], [note("a"), note("b")]))
    )
    twins.same(asked, soon(503), reply, http_client=pool)

    assert [entry[:3] for entry in logs[0]] == [entry[:3] for entry in logs[1]]
    assert [entry[0] for entry in logs[1]] == ["a", "b", "c", "d"] * 2
    assert [entry[3] for entry in logs[0]] == [entry[3] for entry in logs[1]]


@pytest.mark.parametrize("where", ["request", "response"])
def test_a_hook_that_fails_fails_as_in_the_sdk(twins: Twins, family: Any, where: str) -> None:
    """Its exception is the caller's, or a failed connection if httpx counts it as one."""

    def fail(event: Any) -> None:
        raise LookupError("mine")

    def status(response: Any) -> None:
        response.raise_for_status()

    for failing in (fail, status):
        given = ([], [failing]) if where == "request" else ([failing], [])
        if where == "request" and failing is status:
            continue
        pool = Each(lambda given=given: twins.pool(family, event_hooks=hooks(twins, *given)))
        twins.same(complete("m"), soon(500), http_client=pool, max_retries=1)


class Signed:
    """What the caller's own authentication does: it needs both bodies, and answers a challenge."""

    requires_request_body = True
    requires_response_body = True

    def auth_flow(self, request: Any) -> Iterator[Any]:
        request.headers["X-Signature"] = str(len(request.content))
        response = yield request
        request.headers["X-Answer"] = str(len(response.content))
        response = yield request
        request.headers["X-Status"] = str(response.status_code)


class Unsigned:
    """An authentication that fails."""

    def auth_flow(self, request: Any) -> Iterator[Any]:
        raise LookupError("no certificate")
        yield request


AUTHS: dict[str, Callable[[Any], Any]] = {
    "basic": lambda family: ("user", "password"),
    "digest": lambda family: family.DigestAuth("user", "password"),
    "function": lambda family: token,
    "own": lambda family: type("Own", (Signed, family.Auth), {})(),
    "failing": lambda family: type("Own", (Unsigned, family.Auth), {})(),
    "none": lambda family: None,
}


def token(request: Any) -> Any:
    request.headers["Authorization"] = f"Token of {request.headers.get('Authorization')}"
    return request


@pytest.mark.parametrize("name", ["plain", "stream", "edit-several", "get"])
@pytest.mark.parametrize("auth", AUTHS)
def test_the_authentication_of_an_http_client_holds(twins: Twins, family: Any, auth: str, name: str) -> None:
    """Basic, digest with its challenge, a function, or the caller's own class that reads bodies."""
    ask, reply = CALLS[name]
    nonce = {"WWW-Authenticate": 'Digest realm="r", nonce="n", algorithm=MD5'}
    challenged = [Reply({"error": ERROR}, status=401, headers=nonce)] if auth in ("digest", "own") else []
    pool = Each(lambda: twins.pool(family, auth=AUTHS[auth](family)))
    outcome = twins.same(ask, *challenged, reply, http_client=pool, max_retries=0)

    assert len(outcome.requests) == {"digest": 2, "own": 2, "failing": 0}.get(auth, 1)


def test_an_http_client_keeps_its_cookies_headers_parameters_and_timeout(twins: Twins, family: Any) -> None:
    """What the server sets is sent again, and what the caller gave the `http_client` is sent always."""

    async def ask(client: Any) -> Any:
        for _ in range(2):
            await wait(complete("m")(client))
        held = pools[-1]
        return dict(held.cookies), held.timeout, client.timeout, state(client), state(client.copy())

    pools: list[Any] = []

    def pool() -> Any:
        timeout = family.Timeout(7.5)
        ways = {
            "cookies": {"mine": "1"},
            "headers": {"X-Pool": "1"},
            "params": {"p": "1"},
            "timeout": timeout,
        }
        pools.append(twins.pool(family, **ways))
        return pools[-1]

    replies = Reply(COMPLETION, headers={"Set-Cookie": "theirs=2; Path=/"}), ANSWER
    outcome = twins.same(ask, *replies, http_client=Each(pool))

    assert "theirs=2" in dict(outcome.requests[1][2])["cookie"]
    assert outcome.result[0] == {"mine": "1", "theirs": "2"}
    assert dict(outcome.requests[0][2])["x-stainless-read-timeout"] == "7.5"


def test_others_who_share_an_http_client_see_no_difference(twins: Twins, family: Any) -> None:
    """Before, beside and after our client, a plain request and a plain SDK's client get what they always got."""
    refusal = Reply({"data": {}, "code": 12001, "message": "no credits"})
    events: list[Any] = []
    given = hooks(
        twins, [lambda response: events.append(response.status_code)], [lambda _: events.append("?")]
    )
    http_client = twins.pool(family, event_hooks=given, auth=("user", "password"))
    theirs, ours = (
        getattr(modules, "AsyncOpenAI" if twins.is_async else "OpenAI")(
            api_key="k", base_url=twins.server.base_url, http_client=http_client, max_retries=0
        )
        for modules in (openai, aitoearn_openai)
    )
    names = ("auth", "base_url", "follow_redirects", "max_redirects", "params", "timeout", "trust_env")
    before = {name: getattr(http_client, name) for name in names}
    snapshot = {name: [*found] for name, found in http_client.event_hooks.items()}

    async def others() -> Any:
        response = await wait(http_client.get(f"{twins.server.base_url}/models/chat"))
        answer = await wait(complete("m")(theirs))
        return response.status_code, response.json(), headers(response), answer, [*events]

    async def ask() -> Any:
        rounds = [await others()]
        for _ in range(2):
            events.clear()
            with pytest.raises(openai.APIStatusError, match="no credits"):
                await wait(complete("m")(ours))
            assert events == ["?", 200]
            events.clear()
            rounds.append(await others())
        await wait(http_client.aclose() if twins.is_async else http_client.close())
        return rounds

    twins.server.answer(refusal)
    rounds = asyncio.run(ask()) if twins.is_async else driven(ask())

    assert rounds[0] == rounds[1] == rounds[2]
    assert {name: [*found] for name, found in http_client.event_hooks.items()} == snapshot
    assert {name: getattr(http_client, name) for name in names} == before
    plain = [dict(seen(request)[2]) for request in twins.server.requests if "models" in request.path]
    assert len({tuple(each.items()) for each in plain}) == 1
    assert "x-api-key" not in plain[0]
