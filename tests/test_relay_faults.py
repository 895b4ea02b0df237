"""The fault matrix through the relay: a program with the plain SDK sees each failure that this package sees."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from aitoearn_openai import Settings, relay
from aitoearn_openai._sdk.response import family_of
from faults.runner import KEY, problem_with, said_in
from faults.server import Request, Server
from faults.table import ROWS, Mode, Origins, Row, answer_to

MODES: tuple[Mode, ...] = ("completion", "stream", "list")
LEFT_OUT = {
    ("307 to another origin, which answers", "list"),  # The list is asked for at the origin of the key alone.
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


@pytest.mark.parametrize(
    "run",
    [pytest.param(run, id="-".join(_name(run)), marks=[pytest.mark.slow] * run[0].is_slow) for run in RUNS],
)
def test_no_failure_is_swallowed(run: tuple[Row, Mode], outcomes: dict[tuple[str, Mode], Any]) -> None:
    """It is one of the SDK's own errors, with the status and the words of the service; nothing right is refused."""
    row, mode = run
    outcome = outcomes[_name(run)]

    if isinstance(outcome, openai.OpenAIError):
        assert row.truth != "value", f"refused: {outcome}"
        # In the body, as before 2.x the plain SDK has all of it for a message.
        body = getattr(outcome, "body", None)
        told = f"{outcome} {body.get('message') if isinstance(body, dict) else ''}"
        words = re.sub(r"^(Error code: )?\d+ - ", "", " ".join(row.words.split()))
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
