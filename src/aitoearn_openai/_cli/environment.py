"""`run` and `env`: point a program of the plain OpenAI SDK at AiToEarn, without a change to it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from enum import Enum
from typing import Annotated

import typer

from .. import Settings
from . import failures, options


class Shell(str, Enum):
    """A shell whose words `env` knows; bash's are those of zsh and sh too."""

    bash = "bash"
    fish = "fish"
    powershell = "powershell"


def run(
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND", help="The program and its arguments, after --.")
    ],
    site: options.Site = None,
    base_url: options.BaseUrl = None,
    debug: options.Debug = False,
) -> None:
    """Run a program made for OpenAI against AiToEarn.

    It finds OPENAI_BASE_URL and OPENAI_API_KEY, and no other OPENAI_ variable of yours.
    """
    variables = _variables(options.settle_with_key(site, base_url))
    environment = {name: value for name, value in os.environ.items() if not _is_openai(name)} | variables
    try:
        if sys.platform == "win32":  # pragma: no cover - there, `exec` leaves the shell without its child
            raise SystemExit(subprocess.call(command, env=environment))
        os.execvpe(command[0], command, environment)
    except OSError as error:
        # The codes that shells use for a command that is not there, and for one that cannot be run.
        code, question = (127, "; is it installed?") if isinstance(error, FileNotFoundError) else (126, "")
        failures.fail(f"cannot run {command[0]!r}: {error.strerror}{question}", code)


def env(
    shell: Annotated[Shell | None, typer.Option(help="Whose words; by default those of your shell.")] = None,
    reveal: Annotated[bool, typer.Option("--reveal", help="Print the key even to a terminal.")] = False,
    site: options.Site = None,
    base_url: options.BaseUrl = None,
    debug: options.Debug = False,
) -> None:
    """Print the lines that set a shell up as `run` sets up a program. They hold the key."""
    settings = options.settle_with_key(site, base_url)
    if sys.stdout.isatty() and not reveal:
        failures.fail(
            "these lines hold your key, so they are not shown on a terminal: "
            'use eval "$(aitoearn-openai env)", or add --reveal',
            failures.USAGE,
        )
    for line in _lines(shell or _own_shell(), _variables(settings)):
        print(line)


def _variables(settings: Settings) -> dict[str, str]:
    key = settings.api_key.get_secret_value() if settings.api_key else ""
    return {"OPENAI_BASE_URL": settings.base_url, "OPENAI_API_KEY": key}


def _is_openai(name: str) -> bool:
    return name.upper().startswith("OPENAI_")


def _own_shell() -> Shell:
    if sys.platform == "win32":  # pragma: no cover - Windows does not tell the shell
        return Shell.powershell
    return Shell.fish if os.path.basename(os.environ.get("SHELL", "")) == "fish" else Shell.bash


def _lines(shell: Shell, variables: dict[str, str]) -> list[str]:
    # A name that is none in a shell cannot be unset there, and must not become a command.
    others = [
        name
        for name in sorted(os.environ)
        if _is_openai(name) and name not in variables and re.fullmatch(r"[A-Za-z0-9_]+", name)
    ]
    if shell is Shell.bash:
        unset = [f"unset {name}" for name in others]
        return unset + [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    if shell is Shell.fish:
        return [f"set -e {name}" for name in others] + [
            "set -gx {} '{}'".format(name, value.replace("\\", "\\\\").replace("'", "\\'"))
            for name, value in variables.items()
        ]
    return [f"Remove-Item Env:{name} -ErrorAction SilentlyContinue" for name in others] + [
        "$env:{} = '{}'".format(name, value.replace("'", "''")) for name, value in variables.items()
    ]
