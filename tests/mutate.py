"""Take out each statement of the core in turn, negate each condition, and compare what no test notices with a list.

A run with coverage says which tests reach a line, and those alone are asked about its mutants, the sharpest first. All
tests are collected once; a mutant is a fork of that process in which the functions have changed code. Only what an
import runs is imported anew. No file is changed.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import gc
import inspect
import os
import shutil
import signal
import subprocess
import sys
import types
from collections import Counter, defaultdict
from collections.abc import Iterator
from importlib import import_module, machinery
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import coverage
import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "aitoearn_openai"
KNOWN = ROOT / "tests" / "survivors.txt"
UNREAD = "# Not looked at yet."
WORK = ROOT / ".mutants"
TOLD = os.fdopen(os.dup(1), "w")
"""Where to print, as what the tests print is thrown away."""
CORE = ["_sdk/*.py", "_client.py", "_errors.py", "_pools.py"]

LIBRARIES = (
    "aiohttp",
    "hypothesis",
    "openai.resources",
    "pydantic_settings",
    "starlette.applications",
    "uvicorn",
)
HANGS = 120
"""Seconds after which a test hangs, and so has noticed the mutant."""
QUICK = ["-q", "-p", "no:cacheprovider", "-m", "not slow"]
FORKED = [*QUICK, "-x", "-s", "-p", "no:xdist", "-o", "filterwarnings=default"]


class Mutant(NamedTuple):
    path: Path
    line: int
    last_line: int
    name: str
    source: str


def mutants_of(path: Path) -> Iterator[Mutant]:
    """The file without one statement, or with one condition the other way, each in turn."""
    source = path.read_text("utf-8")
    yield from _mutants_in(ast.parse(source), path, source, ())


def _mutants_in(node: ast.AST, path: Path, source: str, names: tuple[str, ...]) -> Iterator[Mutant]:
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        names = (*names, node.name)
    if isinstance(node, (ast.If, ast.While, ast.IfExp, ast.comprehension)):
        for test in node.ifs if isinstance(node, ast.comprehension) else [node.test]:
            if "TYPE_CHECKING" not in ast.unparse(test):
                yield _mutant(path, source, names, test, "negate")
    if isinstance(node, ast.stmt) and _is_worth_it(node):
        yield _mutant(path, source, names, node, "delete")
    for child in ast.iter_child_nodes(node):
        yield from _mutants_in(child, path, source, names)


def _is_worth_it(statement: ast.stmt) -> bool:
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
    return not isinstance(statement, (ast.Global, ast.Import, ast.ImportFrom, ast.Pass))


def _mutant(path: Path, source: str, names: tuple[str, ...], node: ast.expr | ast.stmt, how: str) -> Mutant:
    first, last = node.lineno, node.end_lineno or 0
    lines = source.encode().splitlines(keepends=True)
    start = sum(map(len, lines[: first - 1])) + node.col_offset
    end = sum(map(len, lines[: last - 1])) + (node.end_col_offset or 0)
    old = source.encode()[start:end].decode()
    # Each line that follows keeps its number, by which its function is found.
    new = "pass" + "\n" * (last - first) if how == "delete" else f"(not ({old}))"
    mutated = source.encode()[:start] + new.encode() + source.encode()[end:]
    where = " ".join([path.relative_to(PACKAGE).as_posix(), ".".join(names)]).strip()
    return Mutant(path, first, last, f"{where}: {how} {' '.join(old.split()):.90}".rstrip(), mutated.decode())


def codes_of(source: str, path: Path) -> dict[tuple[int, str], list[types.CodeType]]:
    """The code of each function, by its line and its name."""
    codes, todo = defaultdict(list), [compile(source, str(path), "exec", dont_inherit=True)]
    for code in todo:
        codes[code.co_firstlineno, code.co_name].append(code)
        todo += [each for each in code.co_consts if isinstance(each, types.CodeType)]
    return codes


class Reached:
    """Which tests reach a line, by a run with coverage."""

    def __init__(self, tests: list[str]) -> None:
        command = ["pytest", *tests, *QUICK, "-n", "2", "--dist", "loadfile"]
        command += ["--cov", "--cov-context=test", "--cov-report=", "--cov-fail-under=0"]
        data = coverage.CoverageData(str(WORK / "coverage"))
        environment = {**os.environ, "COVERAGE_FILE": data.base_filename()}
        subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=environment, check=True)
        data.read()
        self._contexts = {
            path: {
                line: {each.rpartition("|")[0] for each in contexts}
                for line, contexts in data.contexts_by_lineno(path).items()
            }
            for path in data.measured_files()
        }
        self.width = Counter(
            test for lines in self._contexts.values() for tests in lines.values() for test in tests
        )
        """How many lines a test reaches: one that reaches few says the most about each of them."""

    def by(self, mutant: Mutant) -> set[str]:
        """The tests that reach the mutated lines, with "" for an import that does."""
        if not mutant.line:
            return {""}
        contexts = self._contexts[str(mutant.path)]
        return set().union(*(contexts.get(line, ()) for line in range(mutant.line, mutant.last_line + 1)))


class Asked:
    """A plugin for pytest that runs the tests that reach a mutant, and says which of them failed."""

    kills: ClassVar[Counter[str]] = Counter()
    """How many mutants a test has noticed: asked first, it ends most of them at once."""

    def __init__(self, reached: Reached, mutant: Mutant, answer: int) -> None:
        self._reached, self._tests, self._answer = reached, reached.by(mutant), answer

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [
            item
            for item in items
            if self._tests == {""}  # Only an import reaches it.
            or item.nodeid in self._tests
        ]
        items.sort(key=lambda item: (-self.kills[item.nodeid], self._reached.width[item.nodeid]))

    def pytest_runtest_setup(self) -> None:
        signal.alarm(HANGS)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            os.write(self._answer, report.nodeid.encode())


class Forks:
    """A plugin for pytest that, once all is collected, tries each mutant in a fork."""

    def __init__(self, todo: list[Mutant], reached: Reached) -> None:
        self._todo, self._reached = todo, reached

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> object:
        functions = defaultdict(list)
        for each in gc.get_objects():
            if isinstance(each, types.FunctionType):
                code = each.__code__
                functions[code.co_filename, code.co_firstlineno, code.co_name].append(each)
        for mutant in self._todo:
            with _forked(mutant) as answer:
                if answer is not None:
                    for place, (code, *_) in codes_of(mutant.source, mutant.path).items():
                        for function in functions[(str(mutant.path), *place)]:
                            function.__code__ = code
                    plugin = Asked(self._reached, mutant, answer)
                    plugin.pytest_collection_modifyitems(session.items)
                    session.config.pluginmanager.register(plugin)
                    return None  # And so pytest runs them.
        return True


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
    Asked.kills[test] += 1
    survived = os.waitstatus_to_exitcode(status) in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    with (WORK / "results").open("a", encoding="utf-8") as file:
        file.write(f"{'survives' if survived else 'noticed'}\t{mutant.name}\t{test}\n")
    if survived and mutant.line:
        print(f"{mutant.path}:{mutant.line}: {mutant.name}", file=TOLD, flush=True)


class Mutated:
    """Finds the module of a mutant, before any other finder does."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, name: str, path: Any, target: Any = None) -> machinery.ModuleSpec | None:
        spec = machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.origin != str(self._mutant.path):
            return None
        spec.loader = Loader(name, spec.origin)
        spec.loader.source = self._mutant.source
        return spec


class Loader(machinery.SourceFileLoader):
    source = ""

    def get_code(self, fullname: str) -> types.CodeType:
        return compile(self.source, self.path, "exec", dont_inherit=True)


def _same_outside(before: dict[Any, Any], after: dict[Any, Any]) -> bool:
    """Whether the code of the module and of its classes is the same: that of functions is all that can be swapped."""
    bodies = {key: code for key, (code, *_) in before.items() if not code.co_flags & inspect.CO_OPTIMIZED}
    return all(key in after and after[key][0].co_code == code.co_code for key, code in bodies.items())


def read_results() -> list[list[str]]:
    """Of each mutant what became of it, its name, and the test that noticed it; a test that hung has no name."""
    return [line.split("\t") for line in (WORK / "results").read_text("utf-8").splitlines()]


def work(number: int, todo: list[Mutant], tests: list[str], reached: Reached) -> None:
    """Try mutants: at first those that only change the code of functions, then those that change an import."""
    os.chdir(ROOT)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    for name in LIBRARIES:
        import_module(name)
    swapped, imported = [], []
    for mutant in todo:
        before, after = (
            codes_of(each, mutant.path) for each in (mutant.path.read_text("utf-8"), mutant.source)
        )
        fits = before.keys() == after.keys() and all(
            len(after[key]) == len(codes) == 1 and codes[0].co_freevars == after[key][0].co_freevars
            for key, codes in before.items()
        )
        at_import = mutant.line and ("" in reached.by(mutant) or not _same_outside(before, after))
        (swapped if fits and not at_import else imported).append(mutant)
    options = [*tests, *FORKED, f"--basetemp={WORK / str(number)}"]
    if not (child := os.fork()):
        os._exit(pytest.main(options, plugins=[Forks(swapped, reached)]))
    os.waitpid(child, 0)
    Asked.kills.update(test for _, _, test in read_results())
    for mutant in imported:
        with _forked(mutant) as answer:
            if answer is not None:
                sys.meta_path.insert(0, Mutated(mutant))  # type: ignore[arg-type]
                os._exit(pytest.main(options, plugins=[Asked(reached, mutant, answer)]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="python tests/mutate.py")
    parser.add_argument(
        "tests", nargs="*", default=["tests"], help="in place of all that take under a second"
    )
    parser.add_argument("--file", metavar="TEXT", help="files whose path contains this, in place of the core")
    parser.add_argument("--list", action="store_true", help="print the mutants, and run nothing")
    parser.add_argument("--write", action="store_true", help=f"write what survives into {KNOWN.name}")
    options = parser.parse_args()
    paths = [path for part in CORE for path in sorted(PACKAGE.glob(part))]
    if options.file:
        paths = [path for path in sorted(PACKAGE.rglob("*.py")) if options.file in str(path)]
    # As `private.py` raises what it finds missing, `test_renames.py` is its test.
    mutants = [mutant for path in paths if path.name != "private.py" for mutant in mutants_of(path)]
    if options.list:
        print(*(mutant.name for mutant in mutants), sep="\n")
        return 0

    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    reached = Reached(options.tests)
    print(f"{len(mutants)} mutants; those that survive:", flush=True)
    control = Mutant(paths[0], 0, 0, "nothing was changed", paths[0].read_text("utf-8"))
    workers = []
    for number in range(2):
        if not (worker := os.fork()):
            work(number, [control] * (not number) + mutants[number::2], options.tests, reached)
            os._exit(0)
        workers.append(worker)
    for worker in workers:
        os.waitpid(worker, 0)
    results = read_results()
    if ["survives", control.name, ""] not in results or len(results) <= len(mutants):
        print(f"A test fails though {control.name}, or a run broke off: see {WORK / 'results'}")
        return 2
    survivors = [name for state, name, _ in results if state == "survives" and name != control.name]
    print(f"{len(survivors)} of {len(mutants)} survive")
    return compare(survivors, {mutant.name for mutant in mutants}, options.write)


def compare(survivors: list[str], tried: set[str], write: bool) -> int:
    """Print those that have no reason in the list, and those of the list that are gone."""
    reason, known = "", []
    for line in KNOWN.read_text("utf-8").splitlines():
        if line.startswith("#"):
            reason = line
        elif line:
            known.append((reason, line))
    new = Counter(survivors) - Counter(name for reason, name in known if reason != UNREAD)
    there = {name.partition(":")[0].split()[0] for name in tried}
    gone = Counter(name for _, name in known if name.split()[0].rstrip(":") in there) - Counter(survivors)
    print(*(f"new: {name}" for name in sorted(new.elements())), sep="\n")
    print(*(f"gone: {name}" for name in sorted(gone.elements())), sep="\n")
    if write:
        left = [(reason, name) for reason, name in known if reason != UNREAD and name not in gone]
        left += [(UNREAD, name) for name in sorted(new.elements())]
        parts = (
            "\n".join([reason, *(name for each, name in left if each == reason)]) for reason in dict(left)
        )
        KNOWN.write_text("\n\n".join(parts) + "\n", "utf-8")
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main())
