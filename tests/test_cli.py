"""The command line, as a person runs it: in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import aitoearn_openai
from aitoearn_openai import OpenAI, sandbox
from conftest import MESSAGES

COMMAND = [sys.executable, "-m", "aitoearn_openai"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
    )


def test_the_demo_shows_the_main_job() -> None:
    """Settings, the list, a model by name, a streamed answer, failures side by side; nobody's key is used."""
    shown = run("demo", AITOEARN_API_KEY="mine", OPENAI_API_KEY="mine-too", AITOEARN_SITE="nowhere")

    assert (shown.returncode, shown.stderr) == (0, "")
    for words in (
        r"base_url +http://127\.0\.0\.1:\d+/api/ai +AITOEARN_BASE_URL",
        r"gemini-3\.1-pro-preview +Gemini 3\.1",
        r"no model read your message",
        r"\d+ tokens, 0\.\d+ credits",
        r"fail-12001 +no error, choices=None +APIStatusError",
    ):
        assert re.search(words, shown.stdout), words
    assert "mine" not in shown.stdout


def test_the_demo_fits_80_columns_in_a_pipe() -> None:
    """No line is wrapped by whatever shows it."""
    lines = run("demo", COLUMNS="80").stdout.splitlines()

    assert lines
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("port", ["0", "8378"])
def test_the_sandbox_serves_until_ctrl_c(port: str) -> None:
    """It says where it is, what to set, and which names fail; then it answers."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", int(port))) == 0:
            pytest.skip(f"a sandbox of yours is on port {port}")
    with subprocess.Popen(
        [*COMMAND, "sandbox", "--port", port],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        try:
            assert process.stdout
            first, second, _, _, *names = [
                process.stdout.readline() for _ in range(4 + len(sandbox.FAILURES))
            ]
            base_url = re.search(r"http://127\.0\.0\.1:\d+/api/ai", first)
            assert base_url
            assert "No model answers" in first
            assert ("AITOEARN_BASE_URL=" in second) == (port == "0")
            with OpenAI(base_url=base_url[0], api_key="sandbox") as client:
                client.chat.completions.create(model="glm-5.2", messages=MESSAGES)
        finally:
            process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)

    assert (process.returncode, errors) == (0, "")
    assert [line.split()[0] for line in names] == list(sandbox.FAILURES)


def test_a_port_that_is_taken_says_so(site: sandbox.Sandbox) -> None:
    """In one line, with what to do."""
    port = re.findall(r":(\d+)/", site.base_url)[0]
    refused = run("sandbox", "--port", port)

    assert refused.returncode == 1
    assert re.fullmatch(rf"aitoearn-openai: .*port {port}.*--port\n", refused.stderr)


def test_the_versions_are_told() -> None:
    """Of the package and of the SDK beneath it."""
    assert run("--version").stdout.startswith(f"aitoearn-openai {aitoearn_openai.__version__} (openai ")


def test_without_the_extra_the_command_says_what_to_install(tmp_path: Path) -> None:
    """A base install has the command's name but not its libraries."""
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError('No module named typer', name='typer')")
    told = run("demo", PYTHONPATH=str(tmp_path))

    assert told.returncode == 1
    assert "pip install 'aitoearn-openai[cli]'" in told.stderr
    assert "Traceback" not in told.stderr
