"""A relay for programs that know OpenAI alone: it serves OpenAI's protocol here, and forwards to AiToEarn.

It answers `/v1/models`, `/v1/chat/completions`, `/v1/images/generations` and `/v1/images/edits` on this machine. It
adds the key, and gives a failure that AiToEarn reports with HTTP 200 the status that programs look at.
"""

from __future__ import annotations

try:
    import starlette  # noqa: F401
    import uvicorn  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError("the relay needs Starlette and uvicorn: install `aitoearn-openai[relay]`") from error

from ._app import Relay, app, serve

__all__ = ["Relay", "app", "serve"]
