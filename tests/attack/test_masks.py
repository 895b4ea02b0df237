"""A server that says the key again, in each way that it may come back: it is nowhere in what a command shows or keeps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import delta, events, run
from conftest import Reply, ScriptedServer

KEY = "sk0123456789abcdefghij"
NUMBER = "0123456789012345"


def says(reply: Reply) -> Callable[[ScriptedServer], None]:
    return lambda hostile: hostile.answer(reply)


def escaped(pattern: str) -> str:
    return "".join(pattern.format(code=ord(each)) for each in KEY)


def redirects(target: str, path: str = "/models/chat") -> Callable[[ScriptedServer], None]:
    def prepare(hostile: ScriptedServer) -> None:
        hostile.answer(Reply("<html>", content_type="text/html"))
        hostile.paths[path] = Reply(status=307, headers={"Location": target})

    return prepare


def names_it(hostile: ScriptedServer) -> None:
    hostile.lists({"name": f"m{KEY}"}, {"name": "m2"})
    hostile.answer(Reply({"data": {}, "code": 12300, "message": "no"}))


WAYS = {
    "our own words": says(Reply({"detail": f"where {KEY} was expected"}, status=400)),
    "the beginning of an error": says(Reply(f"Error code: {NUMBER} - no", status=400, content_type="text/plain")),
    "a request id": says(Reply({"data": {}, "code": 400, "message": "no", "requestId": KEY})),
    "a header": says(Reply({"error": {"message": "no"}}, status=400, headers={"X-Request-Id": KEY})),
    "a content type": says(Reply("no", content_type=f"text/{KEY}")),
    "a reason phrase": says(Reply({"error": {"message": "no"}}, status=400, reason=KEY)),
    "capitals": says(Reply({"error": {"message": KEY.upper()}}, status=400)),
    "JSON's escapes": says(Reply('{{"x": "{}"}}'.format(escaped("\\u{code:04x}")), content_type="text/plain")),
    "an address": says(Reply({"error": {"message": escaped("%{code:02X}")}}, status=400)),
    "HTML": says(Reply({"error": {"message": escaped("&#{code};") + escaped("&#x{code:x};")}}, status=400)),
    "the cause of a stream's end": says(events(delta("error", KEY, content="a"))),
    "an event": says(Reply(f"event: error\ndata: {KEY}\n\n", content_type="text/event-stream")),
    "the name of a model": names_it,
    "a redirect's path": redirects(f"http://127.0.0.1:1/{KEY}"),
    "a redirect's user": redirects(f"http://{KEY}@127.0.0.1:1/"),
    "a redirect's host": redirects(f"http://{KEY}.invalid/"),
    "a redirect that is followed": redirects(f"/{KEY}", "/chat/completions"),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_key_is_masked_however_a_server_says_it(hostile: ScriptedServer, tmp_path: Path, way: str) -> None:
    """In the line of the error, in the traceback, and in the file of a batch."""
    key = NUMBER if way == "the beginning of an error" else KEY
    WAYS[way](hostile)
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("Hi\n")
    chat = run("chat", "-m", "m", "Hi", AITOEARN_DEBUG="1", AITOEARN_API_KEY=key)
    batch = run("batch", str(source), str(target), "-m", "m", AITOEARN_API_KEY=key)
    kept = target.read_text() if target.exists() else ""

    assert (chat.returncode > 0, batch.returncode > 0) == (True, True)
    assert "Traceback (most recent call last)" in chat.stderr
    for shown in (chat.stderr, batch.stderr, kept, "".join(map(repr, map(json.loads, kept.splitlines())))):
        assert key not in shown.lower()
        assert escaped("\\u{code:04x}") not in shown
        assert escaped("%{code:02x}") not in shown.lower()
        assert "&#" not in shown


def test_a_redirect_of_the_model_list_is_told_by_its_origin(hostile: ScriptedServer) -> None:
    """It is all that is needed, and all that cannot repeat a key; a path on the same server leads there too."""
    for target in ("http://other.invalid:8", ""):
        redirects(f"{target}/{KEY}")(hostile)
        told = f"/api/ai/models/chat redirects to {target or hostile.origin}. The key is not sent there"
        assert told in run("models", AITOEARN_API_KEY=KEY).stderr
