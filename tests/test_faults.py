"""The fault matrix: whatever the network, the server or the service does, the caller gets a value or an OpenAIError."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from faults.runner import Run, faults_of, most_requests, run_all
from faults.server import Server
from faults.table import CODES, ROWS, Row


@pytest.fixture(scope="module")
def faulty() -> Iterator[Server]:
    logging.disable(logging.CRITICAL)  # Thousands of calls would have pytest keep each line of their logs.
    with Server() as server:
        yield server
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row.name, marks=[pytest.mark.slow] * row.is_slow) for row in ROWS]
)
def test_a_fault_ends_in_the_right_value_or_in_the_sdks_own_error(row: Row, faulty: Server) -> None:
    """In time, with the contents and the words that came, without the key; the next request is answered."""
    # Sync and async in turns; `make faults` asks in both ways.
    turns = enumerate(row.modes, ROWS.index(row))
    runs = [Run(row, mode, is_async=turn % 2 == 1, ours=True) for turn, mode in turns]
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
        if result.verdict == "value" or len(result.requests) > most_requests(result)
    }
    plain = run_all(server, twins.values())
    return [
        f"{run}: {fault}"
        for run, result in results.items()
        for fault in faults_of(run, result, plain[twins[run]] if run in twins else None)
    ]


def test_the_table_has_every_code_of_the_package() -> None:
    """The codes are written down twice, here and in the package, and agree."""
    from aitoearn_openai._errors import CODES as KNOWN

    statuses = {code: known.status for code, known in KNOWN.items() if code > 599}
    assert {code: CODES.get(code) for code in statuses} == statuses
