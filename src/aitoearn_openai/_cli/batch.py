"""`batch`: a file of requests answered into another, which can be stopped at any time and goes on where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .._limits import ANSWER_TOKENS, CONCURRENCY
from . import options


def batch(
    source: Annotated[Path, typer.Argument(metavar="IN.jsonl", hidden=True)],
    target: Annotated[Path | None, typer.Argument(metavar="OUT.jsonl", dir_okay=False, hidden=True)] = None,
    model: options.Model = None,
    concurrency: Annotated[
        int, typer.Option(metavar="N", min=1, max=1000, help="The most requests under way at once.")
    ] = CONCURRENCY,
    rpm: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The most requests that start in a minute.")
    ] = None,
    system: Annotated[
        str | None, typer.Option(metavar="TEXT", help="A system message for the lines that are prompts.")
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(metavar="N", min=0, max=2, help="The temperature of the lines that are prompts."),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="The most tokens of an answer, for the lines that are prompts."
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="Write a table for Excel too: prompts and answers in the order of the input. With --dry-run, of what is "
            "answered already.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send no prompts: count, and estimate credits; needs no key.")
    ] = False,
    answer_tokens: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="For estimates: the tokens of an answer, unless its request sets a lower limit.",
        ),
    ] = ANSWER_TOKENS,
    max_credits: Annotated[
        float | None,
        typer.Option(
            metavar="N", help="Start no request that would carry this run's estimate past N credits."
        ),
    ] = None,
    site: options.Site = None,
    base_url: options.BaseUrl = None,
) -> None:
    """Answer a file of requests, many at once.

    IN.jsonl has a request a line: text, JSON with prompt or messages, or as in OpenAI's Batch API; - is standard input.
    OUT.jsonl gets the results. What it already answers is not sent again. --dry-run does without it.

    Each result is on disk when it is counted. After Ctrl-C, a crash or a power
    cut, run the same command again: it continues, and retries what failed.
    It stops when credits run out or the key is refused, and before --max-credits.
    Credits are estimates by the prices of the model list.
    """
    if target is None and not dry_run:
        raise typer.BadParameter(
            "name the file for the results; only --dry-run does without", param_hint="OUT.jsonl"
        )
    if max_credits is not None and not max_credits > 0:
        raise typer.BadParameter("the number must be above 0", param_hint="--max-credits")
    # Here, as help and mistakes do without the SDK.
    from .batch_files import Defaults
    from .batch_job import answer

    options_given = {"temperature": temperature, "max_tokens": max_tokens}
    answer(
        source,
        target,
        Defaults(model, system, {name: value for name, value in options_given.items() if value is not None}),
        concurrency=concurrency,
        rpm=rpm,
        dry_run=dry_run,
        answer_tokens=answer_tokens,
        max_credits=max_credits,
        csv=csv,
        settings=(options.resolve if dry_run else options.resolve_with_key)(site, base_url),
    )
