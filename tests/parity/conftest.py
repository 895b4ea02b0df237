"""A pair of clients for each kind, and retries that do not wait."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from conftest import ScriptedServer
from parity.twins import Twins


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def twins(request: pytest.FixtureRequest, server: ScriptedServer) -> Twins:
    return Twins(request.param, server)


@pytest.fixture(autouse=True)
def every_test_retries_at_once(no_waiting: None) -> None:
    """The comparison asks thousands of times."""


@pytest.fixture(params=["httpx", "httpx2"])
def family(request: pytest.FixtureRequest) -> Any:
    """A library of HTTP clients that the installed SDK takes: its own, and on 3.x also the legacy one."""
    library = pytest.importorskip(request.param)
    with library.Client() as http_client:
        try:
            openai.OpenAI(api_key="k", http_client=http_client)
        except TypeError:
            pytest.skip(f"this SDK takes no client of {request.param}")
    return library
