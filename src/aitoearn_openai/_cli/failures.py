"""How the command fails: in one line on stderr, with what to do next and an exit code for its kind."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import traceback
from collections.abc import Iterator
from typing import Any, NoReturn

import openai
import typer

from .._settings import SITES
from ..batch import causes, reason
from .screen import errors, show, without_controls

NO_MATCH = 1
USAGE = 2
KEY = 3
NETWORK = 4
SERVICE = 5
INTERRUPTED = 130

LOOK = "Run `aitoearn-openai check` to find the cause."
_FILES = "Lower --concurrency, or raise the limit on open files with `ulimit -n`."
_START = "Is the sandbox running? `aitoearn-openai sandbox` starts it."
_NEXT = {
    402: "Credits are bought on the site that the key is from.",
    403: "The site shows the state of the account.",
    404: "`aitoearn-openai models` lists the names.",
    429: "Wait a little, then try again.",
}
# Typer exports this class only as the parent of `BadParameter`.
_UsageError: Any = typer.BadParameter.__mro__[1]

_OURS = (
    r"Error code: \d+ - | \(AiToEarn code |, request id |The service gave no message\."
    r"| answered with | where [\w ]+ was expected|\. Check the base URL: AiToEarn's ends in /api/ai\."
    r"|The stream (?:ended before its first event|broke off)(?:: |\.)|The stream broke: it is not UTF-8 text\."
    r"|The model failed: finish_reason "
    r"|The server sent an error event without a message\.|The stream sent something other than a chunk: "
    r"|The service gave an answer without choices"
)
"""What the messages of this package have around the words of a server."""

_ADDRESS = "Look at the address: AiToEarn's ends in /api/ai."
_MASK = "**********"
_FEW = 3
"""So many first characters of a key tell nothing."""

secrets: set[str] = set()
"""What must not be shown where a server repeats it."""

_OUTPUT_IS_AWAY = errno.EPIPE, errno.ENOSPC, errno.EFBIG
_debugging = False


def debug(wanted: bool) -> None:
    """Show tracebacks from now on."""
    global _debugging
    _debugging = wanted


def masked(words: str) -> str:
    """What a server said, as it may be shown; a message may be cut within a key."""
    for secret in secrets:
        words = words.replace(secret, _MASK)
        begun = next((n for n in range(len(secret) - 1, _FEW, -1) if words.endswith(secret[:n])), 0)
        words = words[: len(words) - begun] + _MASK * bool(begun)
    return words


def message(error: openai.APIError) -> str:
    """The message of an error; a key is masked in the words of the server alone, as it may be an everyday word."""
    hint = getattr(error, "_hint", "")
    parts = re.split(f"({_OURS})", str(error).removesuffix(hint))
    return "".join(part if place % 2 else masked(part) for place, part in enumerate(parts)) + hint


def _origin(error: openai.APIError) -> str:
    url = error.request.url
    return f"{url.scheme}://{url.netloc.decode()}"


def say(text: str) -> None:
    """A line on stderr, without what could steer the terminal, which gets it wrapped at words."""
    show(without_controls(text), errors, markup=False)


def fail(message: str, code: int) -> NoReturn:
    """End the command, with its exit code also where nobody can be told."""
    with contextlib.suppress(OSError):
        say(f"aitoearn-openai: {message}")
    raise SystemExit(code)


def explain(error: openai.OpenAIError) -> tuple[str, str, int]:
    """What happened, what to do next, and the exit code for it."""
    text, next_step, code = str(error), "", USAGE
    if isinstance(error, openai.APIConnectionError):
        origin, why = _origin(error), reason(error)
        text = f"the connection to {origin} failed: {masked(why) if error.__cause__ else why}"
        # By its name: the HTTP library is another one in some versions of the SDK.
        away = origin == SITES["sandbox"] and type(error.__cause__).__name__ == "ConnectError"
        next_step, code = _START if away else LOOK, NETWORK
        if any(isinstance(cause, OSError) and cause.errno == errno.EMFILE for cause in causes(error)):
            next_step = _FILES
    elif isinstance(error, openai.APIError):
        text, next_step, code = message(error), *_advice(error)
        text = text.replace("`credits_scope` in `client.", "the column balance of `client.")
        text = text.replace("`client.models.list()`", "`aitoearn-openai models`")
        if next_step in text or (next_step == _ADDRESS and getattr(error, "_hint", None)):
            next_step = ""
    return sentence(" ".join(text.split())), next_step, code


def sentence(text: str) -> str:
    """The text with one mark at its end."""
    return text if text.endswith((".", "?", "!", "。", "？", "！")) else f"{text}."


def fail_to_listen(error: OSError) -> NoReturn:
    """End the command, as a server cannot have its port or its address."""
    if error.errno in _OUTPUT_IS_AWAY:
        raise error
    advice = {
        errno.EACCES: "ports below 1024 may need an administrator, choose a higher one with --port",
        errno.EADDRINUSE: "choose another with --port",
    }.get(error.errno or 0, "choose another with --host")
    fail(f"{error.strerror}; {advice}", USAGE)


def _advice(error: openai.APIError) -> tuple[str, int]:
    if isinstance(error, openai.AuthenticationError):
        return LOOK, KEY
    if isinstance(error, openai.APIResponseValidationError):
        return LOOK, SERVICE
    status = getattr(error, "status_code", 500)
    if status == 404 and error.code not in ("12300", "model_not_found"):
        return _ADDRESS, SERVICE
    usual = "Change the request as it says." if status < 500 else "Try again later, or another model."
    return _NEXT.get(status, usual), SERVICE


def _traceback(error: openai.OpenAIError) -> str:
    text = "".join(traceback.format_exception(error))
    for each in filter(str, causes(error)):
        shown = message(each) if isinstance(each, openai.APIError) else masked(str(each))
        text = text.replace(str(each), shown)
    return text


def report(error: openai.OpenAIError) -> int:
    """Show an error, with its traceback if that is wanted; the exit code for it."""
    text, next_step, code = explain(error)
    with contextlib.suppress(OSError):
        if _debugging:
            print(without_controls(_traceback(error)), file=sys.stderr)
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
    except _UsageError as error:
        path = error.ctx.command_path if error.ctx else "aitoearn-openai"
        message = error.format_message().replace("Value error, ", "")
        fail(f"{sentence(message)} `{path} --help` shows how to use it.", USAGE)
    except openai.OpenAIError as error:
        raise SystemExit(report(error)) from None
    except UnicodeError as error:
        # Python takes bytes that are no text for half characters, which nobody can send.
        fail(
            f"an argument, a variable or the input is not valid text ({error}): "
            "write it in UTF-8, in a locale such as LC_ALL=C.UTF-8",
            USAGE,
        )
    except typer.Abort:
        raise SystemExit(INTERRUPTED) from None
    except OSError as error:
        if error.errno not in _OUTPUT_IS_AWAY:
            raise
        if error.errno == errno.EPIPE:  # Whoever reads has seen enough.
            raise SystemExit(NO_MATCH) from None
        fail(f"the output cannot be written: {error.strerror}", NO_MATCH)
    finally:
        for stream in streams:
            try:
                stream.flush()
            except OSError:  # It would fail once more when Python ends, with an exit code of its own.
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
