"""Recorded conversations: each replays one behaviour of the service with the network blocked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import vcr

from aitoearn_openai import Settings, sandbox
from conftest import Asker, complete, list_models, stream

CASSETTES = Path(__file__).parent.parent / "cassettes"
LIVE = {"site": os.environ.get("AITOEARN_RECORD_SITE"), "api_key": os.environ.get("AITOEARN_API_KEY")}
KEY_HEADERS = ["authorization", "x-api-key", "cookie"]
TELLTALES = ["arch", "async", "lang", "os", "package-version", "runtime", "runtime-version"]  # of a machine
VCR: dict[str, Any] = {
    # Recorded on any site, replayed as any site.
    "match_on": ["method", "path", "body"],
    "filter_headers": [*KEY_HEADERS, "user-agent", *(f"x-stainless-{name}" for name in TELLTALES)],
    "decode_compressed_response": True,
}
MODEL = "glm-5.2"


def reasons(chunks: list[Any]) -> list[Any]:
    return [choice.finish_reason for chunk in chunks for choice in chunk.choices]


CASES: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "model_list": (list_models, lambda page: MODEL in {model.id for model in page.data}),
    "image_generation_models": (
        lambda client: client.models.image_generation.list(),
        lambda page: any(model.credits(size=model.sizes[0]) for model in page.data if model.sizes),
    ),
    "image_edit_models": (
        lambda client: client.models.image_edit.list(),
        lambda page: any(model.max_input_images for model in page.data),
    ),
    "completion": (
        complete(MODEL, max_tokens=20),
        lambda made: made.choices[0].message.role == "assistant" and made.usage.total_tokens and made.cost,
    ),
    "streamed_completion": (
        stream(MODEL, max_tokens=20),
        lambda chunks: any(chunk.choices[0].delta.content for chunk in chunks) and reasons(chunks)[-1],
    ),
    "wrong_key": (lambda client: complete(MODEL)(client.with_options(api_key="wrong")), "AiToEarn code 401"),
    "unknown_model": (complete("no-such-model"), "AiToEarn code 12300"),
}
"""What is asked, and what an answer has, or a failure says."""
BLOCKED = pytest.mark.vcr, pytest.mark.block_network(allowed_hosts=["none"])


@pytest.fixture(params=["sync", "async"])
def asker(request: pytest.FixtureRequest) -> Asker:
    """On httpx alone: to vcrpy a request without a body is another one when aiohttp sends it."""
    return Asker(is_async=request.param == "async")


@pytest.fixture(scope="module")
def vcr_config() -> dict[str, Any]:
    return VCR


@pytest.fixture(scope="module")
def vcr_cassette_dir() -> str:
    return str(CASSETTES)


@pytest.fixture(scope="module")
def target(record_mode: str) -> Iterator[Settings]:
    """The site to record on; where nothing is recorded, none is running."""
    if record_mode == "none":
        yield Settings(site="sandbox")
    elif LIVE["site"]:
        yield Settings.model_validate(LIVE)
    else:
        with sandbox.serve() as site:
            yield site.settings


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[*BLOCKED, pytest.mark.default_cassette(f"{name}.yaml")]) for name in CASES],
)
def test_a_recorded_conversation(asker: Asker, target: Settings, name: str) -> None:
    """In OpenAI's format, with what the service adds; its HTTP 200 with a code is the SDK's exception."""
    given = {"base_url": target.base_url, "api_key": target.api_key.get_secret_value(), "max_retries": 0}
    question, expected = CASES[name]
    if isinstance(expected, str):
        with pytest.raises((openai.AuthenticationError, openai.NotFoundError), match=expected):
            asker.run(question, **given)
    else:
        assert expected(asker.run(question, **given))


def test_each_cassette_is_replayed_and_holds_no_key() -> None:
    """A recording that no test reads is out of date before anyone notices."""
    texts = {path.stem: path.read_text("utf-8").lower() for path in CASSETTES.glob("*.yaml")}
    assert texts.keys() == CASES.keys()
    for trace in ("authorization", "bearer", "x-api-key", "cookie"):
        assert not [name for name, text in texts.items() if trace in text]


def test_a_recording_leaves_the_key_out(asker: Asker, site: sandbox.Sandbox, tmp_path: Path) -> None:
    """What is recorded right now, with a key that can be told from all else."""
    tape = tmp_path / "tape.yaml"
    recording = vcr.VCR(record_mode="once", **VCR).use_cassette(str(tape))
    with recording, pytest.raises(openai.AuthenticationError):
        asker.run(list_models, base_url=site.base_url, api_key="canary-key", max_retries=0)

    assert "/models/chat" in tape.read_text("utf-8")
    assert "canary" not in tape.read_text("utf-8")
