"""How the documents say to install the package: one word here, which `python tests/install_line.py` writes into them."""

from __future__ import annotations

import re
from pathlib import Path

SOURCE = "."
"""What pip is given: `aitoearn-openai` from the first release on."""

ROOT = Path(__file__).parents[1]
LINE = re.compile(r'^pip install ".+\[cli\]".*$', re.MULTILINE)
PAGES = {
    ROOT / "README.md": "in a clone of this repository",
    ROOT / "README.zh-CN.md": "在本仓库的克隆目录中运行",
    ROOT / "docs/first-call.md": "in a clone of the repository",
    ROOT / "docs/zh-CN/first-call.md": "在仓库的克隆目录中运行",
}
"""The pages that say it, with the words for a clone."""


def written(page: Path, source: str = SOURCE) -> str:
    """The text of the page, with the line for this source."""
    where = f"   # {PAGES[page]}" if source == "." else ""
    return LINE.sub(f'pip install "{source}[cli]"{where}', page.read_text("utf-8"))


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(written(page), "utf-8")
