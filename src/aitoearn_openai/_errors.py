"""What the service's own failures say in HTTP: codes to statuses, no I/O.

AiToEarn reports a failure of its own as HTTP 200 with an envelope whose `code` is not 0:
`{"data": {}, "code": 12001, "message": "...", "requestId": "..."}`.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

STATUS = {
    10002: 400,  # parameters failed validation
    10003: 429,  # too many requests
    12000: 401,  # user not found
    12001: 402,  # not enough credits
    12003: 403,  # account disabled
    12008: 403,  # account banned
    12009: 402,  # membership expired
    12300: 404,  # no such model
    12301: 502,  # the call to the model failed upstream
}
"""The HTTP status that says the same as a business code of the service (AiToEarn backend 2.5).

Codes from 400 to 599 are HTTP statuses themselves; any other code means 400.
"""

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
    return STATUS.get(code, 400) if isinstance(code, int) else 400
