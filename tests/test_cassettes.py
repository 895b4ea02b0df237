"""Recorded conversations: each replays one behaviour of the service with the network blocked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import vcr

from aitoearn_openai import Settings, sandbox
from conftest import Asker, complete, list_models, stream

CASSETTES = Path(__file__).parent.parent / "cassettes"
LIVE_SITE = os.environ.get("AITOEARN_RECORD_SITE")
LIVE_KEY = os.environ.get("AITOEARN_API_KEY")
KEY_HEADERS = ["authorization", "x-api-key", "cookie"]
TELLTALES = ["arch", "async", "lang", "os", "package-version", "runtime", "runtime-version"]  # of a machine
VCR: dict[str, Any] = {
    # Recorded on any site, replayed as any site.
    "match_on": ["method", "path", "body"],
    "filter_headers": [*KEY_HEADERS, "user-agent", *(f"x-stainless-{name}" for name in TELLTALES)],
    "decode_compressed_response": True,
}
MODEL = "glm-5.2"


def replayed(name: str) -> Any:
    """Mark a test that replays `cassettes/NAME.yaml`; no host at all is allowed meanwhile."""

    def mark(test: Any) -> Any:
        for marker in (
            pytest.mark.vcr,
            pytest.mark.default_cassette(f"{name}.yaml"),
            pytest.mark.block_network(allowed_hosts=["none"]),
        ):
            test = marker(test)
        return test

    return mark


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
    elif LIVE_SITE:
        yield Settings.model_validate({"site": LIVE_SITE, "api_key": LIVE_KEY})
    else:
        with sandbox.serve() as site:
            yield site.settings


def ask(asker: Asker, target: Settings, question: Any, **overrides: Any) -> Any:
    assert target.api_key
    arguments = {
        "base_url": target.base_url,
        "api_key": target.api_key.get_secret_value(),
        "max_retries": 0,
        **overrides,
    }
    return asker.run(question, **arguments)


@replayed("model_list")
def test_the_model_list(asker: Asker, target: Settings) -> None:
    """Each model has a name, and the one that the next recordings use is among them."""
    models = ask(asker, target, list_models).data

    assert all(model.id for model in models)
    assert MODEL in {model.id for model in models}


@replayed("image_generation_models")
def test_the_models_for_image_generation(asker: Asker, target: Settings) -> None:
    """Each with a name, and sizes that have a price."""
    models = ask(asker, target, lambda client: client.models.image_generation.list()).data

    assert any(model.credits(size=model.sizes[0]) for model in models if model.sizes)


@replayed("image_edit_models")
def test_the_models_for_image_edits(asker: Asker, target: Settings) -> None:
    """Each with the most images that it takes."""
    models = ask(asker, target, lambda client: client.models.image_edit.list()).data

    assert any(model.max_input_images for model in models)


@replayed("completion")
def test_a_completion(asker: Asker, target: Settings) -> None:
    """An answer in OpenAI's format with the service's `cost` beside it."""
    answer = ask(asker, target, complete(MODEL, max_tokens=20))

    assert answer.choices[0].message.role == "assistant"
    assert answer.usage.total_tokens > 0
    assert answer.cost


@replayed("streamed_completion")
def test_a_streamed_completion(asker: Asker, target: Settings) -> None:
    """Chunks that end with a reason to finish."""
    chunks = ask(asker, target, stream(MODEL, max_tokens=20))

    assert any(choice.delta.content for chunk in chunks for choice in chunk.choices)
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1]


@replayed("wrong_key")
def test_a_wrong_key(asker: Asker, target: Settings) -> None:
    """The service's HTTP 200 with code 401."""
    with pytest.raises(openai.AuthenticationError, match="AiToEarn code 401"):
        ask(asker, target, complete(MODEL), api_key="wrong")


@replayed("unknown_model")
def test_an_unknown_model(asker: Asker, target: Settings) -> None:
    """The service's HTTP 200 with code 12300."""
    with pytest.raises(openai.NotFoundError, match="AiToEarn code 12300"):
        ask(asker, target, complete("no-such-model"))


def test_every_cassette_is_replayed() -> None:
    """A recording that no test reads is out of date before anyone notices."""
    names = {
        marker.args[0]
        for test in globals().values()
        for marker in getattr(test, "pytestmark", ())
        if marker.name == "default_cassette"
    }

    assert {path.name for path in CASSETTES.glob("*.yaml")} == names


@pytest.mark.parametrize("path", sorted(CASSETTES.glob("*.yaml")), ids=lambda path: path.stem)
def test_no_cassette_holds_a_key(path: Path) -> None:
    """Neither header of a key is in any recording."""
    text = path.read_text("utf-8").lower()

    for trace in ("authorization", "bearer", "x-api-key", "cookie"):
        assert trace not in text


def test_a_recording_leaves_the_key_out(asker: Asker, site: sandbox.Sandbox, tmp_path: Path) -> None:
    """What is recorded right now, with a key that can be told from all else."""
    tape = tmp_path / "tape.yaml"
    with (
        vcr.VCR(record_mode="once", **VCR).use_cassette(str(tape)),
        pytest.raises(openai.AuthenticationError),
    ):
        asker.run(list_models, base_url=site.base_url, api_key="canary-key", max_retries=0)

    assert "/models/chat" in tape.read_text("utf-8")
    assert "canary" not in tape.read_text("utf-8")
