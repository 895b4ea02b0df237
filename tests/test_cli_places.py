"""The command where Python or the system is another: a relay that cannot start, a bundle, no docstrings, no home."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from commands import run
from conftest import KEY

OPENAI_PROGRAM = """
import openai
messages = [{"role": "user", "content": "你好"}]
print(openai.OpenAI().chat.completions.create(model="glm-5.2", messages=messages).choices[0].message.content)
"""
ELSEWHERE = """
import sys
{change}
sys.argv = ["aitoearn-openai", "run", "--", *sys.argv[1:]]
from aitoearn_openai.__main__ import main
main()
"""


def run_elsewhere(change: str, *program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`run` where something about Python is another."""
    return subprocess.run(
        [sys.executable, "-c", ELSEWHERE.format(change=change), *program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("python", "reason"),
    [
        (None, "not found"),
        ("echo Traceback >&2; echo 'ImportError: no relay here' >&2; exit 1", "ImportError: no relay here"),
        ("exit 0", "it ended without a word"),
    ],
)
def test_a_relay_whose_python_fails_is_told_before_the_program_starts(
    tmp_path: Path, python: str | None, reason: str
) -> None:
    """In one line with what it said last, instead of a program that finds no server."""
    script = tmp_path / "python"
    if python:
        script.write_text(f"#!/bin/sh\n{python}\n")
        script.chmod(0o755)
    ran = run_elsewhere(f"sys.executable = {str(script)!r}", "echo", "started", AITOEARN_API_KEY=KEY)

    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (126, "", 1)
    assert "the relay cannot start: " in ran.stderr
    assert reason in ran.stderr


def test_a_relay_that_never_gets_ready_is_not_waited_for_without_end(tmp_path: Path) -> None:
    """Such as a program that is not Python, and goes on."""
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nexec sleep 30\n")
    script.chmod(0o755)
    change = f"sys.executable = {str(script)!r}\nfrom aitoearn_openai import _detached\n_detached._START_SECONDS = 0.1"
    ran = run_elsewhere(change, "echo", "started", AITOEARN_API_KEY=KEY)

    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (126, "", 1)
    assert "it has not begun after 0.1 seconds" in ran.stderr


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize(
    ("program", "code"),
    [(OPENAI_PROGRAM, 0), ("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", 137)],
)
def test_in_a_bundle_the_relay_is_in_the_process_that_runs_the_program(program: str, code: int) -> None:
    """As a bundle has no Python that could be started as a relay."""
    ran = run_elsewhere("sys.frozen = True", sys.executable, "-c", program)

    assert (ran.returncode, ran.stderr) == (code, "")
    assert ("You said: 你好" in ran.stdout) == (code == 0)


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_a_bundle_a_program_gets_the_signals(number: signal.Signals) -> None:
    """Ctrl-C from its terminal, and others through the bundle."""
    program = (
        "import signal, time\n"
        "def end(number, _):\n"
        "    print(number)\n"
        "    raise SystemExit(3)\n"
        "for number in (signal.SIGINT, signal.SIGTERM):\n"
        "    signal.signal(number, end)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)"
    )
    code = ELSEWHERE.format(change="sys.frozen = True")
    with subprocess.Popen(
        [sys.executable, "-c", code, sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as bundle:
        assert bundle.stdout
        assert bundle.stdout.readline() == "ready\n"
        if number == signal.SIGINT:
            os.killpg(bundle.pid, number)
        else:
            bundle.send_signal(number)
        assert (bundle.stdout.read(), bundle.wait()) == (f"{int(number)}\n", 3)


def test_the_list_of_commands_has_words_without_docstrings() -> None:
    """As under `python -OO`."""
    command = [sys.executable, "-OO", "-m", "aitoearn_openai", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "Test the settings, the network and the key." in shown


def test_a_completion_that_has_no_home_is_told_in_a_line() -> None:
    """With what to set."""
    # Otherwise typer asks which shell this process was started by, and tests are started by many programs.
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    ran = run("--install-completion", "bash", HOME="/proc/nowhere", **named)

    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert "set HOME to a folder of yours" in ran.stderr
