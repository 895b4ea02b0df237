"""The decoder of a stream: gives the SDK the events that are in order, and raises what fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import openai
from openai.types.chat import ChatCompletionChunk
from pydantic import ValidationError

from .._events import Event, Events
from .answer import is_chat, is_sdk_type
from .exceptions import connection_error, family_of, status_error
from .exchange import Exchange
from .private import unsupported


class Decoder:
    """What the SDK asks of a decoder; it makes the chunks too, see `_chunks`."""

    def __init__(self, exchange: Exchange) -> None:
        self._client, self._response = exchange.client, exchange.response
        self._is_fast = exchange.chunk_type is ChatCompletionChunk
        # `is_typed` by the type of the whole answer: that of an event may be a union.
        self._events = Events(is_chat=is_chat(exchange.chunk_type), is_typed=is_sdk_type(exchange.cast_to))

    def __getattr__(self, name: str) -> Any:  # An SDK that asks for another method.
        raise openai.OpenAIError(unsupported("SSEBytesDecoder.iter_bytes"))

    def iter_bytes(self, iterator: Iterator[bytes]) -> Iterator[Event]:
        with self._as_sdk_errors():
            for piece in iterator:
                yield from self._chunks(self._events.feed(piece))
            yield from self._chunks(self._events.end())

    async def aiter_bytes(self, iterator: AsyncIterator[bytes]) -> AsyncIterator[Event]:
        with self._as_sdk_errors():
            async for piece in iterator:
                for event in self._chunks(self._events.feed(piece)):
                    yield event
            for event in self._chunks(self._events.end()):
                yield event

    def _chunks(self, events: Iterator[Event]) -> Iterator[Event]:
        """Make the chunks with pydantic's validator, in a sixth of the time that the SDK takes; then raise the failure that ended them.

        What passes a strict validation is already what the type says, so nothing is converted; the SDK makes all else.
        """
        for event in events:
            if self._is_fast and isinstance(event.decoded, dict):
                try:
                    event.decoded = ChatCompletionChunk.model_validate(event.decoded, strict=True)
                except ValidationError:
                    self._is_fast = False  # The next chunks of this stream will not pass either.
            yield event
        if failure := self._events.failure:
            if failure.status:
                raise status_error(self._client, self._response, failure, self._events.body)
            raise openai.APIError(failure.message, request=self._response.request, body=self._events.body)

    @contextmanager
    def _as_sdk_errors(self) -> Iterator[None]:
        try:
            yield
        except family_of(type(self._response)).RequestError as error:
            raise connection_error(error) from error  # openai before 3.14 would let it through.
