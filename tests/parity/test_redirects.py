"""Redirects: followed as the SDK follows them, and the key stays where it belongs."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from conftest import Asker, Reply, ScriptedServer, complete, list_models
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
        except openai.APIStatusError as error:  # Its message has a sentence more, on where it leads.
            return type(error), error.status_code, error.response.headers["location"]
        finally:
            elsewhere.append([seen(request) for request in other_server.requests])

    other_server.answer(reply)
    outcome = twins.same(
        asked, *replies, max_retries=0, http_client=Each(lambda: twins.pool(follow_redirects=follow))
    )

    assert elsewhere[0] == elsewhere[1]
    assert [len(outcome.requests), len(elsewhere[0])] == ([2, 1] if follow else [1, 0])


@pytest.mark.parametrize("follow", [True, False])
def test_a_redirect_of_the_model_list_is_refused_and_names_where_it_leads(
    twins: Twins, other_server: ScriptedServer, follow: bool
) -> None:
    """Unlike with the SDK: the second key header would go along to any origin."""
    other_server.answer(Reply(MODELS))
    twins.server.answer(Reply(status=307, headers={"Location": f"{other_server.origin}/api/ai"}))
    with pytest.raises(openai.APIStatusError, match=other_server.origin) as raised:
        Asker(twins.is_async).run(
            list_models,
            base_url=twins.server.base_url,
            api_key="k",
            http_client=twins.pool(follow_redirects=follow),
        )

    assert raised.value.status_code == 307
    assert [len(twins.server.requests), len(other_server.requests)] == [1, 0]


def test_a_second_key_that_the_client_was_given_is_sent(twins: Twins) -> None:
    """A header in `default_headers` goes with every request, the model list included."""

    async def ask(client: Any) -> Any:
        await wait(client.models.list())
        return twins.server.requests[-1].headers["x-api-key"]

    twins.same(ask, Reply(MODELS), default_headers={"X-Api-Key": "mine"})


def test_redirects_in_a_circle_end_as_in_the_sdk(twins: Twins) -> None:
    """With its exception, after as many requests."""
    outcome = twins.same(complete("m"), Reply(status=307, headers={"Location": "/x"}), max_retries=0)

    assert outcome.result[0] is openai.APIConnectionError


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
