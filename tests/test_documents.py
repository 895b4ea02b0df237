"""The documents: their snippets run, and their tables say what the code says."""

from __future__ import annotations

import doctest
import gc
import importlib
import pkgutil
import re
import warnings
from pathlib import Path

import pytest

import aitoearn_openai
from aitoearn_openai import sandbox
from aitoearn_openai._errors import CODES
from aitoearn_openai._settings import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
BEFORE, _, FRAMEWORKS = README.partition("## Frameworks")
CHINESE = (ROOT / "README.zh-CN.md").read_text("utf-8")
SNIPPETS = [*PYTHON.findall(BEFORE), *PYTHON.findall(CHINESE.partition("<details>")[0])]
MODULES = [
    module.name
    for module in pkgutil.walk_packages(aitoearn_openai.__path__, "aitoearn_openai.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_each_snippet_of_the_readme_runs_as_it_stands(
    number: int, site: sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With nothing but the settings that the README tells of."""
    monkeypatch.setenv("AITOEARN_SITE", "sandbox")
    monkeypatch.setenv("AITOEARN_BASE_URL", site.base_url)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # Snippets leave their client to the interpreter.
        exec(compile(SNIPPETS[number], f"README.md, snippet {number + 1}", "exec"), {})
        gc.collect()

    if "print(" in SNIPPETS[number]:
        assert capsys.readouterr().out


def test_the_snippets_show_what_they_say(
    site: sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error's comment is its output."""
    monkeypatch.setenv("AITOEARN_SITE", "sandbox")
    monkeypatch.setenv("AITOEARN_BASE_URL", site.base_url)
    snippet, _ = [each for each in SNIPPETS if "fail-12001" in each]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        exec(snippet, {})
        gc.collect()

    assert capsys.readouterr().out.startswith("402 12001 ")


def test_the_readme_shows_the_very_lines_that_the_tests_of_frameworks_run() -> None:
    """Those of docs/frameworks.md, each."""
    page = (ROOT / "docs" / "frameworks.md").read_text("utf-8")

    assert PYTHON.findall(FRAMEWORKS) == PYTHON.findall(page)
    assert PYTHON.findall(CHINESE.partition("<details>")[2]) == PYTHON.findall(page)


def test_the_chinese_readme_has_the_same_code_and_tables() -> None:
    """Its commands, settings, codes and names are those of the English one."""

    def facts(text: str) -> set[str]:
        return set(re.findall(r"`([A-Za-z_./:-]*[A-Za-z_][A-Za-z0-9_./:-]*)`", text))

    assert facts(README) - {"charset"} <= facts(CHINESE) | {"nox"}


def test_the_readme_names_every_setting() -> None:
    """By its variable and its field."""
    for field in Settings.model_fields:
        assert f"| `AITOEARN_{field.upper()}` | `{field}`" in README


def test_the_readme_names_every_code() -> None:
    """The table of codes is the code's."""
    table = README.partition("## Errors")[2].partition("## The sandbox")[0]

    assert {int(code) for code in re.findall(r"\b1\d{4}\b", table)} == {code for code in CODES if code > 599}


@pytest.mark.parametrize(
    ("page", "row"),
    [
        ("errors.md", r"\| (\d+) ([^|]+?) \| `\w+` \| (\d+) \|"),
        ("sandbox.md", r"\| `fail-(\d+)` \| ([^|]+?) \((\d+)\) \|"),
    ],
)
def test_the_tables_of_codes_are_the_code_s(page: str, row: str) -> None:
    """Each code with the service's words and the status."""
    rows = re.findall(row, (ROOT / "docs" / page).read_text("utf-8"))

    told = {int(code): (int(status), words) for code, words, status in rows if code != "19999"}
    assert told == dict(CODES)


def test_the_readme_names_every_way_to_fail() -> None:
    """Each name of the sandbox, or the pattern that it is one of."""
    told = set(re.findall(r"`((?:fail|slow)-[a-z0-9-]*)`", README))
    patterns = {re.sub(r"\d+$", "", name) for name in sandbox.FAILURES}

    assert patterns <= told | {re.sub(r"\d+$", "", name) for name in told}


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings_run(name: str) -> None:
    """As a reader would try them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # Examples leave their client to the interpreter.
        assert doctest.testmod(importlib.import_module(name)).failed == 0
        gc.collect()
