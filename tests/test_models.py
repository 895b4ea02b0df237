"""The model list: from the service's own shape to the SDK's types, and what a call costs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import openai
import pytest
from openai.pagination import AsyncPage, SyncPage
from openai.types import CompletionUsage, Model

from aitoearn_openai import ChatModel, ImageModel
from aitoearn_openai.sandbox._catalogue import ENTRIES
from conftest import Asker, Reply, ScriptedServer, complete, draw, in_turns, list_models
from faults.runner import wait


def envelope(*entries: Any) -> Reply:
    return Reply({"data": list(entries), "code": 0, "message": "请求成功", "requestId": "b385"})


def ask_list(asker: Asker, server: ScriptedServer, ask: Any = list_models) -> Any:
    return asker.run(ask, api_key="k", base_url=server.base_url, max_retries=0)


def model(**entry: Any) -> ChatModel:
    return ChatModel.model_validate({"name": "m", **entry})


def test_the_list_is_a_page_of_the_sdks_models(asker: Asker, server: ScriptedServer) -> None:
    """As `models.list()` returns it in the SDK, from the service's own path."""
    server.answer(envelope(ENTRIES[0]))
    page = ask_list(asker, server)
    found, request = page.data[0], server.requests[0]

    assert (request.method, request.path) == ("GET", "/api/ai/models/chat")
    assert (request.headers["authorization"], request.headers["x-api-key"]) == ("Bearer k", "k")
    assert isinstance(page, AsyncPage if asker.is_async else SyncPage)
    assert page.model_extra["requestId"] == "b385"
    assert isinstance(found, Model)
    assert (found.id, found.object, found.owned_by) == ("gemini-3.1-pro-preview", "model", "gemini")
    assert (found.label, found.description) == ("Gemini 3.1 Pro Preview", "Gemini 3.1 Pro Preview")
    assert found.input_modalities == ["text", "image", "audio", "video"]
    assert found.output_modalities == ["text"]
    assert (found.credits_scope, found.scenes) == ("general", ["web", "comment", "draft-generation"])
    assert found.pricing.tiers[0].max_input_tokens == 200_000
    assert found.pricing.tiers[1].input.cache_read == Decimal("0.04")


def test_an_odd_entry_does_not_take_the_rest_down(asker: Asker, server: ScriptedServer) -> None:
    """Without a name it is left out; a field of the wrong kind counts as missing; unknown fields stay."""
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"originPricing": deep}
    server.answer(
        envelope(
            *({"label": "nameless"}, {"name": " "}, {"name": None}, {"name": 5}, "not an entry", 5),
            {"name": "odd", "label": 5, "tags": 7, "scenes": None, "pricing": "free", "inputModalities": [1]},
            {"name": "odder", "pricing": {"tiers": [{"input": 1, "maxInputTokens": "x"}]}, "new": {"a": 1}},
            {"id": "as-openai", "object": "model", "owned_by": "me"},
            {"name": "half a character: \ud83d"},
            {"name": "deep", "label": [], "pricing": deep, "scenes": ["web"]},
            {"name": "own", "tags": [{"en-US": "Sale", "zh-CN": "限时"}, {"zh-CN": "新"}, {}, "plain"]},
        )
    )
    odd, odder, as_openai, deeper, own = ask_list(asker, server).data

    assert (odd.id, odd.label, odd.pricing) == ("odd", None, None)
    assert odd.tags == odd.scenes == odd.input_modalities == []
    assert (odder.id, odder.new, odder.credits(prompt_tokens=1)) == ("odder", {"a": 1}, None)
    assert (as_openai.id, as_openai.owned_by) == ("as-openai", "me")
    assert (deeper.id, deeper.label, deeper.scenes) == ("deep", None, ["web"])
    assert (own.tags, own.label, own.pricing) == (["Sale", "新", "", "plain"], None, None)


@in_turns(
    "wanted,name",
    [
        ("GLM-5.2", "glm-5.2"),
        (" glm - 5.2 ", "glm-5.2"),
        ("gemini 3 pro", "g3"),
        ("Best", "best"),  # A name wins over a label,
        ("plain", "plain"),  # and to the letter over another case.
        ("Plain", "Plain"),
    ],
)
def test_name_or_label_finds_a_model(asker: Asker, server: ScriptedServer, wanted: str, name: str) -> None:
    """Ignoring case and spaces."""
    labels = {"g3": "Gemini 3 Pro", "best": None, "glm-5.2": "Best", "Plain": None, "plain": None}
    server.answer(envelope(*({"name": name, "label": label} for name, label in labels.items())))

    assert ask_list(asker, server, lambda client: client.models.retrieve(wanted)).id == name


@in_turns(
    "wanted,hint",
    [
        ("gemini", "The closest names are gemini-3-image, gemini-3-preview, gpt-mini."),
        ("image", "The closest name is gemini-3-image."),
        ("qqq", "`client.models.list()` has their names."),
        (" ", "`client.models.list()` has their names."),
    ],
)
def test_wrong_names_get_the_closest(asker: Asker, server: ScriptedServer, wanted: str, hint: str) -> None:
    """In the SDK's own error: those with the word in them, before those that are spelt alike."""
    server.answer(envelope(*({"name": name} for name in ("gpt-mini", "gemini-3-image", "gemini-3-preview"))))
    with pytest.raises(openai.NotFoundError) as caught:
        ask_list(asker, server, lambda client: client.models.retrieve(wanted))

    assert (caught.value.status_code, str(caught.value)) == (404, f"No model is named {wanted!r}. {hint}")


def used(prompt: int, completion: int = 0, **more: Any) -> CompletionUsage:
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return CompletionUsage.model_validate({**counts, **more})


def read(**details: int) -> dict[str, Any]:
    return {"prompt_tokens_details": details}


def written(**details: int) -> dict[str, Any]:
    return {"completion_tokens_details": details}


TEXT = {"input": {"text": 1}}
INPUT = {"text": "0.075", "cacheRead": "0.01", "audio": "1"}
SMALL = {"maxInputTokens": 1000, "input": INPUT, "output": {"text": "0.45"}}
TWO = [SMALL, {"input": {"text": "0.1"}, "output": {"text": "1.5"}}]
SHORT = {"input": {"text": "0.2", "cacheRead": "0.02"}, "output": {"text": "1.2"}}
DRAWS = {"input": {"text": "0.3"}, "output": {"text": "2", "image": "20"}}
MANY = {"input": {"text": "0.2", "image": "0.2", "audio": "0.7", "cacheRead": "0.02"}}
WRITES = {"text": "1", "cacheWrite5m": "2", "cacheWrite1h": "4"}


@pytest.mark.parametrize(
    ("tiers", "tokens", "credits"),
    [
        # The right tier, cached and audio tokens at their own rate, or at that of text where there is none.
        (TWO, used(385, 86), "0.067575"),
        (TWO, used(0), "0"),
        (TWO, used(1000, **read(cached_tokens=400)), "0.049"),
        (TWO, used(1000, **read(audio_tokens=500)), "0.5375"),
        (TWO, used(1001, 1000), "1.6001"),
        ([TEXT], used(1000, **read(cached_tokens=100, audio_tokens=100)), "1"),
        # The last tier takes what is above them all; null is no price and no limit.
        ([SMALL, {"maxInputTokens": 1001, "input": {"text": 2}, "output": None}], used(2000), "4"),
        # What was read from the cache, as DeepSeek, Moonshot and Anthropic count it.
        ([SHORT], used(1000, prompt_cache_hit_tokens=1000, prompt_cache_miss_tokens=0), "0.02"),
        ([SHORT], used(1000, cached_tokens=1000), "0.02"),
        ([SHORT], used(1000, cache_read_input_tokens=1000), "0.02"),
        ([SHORT], used(1000, prompt_cache_hit_tokens=9, **read(cached_tokens=9)), "0.19838"),
        ([SHORT], used(1000, prompt_cache_hit_tokens=9, **read(cached_tokens=8)), None),
        # A total that the two counts do not make, as where reasoning or what was cached is left out of them.
        ([SHORT], used(1000, total_tokens=0), "0.2"),
        ([SHORT], used(10, 5, total_tokens=1015), None),
        ([SHORT], used(10, 5, **written(reasoning_tokens=1000)), None),
        # More cached than prompt tokens, and other counts that contradict each other.
        ([SHORT], used(10, **read(cached_tokens=1000)), None),
        ([SHORT], used(10, **read(audio_tokens=1000)), None),
        ([SHORT], used(10, -5), None),
        ([DRAWS], used(0, 10, **written(image_tokens=20)), None),
        # Images among the answer's tokens.
        ([DRAWS], used(0, 1300, **written(image_tokens=1290)), "25.82"),
        ([DRAWS], used(0, 1290, **written(image_tokens=0)), "2.58"),
        ([DRAWS], used(0, 1290), None),
        ([DRAWS], used(1000), "0.3"),
        ([SHORT], used(0, 1290, **written(image_tokens=1290)), None),
        # What was written to the cache.
        ([{"input": WRITES}], used(1000, **read(cache_write_tokens=500)), None),
        ([{"input": WRITES}], used(1000, cache_creation_input_tokens=500), None),
        ([TEXT], used(1000, **read(cache_creation_tokens=500)), "1"),
        ([{"input": {**WRITES, "cacheWrite1h": "2"}}], used(1000, **read(cache_write_tokens=500)), "1.5"),
        # Of 500 from the cache and 500 of audio nobody knows whether they are the same; of a kind that costs as text it
        # does not matter.
        ([MANY], used(1000, **read(cached_tokens=500, audio_tokens=500)), None),
        ([MANY], used(1000, **read(cached_tokens=500, image_tokens=500)), "0.11"),
        # Without a price there are no credits: nobody said that it is free.
        ([], used(1, 1), None),
        ([{"input": {"image": "1"}}], used(1, 1), None),
        # Of prices that cannot be read, or cannot be, nobody knows what they price.
        *(([{**SHORT, "maxInputTokens": odd}, TEXT], used(150), None) for odd in ("many", 0, True)),
        ([{"input": {"text": -1}}, TEXT], used(150), None),
        ([{**SHORT, "output": 5}, TEXT], used(150), None),
        ([TEXT, "odd"], used(150), None),
        ([{"input": {"text": 1, "cacheRead": "1E+999999"}}], used(150), None),
    ],
)
def test_credits_are_right_or_none(tiers: Any, tokens: CompletionUsage, credits: str | None) -> None:
    """Where list and usage leave a price open there is none."""
    assert model(pricing={"tiers": tiers}).credits(tokens) == (credits and Decimal(credits))


def test_a_flat_price_is_per_call() -> None:
    """Whatever the tokens; one that cannot be, or that is beside one by token, leaves the price open."""
    for pricing, credits in (
        ({"price": "1.5", "originPrice": "2", "tiers": None}, "1.5"),
        ({"price": "-1"}, None),
        # A 0 for "none" would make every call free.
        ({"price": "0", "tiers": [SHORT]}, None),
        ({"price": "0", "tiers": []}, "0"),
        ({}, None),
        (None, None),
    ):
        priced = model(pricing=pricing)
        assert priced.credits() == priced.credits(used(9, 9)) == (credits and Decimal(credits))


def test_credits_of_a_call_that_is_only_planned() -> None:
    """By counts in the place of a usage; neither nothing at all, nor an answer without a usage, costs nothing."""
    tier = {"input": {"text": 1, "cacheRead": 0}, "output": {"text": 2, "image": 9}}
    priced = model(pricing={"tiers": [tier]})

    assert priced.credits(prompt_tokens=1000, completion_tokens=500) == 2
    assert priced.credits(prompt_tokens=1000, cached_tokens=1000) == 0
    assert (priced.credits(None), priced.credits(CompletionUsage.construct())) == (None, None)
    with pytest.raises(TypeError, match="needs the usage of an answer, or prompt_tokens="):
        priced.credits()


def test_the_last_limit_of_the_list_can_be_asked_for() -> None:
    """A call above it has the last tier's prices, if the service takes it at all."""
    pricings = [{"tiers": [{"maxInputTokens": 10}, {"maxInputTokens": 20}]}, {"tiers": [TEXT]}, {}]

    assert [model(pricing=each).pricing.max_input_tokens for each in pricings] == [20, None, None]  # type: ignore[union-attr]


SIZES = ["1024x1024", "2048x2048"]
PRICES = [{"size": "1024x1024", "price": 1, "originPrice": 21.1}, {"size": "2048x2048", "price": 4}]
PAINTER: dict[str, Any] = {"name": "painter", "label": "The Painter", "tags": ["Sale"], "sizes": SIZES}
PAINTER |= {"qualities": ["high"], "styles": ["vivid"], "pricing": PRICES}
PAINTER |= {"creditsScope": "seedance", "maxInputImages": 14}
IMAGE_LISTS = {"image_generation": "/models/image/generation", "image_edit": "/models/image/edit"}


@pytest.mark.parametrize("name", IMAGE_LISTS)
def test_the_models_that_draw_are_listed(asker: Asker, server: ScriptedServer, name: str) -> None:
    """With sizes, qualities, styles and prices; one is found by name or label, also raw."""
    server.answer(envelope(PAINTER, {"name": "bare"}, {}))

    def ask(how: Any) -> Any:
        return ask_list(asker, server, lambda client: how(getattr(client.models, name)))

    painter, bare = ask(lambda models: models.list()).data
    request = server.requests[0]

    assert (request.path.endswith(IMAGE_LISTS[name]), request.headers["x-api-key"]) == (True, "k")
    assert isinstance(painter, ImageModel)
    assert (painter.id, painter.tags, painter.credits_scope) == ("painter", ["Sale"], "seedance")
    assert (painter.sizes, painter.qualities, painter.styles) == (SIZES, ["high"], ["vivid"])
    assert (painter.prices[0].price, painter.prices[0].origin_price) == (1, Decimal("21.1"))
    assert (painter.max_input_images, bare.max_input_images, bare.prices) == (14, None, [])
    assert ask(lambda models: models.retrieve("the painter")).id == "painter"
    assert ask(lambda models: models.with_raw_response.retrieve("painter")).parse().id == "painter"
    with pytest.raises(openai.NotFoundError, match=rf"`client\.models\.{name}\.list\(\)` has their names"):
        ask(lambda models: models.retrieve("qqq"))


ONE = [{"size": "1x1", "price": 1}]


@pytest.mark.parametrize(
    ("fields", "asked", "credits"),
    [
        (PAINTER, {"size": "1024x1024"}, 1),
        (PAINTER, {"size": "2048X2048", "n": 3}, 12),
        (PAINTER, {"size": "auto"}, None),
        # Without a size all sizes must have one price.
        (PAINTER, {}, None),
        ({"pricing": ONE}, {"n": 2}, 2),
        ({"pricing": [*ONE, {"size": "2x2", "price": 1}], "sizes": ["1x1", "2x2"]}, {}, 1),
        ({"pricing": ONE, "sizes": ["1x1", "2x2"]}, {}, None),
        ({"pricing": [{"price": 1}], "sizes": ["1x1", "2x2"]}, {}, 1),
    ],
)
def test_credits_of_images_are_by_size_and_number(fields: Any, asked: Any, credits: int | None) -> None:
    """None where the list has no price for the size, or several without one."""
    assert ImageModel.model_validate({"name": "m", **fields}).credits(**asked) == credits


NO_CREDITS = Reply({"code": 12001, "message": "no credits"})
UNKNOWN = Reply({"code": 12300, "message": "Model not found"})
BALANCES = "Credits belong to one of two balances, 'general' and 'seedance'"
NAMES, TO_DRAW, TO_EDIT = (
    f"`client.models.{name}list()` lists the names." for name in ("", "image_generation.", "image_edit.")
)


def edit(client: Any) -> Any:
    return client.images.edit(model="The Painter", prompt="p", image=b"png")


@in_turns(
    "reply,ask,hint,known_hint",
    [
        (UNKNOWN, complete("paint"), NAMES, "The closest name is painter."),
        (UNKNOWN, complete("qqq"), NAMES, NAMES),
        (UNKNOWN, complete("painter"), NAMES, f"The model list had painter, but models may vanish: {NAMES}"),
        (UNKNOWN, draw("The Painter"), TO_DRAW, "Its name is painter: that is what `model=` takes."),
        (UNKNOWN, edit, TO_EDIT, TO_EDIT),  # An upload.
        (NO_CREDITS, complete("m"), BALANCES, BALANCES),
        (NO_CREDITS, complete("painter"), BALANCES, "painter is paid from the balance 'seedance'"),
    ],
)
def test_a_refusal_says_what_the_list_that_is_known_says_of_the_model(
    asker: Asker, server: ScriptedServer, reply: Reply, ask: Any, hint: str, known_hint: str
) -> None:
    """Without a request of its own, also on copies of the client; a list that was filtered does not count."""
    server.lists(PAINTER)
    server.paths["?channel=x"] = envelope()
    server.answer(reply)

    async def after_lists(client: Any) -> None:
        for models in (client.models, client.models.image_generation, client.models.image_edit):
            await wait(models.list())
        await wait(client.models.list(extra_query={"channel": "x"}))
        await wait(ask(client.with_options(timeout=9)))

    for way, words in (ask, hint), (after_lists, known_hint):
        with pytest.raises(openai.APIStatusError, match="AiToEarn code") as caught:
            ask_list(asker, server, way)
        assert words in str(caught.value)


def embed(client: Any) -> Any:
    return client.embeddings.create(model="m", input="x")


NO_CHAT = r"address asked was http.*/api/ai/chat/completions: .* ends in /api/ai\. A self-hosted"
NO_EMBEDDINGS = {"code": 404, "message": "Cannot POST /api/ai/embeddings"}


@in_turns(
    "body,status,ask,words",
    [
        # As of servers that people host themselves.
        ({"code": 404, "message": "Cannot POST /api/ai/chat/completions"}, 200, complete("m"), NO_CHAT),
        ({"statusCode": 404, "message": "Cannot POST /x", "error": "Not Found"}, 404, complete("m"), NO_CHAT),
        (NO_EMBEDDINGS, 200, embed, "AiToEarn has chat completions, images and model lists"),
        # What is missing otherwise has nothing to do with the address.
        ({"code": 404, "message": "No such file"}, 200, embed, r"No such file \(AiToEarn code 404\)$"),
        ({"code": 12009, "message": "expired"}, 200, embed, r"expired \(AiToEarn code 12009\)$"),
    ],
)
def test_a_refusal_gets_a_hint_only_where_it_fits(
    asker: Asker, server: ScriptedServer, body: Any, status: int, ask: Any, words: str
) -> None:
    """A server without the endpoint is called so."""
    server.answer(Reply(body, status=status))
    with pytest.raises(openai.APIStatusError, match=words):
        ask_list(asker, server, ask)
