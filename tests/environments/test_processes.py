"""Clients and a sandbox after a fork, and a client in another event loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from collections.abc import Callable
from typing import Any

import openai
import pytest

from aitoearn_openai import AsyncOpenAI, OpenAI, sandbox
from aitoearn_openai.sandbox import Sandbox
from conftest import complete

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning", "ignore:unclosed:ResourceWarning"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]


async def ask_and_close(site: Sandbox) -> Any:
    async with AsyncOpenAI.from_settings(site.settings) as client:
        return await complete("glm-5.2")(client)


def ends_well_in_a_child(call: Callable[[], Any]) -> bool:
    if not (child := os.fork()):
        code = 1
        try:
            code = 0 if call().choices else 2
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def test_an_async_client_that_was_used_belongs_to_its_process_and_event_loop(site: Sandbox) -> None:
    """In another its calls fail, as the plain SDK's do; one that was not used yet works there, or is made there."""
    clients = [AsyncOpenAI.from_settings(site.settings, max_retries=0) for _ in range(2)]
    assert asyncio.run(complete("glm-5.2")(clients[0])).choices

    assert not ends_well_in_a_child(lambda: asyncio.run(complete("glm-5.2")(clients[0])))
    assert ends_well_in_a_child(lambda: asyncio.run(complete("glm-5.2")(clients[1])))
    assert ends_well_in_a_child(lambda: asyncio.run(ask_and_close(site)))
    with pytest.raises((RuntimeError, openai.APIConnectionError)):
        asyncio.run(complete("glm-5.2")(clients[0]))
    assert asyncio.run(ask_and_close(site)).choices
    clients.clear()
    gc.collect()  # Here, where its open connections may be warned of.


def test_a_sandbox_outlives_a_fork() -> None:
    """The child asks it, leaves its copy of the `with` block and ends; the parent's goes on."""
    with contextlib.ExitStack() as block:
        settings = block.enter_context(sandbox.serve()).settings

        def ask_and_leave() -> Any:
            with block, OpenAI.from_settings(settings) as client:
                return complete("glm-5.2")(client)

        assert ends_well_in_a_child(ask_and_leave)
        assert ask_and_leave().choices
