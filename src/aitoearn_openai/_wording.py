"""The words of an error: which of them are this package's, as a key is masked in all others, and what it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and what it comes from."""
    while error:
        yield error
        group = getattr(error, "exceptions", ())  # As many as a host has addresses.
        error = error.__cause__ or error.__context__ or next(iter(group), None)


def reason(error: BaseException) -> str:
    """Why there is no answer: the words of the HTTP library, and what the system said, which it leaves out."""
    cause = error.__cause__ or error
    systems = [str(each) for each in causes(error) if isinstance(each, OSError) and each.errno]
    return ": ".join(filter(None, dict.fromkeys([str(cause), *systems[:1]]))) or type(cause).__name__
