"""The relay in a process of its own, for as long as one program and its children live. Not on Windows."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from ._limits import keep_memory_private, raise_file_limit
from ._local import HOST, listen, new_token

if TYPE_CHECKING:
    from ._settings import Settings

# The shell starts it in the background and ends: the program finds no child that it did not start itself.
_COMMAND = ["/bin/sh", "-c", '"$0" "$@" &', sys.executable, "-I", "-c"]
_MAIN = """
import sys
sys.path[:] = sys.argv[6:]
from aitoearn_openai._detached import main
main(*map(int, sys.argv[1:6]))
"""
_BEGUN = b"begun"
_START_SECONDS = 60.0
_LOOK_SECONDS = 0.2
_FIRST_DESCRIPTOR = 64
"""Shell scripts use lower numbers for files of their own."""


class Detached:
    """A relay that starts meanwhile, and ends when this process, the program that it becomes, and their children have ended.

    Its port takes connections from now on. It holds none of this process's files, but standard error until it serves, to
    say there why it cannot; then it ends the program with SIGTERM. The environment is its own. Raises `OSError`.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        # Where a standard stream is closed, a pipe would get its number, and not reach the relay.
        for _ in range(3):
            os.open(os.devnull, os.O_RDWR)
        alive, held = os.pipe()
        fcntl.fcntl(held, fcntl.F_DUPFD, _FIRST_DESCRIPTOR)  # Unlike `held`, the copy is inherited.
        to_read, self._to_write = os.pipe()
        self._told, to_tell = os.pipe()
        with listen(HOST, 0) as listener:
            passed = [listener.fileno(), to_read, alive, os.dup(2)]
            subprocess.run(
                [*_COMMAND, _MAIN, *map(str, (*passed, os.getpid())), *map(os.path.abspath, sys.path)],
                check=True,
                cwd="/",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=to_tell,
                pass_fds=passed,
                start_new_session=True,
            )
            self.base_url = f"http://{HOST}:{listener.getsockname()[1]}/v1"
        for descriptor in (held, to_tell, *passed[1:]):
            os.close(descriptor)

    def give(self, settings: Settings) -> str:
        """Give it its settings, with the key, through a pipe; the token for programs. Raises `OSError`, whose `strerror` says why."""
        token = new_token()
        given = settings.model_dump(mode="json", include={"site", "base_url", "timeout", "http_backend"})
        given["api_key"] = settings.api_key.get_secret_value() if settings.api_key else ""
        with suppress(BrokenPipeError), open(self._to_write, "w") as pipe:
            json.dump({"settings": given, "token": token}, pipe)
        end, told, otherwise = time.monotonic() + _START_SECONDS, b"", "it ended without a word"
        while not told.endswith(_BEGUN):
            if not select.select([self._told], [], [], max(0, end - time.monotonic()))[0]:
                otherwise = f"it has not begun after {_START_SECONDS:g} seconds"
            elif part := os.read(self._told, 4096):
                told += part
                continue
            lines = told.decode(errors="replace").split("\n")
            raise ChildProcessError(errno.ECHILD, next(filter(None, reversed(lines)), otherwise).strip())
        return token


def main(listener: int, to_read: int, alive: int, errors: int, program: int) -> None:
    """Serve until the program has ended and nobody, such as a child of it, holds the other end of the pipe `alive`.

    The pipe `to_read` brings the settings and the token; `errors` is the program's standard error.
    """
    keep_memory_private()
    raise_file_limit()
    has_ended = _watch(program)
    from . import _serving  # A broken installation shows here, before the program begins.

    os.write(2, _BEGUN)
    os.dup2(errors, 2)
    os.close(errors)
    try:
        from ._settings import Settings
        from .relay._app import app

        with open(to_read) as pipe:
            text = pipe.read()
        if not text:  # Whoever started this has ended.
            return
        given = json.loads(text)
        served = app(Settings(**given["settings"]), given["token"])
    except Exception as error:  # noqa: BLE001 - of any kind; the program would wait for ever
        reason = " ".join(str(error).split())
        with suppress(ProcessLookupError):
            os.kill(program, 0)  # Where it has ended, nobody waits to read why.
            print(f"aitoearn-openai: the relay cannot start: {reason}", file=sys.stderr)
            os.kill(program, signal.SIGTERM)
        return
    os.dup2(0, 2)
    with _serving.in_thread(served, socket.socket(fileno=listener), "relay"):
        while os.read(alive, 4096):
            pass  # A program wrote into a file that it does not know.
        while not has_ended():
            time.sleep(_LOOK_SECONDS)


def _watch(process: int) -> Callable[[], object]:
    """What says whether a process has ended."""
    if sys.platform == "linux":
        descriptor = os.pidfd_open(process)
        return lambda: select.select([descriptor], [], [], 0)[0]

    def has_ended() -> bool:  # pragma: no cover - tests run on Linux
        try:
            os.kill(process, 0)
        except OSError as error:  # Another says that it runs as another user.
            return isinstance(error, ProcessLookupError)
        return False

    return has_ended  # pragma: no cover - as above
