"""What the service's own failures say in HTTP: codes to statuses, no I/O.

AiToEarn reports a failure of its own as HTTP 200 with an envelope whose `code` is not 0:
`{"data": {}, "code": 12001, "message": "...", "requestId": "..."}`.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple


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

_NO_PATH = re.compile(r"\bCannot [A-Z]+ /")
_WAIT = re.compile(r"after (\d+) seconds?|在\s*(\d+)\s*秒后重试")


_SUCCESS_KEYS = {"choices", "object", "id"}
_NO_MESSAGE = "The service gave no message."


class Failure(NamedTuple):
    """A failure as the service tells it."""

    code: int | str
    status: int
    message: str
    request_id: str | None = None
    retry_after: int | None = None
    """Seconds to wait before another try, where the message states them."""
    enveloped: bool = True
    """Whether it came in the service's envelope, not in OpenAI's format."""

    def __str__(self) -> str:
        request = f", request id {self.request_id}" if self.request_id else ""
        return f"{self.message} (AiToEarn code {self.code}{request})"


def failure_in(body: Any) -> Failure | None:
    """The failure that a decoded response body reports, or None if it reports none."""
    if not isinstance(body, dict) or body.get("choices"):
        return None
    succeeds = not _SUCCESS_KEYS.isdisjoint(body)
    error = body.get("error")
    if isinstance(error, dict) and ("choices" in body or not succeeds):
        code = _number(error.get("code"))
        return Failure(code, _status(code), str(error.get("message") or _NO_MESSAGE), enveloped=False)
    if succeeds and "data" not in body:
        return None
    code = body.get("code")
    if "type" in body and not isinstance(code, int):
        return None  # Events of other endpoints have a type, and codes in words.
    code = _number(code)
    if code in (None, 0):
        return None
    message = str(body.get("message") or _NO_MESSAGE)
    wait = _WAIT.search(message) if _status(code) == 429 else None
    return Failure(
        code,
        _status(code),
        message,
        request_id=str(body["requestId"]) if body.get("requestId") else None,
        retry_after=_seconds(wait[1] or wait[2]) if wait else None,
    )


def _seconds(digits: str) -> int:
    return int(digits) if len(digits) < 10 else 10**9  # Python refuses to read thousands of digits.


def _number(code: Any) -> Any:
    try:
        return int(code)
    except (TypeError, ValueError, OverflowError):
        return code


def _status(code: Any) -> int:
    if isinstance(code, int) and 400 <= code <= 599:
        return code
    return CODES[code].status if isinstance(code, int) and code in CODES else 400


def missing_path_hint(message: str, address: str) -> str:
    """What to do about a server that has nothing at the address asked; empty where the message says something else."""
    if not _NO_PATH.search(message):
        return ""
    return (
        f"The address asked was {address}: AiToEarn's base URL ends in /api/ai. "
        "A self-hosted AiToEarn server has the model list there, but no chat completions and no images."
    )
