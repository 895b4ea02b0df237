"""What editors and type checkers make of the package; `nox -s types` asks the editors' own servers."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from openai._utils import _transform

from aitoearn_openai import ChatModel, Settings
from conftest import Asker, ScriptedServer, complete, draw, stream

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_each_snippet_type_checks(checker: str, tmp_path: Path) -> None:
    """By `mypy --strict`; one that needs a framework is checked where that is installed, as by nox."""
    pytest.importorskip(checker)
    for page in PAGES:
        for number, snippet in enumerate(PYTHON.findall(page.read_text("utf-8"))):
            if all(map(find_spec, re.findall(r"^(?:from|import) (\w+)", snippet, re.MULTILINE))):
                name = f"{re.sub(r'[^a-z]', '_', page.stem.lower())}_{number}.py"
                (tmp_path / name).write_text(snippet, "utf-8")
    assert len([*tmp_path.iterdir()]) > 20
    # What a framework leaves without types is not ours.
    untyped = [f"--disable-error-code={code}" for code in ("import-untyped", "no-untyped-call")]
    options = {
        "mypy": ["--strict", *untyped, f"--cache-dir={ROOT / '.mypy_cache'}", "."],
        "pyright": [f"--pythonpath={sys.executable}", "."],
    }
    run = [sys.executable, "-m", checker, *options[checker]]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False)

    assert done.returncode == 0, done.stdout


def test_type_checkers_know_every_setting() -> None:
    """The constructor that they see is written by hand."""
    declared = re.findall(r"^ {12}(\w+): .* = \.\.\.,$", inspect.getsource(Settings), re.MULTILINE)

    assert {*declared} == {*Settings.model_fields, "_env_file"}


@pytest.mark.parametrize("ask", [complete, stream, draw])
def test_a_model_is_not_its_name(asker: Asker, server: ScriptedServer, ask: Callable[[Any], Any]) -> None:
    """The error says what to pass, before anything is sent."""
    asks = "__api_exclude__" in inspect.getsource(_transform._async_transform_recursive)
    if asker.is_async and not asks:
        pytest.skip("the async client of this SDK does not ask the object, and sends a request")
    with pytest.raises(TypeError, match=r"name of a model: pass `\.id`, which is 'glm-5\.2' here"):
        asker.run(ask(ChatModel(name="glm-5.2")), base_url=server.base_url, api_key="k")

    assert not server.requests
