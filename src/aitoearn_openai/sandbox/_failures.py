"""Failing on purpose: the names that fail, and how the service would tell each failure."""

from __future__ import annotations

import re

from .._errors import CODES, failure_in

SLOW_SECONDS = 2.0
"""How long `slow-first-byte` keeps the client waiting."""

PAGE = b"<!DOCTYPE html><html><head><title>Welcome</title></head><body>Log in to the network.</body></html>"
"""What a captive portal or a wrong base URL answers in place of the service."""

_MESSAGES = {
    **{str(code): known.message for code, known in CODES.items()},
    "10003-zh": "请求过于频繁，请在1秒后重试",
    "19999": "Operation failed",
}

STREAM_FAILURES = {
    "fail-stream-cut": "the connection drops in the middle of a stream",
    "fail-stream-error": "an `event: error` with plain text ends a stream",
    "fail-stream-envelope": "an envelope with code 12301 ends a stream",
}
"""Names that fail while they stream; asked without `stream`, they answer."""

SLOW = "slow-first-byte"


def _meaning(key: str) -> str:
    failure = failure_in({"code": int(key.partition("-")[0]), "data": {}})
    assert failure
    return f"answers code {failure.code} (as HTTP: {failure.status}), {_MESSAGES[key]!r}"


FAILURES: dict[str, str] = {
    **{f"fail-{key}": _meaning(key) for key in _MESSAGES},
    "fail-19999": f"{_meaning('19999')}; so does any other number",
    "fail-html": "answers an HTML page with status 200",
    "fail-once-502": "answers code 502 at first, and succeeds on the second try; works with any other code too",
    **STREAM_FAILURES,
    SLOW: f"waits {SLOW_SECONDS:g} seconds before the first byte",
}
"""Each name that fails on purpose, with what it does. All work as a model of chat completions and images.

The names of a code and `fail-html` work as a key too, and then refuse every endpoint, also the model list.
"""

_NAME = re.compile(r"fail-(?P<once>once-)?(?P<key>(?P<code>[1-9][0-9]{0,8})(-zh)?)")


class Refused(Exception):
    """A failure on purpose: answered as an envelope with this code and message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message


class NotTheService(Exception):
    """Something else answers in place of the service: an HTML page."""


def failure_named(name: str) -> tuple[Exception | None, bool]:
    """The failure of a model or key of that name, and whether it comes only once."""
    if name == "fail-html":
        return NotTheService(), False
    match = _NAME.fullmatch(name)
    if match is None:
        return None, False
    message = _MESSAGES.get(match["key"], _MESSAGES["19999"])
    return Refused(int(match["code"]), message), bool(match["once"])
