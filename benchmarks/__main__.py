"""Measure this package against the plain SDK, its peers and bare HTTP libraries. `python -m benchmarks [--quick]`

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
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any
from urllib.request import ProxyHandler, build_opener

from . import report
from .contenders import CONTENDERS, IMPORTS, environment
from .report import LIMITS, NAMES, PEERS, SAME_BACKEND

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
PAIR = ["plain", "ours"]
STREAMING = [*PAIR, "ours-aiohttp"]
SYNC = [*PAIR, *PEERS, "httpx2"]
ASYNC = [*CORE, *PEERS, *LIMITS]
ALL = [*SYNC, "aiohttp", "socket"]
ANSWER = "bytes-200"
THROUGHPUT = {"calls": (ANSWER, 320), "streams-20": ("chunks-20", 320), "streams-200": ("chunks-200", 100)}
"""The model that is asked, and how many requests are sent with 16 and with 100 at once."""
GROWTH = {
    "models": [10, 100, 1_000, 10_000],
    "chunks": [10, 100, 1_000, 10_000],
    "bytes": [1_000, 10_000, 100_000, 1_000_000, 10_000_000],
}
SHARES = {"aiohttp": 10, "socket": 10, **dict.fromkeys(PEERS, 0.5), "litellm": 0.1}
"""How many times as many requests a contender gets with 16 and with 100 at once."""
THOUSAND = {"calls": ASYNC, "streams-20": CORE, "streams-200": STREAMING}
"""Who is asked for 1,000 at once: the streams of all would take minutes."""
SECTIONS = {"Batches": ["batch.py", "--quick"], "The relay": ["relay.py"]}
"""Programs of their own, whose output is a section of the report."""
TIMEOUT = 180
"""Seconds after which a contender that does not answer has failed; the slowest answer takes a sixth of that."""


def python(name: str) -> Path:
    return PLACE / (name if name in REQUIREMENTS else "sdk") / "bin" / "python"


def install(name: str) -> dict[str, str]:
    """Make an environment, and return which contenders cannot be imported there, and why."""
    done = PLACE / name / "installed"
    pip = [python(name), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    failures = {}
    try:
        if not done.exists():
            run(sys.executable, "-m", "venv", PLACE / name)
            run(*pip, *REQUIREMENTS[name])
            done.touch()
    except subprocess.SubprocessError as error:
        return {name: f"could not be installed: {reason(error)}"}
    for contender, statement in IMPORTS.items():
        if python(contender) == python(name):
            try:  # Also compiles the modules, so that no round has to.
                run(python(name), "-c", statement, env=environment(contender, ""))
            except subprocess.SubprocessError as error:
                failures[contender] = f"could not be imported: {reason(error)}"
    return failures


def run(*command: str | Path, **options: Any) -> str:
    """The output of a program, which may take five minutes."""
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, **options)
    return done.stdout.strip()


def reason(error: subprocess.SubprocessError) -> str:
    """The last line of what a program said before it failed."""
    lines = str(error.stderr or "").strip().splitlines() if hasattr(error, "stderr") else []
    return (lines[-1] if lines else str(error))[:200]


class Worker:
    """A contender's process, which answers commands."""

    def __init__(self, name: str, origin: str) -> None:
        self.errors: dict[str, str] = {}
        self.ended = False
        self.process = subprocess.Popen(
            [python(name), HERE / "worker.py", name, IMPORTS[name]],
            env=environment(name, f"{origin}/api/ai"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )
        self.imported = self._answer("import")

    def ask(self, command: str, **arguments: Any) -> Any:
        """The answer, or None if the contender failed or took too long."""
        if self.ended:
            return None
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps([command, arguments]) + "\n")
        return self._answer(" ".join([command, *(f"{name}={value}" for name, value in arguments.items())]))

    def _answer(self, command: str) -> Any:
        stdout = self.process.stdout
        line = stdout.readline() if select.select([stdout], [], [], TIMEOUT)[0] else ""
        if not line:
            self.ended = True
            self.process.kill()
            self.errors[command] = f"ended, or gave no answer in {TIMEOUT} seconds"
            return None
        answer = json.loads(line)
        if isinstance(answer, dict) and "error" in answer:
            self.errors[command] = answer["error"][:200]
            return None
        return answer

    def close(self) -> None:
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()


@contextmanager
def serve() -> Iterator[str]:
    command = [python("sdk"), HERE / "server.py"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        server.stdin.close()


class Bench:
    def __init__(self, origin: str, left_out: set[str], *, quick: bool) -> None:
        self.origin = origin
        self.left_out = left_out
        self.failures: dict[str, str] = {}
        self.quick = quick
        self.values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.ratios: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))

    @contextmanager
    def workers(self, names: Iterable[str]) -> Iterator[dict[str, Worker]]:
        """A process for each that can be asked; who fails is noted, and who ended is not started again."""
        with ExitStack() as stack:
            workers = {}
            for name in names:
                if name not in self.left_out:
                    workers[name] = Worker(name, self.origin)
                    stack.callback(workers[name].close)
            yield workers
        for name, worker in workers.items():
            for command, error in worker.errors.items():
                print(f"  {name}, {command}: {error}", flush=True)
                self.failures[f"{NAMES[name]}, {command}"] = error
            if worker.ended:
                self.left_out.add(name)

    def keep(self, figure: str, seen: dict[str, list[float | None]]) -> None:
        """Take the figures of one round, and their ratios to the plain SDK's."""
        middle = {name: median(values) for name, values in seen.items() if values and None not in values}
        for name, value in middle.items():
            self.values[figure][name].append(value)
            if "plain" in middle and name != "plain":
                self.ratios[figure][name].append(value / middle["plain"])
        if {"plain-aiohttp", "ours-aiohttp"} <= middle.keys():
            ratio = middle["ours-aiohttp"] / middle["plain-aiohttp"]
            self.ratios[f"{figure}{SAME_BACKEND}"]["ours-aiohttp"].append(ratio)

    def rounds(self) -> Iterator[str]:
        """Rounds of what has a spread, so that what changes on the machine in these minutes is in it.

        The peers take long: they have the first and the last, and of throughput the first.
        """
        last = 0 if self.quick else 2
        for number in range(last + 1):
            yield f"round {number + 1} of {last + 1}"
            outer = number in (0, last)
            order = -1 if number else 1
            # Processes differ by more than the calls of one do: those with the tightest bounds have many.
            for _ in range(0 if self.quick else 2):
                self.calls(PAIR)
                self.calls(PAIR[::-1])
            self.calls((ALL if outer else PAIR)[::order])
            most = 1000 if outer else 100
            if number:
                self.throughput(CORE[::order], ["calls"], most)
                self.throughput(STREAMING[::order], ["streams-20", "streams-200"], most)
            else:
                self.throughput(ASYNC, list(THROUGHPUT), most)
            self.throughput(CORE[::-order], ["calls"], 100)
            if outer:  # Of memory, two rounds differ by little.
                self.memory((CORE if number else ASYNC)[::order])

    def calls(self, names: list[str]) -> None:
        """Import, construction and the first call, in fresh processes; then one request after another, in turns."""
        seen: Any = defaultdict(lambda: defaultdict(list))
        with self.workers(names) as workers:
            asked = {name: worker for name, worker in workers.items() if name in SYNC}
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
                for name, worker in asked.items():
                    seen["call"][name].append(worker.ask("call", model=ANSWER, count=30))
                    for chunks, count in ((20, 6), (200, 2)):
                        streamed = worker.ask("stream", model=f"chunks-{chunks}", count=count) or {}
                        seen[f"stream-{chunks}"][name].append(streamed.get("whole"))
                    for figure in ("first-chunk", "per-chunk"):
                        seen[figure][name].append(streamed.get(figure))
        for figure, values in seen.items():
            self.keep(figure, values)

    def throughput(self, names: list[str], kinds: list[str], most: int) -> None:
        """Answers a second with 16, 100 and 1,000 requests at once."""
        with self.workers(names) as workers:
            for kind in kinds:
                model, total = THROUGHPUT[kind]
                for concurrency in (each for each in (16, 100, 1000) if each <= most):
                    seen = {}
                    for name, worker in workers.items():
                        if concurrency == 1000 and name not in THOUSAND[kind]:
                            continue
                        # So that the fast take long enough to be measured, and the slow no longer than they must.
                        count = max(concurrency, int(total * SHARES.get(name, 1)))
                        count = 1000 if concurrency == 1000 else count
                        of = {"model": model, "concurrency": concurrency, "total": count}
                        seen[name] = [worker.ask("throughput", **of)]
                    self.keep(f"{kind}-{concurrency}", seen)

    def memory(self, names: list[str]) -> None:
        """With 1,000 streams open at once, each contender in a process of its own."""
        seen = {}
        for name in names:
            with self.workers([name]) as workers:
                seen[name] = [worker.ask("memory", streams=1000) for worker in workers.values()]
        self.keep("memory-1000", seen)

    def growth(self) -> Iterator[str]:
        """How a figure grows with size; steps that would take a contender long are left out."""
        yield "growth with size"
        with self.workers(SYNC) as workers:
            for worker in workers.values():  # The first call of a process takes longer.
                worker.ask("call", model=ANSWER, count=5)
                worker.ask("stream", model="chunks-10", count=2)
            for kind, sizes in GROWTH.items():
                asked = [name for name in workers if kind != "models" or name in PAIR]
                for size in sizes:
                    self.prepare(kind, size)
                    seen: Any = defaultdict(list)
                    for name in asked * (1 if size > 1_000 and kind == "chunks" else 3):
                        seen[name].append(workers[name].ask("grown", kind=kind, size=size))
                    self.keep(f"{kind}-{size}", seen)
                    asked = [name for name in asked if name in PAIR or (seen[name][0] or 1) < 0.1]

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
    """Of what was measured; the SDK below a peer, where it is another than the plain one."""
    ask = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
    found = {"Python": ".".join(map(str, sys.version_info[:3]))}
    packages = dict.fromkeys(("openai", "httpx2", "aiohttp", "pydantic", "aitoearn-openai"), "sdk")
    packages |= {"litellm": "litellm", "langchain-openai": "langchain", "langfuse": "langfuse"}
    packages |= {"portkey-ai": "portkey", "groq": "groq"}
    for package, place in packages.items():
        with suppress(subprocess.SubprocessError, OSError):
            found[package] = run(python(place), "-c", ask, package)
    for place in ("litellm", "langchain", "langfuse"):
        with suppress(subprocess.SubprocessError, OSError):
            below = run(python(place), "-c", ask, "openai")
            if below != found["openai"]:
                found[f"openai below {place}"] = below
    return found


def section(command: list[str]) -> str:
    try:
        return run(python("sdk"), HERE / command[0], *command[1:])
    except subprocess.SubprocessError as error:
        return f"This part failed: {reason(error)}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of each; writes into .bench")
    chosen = parser.parse_args()
    began = time.monotonic()
    load = os.getloadavg()[0]
    print("    0 s: installing", flush=True)
    with ThreadPoolExecutor(2) as pool:
        failures = {name: why for each in pool.map(install, REQUIREMENTS) for name, why in each.items()}
    for name, why in failures.items():
        print(f"  {name} {why}", flush=True)
    if failures.keys() & {"sdk", *PAIR}:
        sys.exit("Without the plain SDK and this package there is nothing to compare.")
    with serve() as origin:
        bench = Bench(origin, set(failures), quick=chosen.quick)
        try:
            for part in chain(bench.rounds(), bench.growth()):
                print(f"{time.monotonic() - began:5.0f} s: {part}", flush=True)
        except Exception as error:  # noqa: BLE001 - what was measured until then is worth a report
            bench.failures["the run"] = f"ended early: {type(error).__name__}: {error}"
            print(f"  {bench.failures['the run']}", flush=True)
    failures = {NAMES.get(name, name): why for name, why in failures.items()} | bench.failures
    sections = {}
    for title, command in SECTIONS.items():
        print(f"{time.monotonic() - began:5.0f} s: {title.lower()}", flush=True)
        sections[title] = section(command)
    raw = {"values": bench.values, "ratios": bench.ratios, "failures": failures, "sections": sections}
    (PLACE / "figures.json").write_text(json.dumps(raw), "utf-8")
    facts = {"load before": load, "seconds": time.monotonic() - began, "versions": versions()}
    report.write(PLACE if chosen.quick else HERE, bench.values, bench.ratios, facts, failures, sections)
    print(f"{time.monotonic() - began:5.0f} s: {report.verdict(bench.ratios, sections)}", flush=True)


if __name__ == "__main__":
    main()
