"""What is measured, of whom, with which bounds; and what the rounds of a row say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import exp, log, sqrt
from statistics import fmean, median, stdev
from typing import Any

Values = Mapping[str, list[float]]
"""The figures of a row in each round, by contender."""

PEERS = {"litellm": ["litellm"], "langchain": ["langchain-openai"]}
"""What to install for each."""
NAMES = {
    "plain": "openai (plain SDK)",
    "ours": "aitoearn-openai",
    "ours-aiohttp": "aitoearn-openai with aiohttp",
    "litellm": "litellm",
    "langchain": "langchain-openai",
    "httpx2": "bare httpx2",
}
"""The contenders that are drawn, as they are shown."""

FEWEST = 4
"""Rounds without which an interval says nothing."""
NARROW = 0.02
"""How far from its middle an interval may reach that no further round makes clearer."""


@dataclass(frozen=True)
class Row:
    """A figure of several contenders, and the most (or least) that its ratio to one of them may be."""

    label: str
    group: str
    """Rows of a group are asked of the same processes."""
    measure: Callable[[Any], float]
    bounds: Mapping[str, float]
    names: tuple[str, ...] = ("plain", "ours")
    unit: str = "ms"
    more: bool = False
    """More is better."""
    added: bool = False
    """Not the ratio is bounded, but the difference."""
    turns: int = 3
    most: int = 12
    """The most rounds."""
    drawn: bool = False
    why: str = ""
    """What the figure is made of, said where a bound is not met."""
    baseline: str = field(default="plain")

    def _each(self, values: Values, name: str) -> list[float]:
        pairs = zip(values.get(name, []), values.get(self.baseline, []), strict=False)
        return [mine - theirs if self.added else log(mine / theirs) for mine, theirs in pairs]

    def interval(self, values: Values, name: str) -> tuple[float, float, float] | None:
        """The mean of the rounds, and between what the mean of 19 of 20 such runs is: Student's, of logarithms."""
        each = self._each(values, name)
        if len(each) < 2:
            return None
        free = len(each) - 1
        reach = (1.96 + 2.37 / free + 2.82 / free**2) * stdev(each) / sqrt(len(each))
        numbers = fmean(each), fmean(each) - reach, fmean(each) + reach
        return numbers if self.added else (exp(numbers[0]), exp(numbers[1]), exp(numbers[2]))

    def verdict(self, values: Values, name: str) -> str:
        found = self.interval(values, name)
        if found is None:
            return "not measured"
        _, low, high = found
        if low <= self.bounds[name] <= high:
            return "not told apart"
        return "met" if (low > self.bounds[name]) == self.more else "**missed**"

    def is_settled(self, values: Values) -> bool:
        """Whether another round would add nothing: all verdicts are clear, or will not become so."""
        for name in self.bounds:
            found = self.interval(values, name)
            rounds = len(self._each(values, name))
            if rounds < self.most and (
                found is None or rounds < FEWEST or not self._is_clear(found, name, values)
            ):
                return False
        return True

    def _is_clear(self, found: tuple[float, float, float], name: str, values: Values) -> bool:
        middle, low, high = found
        return self.verdict(values, name) != "not told apart" or high - low < 2 * NARROW * abs(middle)

    def shown(self, values: Values, name: str) -> str:
        found = self.interval(values, name)
        if found is None:
            return "-"
        middle, low, high = found
        unit = f" {self.unit}" if self.added else ""
        return f"{'+ ' * self.added}{middle:.2f} ({low:.2f}-{high:.2f}){unit}, {len(self._each(values, name))} rounds"

    def value(self, values: Values, name: str) -> str:
        return f"{median(values[name]):,.3g}" if values.get(name) else "-"

    def own(self, values: Values) -> str:
        name = "" if self.baseline == "plain" else f"{self.baseline}: "
        return f"{name}{self.value(values, self.baseline)} {self.unit}"

    def note(self, name: str) -> str:
        return ", with aiohttp" if name.endswith("-aiohttp") else ""


def _call(worker: Any) -> float:
    return worker.ask("call", model="bytes-200", count=30) * 1e3


def _chunk(worker: Any) -> float:
    return worker.ask("stream", model="chunks-200", count=3)["per-chunk"] * 1e6


def _stream(worker: Any) -> float:
    return worker.ask("stream", model="chunks-200", count=3)["whole"] * 1e3


def _of_size(kind: str, size: int) -> Callable[[Any], float]:
    return lambda worker: worker.ask("grown", kind=kind, size=size) * 1e3


def _streams(concurrency: int) -> Callable[[Any], float]:
    of = {"model": "chunks-200", "concurrency": concurrency, "total": max(60, concurrency)}
    return lambda worker: worker.ask("throughput", **of)


def _seconds(command: Any) -> float:
    return command() * 1e3


_CALLERS = ("plain", "ours", "litellm", "langchain", "httpx2")
_STREAMERS = ("plain", "ours", "ours-aiohttp", "litellm", "langchain", "httpx2")
_RELAYS = ("plain", "relay", "relay-aiohttp")
_START = "Python, typer and rich; nothing of openai"


def _command(name: str, bound: float, why: str, most: int = 8, **more: Any) -> Row:
    options = {
        "baseline": "import openai",
        "names": ("import openai", name),
        "turns": 1,
        "most": most,
        **more,
    }
    return Row(f"`{name}`", "commands", _seconds, {name: bound}, why=why, **options)


ROWS = [
    Row("one call", "calls", _call, {"ours": 0.92}, why="the SDK's request and its HTTP client"),
    Row(
        "one chunk of a stream",
        "calls",
        _chunk,
        {"ours": 0.18},
        unit="µs",
        why="the HTTP client, and a check",
    ),
    Row("a stream of 200 chunks", "calls", _stream, {"ours": 0.35}, names=_CALLERS, drawn=True),
    *(
        Row(f"an answer of {size / 1e6:g} MB", "calls", _of_size("bytes", size), {"ours": 1.0}, turns=5)
        for size in (100_000, 1_000_000, 10_000_000)
    ),
    *(
        Row(f"a list of {size:,} models", "calls", _of_size("models", size), {"ours": bound}, turns=turns)
        for size, bound, turns in ((100, 1.2, 5), (1_000, 1.5, 3), (10_000, 2, 1))
    ),
    Row("import", "calls", lambda worker: worker.imported["import"] * 1e3, {"ours": 1.05}, turns=1),
    Row("a second client", "calls", lambda worker: worker.ask("construct") * 1e3, {"ours": 0.05}, turns=1),
    *(
        Row(
            f"streams a second, {many} at once",
            "throughput",
            _streams(many),
            {"ours": 4, "ours-aiohttp": bound},
            names=_STREAMERS if many == 100 else _STREAMERS[:3],
            unit="/s",
            more=True,
            turns=2,
            drawn=many == 100,
            why="the HTTP client and its connections",
        )
        for many, bound in ((16, 5), (100, 5.5))
    ),
    Row(
        "peak memory of 1,000 open streams",
        "memory",
        lambda worker: worker.ask("memory", streams=1000),
        {"ours": 1.03},
        unit="MB",
        turns=1,
        most=4,
        why="pydantic-settings, and what checks each stream",
    ),
    Row(
        "a call through the relay",
        "relay",
        _call,
        {"relay": 1.0, "relay-aiohttp": 1.0},
        names=_RELAYS,
        added=True,
        why="two more HTTP clients and servers",
    ),
    Row(
        "streams a second through the relay, 200 at once",
        "relay",
        _streams(200),
        {"relay": 0.6, "relay-aiohttp": 0.6},
        names=_RELAYS,
        unit="/s",
        more=True,
        turns=1,
        why="each chunk is read, judged and sent once more",
    ),
    *(_command(name, 0.28, _START) for name in ("--version", "--help", "models --help", "completion")),
    *(
        _command(name, 1.33, "the SDK's import, then settings and a client")
        for name in ("models", "chat", "check")
    ),
    _command("run: the program's start", 0.9, "the command's start, then the settings"),
    _command("run: its first request", 0.9, "the relay's start, which imports the SDK"),
    _command("batch --dry-run, 100,000 lines", 4.4, "JSON, and a digest of each request", most=4),
    _command(
        "batch, 2,000 prompts",
        1.12,
        "each answer is on disk",
        baseline="gather",
        names=("gather", "batch, 2,000 prompts"),
    ),
]
