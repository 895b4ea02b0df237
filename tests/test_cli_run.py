"""`run` and `env`: programs of the plain OpenAI SDK, pointed at AiToEarn."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from aitoearn_openai.relay import _detached
from commands import COMMAND, KEY, Terminal, run_process as run, sandboxed  # noqa: F401 - a fixture

OPENAI_PROGRAM = """
import openai
client = openai.OpenAI()
messages = [{"role": "user", "content": "你好"}]
print(client.chat.completions.create(model="glm-5.2", messages=messages).choices[0].message.content)
"""
SHOW = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if 'OPENAI_' in k or 'AITOEARN_' in k}))"
ODD_KEY = "sk-$HOME;`id`\\&|*(x)"
OTHERS = {"OPENAI_ORG_ID": "org", "OPENAI_CUSTOM_HEADERS": "X: y", "OPENAI_API_KEY": "theirs"}


@pytest.mark.usefixtures("sandboxed")
def test_an_openai_program_runs_unmodified() -> None:
    """It asks AiToEarn, with AiToEarn's key."""
    ran = run("run", "--", sys.executable, "-c", OPENAI_PROGRAM)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert "no model read your message. You said: 你好" in ran.stdout


@pytest.mark.usefixtures("sandboxed")
def test_a_program_sees_the_failures_of_the_service() -> None:
    """With the service's words, where it would see an empty answer."""
    program = OPENAI_PROGRAM.replace("glm-5.2", "fail-12001")
    ran, direct = (
        run("run", *options, "--", sys.executable, "-c", program) for options in ([], ["--direct"])
    )

    assert "Error code: 402 - " in ran.stderr
    assert "Insufficient credits (AiToEarn code 12001, request id" in ran.stderr
    assert "Insufficient credits" not in direct.stderr


@pytest.mark.parametrize("direct", [True, False])
def test_a_program_finds_the_address_in_every_variable_and_nothing_else(direct: bool) -> None:
    """Organizations and headers of another service stay at home, and so does what is ours."""
    options = ["--direct"] if direct else []
    options += ["--site", "cn", sys.executable, "-c", SHOW, "--site", "x"]  # The last two are the program's.
    shown = json.loads(run("run", *options, AITOEARN_API_KEY=KEY, **OTHERS).stdout)
    key, addresses = shown.pop("OPENAI_API_KEY"), set(shown.values())

    assert {"OPENAI_BASE_URL", "OPENAI_API_BASE", "OPENAI_API_BASE_URL", "OPENAI_HOST"} <= shown.keys()
    assert not shown.keys() & OTHERS.keys()
    assert len(addresses) == 1
    if direct:
        assert (addresses, key) == ({"https://aitoearn.cn/api/ai"}, KEY)
    else:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", addresses.pop())
        assert re.fullmatch(r"sk-[0-9a-f]{48}", key)
        assert not [name for name in shown if "AITOEARN" in name]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"NO_PROXY": "a.example, localhost"}, "a.example,localhost,127.0.0.1"),
        ({"no_proxy": "a.example", "NO_PROXY": "b.example"}, "a.example,b.example,127.0.0.1,localhost"),
        ({"no_proxy": "*"}, "*"),
    ],
)
def test_no_proxy_is_asked_for_the_relay(given: dict[str, str], expected: str) -> None:
    """Whichever spelling the program looks for."""
    show = "import os; print([os.environ.get(name) for name in ('no_proxy', 'NO_PROXY')])"
    cleared = {"no_proxy": "", "NO_PROXY": "", **given}

    assert (
        run("run", sys.executable, "-c", show, AITOEARN_API_KEY=KEY, **cleared).stdout
        == f"{[expected] * 2}\n"
    )


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
        if pid.isdigit() and "relay._detached" in read(f"/proc/{pid}/cmdline")
        for name in ("environ", "cmdline")]}
    | {"files": [os.path.realpath(path) for path in glob.glob("/proc/self/fd/*")]}))
sys.stdin.read()
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="needs /proc")
@pytest.mark.usefixtures("sandboxed")
def test_the_key_is_nowhere_that_a_program_can_look(tmp_path: Path) -> None:
    """Not in its environment, arguments or files, and not in those of the relay."""
    ran = run("run", "--base-url", "http://127.0.0.1:1", sys.executable, "-c", SECRETS, AITOEARN_API_KEY=KEY)
    shown = json.loads(ran.stdout)

    assert len(list(filter(None, shown["relay"]))) >= 2
    assert KEY not in ran.stdout
    assert len([path for path in shown["files"] if path.startswith("/proc/") and "pipe:" in path]) <= 4


def relays(mark: str) -> set[int]:
    """The processes of relays that have this in their environment."""
    found = set()
    for process in Path("/proc").glob("[1-9]*"):
        try:
            command, environment = ((process / name).read_bytes() for name in ("cmdline", "environ"))
        except OSError:
            continue
        if b"relay._detached" in command and b"/bin/sh" not in command and mark.encode() in environment:
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


@pytest.mark.usefixtures("mark")
def test_a_relay_ends_when_whoever_starts_it_is_gone() -> None:
    """Before it got its settings."""
    to_read, to_write = os.pipe()
    os.close(to_write)

    _detached.main(-1, to_read, -1, -1)


@pytest.mark.usefixtures("sandboxed", "mark")
def test_a_program_has_no_children_but_its_own() -> None:
    """One that waits for all of them is not held up."""
    wait = "import os, sys\ntry: os.wait()\nexcept ChildProcessError: print('none')"

    assert run("run", sys.executable, "-c", wait).stdout == "none\n"


LIST_TWICE = """
import os, signal, time, urllib.request
os.closerange(3, 1000)
for _ in range(2):
    print(urllib.request.urlopen(os.environ["OPENAI_BASE_URL"] + "/models").status, flush=True)
    time.sleep(0.5)
print("waiting", flush=True)
signal.pause()
"""


@pytest.mark.usefixtures("sandboxed")
def test_nothing_is_left_when_a_program_is_killed(mark: str) -> None:
    """Not even by SIGKILL; until then the relay serves also one that closed all files that it did not open."""
    with subprocess.Popen(
        [*COMMAND, "run", sys.executable, "-c", LIST_TWICE], stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        assert process.stdout
        try:
            shown = [process.stdout.readline() for _ in range(3)]
            sessions = [os.getsid(relay) for relay in relays(mark)]
        finally:
            process.kill()
    assert shown == ["200\n", "200\n", "waiting\n"]
    assert len(sessions) == 1
    assert sessions[0] != os.getsid(0)


@pytest.mark.usefixtures("sandboxed", "mark")
def test_a_relay_serves_the_children_that_a_program_leaves_behind(tmp_path: Path) -> None:
    """As a shell's background jobs are; meanwhile it holds no output open, which `$(...)` would wait for."""
    go, out = tmp_path / "go", tmp_path / "out"
    wait = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.05)\n"
    (tmp_path / "program.py").write_text(wait + OPENAI_PROGRAM)
    script = f"{sys.executable} {tmp_path}/program.py >{out} 2>&1 & echo hi >/proc/self/fd/64"

    try:
        assert run("run", "--", "sh", "-c", script).returncode == 0
        time.sleep(0.5)
    finally:
        go.touch()
    assert wait_for(lambda: "no model read your message" in out.read_text())


@pytest.mark.usefixtures("sandboxed", "mark")
def test_a_reader_that_has_seen_enough_ends_the_program() -> None:
    """`yes | head` ends, and without a complaint; the relay keeps no output open."""
    command = shlex.join([*COMMAND, "run", "--", "yes"])
    ran = subprocess.run(
        ["bash", "-c", f"{command} | head -1; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ran.stdout, ran.stderr) == (f"y\n{128 + signal.SIGPIPE}\n", "")


@pytest.mark.usefixtures("sandboxed", "mark")
@pytest.mark.parametrize("handled", [True, False])
def test_ctrl_c_is_the_programs(handled: bool) -> None:
    """It may catch it and ask on; without that it dies by the signal."""
    program = f"""
import signal
try:
    print("ready", flush=True)
    signal.pause()
except KeyboardInterrupt: pass
{OPENAI_PROGRAM}
"""
    if not handled:
        program = (
            "import signal; signal.signal(2, signal.SIG_DFL); print('ready', flush=True); signal.pause()"
        )
    with Terminal("run", "--", sys.executable, "-c", program) as terminal:
        terminal.wait_for("ready")
        terminal.type("\x03")
        assert terminal.end() == (0 if handled else -signal.SIGINT)

    assert ("no model read your message" in terminal.shown) == handled


@pytest.mark.usefixtures("sandboxed", "mark")
def test_a_program_is_stopped_and_goes_on_as_in_any_shell() -> None:
    """Ctrl-Z and `fg`; it has the terminal to itself."""
    pytest.importorskip("termios")
    program = f"""
import os, sys
print("mine" if os.tcgetpgrp(0) == os.getpgrp() else "not mine", os.isatty(1), flush=True)
sys.stdin.readline()
{OPENAI_PROGRAM}
print("end")
"""
    start = [*COMMAND, "run", "--", sys.executable, "-c", program]
    with Terminal(command=["bash", "--norc", "-i"], PS1="", HISTFILE="") as terminal:
        terminal.type(f"{shlex.join(start)}\n")
        terminal.wait_for("mine True")
        terminal.type("\x1a")
        terminal.wait_for("Stopped")
        terminal.type("fg\n")
        time.sleep(1)
        terminal.type("\n")
        assert "no model read your message" in terminal.wait_for("\nend\n")
        terminal.type("exit\n")
        terminal.end()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize("options", [[], ["--direct"]])
@pytest.mark.usefixtures("sandboxed")
def test_a_program_gets_signals_and_gives_its_exit_code(options: list[str]) -> None:
    """As if it had been started without `run`."""
    waiting = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print(1, flush=True); signal.pause()"
    with subprocess.Popen(
        [*COMMAND, "run", *options, "--", sys.executable, "-c", waiting], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 7


@pytest.mark.usefixtures("sandboxed")
def test_a_program_that_cannot_run_is_told_with_the_shells_codes(tmp_path: Path) -> None:
    """127 for one that is not there, 126 for one that may not run."""
    (tmp_path / "notes").write_text("words")
    missing, plain = run("run", "--direct", "no-such-program"), run("run", "--", str(tmp_path / "notes"))

    assert (missing.returncode, plain.returncode) == (127, 126)
    assert "is it installed?" in str(missing.stderr)
    assert "is it installed?" not in str(plain.stderr)
    assert missing.stderr.startswith("aitoearn-openai: cannot run 'no-such-program': ")
    assert run("run", "no-such-program", no_proxy="*").returncode == 127
    assert run("run").returncode == 2


@pytest.mark.usefixtures("sandboxed")
def test_a_script_without_an_interpreter_runs_as_in_a_shell(tmp_path: Path) -> None:
    """By its path, and found in PATH."""
    script = tmp_path / "greet"
    script.write_text('echo "hello $1"\n')
    script.chmod(0o755)
    found = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"

    assert run("run", "--", str(script), "a b").stdout == "hello a b\n"
    assert run("run", "--", "greet", "you", PATH=found).stdout == "hello you\n"
    script.write_bytes(b"\x7fELF\0\0\necho wrong\n")
    assert (run("run", "--", str(script)).returncode, run("run", "--", str(script)).stdout) == (126, "")


MANY_STREAMS = """
import asyncio, openai

async def main():
    async def ask(client):
        messages = [{"role": "user", "content": "Hi"}]
        stream = await client.chat.completions.create(model="slow-first-byte", messages=messages, stream=True)
        return len([chunk async for chunk in stream])

    async with openai.AsyncOpenAI(max_retries=0) as client:
        print(len(await asyncio.gather(*(ask(client) for _ in range(100)))))

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs a limit on open files")
@pytest.mark.usefixtures("sandboxed")
def test_a_low_limit_on_open_files_does_not_hold_for_the_relay() -> None:
    """It has two for each stream; the program keeps the limit that it was given."""
    command = ["sh", "-c", 'ulimit -S -n 128; exec "$@"', "sh", *COMMAND]
    done = run("run", "--", sys.executable, "-c", MANY_STREAMS, command=command)

    assert (done.stdout, done.stderr) == ("100\n", "")


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_the_command_can_be_called_from_another_thread() -> None:
    """Only the main one may say what a signal does."""
    program = (
        "import threading\nfrom aitoearn_openai.__main__ import main\n"
        "thread = threading.Thread(target=main)\nthread.start()\nthread.join()"
    )
    done = run("--version", command=[sys.executable, "-c", program])

    assert done.stdout.startswith("aitoearn-openai ")
    assert done.stderr == ""


IGNORING = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh"]


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_ctrl_c_shows_nothing_while_the_command_starts(tmp_path: Path) -> None:
    """Whatever is being imported; where the caller ignores Ctrl-C, so does the command."""
    slow = tmp_path / "typer.py"
    slow.write_text("import sys, time\nprint('importing', flush=True)\nsys.stdin.read()\nsys.exit(7)\n")
    for ignored, code in ((False, -signal.SIGINT), (True, 7)):
        with subprocess.Popen(
            [*(IGNORING if ignored else []), *COMMAND, "models"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
        ) as process:
            assert process.stdout
            assert process.stdout.readline() == b"importing\n"
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(b"", timeout=30)
        assert (process.returncode, told) == (code, b"")
    assert subprocess.run([*IGNORING, *COMMAND, "--version"], check=False).returncode == 0


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_a_shell_takes_over_what_env_prints() -> None:
    """Whatever is in the key, and without a variable whose name would be a command."""
    script = f'eval "$({sys.executable} -m aitoearn_openai env --site ai)"; {sys.executable} -c "{SHOW}"'
    odd = {"OPENAI_X;touch oops": "1"}
    shell = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "AITOEARN_API_KEY": ODD_KEY, "SHELL": "/bin/zsh", **OTHERS, **odd},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )

    assert shell.stderr.count("\n") == 1
    assert "`aitoearn-openai run -- PROGRAM` hides the key from them and shows such failures." in shell.stderr
    shown = json.loads(shell.stdout)
    assert shown.pop("OPENAI_API_KEY") == ODD_KEY
    assert shown.pop("OPENAI_BASE_URL") == shown["OPENAI_API_BASE"] == "https://aitoearn.ai/api/ai"
    assert not shown.keys() & {"OPENAI_ORG_ID", "OPENAI_CUSTOM_HEADERS"}
    assert odd.keys() <= shown.keys()


@pytest.mark.parametrize(
    ("shell", "lines"),
    [
        ("fish", ["set -e OPENAI_ORG_ID", r"set -gx OPENAI_API_KEY 'sk-$HOME;`id`\\&|*(x)'"]),
        (
            "powershell",
            [
                "Remove-Item Env:OPENAI_ORG_ID -ErrorAction SilentlyContinue",
                "$env:OPENAI_API_KEY = 'sk-$HOME;`id`\\&|*(x)'",
            ],
        ),
    ],
)
def test_other_shells_get_their_own_words(shell: str, lines: list[str]) -> None:
    """Each with its own quotes."""
    printed = run("env", "--shell", shell, AITOEARN_API_KEY=ODD_KEY, OPENAI_ORG_ID="org").stdout.splitlines()

    assert [printed[0], printed[-1]] == lines


def test_the_shell_in_use_is_the_default() -> None:
    """Fish is told by its name; what is not known is taken for a kin of bash."""
    for shell, word in {"/usr/bin/fish": "set", "/bin/sh": "export", "": "export"}.items():
        assert run("env", AITOEARN_API_KEY=KEY, SHELL=shell).stdout.split()[0] == word


def test_a_terminal_does_not_get_to_show_the_key() -> None:
    """Unless a person asks for it."""
    with (
        Terminal("env", AITOEARN_API_KEY=KEY) as refusing,
        Terminal("env", "--reveal", AITOEARN_API_KEY=KEY) as telling,
    ):
        assert (refusing.end(), telling.end()) == (2, 0)

    assert KEY not in refusing.shown
    assert "add --reveal" in " ".join(refusing.shown.split())
    assert KEY in telling.shown


@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ("zsh", 'use eval "$(aitoearn-openai env)"'),
        ("fish", "use aitoearn-openai env --shell fish | source"),
        ("powershell", "--shell powershell | Out-String | Invoke-Expression"),
    ],
)
def test_a_hint_is_in_the_words_of_the_shell(shell: str, words: str) -> None:
    """The one that is named, or in use."""
    options = ["--shell", shell] if shell != "fish" else []
    with Terminal("env", *options, AITOEARN_API_KEY=KEY, SHELL=f"/bin/{shell}") as terminal:
        assert terminal.end() == 2

    assert words in " ".join(terminal.shown.split())


def test_zsh_and_sh_have_the_words_of_bash() -> None:
    """And may be named."""
    printed = {
        shell: run("env", "--shell", shell, AITOEARN_API_KEY=KEY).stdout for shell in ("bash", "zsh", "sh")
    }

    assert len(set(printed.values())) == 1


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_program_without_standard_streams_has_a_relay(closed: str, tmp_path: Path) -> None:
    """As what a service manager starts."""
    seen = tmp_path / "seen"
    program = f"import urllib.request, os; url = os.environ['OPENAI_BASE_URL'] + '/models'; open({str(seen)!r}, 'w').write(str(urllib.request.urlopen(url).status))"
    started = shlex.join([*COMMAND, "run", "--", sys.executable, "-c", program])
    environment = {**os.environ, "AITOEARN_SITE": "sandbox"}
    assert (
        subprocess.run(
            ["sh", "-c", f"{started} {closed}"], env=environment, check=False, timeout=60
        ).returncode
        == 0
    )
    assert seen.read_text() == "200"


def test_a_variable_of_any_name_that_holds_the_key_does_not_go_on() -> None:
    """The program is not to have it."""
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    ran = run("run", "--", sys.executable, "-c", show, AITOEARN_API_KEY=KEY, MY_KEY=f"Bearer {KEY}")

    assert ran.returncode == 0
    assert KEY not in ran.stdout


def test_no_program_is_named() -> None:
    """It is one line, as for one that is not there."""
    ran = run("run", "--direct", "--", "", AITOEARN_API_KEY=KEY)

    assert (ran.returncode, ran.stderr.count("\n")) == (127, 1)


def test_a_relay_that_cannot_start_is_told() -> None:
    """And not as a fault of the program."""
    started = shlex.join([*COMMAND, "run", "--", "true"])
    environment = {**os.environ, "AITOEARN_API_KEY": KEY}
    ran = subprocess.run(
        ["sh", "-c", f"ulimit -n 60; {started}"], env=environment, capture_output=True, text=True, check=False
    )

    assert (ran.returncode, ran.stderr.count("\n")) == (126, 1)
    assert "the relay cannot start: " in ran.stderr
