"""The fault matrix: whatever the network, the server or the service does, the caller gets a value or an OpenAIError."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator

import pytest
from filelock import FileLock

from faults.runner import GUARD, KEY, Result, Run, run_all
from faults.table import CODES, ROWS, Row

SAMPLE = 2
"""Of so many rows that are not slow by themselves, `make quick` asks one."""

RUNS = [
    Run(row, mode, is_async=bool((number + nth) % 2), ours=True)
    for number, row in enumerate(ROWS)
    for nth, mode in enumerate(row.modes)
]
"""Each row in each mode, sync and async in turns; `make faults` asks in both ways."""


@pytest.fixture(scope="module")
def complaints(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[str]]:
    """What is wrong with the rows that were selected: they are asked side by side, by one worker for all."""
    wanted = {
        item.callspec.params["row"]
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec")
    }
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return complaints_of(wanted)
    found = tmp_path_factory.getbasetemp().parent / "faults.json"
    with FileLock(f"{found}.lock"):
        if not found.exists():
            found.write_text(json.dumps(complaints_of(wanted)), "utf-8")
    return dict(json.loads(found.read_text("utf-8")))


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=row.name, marks=[pytest.mark.slow] * bool(row.is_slow or number // 2 % SAMPLE))
        for number, row in enumerate(ROWS)
    ],
)
def test_a_fault_ends_in_the_right_value_or_in_the_sdks_own_error(
    row: Row, complaints: dict[str, list[str]]
) -> None:
    """In time, with the contents and the words that came, without the key; the next request is answered."""
    found = complaints[row.name]
    if found:  # On a busy machine a row can miss its times, so it is asked once more, alone. A defect is there again.
        found = complaints_of([row])[row.name]

    assert not found, "\n".join(found)


def complaints_of(rows: Iterable[Row]) -> dict[str, list[str]]:
    """What is wrong with each row, a line for each way to ask."""
    logging.disable(logging.CRITICAL)  # Thousands of calls would have pytest keep each line of their logs.
    try:
        found: dict[str, list[str]] = {row.name: [] for row in rows}
        results = run_all(run for run in RUNS if run.row.name in found)
        # The plain SDK is asked where its answer is needed, and sync alone, as its twins give the same.
        twins = {run: Run(run.row, run.mode, is_async=False, ours=False) for run in results}
        plain = run_all({twins[run]: None for run, result in results.items() if is_compared(run, result)})
    finally:
        logging.disable(logging.NOTSET)
    for run, result in results.items():
        way = f"{run.mode}, {'async' if run.is_async else 'sync'}"
        found[run.row.name] += [f"{way}: {each}" for each in faults_of(run, result, plain.get(twins[run]))]
    return found


def is_compared(run: Run, result: Result) -> bool:
    """Whether what is right depends on what the plain SDK does: its value, or how often it asks again."""
    return result.verdict == "value" or (run.row.requests is None and result.requests > most_requests(result))


def most_requests(result: Result) -> int:
    """The requests that the status allows: what HTTP would have the plain SDK ask for again is asked again."""
    status = getattr(result.error, "status_code", 0)
    return 2 if status in (408, 409, 429) or status >= 500 else 1


def faults_of(run: Run, result: Result, plain: Result | None) -> Iterator[str]:
    """What is wrong with what our client made of a row, beside what the plain SDK did where that is known."""
    row, error = run.row, result.error
    if result.verdict not in (["value", "error"] if row.truth == "either" else [row.truth]):
        yield f"{result.verdict} where {row.truth} was expected: {result.told}"
    due, is_whole = row.due(run.mode), error is None or row.truth == "error"
    if result.said != due if is_whole else not due.startswith(result.said):
        yield f"the caller read {result.said!r:.80}, and not {due!r:.80}"
    if plain and result.verdict == plain.verdict == "value" and result.value != plain.value:
        yield f"{result.value!r:.200} is not the plain SDK's {plain.value!r:.200}"

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

    most = 2 if plain and plain.verdict == "foreign" else most_requests(result)
    most = max(most, plain.requests) if plain else most
    if result.requests != row.requests if row.requests is not None else result.requests > most:
        yield f"{result.requests} requests, and not {most if row.requests is None else row.requests}"
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
