"""`OpenAI` and `AsyncOpenAI`: the SDK's clients with other defaults."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import openai

from ._sdk import AsyncClient, SyncClient, forget_openai, make_pool
from ._settings import BAD_KEY, KEY, Settings, load, missing_key

if TYPE_CHECKING:
    from typing import Concatenate, Generic, ParamSpec, TypeVar

    from typing_extensions import Self

    from ._resource import AsyncModels, Models

    _P = ParamSpec("_P")
    _T = TypeVar("_T")

    class _Arguments(Generic[_P]):
        """The arguments of a constructor of the SDK, without its text, which speaks of `OPENAI_API_KEY`.

        Pyright shows the text of what `_constructor` and `_alternative` decorate because these texts are empty.
        """

        def __init__(self, constructor: Callable[Concatenate[Any, _P], None]) -> None: ...

        def alone(self, *args: _P.args, **kwargs: _P.kwargs) -> None:
            ""  # noqa: D419

        def after_settings(self, settings: Settings, *args: _P.args, **kwargs: _P.kwargs) -> None:
            ""  # noqa: D419

    def _constructor(
        arguments: Callable[_P, None],
    ) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, _P], None]]: ...

    def _alternative(
        arguments: Callable[_P, None],
    ) -> Callable[[Callable[[type[_T], Settings], _T]], Callable[Concatenate[type[_T], _P], _T]]: ...


class _Key(str):
    """A key that does not show where frames and arguments are shown."""

    def __repr__(self) -> str:
        return "'**********'"


class _SettingsKey(_Key):
    """A key that the caller did not write down: it does not travel with the client."""


def _hide_key(arguments: dict[str, Any]) -> None:
    """Have the key among constructor arguments not show, and refuse one that could not be sent."""
    key = arguments.get("api_key")
    if isinstance(key, str) and not isinstance(key, _Key):
        key = arguments["api_key"] = _Key(key)
    if isinstance(key, str) and not KEY.fullmatch(key):
        raise openai.OpenAIError(f"api_key: {BAD_KEY}")


_own_pools: WeakKeyDictionary[Any, Settings | None] = WeakKeyDictionary()
"""The HTTP clients that were made here, and the settings of the client that each was made for."""


def _construct(client: Any, construct: Callable[..., None], arguments: dict[str, Any]) -> None:
    """Construct a client as the SDK does, with settings in the place of what the caller left open."""
    settings: Settings | None = arguments.pop("_settings", None)
    for name in [name for name, value in arguments.items() if isinstance(value, openai.NotGiven)]:
        del arguments[name]
    _hide_key(arguments)
    given = client._given = dict(arguments)

    def is_open(name: str, *rivals: str) -> bool:
        return all(given.get(key) is None for key in (name, *rivals, "provider"))

    # A copy of a client gives every argument, and so neither reads nor needs settings.
    key_is_open = is_open("api_key", "workload_identity")
    url_is_open = is_open("base_url", "data_residency")
    pool_is_open = is_open("http_client")
    is_async = isinstance(client, AsyncClient)
    if (
        key_is_open
        or url_is_open
        or (pool_is_open and is_async)
        or not {"timeout", "max_retries"} <= given.keys()
    ):
        settings = settings or load()
        if key_is_open:
            if not settings.api_key and is_open("admin_api_key") and given.get("_enforce_credentials", True):
                # What the SDK has to say of the other arguments comes first, such as of a misspelt one.
                construct(**{**arguments, "api_key": "missing"})
                raise openai.OpenAIError(missing_key(settings))
            # An empty key, unlike None, keeps the SDK from reading OPENAI_API_KEY.
            arguments["api_key"] = _SettingsKey(
                settings.api_key.get_secret_value() if settings.api_key else ""
            )
        if url_is_open:
            arguments["base_url"] = settings.base_url
        if settings.max_retries is not None:
            arguments.setdefault("max_retries", settings.max_retries)
    if pool_is_open:
        backend = settings.http_backend if settings else "httpx"
        pool = arguments["http_client"] = make_pool(is_async=is_async, backend=backend)
        _own_pools[pool] = settings
    construct(**arguments)
    forget_openai(client, given)
    # The SDK takes the timeout of an `http_client` that has one of its own, and so do we.
    if settings and settings.timeout and "timeout" not in given and client.timeout == openai.DEFAULT_TIMEOUT:
        client.timeout = settings.timeout
    if pool_is_open:
        pool.base_url, pool.timeout = client.base_url, client.timeout


def _arrive(client_class: Any, options: dict[str, Any]) -> Any:
    return client_class(**options)


class _Ours:
    """What both clients have beyond the SDK's."""

    if not TYPE_CHECKING:  # Each client declares it with the SDK's arguments.

        @classmethod
        def from_settings(cls, settings, **overrides):
            """A client of these settings, such as for a second site; any other argument wins over them.

            Example:
                >>> OpenAI.from_settings(Settings(site="ai", api_key="...")).base_url
                URL('https://aitoearn.ai/api/ai/')
            """
            _hide_key(overrides)
            return cls(_settings=settings, **overrides)

    def __reduce__(self: Any) -> tuple[Any, ...]:
        """Pickle the client's options, so that another process can have the same client.

        A key given in code travels with it. What came from settings, the key above all, does not: the other
        side reads its own `AITOEARN_*`.

        Raises:
            TypeError: for a client with an `http_client` of its own.
        """
        # A copy is given every option as it is now, except `_strict_response_validation` and its like.
        options = {name: value for name, value in self._given.items() if name.startswith("_")}
        options |= self.copy()._given
        pool = options.pop("http_client")
        if pool not in _own_pools:
            raise TypeError(
                "a client with an http_client of its own cannot be pickled: construct it where it is used"
            )
        options["base_url"] = str(options["base_url"])
        if settings := _own_pools[pool]:
            settled = settings.model_dump(include={"max_retries", "timeout"}, exclude_none=True)
            settled["base_url"] = f"{settings.base_url}/"
            options = {name: value for name, value in options.items() if value != settled.get(name, _Ours)}
        kept = {
            name: value
            for name, value in options.items()
            if not isinstance(value, _SettingsKey) and (value is not None or name == "timeout")
        }
        return _arrive, (type(self), kept)

    def __copy__(self: Any) -> Any:
        return self.copy()

    def __deepcopy__(self: Any, memo: object) -> Any:
        return self.copy()


class OpenAI(_Ours, SyncClient):
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

    if TYPE_CHECKING:  # What type checkers and editors show: the SDK's arguments with this package's texts.

        @_constructor(_Arguments(openai.OpenAI.__init__).alone)
        def __init__(self, **arguments: Any) -> None:
            """Make a client. What is not given comes from `AITOEARN_*` settings, and nothing from `OPENAI_*`."""
            openai.OpenAI.__init__(self, **arguments)

        @classmethod
        @_alternative(_Arguments(openai.OpenAI.__init__).after_settings)
        def from_settings(cls, settings: Settings, **overrides: Any) -> Self:
            """A client of these settings, such as for a second site; any other argument wins over them."""
            return cls(**overrides)

    else:

        @wraps(openai.OpenAI.__init__, assigned=("__annotations__",))
        def __init__(self, **arguments):
            """Make a client. What is not given comes from `AITOEARN_*` settings, and nothing from `OPENAI_*`."""
            _construct(self, super().__init__, arguments)

    @cached_property
    def models(self) -> Models:
        """The chat models that the service offers."""
        from ._resource import Models

        return Models(self)


class AsyncOpenAI(_Ours, AsyncClient):
    """`openai.AsyncOpenAI` for AiToEarn: the same class with other defaults, from `AITOEARN_*` settings.

    Raises:
        openai.OpenAIError: there is no key, or a setting has a bad value.

    Example:
        >>> import asyncio
        >>> from aitoearn_openai import sandbox
        >>> async def main(settings):
        ...     async with AsyncOpenAI.from_settings(settings) as client:
        ...         return [model.id async for model in client.models.list() if "image" in model.output_modalities]
        >>> with sandbox.serve() as site:
        ...     asyncio.run(main(site.settings))
        ['gemini-3-pro-image', 'gpt-image-2']
    """

    if TYPE_CHECKING:  # What type checkers and editors show: the SDK's arguments with this package's texts.

        @_constructor(_Arguments(openai.AsyncOpenAI.__init__).alone)
        def __init__(self, **arguments: Any) -> None:
            """Make a client. What is not given comes from `AITOEARN_*` settings, and nothing from `OPENAI_*`."""
            openai.AsyncOpenAI.__init__(self, **arguments)

        @classmethod
        @_alternative(_Arguments(openai.AsyncOpenAI.__init__).after_settings)
        def from_settings(cls, settings: Settings, **overrides: Any) -> Self:
            """A client of these settings, such as for a second site; any other argument wins over them."""
            return cls(**overrides)

    else:

        @wraps(openai.AsyncOpenAI.__init__, assigned=("__annotations__",))
        def __init__(self, **arguments):
            """Make a client. What is not given comes from `AITOEARN_*` settings, and nothing from `OPENAI_*`."""
            _construct(self, super().__init__, arguments)

    @cached_property
    def models(self) -> AsyncModels:
        """The chat models that the service offers."""
        from ._resource import AsyncModels

        return AsyncModels(self)
