"""Draw the pictures of the README: what the command prints, run against the sandbox. `python docs/pictures.py`"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from aitoearn_openai import sandbox

WIDTH = 84
COMMANDS = {"models": ["models"], "chat": ["chat", "--model", "deepseek-v4", "你好！"]}


def draw(name: str, arguments: list[str], site: sandbox.Sandbox) -> None:
    """Run a command as on a terminal with colours, and save what it prints as docs/NAME.svg."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("AITOEARN_")}
    settings = {"AITOEARN_SITE": "sandbox", "AITOEARN_BASE_URL": site.base_url}
    terminal = {"FORCE_COLOR": "1", "COLUMNS": str(WIDTH), "TERM": "xterm-256color", "PYTHONUTF8": "1"}
    run = [sys.executable, "-m", "aitoearn_openai", *arguments]
    environment = kept | settings | terminal
    shown = subprocess.run(run, env=environment, stdout=-1, stderr=subprocess.STDOUT, check=True).stdout
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print(f"[bold]$ aitoearn-openai {' '.join(arguments)}[/]", highlight=False)
    console.print(Text.from_ansi(shown.decode()))
    svg = console.export_svg(title="aitoearn-openai, with its sandbox")
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # The picture loads no font.
    Path(__file__).with_name(f"{name}.svg").write_text(svg, "utf-8")


with sandbox.serve() as site:
    for name, arguments in COMMANDS.items():
        draw(name, arguments, site)
