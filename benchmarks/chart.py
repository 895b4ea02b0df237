"""The chart of the README: a stream, and many streams at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median

from .rows import NAMES, Row, Values

_STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 13px }
.quiet { fill: #59636e; font-weight: 400 }
.other { fill: #8c959f }
.ours { fill: #0969da }
.page { fill: #ffffff }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .quiet { fill: #9198a1 } .other { fill: #6e7681 } .ours { fill: #4493f8 }
  .page { fill: #0d1117 }
}"""
_WIDTH, _LABEL, _BAR = 720, 190, 440


def draw(rows: Iterable[Row], values: Mapping[str, Values]) -> str:
    """A panel of bars for each row, the best first."""
    shapes, top = [], 10
    for row in rows:
        shown = {name: median(values[row.label][name]) for name in NAMES if values[row.label].get(name)}
        direction = "more is better" if row.more else "less is better"
        shapes.append(
            f'<text class="title" x="0" y="{top}">{row.label}, {row.unit} <tspan class="quiet">({direction})</tspan></text>'
        )
        longest = max(shown.values(), default=1)
        for name in sorted(shown, key=lambda each: shown[each], reverse=row.more):
            top += 19
            length = _BAR * shown[name] / longest
            kind = "ours" if name.startswith("ours") else "other"
            shapes.append(
                f'<text x="{_LABEL - 7}" y="{top + 4}" text-anchor="end">{NAMES[name]}</text>'
                f'<rect class="{kind}" x="{_LABEL}" y="{top - 7}" width="{length:.1f}" height="13" rx="2"/>'
                f'<text class="quiet" x="{_LABEL + length + 6:.1f}" y="{top + 4}">{shown[name]:,.3g}</text>'
            )
        top += 40
    body = "\n".join(shapes)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="-16 -16 {_WIDTH} {top}" width="{_WIDTH}" height="{top}" role="img">
<title>A stream, and many streams at once, with this package, the plain SDK and other libraries</title>
<style>
{_STYLE}
</style>
<rect class="page" x="-16" y="-16" width="{_WIDTH}" height="{top}" rx="6"/>
{body}
</svg>
"""
