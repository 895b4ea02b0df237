"""`run` and `env`: programs of the plain OpenAI SDK, pointed at AiToEarn."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from test_cli import COMMAND, KEY, Terminal, run, sandboxed  # noqa: F401 - a fixture

OPENAI_PROGRAM = """
import openai
client = openai.OpenAI()
messages = [{"role": "user", "content": "你好"}]
print(client.chat.completions.create(model="glm-5.2", messages=messages).choices[0].message.content)
"""
SHOW = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('OPENAI_')}))"
ODD_KEY = "sk-$HOME;`id`\\&|*(x)"
OTHERS = {"OPENAI_ORG_ID": "org", "OPENAI_CUSTOM_HEADERS": "X: y", "OPENAI_API_KEY": "theirs"}


@pytest.mark.usefixtures("sandboxed")
def test_an_openai_program_runs_unmodified() -> None:
    """It asks AiToEarn, with AiToEarn's key."""
    ran = run("run", "--", sys.executable, "-c", OPENAI_PROGRAM)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert "no model read your message. You said: 你好" in ran.stdout


@pytest.mark.usefixtures("sandboxed")
def test_a_program_finds_nothing_else_of_openai() -> None:
    """Organizations and headers of another service stay at home; options after its name are the program's."""
    ran = run(
        "run", "--site", "cn", sys.executable, "-c", SHOW, "--site", "x", AITOEARN_API_KEY=KEY, **OTHERS
    )

    assert json.loads(ran.stdout) == {"OPENAI_BASE_URL": "https://aitoearn.cn/api/ai", "OPENAI_API_KEY": KEY}


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.usefixtures("sandboxed")
def test_a_program_gets_signals_and_gives_its_exit_code() -> None:
    """As if it had been started without `run`."""
    waiting = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print(1, flush=True); signal.pause()"
    with subprocess.Popen(
        [*COMMAND, "run", "--", sys.executable, "-c", waiting], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 7


@pytest.mark.usefixtures("sandboxed")
def test_a_program_that_cannot_run_is_told_with_the_shells_codes(tmp_path: Path) -> None:
    """127 for one that is not there, 126 for one that may not run."""
    (tmp_path / "notes").write_text("words")
    missing, plain = run("run", "--", "no-such-program"), run("run", "--", str(tmp_path / "notes"))

    assert (missing.returncode, plain.returncode) == (127, 126)
    assert "is it installed?" in str(missing.stderr)
    assert "is it installed?" not in str(plain.stderr)
    assert missing.stderr.startswith("aitoearn-openai: cannot run 'no-such-program': ")
    assert run("run").returncode == 2


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_a_shell_takes_over_what_env_prints() -> None:
    """Whatever is in the key, and without a variable whose name would be a command."""
    script = f'eval "$({sys.executable} -m aitoearn_openai env --site ai)"; {sys.executable} -c "{SHOW}"'
    odd = {"OPENAI_X;touch oops": "1"}
    shell = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "AITOEARN_API_KEY": ODD_KEY, "SHELL": "/bin/zsh", **OTHERS, **odd},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )

    assert shell.stderr == ""
    shown = json.loads(shell.stdout)
    assert shown == {"OPENAI_BASE_URL": "https://aitoearn.ai/api/ai", "OPENAI_API_KEY": ODD_KEY, **odd}


@pytest.mark.parametrize(
    ("shell", "lines"),
    [
        ("fish", ["set -e OPENAI_ORG_ID", r"set -gx OPENAI_API_KEY 'sk-$HOME;`id`\\&|*(x)'"]),
        (
            "powershell",
            [
                "Remove-Item Env:OPENAI_ORG_ID -ErrorAction SilentlyContinue",
                "$env:OPENAI_API_KEY = 'sk-$HOME;`id`\\&|*(x)'",
            ],
        ),
    ],
)
def test_other_shells_get_their_own_words(shell: str, lines: list[str]) -> None:
    """Each with its own quotes."""
    printed = run("env", "--shell", shell, AITOEARN_API_KEY=ODD_KEY, OPENAI_ORG_ID="org").stdout.splitlines()

    assert [printed[0], printed[-1]] == lines


def test_the_shell_in_use_is_the_default() -> None:
    """Fish is told by its name; what is not known is taken for a kin of bash."""
    for shell, word in {"/usr/bin/fish": "set", "/bin/sh": "export", "": "export"}.items():
        assert run("env", AITOEARN_API_KEY=KEY, SHELL=shell).stdout.split()[0] == word


def test_a_terminal_does_not_get_to_show_the_key() -> None:
    """Unless a person asks for it."""
    with (
        Terminal("env", AITOEARN_API_KEY=KEY) as refusing,
        Terminal("env", "--reveal", AITOEARN_API_KEY=KEY) as telling,
    ):
        assert (refusing.end(), telling.end()) == (2, 0)

    assert KEY not in refusing.shown
    assert "add --reveal" in refusing.shown
    assert KEY in telling.shown
