"""Draw the pictures of the README: what commands print, run against the sandbox. `python docs/pictures.py`

The picture of `run` needs the program `llm`: `pip install llm`, or LLM=path/to/llm.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from aitoearn_openai import sandbox

WIDTH = 84
COMMANDS = {"models": ["models"], "chat": ["chat", "--model", "deepseek-v4", "你好！"]}
COMMAND = [sys.executable, "-m", "aitoearn_openai"]
LLM = os.environ.get("LLM", "llm")


def shown(
    arguments: list[str], site: sandbox.Sandbox, width: int = WIDTH, **variables: str
) -> tuple[Text, int]:
    """What a command prints on a terminal with colours, and its exit code."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("AITOEARN_")}
    settings = {"AITOEARN_SITE": "sandbox", "AITOEARN_BASE_URL": site.base_url}
    terminal = {"FORCE_COLOR": "1", "COLUMNS": str(width), "TERM": "xterm-256color", "PYTHONUTF8": "1"}
    environment = kept | settings | terminal | variables
    ran = subprocess.run(
        [*COMMAND, *arguments], env=environment, stdout=-1, stderr=subprocess.STDOUT, check=False
    )
    return Text.from_ansi(ran.stdout.decode()), ran.returncode


def save(name: str, width: int, *parts: RenderableType) -> None:
    """Save these as docs/NAME.svg."""
    console = Console(record=True, width=width, file=io.StringIO(), highlight=False)
    for part in parts:
        console.print(part)
    svg = console.export_svg(title="aitoearn-openai, with its sandbox")
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # The picture loads no font.
    Path(__file__).with_name(f"{name}.svg").write_text(svg, "utf-8")


def draw_run(site: sandbox.Sandbox) -> None:
    """The same program side by side, with `run --direct` and with `run`."""
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(ratio=1)
    table.add_column(ratio=1)
    panels = []
    with tempfile.TemporaryDirectory() as home:
        model = "- model_id: fail-12001\n  model_name: fail-12001\n"
        Path(home, "extra-openai-models.yaml").write_text(model)  # llm takes only models that it knows of.
        for options in (["--direct"], []):
            told, code = shown(
                ["run", *options, "--", LLM, "-m", "fail-12001", "Hi"], site, LLM_USER_PATH=home
            )
            prompt = Text(
                f"$ aitoearn-openai run {'--direct ' if options else ''}-- \\\n    llm -m fail-12001 Hi",
                "bold",
            )
            after = Text("\n$ echo $?\n", "bold") + Text(str(code))
            panels.append(Panel(Text("\n").join([prompt, told]) + after, border_style="dim"))
    table.add_row(*panels)
    save("run", 112, table)


with sandbox.serve() as site:
    for name, arguments in COMMANDS.items():
        text, _ = shown(arguments, site)
        save(name, WIDTH, f"[bold]$ aitoearn-openai {' '.join(arguments)}[/]", text)
    draw_run(site)
