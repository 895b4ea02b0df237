"""What a server names reaches shells: at TAB."""

from __future__ import annotations

import pytest

from commands import run
from conftest import ScriptedServer

GOOD = "ok-1.0:x/y@z+w_v"
EVIL_NAMES = [
    "zz\\`touch hit\\`", "zz`touch hit`", "zz$(touch hit)", "zz;touch${IFS}hit;#", "zz|touch hit", "zz&touch hit",
    "zz>hit", "zz\ntouch hit", "zz\ttouch hit", "zz\x1b[31m", "zz'", 'zz"', "zz*", "zz?", "zz{a,b}", "zz(touch hit)", "zz ",
    "zz\n", "zzé", "zz\u2028", "-zz", "~zz", "=zz", "@zz", ".zz", "",
]  # fmt: skip


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
@pytest.mark.parametrize("words", ["models ", "models --images ", "chat --model ", "batch -m "])
def test_what_is_offered_is_a_word_for_every_shell(hostile: ScriptedServer, shell: str, words: str) -> None:
    """A shell evaluates what it is offered, or puts it on the line as it is."""
    hostile.lists(*({"name": name} for name in [*EVIL_NAMES, GOOD]))
    line = f"aitoearn-openai {words}"
    shown = run(
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
