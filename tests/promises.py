"""What this package promises whatever the SDK, as a program: `python promises.py` prints each promise that is broken.

An error that says that this SDK is not supported is not a broken promise: it is printed as `loud: ...`.
"""

from __future__ import annotations

import os
from itertools import product
from typing import Any

from faults.server import Server, reply

os.environ |= {
    "OPENAI_CUSTOM_HEADERS": "X-Leak: leaked",
    "OPENAI_ORG_ID": "leaked-organization",
    "OPENAI_PROJECT_ID": "leaked-project",
    "AITOEARN_API_KEY": "the-key",
}
RIGHT = "content type 'text/plain' on a right answer"
ROWS = [
    RIGHT,
    "a failure in gzip",
    "code 12001 inside a stream",
    "an error event of text inside a stream",
    "an HTML page",
    "JSON that breaks off",
]
"""The faults that are tried, each in all of its ways."""
UNSUPPORTED = "cannot work with openai"


def main() -> None:
    with Server() as server:
        os.environ["AITOEARN_BASE_URL"] = f"{server.origin()}/module/api/ai"

        from aitoearn_openai import chat
        from faults import table
        from faults.runner import Run, faults_of, run_all

        runs = [
            Run(row, mode, is_async, ours=True)
            for row in table.ROWS
            if row.name in ROWS
            for mode, is_async in product(row.modes, (False, True))
        ]
        results = run_all(server, runs)
        for run, result in results.items():
            way = f"{run.mode}, {'async' if run.is_async else 'sync'}"
            if UNSUPPORTED in result.message:
                print(f"loud{' where all is right' * (run.row.name == RIGHT)}: {way}: {result.message}")
                continue
            for fault in faults_of(run, result, None):
                if UNSUPPORTED not in fault:
                    print(f"broken: {way}: {run.row.name}: {fault}")
        for request in (request for visit in server.visits.values() for request in visit.requests):
            if any("leaked" in value for value in request.headers.values()):
                print(f"broken: any: {request.headers} was sent")

        server.visit("module", lambda _: [reply(table.COMPLETION)])
        message: Any = {"role": "user", "content": "hi"}
        answer = chat.completions.create(model="m", messages=[message])
        if answer.choices[0].message.content != table.CONTENT:
            print(f"broken: any: the module answers {answer}")


if __name__ == "__main__":
    try:
        main()
    except ImportError as error:
        print(f"loud: any: {error}")
    except Exception as error:  # noqa: BLE001 - of the module's client
        print(f"{'loud' if UNSUPPORTED in str(error) else 'broken'}: any: {error!r}")
