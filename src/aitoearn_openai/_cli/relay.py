"""`relay`: serve the relay until Ctrl-C, for programs that are configured by hand."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from datetime import datetime
from typing import Annotated

import typer

import aitoearn_openai as openai

from .._limits import keep_memory_private, raise_file_limit
from . import failures, options
from .screen import escape, show

_PORT = 8379
_EVERYWHERE = "0.0.0.0", "::", "[::]"
_FOR_OTHERS = "Other machines use this machine's name or IP address in its place; the token crosses the network in plain http."


def _token(variable: str | None) -> str | None:
    if variable is not None and not os.environ.get(variable, "").strip():
        raise typer.BadParameter(f"the variable {variable!r} is not set, or empty; it must hold the token.")
    return variable


class _Lines(logging.Handler):
    """Shows what the relay logs on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):  # Nobody reads it.
            failures.say(f"{datetime.now():%H:%M:%S} {record.getMessage()}")


def serve_relay(
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="The port; 0 takes a free one.")
    ] = _PORT,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="The address to listen on, such as 0.0.0.0 for other machines too."
        ),
    ] = "127.0.0.1",
    token_env: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", callback=_token, help="The variable that holds the token; by default a new one."
        ),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="A web page that may use the relay, with the token, such as http://localhost:3000; can be repeated.",
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show a line for each request, not for failures alone.")
    ] = False,
    site: options.Site = None,
    base_url: options.BaseUrl = None,
) -> None:
    """Serve OpenAI's protocol on this machine, and forward to AiToEarn, until Ctrl-C.

    For programs that are configured by hand: give them the address and the token that it prints.
    Your key stays in the relay.
    """
    keep_memory_private()
    settings = options.resolve_with_key(site, base_url)
    token = os.environ[token_env] if token_env else None
    raise_file_limit()
    log = logging.getLogger("aitoearn_openai.relay")
    log.addHandler(_Lines())
    log.setLevel(logging.INFO if verbose else logging.WARNING)
    try:
        with openai.relay.serve(
            port, host=host, settings=settings, token=token, allow_origins=allow_origin or ()
        ) as here:
            shown = f"the value of {token_env}" if token_env else here.api_key
            with contextlib.suppress(KeyboardInterrupt):
                for line in (
                    f"The relay to [bold]{escape(settings.base_url)}[/] is at [bold]{here.base_url}[/]. Ctrl-C stops it.",
                    f"Give programs this API key: [bold]{escape(shown)}[/]",
                    *([_FOR_OTHERS] if host in _EVERYWHERE else []),
                ):
                    show(line)
                threading.Event().wait()
    except ValueError as error:
        failures.fail(str(error), failures.USAGE)
    except OSError as error:
        failures.fail_to_listen(error)
