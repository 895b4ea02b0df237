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
CHINESE = (ROOT / "README.zh-CN.md").read_text("utf-8")
FRAMEWORKS = PYTHON.findall((ROOT / "docs" / "frameworks.md").read_text("utf-8"))
SNIPPETS = [each for page in (README, CHINESE) for each in PYTHON.findall(page) if each not in FRAMEWORKS]
MODULES = [
    module.name
    for module in pkgutil.walk_packages(aitoearn_openai.__path__, "aitoearn_openai.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_each_snippet_of_the_readme_runs_as_it_stands(
    number: int, site: sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With nothing but the settings of the sandbox."""
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


def test_the_readmes_show_a_framework_in_the_very_lines_that_its_tests_run() -> None:
    """Those of docs/frameworks.md."""
    for page in (README, CHINESE):
        assert [each for each in PYTHON.findall(page) if "langchain" in each] == FRAMEWORKS[:1]


def test_the_readmes_are_short() -> None:
    """Whoever looks for more follows a link."""
    for page in (README, CHINESE):
        assert len(page.splitlines()) <= 260


def test_each_link_of_the_readmes_leads_somewhere() -> None:
    """To a file of the repository, and a heading in it; the build makes addresses of them for PyPI."""
    for page in (README, CHINESE):
        for path, heading in re.findall(r"\]\((?!https?:)([^)#]+)(?:#([\w-]+))?\)", page):
            target = ROOT / path
            assert target.exists()
            if heading:
                assert re.search(
                    rf"^#+ {heading.replace('-', '.')}$",
                    target.read_text("utf-8"),
                    re.IGNORECASE | re.MULTILINE,
                )


def test_the_chinese_readme_says_the_same() -> None:
    """Its headings, tables, commands and links are those of the English one, in the same order."""
    for mark in (
        r"^#+ ",
        r"^\|",
        r"^- \*\*",
        r"^aitoearn-openai .*?(?=  )",
        r"\]\(([^)]+\.(?:md|svg)[^)]*)\)",
    ):
        english, chinese = (re.findall(mark, page, re.MULTILINE) for page in (README, CHINESE))
        ours = {"README.md": "README.zh-CN.md"}
        assert [ours.get(each, each) for each in chinese] == english
    code = [set(re.findall(r"(?<!`)`([^`\n]+)`(?!`)", page)) for page in (README, CHINESE)]
    assert code[0] == code[1]


def test_the_readme_names_every_setting() -> None:
    """By its variable and its field."""
    for field in Settings.model_fields:
        assert f"| `AITOEARN_{field.upper()}` | `{field}`" in README


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


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings_run(name: str) -> None:
    """As a reader would try them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # Examples leave their client to the interpreter.
        assert doctest.testmod(importlib.import_module(name)).failed == 0
        gc.collect()
