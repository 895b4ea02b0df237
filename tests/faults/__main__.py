"""`python -m tests.faults`: print what both clients make of each fault; `--write` puts the sums into the documents."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from itertools import product

import openai

from ..tables import write_table
from .runner import Result, Run, run_all
from .server import Server
from .table import ROWS

SUMS: dict[str, Callable[[Run, Result], bool]] = {
    "rows in which a failure was swallowed (a wrong value or an empty stream)": lambda run, result: (
        result.verdict == "wrong value" or (result.verdict == "value" and run.row.truth == "error")
    ),
    "rows in which an exception other than `openai.OpenAIError` came out": lambda _, result: (
        result.verdict == "foreign"
    ),
    "rows in which a call hung": lambda _, result: result.verdict == "hung",
    "rows in which a right answer was refused": lambda run, result: (
        run.row.truth == "value" and result.verdict == "error"
    ),
    "rows that left a connection behind": lambda _, result: result.left_open > 0,
    "rows after which the next good request failed": lambda _, result: bool(result.recovered),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.faults")
    parser.add_argument("--write", action="store_true", help="put the sums into docs/errors.md")
    options = parser.parse_args()
    # A client that is told of a broken answer may log it; the lines below say it already.
    logging.disable(logging.CRITICAL)
    results: dict[Run, Result] = {}
    with Server() as server:
        for row in ROWS:
            asked = product(row.modes, (False, True), (False, True))
            found = run_all(server, (Run(row, *way) for way in asked))
            for run, result in found.items():
                print(f"{run}: {result.verdict}, {len(result.requests)} requests, {result.told}")
            results |= found

    table = [["rows", *[str(len(ROWS))] * 2], ["calls", *[str(len(results) // 2)] * 2]]
    faults = 0
    for name, is_so in SUMS.items():
        plain, faults_here = (
            len({run.row.name for run, each in results.items() if run.ours is ours and is_so(run, each)})
            for ours in (False, True)
        )
        table.append([name, str(plain), str(faults_here)])
        faults += faults_here
    print(f"\nopenai {openai.__version__}: the plain SDK, and this package")
    print(*(f"{name:78}{plain:>6}{ours:>6}" for name, plain, ours in table), sep="\n")
    if options.write:
        write_table(
            "errors.md", "faults", [["", "plain SDK", "aitoearn-openai"], ["---", "---:", "---:"], *table]
        )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
