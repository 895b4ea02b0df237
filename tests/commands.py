"""The command line, as tests run it: in this process where that shows the same, or in one of its own."""

from __future__ import annotations

import contextlib
import io
import os
import select
import subprocess
import sys
import time
from unittest.mock import patch

import pytest
from typing_extensions import Self

from aitoearn_openai import sandbox
from aitoearn_openai.__main__ import main

COMMAND = [sys.executable, "-m", "aitoearn_openai"]
KEY = "sk-0123456789-abcdefghij"


def run(
    *arguments: str | bytes, stdin: str | bytes = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, with streams, arguments and an environment of its own.

    Its modules are imported anew, as what they make at import depends on the environment. A defect shows as the
    exception that it raises, a warning as an error.
    """
    assert not [name for name in environment if name.startswith(("PYTHON", "LC_"))], "take run_process()"
    for name in [name for name in sys.modules if name.startswith("aitoearn_openai._cli")]:
        del sys.modules[name]
    given = stdin.encode("utf-8", "surrogateescape") if isinstance(stdin, str) else stdin
    read, out, errors = (
        io.TextIOWrapper(io.BytesIO(each), "utf-8", newline="") for each in (given, b"", b"")
    )
    argv = ["aitoearn-openai", *map(os.fsdecode, arguments)]
    code: object = 0
    becomes_another = AssertionError("the command becomes another program: take run_process()")
    with (
        patch.object(os, "execvpe", side_effect=becomes_another),
        patch.dict(os.environ, environment),
        patch.multiple(sys, argv=argv, stdin=read, stdout=out, stderr=errors),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
            if not isinstance(code, int):  # As Python ends.
                print(code, file=errors)
                code = 1
    assert isinstance(code, int)
    for stream in (out, errors):
        stream.flush()
    shown, said = (each.buffer.getvalue().decode("utf-8", "surrogateescape") for each in (out, errors))  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(argv, code, shown, said)


def run_process(
    *arguments: str | bytes, stdin: str | bytes = "", command: list[str] = COMMAND, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, for what is about the process: signals, descriptors, locales."""
    return subprocess.run(
        [*command, *arguments],
        capture_output=True,
        input=stdin if isinstance(stdin, str) else stdin.decode("utf-8", "surrogateescape"),
        errors="surrogateescape",
        encoding="utf-8",
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
    )


class Terminal:
    """The command on a terminal of 80 columns, and the person who looks at it and types."""

    def __init__(self, *arguments: str, command: list[str] = COMMAND, **environment: str) -> None:
        fcntl, pty, termios = (pytest.importorskip(name) for name in ("fcntl", "pty", "termios"))
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
        deadline = time.monotonic() + 60
        while words not in self.shown[self._seen :]:
            if press:
                self.type(press)
            while words not in self.shown[self._seen :] and self._read(3 if press else 60):
                pass
            assert time.monotonic() < deadline, f"no {words!r} in {self.shown[self._seen :]!r}"
        start, self._seen = self._seen, self.shown.index(words, self._seen) + len(words)
        return self.shown[start : self._seen]

    def wait_for_signals(self) -> None:
        """Wait until Ctrl-C interrupts: while a line is read, and a moment longer, it is a key like others."""
        termios = pytest.importorskip("termios")
        deadline = time.monotonic() + 60
        while not termios.tcgetattr(self._person)[3] & termios.ISIG:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def type(self, keys: str) -> None:
        os.write(self._person, keys.encode())

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

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._person], [], [], seconds)
        try:
            some = os.read(self._person, 65536) if ready else b""
        except OSError:  # Linux says so that the other end is closed.
            some = b""
        self.shown += some.decode(errors="replace").replace("\r\n", "\n")
        return bool(some)


@pytest.fixture
def sandboxed(site: sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command finds the sandbox by its settings."""
    monkeypatch.setenv("AITOEARN_SITE", "sandbox")
    monkeypatch.setenv("AITOEARN_BASE_URL", site.base_url)
