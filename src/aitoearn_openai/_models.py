"""The entries of the service's model lists, `ChatModel` and `ImageModel`: prices, and a search by name. No I/O."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import openai
from openai.types import CompletionUsage, Model
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticUseDefault
from typing_extensions import Self

BYTES_PER_TOKEN = 4
"""How many bytes of UTF-8 an input token is estimated to stand for."""

Price = Annotated[Decimal, Field(ge=0, lt=1_000_000_000)]
"""Credits. What is beyond is not a price, and a sum with 1E+999999 raises."""


@BeforeValidator
def _null_is_missing(value: Any) -> Any:
    if value is None:
        raise PydanticUseDefault
    return value


class _Part(openai.BaseModel):
    """A part of an entry: `cacheRead` of the list is `cache_read` here."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Prices(_Part):
    """Prices of one side of a call, in credits per 1,000 tokens of each kind."""

    text: Price | None = None
    image: Price | None = None
    audio: Price | None = None
    video: Price | None = None
    cache_read: Price | None = None
    cache_write_5m: Price | None = Field(default=None, alias="cacheWrite5m")
    cache_write_1h: Price | None = Field(default=None, alias="cacheWrite1h")

    def or_text(self, kind: str) -> Price | None:
        """The price of this kind, or else that of text."""
        price: Price | None = getattr(self, kind)
        return self.text if price is None else price


class PriceTier(_Part):
    """Prices of the calls of up to `max_input_tokens` input tokens, or of any size."""

    max_input_tokens: int | None = Field(default=None, gt=1)  # `true` would count as 1.
    input: Annotated[Prices, _null_is_missing] = Prices()
    output: Annotated[Prices, _null_is_missing] = Prices()


class Pricing(_Part):
    """What a model costs: by token in `tiers`, or `price` credits for each call."""

    tiers: Annotated[list[PriceTier], _null_is_missing] = Field(default_factory=list)
    price: Price | None = None
    """Credits per call, where the price is flat."""
    origin_price: Price | None = None
    """Credits per call before a discount."""
    origin_pricing: Pricing | None = None
    """The prices before a discount."""

    @property
    def max_input_tokens(self) -> int | None:
        """The limit of the last tier; a call above it has that tier's prices. None where there is no limit."""
        return self.tiers[-1].max_input_tokens if self.tiers else None

    def tier(self, input_tokens: int) -> PriceTier | None:
        """The tier that a call of so many input tokens falls in; None where there are no tiers."""
        for tier in self.tiers:
            if tier.max_input_tokens is None or input_tokens <= tier.max_input_tokens:
                return tier
        return self.tiers[-1] if self.tiers else None


class ImagePrice(_Part):
    """Credits for one image of a resolution, such as `1K`, or of a size, such as `1024x1024`."""

    resolution: str | None = None
    size: str | None = None
    price: Price | None = None
    origin_price: Price | None = None
    """Credits before a discount."""


class ListedModel(_Part, Model):
    """What the entries of all lists have; every field but `id` may be missing on a server.

    A field with a value of an unexpected kind counts as missing: the service and the servers that people host
    themselves differ, and one odd value must not hide a model, or make a price of half a table.
    """

    id: str = Field(alias="name", pattern=r"\S")
    """What `model=` takes: the service's `name`."""
    created: int = 0
    """Always 0: the service does not tell."""
    object: Literal["model"] = "model"
    owned_by: str = Field(default="", alias="channel")
    """The vendor behind the model, such as `openai` or `deepseek`: the service's `channel`."""
    label: str | None = None
    """The name that people see."""
    description: str | None = None
    tags: list[str] = Field(default_factory=list)
    """Short texts such as "Sale"; of a language map, the English one, or else the first."""
    credits_scope: str | None = None
    """Which of the account's balances pays for a call: `general` or `seedance`."""

    @model_validator(mode="wrap")
    @classmethod
    def _leave_out_what_is_wrong(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(value)
        except ValidationError as error:
            if not isinstance(value, Mapping):
                raise
            wrong = {each["loc"][0] for each in error.errors(include_url=False, include_input=False)}
        return handler({name: each for name, each in value.items() if name not in wrong})

    @property
    def __api_exclude__(self) -> None:
        """Say what to pass instead: the SDK asks for this only where an object stands in a request."""
        raise TypeError(f"a request takes the name of a model: pass `.id`, which is {self.id!r} here")

    @field_validator("tags", mode="before")
    @classmethod
    def _one_language(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [
            tag.get("en-US") or next(iter(tag.values()), "") if isinstance(tag, Mapping) else tag
            for tag in value
        ]


class ImageModel(ListedModel):
    """A model that draws, of the lists at `GET /api/ai/models/image/generation` and `.../image/edit`.

    Fields that are not named here are kept as they came.

    Examples:
        >>> prices = [{"size": "1024x1024", "price": 1}, {"size": "2048x2048", "price": 4}]
        >>> model = ImageModel.model_validate({"name": "gpt-image-2", "pricing": prices})
        >>> model.id, model.credits(size="2048x2048", n=2)
        ('gpt-image-2', Decimal('8'))
    """

    sizes: list[str] = Field(default_factory=list)
    """What `size=` takes, such as `1024x1024`."""
    qualities: list[str] = Field(default_factory=list)
    """What `quality=` takes, such as `auto` or `high`; only in the list for generation."""
    styles: list[str] = Field(default_factory=list)
    """What `style=` takes; only in the list for generation."""
    prices: list[ImagePrice] = Field(default_factory=list, alias="pricing")
    """Credits for one image of each size."""
    max_input_images: int | None = None
    """The most images that `images.edit` takes at once; only in the list for edits."""

    if TYPE_CHECKING:

        def __init__(self, **fields: Any) -> None:
            """A model with these fields, under their names here or those of the service's list."""

    def credits(self, *, size: str | None = None, n: int = 1) -> Decimal | None:
        """The price of `n` images in credits, or None where the list has no price for them.

        Args:
            size: As in `images.generate(size=...)`; without one, all sizes must have one price.
            n: How many images.
        """
        priced = {each.size for each in self.prices}
        if size is None and None not in priced and not priced.issuperset(self.sizes):
            return None
        prices = {
            each.price for each in self.prices if size is None or _folded(each.size or "") == _folded(size)
        }
        price = prices.pop() if len(prices) == 1 else None
        return None if price is None else n * price


_NO_USAGE: Any = object()
_TEXT_ALONE = SimpleNamespace(image_tokens=0, audio_tokens=0, video_tokens=0)


class ChatModel(ListedModel):
    """A model of the list at `GET /api/ai/models/chat`, as an `openai.types.Model`.

    Every field but `id` may be missing on a server; fields that are not named here are kept as they came.

    Examples:
        >>> tiers = [{"input": {"text": "0.075"}, "output": {"text": "0.45"}}]
        >>> model = ChatModel.model_validate({"name": "glm-5.2", "pricing": {"tiers": tiers}})
        >>> model.id, model.credits(prompt_tokens=385, completion_tokens=86)
        ('glm-5.2', Decimal('0.067575'))
    """

    scenes: list[str] = Field(default_factory=list)
    """Where the service offers the model: `web`, `comment`, `draft-generation`, `plugin` and others."""
    input_modalities: list[str] = Field(default_factory=list)
    """What the model takes: `text`, `image`, `audio`, `video` and others."""
    output_modalities: list[str] = Field(default_factory=list)
    """What the model gives: `text`, `image` and others."""
    pricing: Pricing | None = None
    fixed_image_pricing: list[ImagePrice] = Field(default_factory=list)
    """Credits per image, by resolution."""

    if TYPE_CHECKING:

        def __init__(self, **fields: Any) -> None:
            """A model with these fields, under their names here or those of the service's list."""

    def credits(
        self,
        usage: CompletionUsage | None = _NO_USAGE,
        *,
        prompt_tokens: int | None = None,
        completion_tokens: int | None = None,
        cached_tokens: int | None = None,
    ) -> Decimal | None:
        """The price of a call in credits by the list: an estimate, as the service does not tell what it charged.

        None where the list has no price for it, or where list and `usage` leave open which price holds.

        Args:
            usage: The `usage` of a completion; it takes the place of the three counts. Of an answer without one, which
                has None there, the price is not known.
            prompt_tokens: Input tokens, the cached ones among them.
            completion_tokens: Output tokens, of text.
            cached_tokens: Input tokens that were read from the cache.

        Raises:
            TypeError: none of these is given, and the list has prices for tokens.
        """
        pricing = self.pricing or Pricing()
        if pricing.price is not None:
            return None if pricing.tiers else pricing.price
        if usage is None or not pricing.tiers:
            return None
        if usage is _NO_USAGE:
            if prompt_tokens is completion_tokens is cached_tokens is None:
                raise TypeError(
                    "credits() needs the usage of an answer, or prompt_tokens= and completion_tokens="
                )
            usage = SimpleNamespace(  # type: ignore[assignment]
                prompt_tokens=prompt_tokens or 0,
                completion_tokens=completion_tokens or 0,
                cached_tokens=cached_tokens,
                completion_tokens_details=_TEXT_ALONE,
            )
        try:
            return _cost(pricing, usage)
        except (
            TypeError,
            ValueError,
        ):  # A price or a count that is missing, or one that leaves the price open.
            return None


_MEDIA = "image", "audio", "video"


def _cost(pricing: Pricing, usage: Any) -> Decimal:
    """The price of a call by the tier that it falls in.

    Raises:
        TypeError, ValueError: a price or a count is missing, or the counts leave open which price holds.
    """
    tokens_in, tokens_out = _count(usage, "prompt_tokens", None), _count(usage, "completion_tokens", None)
    read, written = (getattr(usage, f"{side}_tokens_details", None) for side in ("prompt", "completion"))
    # OpenAI, DeepSeek, Moonshot and Anthropic count what was read from the cache in different places.
    places = "prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens"
    [cached] = {_count(read, "cached_tokens"), *(_count(usage, place) for place in places)} - {0} or {0}
    places = "cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens"
    [stored] = {_count(of, place) for of in (read, usage) for place in places} - {0} or {0}
    tier: Any = pricing.tier(tokens_in)
    price_in, price_out = tier.input.or_text, dict(tier.output)
    asked = {kind: _count(read, f"{kind}_tokens") for kind in _MEDIA}
    default = {kind: 0 if price_out[kind] is None or not tokens_out else None for kind in _MEDIA}
    answered = {kind: _count(written, f"{kind}_tokens", default[kind]) for kind in _MEDIA}
    is_open = (
        # Some servers leave reasoning tokens, or cached ones, out of the two counts but not out of the total.
        _count(usage, "total_tokens") not in (0, tokens_in + tokens_out)
        or _count(written, "reasoning_tokens") > tokens_out
        # Some may be among those of the cache.
        or (cached and any(asked[kind] and price_in(kind) != tier.input.text for kind in _MEDIA))
        or (stored and price_in("cache_write_5m") != price_in("cache_write_1h"))
    )
    asked |= {"cache_read": cached, "cache_write_5m": stored}
    asked["text"] = tokens_in - sum(asked.values())
    answered["text"] = tokens_out - sum(answered.values())
    if is_open or min(*asked.values(), *answered.values()) < 0:
        raise ValueError
    parts = [(tokens, price_in(kind)) for kind, tokens in asked.items()]
    parts += [(tokens, price_out[kind]) for kind, tokens in answered.items()]
    return sum((tokens * price for tokens, price in parts if tokens), Decimal(0)) / 1000


def _count(of: Any, name: str, default: int | None = 0) -> Any:
    """A number of tokens, which the SDK does not check; without a default it has to be there."""
    value = getattr(of, name, None)
    value = default if value is None else value
    if type(value) is not int or value < 0:
        raise ValueError
    return value


_Listed = TypeVar("_Listed", bound=ListedModel)


def read(kind: type[_Listed], entries: Iterable[Any]) -> list[_Listed]:
    """The models of a list, without the entries that have no name: such a model cannot be asked for."""
    models = []
    for entry in entries:
        with suppress(ValidationError):
            models.append(kind.model_validate(entry))
    return models


def find(models: Iterable[_Listed], wanted: str) -> _Listed | list[str]:
    """The model of that name, or else of that label, ignoring case and spaces; or the names closest to it.

    Those with that in their name or label are the closest.
    """
    names = {model.id: model for model in models}
    key = _folded(wanted)
    if wanted in names or not key:
        return names.get(wanted, [])
    known = {_folded(model.label or ""): model for model in names.values()}
    known |= {_folded(name): model for name, model in names.items()}
    if key in known:
        return known[key]
    close = [name for name in known if key in name]
    close += difflib.get_close_matches(key, known, n=5, cutoff=0.5)
    return list(dict.fromkeys(known[name].id for name in close))[:5]


def _folded(text: str) -> str:
    return "".join(text.split()).casefold()
