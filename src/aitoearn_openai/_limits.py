"""What a run of requests takes unless it is told otherwise; what the system lets a process do, and others with it."""

from __future__ import annotations

import sys

CONCURRENCY = 16
"""How many requests run at once by default: enough to keep a slow model busy, and few enough not to be refused."""

ANSWER_TOKENS = 500
"""How many tokens an answer is estimated to have by default, if the request does not limit it to fewer."""

_PR_SET_DUMPABLE = 4
"""Of `linux/prctl.h`."""


def raise_file_limit(wanted: int = 4096, *, least: int = 0) -> int | None:
    """Raise the limit so that `wanted` files can be open, as far as the system lets a program do so.

    The limit is 256 on macOS.

    Returns:
        The highest limit that the system allows, if that is below `least`; otherwise None.
    """
    if sys.platform == "win32":  # pragma: no cover - there is no such limit
        return None
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard in range(least):  # Without a limit it is below 0.
        return hard
    if soft in range(wanted):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, wanted) if hard >= 0 else wanted, hard))
    return None


def files_allowed() -> int:
    """How many files this process can have open; a high number where there is no limit."""
    if sys.platform == "win32":  # pragma: no cover - there is no such limit
        return sys.maxsize
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft >= 0 else sys.maxsize


def keep_memory_private() -> None:
    """Leave no core file of this process, and on Linux let no other process of the same user read its memory."""
    if sys.platform == "win32":  # pragma: no cover - there are no core files
        return
    import ctypes
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # pragma: no branch - tests run there
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0)
