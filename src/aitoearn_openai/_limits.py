"""What a run of requests takes unless it is told otherwise; what the system lets a process do, and others with it."""

from __future__ import annotations

import sys

CONCURRENCY = 16
"""How many requests run at once by default: enough to keep a slow model busy, and few enough not to be refused."""

ANSWER_TOKENS = 500
"""How many tokens an answer is estimated to have by default, if the request does not limit it to fewer."""

_FILES = 4096
"""More than the most requests at once need, where each is tried at two addresses of a host."""


def raise_file_limit() -> None:
    """Raise the limit on open files, as far as the system lets a program do so; it is 256 on macOS."""
    if sys.platform == "win32":  # pragma: no cover - there is no such limit
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _FILES), hard))


def files_allowed() -> int:
    """How many files this process can have open."""
    if sys.platform == "win32":  # pragma: no cover - there is no such limit
        return sys.maxsize
    import resource

    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def keep_memory_private() -> None:
    """Leave no core file of this process, and on Linux let no other process of the same user read its memory."""
    if sys.platform == "win32":  # pragma: no cover - there are no core files
        return
    import ctypes
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # pragma: no branch - tests run there
        ctypes.CDLL(None).prctl(4, 0)  # PR_SET_DUMPABLE
