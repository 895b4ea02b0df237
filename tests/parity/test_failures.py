"""Failures with a status of their own, and retries. What breaks off or stays away is in the fault matrix."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from typing import Any

import openai
import pytest

from conftest import Reply, complete
from faults.runner import wait
from parity.calls import ANSWER, ERROR, soon
from parity.conftest import Twins, told

ERRORS: dict[str, Reply] = {
    "openai": Reply({"error": ERROR}),
    "openai-numeric": Reply({"error": {**ERROR, "code": 5, "param": None}}),
    "openai-bare": Reply({"error": {"message": "no"}}),
    "openai-text": Reply({"error": "no"}),
    "compatible": Reply({"object": "error", "message": "no", "code": 40301, "type": "t", "param": None}),
    "detail": Reply({"detail": [{"loc": ["body"], "msg": "no"}]}),
    "list": Reply(b"[1]"),
    "null": Reply(b"null"),
    "html": Reply("<p>502", content_type="text/html"),
    "text": Reply("no\n", content_type="text/plain; charset=utf-8"),
    "broken": Reply(b'{"error": '),
    "empty": Reply(b"", content_type=None),
}
"""Bodies of failures that come with a status of their own. Those in the service's envelope are our words' business."""
WORDLESS = {"openai-text", "detail"}
"""Those of which newer SDKs leave out the words, which our message has."""
STATUSES = [400, 401, 402, 403, 404, 408, 409, 413, 418, 422, 429, 500, 502, 529]


@pytest.mark.parametrize("body", ERRORS)
def test_a_failure_with_a_status_of_its_own_is_the_sdks_exception(twins: Twins, body: str) -> None:
    """Type, message, body, code, param, type and request id, whatever the status and the body."""

    async def ask(client: Any) -> Any:
        failures = []
        for _ in STATUSES:
            with pytest.raises(openai.APIStatusError) as raised:
                await wait(complete("m")(client))
            kind, text, cause, shown, answered = told(raised.value)
            if body in WORDLESS:
                text = text.partition(" - ")[0]
                shown |= {"message": text, "args": (text,)}
            failures.append((kind, text, cause, shown, answered))
        return failures

    replies = [replace(ERRORS[body], status=status, headers={"X-Request-Id": "r-9"}) for status in STATUSES]
    outcome = twins.same(ask, *replies, max_retries=0)

    assert all(failure[3]["request_id"] == "r-9" for failure in outcome.result)


RETRIED: dict[str, tuple[list[Reply], int]] = {
    "500": ([soon(500), soon(503), ANSWER], 3),
    "429-after-seconds": ([soon(429, **{"Retry-After": "0.01"}), ANSWER], 2),
    "500-page-for-ever": ([Reply("<p>", status=500, content_type="text/html")], 3),
    "400": ([soon(400), ANSWER], 1),
    "400-to-retry": ([soon(400, **{"X-Should-Retry": "true"}), ANSWER], 2),
    "500-not-to-retry": ([soon(500, **{"X-Should-Retry": "false"}), ANSWER], 1),
}


@pytest.mark.parametrize("name", RETRIED)
def test_what_fails_is_retried_as_often_and_as_the_sdk_does(
    twins: Twins, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The same number of requests, the same retry counts in them, and the same waits in the log."""
    replies, requests = RETRIED[name]
    caplog.set_level(logging.INFO)

    async def ask(client: Any) -> Any:
        caplog.clear()
        try:
            result = await wait(complete("m", extra_headers={"Idempotency-Key": "mine"})(client))
        except openai.APIStatusError as error:
            result = told(error)
        lines = [record.getMessage() for record in caplog.records if record.name != "asyncio"]
        return result, [re.sub(r"0\.00\d+ seconds", "a moment", line) for line in lines]

    outcome = twins.same(ask, *replies)

    assert len(outcome.requests) == requests
    assert len(outcome.result[1]) >= requests
