"""Measure this package against the plain SDK, its peers and the limit. `python -m benchmarks [--quick]`

Makes an environment for each peer under `.bench`, runs one server and the contenders in turns, and writes
`RESULTS.md` and `results.svg` beside this file. A figure is the median over all rounds of the ratio to the
plain SDK in the same round; the figures of each round are in `.bench/figures.json`.
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
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any
from urllib.request import ProxyHandler, build_opener

from . import report
from .contenders import CONTENDERS, IMPORTS, environment
from .report import LIMITS, PEERS

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
TIGHT = ["plain", "ours"]
SYNC = [*TIGHT, *PEERS, "httpx2"]
ASYNC = [*CORE, *PEERS, *LIMITS]
ALL = [*SYNC, "aiohttp", "socket"]
FAST = [*CORE, *LIMITS]
ANSWER = "bytes-200"
GROWTH = {
    "models": [10, 100, 1_000, 10_000],
    "chunks": [10, 100, 1_000, 10_000, 100_000],
    "bytes": [1_000, 10_000, 100_000, 1_000_000, 10_000_000],
}
PATIENCE = 30
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
            self.process.wait()
        answer = json.loads(stdout.readline() or '{"error": "it ended, or gave no answer in time"}')
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

    @contextmanager
    def workers(self, names: Iterable[str]) -> Iterator[dict[str, Worker]]:
        with ExitStack() as stack:
            workers = {}
            for name in names:
                workers[name] = Worker(name, self.origin)
                stack.callback(workers[name].close)
            yield workers

    def keep(self, figure: str, seen: dict[str, list[float | None]]) -> None:
        """Take the figures of one round, and their ratios to the plain SDK's."""
        middle = {name: median(values) for name, values in seen.items() if values and None not in values}
        for name, value in middle.items():
            self.values[figure][name].append(value)
            if "plain" in middle and name != "plain":
                self.ratios[figure][name].append(value / middle["plain"])

    def rounds(self) -> Iterator[str]:
        """Rounds of what has a spread, so that what changes on the machine in these minutes is in it.

        The peers take long: they have the first and the last, and 1,000 at once in the first.
        """
        last = 0 if self.quick else 2
        for number in range(last + 1):
            yield f"round {number + 1} of {last + 1}"
            peers = number in (0, last)
            order = -1 if number else 1
            # Processes differ by more than the calls of one do: those with the tightest bounds have many.
            for _ in range(0 if self.quick else 3):
                self.calls(TIGHT)
                self.calls(TIGHT[::-1])
            self.calls((ALL if peers else TIGHT)[::order])
            self.throughput((ASYNC if peers else FAST)[::order], rare=PEERS if number else [])
            if peers:  # Of memory, two rounds differ by little.
                self.memory((CORE if number else ASYNC)[::order])

    def calls(self, names: list[str]) -> None:
        """Import, construction and the first call, in fresh processes; then one call after another, in turns."""
        seen: Any = defaultdict(lambda: defaultdict(list))
        asked = [name for name in names if name in SYNC]
        with self.workers(names) as workers:
            for name, worker in workers.items():
                figures = dict(worker.imported or {})
                if CONTENDERS[name].client:
                    figures |= worker.ask("construct") or {}
                if name in asked:
                    figures["first-call"] = worker.ask("call", model=ANSWER, count=1)
                    worker.ask("call", model=ANSWER, count=50)
                    worker.ask("stream", model="chunks-200", count=2)
                for figure, value in figures.items():
                    seen[figure][name].append(value)
            for _ in range(6):
                for name in asked:
                    seen["call"][name].append(workers[name].ask("call", model=ANSWER, count=30))
                    streamed = workers[name].ask("stream", model="chunks-200", count=2) or {}
                    for figure in ("first-chunk", "per-chunk"):
                        seen[figure][name].append(streamed.get(figure))
        for figure, values in seen.items():
            self.keep(figure, values)

    def throughput(self, names: list[str], rare: list[str]) -> None:
        """With 16 and 100 requests under way, and 1,000 by all but the rare."""
        with self.workers(names) as workers:
            for kind, model in (("plain", ANSWER), ("streamed", "chunks-10")):
                for concurrency in (16, 100, 1000):
                    of = {"model": model, "concurrency": concurrency}
                    seen = {}
                    for name in (name for name in names if concurrency < 1000 or name not in rare):
                        # Those who are done in no time are given more to do.
                        total = (
                            1000 if concurrency == 1000 else 3200 if name in ("aiohttp", "socket") else 320
                        )
                        seen[name] = [workers[name].ask("throughput", **of, total=total)]
                    self.keep(f"{kind}-{concurrency}", seen)

    def memory(self, names: list[str]) -> None:
        """With 1,000 streams open at once, each contender in a process of its own."""
        seen = {}
        for name in names:
            with self.workers([name]) as workers:
                seen[name] = [workers[name].ask("memory", streams=1000)]
        self.keep("memory-1000", seen)

    def growth(self) -> Iterator[str]:
        """How a figure grows with size; steps that would take a contender long are left out."""
        for number in range(1 if self.quick else 2):
            yield f"growth, round {number + 1}"
            with self.workers(SYNC) as workers:
                for worker in workers.values():  # To have its first call behind it.
                    worker.ask("call", model=ANSWER, count=5)
                    worker.ask("stream", model="chunks-10", count=2)
                for kind, sizes in GROWTH.items():
                    asked = TIGHT if kind == "models" else SYNC
                    for size in sizes:
                        if number and kind == "chunks" and size > 1_000:
                            break  # They took half a minute.
                        self.prepare(kind, size)
                        seen: Any = defaultdict(list)
                        for name in asked * (1 if size > 1_000 and kind == "chunks" else 3):
                            seen[name].append(workers[name].ask("grown", kind=kind, size=size))
                        self.keep(f"{kind}-{size}", seen)
                        asked = [name for name in asked if name in TIGHT or (seen[name][0] or 1) < 0.2]

    def prepare(self, kind: str, size: int) -> None:
        """Have the server make the answer, so that the first who asks for it does not wait for that."""
        paths = (
            [f"list-{size}/models", f"list-{size}/models/chat"] if kind == "models" else ["chat/completions"]
        )
        for path in paths:
            body = None if kind == "models" else json.dumps({"model": f"{kind}-{size}"}).encode()
            with build_opener(ProxyHandler({})).open(f"{self.origin}/api/ai/{path}", body) as answer:
                answer.read()


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
    parser.add_argument("--quick", action="store_true", help="one round of each; writes into .bench")
    chosen = parser.parse_args()
    began = time.monotonic()
    load = os.getloadavg()[0]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(install, REQUIREMENTS))
    with serve() as origin:
        bench = Bench(origin, quick=chosen.quick)
        for part in chain(bench.rounds(), bench.growth()):
            print(f"{time.monotonic() - began:5.0f} s: {part}", flush=True)
    print(f"{time.monotonic() - began:5.0f} s: batch", flush=True)
    command = [python("sdk"), HERE / "batch.py", "--quick"]
    batches = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    print(f"{time.monotonic() - began:5.0f} s: relay", flush=True)
    command = [python("sdk"), HERE / "relay.py"]
    behind = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    batches = f"{batches.strip()}\n\n## The relay\n\n{behind}"
    raw = {"values": bench.values, "ratios": bench.ratios}
    (PLACE / "figures.json").write_text(json.dumps(raw), "utf-8")
    facts = {"load before": load, "seconds": time.monotonic() - began, "versions": versions()}
    report.write(PLACE if chosen.quick else HERE, bench.values, bench.ratios, facts, batches)


if __name__ == "__main__":
    main()
