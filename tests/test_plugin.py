"""The pytest plugin, in test runs of other people."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PAGE = Path(__file__, "..", "..", "docs", "test-without-the-service.md").resolve()
SNIPPET = PAGE.read_text("utf-8").split("## In pytest")[1].split("```python\n")[1].split("```")[0]

QUIET = "ignore::pytest.PytestDeprecationWarning"  # Of pytest-asyncio, about an option of its own.


def run_tests(place: Path, tests: str, *options: str) -> tuple[int, str]:
    (place / "test_theirs.py").write_text(tests, "utf-8")
    quiet = ["-q", "-W", "error", "-W", QUIET, "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *quiet, *options]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("options", [[], ["-n", "1", "--block-network", "--allowed-hosts=127.0.0.1"]])
def test_a_test_that_asks_for_the_sandbox_has_one(tmp_path: Path, options: list[str]) -> None:
    """As the page shows it, and with pytest-xdist and pytest-recording."""
    code, said = run_tests(tmp_path, SNIPPET, *options)

    assert (code, "2 passed" in said) == (0, True), said


@pytest.mark.skipif(find_spec("pytest_asyncio") is None, reason="pytest-asyncio is not installed")
def test_an_async_test_has_one_too(tmp_path: Path) -> None:
    """By pytest-asyncio, with a client in the loop of the test."""
    tests = (
        "import pytest\n"
        "from aitoearn_openai import AsyncOpenAI\n"
        "@pytest.mark.asyncio\n"
        "async def test_it(aitoearn_sandbox):\n"
        "    async with AsyncOpenAI() as client:\n"
        "        assert client.base_url == aitoearn_sandbox.base_url + '/'\n"
        "        assert [model.id async for model in client.models.list()]\n"
    )
    code, said = run_tests(tmp_path, tests)

    assert (code, "1 passed" in said) == (0, True), said


def test_a_test_that_does_not_ask_pays_nothing(tmp_path: Path) -> None:
    """No import, and no variable."""
    tests = (
        "import os, sys\n"
        "def test_nothing_is_loaded():\n"
        "    assert 'pytest_aitoearn' in sys.modules\n"
        "    assert not {'openai', 'uvicorn', 'aitoearn_openai'} & sys.modules.keys()\n"
        "    assert not [name for name in os.environ if name.startswith('AITOEARN_')]\n"
    )
    code, said = run_tests(tmp_path, tests)

    assert (code, "1 passed" in said) == (0, True), said


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """With the extra to install, in a line."""
    tests = "import sys\nsys.modules['uvicorn'] = None\ndef test_it(aitoearn_sandbox):\n    pass\n"
    code, said = run_tests(tmp_path, tests)

    assert code == 1
    assert "install `aitoearn-openai[sandbox]`" in said
    assert "Traceback" not in said
