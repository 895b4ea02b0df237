"""The fault matrix through the relay: a program with the plain SDK sees each failure that this package sees."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from aitoearn_openai._sdk.exceptions import family_of
from conftest import complete, list_models, stream
from faults.runner import KEY, problem_with, said_in
from faults.server import Server
from faults.table import ROWS, Mode, Origins, Row, answer_to
from relays import ask, relay_to

QUESTIONS: dict[Mode, Any] = {"completion": complete("m"), "stream": stream("m"), "list": list_models}
LEFT_OUT = {
    # Refused, as nobody asked for it: see attack/test_relay_upstream.py.
    *((name, mode) for name in ("gzip", "a failure in gzip") for mode in QUESTIONS),
    ("307 to another origin, which answers", "list"),  # The list is asked for at the origin of the key alone.
}
WAYS = [
    [mode for mode in QUESTIONS if mode in row.modes and (row.name, mode) not in LEFT_OUT] for row in ROWS
]
WORDS = {
    "redirects to http://127.0.0.1": "a redirect to http://127.0.0.1:",
    "Connection error.": "The connection to http://127.0.0.1:",
}
"""What the relay says otherwise than the client."""
RUNS = [
    (row, ways[number // 2 % len(ways)])
    for number, (row, ways) in enumerate(zip(ROWS, WAYS, strict=True))
    if ways and not row.refused and number % 2 == 0
]
"""Every other row, in its ways in turn: what an answer means is decided by what the whole matrix has tried."""


@pytest.fixture(scope="module")
def ask_for() -> Iterator[Any]:
    """What the plain SDK makes of a row behind a relay: the values, or what it raised."""
    with Server() as server, relay_to(server) as here:
        visit, main = server.visit("api", lambda request: []), server.origin()
        origins = Origins(main, server.origin("other"), f"{main}/api")

        def ask_for(row: Row, mode: Mode) -> Any:
            visit.answer = answer_to(row, mode, origins)  # type: ignore[method-assign]
            try:
                answer = ask(here, QUESTIONS[mode], timeout=30 if row.truth == "value" else row.timeout)
            except BaseException as error:  # noqa: BLE001 - what comes out is the question
                return error
            return answer if mode == "stream" else [answer]

        yield ask_for


@pytest.mark.parametrize(("row", "mode"), RUNS, ids=[f"{row.name}-{mode}" for row, mode in RUNS])
def test_no_failure_is_swallowed(row: Row, mode: Mode, ask_for: Any) -> None:
    """It is one of the SDK's own errors, with the status and the words of the service; nothing right is refused."""
    outcome = ask_for(row, mode)

    if isinstance(outcome, openai.OpenAIError):
        assert row.truth != "value", f"refused: {outcome}"
        # In the body, as before 2.x the plain SDK has all of it for a message.
        body = getattr(outcome, "body", None)
        told = f"{outcome} {body.get('message') if isinstance(body, dict) else ''}"
        words = re.sub(r"^(Error code: )?\d+ - ", "", " ".join(WORDS.get(row.words, row.words).split()))
        assert words in " ".join(told.split())
        assert KEY not in f"{outcome} {outcome!r}"
        if row.status is not None and mode != "stream":
            assert isinstance(outcome, openai.APIStatusError)
            assert outcome.status_code == (row.status if row.status >= 400 else 502)
    elif isinstance(outcome, BaseException):
        # Bytes that the plain SDK cannot read pass all the same; before 3.14 it lets out errors of its HTTP library.
        is_old = tuple(map(int, openai.__version__.split(".")[:2])) < (3, 14)
        foreign = family_of(openai.DefaultHttpxClient).RequestError
        assert isinstance(outcome, (ValueError, foreign) if is_old else ValueError), repr(outcome)
        assert mode == "stream"
    else:
        assert row.truth != "error", f"swallowed: {outcome!r:.200}"
        if not problem_with(mode, outcome, may_be_empty=row.truth == "either"):
            assert said_in(mode, outcome) in (row.due(mode), row.due(mode).replace("+usage", ""))
