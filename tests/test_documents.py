"""The documents: their snippets run as they stand, and their tables say what the code says."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from aitoearn_openai import ChatModel, Settings, sandbox
from aitoearn_openai._errors import CODES
from commands import TerminalProcess, close_clients
from install_line import PAGES as INSTALL_PAGES, ROOT, written
from snippets import snippet_of

PATHS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]  # Those in Chinese have the same code.
PAGES = {path.name: path.read_text("utf-8") for path in PATHS}
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
FRAMEWORKS = PYTHON.findall(PAGES["frameworks.md"])
SNIPPETS = {
    f"{name}, snippet {number}": snippet
    for name, text in PAGES.items()
    if name != "scaling.md"  # It has tests of its own, and so have frameworks.
    for number, snippet in enumerate(PYTHON.findall(text), 1)
    if snippet not in FRAMEWORKS
}
RUNS = [(name, "glm-5.2") for name in SNIPPETS]
RUNS += [(name, "deepseek-v4") for name, snippet in SNIPPETS.items() if "stream=True" in snippet]
SHELLS = {
    "sh": ["bash", "-euo", "pipefail", "-c"],
    "powershell": ["pwsh", "-NoProfile", "-Command", "$ErrorActionPreference = 'Stop';"],
}
BLOCK = re.compile(rf"^```({'|'.join(SHELLS)})\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMANDS = {command: name for name in reversed(PAGES) for command in BLOCK.findall(PAGES[name])}
"""The commands of the pages, each with the first page that has it, but those that tests/scaling runs."""
COMMANDS = {command: name for command, name in COMMANDS.items() if "ray_batch.py" not in command[1]}
SERVER = re.compile(r"^aitoearn-openai (sandbox|relay)\b", re.MULTILINE)
# What the sessions of nox run that need a library of their own: its tests are skipped without it.
SESSIONS = "".join(path.read_text("utf-8") for path in ROOT.glob("tests/*/test_*.py"))
SECTIONS = [
    *sorted({("frameworks.md", name) for name in re.findall(r'"(.+?)": Framework', SESSIONS)}),
    *re.findall(r'snippet_of\("(.+?)", "(.+?)"\)', SESSIONS),
]
SOURCES = [path for path in (ROOT / "src").rglob("*.py") if ">>>" in path.read_text("utf-8")]


@pytest.mark.parametrize(("name", "model"), RUNS)
@pytest.mark.usefixtures("sandboxed")
def test_each_snippet_runs_as_it_stands(name: str, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With nothing but the settings of the sandbox; it prints what the comment behind a `print` says.

    Those that read a stream do so too with a model that reasons, and sends chunks without choices.
    """
    names: dict[str, Any] = {}
    try:
        exec(compile(SNIPPETS[name].replace("glm-5.2", model), name, "exec"), names)
    finally:
        close_clients(names)
    out = capsys.readouterr().out

    assert out or "print(" not in SNIPPETS[name]
    assert model == "glm-5.2" or "None" not in out
    for told in re.findall(r"print\(.*\)(?:  |\n *)# (.*)", SNIPPETS[name]):
        assert told.removesuffix(" ...") in out


@pytest.fixture
def reader(sandboxed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader in a clone, with a program of their own and the settings of the sandbox."""
    for name in ("LICENSE", "README.md", "pyproject.toml", "src"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "first.py").write_text(PYTHON.findall(PAGES["first-call.md"])[0], "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    # pip only says what it would install: it builds the package, and finds here what that needs.
    for name, value in {"DRY_RUN": "1", "NO_INDEX": "1", "NO_BUILD_ISOLATION": "0"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)


@pytest.mark.skipif(shutil.which("bash") is None or sys.platform == "win32", reason="they are for bash")
@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("page", sorted({*COMMANDS.values()}))
def test_the_commands_of_a_page_run_as_they_stand(page: str) -> None:
    """One after the other, as its reader would copy them; what serves until Ctrl-C is stopped by it."""
    for kind, block in BLOCK.findall(PAGES[page]):
        programs = re.findall(r"^jq|(?<=^aitoearn-openai run -- )\w+", block, re.MULTILINE)
        if None in map(shutil.which, [SHELLS[kind][0], *programs]):
            continue  # Not installed: the session `programs` of nox has what `run` is shown with.
        if "pip install" in block and not find_spec("pip"):
            continue  # As in the environments that uv makes: it would be somebody else's.
        if COMMANDS.get((kind, block)) != page:
            continue
        # The one key that the sandbox knows.
        command = [*SHELLS[kind], block.replace("ak_...", "sandbox")]
        if SERVER.search(block):
            with TerminalProcess(command=command) as terminal:
                terminal.wait_for("\n")
                if "it is in use" in terminal.shown:
                    pytest.skip("its port is taken")
                terminal.wait_for("http://127")
                assert re.search(
                    r"(no model answers|in front of http\S+); Ctrl-C|The relay to ", terminal.shown
                )
                assert terminal.end("\x03") in (0, 130), terminal.shown
        else:
            done = subprocess.run(command, capture_output=True, check=False, encoding="utf-8", timeout=120)
            assert done.returncode == 0, block + done.stdout + done.stderr
            assert "does not provide the extra" not in done.stderr


def test_the_way_to_install_is_one_word_in_one_place() -> None:
    """Of tests/install_line.py, which writes it into the pages; the rest names extras of what is installed."""
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        text = page.read_text("utf-8")
        if page in INSTALL_PAGES:
            assert text == written(page)
            text = written(page, "aitoearn-openai")
            assert len(re.findall(r'pip install "aitoearn-openai\[cli\]"\n', text)) == 1
            assert not re.search("clone|克隆", text)
        else:
            assert not re.search(r"pip install ['\"`]?aitoearn-openai['\"`]?\s", text)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_examples_of_docstrings_run(source: Path) -> None:
    module = source.relative_to(ROOT / "src").with_suffix("").as_posix().replace("/", ".")
    runner = doctest.DocTestRunner()
    for each in doctest.DocTestFinder().find(importlib.import_module(module.removesuffix(".__init__"))):
        runner.run(each, clear_globs=False)
        close_clients(each.globs)

    assert runner.summarize().failed == 0
    assert runner.tries


@pytest.mark.parametrize(("page", "heading"), SECTIONS)
def test_each_snippet_that_only_nox_runs_is_on_its_page(page: str, heading: str) -> None:
    assert snippet_of(page, heading)


def test_the_readme_is_short() -> None:
    assert len(PAGES["README.md"].splitlines()) <= 200


def test_the_pages_name_what_the_code_has() -> None:
    """Every setting, every field of a model, every name that fails, and no other; addresses lead where a page says."""
    addresses = dict(re.findall(r"^\| `(http\S+)` \| `(http\S+)` \|", PAGES["settings.md"], re.MULTILINE))
    names = set(re.findall(r"`((?:fail|slow)-[a-z0-9-]+[a-z0-9])`", PAGES["sandbox.md"]))
    settings = re.findall(r"^\| `AITOEARN_\w+` \| `(\w+)`", PAGES["settings.md"], re.MULTILINE)

    assert set(settings) == set(Settings.model_fields)
    assert all(f"`{field}`" in PAGES["models.md"] for field in ChatModel.__annotations__)
    assert names == set(sandbox.FAILURES)
    assert {address: Settings(base_url=address).base_url for address in addresses} == addresses
    assert len(addresses) == 6


@pytest.mark.parametrize(
    ("page", "row"),
    [
        ("errors.md", r"\| (\d+) ([^|]+?) \| `\w+` \| (\d+) \|"),
        ("sandbox.md", r"\| `fail-(\d+)` \| ([^|]+?) \((\d+)\) \|"),
    ],
)
@pytest.mark.parametrize("language", [".", "zh-CN"])
def test_the_tables_of_codes_are_the_code_s(page: str, row: str, language: str) -> None:
    rows = re.findall(row, (ROOT / "docs" / language / page).read_text("utf-8"))

    assert {int(code): (int(status), words) for code, words, status in rows if code != "19999"} == dict(CODES)
