"""What the relay adds to a call and to a chunk: the plain SDK, direct and through it, in turns.

`python benchmarks/relay.py` prints the table; the server and the relay have processes of their own.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import openai

HERE = Path(__file__).parent
MESSAGES = [{"role": "user", "content": "你好"}]
CHUNKS = 200
ROUNDS = 30
LIMITS = {"a call": 1.2, "a chunk": 0.2}
"""The most milliseconds that the relay may add."""

RELAY = """
import sys
from aitoearn_openai import Settings, relay
with relay.serve(settings=Settings(base_url=sys.argv[1], api_key="benchmark-key"), token="benchmark-token") as here:
    print(here.base_url, flush=True)
    sys.stdin.read()
"""


@contextmanager
def serving(*command: str | Path) -> Iterator[str]:
    """The first line that a process prints, which runs until its input ends."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, *command], stdin=pipe, stdout=pipe, text=True) as process:
        yield process.stdout.readline().strip()
        process.stdin.close()


def call(client: openai.OpenAI) -> float:
    """Milliseconds of one answer."""
    began = time.perf_counter()
    client.chat.completions.create(model="bytes-200", messages=MESSAGES)
    return (time.perf_counter() - began) * 1e3


def stream(client: openai.OpenAI) -> float:
    """Milliseconds of each chunk after the first."""
    chunks = iter(client.chat.completions.create(model=f"chunks-{CHUNKS}", messages=MESSAGES, stream=True))
    next(chunks)
    began = time.perf_counter()
    count = sum(1 for _ in chunks)
    return (time.perf_counter() - began) * 1e3 / count


def measure() -> dict[str, dict[str, float]]:
    """The median milliseconds of each, direct and through the relay."""
    seen: dict[str, dict[str, list[float]]] = {name: {"direct": [], "relay": []} for name in LIMITS}
    with serving(HERE / "server.py") as port, serving("-c", RELAY, f"http://127.0.0.1:{port}/api/ai") as url:
        direct = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/api/ai", api_key="benchmark-key")
        through = openai.OpenAI(base_url=url, api_key="benchmark-token")
        for number in range(ROUNDS + 2):
            for way, client in (("direct", direct), ("relay", through))[:: -1 if number % 2 else 1]:
                calls = [call(client) for _ in range(10)]
                each = stream(client)
                if number >= 2:  # The first two warm up.
                    seen["a call"][way] += calls
                    seen["a chunk"][way].append(each)
    return {name: {way: median(values) for way, values in ways.items()} for name, ways in seen.items()}


def table(figures: dict[str, dict[str, float]]) -> str:
    """The figures in Markdown."""
    lines = ["| milliseconds | direct | relay | added | at most |", "| --- | --- | --- | --- | --- |"]
    for name, ways in figures.items():
        added = ways["relay"] - ways["direct"]
        lines.append(
            f"| {name} | {ways['direct']:.2f} | {ways['relay']:.2f} | {added:.2f} | {LIMITS[name]} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(measure()))
