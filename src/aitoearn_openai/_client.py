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
from ._sdk.exceptions import family_of
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


_SETTLED_BY = {
    "api_key": {"api_key", "workload_identity", "provider"},
    "base_url": {"base_url", "data_residency", "provider"},
    "timeout": {"timeout"},
    "max_retries": {"max_retries"},
    "http_backend": {"http_client"},
}
"""The settings of a client, each with the arguments that leave nothing to it."""
_CREDENTIALS = {"api_key", "admin_api_key", "workload_identity"}
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
    given = _names_given(arguments)
    settings = from_settings = arguments.pop("_settings", None)
    for field in ("site", "http_backend"):
        if field in arguments:
            name = type(client).__name__
            raise TypeError(f"{name}() has no {field!r}: write {name}.from_settings(Settings({field}=...))")
    has_credential = not given.isdisjoint({"admin_api_key", "workload_identity", "provider"})
    needs_key = not has_credential and arguments.get("_enforce_credentials", True)
    if needs_key and arguments.get("api_key") == "":
        raise openai.OpenAIError(
            "api_key is empty: give a key, or leave api_key out, and AITOEARN_API_KEY is used. "
            "A server that wants no key takes any text."
        )
    wanted = {field for field, names in _SETTLED_BY.items() if not given & names}
    if wanted and not settings:  # A copy of a client gives every argument.
        only = wanted | ({"site"} if wanted & {"api_key", "base_url"} else set())
        settings = load(only if isinstance(client, AsyncClient) else only - {"http_backend"})
    if "api_key" in wanted:
        if not settings.api_key and needs_key:
            # What the SDK has to say of the other arguments comes first, such as of a misspelt one.
            construct(**{**arguments, "api_key": "missing"})
            raise openai.OpenAIError(missing_key(settings))
        # An empty key, unlike None, keeps the SDK from reading OPENAI_API_KEY.
        arguments["api_key"] = _Key(settings.api_key.get_secret_value() if settings.api_key else "")
    if "base_url" in wanted:
        arguments["base_url"] = settings.base_url
    if "max_retries" in wanted and settings.max_retries is not None:
        arguments["max_retries"] = settings.max_retries
    if "http_backend" in wanted:
        is_async = isinstance(client, AsyncClient)
        url = str(arguments.get("base_url") or "")
        pool = make_pool(is_async=is_async, backend=settings.http_backend, base_url=url)
        library = family_of(type(pool))
        # Where an instrumentation has replaced the library's classes, the SDK takes no client but the one that it makes.
        if (library.AsyncClient if is_async else library.Client) in type(pool).__mro__:
            arguments["http_client"] = pool
    construct(**arguments)
    drop_openai_settings(client, arguments)
    # The SDK takes the timeout of an `http_client` that has one of its own, and so do we.
    if "timeout" in wanted and settings.timeout and client.timeout == openai.DEFAULT_TIMEOUT:
        client.timeout = settings.timeout
    if "api_key" in wanted and settings.api_key:
        _refuse_openais_host(arguments)
    client._known_models, client._origins = {}, Origins(arguments, given, from_settings)


def _names_given(arguments: dict[str, Any]) -> set[str]:
    """The options that the caller has set: None leaves them open, but a timeout can be None."""
    return {
        name.removeprefix("set_")
        for name, value in arguments.items()
        if (value is not None or name == "timeout") and not isinstance(value, openai.NotGiven)
    }


@dataclass(frozen=True, repr=False)
class Origins:
    """Where the options of a client came from."""

    arguments: dict[str, Any]
    """All that the SDK's constructor was given."""
    given: set[str]
    """The names of the options that code has set; the settings said the others."""
    settings: Settings | None
    """Those of `from_settings`."""


def _copying(sdk_copy: Any) -> Any:
    """The SDK's `copy`, which keeps in mind where the options came from."""

    @wraps(sdk_copy)
    def copy(self: Any, **overrides: Any) -> Any:
        hide_key(overrides)
        copied, given = sdk_copy(self, **overrides), self._origins.given | _names_given(overrides)
        if copied.api_key and not given & _SETTLED_BY["api_key"]:
            _refuse_openais_host(overrides)
        copied._origins = replace(self._origins, arguments=copied._origins.arguments, given=given)
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
            if "_origins" in vars(self):
                self._origins.given.add(name)

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
        origins = self._origins
        if "http_client" in origins.given:
            raise TypeError(
                "a client with an http_client of its own cannot be pickled: construct it where it is used"
            )
        # A copy is given every option as it is now, except `_strict_response_validation` and its like.
        options = origins.arguments | self.copy()._origins.arguments
        options |= {"base_url": str(self.base_url), "_settings": origins.settings}
        sent = [*(options.get("default_headers") or ()), *(options.get("default_query") or ())]
        names = origins.given & options.keys()
        if names & _CREDENTIALS or any(map(_SECRET_NAME.search, sent)):
            names = names - {"data_residency"} | {"base_url"}
        return partial(self.__class__, **{name: options[name] for name in names}), ()

    def __copy__(self: Any) -> Any:  # As Python does without `__reduce__`.
        copied = self.__class__.__new__(self.__class__)
        vars(copied).update(vars(self))
        return copied

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
            openai.OpenAI.__init__(self, **arguments)  # Where jedi reads them.

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
    """

    if TYPE_CHECKING:  # What type checkers and editors show: the SDK's arguments with this package's texts.

        @_constructor(_Arguments(openai.AsyncOpenAI.__init__).alone)
        def __init__(self, **arguments: Any) -> None:
            """Make a client. What is not given comes from `AITOEARN_*` settings, and nothing from `OPENAI_*`."""
            openai.AsyncOpenAI.__init__(self, **arguments)  # Where jedi reads them.

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
