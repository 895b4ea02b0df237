"""What counts as a failure with HTTP 200. No I/O.

A body whose `code` is a whole number other than 0, with a `message` or empty `data`, and without an answer, is AiToEarn's
failure; an `error` with a message, and without an answer beside it, is OpenAI's. Everything else must look like what the
request expects; where it does not, it is a validation error that quotes the server.

The `code` 200 says success, as 0 does. A chat without output in which a choice has failed is a failure too: gateways put
OpenAI's `error` into the choice.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

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

UPSTREAM_FAILED = 502
ACCOUNT_STATUSES = {401, 402, 403}
"""Statuses that speak of the account and not of the request: every other request would fail the same."""

FAILED_FINISH_REASONS = "error", "network_error", "insufficient_system_resource", "abort"
"""Those of a model that failed, of gateways, Zhipu, DeepSeek and vLLM."""

QUOTE = 300
"""The most characters of a server's words in a message."""

_ENVELOPE = {"code", "data", "message", "requestId", "timestamp"}
_SUCCESSES = 0, 200
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

_NO_ERROR = {"none", "null", "ok", "success"}
"""What some servers have as an `error` or its message where there is none."""

# Of a number, nine digits are enough: `int()` refuses thousands.
_WAIT = re.compile(r"after (\d{1,9})\d* seconds?|在\s*(\d{1,9})\d*\s*秒后重试")


class Failure(NamedTuple):
    """A failure as a server reports it."""

    message: str
    status: int | None = None
    """The HTTP status that says the same; None for what has only words, as an OpenAI `error` inside a stream."""
    code: int | str | None = None
    request_id: str | None = None
    retry_after: int | None = None
    """Seconds to wait before another try, where the message states them."""
    enveloped: bool = False
    """Whether it came in AiToEarn's envelope."""

    def __str__(self) -> str:
        if not self.enveloped:
            return self.message
        request = [Ours(", request id "), self.request_id] if self.request_id else []
        return Message(self.message, Ours(" (AiToEarn code "), str(self.code), *request, Ours(")"))


def failure_in(body: Any) -> Failure | None:
    """The failure that a decoded body reports by the rule, or None."""
    if not isinstance(body, dict):
        return None
    choices, data = body.get("choices"), body.get("data")
    if has_output(choices) or (isinstance(data, list) and data):
        return None
    failure = None
    if "choices" in body:
        failure = openai_failure(body, UPSTREAM_FAILED) or choice_failure(choices)
    elif isinstance(body.get("error"), dict):
        failure = openai_failure(body, 400)
    return failure or (None if choices else envelope_failure(body))


def envelope_failure(body: Any, *, strict: bool = False) -> Failure | None:
    """The failure in AiToEarn's envelope; a `strict` look asks for a message, and for data that is empty or missing."""
    code = body.get("code") if isinstance(body, dict) else None
    if type(code) is not int or code in _SUCCESSES:
        return None
    message = error_message(body) or error_message(body.get("error"))
    is_empty = body.get("data") in (None, {})
    if strict:
        is_failure = "message" in body and is_empty
    else:
        is_failure = bool(message or "message" in body or ("data" in body and is_empty))
    if not is_failure:
        return None
    status = _status(code, 400)
    wait = _WAIT.search(message or "") if status == 429 else None
    return Failure(
        message or Ours("The service gave no message."),
        status,
        code,
        request_id=str(body["requestId"]) if body.get("requestId") else None,
        retry_after=int(wait[1] or wait[2]) if wait else None,
        enveloped="data" in body or body.keys() <= _ENVELOPE,
    )


def openai_failure(body: dict[str, Any], default: int) -> Failure | None:
    """The failure in an `error` as OpenAI has it, or in one that is a text, with a message beside it or not."""
    error, beside = body.get("error"), body.get("message")
    if not error or not has_error(error):
        return None
    if not isinstance(error, dict):
        return Failure(beside if isinstance(beside, str) else str(error), default)
    code = error.get("code")
    message = error_message(error) or json.dumps(error, ensure_ascii=False)[:QUOTE]
    return Failure(message, _status(error.get("type") if code is None else code, default), code)


def choice_failure(choices: Any) -> Failure | None:
    """The failure of the first choice that failed: an `error` of its own, or a `finish_reason` that says so.

    Without a code that is an upstream failure. So is one about an account or a key, as those are not the caller's: other
    requests would not fail the same.
    """
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and (failure := openai_failure(choice, UPSTREAM_FAILED)):
            return failure._replace(status=UPSTREAM_FAILED) if failure.status in ACCOUNT_STATUSES else failure
        if isinstance(choice, dict) and choice.get("finish_reason") in FAILED_FINISH_REASONS:
            reason = choice.get("native_finish_reason") or choice["finish_reason"]
            quote = repr(str(reason)[:QUOTE])
            return Failure(
                Message(Ours("The model failed: finish_reason "), quote, Ours(".")), UPSTREAM_FAILED
            )
    return None


def _status(code: Any, default: int) -> int:
    if isinstance(code, str) and re.fullmatch(r"\d{3,5}", code):
        code = int(code)
    if isinstance(code, int):
        known = CODES.get(code)
        return known.status if known else code if 400 <= code <= 599 else default
    return _NAMED.get(code, default) if isinstance(code, str) else default


def has_error(error: Any) -> bool:
    """Whether an `error` tells of one: some servers have `null`, an object of nulls or "ok" in each answer."""
    words = error_message(error)
    if words is None:
        return isinstance(error, dict) and any(error.values())
    return words.casefold() not in _NO_ERROR


def error_message(body: Any) -> str | None:
    """The reason that a body or an `error` gives, under the names that servers use."""
    if isinstance(body, dict):
        body = body.get("message") or body.get("msg") or body.get("detail")
        if body and not isinstance(body, str):
            return json.dumps(body, ensure_ascii=False)
    return body if isinstance(body, str) and body.strip() else None


def has_output(choices: Any) -> bool:
    """Whether a choice has something that a model made: text, tool calls, or a part of them."""
    return isinstance(choices, list) and any(
        any(value for name, value in part.items() if name != "role") if isinstance(part, dict) else bool(part)
        for choice in choices
        if isinstance(choice, dict)
        for part in (choice.get("message"), choice.get("delta"), choice.get("text"))
    )


def is_completion(body: dict[str, Any]) -> bool:
    """Whether the `choices` of a body are those of a completion: one has a message, or a filter stopped it.

    None at all may be right, unless the server says why.
    """
    choices = body.get("choices")
    if choices == []:
        return not error_message(body)
    return isinstance(choices, list) and any(
        isinstance(choice, dict)
        and (
            choice.get("message") is not None
            or choice.get("text") is not None
            or choice.get("finish_reason") == "content_filter"
            or "content_filter_results" in choice
        )
        for choice in choices
    )


def has_images(body: dict[str, Any]) -> bool:
    """Whether some of the `data` of a body are images."""
    data = body.get("data")
    return isinstance(data, list) and any(
        isinstance(each, dict) and (each.get("url") is not None or each.get("b64_json") is not None)
        for each in data
    )
