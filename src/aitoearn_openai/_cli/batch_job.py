"""A run of `batch`: what is refused before, what is asked, counted and reported."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import openai
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from .. import AsyncOpenAI, ChatModel, Settings
from .._hints import closest
from .._limits import raise_file_limit
from .._models import BYTES_PER_TOKEN, find
from ..batch import (
    Budget,
    MaxCreditsReached,
    Result,
    estimate,
    in_groups,
)
from . import failures
from .batch_files import BadFile, Defaults, Files, opened
from .batch_table import check_table, write_table
from .bill import Bill
from .lists import fetch, matching
from .screen import count, credits_text, errors, escape, show

_RETRIES = 5
"""More than the SDK's two: nobody watches a long job, and a service that was away for a while comes back."""
_SECONDS = 10.0
"""How often a pipe gets a line."""
_OTHER_FILES = 32
"""The most that are open beside the connections."""
_MOST_REASONS = 100
"""Of more, only a count is kept: memory must not grow with the number of failures."""
_FEW_REASONS = 10
_REQUEST_ID = re.compile(r",? ?\b[Rr]equest id [^),]*")
_TRANSIENT = {408, 409, 425, 429}
"""Statuses below 500 with which the same request may succeed later."""


def answer(
    source: Path,
    target: Path | None,
    given: Defaults,
    *,
    concurrency: int,
    rpm: int | None,
    dry_run: bool,
    answer_tokens: int,
    max_credits: float | None,
    csv: Path | None,
    settings: Settings,
) -> None:
    """Do what the options of the command say, and end the process with the exit code for it."""
    try:
        offered = fetch(settings)
    except openai.NotFoundError:
        if dry_run or max_credits is not None:
            raise
        offered = []  # A gateway of another kind has none.
    wanted = given.model or settings.model
    found = matching(offered, wanted) if wanted else None
    defaults = replace(given, model=found.id if isinstance(found, ChatModel) else wanted)
    models = {each.id: each for each in offered}
    known = set(models)
    if offered and settings.site == "sandbox":
        from ..sandbox import FAILURES  # Which it answers, and does not list.

        known.update(FAILURES)
    if not dry_run:
        _raise_file_limit(concurrency)
    try:
        if csv:
            check_table(csv)
        budget = None if max_credits is None else Budget(max_credits, models, answer_tokens)
        refuse = partial(_refuse, models=models, known=known, needs_prices=budget is not None)
        with (
            _reading() as progress,
            opened(
                source,
                target,
                defaults,
                answer_tokens=answer_tokens,
                look_only=dry_run,
                check=None if dry_run else refuse,
                progress=progress,
            ) as files,
        ):
            code = 0
            if dry_run:
                _estimate(files, models, answer_tokens)
            else:
                code = asyncio.run(_Job(files, models, settings, budget).run(concurrency, rpm))
            if csv:
                write_table(files, csv)
                show(f"{csv.name} has the answers as a table.", markup=False)
            if dry_run:
                refuse(files)
            raise SystemExit(code)
    except BadFile as error:
        *lines, last = str(error).splitlines()
        for line in lines:
            failures.say(f"aitoearn-openai: {line}")
        failures.fail(last, failures.USAGE)
    except OSError as error:
        if not error.filename:  # pragma: no cover - whoever reads the output went away at this very moment
            raise
        failures.fail(f"{error.filename}: {error.strerror}", failures.USAGE)


def _raise_file_limit(concurrency: int) -> None:
    least = concurrency + _OTHER_FILES
    limit = raise_file_limit(2 * least, least=least)  # A host of two addresses may be tried at both.
    if limit is not None:
        failures.fail(
            f"too many open files: --concurrency {concurrency} needs {least} of them, and the limit is {limit}. "
            "Lower --concurrency, or raise the limit with `ulimit -n`",
            failures.USAGE,
        )


@contextmanager
def _reading() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal while the input is read, which goes before anything else is shown."""
    bar = Progress(
        TextColumn("Reading"), BarColumn(20), console=errors, disable=not errors.is_terminal, transient=True
    )
    row = bar.add_task("")

    def report(done: int, total: int) -> None:
        if done < total:
            bar.start()
            bar.update(row, completed=done, total=total)
        else:
            bar.stop()

    try:
        yield report
    finally:
        bar.stop()


def _estimate(files: Files, models: dict[str, ChatModel], answer_tokens: int) -> None:
    bill, tokens, unpriced, oversize = Bill(), 0, 0, 0
    for name, tokens_in, tokens_out, times in files.calls():
        model = models.get(name)
        tokens += tokens_in * times
        cost = estimate(model, tokens_in, tokens_out)
        if model is None or cost is None:
            unpriced += times
            continue
        bill.charge(model, cost * times)
        limit = model.pricing.max_input_tokens if model.pricing else None
        oversize += times if limit is not None and tokens_in > limit else 0
    left = files.total - files.answered
    show(f"{count(files.total, 'request')}, {files.answered:,} answered, {left:,} to send")
    estimated = f"{count(tokens, 'token')} in"
    if bill.credits or not unpriced:
        estimated = f"about {credits_text(bill.credits, 4)} (list price), for {estimated}"
    if unpriced:
        estimated += f"; without a price in the list: {count(unpriced, 'request')}"
    if oversize:
        estimated += f"; over the last limit of the list, and maybe refused: {count(oversize, 'request')}"
    rule = f"Assumed: {BYTES_PER_TOKEN} bytes of text a token, and up to {count(answer_tokens, 'token')} an answer."
    show(f"{escape(estimated)}\n[dim]{rule}[/]")


def _refuse(files: Files, models: dict[str, ChatModel], known: set[str], *, needs_prices: bool) -> None:
    """Before anything is paid: the service answers no model that it does not list, and a limit on credits needs prices."""
    unknown: Counter[str] = Counter()
    unpriced: dict[str, None] = {}
    for name, tokens_in, tokens_out, times in files.calls():
        if known and name not in known:
            unknown[name] += times
        elif needs_prices and estimate(models.get(name), tokens_in, tokens_out) is None:
            unpriced[name] = None
    if unknown:
        missing = []
        for name, times in list(unknown.items())[:_FEW_REASONS]:
            found = find(models.values(), name)
            near = failures.masked(closest([found.id] if isinstance(found, ChatModel) else found))
            missing.append(f"{name} is not in the model list: {count(times, 'request')}. {near}".rstrip())
        rest = len(unknown) - len(missing)
        more = f" And {count(rest, 'model')} more." if rest else ""
        failures.fail(f"{' '.join(missing)}{more} Nothing was sent.", failures.USAGE)
    if unpriced:
        failures.fail(
            f"--max-credits needs prices, and the list has none for {', '.join(unpriced)}; "
            "leave the option out, or use other models",
            failures.USAGE,
        )


class _Job:
    """A run of a batch: it asks, writes, counts and reports."""

    def __init__(
        self, files: Files, models: dict[str, ChatModel], settings: Settings, budget: Budget | None
    ) -> None:
        self._files, self._models, self._settings, self._budget = files, models, settings, budget
        self._answered, self._failed = files.answered, 0
        self._reasons: Counter[str] = Counter()
        self._may_help = False
        """Whether a failed request may succeed when it is asked again."""
        self._bill = Bill()
        self._started, self._reported = time.monotonic(), float("-inf")
        self._interrupted = False

    async def run(self, concurrency: int, rpm: int | None) -> int:
        """Ask what is not answered yet; the exit code, which is 0 if all is answered then."""
        code, when = 0, "The"
        try:
            await self._ask(concurrency, rpm)
        except asyncio.CancelledError:  # Ctrl-C, twice.
            self._interrupted = True
        except MaxCreditsReached as reached:
            failures.say(f"aitoearn-openai: {reached}")
            code = failures.NO_MATCH
            if self._answered == self._files.answered:
                when = "With a higher --max-credits the"
        except openai.OpenAIError as error:
            code = failures.report(error)
            status = getattr(error, "status_code", 0)
            when = {
                401: "With the right key the",
                402: "When there are credits, the",
                404: "With a model that the service has, the",
            }.get(status, when)
        if self._interrupted:
            code = failures.INTERRUPTED
        elif self._failed and not code:
            code = failures.NO_MATCH
        reasons = self._reasons.most_common(_FEW_REASONS)
        if rest := self._failed - sum(number for _, number in reasons):
            reasons.append(("for other reasons, which the output names.", rest))
        for reason, number in reasons:
            failures.say(f"aitoearn-openai: {count(number, 'request')} failed: {reason}")
        seconds = time.monotonic() - self._started
        summary = f"{self._files.target.name}: {self._counts()}. This run: {self._bill}, {seconds:,.1f} s."
        if code and (code != failures.NO_MATCH or self._may_help or not self._failed):
            summary += f" {when} same command sends the rest."
        elif code:
            summary += " Asking again will not help: change the requests that failed."
        show(summary, markup=False)
        return code

    async def _ask(self, concurrency: int, rpm: int | None) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        halt = loop.create_future()
        under_way: set[asyncio.Task[Result]] = set()

        def interrupt() -> None:
            if halt.done():
                task.cancel()  # type: ignore[union-attr]
                return
            self._interrupted = True
            halt.set_result(None)
            failures.say(f"finishing {count(len(under_way), 'request')}; Ctrl-C again drops them")

        before = signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(interrupt))
        retries = _RETRIES if self._settings.max_retries is None else self._settings.max_retries
        bar = Progress(
            BarColumn(20), TextColumn("{task.description}"), console=errors, disable=not errors.is_terminal
        )
        try:
            async with AsyncOpenAI.from_settings(self._settings, max_retries=retries) as client:
                client._known_models["/models/chat"] = list(self._models.values())  # For what to do next.
                groups = in_groups(
                    client,
                    self._files.pending(),
                    concurrency=concurrency,
                    rpm=rpm,
                    halt=halt,
                    budget=self._budget,
                    under_way=under_way,
                )
                with bar:
                    row = bar.add_task("", total=self._files.total)
                    self._show_progress(bar, row)
                    async with aclosing(groups):
                        async for group in groups:
                            await asyncio.to_thread(self._files.keep, [_line(result) for result in group])
                            self._count(group)
                            self._show_progress(bar, row)
        finally:
            signal.signal(signal.SIGINT, before)

    def _count(self, group: list[Result]) -> None:
        for result in group:
            if result.body is None:
                self._failed += 1
                self._note(result.error)
                continue
            self._answered += 1
            self._bill.add(result.usage, self._models.get(result.request.body["model"]))

    def _note(self, error: Any) -> None:
        """Count a failure with those of the same reason."""
        status = getattr(error, "status_code", 500)
        self._may_help |= status not in range(400, 500) or status in _TRANSIENT
        reason = _REQUEST_ID.sub("", " ".join(failures.explain(error)[:2]).rstrip())
        if reason in self._reasons or len(self._reasons) < _MOST_REASONS:
            self._reasons[reason] += 1

    def _counts(self) -> str:
        return f"{self._answered:,} of {self._files.total:,} answered, {self._failed:,} failed"

    def _show_progress(self, bar: Progress, row: TaskID) -> None:
        done = self._answered + self._failed
        rate = (done - self._files.answered) / (time.monotonic() - self._started)
        progress = self._counts()
        if rate:
            left = timedelta(seconds=round((self._files.total - done) / rate))
            progress += f", {rate:,.1f}/s, {left} left"
        bar.update(row, completed=done, description=f"{progress}\n{self._bill}")
        if bar.disable and time.monotonic() - self._reported > _SECONDS:
            self._reported = time.monotonic()
            failures.say(f"{progress}, {self._bill}")


def _line(result: Result) -> dict[str, Any]:
    """The result as it is kept: a service that repeats the key in what it says does not get it into the file."""
    line = result.to_dict()
    if result.error and line["error"]:
        why = line["error"]["message"].removeprefix(str(result.error))
        line["error"]["message"] = failures.message(result.error) + failures.masked(why)
    elif result.error:
        line["response"]["request_id"] = _masked(line["response"]["request_id"])
        said = line["response"]["body"]["error"]
        said.update(
            {name: _masked(value) for name, value in said.items()}, message=failures.message(result.error)
        )
    return line


def _masked(value: Any) -> Any:
    """What a service said, in whatever shape."""
    if isinstance(value, dict):
        return {failures.masked(name): _masked(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_masked(each) for each in value]
    return failures.masked(value) if isinstance(value, str) else value
