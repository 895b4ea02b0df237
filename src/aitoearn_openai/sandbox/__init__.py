"""A local stand-in for AiToEarn: it imitates the protocol of the service, and no model answers.

With it one tries the package without a key or credits, and tests one's own handling of failures: the
names in `FAILURES` fail on purpose, as a `model=` or (those of a plain code or page) as a key.

Examples:
    >>> import openai
    >>> from aitoearn_openai import sandbox
    >>> with sandbox.serve() as site:
    ...     client = openai.OpenAI(base_url=site.base_url, api_key=site.api_key)
    ...     messages = [{"role": "user", "content": "Hi"}]
    ...     chat = client.chat.completions.create(model="glm-5.2", messages=messages)
    >>> chat.choices[0].message.content
    'This is the AiToEarn sandbox; no model read your message. You said: Hi'
"""

from __future__ import annotations

try:
    import starlette  # noqa: F401
    import uvicorn  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(
        "the sandbox needs Starlette and uvicorn: install `aitoearn-openai[sandbox]`"
    ) from error

from ._app import Sandbox, app, serve
from ._failures import FAILURES

__all__ = ["FAILURES", "Sandbox", "app", "serve"]
