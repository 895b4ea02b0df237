"""Server-sent events on their way through: passed on as they are, up to the first that reports a failure. No I/O."""

from __future__ import annotations

import codecs
import json
import re
from typing import Any

from .._errors import Failure, failure_in

_LINE_END = re.compile(rb"\r\n|\n|\r")
_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_OF_A_CHUNK = {"choices", "id", "object", "usage", "cost", "b64_json"}
_NOT_JSON = object()


class Events:
    """What a stream has brought so far."""

    failure: Failure | None = None
    """The failure that ends the stream, once it is there."""

    def __init__(self) -> None:
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
            self.failure = _broken("The stream ended before its first event.")
        return b"" if self.failure else rest

    def _failure_in(self, event: bytes) -> Failure | None:
        name, data = _parse(event)
        if not data:
            return _broken("The stream broke.") if name == b"error" else None
        body = loads(data)
        if name == b"error" and not (isinstance(body, dict) and ("error" in body or "code" in body)):
            body = {"error": body if isinstance(body, dict) else {"message": data.decode(errors="replace")}}
        is_done = data == b"[DONE]"
        is_whole = isinstance(body, dict) and (body.get("choices") is None or has_choices(body))
        self._empty &= not (is_done or (is_whole and not _OF_A_CHUNK.isdisjoint(body)))
        if failure := failure_in(body):
            return failure
        return (
            None
            if is_done or is_whole
            else _broken(f"The stream broke: {data[:200].decode(errors='replace')}")
        )


def has_choices(body: Any) -> bool:
    """Whether this has the choices of a completion: a list of objects."""
    choices = body.get("choices") if isinstance(body, dict) else None
    return isinstance(choices, list) and all(isinstance(choice, dict) for choice in choices)


def loads(text: bytes) -> Any:
    """The decoded JSON, or an object that is no JSON value."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _NOT_JSON


def _broken(message: str) -> Failure:
    return Failure(None, 502, message, enveloped=False)  # type: ignore[arg-type]


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
