"""Keys that are functions, and clients without any."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from conftest import Reply, complete
from parity.calls import ANSWER, COMPLETION, MODELS, soon
from parity.twins import Each, Twins, arguments_of, state, wait


def test_a_callable_key_is_asked_for_each_try(twins: Twins) -> None:
    """A fresh key for every request, retries and the model list included; an empty one is not sent."""

    def key() -> Any:
        keys = iter("abcd")

        async def next_key() -> str:
            return next(keys, "")

        return next_key if twins.is_async else lambda: next(keys, "")

    async def ask(client: Any) -> Any:
        answers = [await wait(complete("m")(each)) for each in (client, client.copy(), client)]
        return answers, client.api_key, client.models and len((await wait(client.models.list())).data)

    both = Reply({**COMPLETION, **MODELS})
    outcome = twins.same(ask, soon(500), both, api_key=Each(key))

    assert [dict(request[2]).get("authorization") for request in outcome.requests][:4] == [
        f"Bearer {name}" for name in "abcd"
    ]


@pytest.mark.parametrize("wrong", [RuntimeError("no vault"), openai.OpenAIError("no key"), None], ids=repr)
def test_a_callable_key_that_fails_is_told_as_the_sdk_tells_it(twins: Twins, wrong: Any) -> None:
    """Its exception reaches the caller; nothing is sent."""

    def fail() -> Any:
        if wrong is None:
            return None
        raise wrong

    async def fail_async() -> Any:
        return fail()

    twins.same(complete("m"), ANSWER, api_key=fail_async if twins.is_async else fail)


@pytest.mark.skipif("_enforce_credentials" not in arguments_of("__init__"), reason="not in this SDK")
@pytest.mark.parametrize("omitted", [True, False])
def test_a_client_without_credentials_is_one_of_the_sdks(twins: Twins, omitted: bool) -> None:
    """Who asks for no key to be needed gets the SDK's client without one."""
    extra = {"Authorization": openai.Omit()} if omitted else {}

    async def ask(client: Any) -> Any:
        return state(client), await wait(complete("m", extra_headers=extra)(client))

    twins.same(ask, ANSWER, api_key=..., _enforce_credentials=False)
