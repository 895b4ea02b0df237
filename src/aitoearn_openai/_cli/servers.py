"""`relay` and `sandbox`: what serves on this machine until Ctrl-C."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from typing import Annotated
from urllib.parse import urlsplit

import typer
from typer import Option

import aitoearn_openai as openai

from .._limits import keep_memory_private, raise_file_limit
from .._sites import API_PATH, SANDBOX_KEY, SITES, normalize_base_url
from . import failures, options
from .screen import errors, escape, show

_SANDBOX_PORT = urlsplit(SITES["sandbox"]).port or 0
_Port = Annotated[int, Option(metavar="N", min=0, max=65535, help="The port; 0 takes a free one.")]
_FOR_OTHERS = "Other machines use this machine's name or IP address in its place; the token crosses the network in plain http."


def _variable(name: str | None) -> str | None:
    if name is not None and not os.environ.get(name, "").strip():
        raise typer.BadParameter(f"the variable {name!r} is not set, or empty.")
    return name


def _address(url: str | None) -> str | None:
    try:
        normalize_base_url(url or SITES["sandbox"])
    except ValueError as error:
        raise typer.BadParameter(f"{error}.") from None
    return url


def _wait(*lines: str) -> None:
    """Say where it is, until Ctrl-C."""
    with contextlib.suppress(KeyboardInterrupt):
        for line in lines:
            show(line)
        threading.Event().wait()
    if errors.is_terminal:
        errors.print()  # It has shown ^C.


def serve_relay(
    port: _Port = 8379,
    host: Annotated[
        str, Option(metavar="ADDRESS", help="Where to listen, such as 0.0.0.0 for other machines too.")
    ] = "127.0.0.1",
    token_env: Annotated[
        str | None,
        Option(metavar="NAME", callback=_variable, help="The variable that holds the token; else it is new."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        Option(metavar="URL", help="A page that may use it, such as http://localhost:3000; repeatable."),
    ] = None,
    verbose: Annotated[bool, Option("--verbose", help="Show each request, not failures alone.")] = False,
    site: options.Site = None,
    base_url: options.BaseUrl = None,
) -> None:
    """Serve OpenAI's protocol on this machine, and forward to AiToEarn, until Ctrl-C.

    For programs that are configured by hand: give them the address and the token that it prints.
    Your key stays in the relay.
    """
    keep_memory_private()
    settings = options.resolve_with_key(site, base_url)
    token, origins = os.environ[token_env] if token_env else None, allow_origin or ()
    raise_file_limit()
    log, on_stderr = logging.getLogger("aitoearn_openai.relay"), logging.StreamHandler()
    on_stderr.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log.addHandler(on_stderr)
    log.setLevel(logging.INFO if verbose else logging.WARNING)
    try:
        with openai.relay.serve(
            port, host=host, settings=settings, token=token, allow_origins=origins
        ) as here:
            key = f"the value of {token_env}" if token_env else here.api_key
            _wait(
                f"The relay to {escape(settings.base_url)} is ready; Ctrl-C stops it. Give programs",
                f"  the base URL  [bold]{here.base_url}[/]",
                f"  the API key   [bold]{escape(key)}[/]",
                *([_FOR_OTHERS] if host in ("0.0.0.0", "::", "[::]") else []),
            )
    except ValueError as error:
        raise typer.BadParameter(f"{error}.") from None
    except OSError as error:
        failures.fail_to_listen(error, "--port or --host")


def serve_sandbox(
    port: _Port = _SANDBOX_PORT,
    upstream: Annotated[
        str | None,
        Option(metavar="URL", callback=_address, help="The address of an OpenAI-compatible engine."),
    ] = None,
    upstream_key_env: Annotated[
        str | None,
        Option(metavar="NAME", callback=_variable, help="The variable that holds the engine's key."),
    ] = None,
    failing: Annotated[bool, Option("--failures", help="List what fails on purpose, and exit.")] = False,
) -> None:
    """Serve a local stand-in for AiToEarn until Ctrl-C.

    It imitates the protocol of the service; no model answers,
    unless --upstream names an engine that does, such as http://localhost:11434/v1.
    """
    if failing:
        for name, meaning in openai.sandbox.FAILURES.items():
            show(f"[bold]{name:20}[/] {escape(meaning)}")
        return
    key = os.environ[upstream_key_env] if upstream_key_env else None
    try:
        with openai.sandbox.serve(port, upstream=upstream, upstream_key=key) as site:
            home = site.base_url == SITES["sandbox"] + API_PATH
            address = "" if home else f" AITOEARN_BASE_URL={site.base_url.removesuffix(API_PATH)}"
            token = "" if site.api_key == SANDBOX_KEY else f" AITOEARN_API_KEY={site.api_key}"
            behind = f"in front of {upstream}" if upstream else "and no model answers"
            _wait(
                f"The sandbox is ready, {escape(behind)}; Ctrl-C stops it.",
                f"  base URL  [bold]{site.base_url}[/]",
                f"  settings  [bold]AITOEARN_SITE=sandbox{address}{token}[/]",
                "`aitoearn-openai sandbox --failures` lists names that fail.",
            )
    except OSError as error:
        failures.fail_to_listen(error, "--port")
