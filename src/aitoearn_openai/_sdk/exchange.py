"""One call: what is expected of its answer, and what was seen of it. The SDK's hooks in `clients.py` ask it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from copy import copy
from functools import cache, wraps
from inspect import iscoroutinefunction
from typing import Any, get_args

import openai

from .._errors import Failure
from .._json import NOT_JSON, decode_json
from .answer import failure_for, is_sdk_type
from .exceptions import (
    connection_error,
    drop_byte_order_mark,
    family_of,
    is_of_refusal,
    refusal,
    set_status,
    unexpected,
)

CURRENT: ContextVar[Exchange | None] = ContextVar("exchange", default=None)
"""The exchange that the SDK is busy with, as it gives its hooks nothing that leads there.

None when a stream is read, as its call is over; for a `Stream` made by hand; and between calls.
"""

_LARGE = 16_384
"""The bytes of an answer beyond which there is only the second look: the service's failures are small."""
_UNREADABLE = AssertionError, LookupError, OverflowError, TypeError, ValueError
"""What the SDK lets out where it cannot read a refusal."""
_KEY = "aitoearn_openai"
"""Where a raw response has its exchange, in its `extensions`."""


class Exchange:
    """One call, from the SDK's `request()` to the object; each time that a raw response is parsed, a copy."""

    request: Any = None
    """What was sent last."""
    response: Any = None
    """What was answered, once it was looked at, and while the SDK is busy with it."""

    def __init__(self, client: Any, cast_to: Any, *, stream: bool = False, stream_cls: Any = None) -> None:
        self.client, self.cast_to, self.stream = client, cast_to, stream
        self.chunk_type = next(iter(get_args(stream_cls)), cast_to)  # `Chunk` of `Stream[Chunk]`.

    @contextmanager
    def as_current(self) -> Iterator[Exchange]:
        """While the SDK is busy with it: its hooks find it, and what comes out are the SDK's own errors."""
        token = CURRENT.set(self)
        try:
            yield self
        except Exception as error:
            causes = getattr(error, "exceptions", ())
            if causes and all(isinstance(each, OverflowError) for each in causes):
                # A redirect to an impossible port: anyio lets out a group, which the SDK does not expect.
                raise openai.APIConnectionError(request=self.request) from error
            if self.response is not None and not isinstance(error, openai.OpenAIError):
                if isinstance(error, family_of(type(self.response)).RequestError):
                    # The caller's code may use the same library, and raise without a request.
                    with suppress(RuntimeError):
                        if error.request is self.response.request:
                            raise connection_error(error) from error
                elif self.response.is_success:
                    self._require_json()  # Raises in place of the SDK's error of decoding.
                elif isinstance(error, _UNREADABLE) and is_of_refusal(error, self.response):
                    raise refusal(self.client, self.response) from error
            raise
        finally:
            CURRENT.reset(token)
            self.response = None  # It may be large, and this may be kept for longer.

    def wants_body(self, response: Any) -> bool:
        """Whether the body is read before the SDK looks at the status."""
        if not response.is_success:
            return True  # The SDK reads it too, but in a stream it does not expect a body that breaks off.
        if self.stream:
            # A stream under a wrong content type still has no length. A failure has one, or is HTML, or compressed JSON.
            headers, content_type = response.headers, response.headers.get("Content-Type", "")
            is_compressed = "json" in content_type and "Content-Encoding" in headers
            may_fail = is_compressed or "html" in content_type or "Content-Length" in headers
            if "event-stream" in content_type or not may_fail:
                return False
        # Of `with_streaming_response` the caller reads the body.
        return not self.client._should_stream_response_body(request=response.request)

    def first_look(self, response: Any) -> tuple[Failure, Any] | None:
        """The failure in a response that was read, and its body; the response gets the status, so that the SDK may ask again."""
        self.response = response  # By this `_process_response` knows that `Auth` saw it.
        content = response.content if response.is_stream_consumed else b""
        if not response.is_success:
            drop_byte_order_mark(response)
        elif self.stream or len(content) <= _LARGE:
            body = decode_json(content)
            if body is not NOT_JSON and (failure := failure_for(self.cast_to, body)):
                drop_byte_order_mark(response)
                set_status(response, failure)
                return failure, body
        return None

    def finish(self, parsed: Any) -> Any:
        """What the SDK made of the response, if it can be that; a raw response is looked at when it is parsed."""
        if isinstance(parsed, (openai.Stream, openai.AsyncStream)):
            self._require_stream()
        elif hasattr(parsed, "http_response") and not isinstance(parsed, openai.BaseModel):
            parsed.http_response.extensions[_KEY] = self
            parsed.__class__ = _raw_class(parsed.__class__)
        elif isinstance(parsed, str) and is_sdk_type(self.cast_to):
            raise unexpected(self.response, "JSON")
        return parsed

    def _require_json(self) -> None:
        """Raise if a body that was read is not JSON, and JSON was expected."""
        is_read = is_sdk_type(self.cast_to) and self.response.is_stream_consumed
        if is_read and decode_json(self.response.content) is NOT_JSON:
            raise unexpected(self.response, "JSON") from None

    def _require_stream(self) -> None:
        """Raise if a page or JSON came in the place of a stream."""
        response, content_type = self.response, self.response.headers.get("Content-Type", "")
        content = response.content if response.is_stream_consumed else b""
        # PHP says HTML of whatever it sends.
        is_stream = content.lstrip().startswith((b"data:", b"event:", b"id:", b":"))
        is_page = "html" in content_type and not is_stream
        if is_page or ("json" in content_type and decode_json(content) is not NOT_JSON):
            raise unexpected(response, "an event stream")

    def for_parse(self, response: Any, to: Any = None) -> Exchange:
        """A copy for a raw response that is parsed, to another type if the caller says so."""
        for_parse = copy(self)
        for_parse.response = response
        if to is not None:
            for_parse.cast_to, for_parse.chunk_type = to, next(iter(get_args(to)), to)
        return for_parse


@cache
def _raw_class(response_class: Any) -> Any:
    """A class of raw responses that go on with their exchange when they are parsed."""
    sdk_parse = response_class.parse

    def parse(self: Any, **arguments: Any) -> Any:
        exchange = self.http_response.extensions[_KEY].for_parse(self.http_response, **arguments)
        with exchange.as_current():
            return exchange.finish(sdk_parse(self, **arguments))

    async def parse_async(self: Any, **arguments: Any) -> Any:
        exchange = self.http_response.extensions[_KEY].for_parse(self.http_response, **arguments)
        with exchange.as_current():
            return exchange.finish(await sdk_parse(self, **arguments))

    checked_parse = wraps(sdk_parse)(parse_async if iscoroutinefunction(sdk_parse) else parse)
    return type(response_class.__name__, (response_class,), {"parse": checked_parse})
