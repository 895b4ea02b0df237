"""Server-sent events on their way through: passed on as they are, up to the first that reports a failure. No I/O."""

from __future__ import annotations

import codecs
import re

from openai.types.chat import ChatCompletionChunk

from .._errors import Failure, failure_in, is_refusal
from .._sdk.errors import QUOTE
from .._sdk.response import decode_json

_LINE_END = re.compile(rb"\r\n|\n|\r")
_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_CHUNK_FIELDS = ChatCompletionChunk.model_fields.keys() | {"cost"}
_EMPTY = "The stream ended before its first event."


class Events:
    """What a stream has brought so far."""

    failure: Failure | None = None
    """The failure that ends the stream, once it is there."""

    def __init__(self, *, is_chat: bool) -> None:
        self._is_chat = is_chat
        self._rest = bytearray()
        self._empty = True

    def feed(self, piece: bytes) -> bytes:
        """The bytes to pass on now: whole events only, as nobody can use a part of one."""
        searched = max(0, len(self._rest) - 3)
        self._rest += piece
        end = 0
        for match in _EVENT_END.finditer(self._rest, searched):
            self.failure = self._failure_in(bytes(self._rest[end : match.end()]))
            if self.failure:
                break
            end = match.end()
        whole = bytes(self._rest[:end])
        del self._rest[:end]
        return whole

    def end(self) -> bytes:
        """The bytes that no blank line ended."""
        rest = bytes(self._rest)
        self.failure = self._failure_in(rest)
        if self._empty and not self.failure:
            self.failure = _broken(_EMPTY)
        return b"" if self.failure else rest

    def _failure_in(self, event: bytes) -> Failure | None:
        name, data = _parse(event)
        text = data[:QUOTE].decode(errors="replace")
        if data == b"[DONE]":
            return _broken(_EMPTY) if self._empty else None
        body = decode_json(data)
        if body is None or not (data or name == b"error"):
            return None
        if not isinstance(body, dict):
            return _broken(text or "The server sent an error event without a message.")
        error, choices = body.get("error"), body.get("choices")
        if failure := failure_in(body):
            return failure
        if error or name == b"error" or (self._is_chat and not choices and is_refusal(body)):
            words = error or body
            message = words.get("message") if isinstance(words, dict) else words
            return _broken(message if message and isinstance(message, str) else text)
        if choices and not are_objects(choices):
            return _broken(f"The stream sent something else than a chunk: {text}")
        if any(body.get(field) is not None for field in (_CHUNK_FIELDS if self._is_chat else body)):
            self._empty = False
        return None


def are_objects(value: object) -> bool:
    """Whether this is a list of objects, as the choices of a completion are."""
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _broken(message: str) -> Failure:
    return Failure(None, 502, message, enveloped=False)


def _parse(event: bytes) -> tuple[bytes, bytes]:
    """The name and the data of an event; a JSON object that stands there without `data:` counts as data."""
    name, lines = b"", []
    for line in _LINE_END.split(event.removeprefix(codecs.BOM_UTF8)):
        field, _, value = line.partition(b":")
        if field == b"event":
            name = value.strip()
        elif field == b"data":
            lines.append(value.removeprefix(b" "))
        elif line.startswith(b"{"):
            lines.append(line)
    return name, b"\n".join(lines)
