"""`aitoearn-openai batch` beside a bare `asyncio.gather` over the same client: throughput and peak memory.

Each run is a process of its own, measured from after its imports; the kinds take turns. The server is another
process that answers at once, so that what is measured is the client's side. `--quick` asks less.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aitoearn_openai import AsyncOpenAI
from aitoearn_openai._cli import app

CONCURRENCY = 16
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1767225600,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "An answer of some words. " * 20, "tool_calls": []},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 12, "completion_tokens": 120, "total_tokens": 132},
    "cost": "0.055",
}
MODELS = {"code": 0, "message": "ok", "data": [{"name": "m"}]}


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer requests on one connection until the client closes it."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    await reader.readexactly(int(line.partition(b":")[2]))
            content = json.dumps(MODELS if head.startswith(b"GET") else ANSWER).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (len(content), content)
            )
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def serve() -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def gather(source: Path) -> None:
    """What people write: all at once, as many under way as a semaphore lets through, answers in a list."""
    slots = asyncio.Semaphore(CONCURRENCY)
    async with AsyncOpenAI() as client:

        async def ask(body):
            async with slots:
                return await client.chat.completions.create(**body)

        bodies = [json.loads(line)["body"] for line in source.read_text("utf-8").splitlines()]
        assert len(await asyncio.gather(*map(ask, bodies))) == len(bodies)


def one_run(kind: str, source: Path) -> None:
    """Print the seconds of a run, and the most memory that this process ever had, in KiB."""
    started = time.perf_counter()
    if kind == "gather":
        asyncio.run(gather(source))
    else:
        target = source.with_suffix(".out")
        target.unlink(missing_ok=True)
        command = ["batch", str(source), str(target), "--concurrency", str(CONCURRENCY)]
        with suppress(SystemExit):
            app(command, standalone_mode=False)
        with source.open("rb") as asked, target.open("rb") as lines:
            assert sum(b'"status_code": 200' in line for line in lines) == sum(1 for _ in asked)
    seconds = time.perf_counter() - started
    scale = 1024 if sys.platform == "darwin" else 1
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // scale, file=sys.stderr)


def measured(kind: str, source: Path, port: int) -> tuple[float, float]:
    """Seconds and MiB of a run in a process of its own."""
    address = {"AITOEARN_BASE_URL": f"http://127.0.0.1:{port}", "AITOEARN_API_KEY": "none"}
    run = subprocess.run(
        [sys.executable, __file__, "--run", kind, source],
        env={**os.environ, **address},
        capture_output=True,
        check=True,
        encoding="utf-8",
        timeout=600,
    )
    seconds, kib = run.stderr.splitlines()[-1].split()
    return float(seconds), int(kib) / 1024


@contextmanager
def server() -> Iterator[int]:
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def questions(folder: Path, count: int) -> Path:
    source = folder / f"{count}.jsonl"
    with source.open("w", encoding="utf-8") as lines:
        for number in range(count):
            messages = [{"role": "user", "content": f"Question {number}: what is the sum of its digits?"}]
            line = {"custom_id": f"q-{number}", "method": "POST", "url": "/v1/chat/completions"}
            lines.write(json.dumps({**line, "body": {"model": "m", "messages": messages}}) + "\n")
    return source


def compare(few: int, many: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name, server() as port:
        folder = Path(name)
        kinds = {"asyncio.gather": "gather", "batch": "batch"}
        small = {kind: measured(kind, questions(folder, few), port)[1] for kind in kinds.values()}
        runs = {kind: [] for kind in kinds.values()}
        for number in range(rounds):
            order = list(runs) if number % 2 else list(runs)[::-1]
            for kind in order:
                runs[kind].append(measured(kind, questions(folder, many), port))
    print(f"| {many:,} prompts, {CONCURRENCY} at once | prompts/s | peak memory | peak at {few} prompts |")
    print("| --- | ---: | ---: | ---: |")
    speeds = {kind: statistics.median(many / seconds for seconds, _ in each) for kind, each in runs.items()}
    for shown, kind in kinds.items():
        spread = [many / seconds for seconds, _ in runs[kind]]
        memory = statistics.median(mib for _, mib in runs[kind])
        speed = f"{speeds[kind]:,.0f} ({min(spread):,.0f} to {max(spread):,.0f})"
        print(f"| {shown} | {speed} | {memory:.1f} MiB | {small[kind]:.1f} MiB |")
    ratio = speeds["batch"] / speeds["gather"]
    growth = statistics.median(mib for _, mib in runs["batch"]) / small["batch"]
    print(
        f"\nMedians of {rounds} rounds. batch / gather: {ratio:.2f}, {verdict(ratio >= 0.9)} (at least 0.90)."
    )
    print(
        f"Peak memory of batch beside that at {few} prompts: {growth:.2f}, {verdict(growth <= 1.05)} (at most 1.05)."
    )


def verdict(met: bool) -> str:
    return "met" if met else "**missed**"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve())
    elif given.run:
        one_run(given.run[0], Path(given.run[1]))
    else:
        compare(100, *(5_000, 2) if given.quick else (10_000, 5))
