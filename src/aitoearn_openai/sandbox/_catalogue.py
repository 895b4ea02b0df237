"""The models of the sandbox: every shape that an entry of the service's lists can have.

The prices are made up, except those of `gemini-3.1-pro-preview` (a real entry of 2026-07-26) and of the image model
`gpt-image-2`, whose 27 sizes are made up in part.
"""

from __future__ import annotations

from typing import Any

from .._models import ChatModel

Json = dict[str, Any]


def _entry(channel: str, label: str, inputs: str, pricing: Json, **more: Any) -> Json:
    return {
        "name": label.lower().replace(" ", "-"),
        "label": label,
        "tags": [],
        "channel": channel,
        "creditsScope": "general" if channel == "gemini" else "seedance",
        "scenes": ["web", "comment", "draft-generation"],
        "inputModalities": inputs.split(),
        "outputModalities": ["text"],
        "pricing": pricing,
        "description": label,
        **more,
    }


def _tier(output: str, limit: int | None = None, **inputs: str) -> Json:
    """Prices by token, up to a limit: of the text that comes out, and of all that goes in."""
    limits = {"maxInputTokens": limit} if limit else {}
    return {**limits, "input": inputs, "output": {"text": output}}


_PAINTER = {"input": {"text": "0.3", "image": "0.3"}, "output": {"text": "2", "image": "20"}}
_ALL_KINDS = [
    _tier("1.2", 200000, text="0.2", image="0.2", video="0.2", audio="0.7", cacheRead="0.02"),
    _tier("1.8", text="0.4", image="0.4", video="0.4", audio="1.05", cacheRead="0.04"),
]
# Prices for writing to the cache, and a last tier that has a limit too.
_CACHE_WRITES = [
    _tier("1.5", 200000, text="0.3", cacheRead="0.03", cacheWrite5m="0.375", cacheWrite1h="0.6"),
    _tier("2.2", 1000000, text="0.6", cacheRead="0.06", cacheWrite5m="0.75", cacheWrite1h="1.2"),
]
_DISCOUNT = {
    "tiers": [_tier("1.3", text="0.16", cacheRead="0.016")],
    "originPricing": {"tiers": [_tier("1.6", text="0.2", cacheRead="0.02")]},
}
_BY_RESOLUTION = [{"resolution": "1K", "price": 4}, {"resolution": "4K", "price": 7.5}]
_DRAWS = {"outputModalities": ["text", "image"], "fixedImagePricing": _BY_RESOLUTION}
_FOR_PLUGINS = {"scenes": ["web", "comment", "plugin"], "fixedImagePricing": []}

ENTRIES = [
    _entry("gemini", "Gemini 3.1 Pro Preview", "text image audio video", {"tiers": _ALL_KINDS}),
    _entry("gemini", "Gemini 3 Pro Image", "text image", {"tiers": [_PAINTER]}, **_DRAWS),
    # A channel that is in no list, and an empty fixedImagePricing.
    _entry("zhipu", "GLM 5.2", "text", {"tiers": [_tier("0.45", text="0.075")]}, **_FOR_PLUGINS),
    # A discount by token, then by call; then a flat price without one.
    _entry("openai", "GPT-5.2", "text image", _DISCOUNT, tags=["Sale"]),
    _entry("openai", "GPT-5.2 Mini", "text image", {"price": "0.5", "originPrice": "0.8"}),
    _entry("openai", "GPT Image 2", "text image", {"price": "6"}, outputModalities=["image"]),
    # Its streams have frames without choices.
    _entry("deepseek", "DeepSeek V4", "text", {"tiers": [_tier("0.045", text="0.03", cacheRead="0.003")]}),
    _entry("anthropic", "Claude Sonnet 5", "text image", {"tiers": _CACHE_WRITES}),
    # As self-hosted servers of 2.5 answer, as forks do, and as little as there can be.
    {
        "name": "deepseek-r2-local",
        "channel": "deepseek",
        "tags": [{"en-US": "Sale", "zh-CN": "限时"}],
        "mainTag": {"en-US": "Local", "zh-CN": "本地"},
        "summary": "Runs on a server of one's own",
        "logo": "https://example.com/logo.png",
        "inputModalities": ["text"],
        "outputModalities": ["text"],
    },
    {"name": "llama-5-local", "channel": "ollama", "inputModalities": ["text", "image"], "pricing": {}},
    {"name": "bare-local"},
]
"""The list as the service answers it."""

MODELS = {entry["name"]: ChatModel.model_validate(entry) for entry in ENTRIES}
"""The same as the package reads it, by name."""

_SIZES = [
    (1, 21.1, "1024x1024 1024x1536 1536x1024 1024x768 768x1024 1152x864 864x1152 1280x720 720x1280"),
    (2, 39.3, "1536x1536 1920x1080 1080x1920 2048x1152 1152x2048 1600x1200 1200x1600 1792x1024 1024x1792"),
    (4, 71.2, "2048x2048 2560x1440 1440x2560 3072x1728 1728x3072 2304x1728 1728x2304 3840x2160 2160x3840"),
]
_PRICES = [
    {"size": size, "price": price, "originPrice": before}
    for price, before, sizes in _SIZES
    for size in sizes.split()
]
_GPT_IMAGE: Json = {
    "name": "gpt-image-2",
    "label": "GPT Image 2",
    "description": "GPT Image 2",
    "tags": ["Sale"],
    "creditsScope": "seedance",
    "sizes": [each["size"] for each in _PRICES],
    "pricing": _PRICES,
}
GENERATION_ENTRIES = [
    {**_GPT_IMAGE, "qualities": ["auto", "high", "medium", "low"], "styles": []},
    {
        "name": "seedream-5",
        "label": "Seedream 5",
        "tags": [],
        "creditsScope": "general",
        "sizes": ["1024x1024", "2048x2048"],
        "qualities": [],
        "styles": ["natural", "vivid"],
        "pricing": [{"size": "1024x1024", "price": 0.8}, {"size": "2048x2048", "price": 4.5}],
    },
    {"name": "bare-painter"},
]
EDIT_ENTRIES = [{**_GPT_IMAGE, "maxInputImages": 14}]
"""The lists of image models as the service answers them."""
