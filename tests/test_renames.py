"""An SDK that renames what we rely on: in a copy of the installed one, each private name goes in turn.

The SDK releases every few days, and a hook that is lost in silence swallows failures. So losing one has to be an
error that says so, or break no promise.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import openai
import pytest

from aitoearn_openai import _sdk

PROMISES = Path(__file__).with_name("promises.py")
NAMES = [
    name
    for cell in re.findall(r"^\| (`.*?) \|", _sdk.__doc__ or "", re.MULTILINE)
    for dotted in re.findall(r"`([\w.]+)`", cell)
    for name in dotted.split(".")[-1:]
]
"""The private names of the SDK, as the table of `_sdk` has them."""


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    """The files of a copy of the SDK, with what is in them."""
    folder = tmp_path_factory.mktemp("copy") / "openai"
    shutil.copytree(Path(openai.__file__).parent, folder)
    return {path: path.read_text("utf-8") for path in folder.rglob("*.py")}


def outcome(sdk: dict[Path, str], name: str, change: Callable[[str], str], file: str = "*.py") -> list[str]:
    """What becomes of the promises, a line for each that is loud or broken, when the files with that name are changed."""
    texts = {path: text for path, text in sdk.items() if name in text and path.match(file)}
    folder = next(path.parent.parent for path in sdk if path.match("openai/__init__.py"))
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONIOENCODING": "utf-8"}
    environment.pop("COVERAGE_PROCESS_CONFIG", None)  # It would take as long again.
    times = {path: path.stat().st_mtime_ns for path in texts}
    command = [sys.executable, "-B", PROMISES]
    try:
        for path, text in texts.items():
            path.write_text(change(text), "utf-8")
        done = subprocess.run(
            command, env=environment, capture_output=True, encoding="utf-8", check=False, timeout=600
        )
    finally:
        for path, text in texts.items():
            path.write_text(text, "utf-8")
            os.utime(path, ns=(times[path], times[path]))  # So that what is compiled goes on to be right.
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def silent(shown: list[str]) -> list[str]:
    """The broken promises of which the caller does not hear: where even right answers are refused, it does."""
    lines = [line.split(": ") for line in shown]
    refused = {way for kind, way, *_ in lines if kind.startswith("loud where")}
    return [": ".join(line) for line in lines if line[0] == "broken" and line[1] not in refused]


def renamed(name: str, text: str) -> str:
    """Renamed wherever it stands, the SDK works on."""
    return re.sub(rf"\b{name}\b", f"{name}_renamed", text)


def abandoned(name: str, text: str) -> str:
    """Renamed, with the old name beside it: an attribute, a field, a constant, a class or a method that nobody uses."""
    new, text = f"{name}_renamed", renamed(name, text)
    text = re.sub(rf"self\.{new} = ", rf"self.{new} = self.{name} = ", text)
    text = re.sub(rf"^(    {new}): (.*[^,\n])$", rf"\g<0>\n    {name}: \2", text, flags=re.MULTILINE)
    text = re.sub(rf"^{new}( = .*)$", rf"\g<0>\n{name} = 'X-Gone'", text, flags=re.MULTILINE)
    for node in ast.parse(text).body:
        if not isinstance(node, ast.ClassDef):
            continue
        if node.name == new:
            text += f"\n{name} = {new}\n"
        if any(getattr(each, "name", "") == new for each in node.body):
            text += f"\nsetattr({node.name}, {name!r}, vars({node.name})[{new!r}])\n"
    return text


@pytest.mark.parametrize("change", [renamed, abandoned])
@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_gone_or_no_longer_used_is_loud_or_breaks_no_promise(
    sdk: dict[Path, str], name: str, change: Callable[[str, str], str]
) -> None:
    """The error of one that is gone names it."""
    shown = outcome(sdk, name, partial(change, name))

    assert not silent(shown), "\n".join(shown)
    named = [name.strip("_") in line for line in shown if line.startswith("loud")]
    assert change is abandoned or all(named), "\n".join(shown)


def test_the_promises_hold_on_the_sdk_as_it_is(sdk: dict[Path, str]) -> None:
    """Or the tests below prove nothing; and each name is one that the SDK has."""
    assert outcome(sdk, "", str, "openai/__init__.py") == []
    assert len(NAMES) > 5


@pytest.mark.parametrize(
    ("file", "name", "gone"),
    [
        ("_base_client.py", "stream_cls", "stream_cls"),
        ("_base_client.py", "stream", "stream"),
        ("_models.py", "follow_redirects", "follow_redirects"),
        ("*.py", "_decoder.iter_bytes", "iter_bytes"),
        ("*.py", "_decoder.aiter_bytes", "iter_bytes"),
    ],
)
def test_an_argument_or_a_method_that_is_gone_is_named(
    sdk: dict[Path, str], file: str, name: str, gone: str
) -> None:
    """At import, or at the first event."""
    shown = outcome(sdk, name, partial(renamed, name), f"openai/{file}" if file != "*.py" else file)

    assert shown
    assert all(re.match(rf"loud.*cannot work with openai .*\b{gone}\b.* is gone", line) for line in shown)
