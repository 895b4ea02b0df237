"""The command `aitoearn-openai`, in short `aitoe`, also as `python -m aitoearn_openai`."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Run the command line, or say what to install for it."""
    # Until there is something to end, Ctrl-C ends the process and shows nothing.
    catches = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if catches:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from ._cli import app
        from ._cli.failures import one_line_errors
    except ImportError as error:
        sys.exit(
            f"aitoearn-openai: {error}. The command line is an extra: pip install 'aitoearn-openai[cli]'"
        )
    if catches:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with one_line_errors():
        short = os.path.splitext(os.path.basename(sys.argv[0]))[0] == "aitoe"
        sys.exit(app(prog_name="aitoe" if short else "aitoearn-openai", standalone_mode=False))


if __name__ == "__main__":
    main()
