"""`OpenAI` and `AsyncOpenAI`: the SDK's clients with other defaults."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial, wraps
from typing import TYPE_CHECKING, Any

import openai

from ._pools import make_pool
from ._sdk.clients import AsyncClient, SyncClient
from ._sdk.private import drop_openai_settings
from ._settings import Settings, load, missing_key

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


_FROM_SETTINGS = ("api_key", "base_url", "timeout", "max_retries")
_CREDENTIALS = ("api_key", "admin_api_key", "workload_identity")
_SECRET_NAME = re.compile("auth|cookie|key|secret|token", re.IGNORECASE)
_SENDABLE = re.compile(r"([\t -~]*[!-~])?")
"""What a header can carry after `Bearer `."""


class _Key(str):
    """A key that does not show where frames and arguments are shown."""

    def __repr__(self) -> str:
        return "'**********'"


def hide_key(arguments: dict[str, Any]) -> None:
    """Have the key among constructor arguments not show."""
    if isinstance(arguments.get("api_key"), str):
        arguments["api_key"] = _Key(arguments["api_key"])


def _refuse_openais_host(options: dict[str, Any]) -> None:
    if options.get("data_residency") is not None:
        raise openai.OpenAIError(
            "data_residency chooses a host of OpenAI, and a key from AITOEARN_* settings is not sent there: leave it out, "
            "or give OpenAI's api_key too."
        )


def _construct(client: Any, construct: Callable[..., None], arguments: dict[str, Any]) -> None:
    """Construct a client as the SDK does, with settings in place of what the caller left open."""
    hide_key(arguments)  # In the caller's frame too.
    settings = from_settings = arguments.pop("_settings", None)
    for field in ("site", "http_backend"):
        if field in arguments:
            name = type(client).__name__
            raise TypeError(f"{name}() has no {field!r}: write {name}.from_settings(Settings({field}=...))")
    arguments = {name: value for name, value in arguments.items() if not isinstance(value, openai.NotGiven)}
    given = dict(arguments)
    client._known_models = {}

    def is_open(name: str, *rivals: str) -> bool:
        return all(given.get(key) is None for key in (name, *rivals, "provider"))

    is_without_key = is_open("admin_api_key", "workload_identity") and given.get("_enforce_credentials", True)
    if given.get("api_key") == "" and is_without_key:
        raise openai.OpenAIError(
            "api_key is empty: give a key, or leave api_key out, and AITOEARN_API_KEY is used. "
            "A server that wants no key takes any text."
        )
    key_is_open = is_open("api_key", "workload_identity")
    url_is_open = is_open("base_url", "data_residency")
    pool_is_open = given.get("http_client") is None
    is_async = isinstance(client, AsyncClient)
    wanted = {
        "api_key": key_is_open,
        "site": key_is_open or url_is_open,
        "base_url": url_is_open,
        "timeout": "timeout" not in given,
        "max_retries": "max_retries" not in given,
        "http_backend": pool_is_open and is_async,
    }
    if not settings and any(wanted.values()):  # A copy of a client gives every argument.
        settings = load(only=[name for name, is_wanted in wanted.items() if is_wanted])
    if key_is_open:
        if not settings.api_key and is_without_key:
            # What the SDK has to say of the other arguments comes first, such as of a misspelt one.
            construct(**{**arguments, "api_key": "missing"})
            raise openai.OpenAIError(missing_key(settings))
        # An empty key, unlike None, keeps the SDK from reading OPENAI_API_KEY.
        arguments["api_key"] = _Key(settings.api_key.get_secret_value() if settings.api_key else "")
    if url_is_open:
        arguments["base_url"] = settings.base_url
    if wanted["max_retries"] and settings.max_retries is not None:
        arguments["max_retries"] = settings.max_retries
    if pool_is_open:
        arguments["http_client"] = make_pool(
            is_async=is_async,
            backend=settings.http_backend if settings else "httpx",
            base_url=str(arguments.get("base_url") or ""),
        )
    try:
        construct(**arguments)
        is_refused = False
    except TypeError:
        is_refused = pool_is_open
        if not is_refused:
            raise
    if is_refused:
        # Where an instrumentation has replaced httpx's classes, the SDK takes no client but the one that it makes.
        construct(**{**arguments, "http_client": None})
    drop_openai_settings(client, given)
    # The SDK takes the timeout of an `http_client` that has one of its own, and so do we.
    if wanted["timeout"] and settings.timeout and client.timeout == openai.DEFAULT_TIMEOUT:
        client.timeout = settings.timeout
    if key_is_open and settings.api_key:
        _refuse_openais_host(given)
    left_open = {name: getattr(client, name) for name in _FROM_SETTINGS if wanted[name]}
    client._origins = Origins(given, from_settings, left_open, given.get("http_client"))


@dataclass(frozen=True, repr=False)
class Origins:
    """Where the options of a client came from."""

    given: dict[str, Any]
    """The caller's arguments; of a copy, all of them."""
    settings: Settings | None
    """Those of `from_settings`."""
    left_open: dict[str, Any]
    """What the settings said where the caller said nothing, by the name of the argument."""
    http_client: Any
    """The caller's own, if any."""

    def copied(self, given: dict[str, Any], overrides: dict[str, Any]) -> Origins:
        """Those of a copy that was made with these overrides."""
        told = {
            each for each, value in overrides.items() if not isinstance(value, (type(None), openai.NotGiven))
        }
        left_open = {name: value for name, value in self.left_open.items() if name not in told}
        http_client = overrides.get("http_client") or self.http_client
        return replace(self, given=given, left_open=left_open, http_client=http_client)

    def to_pickle(self, client: Any) -> dict[str, Any]:
        """The arguments with which another process makes the same client."""
        # A copy is given every option as it is now, except `_strict_response_validation` and its like.
        options = {name: value for name, value in self.given.items() if name.startswith("_")}
        options |= client.copy()._origins.given | {"http_client": None, "base_url": str(client.base_url)}
        open_now = {name for name, value in self.left_open.items() if value == getattr(client, name)}
        is_given = any(options.get(name) and name not in open_now for name in _CREDENTIALS)
        names = [*(options.get("default_headers") or ()), *(options.get("default_query") or ())]
        if is_given or any(map(_SECRET_NAME.search, names)):
            open_now.discard("base_url")
        options |= {"_settings": self.settings}
        return {
            name: value
            for name, value in options.items()
            if name not in open_now and (value is not None or name == "timeout")
        }


def _copying(sdk_copy: Any) -> Any:
    """The SDK's `copy`, which keeps in mind where the options came from."""

    @wraps(sdk_copy)
    def copy(self: Any, **overrides: Any) -> Any:
        hide_key(overrides)
        copied = sdk_copy(self, **overrides)
        if copied.api_key and copied.api_key == self._origins.left_open.get("api_key"):
            _refuse_openais_host(overrides)
        copied._origins = self._origins.copied(copied._origins.given, overrides)
        if copied.base_url == self.base_url:
            copied._known_models = self._known_models
        return copied

    return copy


class _ClientMixin:
    """What both clients have beyond the SDK's."""

    if not TYPE_CHECKING:  # Each client declares `from_settings` with the SDK's arguments.

        def __setattr__(self, name, value):
            """As ever, but a key does not show, and one that could not be sent is refused, wherever it comes from."""
            if name == "api_key" and isinstance(value, str):
                value = _Key(value)
                if not _SENDABLE.fullmatch(value):
                    raise openai.OpenAIError(
                        "api_key: a header cannot carry this key. It has a line end, another control character, a space "
                        "at its end, or a character beyond ASCII; copy it once more."
                    )
            super().__setattr__(name, value)

        @classmethod
        def from_settings(cls, settings, **overrides):
            """A client of these settings, such as for a second site; any other argument wins over them.

            Examples:
                >>> OpenAI.from_settings(Settings(site="ai", api_key="...")).base_url
                URL('https://aitoearn.ai/api/ai/')
            """
            hide_key(overrides)
            return cls(_settings=settings, **overrides)

    def __reduce__(self: Any) -> tuple[Any, ...]:
        """Pickle the client's options, so that another process can have the same client.

        What was given in code travels, to the client or to the `Settings` of `from_settings`; a key takes its address
        along. What came from variables or a file does not: the other side reads its own `AITOEARN_*`.

        Raises:
            TypeError: for a client with an `http_client` of its own.
        """
        if self._origins.http_client is not None:
            raise TypeError(
                "a client with an http_client of its own cannot be pickled: construct it where it is used"
            )
        return partial(self.__class__, **self._origins.to_pickle(self)), ()

    def __copy__(self: Any) -> Any:
        return self.copy()

    def __deepcopy__(self: Any, memo: object) -> Any:
        return self.copy()


class OpenAI(_ClientMixin, SyncClient):
    """`openai.OpenAI` for AiToEarn: the same class with other defaults.

    The key, base URL, timeout and retries come from `AITOEARN_*` settings (see `Settings`); an argument wins
    over them and is used exactly as given. Nothing is read from `OPENAI_*` variables. `client.models` has the
    service's models, and failures that the service reports as HTTP 200 are the SDK's own exceptions.

    Raises:
        openai.OpenAIError: there is no key, or a setting has a bad value.

    Examples:
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

        copy = with_options = _copying(openai.OpenAI.copy)

    @cached_property
    def models(self) -> Models:
        """The models that the service offers: for chat, and for `images.generate` and `images.edit`."""
        from ._resource import Models

        return Models(self)


class AsyncOpenAI(_ClientMixin, AsyncClient):
    """`openai.AsyncOpenAI` for AiToEarn: the same class with other defaults, from `AITOEARN_*` settings.

    Raises:
        openai.OpenAIError: there is no key, or a setting has a bad value.

    Examples:
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

        copy = with_options = _copying(openai.AsyncOpenAI.copy)

    @cached_property
    def models(self) -> AsyncModels:
        """The models that the service offers: for chat, and for `images.generate` and `images.edit`."""
        from ._resource import AsyncModels

        return AsyncModels(self)
