"""Decode JSON of any server, without an exception."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from pydantic_core import from_json

NOT_JSON: Any = object()


def decode_json(text: str | bytes) -> Any:
    """The decoded JSON, or `NOT_JSON`."""
    try:
        return from_json(text)  # In a third of the time that `json.loads` takes; it reads a little less.
    except ValueError:
        with suppress(ValueError, RecursionError):
            return json.loads(text)
    return NOT_JSON
