"""`sandbox`: serve the local stand-in, alone or in front of an engine."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Annotated
from urllib.parse import urlsplit

import typer

import aitoearn_openai as openai

from .._sites import API_PATH, SANDBOX_KEY, SITES, site_base_url
from . import failures
from .screen import escape, show

_PORT = urlsplit(SITES["sandbox"]).port or 0


def _address(url: str | None) -> str | None:
    if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
        raise typer.BadParameter(f"{url!r} is not an address such as http://localhost:11434/v1.")
    return url


def _key(variable: str | None) -> str | None:
    if variable is not None and not os.environ.get(variable):
        raise typer.BadParameter(f"the variable {variable!r} is not set; it must hold the engine's key.")
    return variable


def _show_failures(context: typer.Context, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        for name, meaning in openai.sandbox.FAILURES.items():
            show(f"[bold]{name:20}[/] {escape(meaning)}")
        raise typer.Exit


def serve_sandbox(
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="The port on 127.0.0.1; 0 takes a free one.")
    ] = _PORT,
    upstream: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            callback=_address,
            help="The address of an OpenAI-compatible engine.",
        ),
    ] = None,
    upstream_key_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", callback=_key, help="The variable that holds the engine's key."),
    ] = None,
    show_failures: Annotated[
        bool,
        typer.Option(
            "--failures",
            callback=_show_failures,
            is_eager=True,
            help="List the models and keys that fail on purpose, and exit.",
        ),
    ] = False,
) -> None:
    """Serve a local stand-in for AiToEarn until Ctrl-C.

    It imitates the protocol of the service; no model answers,
    unless --upstream names an engine that does, such as http://localhost:11434/v1.
    """
    key = os.environ[upstream_key_env] if upstream_key_env else None
    behind = f"{upstream} answers there." if upstream else "No model answers there."
    try:
        with (
            openai.sandbox.serve(port, upstream=upstream, upstream_key=key) as site,
            contextlib.suppress(KeyboardInterrupt),
        ):
            for line in (
                f"The sandbox is at [bold]{site.base_url}[/]. {escape(behind)}",
                f"Use it with [bold]{_variables(site)}[/]",
                "Ctrl-C stops it. `aitoearn-openai sandbox --failures` lists names that fail.",
            ):
                show(line)
            threading.Event().wait()
    except OSError as error:
        failures.fail_to_listen(error)


def _variables(site: openai.sandbox.Sandbox) -> str:
    home = site.base_url == site_base_url("sandbox")
    address = "" if home else f" AITOEARN_BASE_URL={site.base_url.removesuffix(API_PATH)}"
    key = "" if site.api_key == SANDBOX_KEY else f" AITOEARN_API_KEY={site.api_key}"
    return f"AITOEARN_SITE=sandbox{address}{key}"
