"""The fault matrix: whatever the network, the server or the service does, the caller gets a value or an OpenAIError."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from faults.runner import GUARD, KEY, Result, Run, run_all
from faults.server import Server
from faults.table import CODES, ROWS, Row

SAMPLE = 2
"""Of so many rows that are not slow by themselves, `make quick` asks one."""


@pytest.fixture(scope="module")
def faulty() -> Iterator[Server]:
    logging.disable(logging.CRITICAL)  # Thousands of calls would have pytest keep each line of their logs.
    with Server() as server:
        yield server
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize(
    ("number", "row"),
    [
        pytest.param(
            number, row, id=row.name, marks=[pytest.mark.slow] * bool(row.is_slow or number // 2 % SAMPLE)
        )
        for number, row in enumerate(ROWS)
    ],
)
def test_a_fault_ends_in_the_right_value_or_in_the_sdks_own_error(
    number: int, row: Row, faulty: Server
) -> None:
    """In time, with the contents and the words that came, without the key; the next request is answered."""
    # Sync and async in turns; `make faults` asks in both ways.
    runs = [Run(row, mode, bool((number + nth) % 2), ours=True) for nth, mode in enumerate(row.modes)]
    # On a busy machine a row can miss its times, so it is asked once more. A defect is there again.
    found = complaints_of(runs, faulty) and complaints_of(runs, faulty)

    assert not found, "\n".join(found)


def complaints_of(runs: list[Run], server: Server) -> list[str]:
    """What is wrong with what our client made of a row, a line for each fault of each way to ask."""
    results = run_all(server, runs)
    # The plain SDK is asked where its answer is needed, and sync alone, as its twins give the same.
    twins = {
        run: replace(run, is_async=False, ours=False)
        for run, result in results.items()
        if result.verdict == "value" or result.requests > most_requests(result)
    }
    plain = run_all(server, twins.values())
    return [
        f"{run}: {fault}"
        for run, result in results.items()
        for fault in faults_of(run, result, plain[twins[run]] if run in twins else None)
    ]


def most_requests(result: Result) -> int:
    """The requests that the status allows: what HTTP would have the plain SDK ask for again is asked again."""
    status = result.status or 0
    return 2 if status in (408, 409, 429) or status >= 500 else 1


def faults_of(run: Run, result: Result, plain: Result | None) -> Iterator[str]:
    """What is wrong with one result, beside what the plain SDK did where that is known."""
    row, is_error = run.row, result.verdict in ("error", "foreign")
    if result.verdict not in (["value", "error"] if row.truth == "either" else [row.truth]):
        yield f"{result.verdict} where {row.truth} was expected: {result.told}"
    due, is_whole = row.due(run.mode), not is_error or row.truth == "error"
    if result.said != due if is_whole else not due.startswith(result.said):
        yield f"the caller read {result.said!r:.80}, and not {due!r:.80}"
    if plain and result.verdict == plain.verdict == "value" and result.value != plain.value:
        yield f"{result.value!r:.200} is not the plain SDK's {plain.value!r:.200}"

    if is_error and (not result.message or row.words not in result.message):
        yield f"{row.words!r} is not in the message {result.message!r:.200}"
    if KEY in f"{result.message} {result.told}":
        yield "the key is in the message"
    if result.said and "Check the base URL" in result.message:
        yield f"a chunk came from that base URL, but: {result.message!r:.200}"
    if is_error and row.status not in (None, result.status):
        yield f"status {result.status}, and not {row.status}"
    if is_error and row.code not in (None, result.code):
        yield f"code {result.code!r}, and not {row.code!r}"

    most = 2 if plain and plain.verdict == "foreign" else most_requests(result)
    most = max(most, plain.requests) if plain else most
    # What comes unread is judged when nobody asks again.
    exact = 1 if row.requests and run.mode == "unread" else row.requests
    if result.requests != exact if exact else result.requests > most:
        yield f"{result.requests} requests, and not {exact or most}"
    if result.seconds >= GUARD + 2 * row.timeout:
        yield f"{result.seconds:.1f} seconds"
    if result.recovered:
        yield f"the next request failed: {result.recovered}"
    if result.left_open:
        yield f"{result.left_open} connections were left open"
    if result.key_left:
        yield "another origin was sent the key"


def test_the_table_has_every_code_of_the_package() -> None:
    """The codes are written down twice, here and in the package, and agree."""
    from aitoearn_openai._errors import CODES as KNOWN

    statuses = {code: known.status for code, known in KNOWN.items() if code > 599}
    assert {code: CODES.get(code) for code in statuses} == statuses
