"""How the command fails: in one line on stderr, with what to do next and an exit code for its kind."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import traceback
from collections.abc import Iterator
from functools import cache
from typing import Any, NoReturn

import typer

import aitoearn_openai as openai

from .._hints import hint_of, origin
from .._sites import ENV_PREFIX, SITES
from .._wording import Ours, causes, parts_of, reason
from .screen import errors, one_line, show, write

NO_MATCH = 1
USAGE = 2
KEY = 3
NETWORK = 4
SERVICE = 5
INTERRUPTED = 130

LOOK = "Try again; if it fails again, `aitoearn-openai check` looks for the cause."
_KEY = "Copy the key once more, or create one: Settings, then API Key."
_START = "Is the sandbox running? `aitoearn-openai sandbox` starts it."
_NEXT = {
    402: "Credits and memberships are bought on the site that the key is from.",
    403: "The site shows the state of the account.",
    404: "`aitoearn-openai models` lists the names.",
    429: "Wait a little, then try again.",
}
# Typer exports this class only as the parent of `BadParameter`.
_UsageError: Any = typer.BadParameter.__mro__[1]

_USUAL = "Try again later, or another model.", "Change the request as it says."
_MASK = "**********"
_FEW = 3
"""The most first characters of a key that may be shown."""

secrets: set[str] = set()
"""What must not be shown where a server repeats it."""


@cache
def _spellings(secret: str) -> re.Pattern[str]:
    """A secret as servers repeat it: also in small or in capital letters, and as JSON, Python, URLs and HTML escape it."""
    return re.compile(
        "".join(
            rf"(?:\\{{0,8}}{re.escape(each)}|\\{{1,8}}u{ord(each):04x}|\\{{1,8}}x{ord(each):02x}|%{ord(each):02x}"
            rf"|&\#0{{0,5}}{ord(each)};|&\#x0{{0,5}}{ord(each):x};)"
            for each in secret
        ),
        re.IGNORECASE,
    )


def masked(words: str) -> str:
    """What a server said, as it may be shown; a message may be cut within a key."""
    for secret in secrets:
        words = _spellings(secret).sub(_MASK, words)
        begun = next((n for n in range(len(secret) - 1, _FEW, -1) if words.endswith(secret[:n])), 0)
        words = words[: len(words) - begun] + _MASK * bool(begun)
    return words


def message(error: openai.APIError) -> str:
    """The message of an error; a key is masked in the words of the server alone, as it may be an everyday word."""
    return "".join(part if isinstance(part, Ours) else masked(part) for part in parts_of(error.message))


def say(text: str) -> None:
    """A line on stderr, which a terminal gets wrapped at words."""
    show(one_line(text), errors, markup=False)


def fail(message: str, code: int) -> NoReturn:
    """End the command, with its exit code also where nobody can be told."""
    with contextlib.suppress(OSError):
        say(f"aitoearn-openai: {message}")
    raise SystemExit(code)


def explain(error: openai.OpenAIError) -> tuple[str, str, int]:
    """What happened, what to do next, and the exit code for it."""
    text, next_step, code = str(error), "", USAGE
    if isinstance(error, openai.APITimeoutError):
        seconds = error.request.extensions["timeout"]
        seconds = seconds["connect" if "Connect" in type(error.__cause__).__name__ else "read"]
        text = f"no answer from {origin(error.request.url)} within {seconds:g} s ({ENV_PREFIX}TIMEOUT)"
        next_step, code = "Allow more time, or try again later.", NETWORK
    elif isinstance(error, openai.APIConnectionError):
        asked, why = origin(error.request.url), reason(error)
        text = f"the connection to {asked} failed: {masked(why) if error.__cause__ else why}"
        # By its name: the HTTP library is another one in some versions of the SDK.
        away = asked == SITES["sandbox"] and type(error.__cause__).__name__ == "ConnectError"
        next_step, code = _START if away else LOOK, NETWORK
        if any(isinstance(cause, OSError) and cause.errno == errno.EMFILE for cause in causes(error)):
            next_step = "Lower --concurrency, or raise the limit on open files with `ulimit -n`."
    elif isinstance(error, openai.APIError):
        status, text, code = getattr(error, "status_code", 500), message(error), SERVICE
        next_step = _NEXT.get(status, _USUAL[status < 500])
        if isinstance(error, openai.AuthenticationError):
            next_step, code = _KEY, KEY
        elif isinstance(error, openai.APIResponseValidationError):
            next_step = LOOK
        elif status == 404 and error.code not in ("12300", "model_not_found"):
            next_step = "" if hint_of(error) else "Look at the address: AiToEarn's ends in /api/ai."
        text = text.replace("`credits_scope` in `client.", "the column balance of `client.")
        text = text.replace("`client.models.list()`", "`aitoearn-openai models`")
        next_step = "" if next_step in text else next_step
    return sentence(" ".join(text.split())), next_step, code


def sentence(text: str) -> str:
    """The text with one mark at its end."""
    return text if text.endswith((".", "?", "!", "。", "？", "！")) else f"{text}."


def fail_to_listen(error: OSError, options: str) -> NoReturn:
    """End the command, as a server cannot have its port or its address."""
    if error.errno in (errno.EPIPE, errno.ENOSPC, errno.EFBIG):  # The output is away.
        raise error
    fail(f"{error.strerror}; choose another with {options}", USAGE)


def report(error: openai.OpenAIError) -> int:
    """Show an error, with where it came from if that is wanted; the exit code for it."""
    text, next_step, code = explain(error)
    with contextlib.suppress(OSError):
        if os.environ.get(f"{ENV_PREFIX}DEBUG"):
            frames = "".join(traceback.format_tb(error.__traceback__))  # It holds no words of a server.
            write(f"Traceback (most recent call last):\n{frames}", end="", to=sys.stderr)
        say(f"aitoearn-openai: {text} {next_step}".rstrip())
    return code


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """End the process with a line and an exit code where something fails."""
    streams: list[Any] = [stream for stream in (sys.stdout, sys.stderr) if stream]  # None, as after `>&-`.
    for stream in streams:
        # A console that lacks a character shows a substitute for it.
        stream.reconfigure(errors="replace")
    try:
        try:
            yield
        finally:
            print(end="", flush=True)
    except SystemExit:  # What follows would import the SDK, to look at its exceptions.
        raise
    except _UsageError as error:
        path = error.ctx.command_path if error.ctx else "aitoearn-openai"
        message = error.format_message()
        if hasattr(error.__cause__, "errors"):  # Typer has pydantic's words, which leave out what was given.
            message = f"{message}: {error.__cause__.errors(include_url=False)[0]['input']!r}"
        fail(f"{sentence(message)} `{path} --help` shows how to use it.", USAGE)
    except openai.OpenAIError as error:
        raise SystemExit(report(error)) from None
    except UnicodeError:
        # Python takes bytes that are not text for half characters, which cannot be sent.
        fail(
            "an argument, a variable or the input is not valid text: "
            "write it in UTF-8, in a locale such as LC_ALL=C.UTF-8",
            USAGE,
        )
    except typer.Abort:
        errors.print()  # A terminal has shown ^C.
        raise SystemExit(INTERRUPTED) from None
    except OSError as error:
        if error.errno == errno.EPIPE:  # Whoever reads has seen enough.
            raise SystemExit(NO_MATCH) from None
        fail(f"cannot read or write: {error}", NO_MATCH)
    finally:
        for stream in streams:
            try:
                stream.flush()
            except OSError:  # It would fail once more when Python ends, with an exit code of its own.
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
