"""Server-sent events, read and judged as their bytes come: for the client's decoder and for the relay. No I/O.

What is well formed passes. A failure ends the stream in the server's words, after the chunks before it. In a chat,
keep-alives are passed over, a frame without choices becomes a chunk whose `choices` is `[]`, and an answer is complete
with `[DONE]` or a `finish_reason`.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from typing import Any

from openai.types.chat import ChatCompletionChunk

from ._errors import (
    QUOTE,
    UPSTREAM_FAILED,
    Failure,
    choice_failure,
    envelope_failure,
    error_message,
    failure_in,
    has_error,
    has_output,
    openai_failure,
)
from ._json import NOT_JSON, decode_json
from ._wording import Message, Ours

_CHUNK_FIELDS = (ChatCompletionChunk.model_fields.keys() | {"cost"}) - {"choices"}
_KEEP_ALIVES = {"ping", "heartbeat", "keepalive"}
_BLANK = " \t\r\n\xa0\0\u200b\ufeff"
_FIELD = re.compile(r":|(data|event|id|retry)$|(?!error\b)[a-z][\w-]*\s*:", re.IGNORECASE)
"""A comment, or a field. Not `error: ...`: a server that sends it, as llama.cpp does, reports a failure."""
_MOST_CHARACTERS = 5000
MAX_EVENT = 64 * 1024 * 1024
"""The bytes that an event may have."""
MAX_LINES = 100_000
"""The lines that an event may have: each takes more time and memory than its bytes do."""


class Event:
    """What the SDK asks of an event."""

    __slots__ = ("data", "decoded", "event")

    def __init__(self, event: str, data: str, decoded: Any) -> None:
        self.event, self.data, self.decoded = event, data, decoded

    def json(self) -> Any:
        return self.decoded


class Events:
    """What a stream has brought so far. Each event is judged once, when it is complete."""

    failure: Failure | None = None
    """The failure that ends the stream, once it is there."""
    body: Any = None
    """What reported it."""

    def __init__(self, *, is_chat: bool, is_typed: bool = True, hide_key: Callable[[str], str] = str) -> None:
        self._is_chat, self._is_typed, self._hide_key = is_chat, is_typed, hide_key
        self._rest, self._size = bytearray(), 0
        """The beginning of a line; the bytes since the last event."""
        self._name, self._data = "", list[bytes]()
        """The fields of the event that is not yet complete."""
        self._ends_in_cr = self._is_ending = False
        self._count = 0
        """The chunks with a list of choices, even an empty one, or the events of another stream."""
        self._is_complete = False
        """Whether a `finish_reason` came, or a line that is not of an event and has `[DONE]`."""
        self.is_done = False
        """Whether the event `[DONE]` came: nothing after it is read."""
        self._stray = ""
        """What came in place of chunks since the last one: why the answer is missing, if it is."""

    def feed(self, piece: bytes) -> Iterator[Event]:
        """The events that are complete now."""
        if self.is_done:
            return  # Nobody reads what follows.
        self._size += len(piece)
        if self._size > MAX_EVENT or len(self._data) > MAX_LINES:
            self._fail(Failure(too_large()), None)
            return
        if self._ends_in_cr and piece.startswith(b"\n"):
            piece = piece[1:]  # The other half of a line end.
        self._ends_in_cr = piece.endswith(b"\r")
        if self._rest:
            self._rest += piece
            if b"\n" not in piece and b"\r" not in piece:
                return
            piece = bytes(self._rest)
            self._rest.clear()
        lines = piece.splitlines()
        if not piece.endswith((b"\n", b"\r")):
            self._rest += lines.pop() if lines else b""
        for line in lines:
            if line.startswith(b"data: "):
                self._data.append(line[6:])
            elif line:
                self._read_line(line)
            elif event := self._event():
                yield event
            if self.failure or self.is_done:
                return
        if not self._data:
            self._size = len(self._rest)

    def end(self) -> Iterator[Event]:
        """What no blank line ended, when the server has sent all: a whole chunk is paid for, a half one is a failure."""
        self._is_ending = True
        yield from self.feed(b"\n\n")
        if not self.is_done and not self.failure:
            self._check_end()

    def _read_line(self, text: bytes) -> None:
        """Any line but `data: ...`: another field, a comment, or one that is not of an event."""
        field, _, value = text.partition(b":")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._name = self._hide_key(value.strip().decode(errors="replace"))
        elif text.startswith(codecs.BOM_UTF8) and not self._count:
            self._read_line(text.lstrip(codecs.BOM_UTF8))
        else:
            line = self._hide_key(text.decode(errors="replace")).strip(_BLANK)
            self._is_complete |= "[DONE]" in line
            if line and not self._is_complete and not _FIELD.match(line):
                self._read_stray(line)

    def _read_stray(self, line: str) -> None:
        """A line in place of an event: a failure, or something that counts where nothing follows it."""
        if len(self._stray) >= _MOST_CHARACTERS:
            return  # To look into each of a flood of lines would stop all else.
        name, _, value = line.partition(":")
        body = decode_json(line)
        if name.strip().casefold() == "error":
            error = decode_json(value)
            body = {"error": value.strip()[:QUOTE] if error is NOT_JSON else error}
            if has_error(body["error"]) and not (isinstance(error, dict) and error.get("code")):
                self._fail(Failure(error_message(body["error"]) or line[:QUOTE]), body)
                return
        if failure := failure_in(body):
            self._fail(failure, body)
        else:
            self._stray += f"{line[:_MOST_CHARACTERS]}\n"

    def _event(self) -> Event | None:
        """What a blank line ends, unless a failure takes its place."""
        name, data, self._size = self._name, b"\n".join(self._data), 0
        self._name, self._data = "", []
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self._fail(Failure(Ours("The stream broke: it is not UTF-8 text.")), None)
            return None
        if text.startswith("[DONE]"):
            self._check_end(is_done=True)
            self.is_done = not self.failure
            return Event(name, text, None) if self.is_done else None
        kind, hidden = name.casefold(), self._hide_key(text)
        if (text and not text.isspace()) or kind == "error":
            decoded = decode_json(hidden)
            if self._judge(kind, hidden, decoded):
                # A model's words stay as they are, and no others.
                is_answer = not self.failure and isinstance(decoded, dict) and decoded.get("choices")
                return Event(name, text if is_answer else hidden, decoded)
        return None

    def _judge(self, name: str, text: str, body: Any) -> bool:
        """Note the failure that this reports. True: the SDK gets it, even beside a failure: there is output."""
        if isinstance(body, dict):
            return (self._judge_chunk if self._is_chat else self._judge_other)(name, text, body)
        if name == "error":
            message = text.strip()[:QUOTE] or Ours("The server sent an error event without a message.")
            self._fail(Failure(message), text)
        elif self._is_ending and text.startswith("{"):
            self._stray = text
            return False  # Half an event.
        elif self._is_chat and (body is None or name.replace("-", "").replace("_", "") in _KEEP_ALIVES):
            return False
        elif body is NOT_JSON:
            self._fail(Failure(text[:QUOTE]), text)
        elif self._is_chat:
            self._fail(Failure(_not_a_chunk(text)), body)
        self._count += 1
        return not self.failure

    def _judge_chunk(self, name: str, text: str, body: dict[str, Any]) -> bool:
        choices, error = body.get("choices"), body.get("error")
        if failure := openai_failure(body, UPSTREAM_FAILED):
            self._fail(failure._replace(status=None), error if isinstance(error, dict) else {**body})
        elif failure := (choice_failure(choices) if choices else envelope_failure(body)):
            self._fail(failure, body)
        if error:
            body["error"] = (
                None  # The SDK would raise on any: on one that is not a failure, or before the text beside it.
            )
        if self.failure:
            return has_output(choices)
        is_list = isinstance(choices, list)
        if choices and not (is_list and all(isinstance(choice, dict) for choice in choices)):
            self._fail(Failure(_not_a_chunk(text)), body)
            return False
        self._count += is_list
        if choices:
            self._is_complete |= any(choice.get("finish_reason") for choice in choices)
            self._stray = ""
            return True
        if body.keys() - _CHUNK_FIELDS - {"choices", "error", "type"}:
            self._stray = text
        is_frame = is_list or any(body.get(field) is not None for field in _CHUNK_FIELDS)
        if is_frame:
            body["choices"] = []
        elif name == "error":
            self._fail(Failure((error_message(body) or text)[:QUOTE]), body)
        return is_frame

    def _judge_other(self, name: str, text: str, body: dict[str, Any]) -> bool:
        """Events of the SDK's other types have a `type`, or are an `object`, mostly; those of the caller's own are theirs."""
        if failure := envelope_failure(body, strict=True):
            self._fail(failure, body)
        elif (self._is_typed or name == "error") and "type" not in body and "object" not in body:
            message = error_message(body.get("error")) or error_message(body)
            if message or name == "error" or "error" in body:
                self._fail(Failure(message or text[:QUOTE]), body)
        self._count += 1
        return not self.failure

    def _check_end(self, *, is_done: bool = False) -> None:
        """Fail, unless the answer is whole; `is_done`: it ends with `[DONE]`, else the server just stopped."""
        body = decode_json(self._stray)
        if self._count or not self._is_chat:
            if self._is_complete:
                return
            if is_done and (not isinstance(body, dict) or body.get("choices") == []):
                return  # It says that the answer is whole, and no object stands in the place of chunks.
            if self._count and not self._is_chat and not self._stray:
                return  # Other streams need no end.
        if not (failure := failure_in(body)):
            quote = " ".join(self._stray[:QUOTE].split())
            words = [Ours(": "), quote] if quote[:1] not in ("", "<") else [Ours(".")]
            so_far = f"The stream ended before the answer was complete (chunks so far: {self._count})"
            failure, body = Failure(Message(Ours(so_far), *words)), self._stray or None
        self._fail(failure, body)

    def _fail(self, failure: Failure, body: Any) -> None:
        self.failure, self.body = failure, body


def too_large() -> str:
    return Ours(f"The stream sent an event of more than {MAX_EVENT >> 20} MB, or {MAX_LINES} lines.")


def _not_a_chunk(text: str) -> str:
    return Message(Ours("The stream sent something other than a chunk: "), text[:QUOTE])
