"""`llm`: a plugin with our models and our client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from _snippets import SAID, connect

from aitoearn_openai import OpenAI, sandbox

llm = pytest.importorskip("llm")
cli = pytest.importorskip("llm.cli").cli
plugins = pytest.importorskip("llm.plugins")
testing = pytest.importorskip("click.testing")


@pytest.fixture(autouse=True)
def plugin(site: sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The snippet as a plugin that is installed."""
    plugins.load_plugins()
    module = connect("LLM", site, monkeypatch)
    plugins.pm.register(module)
    yield
    plugins.pm.unregister(module)


def _run(*arguments: str) -> Any:
    return testing.CliRunner().invoke(cli, arguments)


def test_the_models_of_the_service_are_listed(site: sandbox.Sandbox) -> None:
    """As many as the service has, each under its name."""
    listed = _run("models", "--query", "aitoearn/").output.splitlines()

    assert "OpenAI Chat: aitoearn/glm-5.2" in listed
    assert len(listed) == len(OpenAI.from_settings(site.settings).models.list().data)


@pytest.mark.parametrize("options", [["--no-stream"], []], ids=["whole", "streamed"])
def test_a_model_answers_on_the_command_line(options: list[str]) -> None:
    """Streamed or not."""
    assert _run("-m", "aitoearn/glm-5.2", "你好", *options).output == f"{SAID}\n"


def test_a_model_streams() -> None:
    """In more than one piece."""
    pieces = list(llm.get_model("aitoearn/glm-5.2").prompt("你好", stream=True))

    assert len(pieces) > 2
    assert "".join(pieces) == SAID


def test_a_model_answers_async_code() -> None:
    """By the async client."""

    async def answer() -> str:
        return await llm.get_async_model("aitoearn/glm-5.2").prompt("你好").text()

    assert asyncio.run(answer()) == SAID


def test_a_model_answers_with_an_object() -> None:
    """By a JSON schema."""
    result = _run("-m", "aitoearn/glm-5.2", "--schema", "name, people int", "你好")

    assert json.loads(result.output) == {"name": "sandbox", "people": 0}


def test_a_model_that_sees_takes_images() -> None:
    """As the service's list says of each model."""
    assert "image/png" in llm.get_model("aitoearn/gpt-5.2").attachment_types
    assert "image/png" not in llm.get_model("aitoearn/glm-5.2").attachment_types


def test_missing_credits_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the service reports them as HTTP 200."""
    model = llm.get_model("aitoearn/glm-5.2")
    monkeypatch.setenv("AITOEARN_API_KEY", "fail-12001")

    for stream in (False, True):
        with pytest.raises(openai.APIStatusError, match="Insufficient credits"):
            model.prompt("你好", stream=stream).text()


def test_a_wrong_key_leaves_the_other_models_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, and llm goes on."""
    monkeypatch.setenv("AITOEARN_API_KEY", "fail-401")
    result = _run("models")

    assert result.exit_code == 0
    assert "AiToEarn: Error code: 401" in result.stderr
    assert "gpt-4o" in result.stdout
    assert "aitoearn/" not in result.stdout
