"""Take out each statement of the core in turn, negate each condition, and print the mutants that no test notices.

It works on copies of the repository in .mutants/. A run with coverage says which tests reach a line; only those run on
its mutants, each in a fork of a process that has the libraries loaded. What was found is in
.mutants/results.jsonl: a second run goes on where the first ended, and tries the mutants of changed files again.
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
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import coverage
import pytest

ROOT = Path(__file__).parent.parent
COPIES = ROOT / ".mutants"
RESULTS = COPIES / "results.jsonl"
CORE = ["_sdk/*.py", "_client.py", "_errors.py"]
# The sharp ones first: the first test that fails ends a mutant.
TESTS = [
    f"tests/test_{name}.py"
    for name in (
        "streams",
        "failures",
        "answers",
        "clients",
        "models",
        "travel",
        "settings",
        "hooks",
        "pools",
        "secrets",
        "faults",
    )
]
MORE_TESTS = ["tests/parity", "tests/test_fuzz.py", "tests/test_module.py"]
"""For the survivors of the others, with `--again`."""

LIBRARIES = (
    "aiohttp",
    "hypothesis",
    "openai.resources.chat.completions",
    "openai.resources.images",
    "openai.resources.models",
    "pydantic_settings",
    "starlette.applications",
    "uvicorn",
)
WHOLE = ["tests/test_faults.py"]
"""Files whose tests look at what one fixture found out: the first one alone is seen to reach the lines."""
COMMON = ["-q", "-p", "no:cacheprovider", "-m", "not slow"]


class Mutant(NamedTuple):
    path: Path
    line: int
    last_line: int
    name: str
    source: str

    @property
    def shown(self) -> str:
        return f"{self.path.name}:{self.line}: {self.name}"

    @property
    def key(self) -> str:
        return f"{self.shown}#{hashlib.sha1(self.source.encode()).hexdigest()[:12]}"


def mutants_of(path: Path) -> Iterator[Mutant]:
    """The file without one statement, or with one condition the other way, each in turn."""
    source = path.read_text("utf-8")
    tree = ast.parse(source)
    for_checkers = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for child in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, (ast.If, ast.While, ast.IfExp, ast.comprehension)):
            tests = node.ifs if isinstance(node, ast.comprehension) else [node.test]
            for test in tests:
                if "TYPE_CHECKING" not in ast.unparse(test):
                    yield _mutant(path, source, test, f"not ({ast.unparse(test)})", "negate")
        for body in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
            for statement in body if isinstance(body, list) else []:
                if statement not in for_checkers and _is_worth_it(statement):
                    yield _mutant(path, source, statement, "pass", "delete")


def _is_worth_it(statement: ast.AST) -> bool:
    """Whether something could break: not for words, types, and what could not be imported without it.

    What holds other statements is left out, as each of those is a mutant of its own.
    """
    if hasattr(statement, "body"):
        return False
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return False
    if isinstance(statement, ast.AnnAssign) and statement.value is None:
        return False
    if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
        return False
    if isinstance(statement, ast.Raise) and "unsupported(" in ast.unparse(statement):
        return False  # Only an SDK that has lost a name gets there: `test_renames.py` makes one for each.
    return not isinstance(statement, (ast.Import, ast.ImportFrom, ast.Pass))


def _mutant(path: Path, source: str, node: ast.expr | ast.stmt, new: str, how: str) -> Mutant:
    first = min([each.lineno for each in getattr(node, "decorator_list", [])] + [node.lineno])
    lines = source.encode().splitlines(keepends=True)
    start = sum(map(len, lines[: first - 1])) + node.col_offset
    end = sum(map(len, lines[: (node.end_lineno or 0) - 1])) + (node.end_col_offset or 0)
    old = source.encode()[start:end].decode()
    mutated = (source.encode()[:start] + new.encode() + source.encode()[end:]).decode()
    shown = " ".join(old.split())
    return Mutant(path, first, node.end_lineno or first, f"{how} {shown:.90}", mutated)


def copy_repository(to: Path) -> None:
    shutil.rmtree(to, ignore_errors=True)
    for name in ("src", "tests", "docs", "examples", "cassettes"):
        shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    for page in [*ROOT.glob("*.md"), ROOT / "pyproject.toml"]:
        shutil.copy(page, to)


class Reached:
    """Which tests reach a line, by a run with coverage."""

    def __init__(self, tests: list[str], copy: Path) -> None:
        self.files = tests
        self._source = copy / "src"
        command = ["pytest", *COMMON, "-n", "2", "--dist", "loadfile", "--cov=aitoearn_openai"]
        command += ["--cov-context=test", "--cov-report=", "--cov-fail-under=0"]
        subprocess.run(
            [sys.executable, "-m", *command, *tests],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(self._source)},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        data = coverage.CoverageData(str(copy / ".coverage"))
        data.read()
        # At once, as tests that measure coverage themselves would take the place of the file.
        self._contexts = {path: data.contexts_by_lineno(path) for path in data.measured_files()}

    def by(self, mutant: Mutant) -> list[str]:
        """The tests that reach the mutated lines; none of a line that only an import reaches means all tests."""
        path = str(self._source / mutant.path.relative_to(ROOT / "src"))
        contexts = self._contexts[path]
        lines = range(mutant.line, mutant.last_line + 1)
        tests = {each.partition("|")[0] for line in lines for each in contexts.get(line, ())} - {""}
        return sorted(tests.union(file for file in WHOLE if any(each.startswith(file) for each in tests)))


class Selection:
    """A plugin for pytest that runs some tests, or files of tests, alone."""

    def __init__(self, wanted: list[str]) -> None:
        self._wanted = set(wanted)

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if self._wanted:
            items[:] = [
                each for each in items if {each.nodeid, each.nodeid.partition("::")[0]} & self._wanted
            ]


def survives(mutant: Mutant, reached: Reached, copy: Path, timeout: float) -> bool:
    """Whether the tests pass on it; a mutant that hangs has been noticed."""
    tests = reached.by(mutant)
    path = copy / mutant.path.relative_to(ROOT)
    original = path.read_text("utf-8")
    path.write_text(mutant.source, "utf-8")
    files = [file for file in reached.files if not tests or any(each.startswith(file) for each in tests)]
    child = os.fork()
    if not child:
        os.setsid()
        output = os.open(os.devnull, os.O_WRONLY)
        os.dup2(output, 1)
        os.dup2(output, 2)
        code: int = 1
        try:
            options = ["-x", "-p", "no:xdist", "-o", "filterwarnings=default", *COMMON]
            for part in filter(None, (files[:4], files[4:])):  # Collecting the second part takes seconds.
                code = pytest.main([*options, *part], plugins=[Selection(tests)])
                if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
                    break
            else:
                code = 0
        finally:
            os._exit(code)
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.02)
    else:
        os.killpg(child, 9)
        _, status = os.waitpid(child, 0)
    path.write_text(original, "utf-8")
    return status == 0


def work(todo: list[Mutant], reached: Reached, copy: Path) -> None:
    """Try mutants in a process of its own."""
    os.chdir(copy)
    sys.dont_write_bytecode = True
    sys.meta_path[:] = [each for each in sys.meta_path if "editable" not in repr(each)]
    sys.path[:] = [str(copy / "src"), *(each for each in sys.path if each != str(ROOT / "src"))]
    for name in LIBRARIES:
        import_module(name)
    for number, mutant in enumerate(todo, 1):
        found = survives(mutant, reached, copy, timeout=300)
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps([mutant.key, found], ensure_ascii=False) + "\n")
        if found or number % 25 == 0:
            print(f"{number}/{len(todo)} {'SURVIVES' if found else 'noticed'}: {mutant.shown}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="python tests/mutate.py")
    parser.add_argument("--file", default="", metavar="TEXT", help="only files whose path contains this")
    parser.add_argument(
        "--again", action="store_true", help="try those that survived once more, with more tests"
    )
    parser.add_argument("--list", action="store_true", help="print the mutants, and run nothing")
    options = parser.parse_args()
    paths = [path for part in CORE for path in sorted((ROOT / "src/aitoearn_openai").glob(part))]
    paths = [
        path for path in paths if path.name != "private.py"
    ]  # As such raises: `test_renames.py` is its test.
    mutants = [mutant for path in paths if options.file in str(path) for mutant in mutants_of(path)]
    if options.list:
        print(*(mutant.shown for mutant in mutants), sep="\n")
        return 0

    copies = [COPIES / "first", COPIES / "second"]
    for copy in copies:
        copy_repository(copy)
    lines = RESULTS.read_text("utf-8").splitlines() if RESULTS.exists() else []
    results: dict[str, bool] = dict(map(json.loads, lines))
    todo = [each for each in mutants if results.get(each.key) is (True if options.again else None)]
    reached = Reached(TESTS + MORE_TESTS * options.again, copies[0])
    print(f"{len(todo)} of {len(mutants)} mutants to try", flush=True)
    for number, copy in enumerate(copies):
        if not os.fork():
            work(todo[number :: len(copies)], reached, copy)
            os._exit(0)
    for _ in copies:
        os.wait()
    results = dict(map(json.loads, RESULTS.read_text("utf-8").splitlines()))
    survivors = [mutant.shown for mutant in mutants if results.get(mutant.key)]
    print(f"\n{len(survivors)} of {len(mutants)} mutants survive:", *survivors, sep="\n")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
