"""The OpenAI Python SDK, ready for AiToEarn."""

from __future__ import annotations

from ._client import AsyncOpenAI, OpenAI
from ._models import ChatModel
from ._settings import Settings
from ._version import __version__

__all__ = ["AsyncOpenAI", "ChatModel", "OpenAI", "Settings", "__version__"]
