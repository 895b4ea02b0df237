"""A run of `batch`: what is refused before, what is asked, counted and reported."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections import Counter
from contextlib import aclosing
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import openai
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .. import AsyncOpenAI, ChatModel, Settings
from .._hints import closest
from .._limits import raise_file_limit
from .._models import BYTES_PER_TOKEN, find
from ..batch import Budget, MaxCreditsReached, Request, Result, Runner, estimate
from . import failures
from .batch_files import BadFile, Defaults, Files, opened
from .batch_table import check_table, write_table
from .bill import Bill
from .lists import fetch, matching
from .screen import count, credits_text, errors, escape, one_line, show

_RETRIES = 5
"""More than the SDK's two: nobody watches a long job, and a service that was away for a while comes back."""
_SECONDS = 10.0
"""How often a pipe gets a line."""
_FEW_REASONS = 10
"""Of more, only a count is kept: memory must not grow with the number of failures."""
_REQUEST_ID = re.compile(r",? ?\b[Rr]equest id [^),]*")


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
    models = {each.id: each for each in offered}
    known = (
        set() if settings.site == "sandbox" else set(models)
    )  # The sandbox does not list all that it answers.
    wanted = given.model or settings.model
    found = matching(offered, wanted) if wanted else None
    defaults = replace(given, model=found.id if isinstance(found, ChatModel) else wanted)
    budget = None if max_credits is None else Budget(max_credits, models, answer_tokens)
    calls: Calls = Counter()

    @cache
    def unknown(name: str) -> str:
        near = find(offered, name)
        hint = closest([near.id] if isinstance(near, ChatModel) else near)
        return f"{name} is not in the model list. {failures.masked(hint)}".rstrip()

    def check(request: Request) -> None:
        """Before anything is paid: the service answers no model that it does not list, and a limit on credits needs prices."""
        name = request.body["model"]
        if known and name not in known:
            raise ValueError(unknown(name))
        if budget:
            budget.estimate(request)
        calls[(name, *request.tokens(answer_tokens))] += 1

    raise_file_limit()
    code = 0
    try:
        if csv:
            check_table(csv)
        with opened(source, target, defaults, check, look_only=dry_run) as files:
            if dry_run:
                _estimate(files, calls, models, answer_tokens)
            else:
                with files.writing():
                    job = _Job(files, calls, models, budget)
                    code = asyncio.run(job.run(settings, concurrency, rpm))
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


Calls = Counter[tuple[str, int, int]]
"""Of requests: model, tokens in and out, and how many have just these."""


def _models(calls: Calls) -> str:
    """The model, or how many there are."""
    names = list({name: None for name, _, _ in calls})
    return failures.masked(one_line(names[0])) if len(names) == 1 else count(len(names), "model")


def _estimate(files: Files, calls: Calls, models: dict[str, ChatModel], answer_tokens: int) -> None:
    bill, tokens, unpriced = Bill(), 0, 0
    for (name, tokens_in, tokens_out), times in calls.items():
        model = models.get(name)
        tokens += tokens_in * times
        cost = estimate(model, tokens_in, tokens_out)
        if model is None or cost is None:
            unpriced += times
        else:
            bill.charge(model, cost * times)
    left = f"{calls.total():,} to send to {escape(_models(calls))}"
    show(f"{count(files.total, 'request')}, {files.answered:,} answered, {left}")
    estimated = f"{count(tokens, 'token')} in"
    if bill.credits or not unpriced:
        estimated = f"about {credits_text(bill.credits, 4)} (list price), for {estimated}"
    if unpriced:
        estimated += f"; without a price in the list: {count(unpriced, 'request')}"
    rule = f"Assumed: {BYTES_PER_TOKEN} bytes of text a token, and up to {count(answer_tokens, 'token')} an answer."
    show(f"{escape(estimated)}\n[dim]{rule}[/]")


class _Job:
    """A run of a batch: it asks, writes, counts and reports."""

    def __init__(
        self, files: Files, calls: Calls, models: dict[str, ChatModel], budget: Budget | None
    ) -> None:
        self._files, self._calls, self._models, self._budget = files, calls, models, budget
        self._answered, self._failed = files.answered, 0
        self._reasons: Counter[str] = Counter()
        self._bill = Bill()
        self._bar = Progress(
            BarColumn(12),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=errors,
            disable=not errors.is_terminal,
        )
        self._row = self._bar.add_task("", total=files.total)
        self._started, self._reported = time.monotonic(), float("-inf")

    async def run(self, settings: Settings, concurrency: int, rpm: int | None) -> int:
        """Ask what is not answered yet; the exit code, which is 0 if all is answered then."""
        code = 0
        try:
            code = await self._ask(settings, concurrency, rpm)
        except asyncio.CancelledError:  # Ctrl-C, twice.
            code = failures.INTERRUPTED
        except MaxCreditsReached as reached:
            failures.say(f"aitoearn-openai: {reached}")
            code = failures.NO_MATCH
        except openai.OpenAIError as error:
            code = failures.report(error)
        if rest := self._failed - self._reasons.total():
            self._reasons["for other reasons, which the output names."] = rest
        for reason, number in self._reasons.most_common():
            failures.say(f"aitoearn-openai: {count(number, 'request')} failed: {reason}")
        seconds = time.monotonic() - self._started
        summary = f"{self._files.target.name}: {self._counts()}. This run: {_models(self._calls)}, {self._bill}, {seconds:,.1f} s."
        show(f"{summary} The same command sends the rest." if code else summary, markup=False)
        return code

    async def _ask(self, settings: Settings, concurrency: int, rpm: int | None) -> int:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        is_interrupted = False

        def interrupt() -> None:
            nonlocal is_interrupted
            if is_interrupted:
                task.cancel()  # type: ignore[union-attr]
                return
            is_interrupted = True
            runner.halt()
            failures.say(f"finishing {count(runner.under_way, 'request')}; Ctrl-C again drops them")

        retries = _RETRIES if settings.max_retries is None else settings.max_retries
        async with AsyncOpenAI.from_settings(settings, max_retries=retries) as client:
            client._known_models["/models/chat"] = list(self._models.values())  # For what to do next.
            pending, budget = self._files.pending(), self._budget
            runner = Runner(client, pending, concurrency=concurrency, rpm=rpm, budget=budget)
            before = signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(interrupt))
            try:
                with self._bar:
                    self._show_progress()
                    async with aclosing(runner.groups()) as groups:
                        async for group in groups:
                            await asyncio.to_thread(self._files.keep, [_line(result) for result in group])
                            self._count(group)
                            self._show_progress()
            finally:
                signal.signal(signal.SIGINT, before)
        if is_interrupted:
            return failures.INTERRUPTED
        return failures.NO_MATCH if self._failed else 0

    def _count(self, group: list[Result]) -> None:
        for result in group:
            if result.error:
                self._failed += 1
                reason = _REQUEST_ID.sub("", " ".join(failures.explain(result.error)[:2]).rstrip())
                if reason in self._reasons or len(self._reasons) < _FEW_REASONS:
                    self._reasons[reason] += 1
            else:
                self._answered += 1
                self._bill.add(result.usage, self._models.get(result.request.body["model"]))

    def _counts(self) -> str:
        return f"{self._answered:,} of {self._files.total:,} answered, {self._failed:,} failed"

    def _show_progress(self) -> None:
        done, counts = self._answered + self._failed, self._counts()
        self._bar.update(self._row, completed=done, description=f"{counts}\n{self._bill}")
        if self._bar.disable and time.monotonic() - self._reported > _SECONDS:
            self._reported = time.monotonic()
            failures.say(f"{counts}, {self._bill}")


def _line(result: Result) -> dict[str, Any]:
    """The result as it is kept: a service that repeats the key in what it says does not get it into the file."""
    line = result.to_dict()
    if result.error:
        message = failures.explain(result.error)[0]
        if line["error"]:
            line["error"]["message"] = message
        else:
            response, said = line["response"], line["response"]["body"]["error"]
            response["request_id"] = failures.masked(response["request_id"] or "") or None
            said.update(
                {name: value and failures.masked(str(value)) for name, value in said.items()}, message=message
            )
    return line
