"""Find every private name of the SDK at import, so that a release that renames one is noticed at once."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

import openai

SUPPORTED = "openai>=1.109.1,<=3.57.0"
"""The versions that were checked."""

_HOOKS = {
    "request": ("cast_to", "options", "stream", "stream_cls"),
    "custom_auth": (),
    "_process_response": ("response",),
    "_process_response_data": ("cast_to", "data", "response"),
    "_make_sse_decoder": (),
    "_make_status_error": ("err_msg", "body", "response"),
    "_should_stream_response_body": ("request",),
}
"""What is overridden or called in both clients, with the arguments that are looked at or given."""


def unsupported(gone: str) -> str:
    """The message for an SDK that is not as this package needs it."""
    return (
        f"aitoearn-openai cannot work with openai {openai.__version__}: {gone} is gone or no longer used, and without "
        f"it failures of the service would go unnoticed. Install a version that works: pip install '{SUPPORTED}', "
        "or look for a newer aitoearn-openai."
    )


if TYPE_CHECKING:
    from openai._base_client import AsyncPaginator as AsyncPaginator
    from openai._legacy_response import (
        async_to_raw_response_wrapper as async_to_raw_response_wrapper,
        to_raw_response_wrapper as to_raw_response_wrapper,
    )
    from openai._response import (
        async_to_streamed_response_wrapper as async_to_streamed_response_wrapper,
        to_streamed_response_wrapper as to_streamed_response_wrapper,
    )
    from openai._types import RequestOptions as RequestOptions

try:
    from openai._models import FinalRequestOptions
    from openai._utils import LazyProxy as LazyProxy
except ImportError as error:
    raise ImportError(unsupported(str(error).split("'")[1])) from None


def _check_hooks() -> None:
    """Raise `ImportError` unless everything that is overridden exists where the SDK calls it."""
    clients = openai.OpenAI, openai.AsyncOpenAI
    needed: list[tuple[Any, str]] = [(client, name) for client in clients for name in _HOOKS]
    for owner, name in needed:
        if not hasattr(owner, name):
            raise ImportError(unsupported(f"{owner.__name__}.{name}"))
        for argument in _HOOKS.get(name, ()):
            if argument not in signature(getattr(owner, name)).parameters:
                raise ImportError(unsupported(f"the argument {argument} of {owner.__name__}.{name}"))
    for client in clients:
        methods = [method for each in client.__mro__ for method in vars(each).values()]
        names = [name for each in methods if hasattr(each, "__code__") for name in each.__code__.co_names]
        if "_make_status_error" not in names:
            raise ImportError(unsupported(f"{client.__name__}._make_status_error"))
        constructors = [vars(each)["__init__"] for each in client.__mro__ if "__init__" in vars(each)]
        if not any("_custom_headers" in each.__code__.co_names for each in constructors[:-1]):
            raise ImportError(unsupported(f"{client.__name__}._custom_headers"))
    for name in ("post_parser", "follow_redirects"):
        if name not in FinalRequestOptions.model_fields:
            raise ImportError(unsupported(f"FinalRequestOptions.{name}"))


_check_hooks()
