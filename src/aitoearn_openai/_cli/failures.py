"""How the command fails: in one line on stderr, with what to do next and an exit code that tells the kind."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Iterator
from typing import Any, NoReturn

import openai
import typer

from .._settings import SITES
from .screen import without_controls

NO_MATCH = 1
USAGE = 2
KEY = 3
NETWORK = 4
SERVICE = 5
INTERRUPTED = 130

_LOOK = "`aitoearn-openai check` looks into it."
_START = "Is the sandbox running? `aitoearn-openai sandbox` starts it."
_NEXT = {
    402: "Credits are bought on the site that the key is from.",
    403: "The site shows the state of the account.",
    404: "`aitoearn-openai models` lists the names.",
    429: "Wait a little, then try again.",
}
# Typer exports this class only as the parent of `BadParameter`.
_UsageError: Any = typer.BadParameter.__mro__[1]

secrets: set[str] = set()
"""What must not be printed, whoever repeats it."""

_debugging = False


def debug(wanted: bool) -> None:
    """Show tracebacks from now on."""
    global _debugging
    _debugging = wanted


def without_keys(text: str) -> str:
    """The text as it may be shown."""
    for secret in secrets:
        text = text.replace(secret, "**********")
    return text


def say(text: str) -> None:
    """A line on stderr, without any key, and without what could steer the terminal."""
    print(without_controls(without_keys(text)), file=sys.stderr)


def fail(message: str, code: int) -> NoReturn:
    """End the command."""
    say(f"aitoearn-openai: {message}")
    raise SystemExit(code)


def explain(error: openai.OpenAIError) -> tuple[str, str, int]:
    """What happened, what to do next, and the exit code for it."""
    told, next_step, code = str(error), "", USAGE
    if isinstance(error, openai.APIConnectionError):
        url = error.request.url
        origin = f"{url.scheme}://{url.netloc.decode()}"
        told = f"the connection to {origin} failed: {error.__cause__ or error}"
        # By its name: the HTTP library is another one in some versions of the SDK.
        away = origin == SITES["sandbox"] and type(error.__cause__).__name__ == "ConnectError"
        next_step, code = _START if away else _LOOK, NETWORK
    elif isinstance(error, openai.AuthenticationError):
        next_step, code = _LOOK, KEY
    elif isinstance(error, openai.APIResponseValidationError):
        next_step, code = _LOOK, SERVICE
    elif isinstance(error, openai.APIError):
        status = getattr(error, "status_code", 500)
        usual = "Change the request as it says." if status < 500 else "Try again later, or another model."
        next_step, code = _NEXT.get(status, usual), SERVICE
    told = " ".join(told.split())
    return told if told.endswith(".") else f"{told}.", next_step, code


def report(error: openai.OpenAIError) -> int:
    """Tell an error, with its traceback if that is wanted; the exit code for it."""
    if _debugging:
        say("".join(traceback.format_exception(error)))
    told, next_step, code = explain(error)
    say(f"aitoearn-openai: {told} {next_step}".rstrip())
    return code


@contextlib.contextmanager
def told_in_one_line() -> Iterator[None]:
    """End the process with a line and an exit code where something fails."""
    for stream in filter(None, (sys.stdin, sys.stdout, sys.stderr)):
        # A console that lacks a character shows a substitute for it.
        stream.reconfigure(errors="replace")
    try:
        try:
            yield
        finally:
            print(end="", flush=True)  # Does nothing where there is no stdout, as after `>&-`.
    except _UsageError as error:
        path = error.ctx.command_path if error.ctx else "aitoearn-openai"
        fail(f"{error.format_message().rstrip('.')}. `{path} --help` tells more.", USAGE)
    except openai.OpenAIError as error:
        raise SystemExit(report(error)) from None
    except typer.Abort:
        raise SystemExit(INTERRUPTED) from None
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        # Python would complain once more when it flushes stdout at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:  # Whoever reads has seen enough.
            raise SystemExit(NO_MATCH) from None
        fail(f"the output cannot be written: {error.strerror}", NO_MATCH)
