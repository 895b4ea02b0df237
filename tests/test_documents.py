"""The documents: their snippets run as they stand, and their tables say what the code says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest

import aitoearn_openai
from aitoearn_openai import ChatModel, Settings, sandbox
from aitoearn_openai._errors import CODES
from commands import close_clients
from snippets import snippet_of

ROOT = Path(__file__).parent.parent
PATHS = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = {path.name: path.read_text("utf-8") for path in PATHS}
READMES = PAGES["README.md"], PAGES["README.zh-CN.md"]
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
FRAMEWORKS = PYTHON.findall(PAGES["frameworks.md"])
SNIPPETS = {
    f"{name}, snippet {number}": snippet
    for name, text in PAGES.items()
    if name != "scaling.md"  # It has tests of its own, and so have frameworks.
    for number, snippet in enumerate(PYTHON.findall(text), 1)
    if snippet not in FRAMEWORKS
}
# What the sessions of nox run that need a library of their own: its tests are skipped without it.
SESSIONS = "".join(path.read_text("utf-8") for path in ROOT.glob("tests/*/test_*.py"))
SECTIONS = [
    *sorted({("frameworks.md", name) for name in re.findall(r'connect\("(.+?)"', SESSIONS)}),
    *re.findall(r'snippet_of\("(.+?)", "(.+?)"\)', SESSIONS),
]
MODULES = [
    module.name
    for module in pkgutil.walk_packages(aitoearn_openai.__path__, "aitoearn_openai.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", SNIPPETS)
@pytest.mark.usefixtures("sandboxed")
def test_each_snippet_runs_as_it_stands(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With nothing but the settings of the sandbox; it prints what the comment behind a `print` says."""
    names: dict[str, Any] = {}
    try:
        exec(compile(SNIPPETS[name], name, "exec"), names)
    finally:
        close_clients(names)
    out = capsys.readouterr().out

    assert out or "print(" not in SNIPPETS[name]
    for told in re.findall(r"print\(.*\)(?:  |\n *)# (.*)", SNIPPETS[name]):
        assert told.removesuffix(" ...") in out


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings_run(name: str) -> None:
    """As a reader would try them."""
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner()
    for each in doctest.DocTestFinder().find(module):
        runner.run(each, clear_globs=False)
        close_clients(each.globs)

    assert runner.summarize().failed == 0


def test_the_readmes_show_a_framework_in_the_very_lines_that_its_tests_run() -> None:
    """Those of docs/frameworks.md."""
    for page in READMES:
        assert [each for each in PYTHON.findall(page) if "langchain" in each] == FRAMEWORKS[:1]


@pytest.mark.parametrize(("page", "heading"), SECTIONS)
def test_each_snippet_that_only_nox_runs_is_on_its_page(page: str, heading: str) -> None:
    """Under its heading, alone."""
    assert snippet_of(page, heading)


def test_the_readmes_are_short() -> None:
    """Whoever looks for more follows a link."""
    assert max(len(page.splitlines()) for page in READMES) <= 260


def test_the_pages_name_what_the_code_has() -> None:
    """Every setting, every field of a model, every name that fails; and no other."""
    names = set(re.findall(r"`((?:fail|slow)-[a-z0-9-]+[a-z0-9])`", PAGES["sandbox.md"]))
    settings = re.findall(r"^\| `AITOEARN_\w+` \| `(\w+)`", PAGES["settings.md"], re.MULTILINE)

    assert set(settings) == set(Settings.model_fields)
    assert all(f"| `AITOEARN_{field.upper()}` | `{field}`" in READMES[0] for field in Settings.model_fields)
    assert all(f"`{field}`" in PAGES["models.md"] for field in ChatModel.__annotations__)
    assert names == set(sandbox.FAILURES)


@pytest.mark.parametrize(
    ("page", "row"),
    [
        ("errors.md", r"\| (\d+) ([^|]+?) \| `\w+` \| (\d+) \|"),
        ("sandbox.md", r"\| `fail-(\d+)` \| ([^|]+?) \((\d+)\) \|"),
    ],
)
@pytest.mark.parametrize("language", [".", "zh-CN"])
def test_the_tables_of_codes_are_the_code_s(page: str, row: str, language: str) -> None:
    """Each code with the service's words and the status."""
    rows = re.findall(row, (ROOT / "docs" / language / page).read_text("utf-8"))

    assert {int(code): (int(status), words) for code, words, status in rows if code != "19999"} == dict(CODES)


def test_addresses_lead_where_the_page_says() -> None:
    """Each row of its table."""
    rows = re.findall(r"^\| `(http\S+)` \| `(http\S+)` \|", PAGES["settings.md"], re.MULTILINE)

    assert len(rows) == 6
    for written, used in rows:
        assert Settings(base_url=written).base_url == used
