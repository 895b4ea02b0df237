"""The reader of events, which the client and the relay share: whole events, however the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from aitoearn_openai._events import Events
from faults.table import CHUNKS

EVENTS = [
    b": ping",
    *(each.strip() for each in CHUNKS),
    b'data: {"id":"c-1",\ndata: "choices":[]}',
    b"data: [DONE]",
]
FAILURES = [
    (b"event: error\ndata: it broke", "it broke"),
    (b'event: error\ndata: {"message": "it broke"}', "it broke"),
    (b"event: error\ndata: it\ndata: broke", "it\nbroke"),
    (b'data: {"code": 12001, "message": "it broke"}', "it broke"),
    (b'{"code": 12001, "message": "it broke"}', "it broke"),
    (b'error: {"message": "it broke"}', "it broke"),
    (b'data: {"error": {"message": "it broke"}}', "it broke"),
    (b"event: error", "The server sent an error event without a message."),
    (b"data: \xff\xfe", "The stream broke: it is not UTF-8 text."),
    (
        b'data: {"success": false, "message": "it broke"}',
        'The stream ended before the answer was complete (chunks so far: 1): {"success": false',
    ),
    (b'data: {"error": "it broke"}', "it broke"),
    (b'data: {"choices": [{"finish_reason": "error", "error": {"message": "it broke"}}]}', "it broke"),
    (b"data: oops", "oops"),
    (b"data: 7", "The stream sent something other than a chunk: 7"),
    (b'data: {"choices": [null]}', "The stream sent something other than a chunk: "),
    (b'data: {"choices": [', "The stream ended before the answer was complete (chunks so far: 1)"),
]


@pytest.mark.parametrize(
    ("event", "is_typed", "told"),
    [
        (
            b'data: {"code": 12001, "message": "no credits", "data": {}}',
            True,
            "no credits (AiToEarn code 12001)",
        ),
        (b'data: {"code": 12001, "message": "no credits"}', False, "no credits (AiToEarn code 12001)"),
        (b'data: {"detail": "it broke"}', True, "it broke"),
        (b'data: {"code": "US", "detail": "mine"}', False, None),
        (b'data: {"type": "image.done", "error": null}', True, None),
    ],
)
def test_events_of_another_endpoint_fail_by_the_same_rule(
    event: bytes, is_typed: bool, told: str | None
) -> None:
    """Those of the SDK's types have a `type` or are an `object`; those of the caller's own are theirs."""
    events = Events(is_chat=False, is_typed=is_typed)

    assert passed(events, event + b"\n\n") == ([] if told else [event.partition(b": ")[2].decode()])
    assert (str(events.failure) if events.failure else None) == told


def passed(events: Events, *pieces: bytes) -> list[str]:
    """The data of the events in these pieces, until one fails."""
    return [event.data for piece in pieces if not events.failure for event in events.feed(piece)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_events_are_the_same_however_they_are_cut(end: str, mark: bytes) -> None:
    """At every byte, with each kind of line end, with a byte order mark and without; none waits for what follows."""
    text = mark + b"".join(event.replace(b"\n", end.encode()) + 2 * end.encode() for event in EVENTS)
    due = passed(Events(is_chat=True), text)
    assert len(due) == len(EVENTS) - 1
    for at in range(len(text)):
        events = Events(is_chat=True)
        assert passed(events, text[:at], text[at:]) + list(events.end()) == due
        assert events.failure is None


@pytest.mark.parametrize(("event", "told"), FAILURES)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("ended", [True, False])
def test_a_failure_is_found_however_the_stream_is_cut(
    event: bytes, told: str, end: bytes, ended: bool
) -> None:
    """Also in a last event that no blank line ends; what came before passes, what comes after does not."""
    is_whole = ended and not event.endswith(b"[")
    text = (EVENTS[1] + b"\n\n" + event + b"\n\n" * is_whole).replace(b"\n", end)
    for size in (1, 7, len(text)):
        events = Events(is_chat=True)
        whole = passed(events, *(text[start : start + size] for start in range(0, len(text), size)))
        if not events.failure:
            whole += [event.data for event in events.end()]
        assert events.failure is not None
        assert events.failure.message.startswith(told)
        assert whole[:1] == passed(Events(is_chat=True), EVENTS[1] + b"\n\n")
        assert len(whole) == 1


@given(st.lists(st.binary(max_size=20)))
@settings(max_examples=200)
def test_no_bytes_make_the_reading_fail(pieces: list[bytes]) -> None:
    """They are a failure: there is no answer in them."""
    events = Events(is_chat=True)
    passed(events, *pieces)
    if not events.failure:
        list(events.end())

    assert events.failure


@pytest.mark.parametrize("size", [1, 1000])
def test_what_is_not_an_event_takes_no_memory(size: int) -> None:
    """However much of it comes, also where no blank line ends it."""
    events = Events(is_chat=True)
    for _ in range(200_000 // size):
        for _ in events.feed(b"x" * size + b"\n"):
            pass

    assert (
        sum(len(value) for value in vars(events).values() if isinstance(value, (str, bytearray, list)))
        < 20_000
    )
