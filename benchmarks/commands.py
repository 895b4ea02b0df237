"""Whole processes: the start of the commands, a dry run, a batch beside a bare `asyncio.gather`."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from .contenders import environment

Command = Callable[[Path, str, Path], Callable[[], float]]
"""Makes, of a Python, the server's origin and a folder, what runs the command once and returns its seconds."""

LINES = 100_000
PROMPTS = 2_000

_GATHER = """
import asyncio, json, sys
from aitoearn_openai import AsyncOpenAI

async def main():
    slots = asyncio.Semaphore(16)
    async with AsyncOpenAI() as client:
        async def ask(body):
            async with slots:
                return await client.chat.completions.create(**body)
        lines = open(sys.argv[1], encoding="utf-8").read().splitlines()
        await asyncio.gather(*(ask(json.loads(line)["body"]) for line in lines))

asyncio.run(main())
"""
_ASK = """
import os, time
started = time.time()
from urllib.request import Request, urlopen
headers = {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
urlopen(Request(os.environ["OPENAI_BASE_URL"] + "/models", headers=headers)).read()
print(started, time.time())
"""


def questions(place: Path) -> None:
    """Write the files that the commands read."""
    for count in (LINES, PROMPTS):
        with (place / f"{count}.jsonl").open("w", encoding="utf-8") as lines:
            for number in range(count):
                messages = [{"role": "user", "content": f"Question {number}: what is the sum of its digits?"}]
                line = {"custom_id": f"q-{number}", "method": "POST", "url": "/v1/chat/completions"}
                lines.write(json.dumps({**line, "body": {"model": "model-1", "messages": messages}}) + "\n")


def _environment(origin: str, **more: str) -> dict[str, str]:
    return {**environment("ours", f"{origin}/list-10"), "PYTHONUTF8": "1", **more}


def _run(command: list[str | Path], variables: dict[str, str]) -> str:
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-300:])
    return done.stdout


def _whole(*arguments: str, **variables: str) -> Command:
    """The seconds of a process from its start to its end."""

    def make(python: Path, origin: str, place: Path) -> Callable[[], float]:
        filled = [each.format(place=place) for each in arguments]

        def run() -> float:
            (place / "out.jsonl").unlink(missing_ok=True)
            began = time.perf_counter()
            _run([python, *filled], _environment(origin, **variables))
            return time.perf_counter() - began

        return run

    return make


def _first_byte(*arguments: str) -> Command:
    """The seconds until a command has sent its first byte."""

    def make(python: Path, origin: str, place: Path) -> Callable[[], float]:
        def run() -> float:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                listener.settimeout(60)
                variables = _environment(f"http://127.0.0.1:{listener.getsockname()[1]}")
                began = time.perf_counter()
                with subprocess.Popen(
                    [python, "-m", "aitoearn_openai", *arguments],
                    env=variables,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                ) as process:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(1)
                        seconds = time.perf_counter() - began
                    process.kill()
            return seconds

        return run

    return make


def _behind_the_relay(*, start: bool) -> Command:
    """The seconds until `run` has started a program, or from there to the answer of its first request."""

    def make(python: Path, origin: str, place: Path) -> Callable[[], float]:
        def run() -> float:
            began = time.time()
            command = [python, "-m", "aitoearn_openai", "run", "--", python, "-c", _ASK]
            started, answered = map(float, _run(command, _environment(origin)).split())
            return started - began if start else answered - started

        return run

    return make


_OURS = ("-m", "aitoearn_openai")
COMMANDS: dict[str, Command] = {
    "import openai": _whole("-c", "import openai"),
    "--version": _whole(*_OURS, "--version"),
    "--help": _whole(*_OURS, "--help"),
    "models --help": _whole(*_OURS, "models", "--help"),
    "completion": _whole(
        *_OURS, _AITOEARN_OPENAI_COMPLETE="complete_bash", COMP_WORDS="aitoearn-openai mo", COMP_CWORD="1"
    ),
    "models": _first_byte("models"),
    "chat": _first_byte("chat", "-m", "model-1", "Hi"),
    "check": _first_byte("check"),
    "run: the program's start": _behind_the_relay(start=True),
    "run: its first request": _behind_the_relay(start=False),
    "batch --dry-run, 100,000 lines": _whole(*_OURS, "batch", f"{{place}}/{LINES}.jsonl", "--dry-run"),
    "batch, 2,000 prompts": _whole(*_OURS, "batch", f"{{place}}/{PROMPTS}.jsonl", "{place}/out.jsonl"),
    "gather": _whole("-c", _GATHER, f"{{place}}/{PROMPTS}.jsonl"),
}
