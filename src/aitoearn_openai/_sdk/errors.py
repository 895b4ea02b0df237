"""The SDK's exceptions for what the SDK itself misses, or reports as another exception."""

from __future__ import annotations

from typing import Any

import openai

from .._errors import QUOTE, failure_in
from .._hints import origin
from .._wording import Message, Ours
from .response import family_of, set_status


def connection_error(error: Any) -> openai.APIConnectionError:
    """The SDK's exception for what the HTTP library raised while it read a body."""
    if isinstance(error, family_of(type(error)).TimeoutException):
        return openai.APITimeoutError(error.request)
    return openai.APIConnectionError(request=error.request)


def status_error(client: Any, response: Any, body: Any) -> openai.APIStatusError | None:
    """The SDK's exception for the failure in a decoded body, if any; too late for the SDK to retry."""
    failure = failure_in(body)
    if not failure:
        return None
    set_status(response, failure)
    return client._make_status_error("", body=body, response=response)  # type: ignore[no-any-return]


def unexpected(response: Any, expected: str, body: object = None) -> openai.APIResponseValidationError:
    """The SDK's exception for an answer that is something else, with the first words of it."""
    content_type = response.headers.get("Content-Type", "no content type")
    quote = ""
    if response.is_stream_consumed and "html" not in content_type:
        quote = " ".join(response.content[:QUOTE].decode(errors="replace").split())
    # An address that a redirect led to is the server's choice.
    address = origin(response.url) if response.history else Ours(f"{origin(response.url)}{response.url.path}")
    message = Message(
        address,
        Ours(" answered with "),
        repr(content_type),
        Ours(f" where {expected} was expected"),
        *([Ours(": "), quote] if quote else []),
        Ours(". Check the base URL: AiToEarn's ends in /api/ai."),
    )
    return openai.APIResponseValidationError(response, body=body, message=message)
