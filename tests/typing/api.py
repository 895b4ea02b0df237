"""Typed calls of the public API: checked by mypy --strict and by pyright, never run.

A wrong call is marked with the error that it has to be; a call that stops being wrong turns the check red, as
both warn of a mark that is not needed.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from decimal import Decimal

import openai
from openai.pagination import AsyncPage, SyncPage
from openai.resources import AsyncChat, AsyncImages, Chat, Images
from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam
from pydantic import SecretStr
from typing_extensions import assert_type

import aitoearn_openai
from aitoearn_openai import AsyncOpenAI, ChatModel, ImageModel, OpenAI, Settings, batch, relay, sandbox

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hi"}]


def key() -> str:
    return "k"


async def key_async() -> str:
    return "k"


def construct(pool: openai.DefaultHttpxClient, pool_async: openai.DefaultAsyncHttpxClient) -> None:
    """The constructors take what the SDK's take, and nothing else."""
    assert_type(OpenAI(), OpenAI)
    OpenAI(api_key=key, timeout=openai.Timeout(5), default_headers={"X": "1"}, http_client=pool)
    OpenAI("k")  # type: ignore[call-arg]
    OpenAI(api_kee="k")  # type: ignore[call-arg]
    OpenAI(api_key=key_async)  # type: ignore[arg-type]
    OpenAI(timeout="5")  # type: ignore[arg-type]
    OpenAI(http_client=pool_async)  # type: ignore[arg-type]
    OpenAI(_settings=Settings())  # type: ignore[call-arg]
    assert_type(AsyncOpenAI(api_key=key_async, http_client=pool_async), AsyncOpenAI)
    AsyncOpenAI(api_key=key)  # type: ignore[arg-type]
    AsyncOpenAI(http_client=pool)  # type: ignore[arg-type]


def substitute(client: OpenAI, client_async: AsyncOpenAI, plain: openai.OpenAI) -> None:
    """A client of ours goes wherever the SDK's does, and has the SDK's own resources; the reverse is wrong."""
    theirs: openai.OpenAI = client
    theirs_async: openai.AsyncOpenAI = client_async
    ours: OpenAI = plain  # type: ignore[assignment]
    _ = theirs, theirs_async, ours
    assert_type((client.chat, client.images), tuple[Chat, Images])
    assert_type((client_async.chat, client_async.images), tuple[AsyncChat, AsyncImages])
    assert_type(client.api_key, str)
    client.api_key = "other"
    client.api_kee = "other"  # type: ignore[attr-defined]


class Extended(OpenAI):
    """Somebody's own client."""


async def copies(client: OpenAI, client_async: AsyncOpenAI, extended: Extended) -> None:
    assert_type(client.copy(), OpenAI)
    assert_type(client.with_options(timeout=1, default_headers={"X": "1"}), OpenAI)
    assert_type(client_async.with_options(timeout=None), AsyncOpenAI)
    assert_type(OpenAI.from_settings(Settings(site="ai"), max_retries=1, http_client=None), OpenAI)
    assert_type(AsyncOpenAI.from_settings(settings=Settings()), AsyncOpenAI)
    assert_type(Extended.from_settings(Settings()), Extended)
    assert_type(extended.copy().with_options(), Extended)
    client.with_options(retries=0)  # type: ignore[call-arg]
    OpenAI.from_settings("ai")  # type: ignore[arg-type]
    AsyncOpenAI.from_settings(Settings(), http_client=openai.DefaultHttpxClient())  # type: ignore[arg-type]
    with OpenAI() as entered:
        assert_type(entered, OpenAI)
    async with AsyncOpenAI() as entered_async:
        assert_type(entered_async, AsyncOpenAI)


def models(client: OpenAI) -> None:
    """A raw or unread list has the same models."""
    assert_type(client.models.list(extra_query={"q": "1"}, timeout=openai.Timeout(1)), SyncPage[ChatModel])
    list[Model](client.models.list())
    assert_type(client.models.retrieve("m"), ChatModel)
    assert_type(client.models.with_raw_response.list().parse(), SyncPage[ChatModel])
    assert_type(client.models.with_raw_response.retrieve("m").parse(), ChatModel)
    with client.models.with_streaming_response.list() as response:
        assert_type(response.parse(), SyncPage[ChatModel])
    client.models.list(limit=3)  # type: ignore[call-arg]
    client.models.retrieve()  # type: ignore[call-arg]
    client.models.retrieve("m").price  # type: ignore[attr-defined]  # noqa: B018


async def models_async(client: AsyncOpenAI) -> None:
    assert_type(await client.models.list(), AsyncPage[ChatModel])
    async for model in client.models.list():
        assert_type(model, ChatModel)
    assert_type(await client.models.retrieve("m"), ChatModel)
    assert_type((await client.models.with_raw_response.list()).parse(), AsyncPage[ChatModel])
    async with client.models.with_streaming_response.list() as response:
        assert_type(await response.parse(), AsyncPage[ChatModel])
    client.models.retrieve("m").id  # type: ignore[attr-defined]  # noqa: B018


def one_model(model: ChatModel, completion: ChatCompletion) -> None:
    assert_type((model.id, model.label, model.input_modalities), tuple[str, str | None, list[str]])
    assert_type(model.credits(completion.usage), Decimal | None)
    assert_type(model.credits(prompt_tokens=1, completion_tokens=2, cached_tokens=3), Decimal | None)
    assert_type(model.fixed_image_pricing[0].price, Decimal | None)
    if model.pricing and (tier := model.pricing.tier(10)):
        assert_type((tier.input.text, tier.max_input_tokens), tuple[Decimal | None, int | None])
    model.credits(10)  # type: ignore[arg-type]


async def image_models(client: OpenAI, client_async: AsyncOpenAI) -> None:
    assert_type(client.models.image_generation.list(), SyncPage[ImageModel])
    assert_type(client.models.image_edit.with_raw_response.list().parse(), SyncPage[ImageModel])
    model = client.models.image_edit.retrieve("m")
    assert_type((model.max_input_images, model.prices[0].price), tuple[int | None, Decimal | None])
    assert_type(model.credits(size="1024x1024", n=2), Decimal | None)
    assert_type(await client_async.models.image_edit.list(), AsyncPage[ImageModel])
    assert_type(await client_async.models.image_generation.retrieve("m"), ImageModel)


def settings_and_servers() -> None:
    chosen = Settings(site="ai", api_key=SecretStr("k"), timeout=3, max_retries=None)
    assert_type(chosen.base_url, str)
    assert_type(chosen.api_key, SecretStr | None)
    Settings(api_key="k", _env_file=".env")
    Settings(site="mars")  # type: ignore[arg-type]
    Settings(sites="ai")  # type: ignore[call-arg]
    with sandbox.serve() as site:
        assert_type(site.settings, Settings)
        assert_type(OpenAI(base_url=site.base_url, api_key=site.api_key), OpenAI)
    with relay.serve(8379, settings=chosen, host="0.0.0.0", token="a long secret") as here:
        assert_type(here.base_url, str)


def module() -> None:
    assert_type(aitoearn_openai.Client(), OpenAI)
    assert_type(aitoearn_openai.AsyncClient(), AsyncOpenAI)
    assert_type(aitoearn_openai.chat.completions.create(model="m", messages=MESSAGES), ChatCompletion)
    assert_type(aitoearn_openai.models.list(), SyncPage[ChatModel])
    assert_type(aitoearn_openai.__version__, str)
    assert_type(aitoearn_openai.batch.Request("a", {}), batch.Request)
    assert_type(aitoearn_openai.sandbox.FAILURES, dict[str, str])
    aitoearn_openai.api_key = "k"
    assert_type(aitoearn_openai.RateLimitError, type[openai.RateLimitError])
    aitoearn_openai.unheard_of  # type: ignore[attr-defined]  # noqa: B018


async def answer_a_batch(client: AsyncOpenAI, plain: openai.AsyncOpenAI) -> None:
    requests = [batch.Request("a", {"model": "m", "messages": MESSAGES})]
    async for result in batch.run(client, requests, concurrency=4, rpm=60, max_credits=Decimal(2)):
        assert_type(result, batch.Result)
        assert_type(result.completion, ChatCompletion | None)
        assert_type(result.error, openai.APIError | None)
    batch.run(plain, iter(requests))
    batch.run(OpenAI(), requests)  # type: ignore[arg-type]
