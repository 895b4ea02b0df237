"""Reading a request: what its answer depends on, and refusing what is not valid. No I/O."""

from __future__ import annotations

import json
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from email import message_from_bytes
from hashlib import blake2b
from typing import Any

from .._models import BYTES_PER_TOKEN
from ._failures import Refused

PART_TOKENS = 85
"""The tokens of a part of a message that is not text, such as an image."""


@dataclass(frozen=True)
class Question:
    """A valid request for a chat completion."""

    digest: str
    """Stands for the whole body: the same request gets the same answer, id included."""
    said: str
    """The last message of the user."""
    prompt_tokens: int
    n: int
    stop: list[str]
    limit: int
    """The most tokens that an answer may have."""
    stream: bool
    include_usage: bool
    function: str | None
    """The function that must be called."""
    schema: Any
    """The JSON schema of the function's arguments, or else of the answer; `{}` for any object."""


def dig(value: Any, *path: str) -> Any:
    """What lies at a path of keys; None where there is nothing, or something other than objects on the way."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def tokens(text: str) -> int:
    """How many tokens the text counts as: the sandbox's rule is the package's estimate, and only messages are input."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def parse(raw: bytes) -> dict[str, Any]:
    """The JSON object in a body."""
    body = None
    with suppress(ValueError, RecursionError):
        body = json.loads(raw)
    if not isinstance(body, dict):
        raise Refused(400, "the body must be a JSON object")
    return body


def parse_form(raw: bytes, content_type: str) -> dict[str, Any]:
    """The text fields of a multipart body; files are left out."""
    form = message_from_bytes(b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n" + raw)
    fields: dict[str, Any] = {}
    for part in form.walk():
        value = None if part.get_filename() else part.get_payload(decode=True)
        if isinstance(value, bytes):
            name = str(part.get_param("name", header="content-disposition"))
            text = value.decode(errors="replace")
            fields[name] = int(text) if name == "n" and re.fullmatch("[0-9]{1,9}", text) else text
    return fields


def picture_count(body: dict[str, Any]) -> int:
    """How many pictures a request asks for."""
    required_text(body, "prompt")
    return _count(body, "n", 1, most=10)


def question(body: dict[str, Any], raw: bytes) -> Question:
    """What a body of chat completions asks."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused(400, "messages must be a list of at least 1 message")
    said, prompt_tokens = "", 0
    for place, message in enumerate(messages):
        content = dig(message, "content")
        parts = [{"text": content}] if isinstance(content, str) else content or []
        if not isinstance(parts, list):
            raise Refused(400, f"messages.{place}.content must be a string or a list of parts")
        texts = [text for text in (dig(part, "text") for part in parts) if isinstance(text, str)]
        prompt_tokens += sum(map(tokens, texts)) + PART_TOKENS * (len(parts) - len(texts))
        if required_text(message, "role", f"messages.{place}.role") == "user":
            said = " ".join(texts)
    stream = body.get("stream")
    if stream not in (None, False, True):
        raise Refused(400, "stream must be true or false")
    stop = body.get("stop")
    stop = stop if isinstance(stop, list) else [stop]
    function, schema = _forced_function(body)
    return Question(
        digest=blake2b(raw, digest_size=12).hexdigest(),
        said=said.encode("utf-8", "replace").decode(),
        prompt_tokens=prompt_tokens,
        n=_count(body, "n", 1, most=128),
        stop=[text for text in stop if text and isinstance(text, str)],
        limit=min(_count(body, name, sys.maxsize) for name in ("max_tokens", "max_completion_tokens")),
        stream=bool(stream),
        include_usage=dig(body, "stream_options", "include_usage") is True,
        function=function,
        schema=schema if function else _answer_schema(body),
    )


def _forced_function(body: dict[str, Any]) -> tuple[str | None, Any]:
    choice = body.get("tool_choice")
    forced = dig(choice, "function", "name")
    if choice != "required" and forced is None:
        return None, None
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else []:
        name = dig(tool, "function", "name")
        if name and isinstance(name, str) and (choice == "required" or name == forced):
            return name, dig(tool, "function", "parameters") or {"type": "object"}
    raise Refused(400, "tool_choice must name one of the functions in tools")


def _answer_schema(body: dict[str, Any]) -> Any:
    wanted = dig(body, "response_format", "type")
    if wanted == "json_schema":
        return dig(body, "response_format", "json_schema", "schema") or {}
    return {} if wanted == "json_object" else None


def required_text(value: Any, name: str, shown: str = "") -> str:
    """The text in a field that has to have one."""
    text = dig(value, name)
    if not text or not isinstance(text, str):
        raise Refused(400, f"{shown or name} must be a string that is not empty")
    return text


def _count(body: dict[str, Any], name: str, default: int, most: int = sys.maxsize) -> int:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or not 1 <= value <= most:
        raise Refused(400, f"{name} must be a whole number from 1 to {most}")
    return value
