"""The response before the SDK looks at its status: a failure with HTTP 200 gets the status that it stands for.

The SDK is given an httpx `Auth` for each request, httpx's public way to see a response first. It leaves an `http_client`
that others share untouched, and the SDK's own retries and errors apply to what it changes.
"""

from __future__ import annotations

import codecs
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing, suppress
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any

import openai

from .._errors import FAILED, Failure, decode_json, failure_in
from .._hints import API_KEY_HEADER
from .private import RAW_RESPONSE_HEADER, unsupported

FILL_IN_KEY = ""
"""As the value of `API_KEY_HEADER`: put the key of the request's `Authorization` here."""

STEP = "_aitoearn_openai"
"""The mark on a response, as an attribute: the last step of this package that saw it."""
SEEN, READ, STREAMED, CHECKED = "seen", "read", "streamed", "checked"

# A body without any of these names reports no failure, and need not be decoded to find that out.
_TELLING = b'"code"', b'error"', *(f'"{reason}"'.encode() for reason in FAILED)


def family_of(client_class: type) -> Any:
    """The httpx module that a class comes from; its own classes may have been replaced by an instrumentation."""
    for name in (each.__module__.partition(".")[0] for each in client_class.__mro__):
        if name in ("httpx", "httpx2"):
            return sys.modules[name]
    raise openai.OpenAIError(unsupported("httpx"))


@cache
def auth_class(client_class: type) -> Any:
    """`_Auth` as a subclass of the `Auth` that goes with an HTTP client."""
    return type("AiToEarnAuth", (_Auth, family_of(client_class).Auth), {})


class _Auth:
    """Wraps the `Auth` that httpx would have used, and checks its response."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def _inner_for(self, request: Any) -> Any:
        family = family_of(type(self))
        if self._inner is None and request.url.userinfo:
            return family.BasicAuth(request.url.username, request.url.password)
        return self._inner or family.Auth()

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        _fill_in_key(request)
        with closing(self._inner_for(request).sync_auth_flow(request)) as flow, suppress(StopIteration):
            request = next(flow)
            while True:
                response = yield request
                request = flow.send(response)
        if _is_to_be_read(response):
            response.read()
            _set_status_of_failure(response)

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        _fill_in_key(request)
        async with aclosing(self._inner_for(request).async_auth_flow(request)) as flow:
            with suppress(StopAsyncIteration):
                request = await anext(flow)
                while True:
                    response = yield request
                    request = await flow.asend(response)
        if _is_to_be_read(response):
            await response.aread()
            _set_status_of_failure(response)


def _fill_in_key(request: Any) -> None:
    """The model lists take the key in a header of their own too."""
    if request.method == "GET" and request.headers.get(API_KEY_HEADER) == FILL_IN_KEY:
        del request.headers[API_KEY_HEADER]
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme == "Bearer":
            request.headers[API_KEY_HEADER] = key


def _is_to_be_read(response: Any) -> bool:
    """Whether the body is read before the SDK looks at the status; streams and unread responses are not."""
    setattr(response, STEP, SEEN)
    if not response.is_success:
        return True  # The SDK reads it too, but in a stream it does not expect a body that breaks off.
    if response.request.headers.get(RAW_RESPONSE_HEADER) == "stream":
        return False
    headers = response.headers
    content_type = headers.get("Content-Type", "")
    has_length = "Content-Length" in headers
    if "event-stream" in content_type:
        return has_length and not _wants_stream(response.request)
    # A stream of another content type has no length; the failures of the service have one, unless they are compressed.
    compressed = "Content-Encoding" in headers and ("json" in content_type or "html" in content_type)
    return has_length or compressed or not _wants_stream(response.request)


def _wants_stream(request: Any) -> bool:
    try:
        body = decode_json(request.content) if b'"stream"' in request.content else None
    except RuntimeError:  # An upload, whose content is not in memory.
        return False
    return isinstance(body, dict) and body.get("stream") is True


def _set_status_of_failure(response: Any) -> None:
    setattr(response, STEP, READ)
    if not response.is_success:
        _make_decodable(response)
        return
    content = response.content
    if any(name in content for name in _TELLING) and (failure := failure_in(decode_json(content))):
        _make_decodable(response)
        set_status(response, failure)
        if failure.retry_after is not None:
            response.headers["Retry-After"] = str(failure.retry_after)


def set_status(response: Any, failure: Failure) -> None:
    """Have a response say in HTTP what its body reports."""
    response.status_code = failure.status
    response.extensions["reason_phrase"] = b"Reported with HTTP 200"


def _make_decodable(response: Any) -> None:
    """Correct the encoding and the header on which the SDK would crash before it reports the failure."""
    if response.content.startswith(codecs.BOM_UTF8):
        with suppress(ValueError):  # A hook of the caller's has read the text already.
            response.encoding = "utf-8-sig"
    try:
        _ = response.text
    except (AssertionError, LookupError, TypeError, ValueError):
        response.encoding = "utf-8"  # The charset is none, or not that of the text.
    if "GMT" in response.headers.get("Retry-After", ""):
        try:
            parsedate_to_datetime(response.headers["Retry-After"])
        except (TypeError, ValueError, OverflowError):  # In openai 1.x the year 99999 is an exception.
            del response.headers["Retry-After"]
