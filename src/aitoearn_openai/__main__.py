"""The command `aitoearn-openai`, also as `python -m aitoearn_openai`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say what to install for it."""
    try:
        from ._cli import app
    except ImportError as error:
        sys.exit(
            f"aitoearn-openai: {error}. The command line is an extra: pip install 'aitoearn-openai[cli]'"
        )
    app(prog_name="aitoearn-openai")


if __name__ == "__main__":
    main()
