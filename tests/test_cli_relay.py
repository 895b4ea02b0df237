"""`relay`: the relay for programs that are configured by hand."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import openai
import pytest

from aitoearn_openai import sandbox
from commands import COMMAND, KEY, run
from conftest import MESSAGES, Reply, ScriptedServer

TOKEN = "a token that the person chose"


@contextmanager
def relaying(*arguments: str, **environment: str) -> Iterator[tuple[str, str]]:
    """The two lines of a relay that runs meanwhile, and ends by Ctrl-C without a word."""
    with subprocess.Popen(
        [*COMMAND, "relay", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, **environment},
    ) as process:
        try:
            assert process.stdout
            yield process.stdout.readline(), process.stdout.readline()
        finally:
            process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")


def address_in(line: str) -> str:
    return re.findall(r" at (http://\S+/v1)\.", line)[0]


@pytest.mark.usefixtures("sandboxed")
def test_the_relay_serves_until_ctrl_c() -> None:
    """It says where it is, what is behind it, and which token to give."""
    with relaying() as (first, second):
        token = re.findall(r"sk-[0-9a-f]{48}", second)[0]
        with openai.OpenAI(base_url=address_in(first), api_key=token) as client:
            assert client.chat.completions.create(model="glm-5.2", messages=MESSAGES).choices

    assert os.environ["AITOEARN_BASE_URL"] in first


def test_a_token_of_ones_own_is_kept_and_neither_it_nor_the_key_is_shown(server: ScriptedServer) -> None:
    """With the token, other machines may ask too; the service gets the key alone."""
    server.answer(Reply({"data": [{"name": "m"}], "code": 0}))
    settings = {"AITOEARN_BASE_URL": server.origin, "AITOEARN_API_KEY": KEY, "MY_TOKEN": TOKEN}
    with relaying("--host", "0.0.0.0", "--token-env", "MY_TOKEN", **settings) as (first, second):
        address = address_in(first).replace("0.0.0.0", "127.0.0.1")
        with openai.OpenAI(base_url=address, api_key=TOKEN) as client:
            assert client.models.list().data

    assert "MY_TOKEN" in second
    assert not [secret for secret in (KEY, TOKEN) if secret in first + second]
    assert server.requests[-1].headers["x-api-key"] == KEY


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ("--port {}", 2, "port {} of 127.0.0.1: it is in use; choose another with --port"),
        ("--host 0.0.0.0", 2, "can be reached by other machines: give it a token, with --token-env"),
        (
            "--host no.such.host.invalid --token-env MY_TOKEN",
            2,
            "cannot listen on port 8379 of no.such.host.invalid: Name or service not known; choose another with --host",
        ),
        ("--token-env BLANK", 2, "the variable 'BLANK' is not set, or empty; it must hold the token"),
        ("--token-env NO_SUCH", 2, "the variable 'NO_SUCH' is not set"),
        ("--site cn", 3, "There is no AiToEarn key."),
    ],
)
@pytest.mark.usefixtures("sandboxed")
def test_a_relay_that_cannot_be_is_told_in_one_line(
    site: sandbox.Sandbox, arguments: str, code: int, told: str
) -> None:
    """A port in use, other machines without a token, a token that is not there, no key."""
    port = re.findall(r":(\d+)/", site.base_url)[0]
    failed = run("relay", *arguments.format(port).split(), AITOEARN_API_KEY="", MY_TOKEN=TOKEN, BLANK=" ")

    assert (failed.returncode, failed.stderr.count("\n")) == (code, 1)
    assert told.format(port) in failed.stderr
