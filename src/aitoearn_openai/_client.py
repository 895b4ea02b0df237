"""`OpenAI` and `AsyncOpenAI`: the SDK's clients with other defaults."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any

import openai

from ._sdk import AsyncClient, SyncClient, forget_openai
from ._settings import Settings, load, missing_key

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._resource import AsyncModels, Models


def _construct(client: Any, construct: Callable[..., None], arguments: dict[str, Any]) -> None:
    """Construct a client as the SDK does, with settings in the place of what the caller left open."""
    settings: Settings | None = arguments.pop("_settings", None)
    given = {name: value for name, value in arguments.items() if not isinstance(value, openai.NotGiven)}

    def is_open(name: str, *rivals: str) -> bool:
        return all(given.get(key) is None for key in (name, *rivals, "provider"))

    # A copy of a client gives every argument, and so neither reads nor needs settings.
    key_is_open = is_open("api_key", "workload_identity")
    url_is_open = is_open("base_url", "data_residency")
    if key_is_open or url_is_open or not {"timeout", "max_retries"} <= given.keys():
        settings = settings or load()
        if key_is_open:
            if not settings.api_key and is_open("admin_api_key") and given.get("_enforce_credentials", True):
                raise openai.OpenAIError(missing_key(settings))
            # An empty key, unlike None, keeps the SDK from reading OPENAI_API_KEY.
            given["api_key"] = settings.api_key.get_secret_value() if settings.api_key else ""
        if url_is_open:
            given["base_url"] = settings.base_url
        if settings.max_retries is not None:
            given.setdefault("max_retries", settings.max_retries)
    construct(**given)
    forget_openai(client, given)
    # The SDK takes the timeout of an `http_client` that has one of its own, and so do we.
    if settings and settings.timeout and "timeout" not in given and client.timeout == openai.DEFAULT_TIMEOUT:
        client.timeout = settings.timeout


class OpenAI(SyncClient):
    """`openai.OpenAI` for AiToEarn: the same class with other defaults.

    The key, base URL, timeout and retries come from `AITOEARN_*` settings (see `Settings`); an argument wins
    over them and is used exactly as given. Nothing is read from `OPENAI_*` variables. `client.models` has the
    service's models, and failures that the service reports as HTTP 200 are the SDK's own exceptions.

    Raises:
        openai.OpenAIError: there is no key, or a setting has a bad value.

    Example:
        >>> client = OpenAI(api_key="...")
        >>> client.base_url
        URL('https://aitoearn.cn/api/ai/')
    """

    if not TYPE_CHECKING:  # Type checkers and editors see the SDK's own signature.

        @wraps(openai.OpenAI.__init__, assigned=("__annotations__",))
        def __init__(self, **arguments):
            _construct(self, super().__init__, arguments)

    @classmethod
    def from_settings(cls, settings: Settings, **overrides: Any) -> Self:
        """A client of these settings, such as for a second site; `overrides` are the constructor's arguments.

        Example:
            >>> OpenAI.from_settings(Settings(site="ai", api_key="...")).base_url
            URL('https://aitoearn.ai/api/ai/')
        """
        return cls(_settings=settings, **overrides)  # type: ignore[call-arg]

    @cached_property
    def models(self) -> Models:
        """The chat models that the service offers."""
        from ._resource import Models

        return Models(self)


class AsyncOpenAI(AsyncClient):
    """`openai.AsyncOpenAI` for AiToEarn: the same class with other defaults, as `OpenAI` here is.

    Raises:
        openai.OpenAIError: there is no key, or a setting has a bad value.
    """

    if not TYPE_CHECKING:  # Type checkers and editors see the SDK's own signature.

        @wraps(openai.AsyncOpenAI.__init__, assigned=("__annotations__",))
        def __init__(self, **arguments):
            _construct(self, super().__init__, arguments)

    @classmethod
    def from_settings(cls, settings: Settings, **overrides: Any) -> Self:
        """A client of these settings, such as for a second site; `overrides` are the constructor's arguments."""
        return cls(_settings=settings, **overrides)  # type: ignore[call-arg]

    @cached_property
    def models(self) -> AsyncModels:
        """The chat models that the service offers."""
        from ._resource import AsyncModels

        return AsyncModels(self)
