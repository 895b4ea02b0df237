"""`relay` and `sandbox`: what serves until Ctrl-C."""

from __future__ import annotations

import json
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


told: list[str] = []


@contextmanager
def serving(command: str, *arguments: str, **environment: str) -> Iterator[list[str]]:
    """The first lines of a server that runs meanwhile, and ends by Ctrl-C without a word but what `told` has then."""
    with subprocess.Popen(
        [*COMMAND, command, "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, **environment},
    ) as process:
        try:
            assert process.stdout
            yield [process.stdout.readline() for _ in range(3)]
        finally:
            process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    told[:] = errors.splitlines()
    assert process.returncode == 0


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.slow
def test_the_relay_serves_until_ctrl_c() -> None:
    """It says where it is, what is behind it, and which token to give."""
    with serving("relay") as (first, *lines):
        address, token = (line.split()[-1] for line in lines)
        with openai.OpenAI(base_url=address, api_key=token) as client:
            assert client.chat.completions.create(model="glm-5.2", messages=MESSAGES).choices

    assert os.environ["AITOEARN_BASE_URL"] in first
    assert told == []


@pytest.mark.slow
def test_the_sandbox_serves_until_ctrl_c() -> None:
    """It says where it is, and what to set."""
    with serving("sandbox") as (first, second, third):
        base_url = second.split()[-1]
        with openai.OpenAI(base_url=base_url, api_key="sandbox") as client:
            assert client.chat.completions.create(model="glm-5.2", messages=MESSAGES).choices

    assert "no model answers" in first
    assert f"AITOEARN_SITE=sandbox AITOEARN_BASE_URL={base_url.removesuffix('/api/ai')}" in third
    assert told == []


@pytest.mark.parametrize("options", [[], ["--verbose"]])
@pytest.mark.slow
def test_the_relay_says_what_fails_and_on_request_what_is_asked(
    server: ScriptedServer, options: list[str]
) -> None:
    """A wrong token and a failure always, also one inside a stream and a page's; never a key or token, or what steers a terminal."""
    failure = {"code": 12001, "data": {}, "message": f"no {KEY}\x1b[2J\nok"}
    chunk = {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}
    server.answer(
        Reply({"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}]}),
        Reply(failure),
        Reply(
            f"data: {json.dumps(chunk)}\n\ndata: {json.dumps(failure)}\n\n", content_type="text/event-stream"
        ),
    )
    settings = {"AITOEARN_BASE_URL": server.origin, "AITOEARN_API_KEY": KEY, "MY_TOKEN": "token-of-the-test"}
    options = [*options, "--token-env", "MY_TOKEN", "--allow-origin", "http://localhost:3000"]
    with serving("relay", *options, **settings) as (_, second, _):
        arguments = {"base_url": second.split()[-1], "api_key": settings["MY_TOKEN"], "max_retries": 0}
        with openai.OpenAI(**arguments) as client:  # type: ignore[arg-type]
            client.chat.completions.create(model="m", messages=MESSAGES)
            for stream in (False, True):
                with pytest.raises(openai.APIError):
                    list(client.chat.completions.create(model="m", messages=MESSAGES, stream=stream))
            for more in ({"api_key": KEY}, {"default_headers": {"Origin": "http://localhost:3001"}}):
                with pytest.raises(openai.APIStatusError):
                    client.copy(**more).models.retrieve("m")
            with pytest.raises(openai.NotFoundError):
                client.get(f"/{KEY}/{settings['MY_TOKEN']}%1B%5B2J", cast_to=object)
    lines = [re.sub(r"^\d\d:\d\d:\d\d | \d+\.\d\d s", "", line) for line in told]

    no_credits = "no ********** [2J ok (AiToEarn code 12001)"
    assert lines[len(lines) - 5 :] == [
        f"POST /v1/chat/completions 402: {no_credits}",
        f"POST /v1/chat/completions 402: {no_credits}",
        "GET /v1/models/m 401: The program sends a key that is not the token of this relay: its API key must be the token that the relay shows.",
        (
            "GET /v1/models/m 403: The relay does not answer web pages, such as those of http://localhost:3001: start it with "
            "`--allow-origin http://localhost:3001` if that page may use it with the token."
        ),
        (
            "GET /v1/**********/********** [2J 404: AiToEarn has no GET /**********/********** [2J; it has GET /models and POST "
            "/chat/completions, /images/generations, /images/edits."
        ),
    ]
    assert lines[: len(lines) - 5] == (["POST /v1/chat/completions 200"] if "--verbose" in options else [])


@pytest.mark.slow
def test_a_token_of_ones_own_is_kept_and_neither_it_nor_the_key_is_shown(server: ScriptedServer) -> None:
    """With the token, other machines may ask too; the service gets the key alone."""
    server.answer(Reply({"data": [{"name": "m"}], "code": 0}))
    settings = {"AITOEARN_BASE_URL": server.origin, "AITOEARN_API_KEY": KEY, "MY_TOKEN": TOKEN}
    with serving("relay", "--host", "0.0.0.0", "--token-env", "MY_TOKEN", **settings) as lines:
        address = lines[1].split()[-1].replace("0.0.0.0", "127.0.0.1")
        with openai.OpenAI(base_url=address, api_key=TOKEN) as client:
            assert client.models.list().data

    assert told == []
    assert "MY_TOKEN" in lines[2]
    assert not [secret for secret in (KEY, TOKEN) if secret in "".join(lines)]
    assert server.requests[-1].headers["x-api-key"] == KEY


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ("relay --port {}", 2, "port {} of 127.0.0.1: it is in use; choose another with --port or --host"),
        ("sandbox --port {}", 2, "cannot listen on port {} of 127.0.0.1: it is in use; choose another with --port\n"),
        ("relay --host no.such.host.invalid --token-env MY_TOKEN", 2, "Name or service not known; choose another"),
        ("relay --token-env BLANK", 2, "the variable 'BLANK' is not set, or empty"),
        ("relay --allow-origin localhost:3000", 2, "'localhost:3000' is not the address of a page, such as http://"),
        ("relay --site cn", 3, "There is no AiToEarn key."),
        ("relay --port many", 2, "valid integer"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("sandboxed")
def test_a_server_that_cannot_be_is_told_in_one_line(
    site: sandbox.Sandbox, arguments: str, code: int, told: str
) -> None:
    """A port in use, a token that is not there, no key."""
    port = re.findall(r":(\d+)/", site.base_url)[0]
    failed = run(*arguments.format(port).split(), AITOEARN_API_KEY="", MY_TOKEN=TOKEN, BLANK=" ")

    assert (failed.returncode, failed.stderr.count("\n")) == (code, 1)
    assert told.format(port) in failed.stderr
