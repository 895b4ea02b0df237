"""Draw the pictures of the READMEs, from real runs against the sandbox. `python docs/pictures.py`

The picture of `run` needs the program `llm` on the PATH: `pip install llm`.
"""

from __future__ import annotations

import html
import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
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
    for choice in chunk.choices:
        print(choice.delta.content or "", end="")
"""
FAILURES = [
    ("no credits left", PROGRAM, "fail-12001"),
    ("account disabled,\nstream=True", STREAM, "fail-12003"),
    ("an error within\na stream", STREAM, "fail-stream-error"),
    ("too many requests,\nonce", PROGRAM, "fail-once-10003"),
]
TYPED = r"""export AITOEARN_SITE=sandbox
printf -- '- model_id: %s\n  model_name: %s\n' fail-12001 fail-12001 \
    >> "$(dirname "$(llm logs path)")/extra-openai-models.yaml"
aitoearn-openai run --direct -- llm -m fail-12001 Hi
echo $?
aitoearn-openai run -- llm -m fail-12001 Hi
echo $?
"""
ELEMENT = re.compile(
    r'<text class="(\S+)" x="([\d.]+)" y="([\d.]+)" textLength="[^>]+>(.*?)</text>', re.DOTALL
)
CELL = 12.2  # The width of a character.


def run(command: list[str], **settings: str) -> subprocess.CompletedProcess[str]:
    """A program with these settings and no others; what it says on stderr is in stdout too."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AITOEARN_", "OPENAI_"))
    }
    environment = {**kept, **settings, "PYTHONUTF8": "1"}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    return subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        encoding="utf-8",
    )


def outcome(package: str, program: str, site: sandbox.Sandbox) -> Text:
    """The last sentence that the program shows, with `OpenAI` from this package."""
    done = run(
        [sys.executable, "-c", f"from {package} import OpenAI\n{program}"],
        AITOEARN_SITE="sandbox",
        AITOEARN_BASE_URL=site.base_url,
        OPENAI_BASE_URL=site.base_url,
        OPENAI_API_KEY=site.api_key,
    )
    failed = "red" if package == "openai" else "green"
    if not done.stdout.strip():
        return Text("(nothing, and exit code 0)", style="red")
    last = re.sub(r", request id \w+", "", done.stdout.strip().splitlines()[-1])
    return Text(last.partition(". ")[0], style=failed if done.returncode else "")


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
    done = run(["aitoearn-openai", *arguments], **settings, **terminal)
    yield Text.from_ansi(done.stdout)


def session(site: sandbox.Sandbox) -> Iterator[Text]:
    """What bash shows of the lines that are typed."""
    with tempfile.TemporaryDirectory() as home:
        script = Path(home, "typed.sh")
        script.write_text(TYPED)
        done = run(
            ["bash", "-v", str(script)], AITOEARN_BASE_URL=site.base_url, HOME=home, LLM_USER_PATH=home
        )
    lines = TYPED.splitlines()
    for line in re.sub(r", request id \w+", "", done.stdout).splitlines():
        prompt = "" if line.startswith(" ") else "$ "
        yield Text(prompt + line, "bold") if line in lines else Text(line)


def placed(match: re.Match[str]) -> str:
    """A text word by word, as not every viewer keeps spaces or has letters of this width; a rule is drawn as one."""
    style, x, y, text = match[1], float(match[2]), float(match[3]), html.unescape(match[4])
    parts = []
    for word in re.finditer(r"\u2500+|[^\s\u2500]+", text):
        left = x + CELL * cell_len(text[: word.start()])
        width = CELL * cell_len(word[0])
        if word[0][0] == "\u2500":
            parts.append(
                f'<rect class="{style}" x="{left:.1f}" y="{y - 7:.1f}" width="{width:.1f}" height="1"/>'
            )
        else:
            length = f'x="{left:.1f}" y="{y:.1f}" textLength="{width:.1f}"'
            parts.append(f'<text class="{style}" {length}>{html.escape(word[0])}</text>')
    return "".join(parts)


def draw(name: str, title: str, width: int, shown: Iterator[RenderableType]) -> None:
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    for part in shown:
        console.print(part)
    svg = console.export_svg(title=title)
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # The picture loads no font.
    svg = re.sub(r'<clipPath id="[^"]+-line-.*?</clipPath>\s*', "", svg, flags=re.DOTALL)
    Path(__file__).with_name(f"{name}.svg").write_text(ELEMENT.sub(placed, svg), "utf-8")


with sandbox.serve() as site:
    draw("failures", "the same program, run against the sandbox", 100, comparison(site))
    draw("models", "aitoearn-openai, with its sandbox", 120, command(site, 120, "models"))
    draw("run", "aitoearn-openai, with its sandbox", 80, session(site))
