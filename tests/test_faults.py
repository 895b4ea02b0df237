"""The fault matrix: whatever the network, the server or the service does, the caller gets a value or an OpenAIError."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import openai
import pytest

from faults.runner import GUARD, KEY, Result, Run, run_all, runs_of
from faults.table import CODES, ROWS


def _runs() -> list[Any]:
    return [
        pytest.param(
            run,
            id=f"{run.row.name}-{run.mode}-{'async' if run.is_async else 'sync'}",
        )
        for run in runs_of(ROWS)
        if run.ours
    ]


every_run = pytest.mark.parametrize("run", _runs())


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest) -> Iterator[dict[Run, Result]]:
    """What both clients made of the rows that were selected, asked once and side by side."""
    wanted = {
        item.callspec.params["run"]
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec") and "run" in item.callspec.params
    }
    twins = {_plain(run) for run in wanted}
    logging.disable(logging.CRITICAL)  # Thousands of calls would have pytest keep each line of their logs.
    try:
        yield run_all(sorted(wanted | twins, key=lambda run: ROWS.index(run.row)))
    finally:
        logging.disable(logging.NOTSET)


def _plain(run: Run) -> Run:
    return replace(run, ours=False)


@pytest.mark.parametrize("run", _runs())
def test_a_fault_ends_in_a_right_value_or_in_the_sdks_own_error(run: Run, results: dict[Run, Result]) -> None:
    """In time, with words, without the key, and with the status that says what happened."""
    result, plain = results[run], results[_plain(run)]

    assert result.verdict in ("value", "error"), result.told
    if run.row.truth == "error":
        assert result.verdict == "error", f"swallowed: {result.told}"
    if run.row.truth == "value" and plain.verdict == "value":
        assert result.verdict == "value", f"refused: {result.told}"
    assert result.seconds < GUARD + 2 * run.row.timeout
    if result.error is not None:
        assert str(result.error).strip()
        assert KEY not in f"{result.error} {result.error!r}"
        if run.row.status is not None:
            assert isinstance(result.error, openai.APIStatusError)
            assert result.error.status_code == run.row.status


@every_run
def test_the_client_works_on_after_a_fault(run: Run, results: dict[Run, Result]) -> None:
    """The next request is answered, no connection is left behind, and no other origin has seen the key."""
    result = results[run]

    assert not result.recovered
    assert result.left_open == 0
    assert not result.key_left


@every_run
def test_no_fault_is_worse_than_with_the_plain_sdk(run: Run, results: dict[Run, Result]) -> None:
    """Nor asked for more often, unless the failure is one that HTTP would have had the plain SDK retry."""
    result, plain = results[run], results[_plain(run)]

    assert result.worth(run.row) >= plain.worth(run.row), f"{result.told}, but plain: {plain.told}"
    if result.verdict == plain.verdict == "value":
        assert result.value == plain.value
    if run.row.requests is not None:
        assert result.requests == run.row.requests
    elif plain.verdict != "foreign":  # Then the plain SDK had no chance to ask again.
        assert result.requests <= plain.requests


def test_the_table_has_every_code_of_the_package() -> None:
    """The codes are written down twice, here and in the package, and agree."""
    from aitoearn_openai._errors import CODES as KNOWN

    statuses = {code: known.status for code, known in KNOWN.items() if code > 599}
    assert {code: CODES.get(code) for code in statuses} == statuses
