"""A pytest plugin: the fixture `aitoearn_sandbox`. Pytest loads it in each run, so it imports nothing until a test asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from aitoearn_openai.sandbox import Sandbox


@pytest.fixture(scope="session")
def _aitoearn_site() -> Iterator[Sandbox]:
    try:
        from aitoearn_openai import sandbox
    except ImportError as error:
        pytest.fail(str(error), pytrace=False)
    with sandbox.serve() as site:
        yield site


@pytest.fixture
def aitoearn_sandbox(_aitoearn_site: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A local stand-in for AiToEarn that runs for the session: in this test, every `OpenAI()` of aitoearn_openai asks it.

    Clients do not retry unless they are told to, so that a failure is seen at once.
    """
    monkeypatch.setenv("AITOEARN_SITE", "sandbox")
    monkeypatch.setenv("AITOEARN_BASE_URL", _aitoearn_site.base_url)
    monkeypatch.setenv("AITOEARN_API_KEY", _aitoearn_site.api_key)
    monkeypatch.setenv("AITOEARN_MAX_RETRIES", "0")
    return _aitoearn_site
