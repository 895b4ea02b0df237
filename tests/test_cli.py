"""The command line: its help, its errors, what it shows where, and the sandbox."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import openai
import pytest

import aitoearn_openai
from aitoearn_openai import sandbox
from aitoearn_openai._errors import QUOTE
from commands import COMMAND, KEY, SAID, run, run_process
from conftest import Reply, ScriptedServer

pytestmark = pytest.mark.usefixtures("sandboxed")
COMMANDS = ["models", "chat", "batch", "check", "run", "relay", "sandbox", "demo"]


@pytest.mark.slow
def test_the_demo_shows_the_main_job() -> None:
    """Failures side by side, a retry, the list, a model by name, a streamed answer; nobody's key or proxy is used."""
    settings = {"AITOEARN_API_KEY": "mine", "OPENAI_API_KEY": "mine-too", "AITOEARN_TIMEOUT": "soon"}
    shown = run("demo", ALL_PROXY="socks://127.0.0.1:1", NO_PROXY="", **settings)
    assert shown.returncode == 0
    for words in (
        r"fail-12001 +no error, choices=None +APIStatusError",
        r"1 retry, then an answer with status 200",
        r"11 models; 1,000 tokens in and 500 out of deepseek-v4 cost 0\.0525 credits",
        r"no model read your message",
        r"Next.*aitoearn-openai sandbox.*AITOEARN_API_KEY.*aitoearn-openai check",
    ):
        assert re.search(words, shown.stdout, re.DOTALL), words
    assert re.search(r"\d+ tokens in, \d+ out, about 0\.\d+ seedance credits \(list price\)", shown.stderr)
    assert "mine" not in shown.stdout


def test_who_asks_a_sandbox_that_does_not_run_is_told_how_to_start_it() -> None:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 8378)) == 0:
            pytest.skip("a sandbox of yours is there")
    failed = run("models", AITOEARN_BASE_URL="")
    assert (failed.returncode, "`aitoearn-openai sandbox`" in failed.stderr) == (4, True)


def test_the_sandbox_lists_what_fails_on_purpose() -> None:
    listed = run("sandbox", "--failures")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list(sandbox.FAILURES)


def test_without_the_extra_the_command_says_what_to_install(tmp_path: Path) -> None:
    """A base install has the command's name but not its libraries."""
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError('No module named typer', name='typer')")
    told = run_process("demo", PYTHONPATH=str(tmp_path))
    assert (told.returncode, told.stderr.count("\n")) == (1, 1)
    assert "pip install 'aitoearn-openai[cli]'" in told.stderr


def test_without_a_command_the_help_is_shown() -> None:
    """With what there is to choose from; and on request the versions."""
    told = run()
    assert (told.returncode, told.stderr) == (0, "")
    assert re.findall(r"^  ([a-z]+)  ", told.stdout, re.MULTILINE) == COMMANDS
    versions = f"aitoearn-openai {aitoearn_openai.__version__} (openai {openai.__version__})\n"
    assert run("--version").stdout == versions


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command_has_an_example(command: str) -> None:
    """To copy, and at 80 columns nothing of the help is cut off; -h is short for it."""
    shown = run(command, "-h", COLUMNS="80").stdout
    assert f"Example: aitoearn-openai {command}" in shown
    assert "…" not in shown


@pytest.mark.parametrize(
    ("words", "environment", "offered"),
    [
        ("c", {}, "chat check"),
        ("models --site ''", {}, "cn ai sandbox"),
        ("models gp", {"AITOEARN_BASE_URL": "http://127.0.0.1:1"}, ""),
        ("models gp", {"AITOEARN_SITE": "mars"}, ""),
    ],
)
def test_a_shell_completes_commands_and_names(words: str, environment: dict[str, str], offered: str) -> None:
    """Those of models from the list, of which it is silent without a network, or with bad settings."""
    asked = {"_AITOEARN_OPENAI_COMPLETE": "complete_bash", "COMP_WORDS": f"aitoearn-openai {words}"}
    shown = run(COMP_CWORD=str(len(words.split())), **asked, **environment)
    assert (shown.stdout.split(), shown.stderr) == (offered.split(), "")


BUY = "Credits and memberships are bought on the site that the key is from."
COPY = "Copy the key once more, or create one: Settings, then API Key."
LOOK = "Try again; if it fails again, `aitoearn-openai check` looks for the cause."


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "told"),
    [
        ("batch notes.txt --dry-run --csv a.csv", {}, 2, ".*--csv: the table is of the answers in OUT.jsonl; name it too. `.*"),
        ("models --no-such", {}, 2, "No such option.*--no-such.*`aitoearn-openai models --help` shows how to use it."),
        ("modles", {}, 2, "No such command 'modles'.*`aitoearn-openai --help` shows how to use it."),
        ("models --site mars", {}, 2, ".*--site.*Input should be 'cn', 'ai' or 'sandbox'. `.*"),
        ("models --base-url localhost", {}, 2, ".*--base-url.* write the address with its scheme.*"),
        ("run", {}, 2, "Missing argument 'COMMAND'.*"),
        ("chat -", {}, 2, "there is no question; give it as an argument or through a pipe"),
        ("chat Hi", {}, 2, "name a model with --model or AITOEARN_MODEL; `aitoearn-openai models` lists them"),
        ("models", {"AITOEARN_SITE": "mars"}, 2, "AITOEARN_SITE: Input should be 'cn', 'ai' or 'sandbox'."),
        ("chat Hi --site cn", {}, 3, "There is no AiToEarn key. Create one at https://aitoearn.cn .*"),
        ("chat Hi --site ai", {}, 3, ".* for a key of https://aitoearn.cn, set AITOEARN_SITE=cn too. .*"),
        ("chat Hi -m glm-5.2", {"AITOEARN_API_KEY": KEY}, 3, f".*Unauthorized.* {COPY}"),
        ("models --base-url http://127.0.0.1:1", {}, 4, "the connection to http://127.0.0.1:1 failed: .*refused. Try again.*"),
        ("chat Hi -m slow-first-byte", {"AITOEARN_TIMEOUT": "0.05", "AITOEARN_MAX_RETRIES": "0"}, 4,
         r"no answer from http://127\.0\.0\.1:\d+ within 0\.05 s \(AITOEARN_TIMEOUT\)\. Allow .*"),
        ("chat Hi -m fail-12001", {}, 5, f".*code 12001, .*; the column balance of `aitoearn-openai models` says .*{BUY}"),
        ("chat Hi -m fail-10002", {}, 5, ".*Change the request as it says."),
        ("chat Hi -m fail-19999-no", {}, 5, "[^`]*Model not found[^`]*`aitoearn-openai models` lists the names."),
        ("chat Hi -m fail-stream-error", {}, 5, "the model stopped answering. Try again later, or another model."),
        ("chat Hi -m fail-html", {}, 5, ".*answered with 'text/html.*"),
        # As Chinese is where the locale has none; nobody pays for an answer to that.
        ("chat -m glm-5.2 \udcc4", {}, 2, "an argument, a variable or the input is not valid text: write it in UTF-8.*"),
        ("chat Hi -m \udcc4", {}, 2, ".*write it in UTF-8.*"),
        ("models --base-url http://127.0.0.1/\udcc4", {}, 2, ".*not an address.*"),
        ("chat Hi -m glm-5.2 --image http://cat.png", {}, 2,
         "glm-5.2 takes no images; `aitoearn-openai models --input image` lists the models that do"),
        ("chat Hi -m gpt-5.2 --image page.png", {}, 2, ".*'page.png' is not an image. `.*"),
        ("chat Hi -m gpt-5.2 --image notes.txt", {}, 2, ".*'notes.txt' is not an image. `.*"),
        # A name that is nearly right, a value that no model has, alone or with the others that were asked for.
        ("models glm5", {}, 2, r"no model is named 'glm5'; the closest: glm-5\.2\. `aitoearn-openai models` lists them"),
        ("models xyzzy", {}, 2, r"no model is named 'xyzzy'\. `aitoearn-openai models` lists them"),
        ("models --images gpt-image-3", {}, 2, ".* the closest: gpt-image-2.*"),
        ("models --images --input text", {}, 2, ".*: --input, --output and --channel are for chat models only. .*"),
        ("models --channel openia", {}, 2, ".*--channel: no model has 'openia'; there is: anthropic, deepseek, gemini, .*"),
        ("models --input video --input txt", {}, 2, ".*--input: no model has 'txt'; there is: audio, image, text, video. .*"),
        ("models --input video --output image", {}, 2, ".*--output: no model has 'image'; there is: text. .*"),
        ("relay --port PORT", {}, 2, ".*port PORT of 127.0.0.1: it is in use; choose another with --port or --host"),
        ("sandbox --port PORT", {}, 2, "cannot listen on port PORT of 127.0.0.1: it is in use; choose another with --port"),
        ("relay --host no.such.host.invalid", {}, 2, ".*Name or service not known; choose another .*"),
        ("relay --token-env BLANK", {"BLANK": " "}, 2, ".*the variable 'BLANK' is not set, or empty. .*"),
        ("relay --allow-origin localhost", {}, 2, ".*'localhost' is not the address of a page, such as http://.*"),
        ("relay --site cn", {}, 3, "There is no AiToEarn key. .*"),
        ("relay --port many", {}, 2, ".* as an integer: 'many'. `aitoearn-openai relay --help`.*"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_one_line(
    site: sandbox.Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    arguments: str, environment: dict[str, str], code: int, told: str,
) -> None:  # fmt: skip
    """On stderr, with what to do next; the exit code is of its kind."""
    monkeypatch.chdir(tmp_path)
    for name in ("page.png", "notes.txt"):
        Path(name).write_text("<html>")
    port = site.base_url.split(":")[2].partition("/")[0]
    failed = run(*arguments.replace("PORT", port).split(), **environment)
    assert (failed.returncode, failed.stdout if code < 5 else "") == (code, "")
    assert re.fullmatch(f"aitoearn-openai: {told.replace('PORT', port)}\n", failed.stderr)
    assert KEY not in failed.stderr


def test_a_job_in_the_background_stays_deaf_to_ctrl_c() -> None:
    """Ctrl-C is for another program then."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    run("--version")
    assert signal.signal(signal.SIGINT, before) is signal.SIG_IGN


def test_help_and_versions_do_not_wait_for_the_sdk() -> None:
    """Neither do mistakes in a line: what takes long to load is loaded when something is asked."""
    lines = [f"{command} --help" for command in COMMANDS]
    lines += ["--version", "--help", "models --no-such", "models"]
    program = f"""
import sys
from aitoearn_openai.__main__ import main
heavy = {{"openai", "pydantic_settings", "httpx", "httpx2", "uvicorn", "starlette", "prompt_toolkit", "asyncio"}}
for line in {lines!r}:
    sys.argv[1:] = line.split()
    try:
        main()
    except SystemExit:
        print("LOADED", line, *sys.modules.keys() & heavy)
"""
    done = run_process(command=[sys.executable, "-c", program], AITOEARN_BASE_URL="http://127.0.0.1:1")
    loaded = [line for line in done.stdout.splitlines() if line.startswith("LOADED")]
    assert loaded[:-1] == [f"LOADED {line}" for line in lines[:-1]]
    assert "openai" in loaded[-1].split()


FILLING = "x" * (QUOTE - len('{"detail": " key ') - len(KEY) + 3)
"""Before a key of which all but three characters fit into what a message quotes of a server."""


@pytest.mark.parametrize(
    ("key", "reply", "told"),
    [
        ("e", {"code": 401, "message": "<e>"}, f"Error code: 401 - <**********> (AiToEarn code 401). {COPY}"),
        ("self", {"code": 404, "message": "Cannot POST /x"}, "has the list of chat models alone."),
        ("one", {"code": 12001, "message": "no"}, f"says which one pays for a model. {BUY}"),
        ("names", {"data": {}, "code": 12300, "message": "no"}, "`aitoearn-openai models` lists the names."),
        (KEY, {"detail": f"{FILLING} key {KEY} is"}, f"xxx key **********. Check the base URL: AiToEarn's ends in /api/ai. {LOOK}"),
    ],
)  # fmt: skip
def test_a_key_is_masked_in_servers_words(scripted: ScriptedServer, key: str, reply: Any, told: str) -> None:
    """And in them alone: keys of servers of one's own may be everyday words, and no sentence of this package is spoiled by them."""
    scripted.answer(Reply(reply))
    failed = run("chat", "-m", "m", "Hi", AITOEARN_API_KEY=key)
    assert failed.stderr.endswith(f"{told}\n")


def test_a_console_that_lacks_characters_is_no_reason_to_fail() -> None:
    """A substitute stands for each; JSON loses nothing, and what comes through a pipe is UTF-8 whatever the locale says."""
    answered = run("chat", "-m", "glm-5.2", stdin="你好", encoding="ascii").stdout
    listed = run("models", "deepseek-r2-local", "--json", encoding="ascii").stdout
    assert (answered, "\\u672c\\u5730" in listed) == (f"{SAID}??\n", True)


FULL = "aitoearn-openai: cannot read or write: [Errno 28] No space left on device\n"


@pytest.mark.parametrize(
    ("path", "line", "code", "told"),
    [
        ("/dev/full", "models", 1, FULL),
        ("/dev/full", "relay --port 0", 1, FULL),
        (None, "models", 0, ""),
        (None, "models --json", 0, ""),
    ],
)
def test_a_full_disk_is_told_and_no_output_is_fine(path: str | None, line: str, code: int, told: str) -> None:
    """A service manager may start the command without an output."""
    if path and not os.path.exists(path):
        pytest.skip("needs a file that is always full")
    with open(path, "w") if path else nullcontext() as out:
        done = run(*line.split(), streams={"stdout": out})
    assert (done.returncode, done.stderr) == (code, told)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a file that is always full")
@pytest.mark.parametrize(("redirection", "unbuffered"), [("2>/dev/full", ""), (">&- 2>&-", "1")])
def test_errors_that_cannot_be_written_leave_the_exit_code(redirection: str, unbuffered: str) -> None:
    """Python would make it 120 for what it could not flush."""
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", *COMMAND]
    assert run_process("no-such-command", command=command, PYTHONUNBUFFERED=unbuffered).returncode == 2


@pytest.mark.skipif(sys.platform == "win32", reason="needs bash")
def test_a_reader_that_has_seen_enough_ends_the_command_quietly() -> None:
    """In a process, as Python would flush once more at its end, where the output is buffered."""
    command = ["bash", "-c", '"$@" | true; echo ${PIPESTATUS[0]}', "bash", *COMMAND]
    done = run_process("models", "glm-5.2", "--json", command=command, PYTHONUNBUFFERED="")
    assert (done.stdout, done.stderr) == ("1\n", "")
