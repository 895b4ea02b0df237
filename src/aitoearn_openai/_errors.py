"""Map the service's failures to HTTP statuses: codes, messages and shapes, no I/O.

AiToEarn reports a failure of its own as HTTP 200 with an envelope whose `code` is not 0:
`{"data": {}, "code": 12001, "message": "...", "requestId": "..."}`.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any, NamedTuple

from pydantic_core import from_json

from ._wording import Message, Ours


class Code(NamedTuple):
    """The HTTP status that says the same as a code of the service, and the service's words for it."""

    status: int
    message: str


CODES = {
    400: Code(400, "Bad request"),  # also what a body gets that fails validation
    401: Code(401, "Unauthorized"),
    403: Code(403, "Forbidden"),
    404: Code(404, "Not Found"),
    429: Code(429, "Too Many Requests"),
    500: Code(500, "Internal Server Error"),
    502: Code(502, "Bad Gateway"),
    10002: Code(400, "Invalid request parameters"),
    10003: Code(429, "Too many requests, please try again after 1 seconds"),
    12000: Code(401, "User not found"),
    12001: Code(402, "Insufficient credits"),
    12003: Code(403, "Account is disabled"),
    12008: Code(403, "Account is banned"),
    12009: Code(402, "Membership has expired"),
    12300: Code(404, "Model not found"),
    12301: Code(502, "AI model call failed"),
    19000: Code(401, "Invalid API key"),
    19001: Code(503, "Relay server unavailable"),
}
"""The codes that are known (AiToEarn backend 2.5). Others from 400 to 599 are HTTP statuses too; any other means 400."""

_UPSTREAM_FAILED = 502
QUOTE = 300
"""The most characters of a server's words in a message."""

OF_ACCOUNT = {401, 402, 403}
"""Statuses that speak of the account and not of the request: every other request would fail the same."""

NOT_JSON: Any = object()

# What other servers use for the same.
_WORDS = ("message", "msg", "error_msg", "status_msg", "detail")
_SUCCESSES = {"0", "200", "ok", "success"}
_FAILURES = {"error", "fail", "failed", "failure"}
FAILED = "error", "network_error", "insufficient_system_resource", "abort"
"""A `finish_reason` of a model that failed: gateways, Zhipu, DeepSeek and vLLM have them."""
_NAMED = {
    "authentication_error": 401,
    "insufficient_quota": 429,
    "invalid_api_key": 401,
    "model_not_found": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "server_error": 500,
}
"""The codes and types of OpenAI's errors, for servers that send them with HTTP 200."""
_KEEP_ALIVES = {"ping", "heartbeat", "keepalive"}

# Of a number, nine digits are enough: Python refuses to read thousands.
_WAIT = re.compile(r"after (\d{1,9})\d* seconds?|在\s*(\d{1,9})\d*\s*秒后重试")
_BLANK = " \t\xa0\0\u200b\ufeff"
_FIELD = re.compile(r":|(data|event|id|retry)$|(?!error\b)[a-z][\w-]*\s*:", re.IGNORECASE)
"""A comment, or a field. Not `error: ...`: a server that sends it reports a failure."""
_NO_MESSAGE = Ours("The service gave no message.")


class Failure(NamedTuple):
    """A failure as the service reports it."""

    code: int | str | None
    status: int
    message: str
    request_id: str | None = None
    retry_after: int | None = None
    """Seconds to wait before another try, where the message states them."""
    enveloped: bool = True
    """Whether it came in the service's envelope."""

    def __str__(self) -> str:
        if not self.enveloped:
            return self.message
        request = [Ours(", request id "), self.request_id] if self.request_id else []
        return Message(self.message, Ours(" (AiToEarn code "), str(self.code), *request, Ours(")"))


def decode_json(text: str | bytes) -> Any:
    """The decoded JSON, or `NOT_JSON`."""
    try:
        return from_json(text)  # In a third of the time that `json.loads` takes; it reads a little less.
    except ValueError:
        with suppress(ValueError, RecursionError):
            return json.loads(text)
    return NOT_JSON


def failure_in(body: Any) -> Failure | None:
    """The failure that a decoded body reports with HTTP 200, or None.

    It is the service's envelope, an error in OpenAI's format, also beside choices, or a choice that failed.
    """
    if not isinstance(body, dict):
        return None
    is_chat, choices, error = "choices" in body, body.get("choices"), body.get("error")
    is_answer = not is_chat and ("object" in body or "id" in body) and body.get("object") != "error"
    if says_something(error) and not is_answer and (is_chat or isinstance(error, dict)):
        error = error if isinstance(error, dict) else words_of(body) or error
        return _openai_failure(error, status=_UPSTREAM_FAILED if is_chat else 400)
    if choices:
        return _failed_choice(choices)
    if is_answer and "data" not in body:
        return None
    code = body.get("code")
    if "type" in body and not isinstance(code, int) and body.get("object") != "error":
        return None  # Events of other endpoints have a type, and codes in words.
    code = _number(code)
    is_empty = "data" in body and body["data"] in (None, {})
    if code in (None, 0) or (not is_empty and str(code).casefold() in _SUCCESSES):
        return None
    message, status = words_of(body) or words_of(error) or _NO_MESSAGE, _status(code)
    wait = _WAIT.search(message) if status == 429 else None
    return Failure(
        code,
        status,
        message,
        request_id=str(body["requestId"]) if body.get("requestId") else None,
        retry_after=int(wait[1] or wait[2]) if wait else None,
        enveloped="data" in body or body.get("object") != "error",
    )


def _openai_failure(error: Any, *, status: int) -> Failure:
    """The failure of an `error` as OpenAI has it, or of one that is a text."""
    fields = error if isinstance(error, dict) else {}
    code = _number(fields.get("code"))
    message = words_of(error) or json.dumps(error, ensure_ascii=False)[:QUOTE]
    cause = _provider_words(fields.get("metadata"))
    if cause and cause not in message:
        message = f"{message}: {cause[:QUOTE]}"
    named = fields.get("type") if code is None else code
    return Failure(code, _status(named, status), message, enveloped=False)


def _provider_words(metadata: Any) -> str | None:
    """What OpenRouter quotes of the provider, beside a message that says only that the provider failed."""
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    body = decode_json(raw) if isinstance(raw, str) else raw
    if not isinstance(body, dict):
        return words_of(raw)
    return words_of(body.get("error")) or words_of(body)


def _failed_choice(choices: Any) -> Failure | None:
    """Gateways report a model that failed as the `error` of a choice; without a code that is an upstream failure.

    So is one about an account or a key, as those are not the caller's: other requests would not fail the same.
    """
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            error = choice.get("error")
            if says_something(error):
                failure = _openai_failure(error, status=_UPSTREAM_FAILED)
                return failure._replace(status=_UPSTREAM_FAILED) if failure.status in OF_ACCOUNT else failure
            if choice.get("finish_reason") in FAILED:
                reason = choice.get("native_finish_reason") or choice["finish_reason"]
                quote = repr(str(reason)[:QUOTE])
                return broken(Message(Ours("The model failed: finish_reason "), quote, Ours(".")))
    return None


def says_something(error: Any) -> bool:
    """Whether an `error` tells of one: some servers have `null` or an object of nulls in each answer."""
    return any(error.values()) if isinstance(error, dict) else bool(error)


def words_of(body: Any) -> str | None:
    """The reason that a body or an `error` gives, under the names that servers use."""
    if not isinstance(body, dict):
        return body if isinstance(body, str) and body else None
    words = next(filter(None, (body.get(name) for name in _WORDS)), None) or words_of(body.get("base_resp"))
    return None if words is None else str(words)


def failure_in_event(
    name: str | None, text: str, data: Any, *, is_chat: bool, is_typed: bool = True
) -> Failure | None:
    """The failure that an event of a stream reports, or None; `data` is what its `text` decodes to.

    `is_typed` says that events of another endpoint have a type, or are an `object`. A chunk of a chat has `choices`
    afterwards, and no `error` that says nothing.
    """
    name = (name or "").casefold()
    if not isinstance(data, dict):
        if is_chat and (data is None or re.sub("[-_]", "", name) in _KEEP_ALIVES):
            return None
        if data is NOT_JSON or name == "error":
            return broken(text or Ours("The server sent an error event without a message."))
        return _no_chunk(text) if is_chat else None
    if not is_chat:
        error = data.get("error")
        if error and not isinstance(error, str):
            return None  # The SDK raises it.
        is_refused = is_typed and "object" not in data and is_refusal(data)
        is_failure = "type" not in data and (name == "error" or is_refused)
        words = error or words_of(data) or text[:QUOTE]
        return failure_in(data) or (broken(words) if error or is_failure else None)
    choices = data.setdefault("choices", None)
    if data.get("error") and not says_something(data["error"]):
        data["error"] = None  # The SDK would raise.
    if failure := failure_in(data):
        return failure
    if name.endswith(("error", "exception", "failed")) or (not choices and is_refusal(data)):
        return broken(words_of(data) or text[:QUOTE])
    return None if not choices or are_objects(choices) else _no_chunk(text)


def broken(message: str) -> Failure:
    """The failure of a stream that broke off, or sent something that is no chunk."""
    return Failure(None, _UPSTREAM_FAILED, message, enveloped=False)


def is_out_of_place(line: str) -> bool:
    """Whether a line of a stream stands in place of an event: it is no field, also none of another name."""
    line = line.strip(_BLANK)
    return bool(line) and "[DONE]" not in line and not _FIELD.match(line)


def error_field(line: str) -> Any:
    """The error in llama.cpp's field `error:`, which stands in place of an event; None if there is none."""
    name, _, value = line.strip(_BLANK).partition(":")
    error = decode_json(value) if name.strip().casefold() == "error" else None
    if error is NOT_JSON:
        error = value.strip()[:QUOTE]
    return error if says_something(error) else None


def end_message(text: str, *, is_empty: bool) -> str:
    """What to say of a stream that ended before its first event, or with `text` in place of an event."""
    quote = " ".join(text[:QUOTE].split())
    message = Ours("The stream ended before its first event" if is_empty else "The stream broke off")
    return Message(message, *([Ours(": "), quote] if quote[:1] not in ("", "<") else [Ours(".")]))


def _no_chunk(text: str) -> Failure:
    return broken(Message(Ours("The stream sent something other than a chunk: "), text[:QUOTE]))


def are_objects(value: object) -> bool:
    """Whether this is a list of objects, as the choices of a completion are."""
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def holds_answer(field: str, made: object) -> bool:
    """Whether the `choices` of a completion are answers, or some of the `data` of an image request are images."""
    if not isinstance(made, list):
        return False

    def has(each: Any, *names: str) -> bool:
        fields = each if isinstance(each, dict) else getattr(each, "__dict__", {})
        return any(fields.get(name) is not None for name in names)

    if field == "data":
        return any(has(each, "url", "b64_json") for each in made)
    return all(has(each, "message", "text") for each in made)


def is_refusal(body: dict[str, Any]) -> bool:
    """Whether a body without an answer reports a failure in one of the shapes that other servers use."""
    base = body.get("base_resp")
    return bool(
        says_something(body.get("error"))
        or any(body.get(name) for name in ("errors", "error_code", "error_msg", "detail"))
        or "error" in (body.get("object"), body.get("type"))
        or body.get("success") is False
        or any(_is_bad_status(body.get(name)) for name in ("status", "statusCode"))
        or (isinstance(base, dict) and base.get("status_code"))
        or {name for name, value in body.items() if value} == {"message"}
    )


def _is_bad_status(value: Any) -> bool:
    return value >= 400 if isinstance(value, int) else str(value).casefold() in _FAILURES


def _number(code: Any) -> Any:
    try:
        return int(code)
    except (TypeError, ValueError, OverflowError):
        return code


def _status(code: Any, otherwise: int = 400) -> int:
    if isinstance(code, int) and 400 <= code <= 599:
        return code
    if isinstance(code, int):
        return CODES[code].status if code in CODES else otherwise
    return _NAMED.get(code, otherwise) if isinstance(code, str) else otherwise
