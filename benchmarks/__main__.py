"""Measure this package beside the plain SDK, in ratios. `python -m benchmarks [--minutes N] [--only TEXT]`

Makes environments under `.bench`, and runs all that is compared in turns, in rounds of new processes. A row has as many
rounds as it needs until its interval says whether the bound is met. Writes `RESULTS.md` and `results.svg` beside this file.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import select
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from .chart import draw
from .commands import COMMANDS, questions
from .contenders import IMPORTS, KEY, environment
from .rows import NAMES, PEERS, ROWS, Row

HERE = Path(__file__).parent
PLACE = HERE.parent / ".bench"
REQUIREMENTS = {"ours": ["--editable", f"{HERE.parent}[aiohttp,cli]"], **dict(PEERS)}
TIMEOUT = 120
"""Seconds after which a contender that does not answer has failed."""
PEER_ROUNDS = 1
"""Rounds in which those are asked that have no bound."""


def python(name: str) -> Path:
    return PLACE / (name if name in REQUIREMENTS else "ours") / "bin" / "python"


def install(name: str) -> str:
    """Make an environment; why it cannot be had, if so."""
    done = PLACE / name / "installed"
    pip = [python(name), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    try:
        if not done.exists():
            run(sys.executable, "-m", "venv", PLACE / name)
            run(*pip, *REQUIREMENTS[name])
            done.touch()
    except subprocess.SubprocessError as error:
        return (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
    return ""


def run(*command: str | Path, **options: Any) -> str:
    """The output of a program, which may take five minutes."""
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, **options)
    return done.stdout.strip()


class Worker:
    """A contender's process, which answers commands."""

    def __init__(self, name: str, base_url: str) -> None:
        self.process = subprocess.Popen(
            [python(name), HERE / "worker.py", name, IMPORTS[name]],
            env=environment(name, base_url),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )
        self.imported = self._answer("import")

    def ask(self, command: str, **arguments: Any) -> Any:
        """Raises `RuntimeError` where the contender fails or takes too long."""
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps([command, arguments]) + "\n")
        return self._answer(f"{command} {arguments}")

    def _answer(self, command: str) -> Any:
        stdout = self.process.stdout
        line = stdout.readline() if select.select([stdout], [], [], TIMEOUT)[0] else ""
        answer = json.loads(line) if line else {"error": f"it ended, or gave no answer in {TIMEOUT} seconds"}
        if isinstance(answer, dict) and "error" in answer:
            raise RuntimeError(f"{command}: {answer['error'][:200]}")
        return answer

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def serving(*command: str | Path, **variables: str) -> Iterator[str]:
    """The first line that a process prints, which runs until its input ends."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [python("ours"), *command], stdin=pipe, stdout=pipe, text=True, env={**os.environ, **variables}
    ) as process:
        yield process.stdout.readline().strip()
        process.stdin.close()


RELAY = f"""
import sys
from aitoearn_openai import Settings, relay
settings = Settings(base_url=sys.argv[1], api_key="of-the-service", http_backend=sys.argv[2])
with relay.serve(settings=settings, token="{KEY}") as here:
    print(here.base_url, flush=True)
    sys.stdin.read()
"""


class Bench:
    def __init__(self, origin: str, relays: dict[str, str], only: str, minutes: float) -> None:
        self.origin, self.relays, self.end = origin, relays, time.monotonic() + 60 * minutes
        self.rows = [row for row in ROWS if only in row.label]
        self.values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.failures: dict[str, str] = {}

    def open_rows(self) -> list[Row]:
        return [row for row in self.rows if not row.is_settled(self.values[row.label])]

    def round(self, number: int) -> None:
        """Each row that needs it, asked of all in turns, in new processes, as processes differ by more than calls do."""
        rows = self.open_rows()
        for group in dict.fromkeys(row.group for row in rows):
            of_group = [row for row in rows if row.group == group]
            names = dict.fromkeys(name for row in of_group for name in row.names)
            bounded = {name for row in of_group for name in (row.baseline, *row.bounds)}
            with ExitStack() as stack:
                workers: dict[str, Any] = {}
                for name in names:
                    if number >= PEER_ROUNDS and name not in bounded:
                        continue
                    with self._noting(name):
                        if name in COMMANDS:
                            workers[name] = COMMANDS[name](python("ours"), self.origin, PLACE)
                        else:
                            workers[name] = Worker(name, self.relays.get(name, f"{self.origin}/api/ai"))
                            stack.callback(workers[name].close)
                for row in of_group:
                    if time.monotonic() < self.end:
                        self._measure(
                            row, {name: workers[name] for name in row.names if name in workers}, number
                        )

    def _measure(self, row: Row, workers: dict[str, Any], number: int) -> None:
        """The best of a few turns of each, as what else the machine does only adds to a time."""
        seen: dict[str, list[float]] = defaultdict(list)
        # Who has failed would be compared with another round of the others.
        workers = {
            name: each for name, each in workers.items() if f"{name}, {row.label}" not in self.failures
        }
        for turn in range(row.turns):
            for name in list(workers)[:: -1 if (turn + number) % 2 else 1]:
                with self._noting(f"{name}, {row.label}"):
                    seen[name].append(row.measure(workers[name]))
        for name, values in seen.items():
            if len(values) == row.turns:
                self.values[row.label][name].append(max(values) if row.more else min(values))

    @contextmanager
    def _noting(self, what: str) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, subprocess.SubprocessError) as error:
            self.failures[what] = str(error)


def versions() -> str:
    ask = (
        "import platform; from importlib.metadata import version as v;"
        "print('Python', platform.python_version(), *(f'{n} {v(n)}' for n in ('openai', 'httpx2', 'aiohttp', 'pydantic')), sep=', ')"
    )
    return run(python("ours"), "-c", ask)


def machine() -> str:
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), model)
    return f"{os.cpu_count()} cores of {model}, {platform.system()}"


def report(bench: Bench, seconds: float, load: float) -> str:
    """`RESULTS.md`."""
    lines, verdicts = [], defaultdict(list)
    for row in bench.rows:
        values = bench.values[row.label]
        for name, bound in row.bounds.items():
            shown = row.shown(values, name)
            verdict = row.verdict(values, name)
            verdicts[verdict].append(row.label)
            why = row.why if verdict != "met" else ""
            own = row.own(values)
            lines.append(f"| {row.label}{row.note(name)} | {own} | {shown} | {bound} | {verdict} | {why} |")
    beside = [f"| {' | '.join(['', *NAMES.values()])} |", f"| --- |{' ---: |' * len(NAMES)}"]
    for row in bench.rows:
        if set(PEERS) & set(row.names):
            cells = [row.value(bench.values[row.label], name) for name in NAMES]
            beside.append(f"| {row.label}, {row.unit} | {' | '.join(cells)} |")
    counts = ", ".join(f"{len(rows)} {verdict}" for verdict, rows in verdicts.items())
    failed = "".join(f"- {what}: {why}\n" for what, why in bench.failures.items())
    new = "\n"
    return f"""\
# Speed, measured

Of {sum(map(len, verdicts.values()))} bounds: {counts}.

Written by `make bench` on {datetime.date.today()}, in {seconds / 60:.1f} minutes, on {machine()}; the load before it
began was {load:.2f}. {versions()}.

All send the same requests to the same server on loopback, in turns, in processes of their own. A ratio compares two figures of
one round; the brackets are the interval in which 19 of 20 such runs have their mean. A row has as many rounds as its interval
needs; where it still holds the bound then, the two are "not told apart". Whole commands are compared with
`python -c "import openai"`, which stands for the speed of the machine.

| what | compared with | ratio | bound | verdict | what it is made of |
| --- | ---: | ---: | ---: | --- | --- |
{new.join(lines)}

## Beside others

The tracing of langchain is switched off. "Bare httpx2" is the HTTP library with `json`, and no SDK.

{new.join(beside)}
{f"{new}## What failed{new}{new}{failed}" if failed else ""}"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--minutes", type=float, default=8, help="how long to go on with rounds")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="only rows with this in the label; writes into .bench"
    )
    chosen = parser.parse_args()
    load = os.getloadavg()[0]
    print("installing ...", flush=True)
    problems = {name: why for name in REQUIREMENTS if (why := install(name))}
    if "ours" in problems:
        sys.exit(problems["ours"])
    questions(PLACE)
    began = time.monotonic()
    with ExitStack() as stack:
        origin = f"http://127.0.0.1:{stack.enter_context(serving(HERE / 'server.py'))}"
        relays = {
            name: stack.enter_context(serving("-c", RELAY, f"{origin}/api/ai", backend))
            for name, backend in (("relay", "httpx"), ("relay-aiohttp", "aiohttp"))
        }
        bench = Bench(origin, relays, chosen.only, chosen.minutes)
        bench.failures |= problems
        for number in range(100):
            if not bench.open_rows() or time.monotonic() > bench.end:
                break
            bench.round(number)
            print(f"{time.monotonic() - began:4.0f} s: {len(bench.open_rows())} rows are open", flush=True)
    folder = PLACE if chosen.only else HERE
    text = report(bench, time.monotonic() - began, load)
    (folder / "RESULTS.md").write_text(text, "utf-8")
    (folder / "results.svg").write_text(draw([row for row in bench.rows if row.drawn], bench.values), "utf-8")
    (PLACE / "figures.json").write_text(json.dumps(bench.values), "utf-8")
    print(text.partition("\n## Beside")[0])


if __name__ == "__main__":
    main()
