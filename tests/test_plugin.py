"""The pytest plugin, in test runs of other people."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from aitoearn_openai.sandbox import Sandbox
from conftest import Asker, complete, list_models
from snippets import snippet_of

pytest_plugins = ["pytester"]

SNIPPET = snippet_of("test-without-the-service.md", "In pytest")
ASYNC = """
import pytest
from aitoearn_openai import AsyncOpenAI

@pytest.mark.asyncio
async def test_it(aitoearn_sandbox):
    async with AsyncOpenAI() as client:
        assert client.base_url == aitoearn_sandbox.base_url + "/"
        assert [model.id async for model in client.models.list()]
"""
QUIET = "-q", "-W", "error", "-W", "ignore::pytest.PytestDeprecationWarning", "-p", "no:cacheprovider"
"""What is ignored is of pytest-asyncio, about an option of its own."""


@pytest.fixture
def loaded(site: Sandbox) -> None:
    """What libraries load with the first request: pytester forgets the modules of a run, and would have them twice."""
    for asker in (Asker(is_async=False), Asker(is_async=True)):
        for ask in (list_models, complete("glm-5.2")):
            asker.run(ask, base_url=site.base_url, api_key=site.api_key)


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize(("tests", "passed"), [(SNIPPET, 2), (ASYNC, 1)], ids=["the page", "pytest-asyncio"])
def test_a_test_that_asks_for_the_sandbox_has_one(pytester: pytest.Pytester, tests: str, passed: int) -> None:
    """As the page shows it, also where pytest-recording blocks the network."""
    if tests is ASYNC and not find_spec("pytest_asyncio"):
        pytest.skip("pytest-asyncio is not installed")
    pytester.makepyfile(tests)
    ran = pytester.runpytest_inprocess(*QUIET, "--block-network", "--allowed-hosts=127.0.0.1")

    ran.assert_outcomes(passed=passed)


@pytest.mark.slow
def test_a_test_that_does_not_ask_pays_nothing(pytester: pytest.Pytester) -> None:
    """No import, and no variable: in a process of its own. One that asks in vain says what to install, in a line."""
    pytester.makepyfile(
        """
        import os, sys

        def test_nothing_is_loaded():
            assert "pytest_aitoearn" in sys.modules
            assert not {"openai", "uvicorn", "aitoearn_openai"} & sys.modules.keys()
            assert not [name for name in os.environ if name.startswith("AITOEARN_")]
            sys.modules["uvicorn"] = None

        def test_it_is_missing(aitoearn_sandbox): ...
        """
    )
    ran = pytester.runpytest_subprocess(*QUIET)

    ran.assert_outcomes(passed=1, errors=1)
    ran.stdout.fnmatch_lines(["*install `aitoearn-openai[[]sandbox]`*"])
    ran.stdout.no_fnmatch_line("*Traceback*")
