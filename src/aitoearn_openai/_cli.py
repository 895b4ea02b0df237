"""The command line: serve the sandbox, and show in a few seconds what the package does."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Annotated, Any
from urllib.parse import urlsplit

import openai
import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from . import OpenAI, Settings, __version__, sandbox
from ._models import Pricing
from ._settings import ENV_PREFIX, SITES

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
console = Console(highlight=False)
_SANDBOX_PORT = urlsplit(SITES["sandbox"]).port or 0


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"aitoearn-openai {__version__} (openai {openai.__version__})")
        raise typer.Exit


@app.callback()
def _command(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the versions and exit."),
    ] = False,
) -> None:
    """The OpenAI Python SDK, ready for AiToEarn."""


@app.command("sandbox")
def serve_sandbox(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port on 127.0.0.1; 0 takes a free one.")
    ] = _SANDBOX_PORT,
) -> None:
    """Serve a local stand-in of AiToEarn until Ctrl-C.

    It imitates the protocol of the service; no model answers. Example: aitoearn-openai sandbox --port 8378
    """
    try:
        with sandbox.serve(port) as site:
            for line in (
                f"The AiToEarn sandbox is at [bold]{site.base_url}[/]. No model answers there.",
                f"Use it with [bold]{_variables(site)}[/]. Ctrl-C stops it.\n",
                "Models (and, those of a code or a page, keys) that fail on purpose:",
                *(f"  [bold]{name:22}[/]{escape(what)}" for name, what in sandbox.FAILURES.items()),
            ):
                console.print(line, soft_wrap=True)
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
    except OSError as error:
        raise SystemExit(f"aitoearn-openai: {error.strerror}; choose another with --port") from None


def _variables(site: sandbox.Sandbox) -> str:
    home = site.base_url == Settings(site="sandbox").base_url
    return "AITOEARN_SITE=sandbox" + ("" if home else f" AITOEARN_BASE_URL={site.base_url}")


@app.command()
def demo() -> None:
    """Show what the package does, against a sandbox that it starts: no key, no network.

    Example: aitoearn-openai demo
    """
    for name in list(os.environ):
        if name.startswith((ENV_PREFIX, "OPENAI_")):
            del os.environ[name]  # The demo shows its own settings, and needs nobody's key.
    with sandbox.serve() as site:
        os.environ["AITOEARN_SITE"] = "sandbox"
        os.environ["AITOEARN_BASE_URL"] = site.base_url
        console.print("A sandbox runs on this machine. It imitates AiToEarn; no model answers.\n")
        _show_settings(Settings())
        with OpenAI() as client:
            _show_models(client)
            _show_stream(client)
        _show_failures(site)


def _heading(text: str) -> None:
    console.print(f"[bold]{escape(text)}[/]", soft_wrap=True)


def _table(*columns: str, lines: bool = False) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_lines=lines)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _show_settings(settings: Settings) -> None:
    _heading("1. OpenAI() takes its settings from the environment")
    table = _table("setting", "value", "from")
    for field in Settings.model_fields:
        value = getattr(settings, field)
        variable = f"{ENV_PREFIX}{field.upper()}"
        source = variable if variable in os.environ else "" if value is None else "the site"
        table.add_row(field, "-" if value is None else str(value), source)
    console.print(table)


def _show_models(client: OpenAI) -> None:
    _heading("2. client.models.list() has the models, with what they take and cost")
    table = _table("model=", "label", "takes", "credits per 1,000 tokens")
    for column in (0, 3):
        table.columns[column].no_wrap = True
    for model in client.models.list():
        table.add_row(model.id, model.label, " ".join(model.input_modalities), _price(model.pricing))
    console.print(table)


def _price(pricing: Pricing | None) -> str:
    if pricing and pricing.price is not None:
        return f"{pricing.price} per call"
    tier = pricing.tier(0) if pricing else None
    return f"{tier.input.text} in, {tier.output.text} out" if tier else ""


def _show_stream(client: OpenAI) -> None:
    model = client.models.retrieve("DeepSeek V4")
    _heading(f'3. client.models.retrieve("DeepSeek V4"): {model.id} streams its answer')
    thinking = False
    for chunk in client.chat.completions.create(
        model=model.id,
        messages=[{"role": "user", "content": "你好！"}],
        stream=True,
        stream_options={"include_usage": True},
    ):
        for choice in chunk.choices:
            thought = getattr(choice.delta, "reasoning_content", None)
            if thinking and not thought:
                console.print()
            thinking = bool(thought)
            text = thought or choice.delta.content or ""
            console.print(text, style="dim" if thinking else None, end="", markup=False, soft_wrap=True)
        if chunk.usage:
            cost = f"{chunk.usage.total_tokens} tokens, {model.credits(chunk.usage)} credits"
            console.print(f"\n[dim]{cost}[/]\n")


def _show_failures(site: sandbox.Sandbox) -> None:
    _heading("4. Failures, as the plain SDK shows them and as this package does")
    table = _table("model=", "openai.OpenAI", "aitoearn_openai.OpenAI", lines=True)
    table.columns[0].no_wrap = True
    plain = openai.OpenAI(base_url=site.base_url, api_key=site.api_key, max_retries=0)
    ours = OpenAI(max_retries=0)
    with plain, ours:
        for model, stream in (("fail-12001", False), ("fail-html", True), ("fail-stream-error", True)):
            call = f"{model}\n[dim]stream=True[/]" if stream else model
            table.add_row(call, *(escape(_outcome(client, model, stream)) for client in (plain, ours)))
    console.print(table)


def _outcome(client: openai.OpenAI, model: str, stream: bool) -> str:
    """What a caller gets to see."""
    chunks = 0
    try:
        answer: Any = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Hi"}], stream=stream
        )
        if not stream:
            return f"no error, choices={answer.choices}"
        for _ in answer:
            chunks += 1
    except (openai.OpenAIError, ValueError) as error:
        return f"{f'{chunks} chunks, then ' if chunks else ''}{type(error).__name__}: {error}"
    return f"no error, {chunks} chunks"
