"""An `http_client` of the caller's own: its hooks and its authentication."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import openai
import pytest

import aitoearn_openai
from conftest import Asker, Reply, complete
from faults.runner import driven, wait
from parity.calls import CALLS, ERROR, soon
from parity.conftest import Each, Twins, headers, hooks, listed, seen


@pytest.mark.parametrize("name", ["plain", "stream", "edit", "get"])
def test_the_hooks_of_an_http_client_run_in_their_order(twins: Twins, family: Any, name: str) -> None:
    """Each sees what it saw before: the request as it goes out, the response unread and with its own status."""
    ask, reply = CALLS[name]
    log: list[Any] = []

    def on_request(label: str, request: Any) -> None:
        log.append((label, type(request), list(request.headers)))
        request.headers[f"x-{label}"] = "1"

    def on_response(label: str, response: Any) -> None:
        log.append((label, type(response), response.is_stream_consumed, response.status_code))

    async def asked(client: Any) -> Any:
        log.clear()
        result = await wait(ask(client))
        is_stream = isinstance(result, (openai.Stream, openai.AsyncStream))
        return await listed(result) if is_stream else result, [*log]

    requests = [partial(on_request, label) for label in "ab"]
    responses = [partial(on_response, label) for label in "cd"]
    pool = Each(lambda: twins.pool(family, event_hooks=hooks(twins, responses, requests)))
    outcome = twins.same(asked, soon(503), reply, http_client=pool)

    assert [entry[0] for entry in outcome.result[1]] == ["a", "b", "c", "d"] * 2


@pytest.mark.parametrize("where", ["request", "response", "status"])
def test_a_hook_that_fails_fails_as_in_the_sdk(twins: Twins, family: Any, where: str) -> None:
    """Its exception is the caller's, or a failed connection if httpx counts it as one."""

    def fail(event: Any) -> None:
        if where == "status":
            event.raise_for_status()
        raise LookupError("mine")

    given = ([], [fail]) if where == "request" else ([fail], [])
    pool = Each(lambda: twins.pool(family, event_hooks=hooks(twins, *given)))
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


AUTHS: dict[str, Callable[[Any], Any]] = {
    "basic": lambda family: ("user", "password"),
    "digest": lambda family: family.DigestAuth("user", "password"),
    "function": lambda family: token,
    "own": lambda family: type("Own", (Signed, family.Auth), {})(),
    "failing": lambda family: fail,
    "none": lambda family: None,
}


def token(request: Any) -> Any:
    request.headers["Authorization"] = f"Token of {request.headers.get('Authorization')}"
    return request


def fail(request: Any) -> Any:
    raise LookupError("no certificate")


@pytest.mark.parametrize("name", ["stream", "edit"])
@pytest.mark.parametrize("auth", AUTHS)
def test_the_authentication_of_an_http_client_holds(twins: Twins, family: Any, auth: str, name: str) -> None:
    """Basic, digest with its challenge, a function, or the caller's own class that reads bodies."""
    ask, reply = CALLS[name]
    nonce = {"WWW-Authenticate": 'Digest realm="r", nonce="n", algorithm=MD5'}
    challenged = [Reply({"error": ERROR}, status=401, headers=nonce)] if auth in ("digest", "own") else []
    pool = Each(lambda: twins.pool(family, auth=AUTHS[auth](family)))
    outcome = twins.same(ask, *challenged, reply, http_client=pool, max_retries=0)

    assert len(outcome.requests) == {"digest": 2, "own": 2, "failing": 0}.get(auth, 1)


def test_others_who_share_an_http_client_see_no_difference(twins: Twins, family: Any) -> None:
    """Beside and after our client, a plain request and a plain SDK's client get what they always got."""
    statuses: list[int] = []
    given = hooks(twins, [lambda response: statuses.append(response.status_code)], [])
    http_client = twins.pool(family, event_hooks=given, auth=("user", "password"))
    where: Any = {
        "api_key": "k",
        "base_url": twins.server.base_url,
        "http_client": http_client,
        "max_retries": 0,
    }
    theirs, ours = (Asker(twins.is_async, modules).client(**where) for modules in (openai, aitoearn_openai))

    async def others() -> Any:
        response = await wait(http_client.get(f"{twins.server.base_url}/models/chat"))
        sent = seen(twins.server.requests[-1])
        settings = [getattr(http_client, name) for name in ("auth", "base_url", "params", "timeout")]
        answer = await wait(complete("m")(theirs))
        return response.status_code, headers(response), answer, sent, settings, {**http_client.event_hooks}

    async def ask() -> None:
        before = await others()
        for _ in range(2):
            with pytest.raises(openai.APIStatusError, match="no credits"):
                await wait(complete("m")(ours))
            assert await others() == before
        await wait(http_client.aclose() if twins.is_async else http_client.close())

    twins.server.answer(Reply({"data": {}, "code": 12001, "message": "no credits"}))
    asyncio.run(ask()) if twins.is_async else driven(ask())
    assert set(statuses) == {200}  # Which our client's failures came with.
