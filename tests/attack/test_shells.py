"""What a server names reaches shells: at TAB."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from commands import TerminalProcess, run
from conftest import ScriptedServer

GOOD = "ok-1.0:x/y@z+w_v"
EVIL_NAMES = [
    "zz\\`touch hit\\`", "zz`touch hit`", "zz$(touch hit)", "zz;touch${IFS}hit;#", "zz|touch hit", "zz&touch hit",
    "zz>hit", "zz\ntouch hit", "zz\ttouch hit", "zz\x1b[31m", "zz'", 'zz"', "zz*", "zz?", "zz{a,b}", "zz(touch hit)", "zz ",
    "zz\n", "zzé", "zz\u2028", "-zz", "~zz", "=zz", "@zz", ".zz", "",
]  # fmt: skip

SHELLS = {
    "zsh": (["-f", "-i"], 'autoload -U compinit; compinit -D -u; eval "$({} aitoearn-openai)"'),
    "bash": (["--norc", "--noprofile", "-i"], 'eval "$({} aitoearn-openai)"'),
    "fish": (["--no-config", "-i"], "{} aitoearn-openai | source"),
}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
@pytest.mark.parametrize("words", ["models ", "models --images ", "chat --model ", "batch -m "])
def test_only_names_that_every_shell_takes_for_a_word_are_offered(
    hostile: ScriptedServer, shell: str, words: str
) -> None:
    """A shell evaluates what it is offered, or puts it on the line as it is."""
    hostile.lists(*({"name": name} for name in [*EVIL_NAMES, GOOD]))
    line = f"aitoearn-openai {words}"
    shown = run(
        AITOEARN_BASE_URL=hostile.origin,
        _AITOEARN_OPENAI_COMPLETE=f"complete_{shell}",
        COMP_WORDS=line,
        COMP_CWORD=str(len(line.split())),
        _TYPER_COMPLETE_ARGS=line,
        _TYPER_COMPLETE_FISH_ACTION="get-args",
    )

    assert "zz" not in shown.stdout
    assert GOOD in shown.stdout.replace("\\", "")


@pytest.mark.parametrize("line", ["--version m", "sandbox --failures --p"])
def test_completion_prints_nothing_but_candidates(line: str) -> None:
    """zsh runs all that is printed meanwhile."""
    asked = {"_AITOEARN_OPENAI_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": f"aitoearn-openai {line}"}

    assert run(**asked).stdout.startswith("_arguments ")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of Unix")
def test_a_name_of_the_list_runs_nothing_in_a_shell(
    hostile: ScriptedServer, tmp_path: Path, shell: str
) -> None:
    """Neither at TAB nor at Enter; the names that can be offered are."""
    program = shutil.which(shell) or pytest.skip(f"{shell} is not installed")
    hostile.lists({"name": "aa\\`touch hit\\`"}, {"name": "bb;touch${IFS}hit"}, {"name": GOOD})
    options, completion = SHELLS[shell]
    ours = str(Path(sys.executable).parent)
    environment = {
        "PATH": f"{ours}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "AITOEARN_BASE_URL": hostile.origin,
    }
    with TerminalProcess(command=[program, *options], **environment) as terminal:
        source = completion.format(f"env _AITOEARN_OPENAI_COMPLETE=source_{shell}")
        terminal.type(f"cd {tmp_path}; {source}; echo rea''dy\n")
        terminal.wait_for("ready")
        for begun in ("aa", "bb"):
            due = len(hostile.requests) + 1
            terminal.type(f"aitoearn-openai models {begun}\t")
            deadline = time.monotonic() + 60
            while len(hostile.requests) < due and time.monotonic() < deadline:  # Until the shell has asked.
                terminal._read(0.1)
            terminal.type(f" ; echo do''ne-{begun}\n")
            terminal.wait_for(f"done-{begun}")
        terminal.type("aitoearn-openai models ok\t")
        terminal.wait_for(GOOD)

    assert not (tmp_path / "hit").exists()
