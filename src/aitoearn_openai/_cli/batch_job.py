"""A run of `batch`: what is asked, and refused before; what is counted and reported."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections import Counter
from contextlib import aclosing
from decimal import Decimal
from typing import Any

import openai
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .. import AsyncOpenAI, ChatModel, Settings
from .._hints import closest
from .._models import BYTES_PER_TOKEN, find
from ..batch import Budget, MaxCreditsReached, Request, Result, Runner
from . import failures
from .batch_files import Files
from .bill import Bill
from .lists import fetch, matching
from .screen import count, errors, one_line, show

_RETRIES = 5
"""More than the SDK's two: nobody watches a long job, and a service that was away for a while comes back."""
_SECONDS = 10.0
"""How often a pipe gets a line."""
_FEW_REASONS = 10
"""Of more, only a count is kept: memory must not grow with the number of failures."""
_REQUEST_ID = re.compile(r",? ?\b[Rr]equest id [^),]*")


class Job:
    """A run of a batch: it checks, asks, writes, counts and reports; or it only counts and estimates."""

    def __init__(
        self, settings: Settings, model: str | None, answer_tokens: int, limit: float | None, dry_run: bool
    ) -> None:
        try:
            offered = fetch(settings)
        except openai.NotFoundError:
            if dry_run or limit is not None:
                raise
            offered = []  # A gateway of another kind has none.
        found = matching(offered, model) if model else None
        self.model = found.id if isinstance(found, ChatModel) else model
        """The model of the lines that name none."""
        self._settings, self._answer_tokens, self._dry_run = settings, answer_tokens, dry_run
        self._models = {each.id: each for each in offered}
        self._budget = None if limit is None else Budget(limit, self._models, answer_tokens)
        self._costs: dict[tuple[str, tuple[int, int]], Decimal | None] = {}
        self._names: set[str] = set()
        self._total = self._answered = self._failed = 0
        self._reasons: Counter[str] = Counter()
        self._bill = Bill()
        self._reported = float("-inf")

    def add(self, request: Request) -> None:
        """Count a request; one that cannot succeed, or whose price is not known to a limit, is a `ValueError`."""
        name = request.body["model"]
        model = self._models.get(name)
        # The service answers no model that it does not list; the sandbox does.
        if self._models and not model and self._settings.site != "sandbox":
            near = find(self._models.values(), name)
            hint = closest([near.id] if isinstance(near, ChatModel) else near)
            raise ValueError(f"{name} is not in the model list. {failures.masked(hint)}".rstrip())
        if self._budget:
            self._budget.estimate(request)
        if self._dry_run:
            tokens = request.tokens(self._answer_tokens)
            if (name, tokens) not in self._costs:  # Many are alike, and each price takes its time.
                self._costs[name, tokens] = request.estimate(model, self._answer_tokens)
            self._bill.charge(*tokens, model, self._costs[name, tokens])
        self._names.add(name)

    def show(self, files: Files) -> None:
        """Say what is left to ask, and what it is estimated to take."""
        left = f"{files.total - files.answered:,} to send to {self._model_names()}"
        show(f"{count(files.total, 'request')}, {files.answered:,} answered, {left}", markup=False)
        show(one_line(str(self._bill)), markup=False)
        answers = count(self._answer_tokens, "token")
        show(f"[dim]Assumed: {BYTES_PER_TOKEN} bytes of text a token, and up to {answers} an answer.[/]")

    async def run(self, files: Files, concurrency: int, rpm: int | None) -> int:
        """Ask what is not answered yet; the exit code, which is 0 if all is answered then."""
        started, self._total, self._answered = time.monotonic(), files.total, files.answered
        try:
            code = await self._ask(files, concurrency, rpm)
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
        seconds = f"{time.monotonic() - started:,.1f} s."
        summary = (
            f"{files.target.name}: {self._counts()}. This run: {self._model_names()}, {self._bill}, {seconds}"
        )
        show(f"{summary} The same command sends the rest." if code else summary, markup=False)
        return code

    async def _ask(self, files: Files, concurrency: int, rpm: int | None) -> int:
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

        retries = _RETRIES if self._settings.max_retries is None else self._settings.max_retries
        columns = BarColumn(12), TimeRemainingColumn(), TextColumn("{task.description}")
        async with AsyncOpenAI.from_settings(self._settings, max_retries=retries) as client:
            client._known_models["/models/chat"] = list(self._models.values())  # For what to do next.
            runner = Runner(client, files.pending(), concurrency, rpm, self._budget)
            before = signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(interrupt))
            try:
                with Progress(*columns, console=errors, disable=not errors.is_terminal) as bar:
                    bar.add_task("", total=files.total)
                    self._show_progress(bar)
                    async with aclosing(runner.groups()) as groups:
                        async for group in groups:
                            await asyncio.to_thread(files.keep, [_line(result) for result in group])
                            self._count(group)
                            self._show_progress(bar)
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

    def _show_progress(self, bar: Progress) -> None:
        for row in bar.task_ids:
            done = self._answered + self._failed
            bar.update(row, completed=done, description=f"{self._counts()}\n{self._bill}")
        if bar.disable and time.monotonic() - self._reported > _SECONDS:
            self._reported = time.monotonic()
            failures.say(f"{self._counts()}, {self._bill}")

    def _counts(self) -> str:
        return f"{self._answered:,} of {self._total:,} answered, {self._failed:,} failed"

    def _model_names(self) -> str:
        if len(self._names) == 1:
            return failures.masked(one_line(*self._names))
        return count(len(self._names), "model")


def _line(result: Result) -> dict[str, Any]:
    """The result as it is kept: a service that repeats the key in what it says does not get it into the file."""
    line = result.to_dict()
    if result.error:
        told = line["error"]
        if response := line["response"]:
            response["request_id"] = failures.masked(response["request_id"] or "") or None
            told = response["body"]["error"]
            told.update({name: value and failures.masked(str(value)) for name, value in told.items()})
        told["message"] = failures.explain(result.error)[0]
    return line
