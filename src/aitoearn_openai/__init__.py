"""The OpenAI Python SDK, ready for AiToEarn.

`from aitoearn_openai import OpenAI`, or `import aitoearn_openai as openai`: what is not defined here is the SDK's own.
"""

from __future__ import annotations

import typing as _typing
from collections.abc import Callable as _Callable, Mapping as _Mapping

import openai as _openai

from ._client import AsyncOpenAI, AsyncOpenAI as AsyncClient, OpenAI, OpenAI as Client
from ._module import DEFAULT_MAX_RETRIES as _DEFAULT_MAX_RETRIES, DEFAULT_TIMEOUT as _DEFAULT_TIMEOUT
from ._settings import Settings
from ._version import __version__

if _typing.TYPE_CHECKING:
    # What `__getattr__` finds. The first binding of a name counts for mypy, the last for pyright.
    from openai import *  # type: ignore[assignment]
    from openai import (
        APIResponse as APIResponse,
        AssistantEventHandler as AssistantEventHandler,
        AsyncAPIResponse as AsyncAPIResponse,
        AsyncAssistantEventHandler as AsyncAssistantEventHandler,
        AsyncAzureOpenAI as AsyncAzureOpenAI,
        AzureOpenAI as AzureOpenAI,
        HttpxBinaryResponseContent as HttpxBinaryResponseContent,
        __all__ as __all__,
        audio as audio,
        batches as batches,
        beta as beta,
        chat as chat,
        completions as completions,
        embeddings as embeddings,
        files as files,
        fine_tuning as fine_tuning,
        images as images,
        moderations as moderations,
        pydantic_function_tool as pydantic_function_tool,
        responses as responses,
        uploads as uploads,
        vector_stores as vector_stores,
    )

    from . import batch as batch, relay as relay, sandbox as sandbox
    from ._client import (
        AsyncOpenAI as AsyncClient,
        AsyncOpenAI as AsyncOpenAI,
        OpenAI as Client,
        OpenAI as OpenAI,
    )
    from ._models import ChatModel as ChatModel, ImageModel as ImageModel
    from ._resource import Models as _Models

    models: _Models
else:
    from ._module import __dir__, __getattr__  # noqa: F401 - asked for by Python

# The settings of the client behind the module, as `openai.api_key` and the others are of the SDK's.
admin_api_key: str | None = None
api_key: str | _Callable[[], str] | None = None
base_url: str | None = None
default_headers: _Mapping[str, str] | None = None
default_query: _Mapping[str, object] | None = None
http_client: _typing.Any = None
max_retries: int = _DEFAULT_MAX_RETRIES
organization: str | None = None
project: str | None = None
timeout: float | _openai.Timeout | None = _DEFAULT_TIMEOUT
webhook_secret: str | None = None

__all__ = [
    "AsyncClient",
    "AsyncOpenAI",
    "ChatModel",
    "Client",
    "ImageModel",
    "OpenAI",
    "Settings",
    "__version__",
]
__all__ += _openai.__all__
