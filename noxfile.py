"""The test suite on every openai SDK that the package allows, from its oldest to its newest."""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "venv"

SDKS = ["1.109.1", "2.54.0", "3.0.0", "3.54.0"]


@nox.session
@nox.parametrize("openai", SDKS)
def tests(session: nox.Session, openai: str) -> None:
    """Run the tests on one version of the SDK."""
    session.install("--editable", ".[dev]", f"openai=={openai}")
    session.run("pytest", *session.posargs)
