"""The sandbox and the relay where tests freeze time, or another event loop runs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest

from aitoearn_openai import AsyncOpenAI, OpenAI, relay, sandbox
from conftest import complete

pytestmark = pytest.mark.slow

DAY = "2025-01-01"
HANGS = 300  # Seconds: far more than a busy machine takes.


@contextlib.contextmanager
def stopped() -> Iterator[None]:
    """What all that freeze time have in common: a clock that stands."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("monotonic", "perf_counter", "time"):
            patch.setattr(time, name, lambda: 1e9)
        yield


FROZEN: dict[str, Callable[[], Any]] = {
    "stopped": stopped,
    "freezegun": lambda: import_module("freezegun").freeze_time(DAY),
    "freezegun real_asyncio": lambda: import_module("freezegun").freeze_time(DAY, real_asyncio=True),
    "time_machine": lambda: import_module("time_machine").travel(DAY),
    "time_machine tick=False": lambda: import_module("time_machine").travel(DAY, tick=False),
}


def in_time(work: Callable[[], object]) -> None:
    """Do the work, in a thread that may be given up: what waits for a frozen clock waits for ever."""
    done = []
    thread = threading.Thread(target=lambda: done.append(work()), daemon=True)
    thread.start()
    thread.join(HANGS)
    assert done


@pytest.mark.parametrize("freeze", FROZEN)
@pytest.mark.parametrize("leaves", ["frozen", "thawed"])
def test_a_sandbox_and_a_relay_are_left_where_time_is_frozen(freeze: str, leaves: str) -> None:
    """They answer, also a model that takes its time, and their `with` blocks end."""
    if freeze != "stopped":
        pytest.importorskip(freeze.split()[0])

    def work() -> None:
        with contextlib.ExitStack() as inner, contextlib.ExitStack() as outer:
            ice, servers = (inner, outer) if leaves == "frozen" else (outer, inner)
            site = servers.enter_context(sandbox.serve())
            here = servers.enter_context(relay.serve(settings=site.settings))
            ice.enter_context(FROZEN[freeze]())
            for base_url, key in ((site.base_url, site.api_key), (here.base_url, here.api_key)):
                with OpenAI(base_url=base_url, api_key=key, max_retries=0) as client:
                    assert complete("slow-first-byte")(client).choices

    in_time(work)


def test_a_sandbox_that_starts_while_time_is_frozen_answers_and_ends() -> None:
    """As where a fixture freezes time before another one serves."""

    def work() -> None:
        with stopped(), sandbox.serve() as site, OpenAI.from_settings(site.settings) as client:
            assert complete("glm-5.2")(client).choices

    in_time(work)


def test_a_sandbox_serves_a_loop_of_uvloop() -> None:
    uvloop: Any = pytest.importorskip("uvloop")

    async def main() -> None:
        with sandbox.serve() as site:
            async with AsyncOpenAI.from_settings(site.settings) as client:
                assert (await complete("glm-5.2")(client)).choices

    in_time(lambda: uvloop.run(main()))
