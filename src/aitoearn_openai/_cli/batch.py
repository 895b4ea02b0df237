"""`batch`: a file of requests answered into another, which can be stopped at any time and goes on where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from .._limits import ANSWER_TOKENS, CONCURRENCY, raise_file_limit
from . import failures, options
from .screen import show


def batch(
    source: Annotated[Path, Argument(metavar="IN.jsonl", hidden=True)],
    target: Annotated[Path | None, Argument(metavar="OUT.jsonl", dir_okay=False, hidden=True)] = None,
    model: options.Model = None,
    concurrency: Annotated[
        int, Option(metavar="N", min=1, max=1000, help="The most requests under way at once.")
    ] = CONCURRENCY,
    rpm: Annotated[
        int | None, Option(metavar="N", min=1, help="The most requests that start a minute.")
    ] = None,
    system: Annotated[str | None, Option(metavar="TEXT", help="For prompts: a system message.")] = None,
    temperature: Annotated[
        float | None, Option(metavar="N", min=0, max=2, help="For prompts: the temperature.")
    ] = None,
    max_tokens: Annotated[
        int | None, Option(metavar="N", min=1, help="For prompts: the most tokens of an answer.")
    ] = None,
    csv: Annotated[
        Path | None, Option(metavar="FILE.csv", help="Write a table of the answers for Excel too.")
    ] = None,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Send no prompts: count, and estimate credits; needs no key.")
    ] = False,
    answer_tokens: Annotated[
        int, Option(metavar="N", min=0, help="For estimates: the most tokens of an answer.")
    ] = ANSWER_TOKENS,
    max_credits: Annotated[
        float | None, Option(metavar="N", help="Start nothing that would carry this run's estimate past N.")
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
    if csv and target is None:  # It would have no answers, in place of a table that has them.
        raise typer.BadParameter("the table is of the answers in OUT.jsonl; name it too", param_hint="--csv")
    paths = [path.resolve() for path in (source, target, csv) if path]
    if len({*paths}) < len(paths):
        raise typer.BadParameter("the input, the output and the table must be different files")
    if max_credits is not None and not max_credits > 0:
        raise typer.BadParameter("the number must be above 0", param_hint="--max-credits")
    settings = (options.resolve if dry_run else options.resolve_with_key)(site, base_url)
    # Here, as help and mistakes do without the SDK.
    import asyncio

    from .batch_files import BadFile, opened
    from .batch_job import Job
    from .batch_table import check_table, write_table

    raise_file_limit()
    job = Job(settings, model or settings.model, answer_tokens, max_credits, dry_run)
    said = {"model": job.model, "system": system, "temperature": temperature, "max_tokens": max_tokens}
    given = {name: value for name, value in said.items() if value is not None}
    code = 0
    try:
        if csv:
            check_table(csv)
        with opened(source, target, given, job.add, dry_run) as files:
            if dry_run:
                job.show(files)
            else:
                with files.writing():
                    code = asyncio.run(job.run(files, concurrency, rpm))
            if csv:
                write_table(files, csv)
                show(f"{csv.name} has the answers as a table.", markup=False)
    except BadFile as error:
        *lines, last = error.args
        for line in lines:
            failures.say(f"aitoearn-openai: {line}")
        failures.fail(last, failures.USAGE)
    except OSError as error:
        if not error.filename:  # pragma: no cover - whoever reads the output went away at this very moment
            raise
        failures.fail(f"{error.filename}: {error.strerror}", failures.USAGE)
    raise SystemExit(code)
