"""The SDK's exceptions for what the SDK itself misses, or reports as another exception."""

from __future__ import annotations

import codecs
import sys
from contextlib import suppress
from traceback import walk_tb
from typing import Any

import openai

from .._errors import QUOTE, Failure
from .._hints import origin
from .._json import NOT_JSON, decode_json
from .._wording import Message, Ours
from .private import unsupported


def family_of(client_class: type) -> Any:
    """The httpx module that a class comes from; its own classes may have been replaced by an instrumentation."""
    for name in (each.__module__.partition(".")[0] for each in client_class.__mro__):
        if name in ("httpx", "httpx2"):
            return sys.modules[name]
    raise openai.OpenAIError(unsupported("httpx"))


def connection_error(error: Any) -> openai.APIConnectionError:
    """The SDK's exception for what the HTTP library raised while it read a body."""
    if isinstance(error, family_of(type(error)).TimeoutException):
        return openai.APITimeoutError(error.request)
    return openai.APIConnectionError(request=error.request)


def is_of_refusal(error: BaseException, response: Any) -> bool:
    """Whether the SDK raised it as it looked at a refusal, and nothing but the SDK and Python led there.

    A function that gives the key for the next try, and what handles a signal while the SDK waits, are the caller's.
    """
    known = {"aitoearn_openai", "openai", "httpx", "httpx2", *sys.stdlib_module_names}
    modules = (frame.f_globals.get("__name__") for frame, _ in walk_tb(error.__traceback__))
    handled: BaseException | None = error
    while handled is not None and getattr(handled, "response", None) is not response:
        handled = handled.__context__  # The SDK looks at a refusal as it handles httpx's error.
    return handled is not None and known.issuperset(str(module).partition(".")[0] for module in modules)


def drop_byte_order_mark(response: Any) -> None:
    """Have the SDK decode the JSON of a failure: a byte order mark would keep it from that."""
    if response.content.startswith(codecs.BOM_UTF8):
        with suppress(ValueError):  # A hook of the caller's has read the text already.
            response.encoding = "utf-8-sig"


def set_status(response: Any, failure: Failure) -> None:
    """Have a response say in HTTP what its body reports: the SDK's own retries and errors go by that."""
    response.status_code = failure.status
    response.extensions["reason_phrase"] = b"Reported with HTTP 200"
    if failure.retry_after is not None:
        response.headers["Retry-After"] = str(failure.retry_after)


def status_error(client: Any, response: Any, failure: Failure, body: Any) -> openai.APIStatusError:
    """The SDK's exception for a failure that a body reports; too late for the SDK to retry."""
    set_status(response, failure)
    message = Message(Ours(f"Error code: {failure.status} - "), str(failure))
    return client._make_status_error(message, body=body, response=response)  # type: ignore[no-any-return]


def refusal(client: Any, response: Any) -> openai.APIStatusError:
    """The SDK's exception for a refusal on which the SDK itself crashes: its charset or a date in its headers is invalid."""
    body = decode_json(response.content)
    body = None if body is NOT_JSON else body
    return client._make_status_error(f"Error code: {response.status_code}", body=body, response=response)  # type: ignore[no-any-return]


def unexpected(response: Any, expected: str, body: object = None, *, advice: bool = True) -> openai.APIError:
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
        Ours(". Check the base URL: AiToEarn's ends in /api/ai." if advice else "."),
    )
    return openai.APIResponseValidationError(response, body=body, message=message)
