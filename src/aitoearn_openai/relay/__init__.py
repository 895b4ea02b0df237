"""A relay for programs that know OpenAI alone: it serves OpenAI's protocol here, and forwards to AiToEarn.

It answers `/v1/models`, `/v1/chat/completions`, `/v1/images/generations` and `/v1/images/edits` on this machine. It
adds the key, and gives a failure that AiToEarn reports with HTTP 200 the status that programs look at.

Examples:
    >>> import openai
    >>> from aitoearn_openai import relay, sandbox
    >>> with sandbox.serve() as site, relay.serve(settings=site.settings) as here:
    ...     client = openai.OpenAI(base_url=here.base_url, api_key=here.api_key, max_retries=0)
    ...     messages = [{"role": "user", "content": "Hi"}]
    ...     try:
    ...         client.chat.completions.create(model="fail-12001", messages=messages)
    ...     except openai.APIStatusError as error:
    ...         print(error.status_code, error.body["message"].partition(",")[0])
    402 Insufficient credits (AiToEarn code 12001
"""

from __future__ import annotations

try:
    import starlette  # noqa: F401
    import uvicorn  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError("the relay needs Starlette and uvicorn: install `aitoearn-openai[relay]`") from error

from ._app import Relay, app, serve

__all__ = ["Relay", "app", "serve"]
