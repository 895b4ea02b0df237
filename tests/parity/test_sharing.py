"""Threads, tasks and event loops that share a client, and what is left when nobody has it."""

from __future__ import annotations

import asyncio
import gc
import sys
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
from parity.conftest import Twins, listed, one_connection, seen, told


def test_sixteen_threads_may_share_one_client(site: Sandbox) -> None:
    """Many calls at once, each with its own answer."""

    def answer(client: openai.OpenAI, number: int) -> Any:
        said: Any = [{"role": "user", "content": f"number {number}"}]
        if number % 2:
            return client.chat.completions.create(model="glm-5.2", messages=said)
        streamed = client.with_options(max_retries=number).chat.completions
        return list(streamed.create(model="glm-5.2", messages=said, stream=True))

    answers = []
    for modules in (openai, aitoearn_openai):
        with (
            modules.OpenAI(base_url=site.base_url, api_key=site.api_key) as client,
            ThreadPoolExecutor(16) as pool,
        ):
            answers.append(list(pool.map(partial(answer, client), range(32))))

    assert answers[0] == answers[1]


@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")  # Of the SDK's own streams, under trio.
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_async_client_works_in_every_event_loop_that_the_sdks_works_in(
    server: ScriptedServer, backend: str
) -> None:
    """Answers, retries, streams, streams left early, unread responses, failures and the model list."""
    if backend == "trio":
        pytest.importorskip("trio")

    async def ask(modules: Any) -> Any:
        server.requests.clear()
        both = Reply({**COMPLETION, **MODELS})
        server.answer(soon(503), both, both, both, soon(400), CHUNKS)
        results: list[Any] = []
        async with modules.AsyncOpenAI(api_key="k", base_url=server.base_url) as client:
            results.append(await complete("m")(client))
            results.append([model.id async for model in client.models.list()])
            async with complete("m")(client.with_streaming_response) as response:
                results.append(await response.text())
            with pytest.raises(openai.BadRequestError) as caught:
                await complete("m")(client)
            results.append(told(caught.value))
            results.append([chunk async for chunk in await stream("m")(client)])
            async with await stream("m")(client) as chunks:
                results.append(await anext(chunks))
            async with client.chat.completions.stream(model="m", messages=MESSAGES) as events:
                results.append([event.type async for event in events])
        return results, [seen(request) for request in server.requests]

    theirs, ours = (anyio.run(ask, modules, backend=backend) for modules in (openai, aitoearn_openai))

    assert ours == theirs


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_call_that_is_cancelled_gives_its_connection_back(backend: str) -> None:
    """In the middle of a body: the next call, of a pool of one connection, is not kept waiting."""
    if backend == "trio":
        pytest.importorskip("trio")
    twins = Twins(True, ScriptedServer())

    async def ask(modules: Any, url: str) -> Any:
        pool = one_connection(twins)
        cancelled = []
        async with modules.AsyncOpenAI(api_key="k", base_url=url, http_client=pool, max_retries=0) as client:
            for _ in range(3):
                with anyio.move_on_after(0.2) as scope:
                    await complete("m")(client)
                cancelled.append(scope.cancelled_caught)
        return cancelled

    with Server() as faulty:
        faulty.visit("api", lambda _: [reply(length=999), Hang])
        for modules in (openai, aitoearn_openai):
            assert anyio.run(ask, modules, f"{faulty.origin()}/api", backend=backend) == [True] * 3


@pytest.mark.parametrize("used", [True, False], ids=["used", "unused"])
def test_a_client_that_nobody_closed_goes_without_a_warning(twins: Twins, site: Sandbox, used: bool) -> None:
    """It is freed when the SDK's would be, and says as little about it."""

    async def drop(modules: Any) -> Any:
        client = Asker(twins.is_async, modules).client(base_url=site.base_url, api_key=site.api_key)
        if used:
            await wait(complete("glm-5.2")(client))
            await listed(await wait(stream("glm-5.2")(client)))
        gone = weakref.ref(client)
        del client
        at_once = gone() is None
        gc.collect()
        for _ in range(20 if twins.is_async else 0):  # The SDK leaves streams and pools to the event loop.
            await asyncio.sleep(0)
            gc.collect()
        return at_once, gone() is None

    def dropped(modules: Any) -> Any:
        unraisable: list[Any] = []
        with warnings.catch_warnings(record=True) as caught, pytest.MonkeyPatch.context() as patch:
            warnings.simplefilter("always")
            patch.setattr(sys, "unraisablehook", unraisable.append)
            result = asyncio.run(drop(modules)) if twins.is_async else driven(drop(modules))
            gc.collect()
        return result, [str(each.message) for each in caught], unraisable

    gc.collect()
    gc.freeze()  # What is there already would be looked through again each time.
    try:
        theirs, ours = dropped(openai), dropped(aitoearn_openai)
    finally:
        gc.unfreeze()

    assert ours[0] == theirs[0] == (not used, True)
    # A client that was used is freed in a circle, and so at times its sockets go before it: the SDK's just so.
    assert [message for message in ours[1] if not (used and message.startswith("unclosed"))] == []
    assert ours[2] == theirs[2] == []
