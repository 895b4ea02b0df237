"""`run`: programs of the plain OpenAI SDK, pointed at AiToEarn. Each test is about processes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from commands import COMMAND, KEY, TerminalProcess, run_process

OPENAI_PROGRAM = """
MODELS = ["glm-5.2"]
import openai
client = openai.OpenAI()
for model in MODELS:
    messages = [{"role": "user", "content": "你好"}]
    print(client.chat.completions.create(model=model, messages=messages).choices[0].message.content)
"""
ASK = """
import os, signal, sys, time, urllib.request
def ask():
    headers = {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
    request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/models", headers=headers)
    print(urllib.request.urlopen(request).status, flush=True)
"""
SHOW = """
import json, os
shown = "OPENAI_", "AITOEARN_", "NO_PROXY"
print(json.dumps({name: value for name, value in os.environ.items() if any(each in name.upper() for each in shown)}))
try: os.wait()
except ChildProcessError: pass
"""
"""Waits for its children, and the relay is not one of them."""
OTHERS = {"OPENAI_ORG_ID": "org", "OPENAI_CUSTOM_HEADERS": "X: y", "OPENAI_API_KEY": "theirs"}
WINDOWS = sys.platform == "win32"


def relays(mark: str) -> set[int]:
    """The processes of relays that have this in their environment."""
    found = set()
    for process in Path("/proc").glob("[1-9]*"):
        try:
            command, environment = ((process / name).read_bytes() for name in ("cmdline", "environ"))
        except OSError:
            continue
        if b"_detached" in command and b"/bin/sh" not in command and mark.encode() in environment:
            found.add(int(process.name))
    return found


def wait_for(condition: Callable[[], object], seconds: float = 30) -> bool:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What tells the relays of the test from others; afterwards all of them are gone."""
    if not hasattr(os, "pidfd_open"):
        pytest.skip("needs /proc and descriptors of processes")
    mark = uuid4().hex
    monkeypatch.setenv("MARK", mark)
    yield mark
    assert wait_for(lambda: not relays(mark)), "a relay goes on"


@pytest.mark.usefixtures("sandboxed", "mark")
def test_an_openai_program_runs_unmodified() -> None:
    """It asks AiToEarn, with AiToEarn's key; it sees the service's failures, where it would see an empty answer."""
    ran = run_process("run", "--", sys.executable, "-c", OPENAI_PROGRAM.replace("]", ", 'fail-12001']", 1))

    assert ran.returncode == 1
    assert "no model read your message. You said: 你好" in ran.stdout
    assert "Error code: 402 - " in ran.stderr
    assert "Insufficient credits (AiToEarn code 12001, request id" in ran.stderr


@pytest.mark.parametrize(
    ("direct", "given", "no_proxy"),
    [
        (True, {"no_proxy": "mine", "NO_PROXY": "mine"}, "mine"),
        (False, {"no_proxy": "a.example", "NO_PROXY": "b.example, localhost"}, "a.example,b.example,localhost,127.0.0.1"),
        (False, {"no_proxy": "*", "NO_PROXY": ""}, "*"),
    ],
)  # fmt: skip
def test_a_program_finds_the_address_in_every_variable_and_nothing_else(
    direct: bool, given: dict[str, str], no_proxy: str
) -> None:
    """Organizations and headers of another service stay at home, and so does what is ours; no proxy is asked for the relay."""
    options = ["--direct"] if direct else []
    options += ["--site", "cn", sys.executable, "-c", SHOW, "--site", "x"]  # The last two are the program's.
    shown = json.loads(run_process("run", *options, AITOEARN_API_KEY=KEY, **OTHERS, **given).stdout)
    assert {shown.pop(name) for name in given} == {no_proxy}
    key, addresses = shown.pop("OPENAI_API_KEY"), set(shown.values())

    assert {"OPENAI_BASE_URL", "OPENAI_API_BASE", "OPENAI_API_BASE_URL", "OPENAI_HOST"} <= shown.keys()
    assert not [name for name in shown if name in OTHERS or "AITOEARN" in name]
    assert len(addresses) == 1
    if direct:
        assert (addresses, key) == ({"https://aitoearn.cn/api/ai"}, KEY)
    else:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", addresses.pop())
        assert re.fullmatch(r"sk-[0-9a-f]{48}", key)


SECRETS = """
import glob, json, os, sys
def read(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode("latin-1")
    except OSError:  # A process that has ended.
        return ""
print(json.dumps({path: read(path) for path in ("/proc/self/environ", "/proc/self/cmdline")}
    | {"relay": [read(f"/proc/{pid}/{name}") for pid in os.listdir("/proc")
        if pid.isdigit() and "openai._deta" "ched" in read(f"/proc/{pid}/cmdline")
        for name in ("environ", "cmdline")]}
    | {"files": [os.path.realpath(path) for path in glob.glob("/proc/self/fd/*")]}))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="needs /proc")
@pytest.mark.parametrize("is_in_file", [False, True])
def test_the_key_is_nowhere_that_a_program_can_look(tmp_path: Path, is_in_file: bool) -> None:
    """Not in a variable of any name, an argument or a file, and not in those of the relay, which starts before a file is read."""
    (tmp_path / "settings").write_text(f"AITOEARN_API_KEY={KEY}\n")
    ours = {"AITOEARN_ENV_FILE": str(tmp_path / "settings")} if is_in_file else {"AITOEARN_API_KEY": KEY}
    command = ["--base-url", "http://127.0.0.1:1", sys.executable, "-c", SECRETS]
    ran = run_process("run", *command, MY_KEY=f"Bearer {KEY}", **ours)
    shown = json.loads(ran.stdout)

    assert len(list(filter(None, shown["relay"]))) >= 2
    assert KEY not in ran.stdout
    assert len([path for path in shown["files"] if path.startswith("/proc/") and "pipe:" in path]) <= 4


START = """
import os, subprocess, sys
from aitoearn_openai._detached import main
program = subprocess.Popen(["sleep", "60"])
to_read, to_write = os.pipe()
os.write(to_write, sys.argv[1].encode())
os.close(to_write)
main(-1, to_read, -1, os.dup(1), program.pid)
print(program.poll() if sys.argv[1] == "" else program.wait(), flush=True)
program.kill()
program.wait()
"""


@pytest.mark.skipif(WINDOWS, reason="there, the relay is in the process of the command")
@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("", ["None"]),
        (
            '{"settings": {"site": "mars"}, "token": "t"}',
            ["aitoearn-openai: the relay cannot start: ", "-15"],
        ),
    ],
)
def test_a_relay_that_cannot_go_on_ends_its_program(given: str, told: list[str]) -> None:
    """With a line; where whoever started it is gone before it got its settings, it ends alone."""
    lines = run_process(command=[sys.executable, "-c", START, given]).stdout.splitlines()

    assert len(lines) == len(told)
    assert all(line.startswith(start) for line, start in zip(lines, told, strict=True))


@pytest.mark.usefixtures("sandboxed")
def test_nothing_is_left_when_a_program_is_killed(mark: str) -> None:
    """Not even by SIGKILL; until then the relay serves also one that closed all files that it did not open."""
    program = f"{ASK}\nos.closerange(3, 1000)\nask()\ntime.sleep(0.5)\nask()\nsignal.pause()"
    command = [*COMMAND, "run", sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout
        try:
            shown = [process.stdout.readline() for _ in range(2)]
            sessions = [os.getsid(relay) for relay in relays(mark)]
        finally:
            process.kill()
    assert shown == ["200\n", "200\n"]
    assert len(sessions) == 1
    assert sessions[0] != os.getsid(0)


@pytest.mark.usefixtures("sandboxed", "mark")
def test_a_relay_serves_the_children_that_a_program_leaves_behind(tmp_path: Path) -> None:
    """As a shell's background jobs are; meanwhile it holds no output open, which `$(...)` would wait for."""
    go, out = tmp_path / "go", tmp_path / "out"
    waiting = f"while not os.path.exists({str(go)!r}): time.sleep(0.05)\nask()"
    (tmp_path / "program.py").write_text(ASK + waiting)
    script = f"{sys.executable} {tmp_path}/program.py >{out} 2>&1 & echo hi >/proc/self/fd/64"

    try:
        assert run_process("run", "--", "sh", "-c", script).returncode == 0
        time.sleep(0.5)  # A relay that wrongly ends needs a moment for it.
    finally:
        go.touch()
    assert wait_for(lambda: out.read_text() == "200\n")


@pytest.mark.usefixtures("sandboxed", "mark")
def test_a_reader_that_has_seen_enough_ends_the_program() -> None:
    """`yes | head` ends, and without a complaint; the relay keeps no output open."""
    script = f"{shlex.join([*COMMAND, 'run', '--', 'yes'])} | head -1; echo ${{PIPESTATUS[0]}}"
    ran = run_process(command=["bash", "-c", script])

    assert (ran.stdout, ran.stderr) == (f"y\n{128 + signal.SIGPIPE}\n", "")


@pytest.mark.usefixtures("sandboxed", "mark")
def test_ctrl_c_is_the_programs() -> None:
    """It may catch it and ask on; without that it dies by the signal."""
    program = f"""{ASK}
def first(*_):
    signal.signal(2, signal.SIG_DFL)
    ask()
signal.signal(2, first)
print("ready", flush=True)
while True: signal.pause()
"""
    with TerminalProcess("run", "--", sys.executable, "-c", program) as terminal:
        terminal.wait_for("ready")
        terminal.type("\x03")
        terminal.wait_for("200")
        terminal.type("\x03")
        assert terminal.end() == -signal.SIGINT


@pytest.mark.usefixtures("sandboxed", "mark")
def test_a_program_is_stopped_and_goes_on_as_in_any_shell() -> None:
    """Ctrl-Z and `fg`; it has the terminal to itself."""
    program = f"""{ASK}
signal.signal(signal.SIGCONT, lambda *_: print("on again", flush=True))
print("mine" if os.tcgetpgrp(0) == os.getpgrp() else "not mine", os.isatty(1), flush=True)
sys.stdin.readline()
ask()
"""
    start = [*COMMAND, "run", "--", sys.executable, "-c", program]
    with TerminalProcess(command=["bash", "--norc", "-i"], PS1="", HISTFILE="") as terminal:
        terminal.type(f"{shlex.join(start)}\n")
        terminal.wait_for("mine True")
        terminal.type("\x1a")
        terminal.wait_for("Stopped")
        terminal.type("fg\n")
        terminal.wait_for("\non again\n")
        terminal.type("\n")
        terminal.wait_for("\n200\n")
        terminal.type("exit\n")
        terminal.end()


@pytest.mark.skipif(WINDOWS, reason="there are no such signals")
@pytest.mark.usefixtures("sandboxed")
def test_a_program_gets_signals_and_gives_its_exit_code() -> None:
    """As if it had been started without `run`."""
    program = ["sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done"]
    command = [*COMMAND, "run", "--", *program]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 7


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["no-such-program"], 127, "cannot run 'no-such-program': No such file or directory; is it installed?"),
        (["--direct", "--", "{}/notes"], 126, "cannot run '{}/notes': Permission denied"),
        (["--direct", "--", "{}/binary"], 126, "cannot run '{}/binary': Exec format error"),
        (["--direct", "--", ""], 126, "cannot run '': "),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("sandboxed", "mark")
def test_a_program_that_cannot_run_is_told_with_the_shells_codes(
    tmp_path: Path, arguments: list[str], code: int, told: str
) -> None:
    """127 for one that is not there, 126 for one that may not run."""
    (tmp_path / "notes").write_text("words")
    (tmp_path / "binary").write_bytes(b"\x7fELF\0\0\necho wrong\n")
    (tmp_path / "binary").chmod(0o755)
    failed = run_process("run", *(each.format(tmp_path) for each in arguments), no_proxy="*")

    assert (failed.returncode, failed.stdout) == (code, "")
    assert failed.stderr.startswith(f"aitoearn-openai: {told.format(tmp_path)}")
    assert failed.stderr.count("\n") == 1


MANY_STREAMS = """
import asyncio, openai

async def main():
    async def ask(client):
        messages = [{"role": "user", "content": "Hi"}]
        stream = await client.chat.completions.create(model="slow-first-byte", messages=messages, stream=True)
        return len([chunk async for chunk in stream])

    async with openai.AsyncOpenAI(max_retries=0) as client:
        print(len(await asyncio.gather(*(ask(client) for _ in range(70)))))

asyncio.run(main())
"""


@pytest.mark.skipif(WINDOWS, reason="needs a limit on open files")
@pytest.mark.usefixtures("sandboxed")
def test_a_low_limit_on_open_files_does_not_hold_for_the_relay() -> None:
    """It has two for each stream; the program keeps the limit that it was given."""
    command = ["sh", "-c", 'ulimit -S -n 128; exec "$@"', "sh", *COMMAND]
    done = run_process("run", "--", sys.executable, "-c", MANY_STREAMS, command=command)

    assert (done.stdout, done.stderr) == ("70\n", "")


@pytest.mark.skipif(WINDOWS, reason="needs a limit on open files")
def test_a_relay_that_cannot_start_is_told() -> None:
    """And not as a fault of the program."""
    command = ["sh", "-c", 'ulimit -n 60; exec "$@"', "sh", *COMMAND]
    ran = run_process("run", "--", "true", command=command, AITOEARN_API_KEY=KEY)

    assert (ran.returncode, ran.stderr.count("\n")) == (126, 1)
    assert "the relay cannot start: " in ran.stderr


@pytest.mark.skipif(WINDOWS, reason="needs a shell that can close streams")
@pytest.mark.usefixtures("sandboxed")
def test_a_program_without_standard_streams_has_a_relay(tmp_path: Path) -> None:
    """As what a service manager starts."""
    seen = tmp_path / "seen"
    program = f"{ASK}\nsys.stdout = open({str(seen)!r}, 'w')\nask()"
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *COMMAND]
    ran = run_process("run", "--", sys.executable, "-c", program, command=command)

    assert (ran.returncode, seen.read_text()) == (0, "200\n")


@pytest.mark.skipif(WINDOWS, reason="needs POSIX signals")
@pytest.mark.parametrize("ignored", [True, False])
def test_ctrl_c_shows_nothing_while_the_command_starts(tmp_path: Path, ignored: bool) -> None:
    """Whatever is being imported; where the caller ignores Ctrl-C, so does the command."""
    slow = tmp_path / "typer.py"
    slow.write_text("import sys, time\nprint('importing', flush=True)\nsys.stdin.read()\nsys.exit(7)\n")
    ignoring = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh"] if ignored else []
    with subprocess.Popen(
        [*ignoring, *COMMAND, "models"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"importing\n"
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(b"", timeout=30)
    assert (process.returncode, told) == (7 if ignored else -signal.SIGINT, b"")


ELSEWHERE = """
import sys
{change}
sys.argv = ["aitoearn-openai", "run", "--", *sys.argv[1:]]
from aitoearn_openai.__main__ import main
main()
"""


def run_elsewhere(change: str, *program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`run` where something about Python is another."""
    return run_process(
        *program, command=[sys.executable, "-c", ELSEWHERE.format(change=change)], **environment
    )


@pytest.mark.parametrize(
    ("python", "reason"),
    [
        ("echo Traceback >&2; echo 'ImportError: no relay here' >&2; exit 1", "ImportError: no relay here"),
        ("exit 0", "it ended without a word"),
        ("exec sleep 2", "it has not begun after 0.1 seconds"),
    ],
)
def test_a_relay_whose_python_fails_is_told_before_the_program_starts(
    tmp_path: Path, python: str, reason: str
) -> None:
    """In one line with what it said last, instead of a program that finds no server; it is not waited for without end."""
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\n{python}\n")
    script.chmod(0o755)
    change = f"sys.executable = {str(script)!r}\nfrom aitoearn_openai import _detached\n"
    change += f"_detached._START_SECONDS = {0.1 if 'sleep' in python else 60}"
    ran = run_elsewhere(change, "echo", "started", AITOEARN_API_KEY=KEY)

    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (126, "", 1)
    assert "the relay cannot start: " in ran.stderr
    assert reason in ran.stderr


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize(
    ("program", "code"),
    [(OPENAI_PROGRAM, 0), ("import os; os.kill(os.getpid(), 9)", 137)],
)
def test_in_a_bundle_the_relay_is_in_the_process_that_runs_the_program(program: str, code: int) -> None:
    """As a bundle has no Python that could be started as a relay."""
    ran = run_elsewhere("sys.frozen = True", sys.executable, "-c", program)

    assert (ran.returncode, ran.stderr) == (code, "")
    assert ("You said: 你好" in ran.stdout) == (code == 0)


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_a_bundle_a_program_gets_the_signals(number: signal.Signals) -> None:
    """Ctrl-C from its terminal, and others through the bundle."""
    program = f"""{ASK}
def end(number, _):
    print(number)
    raise SystemExit(3)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, end)
print("ready", flush=True)
time.sleep(60)
"""
    code = ELSEWHERE.format(change="sys.frozen = True")
    with subprocess.Popen(
        [sys.executable, "-c", code, sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as bundle:
        assert bundle.stdout
        assert bundle.stdout.readline() == "ready\n"
        if number == signal.SIGINT:
            os.killpg(bundle.pid, number)
        else:
            bundle.send_signal(number)
        assert (bundle.stdout.read(), bundle.wait()) == (f"{int(number)}\n", 3)
