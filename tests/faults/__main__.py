"""`python -m tests.faults`: print what both clients make of each fault; `--write` puts the sums into the documents."""

from __future__ import annotations

import argparse
import logging
import sys
import time

import openai

from ..tables import write_table
from .runner import Result, Run, run_all, runs_of
from .table import ROWS, Row

UNJUDGED = ("rows", "calls")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.faults")
    parser.add_argument("--write", action="store_true", help="put the sums into docs/errors.md")
    parser.add_argument("-k", metavar="TEXT", default="", help="only the rows whose name contains this")
    options = parser.parse_args()
    # A client that is told of a broken answer may log it; the lines below say it already.
    logging.disable(logging.CRITICAL)
    rows = [row for row in ROWS if options.k in row.name]
    started = time.monotonic()
    results = run_all(runs_of(rows))
    for run, result in results.items():
        who, way = "ours" if run.ours else "plain SDK", "async" if run.is_async else "sync"
        print(
            f"{run.row.name} [honest: {run.row.truth}], {run.mode}, {way}, {who}: {result.verdict}, {result.requests} requests, {result.told}"
        )
    summary = _summary(rows, results)
    print(f"\n{'':78}plain SDK  ours")
    for name, (plain, count) in summary.items():
        print(f"{name.replace('`', ''):78}{plain:9}{count:6}")
    print(f"\n{len(results)} calls in {time.monotonic() - started:.0f} s, openai {openai.__version__}.")
    if options.write:
        table = [["", "plain SDK", "aitoearn-openai"], ["---", "---:", "---:"]]
        table += [[name, *map(str, counts)] for name, counts in summary.items()]
        write_table("errors.md", "faults", table)
    return 1 if any(count for name, (_, count) in summary.items() if name not in UNJUDGED) else 0


def _summary(rows: list[Row], results: dict[Run, Result]) -> dict[str, tuple[int, int]]:
    """What happened, in rows of the plain SDK and of this package."""

    def count(judge: object) -> tuple[int, int]:
        return tuple(  # type: ignore[return-value]
            len({run.row.name for run, result in results.items() if run.ours is ours and judge(run, result)})  # type: ignore[operator]
            for ours in (False, True)
        )

    def worse(run: Run, result: Result) -> bool:
        twin = Run(run.row, run.mode, run.is_async, not run.ours)
        return result.worth(run.row) < results[twin].worth(run.row)

    return {
        "rows": (len(rows), len(rows)),
        "calls": (len(results) // 2, len(results) // 2),
        "rows in which a failure was swallowed (a wrong value or an empty stream)": count(_swallowed),
        "rows in which an exception other than `openai.OpenAIError` came out": count(
            lambda run, result: result.verdict == "foreign"
        ),
        "rows in which a call hung": count(lambda run, result: result.verdict == "hung"),
        "rows in which a right answer was refused": count(
            lambda run, result: run.row.truth == "value" and result.verdict == "error"
        ),
        "rows that left a connection behind": count(lambda run, result: result.left_open > 0),
        "rows after which the next good request failed": count(lambda run, result: bool(result.recovered)),
        "rows that the other one handled better": count(worse),
    }


def _swallowed(run: Run, result: Result) -> bool:
    return result.verdict == "wrong value" or (result.verdict == "value" and run.row.truth == "error")


if __name__ == "__main__":
    sys.exit(main())
