"""Server-sent events on their way through: passed on as they are, up to the first that reports a failure. No I/O."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

from .._errors import QUOTE, Failure, broken, decode_json, failure_in_event, says_something

_LINE_END = re.compile(rb"\r\n|\n|\r")
_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_EMPTY = "The stream ended before its first event."


class Events:
    """What a stream has brought so far."""

    failure: Failure | None = None
    """The failure that ends the stream, once it is there."""

    def __init__(self, *, is_chat: bool, hide_key: Callable[[bytes], bytes] = bytes) -> None:
        self._is_chat = is_chat
        self._hide_key = hide_key
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
        if not self._rest[end:].strip(b"\r\n"):
            end = len(self._rest)  # The rest of the line end of a whole event.
        whole = bytes(self._rest[:end])
        del self._rest[:end]
        return whole

    def end(self) -> bytes:
        """The bytes that no blank line ended."""
        rest = bytes(self._rest)
        self.failure = self._failure_in(rest)
        if self._empty and not self.failure:
            self.failure = broken(_EMPTY)
        return b"" if self.failure else rest

    def _failure_in(self, event: bytes) -> Failure | None:
        name, data = _parse(self._hide_key(event))
        try:
            text = data.decode()[:QUOTE]
        except UnicodeDecodeError:
            return broken("The stream broke: it is not UTF-8 text.")
        if data.startswith(b"[DONE]"):
            return broken(_EMPTY) if self._empty else None
        if not text.strip() and name != "error":
            return None
        body = decode_json(data)
        # An error is told in this way where the stream is no chat, too.
        is_error = isinstance(body, dict) and says_something(body.get("error"))
        failure = failure_in_event(name, text, body, is_chat=self._is_chat or is_error)
        self._empty &= self._is_chat and not (
            isinstance(body, dict) and isinstance(body.get("choices"), list)
        )
        return failure


def _parse(event: bytes) -> tuple[str, bytes]:
    """The name and the data of an event; a JSON object that stands there without `data:` counts as data."""
    name, lines = "", []
    for line in _LINE_END.split(event.removeprefix(codecs.BOM_UTF8)):
        field, _, value = line.partition(b":")
        if field == b"event":
            name = value.strip().decode(errors="replace")
        elif field == b"data":
            lines.append(value.removeprefix(b" "))
        elif line.startswith(b"{"):
            lines.append(line)
    return name, b"\n".join(lines)
