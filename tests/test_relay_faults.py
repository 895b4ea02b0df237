"""The fault matrix through the relay: a program with the plain SDK sees each failure that this package sees."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from aitoearn_openai import Settings, relay
from faults.runner import KEY, problem_with
from faults.server import Request, Server
from faults.table import CONTENT, MODELS, ROWS, Mode, Origins, Row, answer_to

MODES: tuple[Mode, ...] = ("completion", "stream", "list")
PASSED_ON = {"an empty body for an event", "white space for an event"}
"""Events that the plain SDK cannot read, and which pass all the same: it says so itself."""

LEFT_OUT = {
    ("307 to another origin, which answers", "list"),  # The list is asked for at the origin of the key alone.
    # Pass as they came, like any chunk without choices or with an error of nothing.
    ("choices that are null", "stream"),
    ("an empty error inside a stream", "stream"),
}
RUNS = [
    (row, mode)
    for row in ROWS
    for mode in row.modes
    if mode in MODES and not row.refused and (row.name, mode) not in LEFT_OUT
]


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> Iterator[dict[tuple[str, Mode], Any]]:
    """What the plain SDK makes of each run that was selected: a value, or what it raised."""
    wanted = [
        item.callspec.params["run"]
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec")
    ]
    numbers = itertools.count()
    scripts: dict[str, Any] = {}
    with Server() as server:
        origin = server.origin()
        origins = Origins(origin, server.origin("other"), f"{origin}/api")

        def answer(asked: Request) -> Any:
            return scripts[asked.headers["x-request-id"]](asked)

        server.visit("api", answer)
        with relay.serve(settings=Settings(base_url=origin, api_key=KEY)) as here:

            def ask(run: tuple[Row, Mode]) -> Any:
                row, mode = run
                name = f"r{next(numbers)}"
                scripts[name] = answer_to(row, mode, origins)
                with openai.OpenAI(
                    base_url=here.base_url,
                    api_key=here.api_key,
                    max_retries=0,
                    timeout=30 if row.truth == "value" else row.timeout,
                    default_headers={"X-Request-Id": name},
                ) as client:
                    try:
                        return _ask(client, mode)
                    except BaseException as error:  # noqa: BLE001 - what comes out is the question
                        return error

            light = [run for run in wanted if not run[0].heavy]
            with ThreadPoolExecutor(16) as threads:
                results = dict(zip(map(_name, light), threads.map(ask, light), strict=True))
            results |= {_name(run): ask(run) for run in wanted if run[0].heavy}
            yield results


def _name(run: tuple[Row, Mode]) -> tuple[str, Mode]:
    return run[0].name, run[1]


def _ask(client: openai.OpenAI, mode: Mode) -> list[Any]:
    if mode == "list":
        return [client.models.list()]
    completions: Any = client.chat.completions
    answer = completions.create(
        model="m", messages=[{"role": "user", "content": "hello"}], stream=mode == "stream"
    )
    return list(answer) if mode == "stream" else [answer]


@pytest.mark.parametrize("run", [pytest.param(run, id="-".join(_name(run))) for run in RUNS])
def test_no_failure_is_swallowed(run: tuple[Row, Mode], outcomes: dict[tuple[str, Mode], Any]) -> None:
    """It is one of the SDK's own errors, with the status that the service meant; a right answer is whole."""
    row, mode = run
    outcome = outcomes[_name(run)]

    if isinstance(outcome, BaseException):
        assert row.truth != "value", f"refused: {outcome}"
        assert isinstance(outcome, openai.OpenAIError) or row.name in PASSED_ON, repr(outcome)
        assert KEY not in f"{outcome} {outcome!r}"
        if row.status is not None and mode != "stream":
            assert isinstance(outcome, openai.APIStatusError)
            assert outcome.status_code == (row.status if row.status >= 400 else 502)
    else:
        assert row.truth != "error", f"swallowed: {outcome!r:.200}"
        assert not problem_with(mode, outcome, may_be_empty=row.truth == "either")
        if row.truth == "value":
            assert _said(outcome, mode) == _said_by_the_table(row, mode)


def _said(outcome: list[Any], mode: Mode) -> Any:
    if mode == "list":
        return len(outcome[0].data)
    if mode == "stream":
        return "".join(choice.delta.content or "" for chunk in outcome for choice in chunk.choices)
    return outcome[0].choices[0].message.content


def _said_by_the_table(row: Row, mode: Mode) -> Any:
    if mode == "list":
        return len(MODELS["data"]) if row.count is None else row.count
    return "x" * 1_000_000 if "a million characters" in row.name else CONTENT
