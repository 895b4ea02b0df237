"""The command `aitoearn-openai`, also as `python -m aitoearn_openai`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say what to install for it."""
    try:
        from ._cli import app
        from ._cli.failures import one_line_errors
    except ImportError as error:
        sys.exit(
            f"aitoearn-openai: {error}. The command line is an extra: pip install 'aitoearn-openai[cli]'"
        )
    with one_line_errors():
        sys.exit(app(prog_name="aitoearn-openai", standalone_mode=False))


if __name__ == "__main__":
    main()
