"""The lines that docs/frameworks.md shows, with the sandbox in the place of the service; one framework after another."""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
import tempfile
from collections.abc import AsyncIterable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from aitoearn_openai import OpenAI, sandbox
from snippets import snippet_of

HI = "你好"
SAID = f"This is the AiToEarn sandbox; no model read your message. You said: {HI}"
MESSAGES = [{"role": "user", "content": HI}]

# Read when a framework is imported, so they are set here: nobody is told of these tests, LiteLLM does not fetch
# its list of prices, and what DSPy and llm keep on disk neither stays nor answers in place of the sandbox.
_scratch = tempfile.mkdtemp()
atexit.register(shutil.rmtree, _scratch, ignore_errors=True)
os.environ.update(
    DSPY_CACHEDIR=_scratch,
    HAYSTACK_TELEMETRY_ENABLED="False",
    LANGSMITH_TRACING="false",
    LITELLM_LOCAL_MODEL_COST_MAP="True",
    LLM_USER_PATH=_scratch,
)


class City(BaseModel):
    name: str
    people: int


@dataclass(frozen=True)
class Framework:
    """How to ask what a snippet defines."""

    package: str
    """What is imported."""
    asks: Mapping[str, Callable[[Any], Any]]
    """Each gives the answer to 你好, or a list of its pieces."""
    answer: Any = SAID
    error: Callable[[], type[Exception]] = lambda: openai.APIStatusError
    """What missing credits are."""
    status: Callable[[Any], int] = lambda error: int(error.status_code)


async def _collect(pieces: AsyncIterable[Any]) -> list[Any]:
    return [piece async for piece in pieces]


def _stream_agent(snippet: Any) -> list[str]:
    async def stream() -> list[Any]:
        return await _collect(import_module("agents").Runner.run_streamed(snippet.agent, HI).stream_events())

    data = [event.data for event in asyncio.run(stream()) if event.type == "raw_response_event"]
    return [each.delta for each in data if each.type == "response.output_text.delta"]


def _stream_pydantic_ai(snippet: Any) -> list[str]:
    async def stream() -> list[Any]:
        async with snippet.agent.run_stream(HI) as result:
            return await _collect(result.stream_text(delta=True, debounce_by=None))

    return asyncio.run(stream())


def _run_haystack(snippet: Any, is_async: bool = False, **arguments: Any) -> Any:
    messages = [import_module("haystack.dataclasses").ChatMessage.from_user(HI)]
    run = snippet.generator.run_async if is_async else snippet.generator.run
    ran = run(messages, **arguments)
    return (asyncio.run(ran) if is_async else ran)["replies"][0]


def _stream_haystack(snippet: Any) -> list[str]:
    pieces: list[str] = []
    _run_haystack(snippet, streaming_callback=lambda chunk: pieces.append(chunk.content))
    return pieces


async def _ask_llm_async(snippet: Any) -> str:
    return str(await snippet.async_model.prompt(HI).text())


def _run_llm(*arguments: str) -> Any:
    return import_module("click.testing").CliRunner().invoke(import_module("llm.cli").cli, arguments)


def _city_of_instructor(snippet: Any, ask: str = "create") -> City:
    """The last that comes; its class is one that Instructor has made of `City`."""
    answer = getattr(snippet.client, ask)(model="glm-5.2", messages=MESSAGES, response_model=City)
    return City.model_validate((answer if ask == "create" else list(answer)[-1]).model_dump())


LITELLM = "openai/glm-5.2", MESSAGES
FRAMEWORKS = {
    "LangChain": Framework(
        "langchain_openai",
        {
            "sync": lambda snippet: snippet.llm.invoke(HI).content,
            "streamed": lambda snippet: [
                chunk.content for chunk in asyncio.run(_collect(snippet.llm.astream(HI)))
            ],
        },
    ),
    "LlamaIndex": Framework(
        "llama_index.llms.openai_like",
        {
            "sync": lambda snippet: snippet.llm.complete(HI).text,
            "async": lambda snippet: asyncio.run(snippet.llm.acomplete(HI)).text,
            "streamed": lambda snippet: [chunk.delta for chunk in snippet.llm.stream_complete(HI)],
        },
    ),
    "Pydantic AI": Framework(
        "pydantic_ai",
        {"sync": lambda snippet: snippet.agent.run_sync(HI).output, "streamed": _stream_pydantic_ai},
        error=lambda: import_module("pydantic_ai").ModelHTTPError,
    ),
    "Instructor": Framework(
        "instructor",
        {
            "sync": _city_of_instructor,
            "partial": lambda snippet: _city_of_instructor(snippet, "create_partial"),
        },
        answer=City(name="sandbox", people=0),
        error=lambda: import_module("instructor.core").InstructorRetryException,
        status=lambda error: int(error.__cause__.status_code),
    ),
    "OpenAI Agents SDK": Framework(
        "agents",
        {
            "sync": lambda snippet: import_module("agents").Runner.run_sync(snippet.agent, HI).final_output,
            "streamed": _stream_agent,
        },
    ),
    "DSPy": Framework(
        "dspy",
        {
            "sync": lambda snippet: "".join(snippet.lm(HI)),
            "async": lambda snippet: "".join(asyncio.run(snippet.async_lm.acall(HI))),
            "a copy, as optimizers make it": lambda snippet: "".join(snippet.lm.copy(temperature=0.5)(HI)),
        },
        error=lambda: import_module("dspy").LMError,
        status=lambda error: int(error.status),
    ),
    "LiteLLM": Framework(
        "litellm",
        {
            "sync": lambda snippet: snippet.completion(*LITELLM).choices[0].message.content,
            "async": lambda snippet: asyncio.run(snippet.acompletion(*LITELLM)).choices[0].message.content,
            "streamed": lambda snippet: [
                chunk.choices[0].delta.content or "" for chunk in snippet.completion(*LITELLM, stream=True)
            ],
        },
    ),
    "LLM": Framework(
        "llm",
        {
            "sync": lambda snippet: snippet.model.prompt(HI, stream=False).text(),
            "async": lambda snippet: asyncio.run(_ask_llm_async(snippet)),
            "streamed": lambda snippet: list(snippet.model.prompt(HI, stream=True)),
        },
    ),
    "Haystack": Framework(
        "haystack",
        {
            "sync": lambda snippet: _run_haystack(snippet).text,
            "async": lambda snippet: _run_haystack(snippet, is_async=True).text,
            "streamed": _stream_haystack,
        },
    ),
}
"""By the heading of the section that has the snippet."""

WAYS = [(heading, way) for heading, framework in FRAMEWORKS.items() for way in framework.asks]


@pytest.fixture
def connect(
    site: sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Callable[..., Any]:
    """What the snippet for a framework defines, as a module; a key out of `sandbox.FAILURES` makes each call fail."""

    def run(heading: str, key: str = "sandbox") -> Any:
        pytest.importorskip(FRAMEWORKS[heading].package)
        for variable, value in {"SITE": "sandbox", "BASE_URL": site.base_url, "API_KEY": key}.items():
            monkeypatch.setenv(f"AITOEARN_{variable}", value)
        module: Any = ModuleType("snippet", f"The snippet for {heading}.")
        snippet = snippet_of("frameworks.md", heading)
        exec(compile(snippet, f"docs/frameworks.md, {heading}", "exec"), vars(module))
        if heading == "LLM":  # A plugin.
            plugins = import_module("llm.plugins")
            plugins.load_plugins()
            plugins.pm.register(module)
            request.addfinalizer(partial(plugins.pm.unregister, module))
            if key == "sandbox":
                module.model = module.llm.get_model("aitoearn/glm-5.2")
                module.async_model = module.llm.get_async_model("aitoearn/glm-5.2")
        return module

    return run


@pytest.mark.parametrize(("heading", "way"), WAYS)
def test_a_model_answers(connect: Any, heading: str, way: str) -> None:
    """Sync and async, whole and in more than one piece."""
    answer = FRAMEWORKS[heading].asks[way](connect(heading))
    if isinstance(answer, list):
        assert len(answer) > 2
        answer = "".join(answer)

    assert answer == FRAMEWORKS[heading].answer


@pytest.mark.parametrize(("heading", "way"), [way for way in WAYS if way[0] != "LiteLLM"])
def test_missing_credits_raise(connect: Any, heading: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the service reports them as HTTP 200, also when it should stream."""
    snippet = connect(heading, key="sandbox" if heading == "LLM" else "fail-12001")
    monkeypatch.setenv("AITOEARN_API_KEY", "fail-12001")  # LLM has to list the models before.
    with pytest.raises(FRAMEWORKS[heading].error(), match="Insufficient credits") as caught:
        FRAMEWORKS[heading].asks[way](snippet)

    assert FRAMEWORKS[heading].status(caught.value) == 402


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("code", "error", "status"), [(401, "AuthenticationError", 401), (12001, "APIError", 402)]
)
def test_litellm_raises_its_own_error(connect: Any, code: int, error: str, status: int, stream: bool) -> None:
    """Its own class for it, also when it should stream."""
    snippet = connect("LiteLLM")  # Which asks for an answer.
    with pytest.raises(getattr(snippet.litellm, error)) as caught:
        snippet.completion(f"openai/fail-{code}", MESSAGES, stream=stream, max_retries=0)
    assert caught.value.status_code == status


def test_langchain_asks_a_name_of_the_responses_api_by_chat_completions(connect: Any) -> None:
    """The service has such a model or not; it is not asked at an address that it does not have."""
    with pytest.raises(openai.NotFoundError, match=r"Model not found: gpt-5\.2-pro"):
        connect("LangChain").llm.model_copy(update={"model_name": "gpt-5.2-pro"}).invoke(HI)


def test_llm_lists_the_models_of_the_service(connect: Any, site: sandbox.Sandbox) -> None:
    """As many as the service has, each under its name; those that see take images."""
    get_model = connect("LLM").llm.get_model
    listed = _run_llm("models", "--query", "aitoearn/").output.splitlines()

    assert "OpenAI Chat: aitoearn/glm-5.2" in listed
    assert len(listed) == len(OpenAI.from_settings(site.settings).models.list().data)
    sees = ["image/png" in get_model(f"aitoearn/{name}").attachment_types for name in ("gpt-5.2", "glm-5.2")]
    assert sees == [True, False]


def test_a_wrong_key_leaves_the_other_models_of_llm_alone(connect: Any) -> None:
    """It is told, and llm goes on."""
    connect("LLM", key="fail-401")
    result = _run_llm("models")

    assert "AiToEarn: Error code: 401" in result.stderr
    assert "gpt-4o" in result.stdout
    assert "aitoearn/" not in result.stdout


def test_a_generator_of_haystack_that_was_closed_comes_back_with_our_client(connect: Any) -> None:
    """It never speaks to OpenAI in between; each reply has the tokens that it took."""
    snippet = connect("Haystack")
    assert _run_haystack(snippet).meta["usage"]["total_tokens"] > 0
    snippet.generator.close()

    assert _run_haystack(snippet).text == SAID
