"""`python -m tests.faults`: print the fault matrix; `--write` puts its summary into the documents."""

from __future__ import annotations

import argparse
import logging
import re
import shutil
import sys
import time

import openai

from ..tables import write_table
from .runner import Result, Run, run_all, runs_of
from .table import ROWS, Row

MARKS = {"value": " ", "error": " ", "wrong value": "~", "foreign": "!", "hung": "#"}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.faults")
    parser.add_argument("--write", action="store_true", help="put the summary into docs/errors.md")
    parser.add_argument("-k", metavar="TEXT", default="", help="only the rows whose name contains this")
    options = parser.parse_args(arguments)
    # A client that is told of a broken answer may log it; the table says it already.
    logging.disable(logging.CRITICAL)
    rows = [row for row in ROWS if options.k in row.name]
    started = time.monotonic()
    results = run_all(runs_of(rows))
    _print_table(rows, results)
    summary = _summary(rows, results)
    print(f"\n{'':78}plain SDK  ours")
    for name, (plain, count) in summary.items():
        print(f"{name.replace('`', ''):78}{plain:9}{count:6}")
    print(f"\n{len(results)} calls in {time.monotonic() - started:.0f} s, openai {openai.__version__}.")
    if options.write:
        _write(summary)
    ours = [count for name, (_, count) in summary.items() if name not in UNJUDGED]
    return 1 if any(ours) else 0


def _print_table(rows: list[Row], results: dict[Run, Result]) -> None:
    width = max(100, shutil.get_terminal_size((120, 0)).columns)
    column = (width - 17 - 2 * 17) // 2
    print(f"{'':17}{'plain SDK':{column + 17}}aitoearn-openai")
    print("~ wrong or empty value   ! exception that is not openai.OpenAIError   # hung")
    print("n: requests the server saw; s: seconds to the outcome; kB: what the server could send")
    for row in rows:
        print(f"\n{row.name}  [honest: {row.truth}]")
        for mode in row.modes:
            pairs = [
                [results[Run(row, mode, is_async, ours)] for ours in (False, True)]
                for is_async in (False, True)
            ]
            cells = [[_cell(row, result, column) for result in pair] for pair in pairs]
            if [_timeless(cell) for cell in cells[0]] == [_timeless(cell) for cell in cells[1]]:
                slower = max(pairs, key=lambda pair: pair[1].seconds)
                print(f"  {mode:15}{''.join(_cell(row, result, column) for result in slower)}".rstrip())
            else:
                for kind, pair in zip(("sync", "async"), cells, strict=True):
                    print(f"  {f'{mode} {kind}':15}{''.join(pair)}".rstrip())


def _timeless(cell: str) -> str:
    return re.sub(r"\d+\.\d s|\d+ kB|http://\S*", "", cell)


def _cell(row: Row, result: Result, column: int) -> str:
    mark = MARKS[result.verdict]
    if row.truth == "error" and result.verdict == "value":
        mark = "~"
    told = re.sub(r"http://127\.0\.0\.1:\d+/v\d+", "http://…", result.told)
    told = told if len(told) < column - 3 else told[: column - 4] + "…"
    size = f"{result.sent // 1000} kB" if result.sent >= 10_000 else ""
    return f"{mark} {told:{column - 2}}{result.requests:2}n {result.seconds:4.1f} s {size:6}"[: column + 17]


UNJUDGED = ("rows", "calls")


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


def _write(summary: dict[str, tuple[int, int]]) -> None:
    rows = [["", "plain SDK", "aitoearn-openai"], ["---", "---:", "---:"]]
    write_table("errors.md", "faults", rows + [[name, *map(str, counts)] for name, counts in summary.items()])


if __name__ == "__main__":
    sys.exit(main())
