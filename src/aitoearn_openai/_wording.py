"""A message that knows which of its words are this package's: the command line masks a key in all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class Ours(str):
    """Words of this package."""


class Message(str):
    """A text made of parts; each that is not `Ours` is taken for a server's words."""

    parts: tuple[str, ...]

    def __new__(cls, *parts: str) -> Self:
        """Join parts, of which some may be messages themselves."""
        made = super().__new__(cls, "".join(parts))
        made.parts = tuple(each for part in parts for each in parts_of(part))
        return made


def parts_of(message: str) -> tuple[str, ...]:
    """The parts of a message; of any other text, the whole."""
    return getattr(message, "parts", (message,))
