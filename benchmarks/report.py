"""What was measured, as tables and as a chart."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Iterable, Mapping
from math import exp, log, pi, sqrt
from pathlib import Path
from statistics import median, variance
from typing import Any

NEWLINE = "\n"
Figures = Mapping[str, Mapping[str, list[float]]]

LABELS = {
    "call": ("one call", 1e3, "ms"),
    "first-chunk": ("first chunk of a stream", 1e3, "ms"),
    "per-chunk": ("one chunk of a stream", 1e6, "µs"),
    "stream-20": ("a stream of 20 chunks", 1e3, "ms"),
    "stream-200": ("a stream of 200 chunks", 1e3, "ms"),
    **{f"calls-{many}": (f"async calls, {many:,} at once", 1, "/s") for many in (16, 100, 1000)},
    **{
        f"streams-{chunks}-{many}": (f"async streams of {chunks} chunks, {many:,} at once", 1, "/s")
        for chunks in (20, 200)
        for many in (16, 100, 1000)
    },
    "import": ("import", 1e3, "ms"),
    "construct": ("first client of a process", 1e3, "ms"),
    "construct-later": ("a second client", 1e3, "ms"),
    "first-call": ("first call of a process", 1e3, "ms"),
    "import-memory": ("memory after the import", 1, "MB"),
    "memory-1000": ("peak memory with 1,000 open streams", 1, "MB"),
}
MORE_IS_BETTER = {figure for figure in LABELS if figure.startswith(("calls-", "streams-"))}
FELT = {"call", "first-chunk", "per-chunk", "stream-20", "stream-200", *MORE_IS_BETTER}
"""What a user feels with each request."""
NAMES = {
    "plain": "openai (plain SDK)",
    "ours": "aitoearn-openai",
    "plain-aiohttp": "openai with aiohttp",
    "ours-aiohttp": "aitoearn-openai with aiohttp",
    "litellm": "litellm",
    "langchain": "langchain-openai",
    "langfuse": "langfuse.openai",
    "portkey": "portkey-ai",
    "groq": "groq",
    "httpx2": "bare httpx2",
    "aiohttp": "bare aiohttp",
    "socket": "raw asyncio sockets",
}
OURS = ["ours", "ours-aiohttp"]
PEERS = ["litellm", "langchain", "langfuse", "portkey", "groq"]
LIMITS = ["httpx2", "aiohttp", "socket"]
SAME_BACKEND = "/aiohttp"
"""Ends the name of a ratio to the plain SDK with aiohttp, and not with its default backend."""
# Figure, contender, bound of the ratio; of calls and streams a second, more is better.
BOUNDS = [
    ("per-chunk", "ours", 0.25),
    ("call", "ours", 0.95),
    ("streams-200-16", "ours", 3),
    ("streams-200-100", "ours", 3),
    ("streams-200-1000", "ours", 2),
    ("streams-200-16", "ours-aiohttp", 4),
    ("streams-200-100", "ours-aiohttp", 4),
    ("streams-200-1000", "ours-aiohttp", 3),
    *((f"calls-{many}{SAME_BACKEND}", "ours-aiohttp", 0.95) for many in (16, 100, 1000)),
    ("import", "ours", 1.05),
    ("construct", "ours", 1.10),
    ("construct-later", "ours", 0.05),
    ("import-memory", "ours", 1.03),
    ("memory-1000", "ours", 1.03),
]
WHY = {
    "call": "most of a call is the SDK's request and its HTTP client, which stay as they are; each answer is checked",
    "per-chunk": "the SDK's loop over the lines and its HTTP client stay as they are; each event is checked",
    **dict.fromkeys(
        (f"streams-200-{many}" for many in (16, 100, 1000)),
        "the HTTP client and its connections stay as they are, and are most of what is left",
    ),
    **dict.fromkeys(
        (f"calls-{many}{SAME_BACKEND}" for many in (16, 100, 1000)),
        "each answer is checked, so that a failure sent as HTTP 200 raises",
    ),
    "import": "nearly all that it adds is pydantic-settings",
    "construct": "it reads the settings, too",
    "construct-later": "it reads the settings; the TLS context is shared",
    "import-memory": "nearly all that it adds is pydantic-settings",
    "memory-1000": "as after the import, and what checks each stream",
}
"""Why a bound is missed, where it is."""
PEER_NOTES = {
    "groq": "groq is the SDK of another service, with fewer types.",
    "portkey": "portkey-ai carries an older copy of OpenAI's SDK, whose calls cost less than those of the newest.",
    "langchain": "langchain-openai shares HTTP clients among all of its objects, and makes them before the first call.",
}


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


def sdk_share(figure: str, ratios: Figures) -> str:
    """The share of the plain SDK's time that a bare HTTP client does not take."""
    if figure not in FELT or "httpx2" not in ratios.get(figure, {}):
        return "-"
    bare = median(ratios[figure]["httpx2"])
    return f"{1 - (1 / bare if figure in MORE_IS_BETTER else bare):.0%}"


def figures(values: Figures, ratios: Figures) -> str:
    """Each figure a row: the plain SDK's own, and each contender's ratio to it."""
    names = [
        name
        for name in NAMES
        if name not in ("plain", "socket") and any(name in each for each in values.values())
    ]
    rows = [["", NAMES["plain"], "of it the SDK", *(NAMES[name] for name in names)]]
    for figure, per_name in values.items():
        label, factor, unit = LABELS[figure]
        own = median(per_name["plain"]) * factor if "plain" in per_name else None
        shown = "-" if own is None else f"{own:,.0f} {unit}" if own >= 100 else f"{own:.3g} {unit}"
        cells = (ratio(ratios.get(figure, {}), name) for name in names)
        rows.append([label, shown, sdk_share(figure, ratios), *cells])
    return table(rows)


def is_met(figure: str, value: float, bound: float) -> bool:
    return value >= bound if figure.partition("/")[0] in MORE_IS_BETTER else value <= bound


def named(figure: str, name: str) -> str:
    """A bound's figure in words."""
    shared = figure.endswith(SAME_BACKEND)
    label = LABELS[figure.removesuffix(SAME_BACKEND)][0]
    return label + (
        ", both with aiohttp" if shared else " (ours with aiohttp)" if name == "ours-aiohttp" else ""
    )


def bounds(ratios: Figures) -> str:
    rows = [["ratio to the plain SDK", "bound", "measured", "verdict", "why missed"]]
    for figure, name, bound in BOUNDS:
        more = figure.partition("/")[0] in MORE_IS_BETTER
        row = [named(figure, name), f"{'at least' if more else 'at most'} {bound:.2f}"]
        measured = ratios.get(figure, {})
        if name not in measured:
            rows.append([*row, "-", "not measured", "see what failed"])
            continue
        low, high = spread(measured, name)
        met = is_met(figure, median(measured[name]), bound)
        near = ", another run may differ" if low <= bound <= high else ""
        verdict = f"{'met' if met else MISSED}{near}"
        rows.append([*row, ratio(measured, name), verdict, "" if met else WHY[figure]])
    return table(rows)


MISSED = "**missed**"


def verdict(ratios: Figures, sections: Mapping[str, str]) -> str:
    """How many bounds are met, and which are not."""
    known = [each for each in BOUNDS if each[1] in ratios.get(each[0], {})]
    missed = [
        named(figure, name)
        for figure, name, bound in known
        if not is_met(figure, median(ratios[figure][name]), bound)
    ]
    text = f"{len(known) - len(missed)} of {len(BOUNDS)} bounds are met"
    if missed:
        text += f"; missed: {'; '.join(missed)}"
    if len(known) < len(BOUNDS):
        text += f"; {len(BOUNDS) - len(known)} could not be measured"
    text += f". Bounds of their own have: {', '.join(sections)}"
    if others := [title for title, content in sections.items() if MISSED in content]:
        text += f"; one is missed in: {', '.join(others)}"
    return f"{text}."


def ahead(ratios: Figures) -> str:
    """Where a peer is faster or smaller than the better of our two backends."""
    felt, others, leaders = [], [], set()
    for figure, (label, _, _) in LABELS.items():
        row = ratios.get(figure, {})
        more = figure in MORE_IS_BETTER
        mine = [median(row[name]) for name in OURS if name in row]
        for peer in (peer for peer in PEERS if mine and peer in row):
            theirs, best = median(row[peer]), max(mine) if more else min(mine)
            if theirs > best if more else theirs < best:
                low, high = spread(row, peer)
                near = ", another run may differ" if low <= best <= high else ""
                lines = felt if figure in FELT else others
                lines.append(
                    f"- {label}: {NAMES[peer]} is ahead, with {theirs / best:.2f} of our figure{near}."
                )
                leaders.add(peer)
    notes = " ".join(note for peer, note in PEER_NOTES.items() if peer in leaders)
    return f"""\
Of calls and streams, which a user feels with each request:

{NEWLINE.join(felt) or "None: this package is ahead of every peer on each of them."}

Of the rest:

{NEWLINE.join(others) or "None."}

{notes}"""


def sockets(ratios: Figures) -> str:
    """What bare sockets reach, which have no place in the table and the chart."""
    calls, streams = (ratios.get(figure, {}).get("socket") for figure in ("calls-100", "streams-200-100"))
    if not calls or not streams:
        return ""
    return f"""\
As little as a client can be, raw asyncio sockets with `json`, makes {median(calls):.0f} times as many calls as the plain
SDK, and {median(streams):.0f} times as many streams of 200 chunks, 100 at once."""


def growth(values: Figures, ratios: Figures, kind: str, unit: str) -> str:
    sizes = [figure for figure in values if figure.startswith(f"{kind}-")]
    names = [name for name in NAMES if any(name in values[figure] for figure in sizes)]
    rows = [[unit, *(NAMES[name] for name in names)]]
    for figure in sizes:
        row = [f"{int(figure.rpartition('-')[2]):,}"]
        for name in names:
            if name == "plain":
                row.append(f"{median(values[figure][name]) * 1e3:,.1f} ms")
            else:
                row.append(f"{median(ratios[figure][name]):.2f}" if name in ratios.get(figure, {}) else "-")
        rows.append(row)
    return table(rows)


def machine() -> str:
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), model)
    return f"{os.cpu_count()} cores of {model}, {platform.system()}"


def of_rounds(ratios: Figures) -> str:
    """From how many rounds the figures are."""
    rounds = [["rounds, each in new processes", "this package", "peers"]]
    for label, figure in (
        ("import, clients, one request after another", "call"),
        ("many requests at once", "streams-200-16"),
        ("memory with 1,000 open streams", "memory-1000"),
    ):
        row = ratios.get(figure, {})
        peers = max((len(row.get(peer, [])) for peer in PEERS), default=0)
        rounds.append([label, str(len(row.get("ours", []))), str(peers)])
    return f"""\
{table(rounds)}

The brackets say where 19 of 20 other runs are expected, as far as these rounds tell; for the scatter, the rounds of all in
a row count together, the bare libraries apart. A figure without brackets has one round."""


def write(
    folder: Path,
    values: Figures,
    ratios: Figures,
    facts: Mapping[str, Any],
    failures: Mapping[str, str],
    sections: Mapping[str, str],
) -> None:
    """Write `RESULTS.md` and `results.svg`."""
    main = {figure: values[figure] for figure in LABELS if figure in values}
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    failed = [f"- {what}: {why}" for what, why in failures.items()]
    text = f"""\
# Speed, measured

{verdict(ratios, sections)}

Written by `make bench` on {datetime.date.today()}, in {facts["seconds"] / 60:.1f} minutes, on {machine()};
the load before it began was {facts["load before"]:.2f}. {versions}.

All contenders send the same requests to the same server on loopback, in turns, in processes of their own. The first
column is the plain SDK's own figure with its default backend; each other one is the median ratio to it.

{of_rounds(ratios)}

Of calls and streams a second more is better, of all else less. They include making the connections, and with 1,000 at once
each connection serves one request.

"Of it the SDK" is what bare httpx2 with `json` does not take of the plain SDK's time: the part that can be saved without
another HTTP client. {sockets(ratios)}

The tracing of langfuse and langchain is switched off; litellm, groq and the bare libraries are given the connection
limits of OpenAI's SDK. The async clients of openai, aitoearn-openai, langfuse and groq may wait 600 seconds for a connection,
not the SDK's 5, as some gave up with 1,000 streams on a busy machine. To keep the run short, peers get half as many async
requests with 16 and 100 at once, litellm a tenth, and not all are asked for 1,000 streams at once; "-" is not measured.

{figures(main, ratios)}

## Bounds

The plain SDK has its default backend, except where both are said to have aiohttp.

{bounds(ratios)}

## Where a peer is ahead

Beside the better of our two backends.

{ahead(ratios)}

## Growth with size

The time of a whole call, measured in one set of processes, so that differences of a few tens of per cent say little.
The plain SDK gets the same models in OpenAI's format and checks none of them. This package checks each, and of 10,000
makes so many objects that Python's garbage collector takes two thirds of the time.

{growth(values, ratios, "models", "models in the list")}

{growth(values, ratios, "chunks", "chunks of a stream")}

{growth(values, ratios, "bytes", "bytes of an answer")}
"""
    for title, content in sections.items():
        text += f"\n## {title}\n\n{content.strip()}\n"
    if failed:
        text += f"\n## What failed\n\n{NEWLINE.join(failed)}\n"
    (folder / "RESULTS.md").write_text(text, "utf-8")
    (folder / "results.svg").write_text(chart(values, datetime.date.today()), "utf-8")


LEAD = "stream-200"
PANELS = [
    ("per-chunk", "streams-200-100"),
    ("call", "calls-100"),
    ("construct-later", "import"),
]
KINDS = {
    "ours": "aitoearn-openai",
    "bar": "the plain SDK and other libraries",
    "limit": "an HTTP library alone, no SDK",
}
STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 13px }
.quiet { fill: #59636e; font-weight: 400 }
.bar { fill: #8c959f }
.ours { fill: #0969da }
.limit { fill: #d1d9e0 }
.page { fill: #ffffff }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .quiet { fill: #9198a1 } .bar { fill: #6e7681 } .ours { fill: #4493f8 }
  .limit { fill: #3d444d } .page { fill: #0d1117 }
}"""
LABEL_WIDTH = 178
LONGEST = 2.5
"""How many times the plain SDK's a bar can be before it is cut, so that one does not squeeze all others."""


def panel(values: Figures, figure: str, left: int, top: int, width: int) -> tuple[list[str], int]:
    """The bars of a figure, the best first, and where they end."""
    label, factor, unit = LABELS[figure]
    more = figure in MORE_IS_BETTER
    row = values.get(figure, {})
    drawn = [name for name in NAMES if name in row and name not in ("aiohttp", "socket")]
    shown = {name: median(row[name]) * factor for name in drawn}
    longest = max(shown.values(), default=0)
    if not more and "plain" in shown:
        longest = min(longest, LONGEST * shown["plain"])
    better = f'<tspan class="quiet">({"more" if more else "less"} is better)</tspan>'
    shapes = [f'<text class="title" x="{left}" y="{top}">{label}, {unit} {better}</text>']
    y = top
    for name in sorted(shown, key=lambda name: shown[name], reverse=more):
        y += 19
        kind = "ours" if name in OURS else "limit" if name in LIMITS else "bar"
        length = width * min(1, shown[name] / longest)
        digits = 0 if shown[name] >= 10 else 1 if shown[name] >= 1 else 2
        x = left + LABEL_WIDTH
        shapes.append(
            f'<text x="{x - 7}" y="{y + 4}" text-anchor="end">{NAMES[name]}</text>'
            f'<rect class="{kind}" x="{x}" y="{y - 7}" width="{length:.1f}" height="13" rx="2"/>'
            f'<text class="quiet" x="{x + length + 6:.1f}" y="{y + 4}">{shown[name]:,.{digits}f}</text>'
        )
        if shown[name] > longest:
            shapes.append(f'<rect class="page" x="{x + length - 14:.1f}" y="{y - 8}" width="4" height="15"/>')
    return shapes, y + 42


def chart(values: Figures, date: datetime.date) -> str:
    """A stream side by side, then a panel for each other figure."""
    shapes, x = [], 0
    for kind, label in KINDS.items():
        shapes.append(
            f'<rect class="{kind}" x="{x}" y="6" width="13" height="13" rx="2"/>'
            f'<text x="{x + 19}" y="17">{label}</text>'
        )
        x += 45 + 7 * len(label)
    bars, top = panel(values, LEAD, 0, 52, 600)
    shapes += bars
    for pair in PANELS:
        ends = []
        for left, figure in zip((0, 445), pair, strict=True):
            bars, end = panel(values, figure, left, top, 190)
            shapes += bars
            ends.append(end)
        top = max(ends)
    shapes.append(
        f'<text class="quiet" x="0" y="{top}">Medians of {date}. A bar with a gap is cut short. '
        f"benchmarks/RESULTS.md has the spread, and what is not drawn.</text>"
    )
    size = f'viewBox="-16 -8 920 {top + 24}" width="920" height="{top + 24}"'
    body = NEWLINE.join(shapes)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">
<title>What a stream, a call, a client and the import take with this package, the plain SDK and other libraries</title>
<style>
{STYLE}
</style>
<rect class="page" x="-16" y="-8" width="920" height="{top + 24}" rx="6"/>
{body}
</svg>
"""
