"""`relay`, until Ctrl-C."""

from __future__ import annotations

import re
from typing import Any

import openai
import pytest

from commands import KEY, delta, events
from conftest import MESSAGES, Reply, ScriptedServer
from relays import serving

TOKEN = "a token that the person chose"
OWN = ["--verbose", "--host", "0.0.0.0", "--token-env", "MY_TOKEN"]


@pytest.mark.parametrize("options", [[], OWN], ids=["with a new token", "with a token of one's own"])
@pytest.mark.slow
def test_a_relay_serves_until_ctrl_c_and_says_what_fails(server: ScriptedServer, options: list[str]) -> None:
    """Also inside a stream; what works on request. Never a key or a token, or what steers a terminal."""
    failure = {"code": 12001, "data": {}, "message": f"no {KEY}\x1b[2J\nok"}
    server.answer(
        Reply({"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}]}),
        Reply(failure),
        events(delta(content="Hi"), failure),
    )
    settings = {"AITOEARN_BASE_URL": server.origin, "AITOEARN_API_KEY": KEY, "MY_TOKEN": TOKEN}
    pages = "--allow-origin", "http://localhost:3000"
    with serving("relay", *options, *pages, **settings) as (_, (first, second, third), said):
        token = TOKEN if options else third.split()[-1]
        address = second.split()[-1].replace("0.0.0.0", "127.0.0.1")
        with openai.OpenAI(base_url=address, api_key=token, max_retries=0) as client:
            client.chat.completions.create(model="m", messages=MESSAGES)
            for stream in (False, True):
                with pytest.raises(openai.APIError):
                    list(client.chat.completions.create(model="m", messages=MESSAGES, stream=stream))
            more: Any
            for more in ({"api_key": KEY}, {"default_headers": {"Origin": "http://localhost:3001"}}):
                with pytest.raises(openai.APIStatusError):
                    client.copy(**more).models.retrieve("m")
            with pytest.raises(openai.NotFoundError):
                client.get(f"/{KEY}/{token}%1B%5B2J", cast_to=object)

    assert server.origin in first
    assert ("the value of MY_TOKEN" in third) == bool(options)
    assert not [secret for secret in (KEY, TOKEN) if secret in first + second + third]
    no_credits = "POST /v1/chat/completions 402: no ********** [2J ok (AiToEarn code 12001)"
    assert [re.sub(r"^\d\d:\d\d:\d\d | \d+\.\d\d s", "", line) for line in said] == [
        *(["POST /v1/chat/completions 200"] if options else []),
        no_credits,
        no_credits,
        "GET /v1/models/m 401: The program sends a key that is not the token of this relay: its API key must be the token that the relay shows.",
        (
            "GET /v1/models/m 403: The relay does not answer web pages, such as those of http://localhost:3001: start it with "
            "`--allow-origin http://localhost:3001` if that page may use it with the token."
        ),
        (
            "GET /v1/**********/********** [2J 404: AiToEarn has no GET /**********/********** [2J: set the program to use POST "
            "/chat/completions, /images/generations, /images/edits or GET /models."
        ),
    ]
