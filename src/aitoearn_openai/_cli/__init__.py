"""The command line: models and prices, a chat, batches, a diagnosis, other programs, and the sandbox."""

from __future__ import annotations

from typing import Annotated

import typer

from .._version import __version__
from .batch import batch
from .chat import chat
from .check import check
from .demo import demo
from .models import models
from .run import run
from .servers import serve_relay, serve_sandbox

app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _command(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the versions and exit.")] = False,
) -> None:
    """The OpenAI Python SDK, ready for AiToEarn."""
    if version:
        from importlib.metadata import version as version_of  # It takes long to load.

        typer.echo(f"aitoearn-openai {__version__} (openai {version_of('openai')})")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


for _function, _words, _example in (
    (models, "List the models and their prices.", "models --input image"),
    (chat, "Ask a model, or hold a conversation.", "chat --model glm-5.2 Hello"),
    (batch, "Answer a file of requests, many at once.", "batch in.jsonl out.jsonl --model glm-5.2"),
    (check, "Test the settings, the network and the key.", "check --site ai"),
    (run, "Run a program made for OpenAI against AiToEarn.", "run -- python your_program.py"),
    (serve_relay, "Serve OpenAI's protocol on this machine.", "relay --port 8379"),
    (serve_sandbox, "Serve a local stand-in for AiToEarn.", "sandbox --port 8378"),
    (demo, "Show what the package does, without a key or network.", "demo"),
):
    _name = _example.partition(" ")[0]
    # What follows the name of another program is that program's.
    app.command(
        _name,
        short_help=_words,
        epilog=f"Example: aitoearn-openai {_example}",
        context_settings={"allow_interspersed_args": _name != "run"},
    )(_function)
