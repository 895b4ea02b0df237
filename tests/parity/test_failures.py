"""Failures with a status of their own, retries, timeouts and answers that break off."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Callable
from typing import Any

import openai
import pytest

from conftest import Reply, complete, stream
from parity.calls import ANSWER, CALLS, ERROR, breaking_off, draw_on, soon
from parity.twins import (
    Each,
    Twins,
    WithRaw,
    WithStreaming,
    entered,
    hooks,
    one_connection,
    told,
    wait,
)

ERRORS: dict[str, Reply] = {
    "openai": Reply({"error": ERROR}),
    "openai-numeric": Reply({"error": {**ERROR, "code": 5, "param": None}}),
    "openai-bare": Reply({"error": {"message": "no"}}),
    "openai-text": Reply({"error": "no"}),
    "compatible": Reply({"object": "error", "message": "no", "code": 40301, "type": "t", "param": None}),
    "detail": Reply({"detail": [{"loc": ["body"], "msg": "no"}]}),
    "nest": Reply({"statusCode": 1, "message": "no", "error": "Bad"}),
    "list": Reply(b"[1]"),
    "null": Reply(b"null"),
    "html": Reply("<p>502", content_type="text/html"),
    "text": Reply("no\n", content_type="text/plain; charset=utf-8"),
    "broken": Reply(b'{"error": '),
    "empty": Reply(b"", content_type=None),
}
"""Bodies of failures that come with a status of their own. Those in the service's envelope are our words' business."""


WORDLESS = {"openai-text", "detail", "nest"}
"""Those of which newer SDKs leave out the words, which our message has."""

STATUSES = [400, 401, 402, 403, 404, 409, 413, 418, 422, 429, 500, 502, 529]


@pytest.mark.parametrize("body", ERRORS)
def test_a_failure_with_a_status_of_its_own_is_the_sdks_exception(twins: Twins, body: str) -> None:
    """Type, message, body, code, param, type and request id, whatever the status and the body."""

    async def ask(client: Any) -> Any:
        failures = []
        for _ in STATUSES:
            try:
                await wait(complete("m")(client))
            except openai.APIStatusError as error:
                kind, text, cause, shown, answered = told(error)
                if body in WORDLESS:
                    text = text.partition(" - ")[0]
                    shown |= {"message": text, "args": (text,)}
                failures.append((kind, text, cause, shown, answered, error.request_id))
        return failures

    told_with = {**vars(ERRORS[body]), "headers": {"X-Request-Id": "r-9"}}
    replies = [Reply(**{**told_with, "status": status}) for status in STATUSES]
    outcome = twins.same(ask, *replies, max_retries=0)

    assert len(outcome.result) == len(STATUSES)
    assert all(failure[-1] == "r-9" for failure in outcome.result)


@pytest.mark.parametrize("kind", ["stream", "unread", "raw", "image", "upload", "list", "parsed"])
@pytest.mark.parametrize("status", [400, 500])
def test_a_failure_of_any_call_is_the_sdks_exception(twins: Twins, kind: str, status: int) -> None:
    """Also where the answer would have been a stream, raw or unread."""
    failure = Reply({"error": ERROR}, status=status)

    async def unread(client: Any) -> Any:
        async with entered(complete("m")(WithStreaming(client))) as response:
            return await wait(response.read())

    async def path_left_out(client: Any) -> Any:
        try:
            await wait(client.models.list())
        except openai.APIStatusError as error:
            return told(error)[:4], error.response.status_code

    asks: dict[str, Callable[[Any], Any]] = {
        "stream": stream("m"),
        "unread": unread,
        "raw": lambda client: complete("m")(WithRaw(client)),
        "image": CALLS["images"][0],
        "upload": draw_on(b"a"),
        "list": path_left_out,
        "parsed": CALLS["parsed"][0],
    }
    twins.same(asks[kind], failure, max_retries=0)


RETRIED: dict[str, tuple[list[Reply], int]] = {
    "500": ([soon(500), soon(503), ANSWER], 3),
    "429-after-seconds": ([soon(429, **{"Retry-After": "0.01"}), ANSWER], 2),
    "429-after-milliseconds": ([soon(429, **{"Retry-After-Ms": "5"}), ANSWER], 2),
    "429-after-a-date": ([soon(429, **{"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}), ANSWER], 2),
    "429-after-nonsense": ([soon(429, **{"Retry-After": "soon"}), ANSWER], 2),
    "429-for-ever": ([soon(429)], 3),
    "500-page-for-ever": ([Reply("<p>", status=500, content_type="text/html")], 3),
    "408": ([soon(408), ANSWER], 2),
    "409": ([soon(409), ANSWER], 2),
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
    logged = []

    async def ask(client: Any) -> Any:
        caplog.clear()
        try:
            return await wait(complete("m", extra_headers={"Idempotency-Key": "mine"})(client))
        finally:
            lines = [record.getMessage() for record in caplog.records if record.name != "asyncio"]
            logged.append([re.sub(r"0\.00\d+ seconds", "a moment", line) for line in lines])

    outcome = twins.same(ask, *replies)
    sent = [dict(request[2]) for request in outcome.requests]

    assert [each["x-stainless-retry-count"] for each in sent] == [str(count) for count in range(requests)]
    assert {each["idempotency-key"] for each in sent} == {"mine"}
    assert logged[0] == logged[1]
    assert len(logged[0]) >= requests


SHORT = openai.Timeout(10, read=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize("ask", [complete("m", timeout=SHORT), stream("m", timeout=SHORT)])
@pytest.mark.parametrize("due", [openai.APIConnectionError, openai.APITimeoutError])
def test_a_server_that_is_away_or_silent_is_the_sdks_exception_after_as_many_tries(
    twins: Twins, due: type[Exception], ask: Callable[[Any], Any], retries: int
) -> None:
    """Counted by the hooks of an `http_client` of the caller's own."""
    requests: list[str] = []
    pool = Each(lambda: requests.clear() or twins.pool(event_hooks=hooks(twins, [], [requests.append])))

    async def asked(client: Any) -> Any:
        try:
            await wait(ask(client))
        except openai.OpenAIError as error:
            return told(error), len(requests)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        if due is openai.APIConnectionError:
            listener.close()  # Nobody listens there from here on.
        outcome = twins.same(asked, ANSWER, http_client=pool, base_url=url, max_retries=retries)

    assert (outcome.result[0][0], outcome.result[1]) == (due, retries + 1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cut", "stalled"])
@pytest.mark.parametrize("name", ["completion", "unread"])
def test_an_answer_that_breaks_off_is_the_sdks_exception_and_gives_its_connection_back(
    twins: Twins, name: str, kind: str
) -> None:
    """The body of an answer is read by our seam; who waits for it sees no difference."""

    async def ask(client: Any) -> Any:
        failures = []
        for _ in range(2):  # With the single connection of the pool.
            try:
                if name == "completion":
                    await wait(complete("m", timeout=SHORT)(client))
                else:
                    async with entered(complete("m", timeout=SHORT)(WithStreaming(client))) as response:
                        await wait(response.read())
            except Exception as error:  # noqa: BLE001 - whatever it is, the other has it too
                failures.append((type(error), type(error.__cause__), str(error)))
        return failures

    with breaking_off(stalled=kind == "stalled") as url:
        outcome = twins.same(
            ask, ANSWER, base_url=url, max_retries=1, http_client=Each(lambda: one_connection(twins))
        )

    assert len(outcome.result) == 2
