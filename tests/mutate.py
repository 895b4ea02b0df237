"""Take out each statement of the core's functions in turn, negate each condition, and list what no test notices.

A run with coverage says which tests reach a line, and those alone are asked about its mutants, the sharpest first. All
tests are collected once; a mutant is a fork of that process in which the functions have changed code. No file is changed.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import gc
import os
import shutil
import signal
import subprocess
import sys
import types
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import partialmethod
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import coverage
import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "aitoearn_openai"
KNOWN = ROOT / "tests" / "survivors.txt"
UNREAD = "# Not looked at yet: "
WORK = ROOT / ".mutants"
TOLD = os.fdopen(os.dup(1), "w")  # As what the tests print is thrown away.
CORE = ["_sdk/*.py", "_client.py", "_errors.py", "_pools.py"]
CONTROL = "nothing was changed"
GET_CODE = SourceFileLoader.get_code

HANGS = 120  # Seconds after which a test hangs, and so has noticed the mutant.
QUICK = ["-q", "-p", "no:cacheprovider", "-m", "not slow"]
FORKED = [*QUICK, "-x", "-s", "-p", "no:xdist", "-o", "filterwarnings=default"]
FORKED += ["-o", f"faulthandler_timeout={HANGS}"]


class Mutant(NamedTuple):
    path: Path
    lines: range
    name: str
    code: types.CodeType  # Of the module.


def mutants_of(path: Path) -> Iterator[Mutant]:
    """The module without one statement of a function, or with one condition the other way, each in turn."""
    source = path.read_text("utf-8")
    tree = ast.parse(source)
    todo: list[tuple[ast.AST, str]] = [(tree, "")]
    for node, within in todo:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            within = f"{within}.{node.name}".strip(".")
        todo += [(child, within) for child in ast.iter_child_nodes(node)]
        for holder, key, how in _places(node) if within else []:
            old = holder[key]
            negated, deleted = ast.UnaryOp(ast.Not(), old), ast.If(ast.Constant(0), [old], [])
            holder[key] = negated if how == "negate" else deleted
            code = compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)
            holder[key] = old
            words = " ".join(str(ast.get_source_segment(source, old)).split())
            name = f"{path.relative_to(PACKAGE).as_posix()} {within}: {how} {words:.90}".rstrip()
            yield Mutant(path, range(old.lineno, old.end_lineno + 1), name, code)


def _places(node: ast.AST) -> Iterator[tuple[Any, Any, str]]:
    """The statements and conditions that a node holds: in what, where in it, and what to do with each."""
    if isinstance(node, (ast.If, ast.While, ast.IfExp)):
        yield vars(node), "test", "negate"
    for number in range(len(getattr(node, "ifs", []))):
        yield vars(node)["ifs"], number, "negate"
    for block in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
        for number, statement in enumerate(block if isinstance(block, list) else []):
            if _is_worth_it(statement):
                yield block, number, "delete"


def _is_worth_it(statement: ast.stmt) -> bool:
    """Whether something could break: not for words and types; what holds other statements has mutants of its own."""
    if isinstance(statement, ast.Raise) and "unsupported(" in ast.unparse(statement):
        return False  # Only an SDK that has lost a name gets there: `test_renames.py` makes one for each.
    is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    is_type = isinstance(statement, ast.AnnAssign) and statement.value is None
    nothing = (ast.Global, ast.Import, ast.ImportFrom, ast.Pass)
    return not (is_text or is_type or hasattr(statement, "body") or isinstance(statement, nothing))


class Reached:
    """Which tests reach a line, by a run with coverage."""

    def __init__(self, tests: list[str]) -> None:
        command = ["pytest", *tests, *QUICK, "-n", "2", "--dist", "loadfile"]
        command += ["--cov", "--cov-context=test", "--cov-report=", "--cov-fail-under=0"]
        data = coverage.CoverageData(str(WORK / "coverage"))
        environment = {**os.environ, "COVERAGE_FILE": data.base_filename()}
        subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=environment, check=True)
        data.read()
        self._contexts = {path: data.contexts_by_lineno(path) for path in data.measured_files()}
        self.width = Counter(
            context.rpartition("|")[0]
            for lines in self._contexts.values()
            for contexts in lines.values()
            for context in contexts
        )
        """How many lines a test reaches: one that reaches few says the most about each of them."""

    def by(self, mutant: Mutant) -> set[str]:
        """The tests that reach the mutated lines, with "" for an import that does."""
        contexts = self._contexts[str(mutant.path)]
        return {each.rpartition("|")[0] for line in mutant.lines for each in contexts.get(line, ())}


class Forks:
    """A plugin for pytest that, once all is collected, tries each mutant in a fork, by the tests that reach it."""

    kills: ClassVar[Counter[str]] = Counter()
    """How many mutants a test has noticed: asked first, it ends most of them at once."""

    def __init__(self, todo: list[Mutant], reached: Reached) -> None:
        self._todo, self._reached = todo, reached
        self._answer = -1

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> object:
        functions = defaultdict(list)
        for each in gc.get_objects():
            if isinstance(each, types.FunctionType):
                functions[_place(each.__code__)].append(each)
        for mutant in self._todo:
            with _forked(mutant) as answer:
                if answer is not None:
                    codes = defaultdict(list)
                    for code in _codes_in(mutant.code):
                        codes[_place(code)].append(code)
                    for place, (code, *others) in codes.items():
                        for function in [] if others else functions[place]:
                            function.__code__ = code
                    # For what is imported anew, as the command line is by its tests.
                    SourceFileLoader.get_code = partialmethod(_get_code, mutant)  # type: ignore[assignment]
                    self._answer = answer
                    session.items[:] = self._asked(mutant, session.items)
                    return None  # And so pytest runs them.
        return True

    def _asked(self, mutant: Mutant, items: list[pytest.Item]) -> list[pytest.Item]:
        tests, width = self._reached.by(mutant), self._reached.width
        asked = [item for item in items if mutant.name == CONTROL or item.nodeid in tests]
        return sorted(asked, key=lambda item: (-self.kills[item.nodeid], width[item.nodeid]))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            os.write(self._answer, report.nodeid.encode())


def _get_code(loader: SourceFileLoader, mutant: Mutant, name: str) -> types.CodeType | None:
    is_mutated = mutant.name != CONTROL and loader.path == str(mutant.path)
    return mutant.code if is_mutated else GET_CODE(loader, name)


def _codes_in(code: types.CodeType) -> Iterator[types.CodeType]:
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield each
            yield from _codes_in(each)


def _place(code: types.CodeType) -> tuple[str, int, str]:
    return code.co_filename, code.co_firstlineno, code.co_name


@contextlib.contextmanager
def _forked(mutant: Mutant) -> Iterator[int | None]:
    """In the child, a place to write the name of the test that failed; the parent waits, and tells."""
    reads, writes = os.pipe()
    if not (child := os.fork()):
        os.setsid()
        yield writes
        return
    yield None
    os.close(writes)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # What the tests have started.
    with open(reads, "rb") as answer:
        test = answer.read().decode()
    Forks.kills[test] += 1
    survived = os.waitstatus_to_exitcode(status) in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    with (WORK / "results").open("a", encoding="utf-8") as file:
        file.write(f"{'survives' if survived else 'noticed'}\t{mutant.name}\t{test}\n")
    if survived and mutant.name != CONTROL:
        print(f"{mutant.path}:{mutant.lines[0]}: {mutant.name}", file=TOLD, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="python tests/mutate.py")
    parser.add_argument("tests", nargs="*", default=["tests"], help="in place of all that are not slow")
    parser.add_argument("--file", metavar="TEXT", help="files whose path contains this, in place of the core")
    parser.add_argument("--write", action="store_true", help=f"write what survives into {KNOWN.name}")
    options = parser.parse_args()
    paths = [path for part in CORE for path in sorted(PACKAGE.glob(part))]
    if options.file:
        paths = [path for path in sorted(PACKAGE.rglob("*.py")) if options.file in str(path)]
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    reached = Reached(options.tests)
    # As `private.py` raises what it finds missing, `test_renames.py` is its test.
    mutants = [mutant for path in paths if path.name != "private.py" for mutant in mutants_of(path)]
    # What an import alone runs, every test notices.
    mutants = [mutant for mutant in mutants if reached.by(mutant) != {""}]
    print(f"{len(mutants)} mutants; those that survive:", flush=True)
    control = Mutant(paths[0], range(0), CONTROL, compile("", str(paths[0]), "exec"))
    workers = []
    for number in range(2):
        if not (worker := os.fork()):
            os.chdir(ROOT)
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
            plugin = Forks([control] * (not number) + mutants[number::2], reached)
            arguments = [*options.tests, *FORKED, f"--basetemp={WORK / str(number)}"]
            os._exit(pytest.main(arguments, plugins=[plugin]))
        workers.append(worker)
    for worker in workers:
        os.waitpid(worker, 0)
    # Of each mutant what became of it, its name, and the test that noticed it; a test that hung has no name.
    results = [line.split("\t") for line in (WORK / "results").read_text("utf-8").splitlines()]
    if ["survives", CONTROL, ""] not in results or len(results) <= len(mutants):
        print(f"A test fails though {CONTROL}, or a run broke off: see {WORK / 'results'}")
        return 2
    survivors = [name for state, name, _ in results if state == "survives" and name != CONTROL]
    print(f"{len(survivors)} of {len(mutants)} survive")
    return compare(Counter(survivors), {mutant.name.split()[0] for mutant in mutants}, options.write)


def compare(survivors: Counter[str], files: set[str], write: bool) -> int:
    """Print those that have no reason in the list, and those of the list that are gone."""
    lines = KNOWN.read_text("utf-8").splitlines()
    known = Counter(line for line in lines if line.split() and line.split()[0] in files)
    new, gone = survivors - known, known - survivors
    print(*(f"new: {name}" for name in sorted(new.elements())), sep="\n")
    print(*(f"gone: {name}" for name in sorted(gone.elements())), sep="\n")
    if write:
        left = [line for line in lines if line not in gone and not line.startswith(UNREAD)]
        KNOWN.write_text("\n".join([*left, *(UNREAD + name for name in sorted(new)), ""]), "utf-8")
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main())
