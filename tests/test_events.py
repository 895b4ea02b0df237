"""The reader of events, which the client and the relay share: whole events, however the bytes are cut."""

from __future__ import annotations

import pytest

from aitoearn_openai._events import Events
from faults.table import CHUNKS, FAILED_EVENTS, LINE_ENDS

EVENTS = [
    b": ping",
    *(each.strip() for each in CHUNKS),
    b'data: {"id":"c-1",\ndata: "choices":[]}',
    b"data: [DONE]",
]


def passed(events: Events, *pieces: bytes) -> list[str]:
    """The data of the events in these pieces, until one fails."""
    return [event.data for piece in pieces if not events.failure for event in events.feed(piece)]


@pytest.mark.parametrize("end", LINE_ENDS.values(), ids=LINE_ENDS)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_events_are_the_same_however_they_are_cut(end: bytes, mark: bytes) -> None:
    """At every byte, with each kind of line end, with a byte order mark and without; none waits for what follows."""
    text = mark + b"".join(event.replace(b"\n", end) + 2 * end for event in EVENTS)
    due = passed(Events(is_chat=True), text)
    assert len(due) == len(EVENTS) - 1
    for at in range(len(text)):
        events = Events(is_chat=True)
        assert passed(events, text[:at], text[at:]) + list(events.end()) == due
        assert events.failure is None


@pytest.mark.parametrize("name", FAILED_EVENTS)
@pytest.mark.parametrize("end", LINE_ENDS.values(), ids=LINE_ENDS)
@pytest.mark.parametrize("ended", [True, False])
def test_a_failure_is_found_however_the_stream_is_cut(name: str, end: bytes, ended: bool) -> None:
    """Also in a last event that no blank line ends; what came before passes."""
    event, words = FAILED_EVENTS[name]
    text = (CHUNKS[0] + event + b"\n\n" * ended).replace(b"\n", end)
    for size in (1, 7, len(text)):
        events = Events(is_chat=True)
        whole = passed(events, *(text[start : start + size] for start in range(0, len(text), size)))
        whole += [] if events.failure else [event.data for event in events.end()]
        assert events.failure
        assert " ".join(str(events.failure).split()) in words or words in str(events.failure)
        assert whole == passed(Events(is_chat=True), CHUNKS[0])


@pytest.mark.parametrize("size", [1, 1000])
def test_what_is_not_an_event_takes_no_memory(size: int) -> None:
    """However much of it comes, also where no blank line ends it."""
    events = Events(is_chat=True)
    for _ in range(200_000 // size):
        assert not list(events.feed(b"x" * size + b"\n"))

    held = [value for value in vars(events).values() if isinstance(value, (str, bytearray, list))]
    assert sum(map(len, held)) < 20_000
