"""JSON: decoded from any server without an exception, and written so that each reader takes it for one line."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from pydantic_core import from_json

NOT_JSON: Any = object()

LINE_ENDS = {ord(character): f"\\u{ord(character):04x}" for character in "\x85\u2028\u2029"}
"""What JSON allows in a text, and many readers of lines take for the end of one."""


def decode_json(text: str | bytes) -> Any:
    """The decoded JSON, or `NOT_JSON`."""
    try:
        return from_json(text)  # In a third of the time that `json.loads` takes; it reads a little less.
    except ValueError:
        with suppress(ValueError, RecursionError):
            return json.loads(text)
    return NOT_JSON
