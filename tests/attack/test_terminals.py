"""What others say reaches people as words, and never as orders to their terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from attack.conftest import EVIL, is_clean
from commands import KEY, delta, events, run, run_process
from conftest import Reply, ScriptedServer

MODEL: dict[str, Any] = {
    "name": EVIL, "label": EVIL, "tags": [EVIL], "channel": EVIL, "creditsScope": EVIL, "scenes": [EVIL],
    "inputModalities": [EVIL], "outputModalities": [EVIL], "description": f"{EVIL}{EVIL}", "sizes": [EVIL],
    "qualities": [EVIL], "styles": [EVIL],
}  # fmt: skip
TIER = {"input": {"text": "1"}, "output": {"text": "1"}}
CHAT = {**MODEL, "pricing": {"tiers": [TIER]}, "fixedImagePricing": [{"resolution": EVIL, "price": 1}]}
IMAGE = {**MODEL, "pricing": [{"size": EVIL, "price": 1}]}
REFUSAL = Reply({"data": {}, "code": 12001, "message": EVIL, "requestId": EVIL})


@pytest.fixture
def hostile(hostile: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedServer:
    monkeypatch.chdir(tmp_path)
    hostile.lists(CHAT)
    for kind in ("generation", "edit"):
        hostile.paths[f"/models/image/{kind}"] = Reply({"code": 0, "data": [IMAGE]})
    hostile.answer(REFUSAL)
    return hostile


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize("columns", ["40", "200", ""])
@pytest.mark.parametrize(
    "line",
    [
        "models", "models --images", "models EVIL", "models --images EVIL", "models --channel no-such",
        "models evil-no-such", "chat Hi", "chat Hi -m EVIL", "check", "check --base-url http://127.0.0.1:1/EVIL",
        "batch EVIL out.jsonl", "sandbox --upstream EVIL", "relay --host EVIL",
    ],
)  # fmt: skip
def test_every_command_cleans_what_it_prints(line: str, columns: str) -> None:
    """Names, labels, tags, texts, errors, arguments; as a list, a table, and in a pipe."""
    terminal = {"COLUMNS": columns, "LINES": "25", "TTY_COMPATIBLE": "1", "TERM": "dumb"} if columns else {}
    arguments = [each.replace("EVIL", EVIL) for each in line.split()]
    shown = run(*arguments, AITOEARN_DEBUG="1", **terminal)

    is_piped_list = not columns and line in ("models", "models --images")
    told = (shown.stdout.replace("\t", "") if is_piped_list else shown.stdout) + shown.stderr
    assert told
    assert is_clean(told)
    # A terminal wraps lines, also before words like these.
    assert columns or "\naitoearn-openai: all is well" not in f"\n{shown.stderr}"
    assert not is_piped_list or {row.count("\t") for row in shown.stdout.splitlines()} <= {6, 8}


def test_an_answer_cannot_steer_the_terminal(hostile: ScriptedServer) -> None:
    """Neither what a model says nor what it thinks; its lines stay lines."""
    hostile.answer(
        events(delta(reasoning_content=f"a{EVIL}"), delta(content=f"b{EVIL}"), delta(content="c\nd"))
    )
    shown = run("chat", "Hi", "-m", "m")

    assert shown.stdout == "bevil]0;owned2J[red]\naitoearn-openai: all is well\nc\nd\n"
    assert shown.stderr.startswith("aevil]0;owned2J[red]\naitoearn-openai: all is well\n")
    assert is_clean(shown.stderr)


@pytest.mark.usefixtures("hostile")
def test_json_is_the_same_and_cannot_steer_the_terminal() -> None:
    """What steers is escaped; nothing of it is lost to a program that reads it."""
    shown = run("models", "--json")

    assert is_clean(shown.stdout)
    assert json.loads(shown.stdout)[0]["description"] == CHAT["description"]


@pytest.mark.usefixtures("hostile")
def test_a_batch_cleans_the_names_of_files_and_requests() -> None:
    """Progress, summary, reasons, and what is wrong with a file."""
    name = EVIL.replace("\n", " ").replace("\x9b", "")
    Path(name).write_text(json.dumps({"custom_id": EVIL, "prompt": "Hi"}) + "\n")
    Path("twice").write_text(Path(name).read_text() * 2)
    for code, *arguments in (
        (5, name, f"out-{name}", "-m", EVIL),
        (2, name, f"out-{name}", "-m", f"x{EVIL}", "--dry-run"),
        (2, "twice", "out", "-m", EVIL),
        (2, name, "out", "-m", f"x{EVIL}", "--max-credits", "1"),
    ):
        shown = run("batch", *arguments)
        assert (shown.returncode, is_clean(shown.stdout + shown.stderr)) == (code, True)


def test_run_cleans_the_name_of_a_program() -> None:
    shown = run_process("run", f"no-such-{EVIL}", AITOEARN_API_KEY=KEY)

    assert (shown.returncode, is_clean(shown.stderr), shown.stderr.count("\n")) == (127, True, 1)


def test_a_conversation_cleans_what_it_shows(hostile: ScriptedServer) -> None:
    """The list to pick from, the first line, /model, an error and an answer."""
    hostile.lists({"name": EVIL}, {"name": f"{EVIL}2", "label": EVIL})
    hostile.answer(REFUSAL, events(delta(content=EVIL)))
    shown = run("chat", stdin="no-such\n1\n", typed="/model\r/model evil\rHi\rHi\r/exit\r")

    words = "o model is named", "/exit ends it.", "evil]0;owned", "the closest", "memberships are bought"
    assert [each for each in words if each not in shown.stderr] == []
    assert "all is well" in shown.stdout
    assert is_clean(shown.stdout + shown.stderr)
