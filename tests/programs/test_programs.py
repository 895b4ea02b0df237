"""Each program, behind the relay and without it; `nox -s programs` runs this and writes docs/programs.md."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from aitoearn_openai import sandbox
from commands import COMMAND
from tables import DOCS, write_table

from .table import FAILING, PROGRAMS, SAID, WORDS, Program

PLACE = os.environ.get("PROGRAMS")
PAGES = [*DOCS.parent.glob("README*.md"), *DOCS.rglob("programs-you-cannot-change.md")]
BLOCK = re.compile(r"^```sh\n([^`]*^aitoearn-openai run -- [^`]*)^```$", re.MULTILINE)
SHOWN = sorted({block for page in PAGES for block in BLOCK.findall(page.read_text("utf-8"))})
"""What the documents show of `run`."""
COLUMNS = {
    "version": "version",
    "answer": "answer",
    "streamed": "streamed",
    "models": "models",
    "fail-12001": "no credits",
    "fail-401": "key refused",
    "fail-once-10003": "rate limit, retried",
    "fail-stream-error": "failure in a stream",
    "direct": "reasons with `--direct`",
}

pytestmark = pytest.mark.skipif(PLACE is None, reason="`nox -s programs` runs these")
Seen = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def seen() -> Iterator[Seen]:
    """What was seen of each program; afterwards the table of the page."""
    seen: Seen = {}
    yield seen
    if len(seen) == len(PROGRAMS):
        head = [["program", *COLUMNS.values()], ["---"] * (len(COLUMNS) + 1)]
        rows = [[name, *(found[column] for column in COLUMNS)] for name, found in seen.items()]
        write_table("programs.md", "programs", head + rows)


def home(program: Program) -> Path:
    return Path(str(PLACE)).absolute() / re.sub(r"\W+", "-", program.name)


def install(program: Program) -> str:
    """Have the newest release of it in a folder of its own; its version."""
    place = home(program)
    package = re.split("[<>= ]", program.packages)[0]
    place.mkdir(parents=True, exist_ok=True)
    for name, text in program.files.items():
        (place / name).write_text(text, "utf-8")
    if program.is_npm:
        (place / "package.json").write_text("{}")
        npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", *program.packages.split()]
        subprocess.run(npm, cwd=place, check=True)
        manifest = place / "node_modules" / package / "package.json"
        return str(json.loads(manifest.read_text("utf-8"))["version"])
    venv.create(place, with_pip=True)
    python = f"{place}/bin/python"
    subprocess.run([python, "-m", "pip", "install", "-qq", *program.packages.split()], check=True)
    ask = f"from importlib.metadata import version; print(version({package!r}), end='')"
    return subprocess.check_output([python, "-c", ask], text=True)


def see(command: list[str], site: sandbox.Sandbox, **variables: str) -> tuple[str, int]:
    """All that its user sees, in one line and without colours, and its exit code."""
    ours = {"AITOEARN_SITE": "sandbox", "AITOEARN_BASE_URL": site.base_url}
    ran = subprocess.run(
        command,
        env=os.environ | ours | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=300,
        check=False,
    )
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", ran.stdout).split()), ran.returncode


def run(
    program: Program, site: sandbox.Sandbox, command: str, *options: str, **words: str
) -> tuple[str, int]:
    """What its user sees of the program behind `run`."""
    place = str(home(program))
    theirs = {name: value.format(home=place) for name, value in program.variables.items()}
    asked = filter(None, (each.format(home=place, **words) for each in command.split()))
    return see([*COMMAND, "run", *options, "--", *asked], site, HOME=place, COLUMNS="1000", **theirs)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_program_answers_or_says_why_it_failed(program: Program, site: sandbox.Sandbox, seen: Seen) -> None:
    """With what the model said, and in the service's words; it may list the models. Without the relay, less is shown."""
    row = {"version": install(program), "models": "-"}
    for column, how in zip(("answer", "streamed"), program.how, strict=True):
        shown, code = run(program, site, program.ask, model="glm-5.2", how=how)
        assert (SAID in shown, code) == (True, 0), shown
        row[column] = "yes"
    if program.models:
        shown, code = run(program, site, program.models)
        assert ("gemini-3.1-pro-preview" in shown, "bare-local" in shown, code) == (True, True, 0), shown
        row["models"] = "yes"
    found = 0
    for model in FAILING:
        ways = program.how[1:] if model == "fail-stream-error" else program.how
        for how in ways:
            shown, code = run(program, site, program.ask, model=model, how=how)
            assert WORDS[model] in shown
            is_odd = code == 0 and model != "fail-once-10003"
            row[model] = "yes, exit code 0" if is_odd else row.get(model, "yes")
        shown, _ = run(program, site, program.ask, "--direct", model=model, how=ways[0])
        found += WORDS[model] in shown
    seen[program.name] = row | {"direct": f"{found} of {len(FAILING)}"}


@pytest.mark.skipif(sys.platform == "win32", reason="the commands are for bash")
@pytest.mark.parametrize("commands", SHOWN)
def test_what_the_pages_show_runs_as_it_stands(commands: str, site: sandbox.Sandbox, tmp_path: Path) -> None:
    """Copied as a whole, where the program is not installed yet."""
    venv.create(tmp_path, with_pip=True)
    path = os.pathsep.join([f"{tmp_path}/bin", str(Path(sys.executable).parent), os.environ["PATH"]])
    command = ["bash", "-euo", "pipefail", "-c", commands]
    shown, _ = see(command, site, LLM_USER_PATH=str(tmp_path), PATH=path)

    assert SAID in shown
