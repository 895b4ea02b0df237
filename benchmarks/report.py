"""What was measured, as a table and as a chart."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Iterable, Mapping
from math import exp, log, pi, sqrt
from pathlib import Path
from statistics import median, variance
from typing import Any

Figures = Mapping[str, Mapping[str, list[float]]]

LABELS = {
    "import": ("import", 1e3, "ms"),
    "construct": ("first client of a process", 1e3, "ms"),
    "construct-later": ("later clients", 1e3, "ms"),
    "first-call": ("first call of a process", 1e3, "ms"),
    "call": ("call", 1e3, "ms"),
    "first-chunk": ("first of 200 chunks", 1e3, "ms"),
    "per-chunk": ("each chunk after it", 1e6, "µs"),
    "plain-16": ("async calls, 16 at once", 1, "/s"),
    "plain-100": ("async calls, 100 at once", 1, "/s"),
    "plain-1000": ("async calls, 1,000 at once", 1, "/s"),
    "streamed-16": ("async streams, 16 at once", 1, "/s"),
    "streamed-100": ("async streams, 100 at once", 1, "/s"),
    "streamed-1000": ("async streams, 1,000 at once", 1, "/s"),
    "import-memory": ("memory after the import", 1, "MB"),
    "memory-1000": ("peak memory with 1,000 streams", 1, "MB"),
}
NAMES = {
    "plain": "plain SDK",
    "ours": "aitoearn-openai",
    "plain-aiohttp": "plain SDK, aiohttp",
    "ours-aiohttp": "aitoearn-openai, aiohttp",
    "litellm": "litellm",
    "langchain": "langchain-openai",
    "langfuse": "langfuse.openai",
    "portkey": "portkey-ai",
    "groq": "groq",
    "httpx2": "bare httpx2",
    "aiohttp": "bare aiohttp",
    "socket": "raw asyncio socket",
}
OURS = ["ours", "ours-aiohttp"]
PEERS = ["litellm", "langchain", "langfuse", "portkey", "groq"]
LIMITS = ["httpx2", "aiohttp", "socket"]
# Figure, contender, bound; of throughput, more is better.
BOUNDS = [
    ("import", "ours", 1.05),
    ("construct", "ours", 1.10),
    ("construct-later", "ours", 0.10),
    *(
        (figure, "ours", 1.02)
        for figure in ("call", "first-chunk", "per-chunk", "import-memory", "memory-1000")
    ),
    *((f"{kind}-16", "ours-aiohttp", 1.5) for kind in ("plain", "streamed")),
    *((f"{kind}-100", "ours-aiohttp", 2.0) for kind in ("plain", "streamed")),
    *((f"{kind}-1000", "ours-aiohttp", 2.5) for kind in ("plain", "streamed")),
]
MORE_IS_BETTER = {figure for figure in LABELS if figure.startswith(("plain-", "streamed-"))}
WHY = {
    "import": "nearly all that it adds is pydantic-settings",
    "call": "it looks at the headers and the answer, so that a failure sent as HTTP 200 raises",
    "first-chunk": "as for a call",
    "per-chunk": "it looks at each line and each chunk, so that a failure inside a stream raises",
    "import-memory": "nearly all that it adds is pydantic-settings",
    "memory-1000": "as after the import, and what watches each stream",
}
"""Why a bound is missed, where it is; the parts were measured one by one."""


def why(figure: str, bound: float, ratios: Figures) -> str:
    if figure in WHY or not ratios[figure].get("plain-aiohttp"):
        return WHY.get(figure, "")
    without_us = median(ratios[figure]["plain-aiohttp"])
    if without_us < bound:
        return f"the plain SDK itself reaches {without_us:.2f} with this backend; of ours, it looks at each answer"
    return "as for a call and each chunk; the plain SDK reaches it with this backend"


AHEAD = """\
Where this is so: groq is an SDK of fewer types, and portkey-ai carries an older copy of OpenAI's, whose calls are
cheaper than those of the SDK that this package is on top of. langchain-openai keeps its HTTP clients for all of its
objects."""


def noise(kin: Iterable[list[float]]) -> tuple[float, int]:
    """How the ratios of each contender scatter: the standard deviation of their logarithms, and its degrees of freedom."""
    logs = [[log(value) for value in values] for values in kin if len(values) > 1]
    freedom = sum(len(values) - 1 for values in logs)
    squares = sum(variance(values) * (len(values) - 1) for values in logs)
    return sqrt(squares / (freedom or 1)), freedom


def reach(rounds: int, scatter: float, freedom: int) -> float:
    """The factor within which the median of another run is expected, 19 times in 20.

    The root of 2 is for two runs that scatter, that of pi / 2 for medians; the series is Student's distribution.
    """
    student = 1.96 + 2.37 / freedom + 2.82 / freedom**2 if freedom else 0
    return exp(student * sqrt(2 * (pi / 2) / rounds) * scatter)


ENOUGH = 3
"""Degrees of freedom below which a scatter says nothing."""


def spread(row: Mapping[str, list[float]], name: str) -> tuple[float, float]:
    """Between what the median of another run is expected.

    Most have too few rounds to tell, so the noise is that of all in the row, those without an SDK apart.
    """
    kin = noise(row[each] for each in row if (each in LIMITS) == (name in LIMITS))
    factor = reach(len(row[name]), *(kin if kin[1] >= ENOUGH else noise(row.values())))
    return median(row[name]) / factor, median(row[name]) * factor


def ratio(row: Mapping[str, list[float]], name: str) -> str:
    if name not in row:
        return "-"
    low, high = spread(row, name)
    digits = 2 if median(row[name]) < 20 else 0
    shown = f"{median(row[name]):.{digits}f}"
    return f"{shown} ({low:.{digits}f}-{high:.{digits}f})" if low < high else shown


def table(rows: list[list[str]]) -> str:
    head, *others = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, f"| --- |{' ---: |' * (len(rows[0]) - 1)}", *others])


def figures(values: Figures, ratios: Figures) -> str:
    """Each figure a row: the plain SDK's own, and each contender's ratio to it."""
    names = [name for name in NAMES if name != "plain" and any(name in values[figure] for figure in values)]
    rows = [["", "plain SDK", *(NAMES[name] for name in names)]]
    for figure, per_name in values.items():
        label, factor, unit = LABELS[figure]
        own = median(per_name["plain"]) * factor if "plain" in per_name else None
        shown = "-" if own is None else f"{own:,.0f} {unit}" if own >= 100 else f"{own:.3g} {unit}"
        rows.append([label, shown, *(ratio(ratios[figure], name) for name in names)])
    return table(rows)


def is_met(figure: str, value: float, bound: float) -> bool:
    return value >= bound if figure in MORE_IS_BETTER else value <= bound


def bounds(ratios: Figures) -> str:
    rows = [["figure", "bound", "measured", "met", "why not"]]
    for figure, name, bound in BOUNDS:
        row = ratios.get(figure, {})
        if name not in row:
            continue
        least = figure in MORE_IS_BETTER
        low, high = spread(row, name)
        met = is_met(figure, median(row[name]), bound)
        near = ", another run may differ" if low <= bound <= high else ""
        rows.append(
            [
                LABELS[figure][0] + (" (aiohttp)" if name == "ours-aiohttp" else ""),
                f"{'at least' if least else 'at most'} {bound:.2f}",
                ratio(row, name),
                ("yes" if met else "no") + near,
                "" if met else why(figure, bound, ratios),
            ]
        )
    return table(rows)


def ahead(ratios: Figures) -> str:
    """Where a peer is faster or smaller than the better of our two backends."""
    lines = []
    for figure, (label, _, _) in LABELS.items():
        row = ratios.get(figure, {})
        least = figure in MORE_IS_BETTER
        mine = [median(row[name]) for name in OURS if name in row]
        for peer in (peer for peer in PEERS if mine and peer in row):
            theirs, best = median(row[peer]), max(mine) if least else min(mine)
            if theirs > best if least else theirs < best:
                low, high = spread(row, peer)
                near = ", another run may differ" if low <= best <= high else ""
                lines.append(f"- {label}: {NAMES[peer]} is ahead, {theirs / best:.2f} of ours{near}.")
    return "\n".join(lines) or "None: ahead of every peer on each figure that both have."


def growth(values: Figures, ratios: Figures, kind: str, unit: str) -> str:
    sizes = [figure for figure in values if figure.startswith(f"{kind}-")]
    names = [name for name in NAMES if any(name in values[figure] for figure in sizes)]
    of_all = noise(ratios[figure][name] for figure in sizes for name in ratios[figure])
    rows = [[unit, *(NAMES[name] for name in names), "another run"]]
    for figure in sizes:
        row = [f"{int(figure.rpartition('-')[2]):,}", f"{median(values[figure]['plain']) * 1e3:,.1f} ms"]
        for name in names[1:]:
            row.append(f"{median(ratios[figure][name]):.2f}" if name in ratios[figure] else "-")
        # Steps that are asked once, or of two contenders, do not tell their noise.
        own = noise(ratios[figure].values())
        off_by = reach(len(values[figure]["plain"]), *(own if own[1] >= ENOUGH else of_all)) - 1
        rows.append([*row, f"±{off_by:.0%}" if off_by else "-"])
    return table(rows)


def machine() -> str:
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), model)
    return f"{os.cpu_count()} cores of {model}, {platform.system()}"


def write(folder: Path, values: Figures, ratios: Figures, facts: dict[str, Any], batches: str) -> None:
    """Write `RESULTS.md` and `results.svg`."""
    main = {figure: values[figure] for figure in LABELS if figure in values}
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    text = f"""\
# Speed, measured

Written by `make bench` on {datetime.date.today()}, in {facts["seconds"] / 60:.1f} minutes, on {machine()}; the load before
it began was {facts["load before"]:.2f}. {versions}.

All contenders ask the same server on loopback for the same, in turns, in processes of their own. The first column
has the plain SDK's own figure, each other one the median ratio to it: of ours in 21 sets of processes, or 3 where there
are many at once, of the peers in two, or one at 1,000 at once and of memory. In brackets is between what another run's is
expected, some 19 times in 20 as far as the rounds of this one tell: their scatter is that of all in the row, the bare
libraries apart. Of calls and streams per second more is better, of everything else less; their connections are made in
that time, too, and at 1,000 at once each serves one request.

Switched off is what would report to others (the tracing of langfuse and langchain); litellm, groq and the bare
libraries are given the connection limits of OpenAI's SDK.

{figures(main, ratios)}

## Bounds

Ours to the plain SDK with its default backend.

{bounds(ratios)}

## Peers that are ahead of us

Of the two backends, our better one.

{ahead(ratios)}

{AHEAD}

## Growth

A whole call, as above; the last column says how far another run's ratios are expected to be. Steps that would have
taken a contender long are left out. The model list of the plain SDK has the same models in OpenAI's format, and checks
nothing; ours checks each model, and of 10,000 makes so many objects that Python's garbage collector takes two thirds of
the time.

{growth(values, ratios, "models", "models in the list")}

{growth(values, ratios, "chunks", "chunks")}

{growth(values, ratios, "bytes", "bytes of answer")}
"""
    if batches:
        text += f"\n## Batches\n\n{batches.strip()}\n"
    (folder / "RESULTS.md").write_text(text, "utf-8")
    (folder / "results.svg").write_text(chart(values, datetime.date.today()), "utf-8")


CHART = ["import", "construct-later", "call", "per-chunk", "plain-100", "plain-1000"]
STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 13px }
.quiet { fill: #59636e }
.bar { fill: #8c959f }
.ours { fill: #0969da }
.limit { fill: #d1d9e0 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .quiet { fill: #9198a1 } .bar { fill: #6e7681 } .ours { fill: #4493f8 }
  .limit { fill: #3d444d }
}"""


def chart(values: Figures, date: datetime.date) -> str:
    """Bars of the plain figures, a panel each; ours stand out, and what has no SDK in it stands back."""
    shapes, top = [], 0
    for left, pair in ((0, CHART[::2]), (450, CHART[1::2])):
        y = 16
        for figure in pair:
            label, factor, unit = LABELS[figure]
            more = figure in MORE_IS_BETTER
            shapes.append(
                f'<text class="title" x="{left}" y="{y}">{label}, {unit} '
                f'<tspan class="quiet">({"more" if more else "less"} is better)</tspan></text>'
            )
            shown = {name: median(values[figure][name]) * factor for name in NAMES if name in values[figure]}
            for name in sorted(shown, key=lambda name: shown[name], reverse=more):
                kind = (
                    "ours"
                    if name.startswith("ours")
                    else "bar"
                    if name in PEERS or "plain" in name
                    else "limit"
                )
                y += 19
                length = 200 * shown[name] / max(shown.values())
                number = f"{shown[name]:,.0f}" if shown[name] >= 100 else f"{shown[name]:.2g}"
                shapes.append(
                    f'<text x="{left + 158}" y="{y + 4}" text-anchor="end">{NAMES[name]}</text>'
                    f'<rect class="{kind}" x="{left + 165}" y="{y - 7}" width="{length:.1f}" height="13" rx="2"/>'
                    f'<text class="quiet" x="{left + 171 + length:.1f}" y="{y + 4}">{number}</text>'
                )
            y += 42
        top = max(top, y)
    shapes.append(f'<text class="quiet" x="0" y="{top}">Medians of {date}; RESULTS.md has the spread.</text>')
    view = f'viewBox="-8 0 876 {top + 10}" width="876" height="{top + 10}"'
    body = "\n".join(shapes)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {view} role="img">\n<style>\n{STYLE}\n</style>\n{body}\n</svg>\n'
