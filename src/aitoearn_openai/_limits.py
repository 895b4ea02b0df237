"""The limit on open files, which macOS sets to 256."""

from __future__ import annotations

import sys


def allow_files(wanted: int = 4096, *, least: int = 0) -> int | None:
    """Raise the limit so that `wanted` files can be open, as far as the system lets a program do so.

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
