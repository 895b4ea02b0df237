"""Finds the Python that a page of docs/ shows under a heading."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def snippet_of(page: str, heading: str) -> str:
    """The one snippet of that section."""
    section = (DOCS / page).read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    (snippet,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return str(snippet)
