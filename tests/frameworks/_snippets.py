"""Runs the lines that docs/frameworks.md shows, with the sandbox in the place of the service."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from types import ModuleType
from typing import Any

import pytest

from aitoearn_openai import sandbox
from snippets import snippet_of

SAID = "This is the AiToEarn sandbox; no model read your message. You said: 你好"
"""What the sandbox answers to 你好."""

# Read when a framework is imported, so they are set here: nobody is told of these tests, LiteLLM does not fetch
# its list of prices, and what DSPy and llm keep on disk neither stays nor answers in place of the sandbox.
_scratch = tempfile.mkdtemp()
atexit.register(shutil.rmtree, _scratch, ignore_errors=True)
os.environ.update(
    DSPY_CACHEDIR=_scratch,
    HAYSTACK_TELEMETRY_ENABLED="False",
    LANGSMITH_TRACING="false",
    LITELLM_LOCAL_MODEL_COST_MAP="True",
    LLM_USER_PATH=_scratch,
)


def connect(
    framework: str, site: sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch, key: str = "sandbox"
) -> Any:
    """What the Python snippet under that heading defines, as a module.

    Args:
        key: a name of `sandbox.FAILURES` makes every call of the very same lines fail.
    """
    monkeypatch.setenv("AITOEARN_SITE", "sandbox")
    monkeypatch.setenv("AITOEARN_BASE_URL", site.base_url)
    monkeypatch.setenv("AITOEARN_API_KEY", key)
    snippet = snippet_of("frameworks.md", framework)
    module = ModuleType("snippet", f"The snippet for {framework}.")
    exec(compile(snippet, f"docs/frameworks.md, {framework}", "exec"), module.__dict__)
    return module
