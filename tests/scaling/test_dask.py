"""The lines of docs/scaling.md on a real Dask cluster of several processes on this machine."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from snippets import snippet_of


@pytest.mark.skipif(not find_spec("distributed"), reason="Dask is not installed")
@pytest.mark.usefixtures("sandboxed")
def test_each_prompt_is_answered_by_a_worker_with_the_pickled_client(tmp_path: Path) -> None:
    """As it stands on the page."""
    program = tmp_path / "program.py"
    program.write_text(snippet_of("scaling.md", "Dask"), "utf-8")
    command = [sys.executable, program]
    done = subprocess.run(command, capture_output=True, check=False, encoding="utf-8", timeout=600)

    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        r"\['This is .* What is 6 times 7\?', 'This is .* Who wrote Hamlet\?'\]\n", done.stdout
    )
