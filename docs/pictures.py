"""Draw the pictures of the READMEs, from real runs against the sandbox. `python docs/pictures.py`

The picture of `run` needs the program `llm`: `pip install llm`, or LLM=path/to/llm.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich import box
from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from aitoearn_openai import sandbox

PROGRAM = """\
answer = OpenAI().chat.completions.create(
    model="{model}", messages=[{{"role": "user", "content": "Hello"}}]
)
print(answer.choices[0].message.content)
"""
STREAM = """\
for chunk in OpenAI().chat.completions.create(
    model="{model}", messages=[{{"role": "user", "content": "Hello"}}], stream=True
):
    print(chunk.choices[0].delta.content or "", end="")
"""
FAILURES = [
    ("no credits left", PROGRAM, "fail-12001"),
    ("account disabled,\nstream=True", STREAM, "fail-12003"),
    ("an error within\na stream", STREAM, "fail-stream-error"),
    ("too many requests,\nonce", PROGRAM, "fail-once-10003"),
]
LLM = os.environ.get("LLM", "llm")


def run(arguments: list[str], **settings: str) -> subprocess.CompletedProcess[str]:
    """A program of this Python, with these settings and no others."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AITOEARN_", "OPENAI_"))
    }
    environment = {**kept, **settings, "PYTHONUTF8": "1"}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, check=False, encoding="utf-8"
    )


def outcome(package: str, program: str, site: sandbox.Sandbox) -> Text:
    """What the program shows at its end, with `OpenAI` from this package."""
    done = run(
        ["-c", f"from {package} import OpenAI\n{program}"],
        AITOEARN_SITE="sandbox",
        AITOEARN_BASE_URL=site.base_url,
        OPENAI_BASE_URL=site.base_url,
        OPENAI_API_KEY=site.api_key,
    )
    text = Text(done.stdout.strip())
    if done.returncode:
        error = re.sub(r", request id \w+", "", done.stderr.strip().splitlines()[-1])
        text.append("\n" * bool(text) + error, style="red" if package == "openai" else "green")
    if not text:
        text = Text("(nothing, and exit code 0)", style="red")
    return text


def comparison(site: sandbox.Sandbox) -> Iterator[Syntax | Table]:
    """The same program with both packages, when something fails."""
    yield Syntax(
        PROGRAM.format(model="...").rstrip(), "python", theme="ansi_dark", background_color="default"
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=True, expand=True)
    table.add_column("what happens", ratio=19)
    table.add_column(Text("from openai import OpenAI", "bold red"), ratio=36)
    table.add_column(Text("from aitoearn_openai import OpenAI", "bold green"), ratio=45)
    for failure, program, model in FAILURES:
        program = program.format(model=model)
        table.add_row(failure, outcome("openai", program, site), outcome("aitoearn_openai", program, site))
    yield table


def command(site: sandbox.Sandbox, width: int, *arguments: str) -> Iterator[Text]:
    """What a command prints on a terminal with colours."""
    yield Text(f"$ aitoearn-openai {' '.join(arguments)}", "bold")
    terminal = {"FORCE_COLOR": "1", "COLUMNS": str(width), "TERM": "xterm-256color"}
    settings = {"AITOEARN_SITE": "sandbox", "AITOEARN_BASE_URL": site.base_url}
    done = run(["-m", "aitoearn_openai", *arguments], **settings, **terminal)
    yield Text.from_ansi(done.stdout)


def side_by_side(site: sandbox.Sandbox) -> Iterator[Table]:
    """A program that was made for OpenAI, with `run --direct` and with `run`."""
    table = Table.grid(expand=True, padding=(0, 1))
    panels = []
    with tempfile.TemporaryDirectory() as home:
        model = "- model_id: fail-12001\n  model_name: fail-12001\n"
        Path(home, "extra-openai-models.yaml").write_text(model)  # llm takes only models that it knows.
        settings = {"AITOEARN_SITE": "sandbox", "AITOEARN_BASE_URL": site.base_url, "LLM_USER_PATH": home}
        for options in (["--direct"], []):
            command = ["run", *options, "--", LLM, "-m", "fail-12001", "Hi"]
            done = run(["-m", "aitoearn_openai", *command], **settings)
            if done.returncode == 127:
                sys.exit(done.stderr)
            text = Text(
                f"$ aitoearn-openai {' '.join(['run', *options, '--'])} \\\n    llm -m fail-12001 Hi\n",
                "bold",
            )
            text.append(re.sub(r", request id \w+", "", done.stdout + done.stderr), "not bold")
            text.append("$ echo $?\n").append(str(done.returncode), "not bold")
            panels.append(Panel(text, border_style="dim"))
    table.add_row(*panels)
    yield table


def draw(name: str, title: str, width: int, shown: Iterator[RenderableType]) -> None:
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    for part in shown:
        console.print(part)
    svg = console.export_svg(title=title)
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # The picture loads no font.
    Path(__file__).with_name(f"{name}.svg").write_text(svg, "utf-8")


with sandbox.serve() as site:
    draw("failures", "the same program, run against the sandbox", 100, comparison(site))
    draw("models", "aitoearn-openai, with its sandbox", 106, command(site, 106, "models"))
    draw("run", "aitoearn-openai, with its sandbox", 112, side_by_side(site))
