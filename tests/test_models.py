"""The model list: from the service's own shape to the SDK's types, and what a call costs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import openai
import pytest
from openai.pagination import AsyncPage, SyncPage
from openai.types import CompletionUsage, Model
from pydantic import ValidationError

from aitoearn_openai import ChatModel, ImageModel, OpenAI
from aitoearn_openai._models import find
from aitoearn_openai.sandbox import Sandbox
from conftest import MESSAGES, Asker, Reply, ScriptedServer, complete, in_turns, list_models

GEMINI: dict[str, Any] = {
    "name": "gemini-3.1-pro-preview",
    "label": "Gemini 3.1 Pro Preview",
    "tags": [],
    "channel": "gemini",
    "creditsScope": "general",
    "scenes": ["web", "comment", "draft-generation"],
    "inputModalities": ["text", "image", "audio", "video"],
    "outputModalities": ["text"],
    "pricing": {
        "tiers": [
            {
                "maxInputTokens": 200000,
                "input": {"text": "0.2", "cacheRead": "0.02"},
                "output": {"text": "1.2"},
            },
            {"input": {"text": "0.4", "audio": "1.05", "cacheRead": "0.04"}, "output": {"text": "1.8"}},
        ]
    },
    "description": "Gemini 3.1 Pro Preview",
}
SELF_HOSTED = {
    "name": "own",
    "tags": [{"en-US": "Sale", "zh-CN": "限时"}, {"zh-CN": "新"}, {}, "plain"],
    "summary": "s",
    "mainTag": "m",
}


def envelope(*entries: Any) -> Reply:
    return Reply({"data": list(entries), "code": 0, "message": "请求成功", "requestId": "b385"})


def ask_list(asker: Asker, server: ScriptedServer, ask: Any = list_models) -> Any:
    return asker.run(ask, api_key="k", base_url=server.base_url, max_retries=0)


def model(**entry: Any) -> ChatModel:
    return ChatModel.model_validate({"name": "m", **entry})


def test_the_list_is_a_page_of_the_sdks_models(asker: Asker, server: ScriptedServer) -> None:
    """As `models.list()` returns it in the SDK, from the service's own path, with what it says beyond the SDK."""
    server.answer(envelope(GEMINI))
    page = ask_list(asker, server)
    found, request = page.data[0], server.requests[0]

    assert (request.method, request.path) == ("GET", "/api/ai/models/chat")
    assert (request.headers["authorization"], request.headers["x-api-key"]) == ("Bearer k", "k")
    assert isinstance(page, AsyncPage if asker.is_async else SyncPage)
    assert page.model_extra["requestId"] == "b385"
    assert isinstance(found, ChatModel)
    assert isinstance(found, Model)
    assert (found.id, found.object, found.owned_by) == (GEMINI["name"], "model", "gemini")
    assert (found.label, found.description) == (GEMINI["label"], GEMINI["description"])
    assert (found.input_modalities, found.output_modalities) == (GEMINI["inputModalities"], ["text"])
    assert (found.credits_scope, found.scenes) == ("general", GEMINI["scenes"])
    assert found.pricing is not None
    assert found.pricing.tiers[0].max_input_tokens == 200_000
    assert found.pricing.tiers[1].input.cache_read == Decimal("0.04")


def test_the_list_can_be_iterated_and_read_raw(asker: Asker, site: Sandbox) -> None:
    """As each of the SDK's lists: by iteration, `with_raw_response` and `with_streaming_response`."""

    async def ask_async(client: Any) -> list[list[str]]:
        raw = await client.models.with_raw_response.list()
        async with client.models.with_streaming_response.list() as streaming:
            assert not streaming.http_response.is_stream_consumed
            streamed = await streaming.parse()
        return [[m.id async for m in client.models.list()], ids(raw.parse()), ids(streamed)]

    def ask(client: Any) -> list[list[str]]:
        with client.models.with_streaming_response.list() as streaming:
            assert not streaming.http_response.is_stream_consumed
            streamed = streaming.parse()
        raw = client.models.with_raw_response.list()
        return [[m.id for m in client.models.list()], ids(raw.parse()), ids(streamed)]

    def ids(page: Any) -> list[str]:
        return [m.id for m in page.data]

    iterated, raw, streamed = asker.run(
        ask_async if asker.is_async else ask, base_url=site.base_url, api_key=site.api_key
    )

    assert iterated == raw == streamed
    assert "glm-5.2" in iterated


def test_arguments_of_the_sdks_method_arrive(asker: Asker, server: ScriptedServer) -> None:
    """Extra headers, query and body of one call, as everywhere in the SDK."""
    server.answer(envelope(GEMINI))
    ask_list(
        asker,
        server,
        lambda client: client.models.list(
            extra_headers={"X-Api-Key": "own", "X-One": "1"}, extra_query={"q": "1"}, timeout=5
        ),
    )
    request = server.requests[0]

    assert request.path == "/api/ai/models/chat?q=1"
    assert (request.headers["x-api-key"], request.headers["x-one"]) == ("own", "1")
    assert request.headers["x-stainless-read-timeout"] == "5"


def test_an_odd_entry_does_not_take_the_rest_down(asker: Asker, server: ScriptedServer) -> None:
    """Without a name it is left out; a field of the wrong kind counts as missing; unknown fields stay."""
    server.answer(
        envelope(
            {"label": "nameless"},
            {"name": " "},
            {"name": None},
            "not an entry",
            {"name": "odd", "label": 5, "tags": 7, "scenes": None, "pricing": "free", "inputModalities": [1]},
            {"name": "odder", "pricing": {"tiers": [{"input": 1, "maxInputTokens": "x"}]}, "new": {"a": 1}},
            {"id": "as-openai", "object": "model", "owned_by": "me"},
            {"name": "half a character: \ud83d"},
            {"name": "deep", "label": [], "pricing": nested("originPricing", 300), "scenes": ["web"]},
        )
    )
    page = ask_list(asker, server)
    odd, odder, as_openai, deep = page.data

    assert (odd.id, odd.label, odd.pricing) == ("odd", None, None)
    assert odd.tags == odd.scenes == odd.input_modalities == []
    assert (odder.id, odder.new, odder.credits(prompt_tokens=1)) == ("odder", {"a": 1}, None)
    assert (as_openai.id, as_openai.owned_by) == ("as-openai", "me")
    assert (deep.id, deep.label, deep.scenes) == ("deep", None, ["web"])


def nested(name: str, depth: int) -> dict[str, Any]:
    return {name: nested(name, depth - 1)} if depth else {}


@pytest.mark.parametrize("entry", [{"label": "nameless"}, {"name": 5}, 5])
def test_a_model_has_a_name(entry: Any) -> None:
    """The one field without which there is no model."""
    with pytest.raises(ValidationError, match=r"name|ChatModel"):
        ChatModel.model_validate(entry)


def test_self_hosted_entries_have_their_tags_in_one_language() -> None:
    """Language maps become strings; fields of such servers are kept."""
    own = ChatModel.model_validate(SELF_HOSTED)

    assert own.tags == ["Sale", "新", "", "plain"]
    assert (own.model_extra or {})["summary"] == "s"
    assert (own.label, own.pricing, own.fixed_image_pricing) == (None, None, [])


@in_turns("body", [{"code": 0, "data": {}}, {"code": 0}, {"code": 0, "data": None}])
def test_an_answer_that_is_no_list_is_an_api_error(
    asker: Asker, server: ScriptedServer, body: dict[str, Any]
) -> None:
    """Something else answered: that is not an empty list."""
    server.answer(Reply(body))
    with pytest.raises(openai.APIResponseValidationError):
        ask_list(asker, server)


@in_turns("wanted", ["glm-5.2", "GLM-5.2", " glm - 5.2 ", "Gemini 3.1 pro preview"])
def test_a_model_is_found_by_name_or_label(asker: Asker, site: Sandbox, wanted: str) -> None:
    """Ignoring case and spaces."""
    found = asker.run(
        lambda client: client.models.retrieve(wanted), base_url=site.base_url, api_key=site.api_key
    )

    assert found.id == ("gemini-3.1-pro-preview" if "emini" in wanted else "glm-5.2")


def test_a_name_wins_over_a_label(asker: Asker, server: ScriptedServer) -> None:
    """What `model=` takes is looked at first."""
    server.answer(envelope({"name": "a", "label": "b"}, {"name": "b", "label": "a"}))

    assert ask_list(asker, server, lambda client: client.models.retrieve("b")).id == "b"


def test_a_model_that_does_not_exist_names_the_closest(asker: Asker, site: Sandbox) -> None:
    """The SDK's own error for it, with a helping hand."""
    with pytest.raises(openai.NotFoundError, match=r"glm-5\.2") as caught:
        asker.run(lambda c: c.models.retrieve("glm5"), base_url=site.base_url, api_key=site.api_key)
    assert caught.value.status_code == 404


@in_turns("wanted", ["qqq"])
def test_a_name_like_no_other_says_where_the_names_are(
    asker: Asker, server: ScriptedServer, wanted: str
) -> None:
    """Nothing is close to it, so nothing is suggested."""
    server.answer(envelope(GEMINI))
    with pytest.raises(openai.NotFoundError, match=r"No model is named .* `client.models.list\(\)`"):
        ask_list(asker, server, lambda client: client.models.retrieve(wanted))


def test_retrieve_can_be_read_raw(asker: Asker, site: Sandbox) -> None:
    """The raw response of the list, parsed to the one model."""
    raw = asker.run(
        lambda client: client.models.with_raw_response.retrieve("glm-5.2"),
        base_url=site.base_url,
        api_key=site.api_key,
    )

    assert raw.parse().id == "glm-5.2"


def test_a_redirect_of_the_model_list_is_refused(
    asker: Asker, server: ScriptedServer, other_server: ScriptedServer
) -> None:
    """It would take the key along; the error names where it leads, without what could repeat the key."""
    server.answer(Reply(status=307, headers={"Location": f"{other_server.origin}/{server.origin}#x"}))
    with pytest.raises(openai.APIStatusError, match=f"redirects to {other_server.origin}[.] ") as caught:
        ask_list(asker, server, list_models)

    assert caught.value.status_code == 307
    assert other_server.requests == []


def used(prompt: int, completion: int = 0, **more: Any) -> CompletionUsage:
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return CompletionUsage.model_validate({**counts, **more})


def read(**details: int) -> dict[str, Any]:
    return {"prompt_tokens_details": details}


def written(**details: int) -> dict[str, Any]:
    return {"completion_tokens_details": details}


SMALL = {
    "maxInputTokens": 1000,
    "input": {"text": "0.075", "cacheRead": "0.01", "audio": "1"},
    "output": {"text": "0.45"},
}
TWO = [SMALL, {"input": {"text": "0.1"}, "output": {"text": "1.5"}}]
LONG = {"input": {"text": "0.4"}, "output": {"text": "1.8"}}
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
        ([{"input": {"text": 1}}], used(1000, **read(cached_tokens=100, audio_tokens=100)), "1"),
        # The last tier takes what is above them all.
        ([SMALL, {"maxInputTokens": 1001, "input": {"text": 2}}], used(2000), "4"),
        # As DeepSeek counts what was read from the cache, also beside OpenAI's field for it.
        ([SHORT], used(1000, prompt_cache_hit_tokens=1000, prompt_cache_miss_tokens=0), "0.02"),
        (
            [SHORT],
            used(1000, prompt_cache_hit_tokens=9, **read(cached_tokens=9)),
            "0.19838",
        ),
        ([SHORT], used(1000, prompt_cache_hit_tokens=9, **read(cached_tokens=8)), None),
        # As Moonshot and Anthropic do.
        ([SHORT], used(1000, cached_tokens=1000), "0.02"),
        ([SHORT], used(1000, cache_read_input_tokens=1000), "0.02"),
        ([{"input": WRITES}], used(1000, cache_creation_input_tokens=500), None),
        ([SHORT], used(1000, prompt_cache_hit_tokens=800, prompt_cache_miss_tokens=100), None),
        # A total that the two counts do not make, as where reasoning or what was cached is left out of them.
        ([SHORT], used(1000, total_tokens=1000), "0.2"),
        ([SHORT], used(1000, total_tokens=0), "0.2"),
        ([SHORT], used(10, 5, total_tokens=1015), None),
        ([SHORT], used(10, 5, total_tokens=1015, **written(reasoning_tokens=1000)), None),
        ([SHORT], used(10, 5, **written(reasoning_tokens=1000)), None),
        ([SHORT], used(1000, cache_read_input_tokens=900, total_tokens=1900), None),
        # More cached than prompt tokens, and other counts that contradict each other.
        ([SHORT], used(10, prompt_cache_hit_tokens=1000), None),
        ([SHORT], used(10, **read(cached_tokens=1000)), None),
        ([SHORT], used(10, **read(audio_tokens=1000)), None),
        ([SHORT], used(10, -5), None),
        ([DRAWS], used(0, 10, **written(image_tokens=20)), None),
        # A limit that cannot be read does not match everything.
        ([{"maxInputTokens": "200k", **SHORT}, LONG], used(300_000), "120"),
        ([{"maxInputTokens": "200k", **SHORT}, LONG], used(1_000), "0.2"),
        ([{"maxInputTokens": "many", **SHORT}, LONG], used(300_000), None),
        # Images among the answer's tokens.
        ([DRAWS], used(0, 1290, **written(image_tokens=1290)), "25.8"),
        ([DRAWS], used(0, 1300, **written(image_tokens=1290)), "25.82"),
        ([DRAWS], used(0, 1290, **written(image_tokens=0)), "2.58"),
        ([DRAWS], used(0, 1290), None),
        ([DRAWS], used(1000), "0.3"),
        ([SHORT], used(0, 1290, **written(image_tokens=1290)), None),
        # Kinds of input.
        (
            [{"input": {"text": 1, "image": 3}}],
            used(1000, **read(image_tokens=500)),
            "2",
        ),
        ([{"input": WRITES}], used(1000, **read(cache_write_tokens=500)), None),
        ([{"input": {"text": 1}}], used(1000, **read(cache_write_tokens=500)), "1"),
        ([{"input": {**WRITES, "cacheWrite1h": "2"}}], used(1000, **read(cache_write_tokens=500)), "1.5"),
        # Of 500 from the cache and 500 of audio nobody knows whether they are the same; of a kind that costs as text it
        # does not matter.
        ([MANY], used(1000, **read(cached_tokens=500, audio_tokens=500)), None),
        ([MANY], used(1000, **read(cached_tokens=500, image_tokens=500)), "0.11"),
        ([MANY], used(1000, **read(audio_tokens=500)), "0.45"),
        # Without a price there are no credits: nobody said that it is free.
        ([], used(1, 1), None),
        ("x", used(1, 1), None),
        ([{"input": {"image": "1"}}], used(1, 1), None),
        # Prices that cannot be read.
        ([{"input": {"text": 1, "cacheRead": "?"}}], used(1000, prompt_cache_hit_tokens=1), None),
        ([{"input": {"text": 1, "cacheRead": "?"}}], used(1000), "1"),
        ([{"input": {"text": -1}}], used(1000), None),
        ([{"input": {"text": 1, "cacheRead": -1}}], used(1000, prompt_cache_hit_tokens=500), None),
        ([{"input": {"text": 1}, "output": {"text": 1, "image": "?"}}], used(0, 1000), None),
        # Of a tier that cannot be read, nobody knows which calls it prices.
        ([5, {"input": {"text": 1}}], used(1000), None),
        ([{"maxInputTokens": 1000, **SHORT}, None], used(5000), None),
        *(
            ([{"maxInputTokens": limit, **SHORT}, LONG], used(150), None)
            for limit in (True, -1, 0, "-1", "0k")
        ),
    ],
)
def test_credits_are_right_or_none(tiers: Any, tokens: CompletionUsage, credits: str | None) -> None:
    """Where list and usage leave a price open there is none."""
    assert model(pricing={"tiers": tiers}).credits(tokens) == (credits and Decimal(credits))


@pytest.mark.parametrize(
    ("pricing", "credits"),
    [
        ({"price": "1.5", "originPrice": "2"}, "1.5"),
        ({"price": "free", "tiers": [SHORT]}, None),
        ({"price": "-1"}, None),
        # A 0 for "none" would make every call free.
        ({"price": "0", "tiers": [SHORT]}, None),
        ({"price": "0", "tiers": []}, "0"),
        ({}, None),
        (None, None),
    ],
)
def test_a_flat_price_is_per_call(pricing: Any, credits: str | None) -> None:
    """Whatever the tokens; one that cannot be, or that is beside one by token, leaves the price open."""
    priced = model(pricing=pricing)

    assert priced.credits() == priced.credits(used(9, 9)) == (credits and Decimal(credits))


def test_credits_of_nothing_are_an_error_and_of_no_usage_are_unknown() -> None:
    """Neither is a call that costs nothing, as one of no tokens is."""
    priced = model(pricing={"tiers": [SHORT]})
    with pytest.raises(TypeError, match="needs the usage of an answer, or prompt_tokens="):
        priced.credits()

    assert (priced.credits(None), priced.credits(prompt_tokens=0)) == (None, 0)


def test_credits_of_a_call_that_is_only_planned() -> None:
    """Counts in the place of a usage, before anything is spent."""
    priced = model(pricing={"tiers": [{"input": {"text": 1, "cacheRead": 0}, "output": {"text": 2}}]})

    assert priced.credits(prompt_tokens=1000, completion_tokens=500) == 2
    assert priced.credits(prompt_tokens=1000, cached_tokens=1000) == 0


def test_an_odd_element_of_a_list_costs_that_element_only() -> None:
    """The others stay."""
    odd = model(tags=["a", 1], scenes=[None, "web"], fixedImagePricing=["x", {"resolution": "1K"}])

    assert (odd.tags, odd.scenes, len(odd.fixed_image_pricing)) == (["a"], ["web"], 1)


def test_the_last_limit_of_the_list_can_be_asked_for() -> None:
    """A call above it has the last tier's prices, if the service takes it at all."""
    pricings = [{"tiers": [{"maxInputTokens": 10}, {"maxInputTokens": 20}]}, {"tiers": [LONG]}, {}]

    assert [model(pricing=each).pricing.max_input_tokens for each in pricings] == [20, None, None]  # type: ignore[union-attr]


PAINTER = {
    "name": "painter",
    "label": "The Painter",
    "tags": ["Sale", 1],
    "creditsScope": "seedance",
    "sizes": ["1024x1024", "2048x2048"],
    "qualities": ["high"],
    "styles": ["vivid"],
    "pricing": [{"size": "1024x1024", "price": 1, "originPrice": 21.1}, {"size": "2048x2048", "price": 4}],
    "maxInputImages": 14,
}
IMAGE_LISTS = {"image_generation": "/models/image/generation", "image_edit": "/models/image/edit"}


@pytest.mark.parametrize("name", IMAGE_LISTS)
def test_the_models_that_draw_are_listed(asker: Asker, server: ScriptedServer, name: str) -> None:
    """With sizes, qualities, styles, prices for each size, and the most input images."""
    server.answer(envelope(PAINTER, {"name": "bare"}, {}))
    page = ask_list(asker, server, lambda client: getattr(client.models, name).list())
    painter, bare = page.data

    assert server.requests[0].path.endswith(IMAGE_LISTS[name])
    assert server.requests[0].headers["x-api-key"] == "k"
    assert isinstance(painter, ImageModel)
    assert (painter.id, painter.tags, painter.credits_scope) == ("painter", ["Sale"], "seedance")
    assert (painter.sizes, painter.qualities, painter.styles) == (PAINTER["sizes"], ["high"], ["vivid"])
    assert (painter.prices[0].price, painter.prices[0].origin_price) == (1, Decimal("21.1"))
    assert (painter.max_input_images, bare.max_input_images, bare.prices) == (14, None, [])


ONE = [{"size": "1x1", "price": 1}]


@pytest.mark.parametrize(
    ("fields", "asked", "credits"),
    [
        (PAINTER, {"size": "1024x1024"}, 1),
        (PAINTER, {"size": "2048X2048", "n": 3}, 12),
        (PAINTER, {"size": "auto"}, None),
        (PAINTER, {"size": "1024x1024", "n": -1}, None),
        ({"pricing": [{"size": "1x1", "price": "1E+999999"}]}, {"size": "1x1", "n": 20}, None),
        # Without a size all sizes must have one price.
        (PAINTER, {}, None),
        ({"pricing": ONE}, {"n": 2}, 2),
        ({"pricing": [{"size": "1x1", "price": -1}]}, {}, None),
        ({"pricing": [*ONE, {"size": "2x2", "price": 1}], "sizes": ["1x1", "2x2"]}, {}, 1),
        ({"pricing": [*ONE, "odd"], "sizes": ["1x1"]}, {}, None),
        ({"pricing": ONE, "sizes": ["1x1", "2x2"]}, {}, None),
        ({"pricing": [{"price": 1}], "sizes": ["1x1", "2x2"]}, {}, 1),
    ],
)
def test_credits_of_images_are_by_size_and_number(fields: Any, asked: Any, credits: int | None) -> None:
    """None where the list has no price for the size, or several without one."""
    assert ImageModel.model_validate({"name": "m", **fields}).credits(**asked) == credits


@pytest.mark.parametrize("name", IMAGE_LISTS)
def test_a_model_that_draws_is_found_by_name_or_label(
    asker: Asker, server: ScriptedServer, name: str
) -> None:
    """As a chat model is; also from a raw and an unread response."""
    server.answer(envelope(PAINTER))

    def ask(wanted: str) -> Any:
        return ask_list(asker, server, lambda client: getattr(client.models, name).retrieve(wanted))

    assert ask("the painter").id == "painter"
    raw = ask_list(asker, server, lambda c: getattr(c.models, name).with_raw_response.retrieve("painter"))
    assert raw.parse().id == "painter"
    with pytest.raises(openai.NotFoundError, match=r"The closest name is painter\."):
        ask("painters")
    with pytest.raises(openai.NotFoundError, match=r"`client\.models\.image_\w+\.list\(\)` has their names"):
        ask("qqq")
    with pytest.raises(ValueError, match="non-empty"):
        ask("")


def test_an_unread_list_of_image_models_parses_to_a_page(site: Sandbox) -> None:
    """As the SDK's own do, and the chat list."""
    with (
        OpenAI(base_url=site.base_url, api_key=site.api_key) as client,
        client.models.image_edit.with_streaming_response.list() as response,
    ):
        assert [each.max_input_images for each in response.parse()] == [14]


@pytest.mark.parametrize(
    ("path", "call", "wanted", "hint"),
    [
        ("", "client.models.list()", "glm-52", "The closest names are glm-5.2"),
        ("", "client.models.list()", "GLM 5.2", "Its name is glm-5.2: that is what `model=` takes."),
        ("", "client.models.list()", "zzzzzz", "`client.models.list()` lists the names."),
        (
            "image_generation",
            "client.models.image_generation.list()",
            "Seedream 5",
            "Its name is seedream-5: that is what `model=` takes.",
        ),
        ("image_edit", "client.models.image_edit.list()", "gpt-image2", "lists the names."),  # An upload.
    ],
)
def test_an_unknown_model_names_the_closest_of_the_list_that_is_known(
    asker: Asker, site: Sandbox, path: str, call: str, wanted: str, hint: str
) -> None:
    """Without a request of its own, by name or label, on copies of the client too; or it says how to list them."""
    calls: dict[str, Any] = {
        "": lambda client: client.chat.completions.create(model=wanted, messages=MESSAGES),
        "image_generation": lambda client: client.images.generate(model=wanted, prompt="p"),
        "image_edit": lambda client: client.images.edit(model=wanted, prompt="p", image=b"png"),
    }

    def message(*, is_known: bool) -> str:
        def models(client: Any) -> Any:
            return getattr(client.models, path) if path else client.models

        async def ask_async(client: Any) -> None:
            if is_known:
                await models(client).list()
            await calls[path](client.with_options(max_retries=0))

        def ask(client: Any) -> None:
            if is_known:
                models(client).list()
            calls[path](client.with_options(max_retries=0))

        with pytest.raises(openai.NotFoundError, match="AiToEarn code 12300") as caught:
            asker.run(ask_async if asker.is_async else ask, base_url=site.base_url, api_key=site.api_key)
        return str(caught.value)

    assert message(is_known=False).endswith(f"`{call}` lists the names.")
    assert hint in message(is_known=True)


def test_a_model_that_has_vanished_is_called_so(asker: Asker, server: ScriptedServer) -> None:
    """The list that is known may be out of date."""
    server.answer(envelope(GEMINI), Reply({"code": 12300, "message": "no such model"}))

    def ask(client: Any) -> Any:
        if not asker.is_async:
            client.models.list()
        return complete(GEMINI["name"])(client)

    async def ask_async(client: Any) -> Any:
        await client.models.list()
        return await ask(client)

    with pytest.raises(openai.NotFoundError, match="but models may vanish"):
        ask_list(asker, server, ask_async if asker.is_async else ask)


@in_turns(
    "code,hint",
    [(12001, "balances, 'general' and 'seedance'"), (12009, r"expired \(AiToEarn code 12009\)$")],
)
def test_no_credits_says_that_there_are_two_balances(
    asker: Asker, server: ScriptedServer, code: int, hint: str
) -> None:
    """An expired membership has nothing to do with them."""
    server.answer(Reply({"code": code, "message": "expired"}))
    with pytest.raises(openai.APIStatusError, match=hint):
        ask_list(asker, server, complete("m"))


def test_no_credits_names_the_balance_of_a_model_that_is_known(server: ScriptedServer) -> None:
    """By the list that the client saw."""
    server.answer(envelope(GEMINI), Reply({"code": 12001, "message": "no credits"}))
    with OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
        client.models.list()
        with pytest.raises(openai.APIStatusError, match="paid from the balance 'general'"):
            complete(GEMINI["name"])(client)


@in_turns(
    "reply",
    [
        Reply({"data": {}, "code": 404, "message": "Cannot POST /api/ai/chat/completions"}),
        Reply({"statusCode": 404, "message": "Cannot POST /x", "error": "Not Found"}, status=404),
    ],
)
def test_a_server_without_chat_completions_is_called_so(
    asker: Asker, server: ScriptedServer, reply: Reply
) -> None:
    """As people host it themselves."""
    server.answer(reply)
    asked = rf"The address asked was {server.base_url}/chat/completions: .* ends in /api/ai\. A self-hosted"
    with pytest.raises(openai.NotFoundError, match=asked):
        ask_list(asker, server, complete("m"))


def test_a_404_of_another_kind_gets_no_hint_about_the_address(asker: Asker, server: ScriptedServer) -> None:
    """Its message says what is missing."""
    server.answer(Reply({"data": {}, "code": 404, "message": "No such file"}))
    with pytest.raises(openai.NotFoundError) as caught:
        ask_list(asker, server, complete("m"))
    assert "address" not in str(caught.value)


def test_an_endpoint_that_the_service_lacks_is_named(asker: Asker, server: ScriptedServer) -> None:
    """The base URL is right there."""
    server.answer(Reply({"data": {}, "code": 404, "message": "Cannot POST /api/ai/embeddings"}))
    with pytest.raises(openai.NotFoundError, match=r"AiToEarn has no /embeddings: it has chat completions, "):
        asker.run(
            lambda client: client.embeddings.create(model="m", input="x"),
            base_url=server.base_url,
            api_key="k",
        )


def test_a_filtered_list_does_not_replace_what_is_known(server: ScriptedServer) -> None:
    """A hint names models of the whole list."""
    unknown = Reply({"data": {}, "code": 12300, "message": "Model not found"})
    server.answer(Reply({"data": [{"name": "glm-5.2"}]}), Reply({"data": []}), unknown)
    with OpenAI(base_url=server.base_url, api_key="k") as client:
        client.models.list()
        client.models.list(extra_query={"channel": "x"})
        with pytest.raises(openai.NotFoundError, match=r"closest name is glm-5\.2"):
            client.chat.completions.create(model="glm-5", messages=MESSAGES)


def test_the_closest_names_are_those_with_the_word_in_them() -> None:
    """Before those that are spelt alike; and a name that is there to the letter is the one."""
    names = ["gpt-5.2-mini", "gemini-3-pro-image", "gemini-3.1-pro-preview", "Plain", "plain"]
    offered = [model(name=name) for name in names]

    assert find(offered, "gemini") == ["gemini-3-pro-image", "gemini-3.1-pro-preview", "gpt-5.2-mini"]
    assert find(offered, "image") == ["gemini-3-pro-image"]
    assert [getattr(find(offered, name), "id", None) for name in names] == names
    assert isinstance(find(offered, " "), list)
