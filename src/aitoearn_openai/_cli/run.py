"""`run`: point a program made for OpenAI at AiToEarn, without a change to it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Annotated

from typer import Argument, Option

import aitoearn_openai as openai

from .._local import SHORT_KEY
from .._sites import ENV_PREFIX
from . import failures, options

ADDRESS_VARIABLES = (
    "OPENAI_BASE_URL",  # the SDKs, Vercel's AI SDK
    "OPENAI_API_BASE",  # the SDK before 1.0, LangChain, LlamaIndex, LiteLLM, aider
    "OPENAI_API_BASE_URL",  # Open WebUI, promptfoo
    "OPENAI_API_URL",
    "OPENAI_ENDPOINT",
    "OPENAI_HOST",  # goose, which adds v1/chat/completions
    "OPENAI_PROXY_URL",
    "OPENAI_REVERSE_PROXY",  # LibreChat
)
"""Where programs look for the address. Left out: OPENAI_API_HOST, which promptfoo takes for a name and not for an address."""

_IS_PARENT = sys.platform == "win32" or hasattr(sys, "frozen")
"""Whether programs are run as children, and the relay in this process: on Windows `exec` leaves the shell without its child,
and in a bundle, such as PyInstaller's, there is no Python that could be started as a relay."""


def run(
    command: Annotated[list[str], Argument(metavar="COMMAND", hidden=True)],
    direct: Annotated[
        bool, Option("--direct", help="Without the relay: the program gets the key, and sees fewer failures.")
    ] = False,
    site: options.Site = None,
    base_url: options.BaseUrl = None,
) -> None:
    """Run a program made for OpenAI against AiToEarn. COMMAND is the program and its arguments, after --.

    The program asks a relay on this machine, which adds the key and turns failures into errors that the program knows.
    No OPENAI_ or AITOEARN_ variable of yours reaches the program.
    """
    hidden = "OPENAI_", ENV_PREFIX
    environment = {name: value for name, value in os.environ.items() if not name.upper().startswith(hidden)}
    try:
        if direct:
            settings = options.resolve_with_key(site, base_url)
            _execute(command, environment | _variables(settings.base_url, _key(settings)))
        environment |= _unproxied(environment)
        if _IS_PARENT:
            settings = options.resolve_with_key(site, base_url)
            with openai.relay.serve(settings=settings) as here:
                environment = _without(environment, _key(settings))
                _execute(command, environment | _variables(here.base_url, here.api_key))
        _execute(command, _behind_a_relay(environment, site, base_url))
    except (OSError, ValueError) as error:
        # The codes that shells use for a command that is not there, and for one that cannot be run.
        code, question = (127, "; is it installed?") if isinstance(error, FileNotFoundError) else (126, "")
        failures.fail(f"cannot run {command[0]!r}: {getattr(error, 'strerror', error)}{question}", code)


def _behind_a_relay(environment: dict[str, str], site: str | None, base_url: str | None) -> dict[str, str]:
    """Start a relay; the program's environment. Where the key is a variable's, it starts while the settings are read."""
    from .._detached import Detached

    given = re.split(r"[\s:'\"]+", os.environ.get(f"{ENV_PREFIX}API_KEY", ""))  # The key may follow "Bearer".
    try:
        here = Detached(_without(environment, *given)) if any(given) else None
        settings = options.resolve_with_key(site, base_url)
        environment = _without(environment, _key(settings))
        here = here or Detached(environment)
        return environment | _variables(here.base_url, here.give(settings))
    except OSError as error:
        failures.fail(f"the relay cannot start: {error.strerror}", 126)


def _execute(command: list[str], environment: dict[str, str]) -> None:
    """Become that program, or its parent."""
    if _IS_PARENT:
        with subprocess.Popen(command, env=environment) as program:
            # Ctrl-C is the program's, who gets it too; what is sent to this process alone goes on to it.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, lambda number, _: program.send_signal(number))
            code = program.wait()
        raise SystemExit(code if code >= 0 else 128 - code)
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # By Python, and the program would inherit that.
        signal.signal(ignored, signal.SIG_DFL)
    os.execvpe(command[0], command, environment)


def _key(settings: openai.Settings) -> str:
    return settings.api_key.get_secret_value() if settings.api_key else ""


def _without(environment: Mapping[str, str], *keys: str) -> dict[str, str]:
    """The environment without variables of any name that hold a key."""
    keys = tuple(key for key in keys if len(key) >= SHORT_KEY)
    return {name: value for name, value in environment.items() if not any(key in value for key in keys)}


def _variables(address: str, key: str) -> dict[str, str]:
    return {**dict.fromkeys(ADDRESS_VARIABLES, address), "OPENAI_API_KEY": key}


def _unproxied(environment: Mapping[str, str]) -> dict[str, str]:
    """What keeps programs from asking a proxy for this machine, in both spellings that they look for."""
    names = ("no_proxy", "NO_PROXY")
    hosts = [host.strip() for name in names for host in environment.get(name, "").split(",")]
    if "*" not in hosts:
        hosts += ["127.0.0.1", "localhost"]
    return dict.fromkeys(names, ",".join(filter(None, dict.fromkeys(hosts))))
