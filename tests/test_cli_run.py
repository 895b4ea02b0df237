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
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from commands import COMMAND, KEY, TerminalProcess, run_process, wait_until

pytestmark = pytest.mark.usefixtures("sandboxed")
OPENAI_PROGRAM = """
import openai
client = openai.OpenAI()
for model in ("glm-5.2", "fail-12001"):
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


def relays(mark: str) -> int:
    """How many relays have this in their environment."""
    found = 0
    for process in Path("/proc").glob("[1-9]*"):
        with suppress(OSError):  # It has ended.
            command, environment = ((process / name).read_bytes() for name in ("cmdline", "environ"))
            found += b"_detached" in command and b"/bin/sh" not in command and mark.encode() in environment
    return found


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """What tells the relays of the test from others; afterwards all of them are gone."""
    if not hasattr(os, "pidfd_open"):
        pytest.skip("needs /proc and descriptors of processes")
    monkeypatch.setenv("MARK", str(tmp_path))
    yield str(tmp_path)
    wait_until(lambda: not relays(str(tmp_path)))


@pytest.mark.usefixtures("mark")
def test_an_openai_program_runs_unmodified() -> None:
    """It asks AiToEarn, with AiToEarn's key; it sees the service's failures, where it would see an empty answer."""
    ran = run_process("run", "--", sys.executable, "-c", OPENAI_PROGRAM)

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
def test_a_program_finds_the_address_and_no_more(direct: bool, given: dict[str, str], no_proxy: str) -> None:
    """In every variable. Organizations and headers of another service stay at home, and so does what is ours; no proxy is asked for the relay."""
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
import glob, json, os, resource, sys
def read(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode("latin-1")
    except OSError:  # A process that has ended, or that others may not look into.
        return ""
commands = {pid: read(f"/proc/{pid}/cmdline") for pid in os.listdir("/proc") if pid.isdigit()}
(relay,) = [pid for pid, text in commands.items() if sys.argv[1] in text and "openai._deta" "ched" in text]
print(json.dumps({path: read(path) for path in ("/proc/self/environ", "/proc/self/cmdline")}
    | {name: read(f"/proc/{relay}/{name}") for name in ("environ", "cmdline", "limits")}
    | {"files": [os.path.realpath(path) for path in glob.glob("/proc/self/fd/*")]}
    | {"limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0]}))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="needs /proc")
@pytest.mark.parametrize("is_in_file", [False, True])
def test_the_key_is_nowhere_that_a_program_can_look(tmp_path: Path, is_in_file: bool) -> None:
    """Not in a variable, an argument or a file, and not in those of the relay, which starts before a file is read.

    The relay leaves no core file, and has two open files for each stream; the program keeps the limit that it was given.
    """
    (tmp_path / "settings").write_text(f"AITOEARN_API_KEY={KEY}\n")
    ours = {"AITOEARN_ENV_FILE": str(tmp_path / "settings")} if is_in_file else {"AITOEARN_API_KEY": KEY}
    limited = ["sh", "-c", 'ulimit -S -n 128; exec "$@"', "sh", *COMMAND]
    program = ["--base-url", "http://127.0.0.1:1", sys.executable, "-c", SECRETS, str(tmp_path)]
    ours |= {
        "MY_KEY": f"Bearer {KEY}",
        "PYTHONPATH": str(tmp_path),
    }  # The latter is among the relay's arguments.
    ran = run_process("run", *program, command=limited, **ours)
    shown = json.loads(ran.stdout)

    limits = " ".join(shown["limits"].split())
    assert "Max core file size 0 0 bytes" in limits
    assert "Max open files 4096 " in limits
    assert shown["limit"] == 128
    assert KEY not in ran.stdout
    assert len([path for path in shown["files"] if path.startswith("/proc/") and "pipe:" in path]) <= 4


KEEP = """
import ctypes, resource, sys
from aitoearn_openai._limits import keep_memory_private
keep_memory_private()
print(ctypes.CDLL(None).prctl(3) if sys.platform == "linux" else 0, *resource.getrlimit(resource.RLIMIT_CORE))
"""


@pytest.mark.skipif(WINDOWS, reason="the system has no core files")
def test_a_process_keeps_its_memory_to_itself() -> None:
    """It leaves no core file, and on Linux nobody but root attaches to it."""
    assert run_process(command=[sys.executable, "-c", KEEP]).stdout == "0 0 0\n"


@pytest.mark.usefixtures("mark")
def test_a_relay_that_cannot_go_on_ends_its_program() -> None:
    """With a line; where settings are bad there is no program, and the relay that had been started ends alone."""
    settings = {"AITOEARN_API_KEY": KEY, "AITOEARN_BASE_URL": "http://service.invalid"}
    ended = run_process("run", "--", "sleep", "60", **settings, ALL_PROXY="socks://127.0.0.1:1")
    refused = run_process("run", "--site", "mars", "--", "echo", "started", **settings)

    assert ended.returncode == -signal.SIGTERM
    assert re.match("aitoearn-openai: the relay cannot start: ALL_PROXY .* cannot be used", ended.stderr)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)


@pytest.mark.usefixtures("mark")
def test_a_relay_without_settings_ends_without_a_word() -> None:
    """Whoever started it has ended since: the line about that is enough."""
    code = "import os, aitoearn_openai._detached as it; os.read(it.Detached(dict(os.environ))._told, 9)"
    ended = run_process(command=[sys.executable, "-c", code])

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_nothing_is_left_when_a_program_is_killed(mark: str) -> None:
    """Not even by SIGKILL; until then the relay serves also one that closed all files that it did not open."""
    program = f"{ASK}\nos.closerange(3, 1000)\nask()\ntime.sleep(0.5)\nask()\nsignal.pause()"
    command = [*COMMAND, "run", sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
        try:
            assert [process.stdout.readline() for _ in range(2)] == ["200\n", "200\n"]
            assert relays(mark) == 1
        finally:
            process.kill()


@pytest.mark.usefixtures("mark")
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
    wait_until(lambda: out.read_text() == "200\n")


@pytest.mark.usefixtures("mark")
def test_a_reader_that_has_seen_enough_ends_the_program() -> None:
    """`yes | head` ends, and without a complaint; the relay keeps no output open."""
    script = f"{shlex.join([*COMMAND, 'run', '--', 'yes'])} | head -1; echo ${{PIPESTATUS[0]}}"
    ran = run_process(command=["bash", "-c", script])

    assert (ran.stdout, ran.stderr) == (f"y\n{128 + signal.SIGPIPE}\n", "")


@pytest.mark.usefixtures("mark")
def test_a_program_has_the_terminal_to_itself() -> None:
    """Ctrl-Z and `fg` as in any shell; it may catch Ctrl-C and ask on, and without that it dies by the signal."""
    program = f"""{ASK}
def first(*_):
    signal.signal(2, signal.SIG_DFL)
    ask()
signal.signal(2, first)
signal.signal(signal.SIGCONT, lambda *_: print("on again", flush=True))
print("mine" if os.tcgetpgrp(0) == os.getpgrp() else "not mine", os.isatty(1), flush=True)
while True: signal.pause()
"""
    start = shlex.join([*COMMAND, "run", "--", sys.executable, "-c", program])
    with TerminalProcess(command=["bash", "--norc", "-i"], PS1="", HISTFILE="") as terminal:
        terminal.type(f"{start}\n", until="mine True")
        terminal.type("\x1a", until="Stopped")
        terminal.type("fg\n", until="\non again\n")
        terminal.type("\x03", until="200\n")
        terminal.type("\x03")
        terminal.type("echo code $?\n", until=f"code {128 + signal.SIGINT}\n")
        terminal.type("exit\n")
        terminal.end()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["no-such-program"], 127, "cannot run 'no-such-program': No such file or directory; is it installed?"),
        (["--direct", "--", "{}/notes"], 126, "cannot run '{}/notes': Permission denied"),
        (["--direct", "--", "{}/binary"], 126, "cannot run '{}/binary': Exec format error"),
        (["--direct", "--", ""], 126, "cannot run '': "),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("mark")
def test_a_program_that_cannot_run_is_told(tmp_path: Path, arguments: Any, code: int, told: str) -> None:
    """With the shells' codes: 127 for one that is not there, 126 for one that may not run."""
    (tmp_path / "notes").write_text("words")
    (tmp_path / "binary").write_bytes(b"\x7fELF\0\0\necho wrong\n")
    (tmp_path / "binary").chmod(0o755)
    failed = run_process("run", *(each.format(tmp_path) for each in arguments), no_proxy="*")

    assert (failed.returncode, failed.stdout) == (code, "")
    assert failed.stderr.startswith(f"aitoearn-openai: {told.format(tmp_path)}")
    assert failed.stderr.count("\n") == 1


@pytest.mark.skipif(WINDOWS, reason="needs a shell that can close streams")
def test_a_program_without_standard_streams_has_a_relay(tmp_path: Path) -> None:
    """As what a service manager starts."""
    seen = tmp_path / "seen"
    program = f"{ASK}\nsys.stdout = open({str(seen)!r}, 'w')\nask()"
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *COMMAND]
    ran = run_process("run", "--", sys.executable, "-c", program, command=command)

    assert (ran.returncode, seen.read_text()) == (0, "200\n")


@pytest.mark.skipif(WINDOWS, reason="needs POSIX signals")
def test_ctrl_c_shows_nothing_while_the_command_starts(tmp_path: Path) -> None:
    """Whatever is being imported."""
    (tmp_path / "typer.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    pipe = subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen([*COMMAND, "models"], stdout=pipe, stderr=pipe, env=environment) as process:
        assert process.stdout.readline() == b"importing\n"
        process.send_signal(signal.SIGINT)
        assert (process.communicate(timeout=30)[1], process.returncode) == (b"", -signal.SIGINT)


def run_where(change: str) -> list[str]:
    """`run`, where Python is changed so."""
    code = f"""
import sys
{change}
sys.argv[:1] = ["aitoearn-openai", "run", "--"]
from aitoearn_openai.__main__ import main
main()
"""
    return [sys.executable, "-c", code]


@pytest.mark.parametrize(
    ("python", "files", "reason"),
    [
        ("echo Traceback >&2; echo 'ImportError: no relay' >&2; exit 1", 100, "ImportError: no relay"),
        ("exit 0", 100, "it ended without a word"),
        ("exit 0", 60, "Invalid argument"),
        ("exec sleep 2", 100, "it has not begun after 0.5 seconds"),
    ],
)
def test_a_relay_that_cannot_start_is_told(tmp_path: Path, python: str, files: int, reason: str) -> None:
    """Before the program starts, in one line with what its Python said last, or the system; not as a fault of the program, which would find no server."""
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\n{python}\n")
    script.chmod(0o755)
    change = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files}))\n"
    change += f"sys.executable = {str(script)!r}\nfrom aitoearn_openai import _detached\n"
    change += f"_detached._START_SECONDS = {0.5 if 'sleep' in python else 60}"
    ran = run_process("echo", "started", command=run_where(change), AITOEARN_API_KEY=KEY)

    assert (ran.returncode, ran.stdout) == (126, "")
    assert ran.stderr == f"aitoearn-openai: the relay cannot start: {reason}\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 3), (signal.SIGTERM, 137)])
def test_in_a_bundle_the_relay_is_in_the_process_of_the_command(number: signal.Signals, code: int) -> None:
    """As there is no Python that could be started. Ctrl-C comes from the terminal, and other signals through the bundle."""
    program = f"""{ASK}
def end(number, _):
    print(number, flush=True)
    if number == signal.SIGINT:
        raise SystemExit(3)
    os.kill(os.getpid(), 9)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, end)
ask()
time.sleep(60)
"""
    command = [*run_where("sys.frozen = True"), sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as bundle:
        assert bundle.stdout.readline() == "200\n"
        send = os.killpg if number == signal.SIGINT else os.kill
        send(bundle.pid, number)
        assert (bundle.stdout.read(), bundle.wait()) == (f"{int(number)}\n", code)
