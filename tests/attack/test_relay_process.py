"""The process of the relay: what others on this machine can read of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aitoearn_openai import sandbox

KEEP = """
import ctypes, resource, sys
from aitoearn_openai._limits import keep_memory_private
keep_memory_private()
print(ctypes.CDLL(None).prctl(3) if sys.platform == "linux" else 0, *resource.getrlimit(resource.RLIMIT_CORE))
"""
LOOK = """
import glob, os, sys, urllib.request
urllib.request.urlopen(urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/models", headers={"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]})).close()
def command(path):
    try:
        return open(path, "rb").read()
    except OSError:  # It has ended.
        return b""
(relay,) = [path for path in glob.glob("/proc/[1-9]*/cmdline")
            if sys.argv[1].encode() in (text := command(path)) and b"_detached" in text
            and b"/bin/sh" not in text and b"LOOK" not in text]
print(" ".join(open(relay.replace("cmdline", "limits")).read().split()))
try:
    open(relay.replace("cmdline", "environ")).read()
except PermissionError:
    print("denied")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the system has no core files")
def test_a_process_keeps_its_memory_to_itself() -> None:
    """It leaves no core file, and on Linux nobody but root attaches to it."""
    assert subprocess.check_output([sys.executable, "-c", KEEP], text=True) == "0 0 0\n"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="needs /proc")
def test_the_relay_of_a_program_does_so(site: sandbox.Sandbox, tmp_path: Path) -> None:
    """Whatever limits it was started with; nothing of it can be read by the program."""
    environment = {
        "AITOEARN_SITE": "sandbox",
        "AITOEARN_BASE_URL": site.base_url,
        "PYTHONPATH": str(tmp_path),
    }
    command = [sys.executable, "-m", "aitoearn_openai", "run", sys.executable, "-c", LOOK, str(tmp_path)]
    seen = subprocess.check_output(command, text=True, env={**os.environ, **environment})

    assert "Max core file size 0 0 bytes" in seen
    assert ("denied" in seen) == bool(os.geteuid())
