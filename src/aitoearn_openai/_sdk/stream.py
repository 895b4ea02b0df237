"""The events of a stream: each is checked once, when it is complete and before the SDK makes a chunk of it.

What is well formed passes. A failure is raised in the server's words, after the chunks before it. In a chat, keep-alives
are passed over, and a frame without choices becomes a chunk whose `choices` is `[]`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import openai
from openai.types.chat import ChatCompletionChunk

from .._errors import (
    NOT_JSON,
    decode_json,
    end_message,
    error_field,
    failure_in_event,
    is_out_of_place,
)
from .._wording import Ours
from .errors import connection_error, status_error
from .private import SSEDecoder, unsupported
from .response import CHECKED, STEP, family_of

_BOM = "\ufeff"
_MOST_LINES = 100
_CHUNK_FIELDS = (ChatCompletionChunk.model_fields.keys() | {"cost"}) - {"choices"}


def is_chunk(data: Any) -> bool:
    """Whether the data of an event looks like a chunk of a chat; that of a keep-alive does not."""
    return isinstance(data, dict) and (
        isinstance(data.get("choices"), list) or any(data.get(field) is not None for field in _CHUNK_FIELDS)
    )


class Decoder(SSEDecoder):
    """The SDK's decoder, which checks each event."""

    _client: Any
    _is_chat: bool
    _is_typed: bool
    _response: Any = None
    _is_read = False
    _empty = True
    _ended = False
    _other_lines: tuple[str, ...] = ()
    """What came in place of events since the last one."""

    def bind(self, client: Any, response: Any, *, is_chat: bool, is_typed: bool) -> None:
        """Say whose stream it is, and whether its events are chunks of a chat, or have a type; before the first."""
        self._client, self._response = client, response
        self._is_chat, self._is_typed = is_chat, is_typed

    def iter_bytes(self, iterator: Iterator[bytes]) -> Iterator[Any]:
        with self._errors():
            yield from super().iter_bytes(self._with_end(iterator))
        self._check_end()

    async def aiter_bytes(self, iterator: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        with self._errors():
            async for event in super().aiter_bytes(self._with_async_end(iterator)):
                yield event
        self._check_end()

    def _with_end(self, iterator: Iterator[bytes]) -> Iterator[bytes]:
        """An event that no blank line ends is not dispatched, but a failure in it is raised."""
        yield from iterator
        self._ended = True
        yield b"\n\n"

    async def _with_async_end(self, iterator: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for part in iterator:
            yield part
        self._ended = True
        yield b"\n\n"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        if self._response is None:
            raise openai.OpenAIError(unsupported("FinalRequestOptions.post_parser"))
        self._is_read = True
        try:
            yield
        except UnicodeDecodeError:
            raise self._error(Ours("The stream broke: it is not UTF-8 text.")) from None
        except family_of(type(self._response)).RequestError as error:
            raise connection_error(error) from error  # openai before 3.14 would let it through.

    def _check_end(self, *, is_done: bool = False) -> None:
        """At the end: what comes before `[DONE]` may be words of any kind, unless they report a failure."""
        text = "\n".join(self._other_lines)
        if failure := status_error(self._client, self._response, decode_json(text)):
            raise failure
        is_empty = self._empty and (self._is_chat or not is_done)
        if is_empty or (text and not is_done):
            raise self._error(end_message(text, is_empty=self._empty), text or None)

    def _error(self, message: str, body: object = None) -> openai.APIError:
        return openai.APIError(message, request=self._response.request, body=body)

    def decode(self, line: str) -> Any:
        event = super().decode(line)
        if event is not None:
            return self._check_event(event)
        return None if line[:5] == "data:" else self._check_line(line)

    def _check_line(self, line: str) -> Any:
        """A line without data: a byte order mark before the first one, or something in place of an event."""
        if line.startswith(_BOM) and self._empty:
            return self.decode(line.lstrip(_BOM))
        if not is_out_of_place(line):
            return None
        field = error_field(line)
        body = {"error": field} if field else decode_json(line)
        if error := status_error(self._client, self._response, body):
            raise error
        if field:
            raise self._error(str(field))
        if len(self._other_lines) < _MOST_LINES:
            self._other_lines += (line,)
        return None

    def _check_event(self, event: Any) -> Any:
        if not self._is_read:
            raise openai.OpenAIError(unsupported("SSEDecoder.iter_bytes"))
        text = event.data
        if (not text or text.isspace()) and event.event != "error":
            return None  # By the standard such an event is not dispatched.
        if text.startswith("[DONE]"):
            self._check_end(is_done=True)
            self._empty, self._other_lines = False, ()
            self.decode = lambda line: None  # type: ignore[method-assign]  # openai 1.x reads on.
            return event
        data = decode_json(text)
        has_choices = isinstance(data, dict) and isinstance(data.get("choices"), list)
        if not self._becomes_chunk(event.event, text, data) or self._ended:
            return None
        if self._empty:
            setattr(self._response, STEP, CHECKED)
        if has_choices or not self._is_chat:
            self._empty = False
        self._other_lines = ()
        event.json = lambda: data  # It need not be decoded again.
        return event

    def _becomes_chunk(self, name: str | None, text: str, data: Any) -> bool:
        """Raise the failure that the data reports, or say whether it becomes a chunk."""
        kind = {"is_chat": self._is_chat, "is_typed": self._is_typed}
        if failure := failure_in_event(name, text, data, **kind):
            error = data.get("error") if isinstance(data, dict) else text
            if not error and (status := status_error(self._client, self._response, data)):
                raise status
            raise self._error(failure.message, error if isinstance(error, dict) or data is NOT_JSON else data)
        if not self._is_chat:
            return True
        is_frame = is_chunk(data)
        if is_frame and not data["choices"]:
            data["choices"] = []
        return is_frame
