"""What the service's model list says: `ChatModel`, its prices, and finding one by name. No I/O."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Any, Literal

import openai
from openai.types import CompletionUsage, Model
from pydantic import (
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)


class _Lenient(openai.BaseModel):
    """A part of the list in which an optional value of an unexpected kind counts as missing.

    The service and the servers that people host themselves differ; one odd value must not hide a model.
    """

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _forgive(cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        try:
            return handler(value)
        except ValidationError:
            field = cls.model_fields[str(info.field_name)]
            if field.is_required():
                raise
            return field.get_default(call_default_factory=True)


class Prices(_Lenient):
    """Prices of one side of a call, in credits per 1,000 tokens of each kind.

    Example:
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


class PriceTier(_Lenient):
    """Prices of the calls of up to `max_input_tokens` input tokens, or of any size.

    Example:
        >>> PriceTier.model_validate({"maxInputTokens": 1000, "input": {"text": "0.2"}}).max_input_tokens
        1000
    """

    max_input_tokens: int | None = Field(default=None, alias="maxInputTokens")
    input: Prices = Prices()
    output: Prices = Prices()


class Pricing(_Lenient):
    """What a model costs: by token in `tiers`, or `price` credits for each call.

    Example:
        >>> tiers = [{"maxInputTokens": 1000, "input": {"text": "0.2"}}, {"input": {"text": "0.4"}}]
        >>> pricing = Pricing.model_validate({"tiers": tiers})
        >>> pricing.tier(1000).input.text, pricing.tier(1001).input.text
        (Decimal('0.2'), Decimal('0.4'))
    """

    tiers: list[PriceTier] = Field(default=[])
    price: Decimal | None = None
    """Credits per call, where the price is flat."""
    origin_price: Decimal | None = Field(default=None, alias="originPrice")
    """Credits per call before a discount."""
    origin_pricing: Pricing | None = Field(default=None, alias="originPricing")
    """The prices before a discount."""

    def tier(self, input_tokens: int) -> PriceTier | None:
        """The tier that a call of so many input tokens falls in; None where there are no tiers."""
        for tier in self.tiers:
            if tier.max_input_tokens is None or input_tokens <= tier.max_input_tokens:
                return tier
        return self.tiers[-1] if self.tiers else None


class ImagePrice(_Lenient):
    """Credits for one image of a resolution, such as `1K`.

    Example:
        >>> ImagePrice.model_validate({"resolution": "1K", "price": "2.5"}).price
        Decimal('2.5')
    """

    resolution: str | None = None
    price: Decimal | None = None


class ChatModel(_Lenient, Model):
    """A model of the list at `GET /api/ai/models/chat`, as an `openai.types.Model`.

    Every field but `id` may be missing on a server; fields that are not named here are kept as they came.

    Example:
        >>> model = ChatModel.model_validate({"name": "glm-5.2", "pricing": {"price": "0.5"}})
        >>> model.id, model.credits(prompt_tokens=9, completion_tokens=5)
        ('glm-5.2', Decimal('0.5'))
    """

    id: str = Field(alias="name", min_length=1)
    """What `model=` takes: the service's `name`."""
    created: int = 0
    """Always 0: the service does not tell."""
    object: Literal["model"] = "model"
    owned_by: str = Field(default="", alias="channel")
    """The vendor behind the model, such as `openai` or `deepseek`: the service's `channel`."""
    label: str | None = None
    """The name that people see."""
    description: str | None = None
    tags: list[str] = Field(default=[])
    """Short texts such as "Sale"; of a language map, the English one, or else the first."""
    scenes: list[str] = Field(default=[])
    """Where the service offers the model: `web`, `comment`, `draft-generation`, `plugin` and others."""
    credits_scope: str | None = Field(default=None, alias="creditsScope")
    input_modalities: list[str] = Field(default=[], alias="inputModalities")
    """What the model takes: `text`, `image`, `audio`, `video` and others."""
    output_modalities: list[str] = Field(default=[], alias="outputModalities")
    """What the model gives: `text`, `image` and others."""
    pricing: Pricing | None = None
    fixed_image_pricing: list[ImagePrice] = Field(default=[], alias="fixedImagePricing")
    """Credits per image, by resolution."""

    if TYPE_CHECKING:

        def __init__(self, **fields: Any) -> None:
            """A model with these fields, under their names here or those of the service's list."""

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

    def credits(
        self,
        usage: CompletionUsage | None = None,
        *,
        prompt_tokens: int = 0,
        completion_tokens: int = 0,
        cached_tokens: int = 0,
    ) -> Decimal | None:
        """The price of a call in credits, or None where the list has no price for it.

        Args:
            usage: The `usage` of a completion; it takes the place of the three counts.
            prompt_tokens: Input tokens, the cached ones among them.
            completion_tokens: Output tokens.
            cached_tokens: Input tokens that were read from the cache.

        Example:
            >>> tiers = [{"input": {"text": "0.075"}, "output": {"text": "0.45"}}]
            >>> model = ChatModel.model_validate({"name": "m", "pricing": {"tiers": tiers}})
            >>> model.credits(prompt_tokens=385, completion_tokens=86)
            Decimal('0.067575')
        """
        if self.pricing is None:
            return None
        if self.pricing.price is not None:
            return self.pricing.price
        audio_tokens = 0
        if usage is not None:
            # The SDK checks no field of an answer.
            counted: list[Any] = [
                getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")
            ]
            if not all(isinstance(count, int) for count in counted):
                return None
            prompt_tokens, completion_tokens = counted
            details = getattr(usage, "prompt_tokens_details", None)
            cached_tokens, audio_tokens = (
                count if isinstance(count := getattr(details, name, None), int) else 0
                for name in ("cached_tokens", "audio_tokens")
            )
        tier = self.pricing.tier(prompt_tokens)
        if tier is None:
            return None
        prices = tier.input
        parts = [
            (prompt_tokens - cached_tokens - audio_tokens, prices.text),
            (cached_tokens, prices.text if prices.cache_read is None else prices.cache_read),
            (audio_tokens, prices.text if prices.audio is None else prices.audio),
            (completion_tokens, tier.output.text),
        ]
        total = Decimal(0)
        try:
            for tokens, price in parts:
                if tokens:
                    if price is None:
                        return None
                    total += tokens * price
            return total / 1000
        except ArithmeticError:  # A price such as 1E+999999.
            return None


def html_table(models: Iterable[ChatModel]) -> str:
    """The models with their prices for short calls, as HTML."""
    rows = []
    for model in models:
        pricing = model.pricing or Pricing()
        tier = pricing.tier(0) or PriceTier()
        prices: tuple[object, object] = tier.input.text, tier.output.text
        if pricing.price is not None:
            prices = f"{pricing.price} a call", None
        takes, gives = " ".join(model.input_modalities), " ".join(model.output_modalities)
        cells = (
            "" if cell is None else escape(str(cell))
            for cell in (model.id, model.label, takes, gives, *prices)
        )
        rows.append(f"<td>{'</td><td>'.join(cells)}</td>")
    head = "<th>model</th><th>label</th><th>takes</th><th>gives</th><th>in</th><th>out</th>"
    caption = (
        "in, out: credits per 1,000 tokens of text, in short calls; <code>.pricing</code> has all prices"
    )
    body = "".join(f"<tr>{row}</tr>" for row in (head, *rows))
    return f"<table>{body}</table><p>{caption}</p>"


def named(entries: Any) -> Any:
    """The entries of a model list that have a name: without one, a model cannot be asked for."""
    if not isinstance(entries, list):
        return entries
    return [
        entry
        for entry in entries
        if isinstance(entry, Mapping) and _is_name(entry.get("name", entry.get("id")))
    ]


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def find(models: Iterable[ChatModel], wanted: str) -> ChatModel | list[str]:
    """The model of that name, or else of that label, ignoring case and spaces; or the names closest to it."""
    by_name: dict[str, ChatModel] = {}
    for model in models:
        by_name.setdefault(_folded(model.id), model)
    by_label: dict[str, ChatModel] = {}
    for model in by_name.values():
        by_label.setdefault(_folded(model.label or ""), model)
    known = {**by_label, **by_name}
    key = _folded(wanted)
    if key and key in known:
        return known[key]
    close = difflib.get_close_matches(key, known, n=5, cutoff=0.5)
    return list(dict.fromkeys(known[name].id for name in close))


def _folded(text: str) -> str:
    return "".join(text.split()).casefold()
