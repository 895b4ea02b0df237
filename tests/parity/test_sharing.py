"""Threads, tasks and event loops that share a client, and what is left when nobody has it."""

from __future__ import annotations

import asyncio
import gc
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import anyio
import openai
import pytest

import aitoearn_openai
from aitoearn_openai.sandbox import Sandbox
from conftest import MESSAGES, Asker, Reply, ScriptedServer, complete, stream
from faults.runner import driven, wait
from faults.server import Hang, Server, reply
from parity.calls import CHUNKS, COMPLETION, MODELS, soon
from parity.conftest import Twins, listed, one_connection, told


def test_sixteen_threads_may_share_one_client(site: Sandbox) -> None:
    """Many calls at once, each with its own answer."""

    def answer(client: openai.OpenAI, number: int) -> Any:
        said: Any = [{"role": "user", "content": f"number {number}"}]
        create = client.with_options(max_retries=number).chat.completions.create
        result = create(model="glm-5.2", messages=said, stream=bool(number % 2))
        return list(result) if number % 2 else result

    def answers(modules: Any) -> list[Any]:
        where = {"base_url": site.base_url, "api_key": site.api_key}
        with modules.OpenAI(**where) as client, ThreadPoolExecutor(16) as pool:
            return list(pool.map(partial(answer, client), range(32)))

    assert answers(aitoearn_openai) == answers(openai)


@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")  # Of the SDK's own streams, under trio.
def test_the_async_client_works_under_trio_as_the_sdks_does(server: ScriptedServer) -> None:
    """Answers, retries, streams, streams left early, unread responses, failures and the model list."""
    pytest.importorskip("trio")

    async def ask(client: Any) -> Any:
        results = [await complete("m")(client), [model.id async for model in client.models.list()]]
        async with complete("m")(client.with_streaming_response) as response:
            results.append(await response.text())
        with pytest.raises(openai.BadRequestError) as caught:
            await complete("m")(client)
        results += [told(caught.value), [chunk async for chunk in await stream("m")(client)]]
        async with await stream("m")(client) as chunks:
            results.append(await anext(chunks))
        async with client.chat.completions.stream(model="m", messages=MESSAGES) as events:
            return results, [event.type async for event in events]

    both = Reply({**COMPLETION, **MODELS})
    outcome = Twins(True, server, "trio").same(ask, soon(503), both, both, both, soon(400), CHUNKS)

    assert len(outcome.requests) == 8


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_call_that_is_cancelled_gives_its_connection_back(backend: str) -> None:
    """In the middle of a body: the next call, of a pool of one connection, is not kept waiting."""
    pytest.importorskip(backend)

    async def ask(client: Any) -> None:
        for _ in range(3):
            with anyio.move_on_after(0.2) as scope:
                await complete("m")(client)
            assert scope.cancelled_caught

    pool = one_connection(Twins(True, ScriptedServer()))
    with Server() as faulty:
        faulty.visit("api", lambda _: [reply(length=999), Hang])
        where = {"base_url": f"{faulty.origin()}/api", "api_key": "k", "max_retries": 0, "http_client": pool}
        Asker(True, backend=backend).run(ask, **where)


@pytest.mark.parametrize("used", [True, False], ids=["used", "unused"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_client_that_nobody_closed_goes_without_a_warning(
    is_async: bool, site: Sandbox, used: bool
) -> None:
    """It is freed when the SDK's would be."""

    async def drop() -> Any:
        client = Asker(is_async).client(base_url=site.base_url, api_key=site.api_key)
        if used:
            await listed(await wait(stream("glm-5.2")(client)))
            await wait(complete("glm-5.2")(client))  # Its connection is kept open.
        gone = weakref.ref(client)
        del client
        at_once = gone() is None
        gc.collect()
        for _ in range(20 if is_async else 0):  # The SDK leaves streams and pools to the event loop.
            await asyncio.sleep(0)
            gc.collect()
        return at_once, gone() is None

    gc.collect()
    gc.freeze()  # What is there already would be looked through again each time.
    gc.disable()  # Collecting earlier may change the order in which a circle is freed: the sockets before their pool.
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            freed = asyncio.run(drop()) if is_async else driven(drop())
            gc.collect()
    finally:
        gc.enable()
        gc.unfreeze()

    assert freed == (not used, True)
    # On some versions asyncio's sockets go before their pool: the SDK's just so.
    assert [each for each in caught if not (is_async and used and "unclosed" in str(each.message))] == []
