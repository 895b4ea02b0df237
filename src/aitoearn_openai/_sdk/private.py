"""Find every private name of the SDK at import, so that a release that renames one is noticed at once; undo what it read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from inspect import signature, unwrap
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
except ImportError as error:  # pragma: no cover - see `exclude_also` in pyproject.toml
    raise ImportError(unsupported(str(error).split("'")[1])) from None


def _check_hooks() -> None:
    """Raise `ImportError` unless everything that is overridden exists where the SDK calls it."""
    for client in (openai.OpenAI, openai.AsyncOpenAI):
        for name, arguments in _HOOKS.items():
            if not hasattr(client, name):
                raise ImportError(unsupported(f"{client.__name__}.{name}"))
            for argument in arguments:
                if argument not in signature(getattr(client, name)).parameters:
                    raise ImportError(unsupported(f"the argument {argument} of {client.__name__}.{name}"))
        kinds = *client.__mro__, openai.Stream, openai.AsyncStream
        # What traces the SDK may have wrapped a method.
        methods = [unwrap(method) for kind in kinds for method in vars(kind).values()]
        used = {name for each in methods if hasattr(each, "__code__") for name in each.__code__.co_names}
        for name in {*_HOOKS, "_custom_headers"} - {"request"}:
            if name not in used and f"_{name}" not in used:  # `_custom_auth` in newer ones.
                raise ImportError(unsupported(f"{client.__name__}.{name}"))
    for name in ("post_parser", "follow_redirects"):
        if name not in FinalRequestOptions.model_fields:
            raise ImportError(unsupported(f"FinalRequestOptions.{name}"))


_check_hooks()


def drop_openai_settings(client: openai.OpenAI | openai.AsyncOpenAI, given: Mapping[str, Any]) -> None:
    """Undo what the SDK's constructor read from `OPENAI_*` where the caller gave nothing."""
    own, probe = vars(client), "X-Probe"
    own["_custom_headers"] = {probe: ""}
    if probe not in client.default_headers:
        raise openai.OpenAIError(unsupported("_custom_headers"))
    own["_custom_headers"] = given.get("default_headers") or {}
    names = "admin_api_key", "organization", "project", "webhook_secret"
    for name in filter(partial(hasattr, client), names):  # Older SDKs lack some.
        setattr(client, name, given.get(name))
