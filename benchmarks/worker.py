"""One contender in a process of its own: `worker.py NAME STATEMENT`, then a command a line on standard input.

The first line that it prints is what importing took; each other one answers a command, all in JSON.
"""

import sys
from time import perf_counter

_, name, statement = sys.argv
start = perf_counter()
exec(statement)
import_seconds = perf_counter() - start

# Only now, so that nothing of it was there before the import.
import asyncio
import gc
import json
import resource
from pathlib import Path
from statistics import median

STATUS = Path("/proc/self/status")


def peak() -> float:
    """The peak of this process's memory so far, in MB."""
    if STATUS.exists():
        return int(STATUS.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / 1024**2 if sys.platform == "darwin" else size / 1024


from contenders import CONTENDERS

contender = CONTENDERS[name]()
loop = asyncio.new_event_loop()
kept = {}


def client():
    if "client" not in kept:
        kept["client"] = contender.client() if contender.client else None
    return kept["client"]


def timed(ask, count=1):
    """The median of the seconds that it takes."""
    took = []
    for _ in range(count):
        start = perf_counter()
        ask()
        took.append(perf_counter() - start)
    return median(took)


def construct():
    """Seconds for a client that is not the first of the process."""
    client()
    return timed(contender.client, 15)


def call(model, count):
    mine = client()
    return timed(lambda: contender.call(mine, model), count)


def stream(model, count):
    """Seconds for each chunk after the first, and for the whole stream."""
    each, whole = [], []
    for _ in range(count):
        start = perf_counter()
        chunks = contender.stream(client(), model)
        next(chunks)
        began = perf_counter()
        others = sum(1 for _ in chunks)
        ended = perf_counter()
        assert others >= int(model.rpartition("-")[2]) - 2, others
        each.append((ended - began) / others)
        whole.append(ended - start)
    return {"per-chunk": median(each), "whole": median(whole)}


def grown(kind, size):
    """Seconds of one call of this size: of the short ones, the median of as many as there is time for."""
    mine = client()
    ask = (
        contender.models(mine, size)
        if kind == "models"
        else lambda: len(contender.call(mine, f"bytes-{size}"))
    )
    took, begun = [], perf_counter()
    while not took or perf_counter() - begun < 0.02:
        start = perf_counter()
        got = ask()
        took.append(perf_counter() - start)
        assert got == size, got
    return median(took)


async def all_at_once(model, concurrency, total):
    """Answers a second, with so many requests under way."""
    client = contender.async_client() if contender.async_client else None

    async def ask():
        assert [chunk async for chunk in contender.async_stream(client, model)]

    async def ask_on():
        for _ in requests:
            await ask()

    if not model.startswith("held"):
        await ask()
    gc.collect()
    requests = iter(range(total))
    start = perf_counter()
    await asyncio.gather(*(ask_on() for _ in range(concurrency)))
    took = perf_counter() - start
    await contender.close(client)
    return total / took


def throughput(**of):
    # One loop for all, as libraries that keep their connections for later calls need it.
    return loop.run_until_complete(all_at_once(**of))


def memory(streams):
    """Peak memory with so many streams open at once."""
    throughput(model=f"held-{streams}-3", concurrency=streams, total=streams)
    return peak()


COMMANDS = {each.__name__: each for each in (construct, call, stream, grown, throughput, memory)}
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard) if hard > 0 else 8192, hard))
# Answers have standard output to themselves: libraries print, too.
answers, sys.stdout = sys.stdout, sys.stderr
print(json.dumps({"import": import_seconds}), file=answers, flush=True)
for line in sys.stdin:
    command, arguments = json.loads(line)
    try:
        answer = COMMANDS[command](**arguments)
    except Exception as error:  # noqa: BLE001 - a library's, of any kind
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), file=answers, flush=True)
