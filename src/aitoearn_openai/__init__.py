"""The OpenAI Python SDK, ready for AiToEarn.

`from aitoearn_openai import OpenAI`, or `import aitoearn_openai as openai`: what is not defined here is the SDK's own.
"""

from __future__ import annotations

import typing as _typing

from ._version import __version__

if _typing.TYPE_CHECKING:
    # What `__getattr__` finds. The first binding of a name counts for mypy, the last for pyright.
    from collections.abc import Callable as _Callable, Mapping as _Mapping

    import openai as _openai

    from ._client import AsyncOpenAI, AsyncOpenAI as AsyncClient, OpenAI, OpenAI as Client  # isort: skip
    from openai import *
    from openai import (
        APIResponse as APIResponse,
        AssistantEventHandler as AssistantEventHandler,
        AsyncAPIResponse as AsyncAPIResponse,
        AsyncAssistantEventHandler as AsyncAssistantEventHandler,
        AsyncAzureOpenAI as AsyncAzureOpenAI,
        AzureOpenAI as AzureOpenAI,
        HttpxBinaryResponseContent as HttpxBinaryResponseContent,
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
    from ._client import (  # noqa: F811
        AsyncOpenAI as AsyncClient,
        AsyncOpenAI as AsyncOpenAI,
        OpenAI as Client,
        OpenAI as OpenAI,
    )
    from ._models import ChatModel as ChatModel, ImageModel as ImageModel
    from ._resource import Models as _Models
    from ._settings import Settings as Settings

    models: _Models

    # The settings of the client behind the module, as `openai.api_key` and the others are of the SDK's.
    admin_api_key: str | None
    api_key: str | _Callable[[], str] | None
    base_url: str | None
    default_headers: _Mapping[str, str] | None
    default_query: _Mapping[str, object] | None
    http_client: _typing.Any
    max_retries: int
    organization: str | None
    project: str | None
    timeout: float | _openai.Timeout | None
    webhook_secret: str | None

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
else:

    def __getattr__(name):
        """What is asked for: with the first name the SDK is imported, which `--help` of the command does without."""
        from ._module import find

        return find(name)

    def __dir__():
        from ._module import names

        return names()
