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
from tables import DOCS, write_table

from .table import FAILING, PROGRAMS, Program

PLACE = os.environ.get("PROGRAMS")
PAGES = [*DOCS.parent.glob("README*.md"), *DOCS.rglob("programs-you-cannot-change.md")]
BLOCK = re.compile(r"^```sh\n([^`]*^aitoearn-openai run -- [^`]*)^```$", re.MULTILINE)
SHOWN = sorted({block for page in PAGES for block in BLOCK.findall(page.read_text("utf-8"))})
"""What the documents show of `run`."""
WORDS = {
    "answer": "no model read your message. You said:",
    "fail-12001": "Insufficient credits",
    "fail-401": "Unauthorized",
    "fail-once-10003": "no model read your message. You said:",
    "fail-stream-error": "the model stopped answering",
}

pytestmark = pytest.mark.skipif(PLACE is None, reason="`nox -s programs` runs these")
Seen = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def seen() -> Iterator[Seen]:
    """What was seen of each program; afterwards the table of the page."""
    seen: Seen = {}
    yield seen
    if all(set(COLUMNS) <= found.keys() for found in seen.values()) and len(seen) == len(PROGRAMS):
        head = [["program", *COLUMNS.values()], ["---"] * (len(COLUMNS) + 1)]
        rows = [[name, *(found[column] for column in COLUMNS)] for name, found in seen.items()]
        write_table("programs.md", "programs", head + rows)


@pytest.fixture(scope="module", params=PROGRAMS, ids=lambda program: program.name)
def program(request: pytest.FixtureRequest, seen: Seen) -> Program:
    program: Program = request.param
    seen[program.name] = {"version": install(program)}
    return program


def home(program: Program) -> Path:
    return Path(str(PLACE)).absolute() / re.sub(r"\W+", "-", program.name)


def install(program: Program) -> str:
    """Have the newest release of it in a folder of its own; its version."""
    place = home(program)
    package = re.split("[<>=]", program.packages[0])[0]
    place.mkdir(parents=True, exist_ok=True)
    if program.is_npm:
        (place / "package.json").write_text("{}")
        npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", *program.packages]
        subprocess.run(npm, cwd=place, check=True)
        manifest = place / "node_modules" / package / "package.json"
        version = str(json.loads(manifest.read_text("utf-8"))["version"])
    else:
        venv.create(place, with_pip=True)
        pip = [f"{place}/bin/python", "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "-qq", *program.packages], check=True)
        ask = f"from importlib.metadata import version; print(version({package!r}))"
        version = subprocess.run(
            [f"{place}/bin/python", "-c", ask], capture_output=True, text=True, check=True
        ).stdout.strip()
    for name, text in program.files.items():
        (place / name).write_text(text, "utf-8")
    return version


def run(program: Program, command: list[str], site: sandbox.Sandbox, *options: str) -> tuple[str, int]:
    """All that its user sees, on lines of any length and without colours, and its exit code."""
    place = str(home(program))
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AITOEARN_", "OPENAI_"))
    }
    ours = {"AITOEARN_SITE": "sandbox", "AITOEARN_BASE_URL": site.base_url, "HOME": place, "COLUMNS": "1000"}
    theirs = {name: value.format(home=place) for name, value in program.variables.items()}
    ran = subprocess.run(
        [
            *[sys.executable, "-m", "aitoearn_openai", "run", *options, "--"],
            *(each.format(home=place) for each in command),
        ],
        env=kept | ours | theirs,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=180,
        check=False,
    )
    return re.sub(r"\x1b\[[0-9;]*m", "", ran.stdout), ran.returncode


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_program_answers(program: Program, streamed: bool, site: sandbox.Sandbox, seen: Seen) -> None:
    """With what the model said."""
    shown, code = run(program, program.ask("glm-5.2", streamed), site)

    assert WORDS["answer"] in " ".join(shown.split())
    assert code == 0
    seen[program.name]["streamed" if streamed else "answer"] = "yes"


def test_a_program_lists_the_models(program: Program, site: sandbox.Sandbox, seen: Seen) -> None:
    """All of them."""
    seen[program.name]["models"] = "-"
    if program.models is None:
        pytest.skip("it has no such command, or knows OpenAI's address alone")
    shown, code = run(program, program.models, site)

    assert "gemini-3.1-pro-preview" in shown
    assert "bare-local" in shown
    assert code == 0
    seen[program.name]["models"] = "yes"


@pytest.mark.parametrize("model", FAILING)
def test_a_program_shows_why_it_failed(
    program: Program, model: str, site: sandbox.Sandbox, seen: Seen
) -> None:
    """In the service's words; a rate limit passes when it is asked again."""
    for streamed in (True,) if model == "fail-stream-error" else (False, True):
        shown, code = run(program, program.ask(model, streamed), site)
        assert WORDS[model] in " ".join(shown.split()), program.habits.get(model)
        if code == 0 and model != "fail-once-10003":
            seen[program.name][model] = "yes, exit code 0"
    seen[program.name].setdefault(model, "yes")


def test_a_program_alone_shows_less(program: Program, site: sandbox.Sandbox, seen: Seen) -> None:
    """Counted for the table: how many of the failures have a reason with `run --direct`."""
    found = 0
    for model in FAILING:
        shown, _ = run(program, program.ask(model, model == "fail-stream-error"), site, "--direct")
        found += WORDS[model] in " ".join(shown.split())
    seen[program.name]["direct"] = f"{found} of {len(FAILING)}"


@pytest.mark.skipif(sys.platform == "win32", reason="the commands are for bash")
@pytest.mark.parametrize("commands", SHOWN)
def test_what_the_pages_show_runs_as_it_stands(commands: str, site: sandbox.Sandbox, tmp_path: Path) -> None:
    """Copied as a whole, where the program is not installed yet."""
    venv.create(tmp_path, with_pip=True)
    path = os.pathsep.join([f"{tmp_path}/bin", str(Path(sys.executable).parent), os.environ["PATH"]])
    ours = {"AITOEARN_SITE": "sandbox", "AITOEARN_BASE_URL": site.base_url}
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        env=os.environ | ours | {"LLM_USER_PATH": str(tmp_path), "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )

    assert WORDS["answer"] in ran.stdout, ran.stderr


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
