"""Redirects: followed as the SDK follows them, and the key stays where it belongs."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from conftest import Reply, ScriptedServer, complete
from parity.calls import CALLS, MODELS
from parity.twins import Each, Twins, seen, wait


@pytest.mark.parametrize("follow", [True, False])
@pytest.mark.parametrize("name", ["plain", "stream", "get", "edit-named"])
def test_redirects_are_followed_as_the_sdk_follows_them(
    twins: Twins, other_server: ScriptedServer, name: str, follow: bool
) -> None:
    """Within the origin and to another one, key and body included or left out; or not at all."""
    ask, reply = CALLS[name]
    replies = [
        Reply(status=307, headers={"Location": "/api/ai/moved"}),
        Reply(status=302, headers={"Location": f"{other_server.origin}/elsewhere"}),
    ]
    elsewhere = []

    async def asked(client: Any) -> Any:
        other_server.requests.clear()
        try:
            return await wait(ask(client))
        finally:
            elsewhere.append([seen(request) for request in other_server.requests])

    other_server.answer(reply)
    outcome = twins.same(
        asked, *replies, max_retries=0, http_client=Each(lambda: twins.pool(follow_redirects=follow))
    )

    assert elsewhere[0] == elsewhere[1]
    assert [len(outcome.requests), len(elsewhere[0])] == ([2, 1] if follow else [1, 0])


@pytest.mark.parametrize("given", [{}, {"Authorization": openai.Omit()}], ids=["key", "no-key"])
@pytest.mark.parametrize("follow", [True, False])
def test_redirects_of_the_model_list_are_followed_as_the_sdk_follows_them(
    twins: Twins, other_server: ScriptedServer, given: dict[str, Any], follow: bool
) -> None:
    """Though it is our code that follows them: `history`, address, cookies and answer are the SDK's."""
    elsewhere = []

    async def ask(client: Any) -> Any:
        other_server.requests.clear()
        try:
            raw = await wait(client.models.with_raw_response.list(extra_headers=given))
        except openai.APIStatusError as error:
            return error.status_code, error.response.headers["location"]
        finally:
            elsewhere.append([seen(request) for request in other_server.requests])
        http = raw.http_response
        visited = [(str(each.url.path)[-5:], each.status_code) for each in http.history[1:]]
        return len(http.history), visited, str(http.url), [model.id for model in raw.parse().data]

    other_server.answer(Reply(MODELS, headers={"Set-Cookie": "theirs=2"}))
    outcome = twins.same(
        ask,
        Reply(status=307, headers={"Location": "/api/ai/moved?x=1", "Set-Cookie": "ours=1; Path=/"}),
        Reply(status=302, headers={"Location": f"{other_server.origin}/elsewhere"}),
        http_client=Each(lambda: twins.pool(follow_redirects=follow)),
    )

    assert elsewhere[0] == elsewhere[1]
    assert [len(outcome.requests), len(elsewhere[0])] == ([2, 1] if follow else [1, 0])


def test_redirects_of_the_model_list_are_followed_without_the_second_key(twins: Twins) -> None:
    """`Omit` takes the header away, and nothing else with it."""
    moved = Reply(status=307, headers={"Location": "/api/ai/moved"})

    async def ask(client: Any) -> Any:
        page = await wait(client.models.list(extra_headers={"X-Api-Key": openai.Omit()}))
        return [model.id for model in page.data]

    twins.same(ask, moved, Reply(MODELS))


def test_a_second_key_that_the_client_was_given_is_sent(twins: Twins) -> None:
    """A header in `default_headers` goes with every request, the model list included."""

    async def ask(client: Any) -> Any:
        await wait(client.models.list())
        return twins.server.requests[-1].headers["x-api-key"]

    twins.same(ask, Reply(MODELS), default_headers={"X-Api-Key": "mine"})


def test_redirects_in_a_circle_end_as_in_the_sdk(twins: Twins) -> None:
    """For any call, the model list included, which follows its redirects itself."""

    async def ask(client: Any) -> Any:
        failures = []
        for call in (complete("m"), lambda client: client.models.list()):
            try:
                await wait(call(client))
            except openai.APIConnectionError as error:
                failures.append((type(error), type(error.__cause__), len(twins.server.requests)))
        twins.server.requests.clear()
        return failures

    assert (
        len(twins.same(ask, Reply(status=307, headers={"Location": "/x/models/chat"}), max_retries=0).result)
        == 2
    )


def test_the_model_list_asked_for_by_hand_does_not_give_the_key_away(
    twins: Twins, other_server: ScriptedServer
) -> None:
    """`client.get("/models/chat")` that is redirected to another origin leaves every key behind."""
    other_server.answer(Reply(MODELS))
    twins.same(
        lambda client: client.get("/models/chat", cast_to=object),
        Reply(status=302, headers={"Location": f"{other_server.origin}/elsewhere"}),
    )

    for request in other_server.requests:
        assert not {"authorization", "x-api-key"} & request.headers.keys()
