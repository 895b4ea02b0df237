"""`import aitoearn_openai as openai`: every public name of the SDK's module, and a client behind the module."""

from __future__ import annotations

import importlib
import inspect
import sys
from functools import cached_property
from typing import Any

import openai

from ._client import AsyncOpenAI, OpenAI, hide_key
from ._sdk.private import LazyProxy
from ._settings import Settings

_SETTINGS = openai.__annotations__.keys() & inspect.signature(openai.OpenAI).parameters.keys()
_SUBMODULES = ("batch", "relay", "sandbox")
_MODELS = ("ChatModel", "ImageModel")


class _Default(int):
    """A default that is not the same object as an equal number of the caller's."""


_DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(_SETTINGS),
    "max_retries": _Default(openai.DEFAULT_MAX_RETRIES),
    "timeout": openai.Timeout(openai.DEFAULT_TIMEOUT),
}
"""The module's settings until somebody assigns others, as the SDK has them: then `AITOEARN_*` settings hold."""
_OWN: dict[str, Any] = {
    "AsyncClient": AsyncOpenAI,
    "AsyncOpenAI": AsyncOpenAI,
    "Client": OpenAI,
    "OpenAI": OpenAI,
    "Settings": Settings,
}
_STAR = [*_OWN, *_MODELS, *openai.__all__]
_latest: tuple[dict[str, Any], OpenAI] | None = None


def client() -> OpenAI:
    """The client behind the module's resources, of the module's settings as they are now."""
    global _latest
    given = _given()
    if _latest is None or _latest[0] != given:
        _latest = given, OpenAI(**given)
    return _latest[1]


def _given() -> dict[str, Any]:
    """The module's settings that somebody assigned; apart, as tracebacks would show what the module has."""
    module = vars(sys.modules[__package__])
    given = {
        name: module[name] for name in _SETTINGS if module.get(name, _DEFAULTS[name]) is not _DEFAULTS[name]
    }
    hide_key(given)
    return given


class _Resource(LazyProxy[Any]):
    """A resource of `client()`, looked up whenever it is used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __load__(self) -> Any:
        return getattr(client(), self._name)


def find(name: str) -> Any:
    """What the package has by that name: its own, a resource of the client, or else the SDK's own object."""
    if name == "__all__":
        return _STAR
    for own in (_OWN, _DEFAULTS):
        if name in own:
            return own[name]
    if name in _MODELS:
        # Not every program looks at the models, and their classes take time to make.
        from . import _models

        return getattr(_models, name)
    if name in _SUBMODULES:  # Found without an import by hand, and loaded when they are used.
        try:
            return importlib.import_module(f"{__package__}.{name}")
        except ImportError as error:  # The message says what to install.
            raise AttributeError(str(error), name=name) from error
    is_public = not name.startswith("_") or name in openai.__all__
    if not is_public or not hasattr(openai, name):
        raise AttributeError(f"module {__package__!r} has no attribute {name!r}")
    if isinstance(inspect.getattr_static(OpenAI, name, None), cached_property):
        return _Resource(name)
    if name in openai.__annotations__:
        return None  # A setting of the SDK's module for another cloud: its state is not looked at.
    return getattr(openai, name)


def names() -> list[str]:
    """What `dir()` shows of the package."""
    public = (name for name in dir(openai) if not name.startswith("_"))
    return sorted({*_STAR, *_SETTINGS, *_SUBMODULES, *vars(sys.modules[__package__]), *public})
