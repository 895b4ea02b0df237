"""The fault matrix: whatever the network, the server or the service does, the caller gets a value or an OpenAIError."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import openai
import pytest

from faults.runner import GUARD, KEY, Result, Run, run_all, runs_of
from faults.table import CODES, ROWS, Row


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest) -> Iterator[dict[Run, Result]]:
    """What both clients made of the rows that were selected, asked once and side by side."""
    wanted = {
        item.callspec.params["row"]
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec")
    }
    logging.disable(logging.CRITICAL)  # Thousands of calls would have pytest keep each line of their logs.
    try:
        yield run_all(runs_of(row for row in ROWS if row in wanted))
    finally:
        logging.disable(logging.NOTSET)


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=row.name, marks=[pytest.mark.slow] * row.is_slow) for row in ROWS],
)
def test_a_fault_ends_in_the_right_value_or_in_the_sdks_own_error(
    row: Row, results: dict[Run, Result]
) -> None:
    """In time, with the contents and the words that came, without the key; the next request is answered."""
    complaints = all_complaints(row, results)
    if complaints:  # On a busy machine a row can miss its times, so it is asked once more, alone. A defect is there again.
        complaints = all_complaints(row, run_all(runs_of([row])))

    assert not complaints, "\n".join(complaints)


def all_complaints(row: Row, results: dict[Run, Result]) -> list[str]:
    """What is wrong with a row, a line for each way to ask."""
    complaints = []
    for run in runs_of([row]):
        if run.ours:
            plain = results[Run(row, run.mode, run.is_async, ours=False)]
            way = f"{run.mode}, {'async' if run.is_async else 'sync'}"
            complaints += [f"{way}: {each}" for each in complaints_of(run, results[run], plain)]
    return complaints


def complaints_of(run: Run, result: Result, plain: Result) -> Iterator[str]:
    """What is wrong with what our client made of a row, beside what the plain SDK did."""
    row, error = run.row, result.error
    if result.verdict not in (["value", "error"] if row.truth == "either" else [row.truth]):
        yield f"{result.verdict} where {row.truth} was expected: {result.told}"
    due, is_whole = row.due(run.mode), error is None or row.truth == "error"
    if result.said != due if is_whole else not due.startswith(result.said):
        yield f"the caller read {result.said!r:.80}, and not {due!r:.80}"
    if result.verdict == plain.verdict == "value" and result.value != plain.value:
        yield f"{result.value!r:.200} is not the plain SDK's {plain.value!r:.200}"
    if result.worth(row) < plain.worth(row):
        yield f"{result.told}, but the plain SDK: {plain.told}"

    message = " ".join(str(error or "words").split())
    status = getattr(error, "status_code", None)
    if not message or (row.words not in message and error):
        yield f"{row.words!r} is not in the message {message!r:.200}"
    if KEY in f"{error} {error!r}":
        yield "the key is in the message"
    if result.said and "Check the base URL" in message:
        yield f"a chunk came from that base URL, but: {message!r:.200}"
    if error and row.status is not None and status != row.status:
        yield f"status {status}, and not {row.status}"
    if error and row.code is not None and (code := getattr(error, "code", None)) != row.code:
        yield f"code {code!r}, and not {row.code!r}"

    # What HTTP would have had the plain SDK ask for again, it may be asked for again.
    retried = isinstance(error, openai.APIStatusError) and _is_retried(error.status_code)
    most = 2 if retried or plain.verdict == "foreign" else plain.requests
    if result.requests != row.requests if row.requests is not None else result.requests > most:
        yield f"{result.requests} requests, the plain SDK {plain.requests}"
    if result.seconds >= GUARD + 2 * row.timeout:
        yield f"{result.seconds:.1f} seconds"
    if result.recovered:
        yield f"the next request failed: {result.recovered}"
    if result.left_open:
        yield f"{result.left_open} connections were left open"
    if result.key_left:
        yield "another origin was sent the key"


def _is_retried(status: int) -> bool:
    return status in (408, 409, 429) or status >= 500


def test_the_table_has_every_code_of_the_package() -> None:
    """The codes are written down twice, here and in the package, and agree."""
    from aitoearn_openai._errors import CODES as KNOWN

    statuses = {code: known.status for code, known in KNOWN.items() if code > 599}
    assert {code: CODES.get(code) for code in statuses} == statuses
