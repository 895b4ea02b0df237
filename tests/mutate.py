"""Take out each statement of the core in turn, negate each condition, and print the mutants that no test notices.

It works on a copy of the repository in .mutants/, and keeps what it found in .mutants/results.json: a second run goes
on where the first ended, and tries again the mutants of files that have changed since.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
COPY = ROOT / ".mutants"
RESULTS = COPY / "results.json"
CORE = ["_sdk/*.py", "_client.py", "_errors.py"]

# Fast ones first, as the first that fails ends a mutant; a survivor has met them all.
STAGES = [
    ["tests/test_clients.py", "tests/test_streams.py", "tests/test_travel.py", "tests/test_failures.py"],
    ["tests/test_faults.py", "-m", "not slow"],
    [
        "tests/parity",
        "tests/test_secrets.py",
        "tests/test_pools.py",
        "tests/test_module.py",
        "tests/test_models.py",
    ],
    ["tests/test_fuzz.py", "tests/test_renames.py", "tests/test_faults.py"],
]


class Mutant(NamedTuple):
    path: Path
    line: int
    name: str
    source: str

    @property
    def key(self) -> str:
        return (
            f"{self.path.name}:{self.line}: {self.name}#{hashlib.sha1(self.source.encode()).hexdigest()[:12]}"
        )


def mutants_of(path: Path) -> Iterator[Mutant]:
    """The file without one statement, or with one condition the other way, each in turn."""
    source = path.read_text("utf-8")
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.If, ast.While, ast.IfExp, ast.comprehension)):
            tests = node.ifs if isinstance(node, ast.comprehension) else [node.test]
            for test in tests:
                if "TYPE_CHECKING" not in ast.unparse(test):
                    yield _mutant(path, source, test, f"not ({ast.unparse(test)})", "negate")
        for body in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
            for statement in body if isinstance(body, list) else []:
                if _is_worth_it(statement):
                    yield _mutant(path, source, statement, "pass", "delete")


def _is_worth_it(statement: ast.AST) -> bool:
    """Whether something could break: not for words, types, and what could not be imported without it."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return False
    if isinstance(statement, ast.AnnAssign) and statement.value is None:
        return False
    if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
        return False
    return not isinstance(statement, (ast.Import, ast.ImportFrom, ast.Pass, ast.ClassDef))


def _mutant(path: Path, source: str, node: ast.expr | ast.stmt, new: str, how: str) -> Mutant:
    first = min([each.lineno for each in getattr(node, "decorator_list", [])] + [node.lineno])
    lines = source.encode().splitlines(keepends=True)
    start = sum(map(len, lines[: first - 1])) + node.col_offset
    end = sum(map(len, lines[: (node.end_lineno or 0) - 1])) + (node.end_col_offset or 0)
    old = source.encode()[start:end].decode()
    mutated = (source.encode()[:start] + new.encode() + source.encode()[end:]).decode()
    shown = " ".join(old.split())
    return Mutant(path, first, f"{how} {shown:.90}", mutated)


def survives(mutant: Mutant, timeout: float) -> bool:
    """Whether all tests pass on it; a mutant that hangs has been noticed."""
    path = COPY / mutant.path.relative_to(ROOT)
    original = path.read_text("utf-8")
    path.write_text(mutant.source, "utf-8")
    try:
        for stage in STAGES:
            command = [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-x",
                "-n",
                "2",
                "--dist",
                "loadfile",
                "--no-header",
            ]
            command += ["-p", "no:cacheprovider", *stage]
            process = subprocess.Popen(
                command,
                cwd=COPY,
                env={
                    **os.environ,
                    "PYTHONPATH": str(COPY / "src"),
                    "CI": "1",
                    "PYTHONDONTWRITEBYTECODE": "1",
                },
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                if process.wait(timeout):
                    return False
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait()
                return False
        return True
    finally:
        path.write_text(original, "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="python tests/mutate.py")
    parser.add_argument("--file", default="", metavar="TEXT", help="only files whose path contains this")
    parser.add_argument("--limit", type=int, default=10**6, metavar="N", help="try N mutants, and then stop")
    parser.add_argument(
        "--again", action="store_true", help="try those that survived once more, with new tests"
    )
    parser.add_argument("--list", action="store_true", help="print the mutants, and run nothing")
    options = parser.parse_args()
    paths = [path for part in CORE for path in sorted((ROOT / "src/aitoearn_openai").glob(part))]
    mutants = [mutant for path in paths if options.file in str(path) for mutant in mutants_of(path)]
    if options.list:
        print(*(mutant.key.rpartition("#")[0] for mutant in mutants), sep="\n")
        return 0

    results: dict[str, bool] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in ("src", "tests", "docs", "examples", "cassettes"):
        shutil.rmtree(COPY / name, ignore_errors=True)
        shutil.copytree(ROOT / name, COPY / name, ignore=shutil.ignore_patterns("__pycache__"))
    for page in [*ROOT.glob("*.md"), ROOT / "pyproject.toml"]:
        shutil.copy(page, COPY)
    started = time.monotonic()
    if not survives(Mutant(paths[0], 1, "as it is", paths[0].read_text("utf-8")), 600):
        print("The tests fail without any mutation.")
        return 2
    timeout = 60 + 3 * (time.monotonic() - started)
    todo = [each for each in mutants if results.get(each.key) is (True if options.again else None)][
        : options.limit
    ]
    for number, mutant in enumerate(todo, 1):
        results[mutant.key] = survives(mutant, timeout)
        RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False))
        word = "SURVIVES" if results[mutant.key] else "noticed"
        print(f"{number}/{len(todo)} {word}: {mutant.key.rpartition('#')[0]}", flush=True)
    known = [mutant.key for mutant in mutants if mutant.key in results]
    survivors = [key.rpartition("#")[0] for key in known if results[key]]
    print(
        f"\n{len(survivors)} of {len(known)} mutants survive; {len(mutants) - len(known)} have not been tried."
    )
    print(*survivors, sep="\n")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
