"""Server-sent events on their way through: passed on as they are, up to the first that reports a failure. No I/O."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

from .._errors import (
    QUOTE,
    Failure,
    broken,
    decode_json,
    end_message,
    error_field,
    failure_in,
    failure_in_event,
    is_out_of_place,
    says_something,
)
from .._sdk.stream import is_chunk

_LINE_END = re.compile(rb"\r\n|\n|\r")
_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_MOST_BYTES = 8192


class Events:
    """What a stream has brought so far."""

    failure: Failure | None = None
    """The failure that ends the stream, once it is there."""

    def __init__(self, *, is_chat: bool, hide_key: Callable[[bytes], bytes] = bytes) -> None:
        self._is_chat = is_chat
        self._hide_key = hide_key
        self._rest = bytearray()
        self._empty, self._done = True, False
        self._other = b""
        """What came in place of events since the last one."""

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
        if not self.failure and not self._done and (self._empty or self._other):
            self.failure = self._broken()
        return b"" if self.failure else rest

    def _failure_in(self, event: bytes) -> Failure | None:
        if self._done:
            return None
        name, data, other = _parse(self._hide_key(event))
        if other:
            self._other = (self._other + other)[:_MOST_BYTES]
            text = other.decode(errors="replace")
            for line in (text, *text.splitlines()):
                field = error_field(line)
                if failure := failure_in({"error": field} if field else decode_json(line)):
                    return failure
                if field:
                    return broken(str(field))
        try:
            text = data.decode()[:QUOTE]
        except UnicodeDecodeError:
            return broken("The stream broke: it is not UTF-8 text.")
        if data.startswith(b"[DONE]"):
            self._done = True
            return self._broken() if self._empty else failure_in(decode_json(self._other))
        if not text.strip() and name != "error":
            return None
        body = decode_json(data)
        # An error is told in this way where the stream is no chat, too.
        is_error = isinstance(body, dict) and says_something(body.get("error"))
        failure = failure_in_event(name, text, body, is_chat=self._is_chat or is_error)
        self._empty &= self._is_chat and not (
            isinstance(body, dict) and isinstance(body.get("choices"), list)
        )
        if is_chunk(body) or not self._is_chat:
            self._other = b""
        return failure

    def _broken(self) -> Failure:
        text = self._other.decode(errors="replace")
        return failure_in(decode_json(text)) or broken(end_message(text, is_empty=self._empty))


def _parse(event: bytes) -> tuple[str, bytes, bytes]:
    """The name and the data of an event, and what stands in place of one."""
    name, lines, other = "", [], []
    for line in _LINE_END.split(event.removeprefix(codecs.BOM_UTF8)):
        field, _, value = line.partition(b":")
        if field == b"event":
            name = value.strip().decode(errors="replace")
        elif field == b"data":
            lines.append(value.removeprefix(b" "))
        elif is_out_of_place(line.decode(errors="replace")):
            other.append(line + b"\n")
    return name, b"\n".join(lines), b"".join(other)
