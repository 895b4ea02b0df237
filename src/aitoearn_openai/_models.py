"""The entries of the service's model lists, `ChatModel` and `ImageModel`: prices, and a search by name. No I/O."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import cache
from html import escape
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import openai
from openai.types import CompletionUsage, Model
from pydantic import (
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    field_validator,
    model_validator,
)
from typing_extensions import Self

BYTES_PER_TOKEN = 4
"""How many bytes of UTF-8 an input token is estimated to stand for."""

_DEEPEST = 8
"""How far below an entry a single value is left out; of what is nested deeper, the whole."""


class _Part(openai.BaseModel):
    """A part of an entry."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    # Not a private attribute of pydantic's: these double the time that a list takes.
    _unreadable: ClassVar[frozenset[str]] = frozenset()
    """The fields that have a value in the list, but none here: what they say is unknown, and not nothing."""


class Prices(_Part):
    """Prices of one side of a call, in credits per 1,000 tokens of each kind.

    Examples:
        >>> Prices.model_validate({"text": "0.2", "cacheRead": "0.02"}).cache_read
        Decimal('0.02')
    """

    text: Decimal | None = None
    image: Decimal | None = None
    audio: Decimal | None = None
    video: Decimal | None = None
    cache_read: Decimal | None = Field(default=None, alias="cacheRead")
    cache_write_5m: Decimal | None = Field(default=None, alias="cacheWrite5m")
    cache_write_1h: Decimal | None = Field(default=None, alias="cacheWrite1h")

    def first_price(self, *kinds: str) -> Decimal | None:
        """The price of the first of these kinds that has one; None also where one before it cannot be read."""
        for kind in kinds:
            price: Decimal | None = getattr(self, kind)
            if price is not None or kind in self._unreadable:
                return price
        return None


class PriceTier(_Part):
    """Prices of the calls of up to `max_input_tokens` input tokens, or of any size.

    Examples:
        >>> PriceTier.model_validate({"maxInputTokens": 1000, "input": {"text": "0.2"}}).max_input_tokens
        1000
    """

    max_input_tokens: int | None = Field(default=None, alias="maxInputTokens", gt=0)
    input: Prices = Prices()
    output: Prices = Prices()

    @field_validator("max_input_tokens", mode="before")
    @classmethod
    def _thousands(cls, value: Any) -> Any:
        if isinstance(value, bool):
            return str(value)  # Python would take it for 1 or 0.
        match = re.fullmatch(r"\s*(\d{1,9})\s*[kK]\s*", value) if isinstance(value, str) else None
        return int(match[1]) * 1000 if match else value


class Pricing(_Part):
    """What a model costs: by token in `tiers`, or `price` credits for each call.

    Examples:
        >>> tiers = [{"maxInputTokens": 1000, "input": {"text": "0.2"}}, {"input": {"text": "0.4"}}]
        >>> pricing = Pricing.model_validate({"tiers": tiers})
        >>> pricing.tier(1000).input.text, pricing.tier(1001).input.text
        (Decimal('0.2'), Decimal('0.4'))
    """

    tiers: list[PriceTier] = Field(default_factory=list)
    price: Decimal | None = None
    """Credits per call, where the price is flat."""
    origin_price: Decimal | None = Field(default=None, alias="originPrice")
    """Credits per call before a discount."""
    origin_pricing: Pricing | None = Field(default=None, alias="originPricing")
    """The prices before a discount."""

    @property
    def max_input_tokens(self) -> int | None:
        """The limit of the last tier; a call above it has that tier's prices. None where there is no limit."""
        return self.tiers[-1].max_input_tokens if self.tiers else None

    def tier(self, input_tokens: int) -> PriceTier | None:
        """The tier that a call of so many input tokens falls in; None where the list does not tell."""
        if "tiers" in self._unreadable:
            return None
        for tier in self.tiers:
            if "max_input_tokens" in tier._unreadable:
                return None
            if tier.max_input_tokens is None or input_tokens <= tier.max_input_tokens:
                return tier
        return self.tiers[-1] if self.tiers else None


class ImagePrice(_Part):
    """Credits for one image of a resolution, such as `1K`.

    Examples:
        >>> ImagePrice.model_validate({"resolution": "1K", "price": "2.5"}).price
        Decimal('2.5')
    """

    resolution: str | None = None
    price: Decimal | None = None


class ImageSizePrice(_Part):
    """Credits for one image of a size, such as `1024x1024`.

    Examples:
        >>> ImageSizePrice.model_validate({"size": "1024x1024", "price": 1, "originPrice": 21.1}).origin_price
        Decimal('21.1')
    """

    size: str | None = None
    price: Decimal | None = None
    origin_price: Decimal | None = Field(default=None, alias="originPrice")
    """Credits before a discount."""


class ListedModel(_Part, Model):
    """What the entries of all lists have; every field but `id` may be missing on a server.

    An optional value, or an element of a list, of an unexpected kind counts as missing: the service and the servers
    that people host themselves differ, and one odd value must not hide a model.
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
    credits_scope: str | None = Field(default=None, alias="creditsScope")
    """Which of the account's balances pays for a call: `general` or `seedance`."""

    @model_validator(mode="wrap")
    @classmethod
    def _leave_out_what_is_wrong(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(value)
        except ValidationError as error:
            if not isinstance(value, Mapping):
                raise
            wrong: _Places = {}
            for each in error.errors(include_url=False, include_context=False, include_input=False):
                place = wrong
                for key in each["loc"][:_DEEPEST]:
                    place = place.setdefault(key, {})
        made = handler(_without(value, wrong))
        _note_unreadable(made, value, wrong)
        return made

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


_Places = dict[str | int, "_Places"]
"""Keys and indices that lead to values; at the last of each there is nothing below it."""


def _without(value: Any, wrong: _Places | None) -> Any:
    """A copy of what a list has, without the values that are wrong."""
    if not wrong:
        return value
    if isinstance(value, list):
        return [_without(each, wrong.get(n)) for n, each in enumerate(value) if wrong.get(n) != {}]
    places = {key: wrong.get(key, wrong.get(_aliases().get(key, key))) for key in value}
    return {key: _without(value[key], place) for key, place in places.items() if place != {}}


def _note_unreadable(made: Any, value: Any, wrong: _Places) -> None:
    """Note in a part, and in those below it, the fields that were left out, in whole or in part."""
    if isinstance(made, list):
        places = [(each, wrong.get(n)) for n, each in enumerate(value) if wrong.get(n) != {}]
        for part, (each, place) in zip(made, places, strict=True):
            if place:
                _note_unreadable(part, each, place)
        return
    unreadable = set()
    for name, field in type(made).model_fields.items():
        place = wrong.get(field.alias or name, wrong.get(name))
        listed = value.get(field.alias, value.get(name))
        if place is None or listed is None:
            continue
        if not place or (isinstance(listed, list) and {} in place.values()):
            unreadable.add(name)
        if place:
            _note_unreadable(getattr(made, name), listed, place)
    made.__dict__["_unreadable"] = frozenset(unreadable)


@cache
def _aliases() -> dict[str, str]:
    """What the list calls the fields that have another name here."""
    parts = (Prices, PriceTier, Pricing, ImageSizePrice, ChatModel, ImageModel)
    return {name: field.alias for part in parts for name, field in part.model_fields.items() if field.alias}


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
    prices: list[ImageSizePrice] = Field(default_factory=list, alias="pricing")
    """Credits for one image of each size."""
    max_input_images: int | None = Field(default=None, alias="maxInputImages")
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
        prices = {
            each.price for each in self.prices if size is None or _folded(each.size or "") == _folded(size)
        }
        priced = {each.size for each in self.prices}
        is_partial = "prices" in self._unreadable or not (None in priced or priced.issuperset(self.sizes))
        if size is None and is_partial:
            return None
        price = prices.pop() if len(prices) == 1 else None
        try:
            return None if price is None or price < 0 or n < 0 else n * price
        except ArithmeticError:  # A price such as 1E+999999.
            return None


_NO_USAGE: Any = object()


class ChatModel(ListedModel):
    """A model of the list at `GET /api/ai/models/chat`, as an `openai.types.Model`.

    Every field but `id` may be missing on a server; fields that are not named here are kept as they came.

    Examples:
        >>> model = ChatModel.model_validate({"name": "glm-5.2", "pricing": {"price": "0.5"}})
        >>> model.id, model.credits(prompt_tokens=9, completion_tokens=5)
        ('glm-5.2', Decimal('0.5'))
    """

    scenes: list[str] = Field(default_factory=list)
    """Where the service offers the model: `web`, `comment`, `draft-generation`, `plugin` and others."""
    input_modalities: list[str] = Field(default_factory=list, alias="inputModalities")
    """What the model takes: `text`, `image`, `audio`, `video` and others."""
    output_modalities: list[str] = Field(default_factory=list, alias="outputModalities")
    """What the model gives: `text`, `image` and others."""
    pricing: Pricing | None = None
    fixed_image_pricing: list[ImagePrice] = Field(default_factory=list, alias="fixedImagePricing")
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

        Examples:
            >>> tiers = [{"input": {"text": "0.075"}, "output": {"text": "0.45"}}]
            >>> model = ChatModel.model_validate({"name": "m", "pricing": {"tiers": tiers}})
            >>> model.credits(prompt_tokens=385, completion_tokens=86)
            Decimal('0.067575')
        """
        if self.pricing is None:
            return None
        if (flat := self.pricing.price) is not None or "price" in self.pricing._unreadable:
            return flat if flat is not None and flat >= 0 and not self.pricing.tiers else None
        if usage is None or not self.pricing.tiers:
            return None
        answered = usage is not _NO_USAGE
        if not answered:
            if prompt_tokens is completion_tokens is cached_tokens is None:
                raise TypeError(
                    "credits() needs the usage of an answer, or prompt_tokens= and completion_tokens="
                )
            usage = SimpleNamespace(  # type: ignore[assignment]
                prompt_tokens=prompt_tokens or 0,
                completion_tokens=completion_tokens or 0,
                prompt_cache_hit_tokens=cached_tokens or 0,
            )
        read, written = _field(usage, "prompt_tokens_details"), _field(usage, "completion_tokens_details")
        try:
            tokens_in, tokens_out = _count(usage.prompt_tokens), _count(usage.completion_tokens)
            # Some servers leave reasoning tokens, or cached ones, out of the two counts but not out of the total.
            total_tokens = _field(usage, "total_tokens") or tokens_in + tokens_out
            if (
                total_tokens != tokens_in + tokens_out
                or (_field(written, "reasoning_tokens") or 0) > tokens_out
            ):
                return None
            # OpenAI, DeepSeek, Moonshot and Anthropic count what was read from the cache in different places.
            hits = [
                _field(read, "cached_tokens"),
                *(
                    _field(usage, name)
                    for name in ("prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")
                ),
            ]
            (cached,) = {_count(hit or 0) for hit in hits} - {0} or {0}
            missed = _field(usage, "prompt_cache_miss_tokens")
            if missed is not None and cached + _count(missed) != tokens_in:
                return None
            tier = self.pricing.tier(tokens_in)
            if tier is None:
                return None
            prices = tier.input
            parts: list[tuple[int, Any]] = [(cached, prices.first_price("cache_read", "text"))]
            writes = [
                _field(read, "cache_write_tokens"),
                _field(read, "cache_creation_tokens"),
                _field(usage, "cache_creation_input_tokens"),
            ]
            (stored,) = {_count(write or 0) for write in writes} - {0} or {0}
            if stored:
                (write_price,) = {
                    prices.first_price("cache_write_5m", "text"),
                    prices.first_price("cache_write_1h", "text"),
                }
                parts.append((stored, write_price))
            for kind in ("image", "audio", "video"):
                tokens, price = _count(_field(read, f"{kind}_tokens") or 0), prices.first_price(kind, "text")
                if tokens and cached and price != prices.text:
                    return None  # Which of them were read from the cache is not told.
                parts.append((tokens, price))
            parts.append((_count(tokens_in - sum(tokens for tokens, _ in parts)), prices.text))
            for kind in ("image", "audio", "video"):
                tokens = _field(written, f"{kind}_tokens")
                is_priced = tier.output.first_price(kind) is not None or kind in tier.output._unreadable
                if tokens is None and answered and tokens_out and is_priced:
                    return None
                tokens = _count(tokens or 0)
                parts.append((tokens, tier.output.first_price(kind)))
                tokens_out = _count(tokens_out - tokens)
            parts.append((tokens_out, tier.output.text))
            used = [(tokens, price) for tokens, price in parts if tokens]
            total: Decimal = sum((tokens * price for tokens, price in used), Decimal(0)) / 1000
            if any(price < 0 for _, price in used):
                return None
        except (ArithmeticError, AttributeError, TypeError, ValueError):
            # No count, counts that contradict each other, a missing price, or one such as 1E+999999.
            return None
        return total


def _field(details: Any, name: str) -> Any:
    return getattr(details, name, None)


def _count(value: Any) -> int:
    """The number of tokens; the SDK checks no field of an answer."""
    if type(value) is not int or value < 0:
        raise ValueError
    return value


def html_table(models: Iterable[ListedModel]) -> str:
    """The models with their prices as HTML; of chat models, the prices of short calls."""
    rows = []
    for model in models:
        cells: dict[str, object] = {"model": model.id, "label": model.label}
        if isinstance(model, ImageModel):
            known = sorted(each.price for each in model.prices if each.price is not None)
            cells["sizes"] = " ".join(model.sizes)
            cells["credits per image"] = " to ".join(dict.fromkeys(map(str, known[:1] + known[-1:])))
        else:
            assert isinstance(model, ChatModel)
            pricing = model.pricing or Pricing()
            tier = pricing.tier(0) or PriceTier()
            is_flat = pricing.price is not None
            cells["takes"], cells["gives"] = (
                " ".join(model.input_modalities),
                " ".join(model.output_modalities),
            )
            cells["credits per 1,000 tokens in"] = f"{pricing.price} a call" if is_flat else tier.input.text
            cells["out"] = None if is_flat else tier.output.text
        rows.append(cells)
    texts = [[escape("" if cell is None else str(cell)) for cell in row.values()] for row in rows]
    head = "".join(f"<th>{name}</th>" for name in (rows[0] if rows else ()))
    body = "".join(f"<tr><td>{'</td><td>'.join(row)}</td></tr>" for row in texts)
    return f"<table><tr>{head}</tr>{body}</table>"


def named(entries: Any) -> Any:
    """The entries of a model list that have a name, as far as it is not yet read as models."""
    if not isinstance(entries, list):
        return entries
    return [
        entry
        for entry in entries
        if isinstance(entry, Mapping) and _is_name(entry.get("name", entry.get("id")))
    ]


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


_Listed = TypeVar("_Listed", bound=ListedModel)


def find(models: Iterable[_Listed], wanted: str) -> _Listed | list[str]:
    """The model of that name, or else of that label, ignoring case and spaces; or the names closest to it.

    Those with that in their name or label are the closest.
    """
    by_name: dict[str, _Listed] = {}
    for model in models:
        if model.id == wanted:
            return model
        by_name.setdefault(_folded(model.id), model)
    by_label: dict[str, _Listed] = {}
    for model in by_name.values():
        by_label.setdefault(_folded(model.label or ""), model)
    known = {**by_label, **by_name}
    key = _folded(wanted)
    if key and key in known:
        return known[key]
    close = [name for name in known if key and key in name]
    close += difflib.get_close_matches(key, known, n=5, cutoff=0.5)
    return list(dict.fromkeys(known[name].id for name in close))[:5]


def _folded(text: str) -> str:
    return "".join(text.split()).casefold()
