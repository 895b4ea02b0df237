"""A server that wants to act on whoever asks it: each of its answers is the choice of the test."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from conftest import Reply

EVIL = "evil\x1b]0;owned\x07\x9b2J\x08\x7f\u202e[red]\r\naitoearn-openai: all is well\n"
"""Words that set the title, clear the screen, go back, turn the order round, and look like a line of ours."""
STEERING = {chr(code) for code in [*range(32), *range(0x7F, 0xA0), *range(0x202A, 0x202F)]} - {"\n"}


def is_clean(shown: str) -> bool:
    """Whether what a command showed steers nothing."""
    return not STEERING.intersection(shown)


@dataclass
class Hostile:
    """A server on loopback, with an answer for each path."""

    replies: dict[str, Reply] = field(default_factory=dict)
    """By the end of the path, the first that fits; "" is for all others."""
    reason: str = ""
    """What stands behind the status."""
    piece: int = 1 << 30
    """So many bytes of a body are sent at once, ..."""
    pause: float = 0
    """... and so many seconds lie between them."""
    asked: list[Any] = field(default_factory=list)
    """The requests: path and headers."""
    origin: str = ""

    def lists(self, *models: dict[str, Any]) -> None:
        """Have these in each model list."""
        self.replies["/models/chat"] = Reply({"code": 0, "data": [*models]})
        for kind in ("generation", "edit"):
            self.replies[f"/models/image/{kind}"] = self.replies["/models/chat"]

    def says(self, reply: Reply, path: str = "") -> None:
        """Give this answer to what has no other."""
        self.replies[path] = reply

    def reply_to(self, path: str) -> Reply:
        return next(reply for end, reply in sorted(self.replies.items(), reverse=True) if path.endswith(end))


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    hostile = Hostile()
    hostile.lists({"name": "m"})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            hostile.asked.append((self.path, dict(self.headers)))
            reply = hostile.reply_to(self.path)
            content = reply.encoded()
            self.send_response(reply.status, hostile.reason or None)
            for name, value in {"Content-Type": reply.content_type, **reply.headers}.items():
                self.send_header(name, str(value))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            for start in range(0, len(content), hostile.piece):
                self.wfile.write(content[start : start + hostile.piece])
                time.sleep(hostile.pause)

        do_POST = do_GET

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hostile.origin = f"http://127.0.0.1:{server.server_port}"
    yield hostile
    server.shutdown()
    thread.join()
    server.server_close()


def chunks(*deltas: dict[str, str], **more: Any) -> Reply:
    """A streamed answer."""
    events = [{"choices": [{"index": 0, "delta": delta, **more}]} for delta in deltas]
    body = "".join(
        f"data: {json.dumps({'id': '1', 'object': 'chat.completion.chunk', **each})}\n\n" for each in events
    )
    return Reply(f"{body}data: [DONE]\n\n", content_type="text/event-stream")
