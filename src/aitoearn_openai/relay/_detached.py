"""The relay in a process of its own, for as long as one program and its children live. Not on Windows."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import IO

import uvicorn

from .._limits import keep_memory_private, raise_file_limit
from .._serving import listen, make_server, until_stopped
from .._settings import Settings
from ._app import app
from ._server import HOST, Relay, new_token

# The shell starts it in the background and ends: the program finds no child that it did not start itself.
_COMMAND = ["/bin/sh", "-c", '"$0" "$@" &', sys.executable, "-I", "-c"]
_MAIN = """
import sys
sys.path[:] = sys.argv[5:]
from aitoearn_openai.relay._detached import main
main(*map(int, sys.argv[1:5]))
"""
_START_SECONDS = 60.0
_READY = "ready"
_FIRST_DESCRIPTOR = 64
"""Shell scripts use lower numbers for files of their own."""


def start(settings: Settings, environment: Mapping[str, str]) -> Relay:
    """Start a relay that ends when this process, the program that it becomes, and their children have ended.

    It holds none of this process's files; the key reaches it through a pipe.

    Args:
        settings: Where AiToEarn is, and the key.
        environment: The relay's environment.

    Raises:
        OSError: it did not start; its `strerror` says why.
    """
    # Where a standard stream is closed, a pipe would get its number, and not reach the relay.
    for _ in range(3):
        os.open(os.devnull, os.O_RDWR)
    token = new_token()
    given = settings.model_dump(mode="json", include={"site", "base_url", "timeout", "http_backend"})
    given["api_key"] = settings.api_key.get_secret_value() if settings.api_key else ""
    alive, held = os.pipe()
    fcntl.fcntl(held, fcntl.F_DUPFD, _FIRST_DESCRIPTOR)  # Unlike `held`, the copy is inherited.
    to_read, to_write = os.pipe()
    told, to_tell = os.pipe()
    with listen(HOST, 0) as listener:
        passed = [listener.fileno(), to_read, alive]
        try:
            passed.append(os.pidfd_open(os.getpid()))
            program = passed[-1]
        except (AttributeError, OSError):  # pragma: no cover - macOS, Linux before 5.3
            program = -os.getpid()
        numbers = map(str, (*passed[:3], program))
        subprocess.run(
            [*_COMMAND, _MAIN, *numbers, *map(os.path.abspath, sys.path)],
            check=True,
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=to_tell,  # Until it is ready: whatever goes wrong is written there.
            pass_fds=passed,
            start_new_session=True,
        )
        for descriptor in (held, to_tell, *passed[1:]):
            os.close(descriptor)
        with suppress(BrokenPipeError), open(to_write, "w") as pipe:
            json.dump({"settings": given, "token": token}, pipe)
        with open(told, "rb", buffering=0) as pipe:
            _wait_until_ready(pipe)
        return Relay(f"http://{HOST}:{listener.getsockname()[1]}/v1", token)


def _wait_until_ready(pipe: IO[bytes]) -> None:
    """Read what the relay writes to its standard error until it closes that."""
    end = time.monotonic() + _START_SECONDS
    told = b""
    while select.select([pipe], [], [], max(0, end - time.monotonic()))[0]:
        part = pipe.read(4096)
        told += part
        if not part:
            break
    lines = told.decode(errors="replace").split("\n")
    if _READY not in lines:
        reason = next(filter(None, reversed(lines)), f"it is not ready after {_START_SECONDS:g} seconds")
        raise ChildProcessError(errno.ECHILD, reason.strip())


def main(listener: int, to_read: int, alive: int, program: int) -> None:
    """Serve until the program has ended and nobody holds the other end of the pipe `alive`.

    Args:
        listener: The listening socket.
        to_read: A pipe with the settings and the token.
        alive: A pipe whose other end the program and its children hold.
        program: A descriptor of the program's process, or its number, negative.
    """
    keep_memory_private()
    with open(to_read) as pipe:
        text = pipe.read()
    if text:  # Otherwise whoever started this has ended.
        raise_file_limit()
        given = json.loads(text)
        server = make_server(app(Settings(**given["settings"]), given["token"]), has_token=True)
        print(_READY, file=sys.stderr, flush=True)
        os.dup2(0, 2)
        asyncio.run(_serve(server, socket.socket(fileno=listener), alive, program))


async def _serve(server: uvicorn.Server, listener: socket.socket, alive: int, program: int) -> None:
    loop = asyncio.get_running_loop()
    watched = {alive}
    if program > 0:
        watched.add(program)
    elif sys.platform == "darwin":  # pragma: no cover - tests run on Linux
        queue = select.kqueue()
        event = select.kevent(-program, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)
        queue.control([event], 0)
        watched.add(queue.fileno())

    def look(descriptor: int) -> None:
        if descriptor == alive and os.read(alive, 4096):
            return  # A program wrote into a file that it does not know.
        loop.remove_reader(descriptor)
        watched.discard(descriptor)
        server.should_exit = not watched

    for descriptor in watched:
        loop.add_reader(descriptor, look, descriptor)
    await until_stopped(server, listener)
