"""The command line, as tests run it: in this process where that shows the same, or else in one of its own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import openai
import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from typing_extensions import Self

from aitoearn_openai.__main__ import main
from conftest import KEY, Reply  # noqa: F401 - KEY as the other names of a command

STREAMS = "stdin", "stdout", "stderr"
COMMAND = [sys.executable, "-m", "aitoearn_openai"]
SAID = "This is the AiToEarn sandbox; no model read your message. You said: "
"""What every answer of the sandbox begins with."""


def events(*chunks: dict[str, Any]) -> Reply:
    """A streamed answer."""
    said = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    return Reply(f"{said}data: [DONE]\n\n", content_type="text/event-stream")


def delta(finish_reason: str | None = None, native: str | None = None, **parts: str) -> dict[str, Any]:
    """A chunk of it; `native` is the reason for its end in the model's own words."""
    reasons = {"finish_reason": finish_reason, "native_finish_reason": native}
    return {"choices": [{"index": 0, "delta": parts, **reasons}]}


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


class Terminal(io.TextIOWrapper):
    """What the command takes for a terminal."""

    def isatty(self) -> bool:
        return True


def run(
    *arguments: str | bytes,
    stdin: str | bytes = "",
    typed: str | None = None,
    encoding: str = "utf-8",
    streams: Any = None,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, with streams, arguments and an environment of its own; a warning raises.

    What is `typed` are the keys of a person in a conversation; the streams are those of a terminal then. `streams` has
    what stands in the place of some. The command's modules are imported anew: what they make depends on the environment.
    """
    for name in [name for name in sys.modules if f"{name}.".startswith("aitoearn_openai._cli.")]:
        del sys.modules[name]
    given = stdin.encode("utf-8", "surrogateescape") if isinstance(stdin, str) else stdin
    kind = io.TextIOWrapper if typed is None else Terminal
    ours = {
        name: kind(io.BytesIO(given if name == "stdin" else b""), encoding, newline="") for name in STREAMS
    }
    becomes_another = AssertionError("`run` becomes another program: run_process()")
    with (
        patch.object(os, "execvpe", side_effect=becomes_another),
        create_pipe_input() as keys,
        create_app_session(keys, DummyOutput()),
    ):
        keys.send_bytes((typed or "").encode("utf-8", "surrogateescape"))
        environment = {"TTY_COMPATIBLE": "0", **environment}
        code = _call(main, ours | (streams or {}), ["aitoearn-openai", *arguments], environment)
    for stream in ours.values():
        stream.flush()
    shown, said = (ours[name].buffer.getvalue().decode("utf-8", "surrogateescape") for name in STREAMS[1:])
    return subprocess.CompletedProcess(arguments, code, shown, said)


def run_script(script: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in this process, with streams, arguments and an environment of its own."""
    names: dict[str, Any] = {"__name__": "__main__"}
    streams = {name: io.StringIO() for name in STREAMS}
    program = partial(exec, compile(script.read_text("utf-8"), script, "exec"), names)
    try:
        code = _call(program, streams, [str(script), *arguments], environment)
    finally:
        close_clients(names)
    shown, said = (streams[name].getvalue() for name in STREAMS[1:])
    return subprocess.CompletedProcess(arguments, code, shown, said)


def close_clients(names: dict[str, Any]) -> None:
    """What a program leaves to its end."""
    for each in names.values():
        if isinstance(each, openai.OpenAI):
            each.close()


def _call(program: Any, streams: dict[str, Any], argv: Any, environment: dict[str, str]) -> int:
    """Call what would be a program by itself; its exit code, as Python would give it."""
    assert not [name for name in environment if name.startswith(("PYTHON", "LC_"))], "take run_process()"
    with (
        patch.dict(os.environ, environment),
        patch.multiple(sys, argv=list(map(os.fsdecode, argv)), **streams),
    ):
        try:
            program()
        except SystemExit as end:
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
                return 1
            return end.code or 0
    return 0


def run_process(*arguments: str, command: list[str] = COMMAND, **environment: str) -> Any:
    """Run the command in a process of its own, for what is about the process: signals, descriptors, locales."""
    return subprocess.run(
        [*command, *arguments],
        capture_output=True,
        input="",
        errors="surrogateescape",
        encoding="utf-8",
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
    )


class TerminalProcess:
    """The command on a terminal of 80 columns, in a process of its own, and the person who looks at it and types."""

    def __init__(self, *arguments: str, command: list[str] = COMMAND, **environment: str) -> None:
        pty, fcntl, termios = (pytest.importorskip(name) for name in ("pty", "fcntl", "termios"))
        self.shown = ""
        self._seen = 0
        self._person, terminal = pty.openpty()
        self.process = subprocess.Popen(
            [*command, *arguments],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            # Makes Ctrl-C interrupt; it runs nothing that another thread could hold a lock of.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
            env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "PYTHONIOENCODING": "utf-8", **environment},
        )
        os.close(terminal)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._person)

    def wait_for(self, words: str, press: str = "") -> str:
        """What was shown since the last time, up to the words; keys are pressed until they have an effect.

        An interrupt has none where it comes while readline draws: Python then looks for it at the next key.
        """
        for _ in range(20 if press else 1):
            self.type(press)
            while words not in self.shown[self._seen :] and self._read(3 if press else 60):
                pass
            if words in self.shown[self._seen :]:
                start, self._seen = self._seen, self.shown.index(words, self._seen) + len(words)
                return self.shown[start : self._seen]
        pytest.fail(f"no {words!r} in {self.shown[self._seen :]!r}")

    def type(self, keys: str, until: str = "") -> str:
        """Press keys; what is shown then, up to some words."""
        os.write(self._person, keys.encode())
        return self.wait_for(until) if until else ""

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._person], [], [], seconds)
        try:
            some = os.read(self._person, 65536) if ready else b""
        except OSError:  # Linux says so that the other end is closed.
            some = b""
        self.shown += some.decode(errors="replace").replace("\r\n", "\n")
        return bool(some)

    def end(self, press: str = "") -> int:
        """The exit code; all is shown by then. Keys are pressed as `wait_for` does.

        Not soon again: a second interrupt would stop a process, slow on a busy machine, from keeping its coverage.
        """
        while press and self.process.poll() is None:
            self.type(press)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
        while self._read(60):
            pass
        return self.process.wait(60)
