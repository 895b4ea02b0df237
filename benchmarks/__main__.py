"""Measure this package against the plain SDK, its peers and the limit. `python -m benchmarks [--quick]`

Makes an environment for each peer under `.bench`, runs one server and the contenders in turns, and writes
`RESULTS.md` and `results.svg` beside this file. A figure is the median over all rounds of the ratio to the
plain SDK in the same round.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from . import report
from .contenders import CONTENDERS, IMPORTS, environment

HERE = Path(__file__).parent
PLACE = HERE.parent / ".bench"
REQUIREMENTS = {
    "sdk": ["--editable", f"{HERE.parent}[aiohttp,cli]"],
    "litellm": ["litellm"],
    "langchain": ["langchain-openai"],
    "langfuse": ["langfuse", "openai"],
    "portkey": ["portkey-ai"],
    "groq": ["groq"],
}
CORE = ["plain", "ours", "plain-aiohttp", "ours-aiohttp"]
LIMITS = ["httpx2", "aiohttp", "socket"]
PEERS = ["litellm", "langchain", "langfuse", "portkey", "groq"]
SYNC = ["plain", "ours", *PEERS, "httpx2"]
ASYNC = [*CORE, *PEERS, *LIMITS]
ANSWER = "bytes-200"
GROWTH = {
    "models": [10, 100, 1_000, 10_000],
    "chunks": [10, 100, 1_000, 10_000, 100_000],
    "bytes": [1_000, 10_000, 100_000, 1_000_000, 10_000_000],
}
PATIENCE = 60
"""Seconds after which a contender that does not answer has failed."""


def python(name: str) -> Path:
    return PLACE / (name if name in REQUIREMENTS else "sdk") / "bin" / "python"


def install(name: str) -> None:
    done = PLACE / name / "installed"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", PLACE / name], check=True)
        pip = [python(name), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, *REQUIREMENTS[name]], check=True)
        done.touch()
    for contender, statement in IMPORTS.items():  # So that no round has to compile.
        if python(contender) == python(name):
            subprocess.run([python(name), "-c", statement], env=environment(contender, ""), check=True)


class Worker:
    """A contender's process, which answers commands."""

    def __init__(self, name: str, origin: str) -> None:
        self.process = subprocess.Popen(
            [python(name), HERE / "worker.py", name, IMPORTS[name]],
            env=environment(name, f"{origin}/api/ai"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )
        self.imported = self._answer()

    def ask(self, command: str, **arguments: Any) -> Any:
        """The answer, or None if the contender failed or took too long."""
        if self.process.poll() is not None:
            return None
        self.process.stdin.write(json.dumps([command, arguments]) + "\n")
        return self._answer()

    def _answer(self) -> Any:
        stdout = self.process.stdout
        if not select.select([stdout], [], [], PATIENCE)[0]:
            self.process.kill()
        answer = json.loads(stdout.readline() or '{"error": "no answer in time"}')
        if isinstance(answer, dict) and "error" in answer:
            print(f"  {self.process.args[2]}: {answer['error'][:200]}", flush=True)
            return None
        return answer

    def close(self) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()


@contextmanager
def serve() -> Iterator[str]:
    command = [python("sdk"), HERE / "server.py"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        server.stdin.close()


class Bench:
    def __init__(self, origin: str, *, quick: bool) -> None:
        self.origin = origin
        self.quick = quick
        self.values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.ratios: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))

    def rounds(self, seconds: float, least: int) -> Iterator[int]:
        """So many rounds as fit into the time."""
        end = time.monotonic() + seconds
        number = 0
        while number < (1 if self.quick else least) or (not self.quick and time.monotonic() < end):
            yield number
            number += 1

    @contextmanager
    def workers(self, names: Iterable[str]) -> Iterator[list[tuple[str, Worker]]]:
        with ExitStack() as stack:
            workers = []
            for name in names:
                workers.append((name, Worker(name, self.origin)))
                stack.callback(workers[-1][1].close)
            yield workers

    def keep(self, figure: str, seen: dict[str, list[float | None]]) -> None:
        """Take the figures of one round, and their ratios to the plain SDK's."""
        middle = {name: median(values) for name, values in seen.items() if values and None not in values}
        for name, value in middle.items():
            self.values[figure][name].append(value)
            if "plain" in middle:
                self.ratios[figure][name].append(value / middle["plain"])

    def start(self) -> None:
        """Import, construction and the first call, in fresh processes."""
        for _ in self.rounds(40, 3):
            seen: Any = defaultdict(lambda: defaultdict(list))
            # Those with the tightest bounds more often.
            for name in ["plain", "ours", *PEERS, *LIMITS, *["ours", "plain"] * 3]:
                with self.workers([name]) as [(_, worker)]:
                    figures = dict(worker.imported or {})
                    if CONTENDERS[name].client:
                        figures |= worker.ask("construct") or {}
                    if name in SYNC:
                        figures["first-call"] = worker.ask("call", model=ANSWER, count=1)
                for figure, value in figures.items():
                    seen[figure][name].append(value)
            for figure, values in seen.items():
                self.keep(figure, values)

    def calls(self) -> None:
        """Calls one after another, the contenders in turns.

        Processes differ by more than the calls of one do, so each set of processes counts as one round.
        """
        for number in self.rounds(60, 3):
            seen: Any = defaultdict(lambda: defaultdict(list))
            with self.workers(SYNC if number < 2 else ["plain", "ours"]) as workers:
                for _, worker in workers:
                    worker.ask("call", model=ANSWER, count=50)
                    worker.ask("stream", model="chunks-200", count=2)
                for _ in range(2 if self.quick else 8):
                    for name, worker in workers:
                        seen["call"][name].append(worker.ask("call", model=ANSWER, count=30))
                        for figure, value in (
                            worker.ask("stream", model="chunks-200", count=3) or {}
                        ).items():
                            seen[figure][name].append(value)
            for figure, values in seen.items():
                self.keep(figure, values)

    def throughput(self) -> None:
        for number in self.rounds(120, 2):
            with self.workers([*CORE, *LIMITS] if number else ASYNC) as workers:
                for kind, model in (("plain", ANSWER), ("streamed", "chunks-10")):
                    for concurrency in (16, 100, 1000):
                        of = {"model": model, "concurrency": concurrency, "total": max(320, concurrency)}
                        seen = {name: [worker.ask("throughput", **of)] for name, worker in workers}
                        self.keep(f"{kind}-{concurrency}", seen)

    def memory(self) -> None:
        """With 1,000 streams open at once, each contender in a process of its own."""
        for number in self.rounds(40, 2):
            seen = {}
            for name in CORE if number else ASYNC:
                with self.workers([name]) as [(_, worker)]:
                    seen[name] = [worker.ask("memory", streams=1000)]
            self.keep("memory-1000", seen)

    def growth(self) -> None:
        """How a figure grows with size; steps that would take a contender long are left out."""
        for number in self.rounds(30, 1):
            names = ["plain", "ours"] if number else SYNC
            with self.workers(names) as workers:
                late = set()
                for kind, sizes in GROWTH.items():
                    for size in sizes:
                        seen = {}
                        for name, worker in workers:
                            if (kind, name) in late or (kind == "models" and name not in ("plain", "ours")):
                                continue
                            count = 1 if size >= 10_000 else 5
                            if kind == "models":
                                took = worker.ask("models", size=size, count=count)
                            elif kind == "bytes":
                                took = worker.ask("call", model=f"bytes-{size}", count=count)
                            else:
                                answer = worker.ask("stream", model=f"chunks-{size}", count=count)
                                took = answer and answer["per-chunk"] * (size - 1)
                            seen[name] = [took]
                            if not took or took * 10 > (10 if name in ("plain", "ours") else 2):
                                late.add((kind, name))
                        self.keep(f"{kind}-{size}", seen)


def versions() -> dict[str, str]:
    ask = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]), sep='\\n')"
    found = {"Python": ".".join(map(str, sys.version_info[:3]))}
    packages = {
        "openai": "sdk",
        "httpx2": "sdk",
        "aiohttp": "sdk",
        "pydantic": "sdk",
        "aitoearn-openai": "sdk",
    }
    packages |= {"litellm": "litellm", "langchain-openai": "langchain", "langfuse": "langfuse"}
    packages |= {"portkey-ai": "portkey", "groq": "groq"}
    for package, place in packages.items():
        done = subprocess.run(
            [python(place), "-c", ask, package], stdout=subprocess.PIPE, text=True, check=True
        )
        found[package] = done.stdout.strip()
    for place in ("litellm", "langchain", "langfuse"):
        done = subprocess.run(
            [python(place), "-c", ask, "openai"], stdout=subprocess.PIPE, text=True, check=True
        )
        if done.stdout.strip() != found["openai"]:
            found[f"openai below {place}"] = done.stdout.strip()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of each, for work on the benchmark")
    parser.add_argument(
        "--only", help="one part: start, calls, throughput, memory or growth; prints, writes nothing"
    )
    chosen = parser.parse_args()
    began = time.monotonic()
    load = os.getloadavg()[0]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(install, REQUIREMENTS))
    with serve() as origin:
        bench = Bench(origin, quick=chosen.quick)
        for part in [chosen.only] if chosen.only else ["start", "calls", "throughput", "memory", "growth"]:
            print(f"{time.monotonic() - began:5.0f} s: {part}", flush=True)
            getattr(bench, part)()
    if chosen.only:
        print(report.figures(bench.values, bench.ratios))
        return
    print(f"{time.monotonic() - began:5.0f} s: batch", flush=True)
    command = [python("sdk"), HERE / "batch.py", "--quick"]
    batches = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    facts = {"load before": load, "seconds": time.monotonic() - began, "versions": versions()}
    report.write(HERE, bench.values, bench.ratios, facts, batches)


if __name__ == "__main__":
    main()
