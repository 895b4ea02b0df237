"""A run of `batch`: what is asked, and refused before; what is counted and reported."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections import Counter
from contextlib import aclosing
from functools import cache
from typing import Any

import openai
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .. import AsyncOpenAI, ChatModel, Settings
from .._hints import closest
from .._models import BYTES_PER_TOKEN, find
from ..batch import Budget, MaxCreditsReached, Request, Result, Runner, estimate
from . import failures
from .batch_files import Files
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


class Plan:
    """What is to be asked, by the model list."""

    def __init__(
        self,
        settings: Settings,
        wanted: str | None,
        answer_tokens: int,
        max_credits: float | None,
        dry_run: bool,
    ) -> None:
        try:
            offered = fetch(settings)
        except openai.NotFoundError:
            if dry_run or max_credits is not None:
                raise
            offered = []  # A gateway of another kind has none.
        found = matching(offered, wanted) if wanted else None
        self.settings, self.answer_tokens = settings, answer_tokens
        self.model = found.id if isinstance(found, ChatModel) else wanted
        """The model of the lines that name none."""
        self.models = {each.id: each for each in offered}
        self.budget = None if max_credits is None else Budget(max_credits, self.models, answer_tokens)
        self.calls: Counter[tuple[str, int, int]] = Counter()
        """Of the requests without an answer: model, tokens in and out, and how many have just these."""

    def add(self, request: Request) -> None:
        """Count a request; one that cannot succeed, or whose price is not known to a limit, is a `ValueError`."""
        name = request.body["model"]
        # The service answers no model that it does not list; the sandbox does.
        if self.models and name not in self.models and self.settings.site != "sandbox":
            raise ValueError(self._unknown(name))
        if self.budget:
            self.budget.estimate(request)
        self.calls[(name, *request.tokens(self.answer_tokens))] += 1

    @cache  # noqa: B019 - a plan is as old as its process
    def _unknown(self, name: str) -> str:
        near = find(self.models.values(), name)
        hint = closest([near.id] if isinstance(near, ChatModel) else near)
        return f"{name} is not in the model list. {failures.masked(hint)}".rstrip()

    @property
    def names(self) -> str:
        """The model, or how many there are."""
        names = list({name: None for name, _, _ in self.calls})
        return failures.masked(one_line(names[0])) if len(names) == 1 else count(len(names), "model")

    def show(self, files: Files) -> None:
        bill, tokens, unpriced = Bill(), 0, 0
        for (name, tokens_in, tokens_out), times in self.calls.items():
            model = self.models.get(name)
            tokens += tokens_in * times
            cost = estimate(model, tokens_in, tokens_out)
            if model is None or cost is None:
                unpriced += times
            else:
                bill.charge(model, cost * times)
        left = f"{self.calls.total():,} to send to {escape(self.names)}"
        show(f"{count(files.total, 'request')}, {files.answered:,} answered, {left}")
        estimated = f"{count(tokens, 'token')} in"
        if bill.credits or not unpriced:
            estimated = f"about {credits_text(bill.credits, 4)} (list price), for {estimated}"
        if unpriced:
            estimated += f"; without a price in the list: {count(unpriced, 'request')}"
        answers = count(self.answer_tokens, "token")
        rule = f"Assumed: {BYTES_PER_TOKEN} bytes of text a token, and up to {answers} an answer."
        show(f"{escape(estimated)}\n[dim]{rule}[/]")


class Job:
    """A run of a batch: it asks, writes, counts and reports."""

    def __init__(self, files: Files, plan: Plan) -> None:
        self._files, self._plan = files, plan
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

    def run(self, concurrency: int, rpm: int | None) -> int:
        """Ask what is not answered yet; the exit code, which is 0 if all is answered then."""
        return asyncio.run(self._run(concurrency, rpm))

    async def _run(self, concurrency: int, rpm: int | None) -> int:
        try:
            code = await self._ask(concurrency, rpm)
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
        summary = f"{self._files.target.name}: {self._counts()}. This run: {self._plan.names}, {self._bill}, {seconds:,.1f} s."
        show(f"{summary} The same command sends the rest." if code else summary, markup=False)
        return code

    async def _ask(self, concurrency: int, rpm: int | None) -> int:
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

        settings = self._plan.settings
        retries = _RETRIES if settings.max_retries is None else settings.max_retries
        async with AsyncOpenAI.from_settings(settings, max_retries=retries) as client:
            client._known_models["/models/chat"] = list(self._plan.models.values())  # For what to do next.
            pending, budget = self._files.pending(), self._plan.budget
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
                self._bill.add(result.usage, self._plan.models.get(result.request.body["model"]))

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
