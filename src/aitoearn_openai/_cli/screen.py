"""What people look at: consoles, tables, numbers. Colours and widths are those of the terminal, if there is one.

All that the commands print goes through here, and so without what could steer the terminal, whoever said it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Any

from rich import box, markup
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table

DIGITS = 15
"""The most digits that a number of tokens or credits can have."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What steers a terminal, or has it show what follows in another order."""


class _Console(Console):
    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The pieces of what is printed; those of rich's own making may steer the terminal, and no text does."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=without_controls(segment.text))


console = _Console(highlight=False, emoji=False)
errors = _Console(highlight=False, emoji=False, stderr=True)


def show(text: str, to: Console = console, **options: Any) -> None:
    """Print text with markup: wrapped at words on a terminal, and elsewhere in whole lines."""
    to.print(text, soft_wrap=not to.is_terminal, **options)


def without_controls(text: str) -> str:
    """The text without what could steer a terminal; line ends and tabs stay."""
    return _CONTROL.sub("", text)


def write(text: str, *, end: str = "\n", to: Any = None) -> None:
    """Print text as it is, not wrapped and at once, but without what could steer a terminal."""
    print(without_controls(text), end=end, file=to or sys.stdout, flush=True)


def one_line(text: str) -> str:
    """The text in one line: what others say cannot look like a line of ours."""
    return " ".join(without_controls(text).split())


def escape(text: str) -> str:
    """The text as the consoles show it: in one line, whatever it says of colours or to the terminal."""
    return markup.escape(one_line(text))


def table(
    columns: Iterable[str], rows: Iterable[Iterable[str]], *, whole: Collection[str] = (), lines: bool = False
) -> Table:
    """A table of texts as they are, which folds what is too long, but for the columns that are to stay whole."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_lines=lines)
    for column in columns:
        made.add_column(escape(column), overflow="fold", no_wrap=column in whole)
    for row in rows:
        made.add_row(*map(escape, row))
    return made


def number(value: Decimal) -> str:
    """A decimal without an exponent, and without zeros that say nothing."""
    return f"{value:.{DIGITS}f}".rstrip("0").rstrip(".")


def count(how_many: int, what: str) -> str:
    """A number and its noun, such as `1 token` or `1,000 tokens`."""
    return f"{how_many:,} {what}" if how_many == 1 else f"{how_many:,} {what}s"


def whole(value: Any) -> int:
    """A number of a server, which may have sent anything in its place."""
    return value if isinstance(value, int) and abs(value) < 10**DIGITS else 0


def credits_text(credits: dict[str | None, Decimal]) -> str:
    """Credits, for each of the account's balances."""
    parts = []
    for scope, amount in (credits or {None: Decimal(0)}).items():
        words = number(amount), scope, "credit" if amount == 1 else "credits"
        parts.append(" ".join(filter(None, words)))
    return " and ".join(parts)


def print_json(value: Any) -> None:
    """JSON for another program: nothing of it depends on the console, nothing is lost where it is not UTF-8."""
    is_utf8 = sys.stdout is not None and sys.stdout.encoding.lower() == "utf-8"
    text = json.dumps(value, ensure_ascii=not is_utf8, indent=2)
    print(_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text))
