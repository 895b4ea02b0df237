"""The server that all contenders ask: HTTP/1.1 by hand on asyncio, each answer made once and kept in memory.

The model's name says what to answer: `chunks-200` a stream of 200 chunks, `bytes-1024` an answer of that size,
`model-1` a short one,
`held-1000-9` a stream of 9 chunks, of which all but the first wait until 1,000 such streams are open.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import sys
from functools import lru_cache
from typing import Any

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
MODEL = re.compile(rb'"model": ?"(\w+)-(\d+)(?:-(\d+))?"')
LIST = re.compile(rb"GET \S*?/list-(\d+)/\S*models(/chat)? ")


def plain(body: Any) -> bytes:
    content = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        len(content),
        content,
    )


@lru_cache
def completion(size: int) -> bytes:
    message = {"role": "assistant", "content": "x" * size}
    usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
    return plain(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_785_000_000,
            "model": "glm-5.2",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage,
            "cost": "0.067575",
        }
    )


@lru_cache
def stream(chunks: int) -> tuple[bytes, bytes]:
    """Headers with the first chunk, and the rest; each event in an HTTP chunk of its own."""

    def event(data: bytes) -> bytes:
        return b"%x\r\ndata: %b\n\n\r\n" % (len(data) + 8, data)

    def chunk(number: int) -> bytes:
        choice = {
            "index": 0,
            "delta": {"content": f"word{number} "},
            "finish_reason": "stop" if number == chunks else None,
        }
        return event(
            json.dumps(
                {
                    "id": "chatcmpl-1",
                    "object": "chat.completion.chunk",
                    "created": 1_785_000_000,
                    "model": "glm-5.2",
                    "choices": [choice],
                }
            ).encode()
        )

    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    rest = b"".join(chunk(number) for number in range(2, chunks + 1))
    return head + chunk(1), rest + event(b"[DONE]") + b"0\r\n\r\n"


@lru_cache
def model_list(size: int, ours: bool) -> bytes:
    """The service's list, or the same models in OpenAI's format."""
    tier = {"input": {"text": "0.2", "cacheRead": "0.02"}, "output": {"text": "1.2"}}
    models = [
        {
            "name" if ours else "id": f"model-{number}",
            "label": f"Model {number}",
            "tags": [],
            "channel": "openai",
            "creditsScope": "general",
            "scenes": ["web", "comment"],
            "inputModalities": ["text", "image"],
            "outputModalities": ["text"],
            "pricing": {"tiers": [{"maxInputTokens": 200_000, **tier}, tier]},
            "description": "A model",
            **({} if ours else {"object": "model", "created": 0, "owned_by": "openai"}),
        }
        for number in range(size)
    ]
    return plain({"code": 0, "message": "ok", "data": models} if ours else {"object": "list", "data": models})


class Held:
    """Streams that wait for each other, or for a second in which no more of them comes."""

    def __init__(self) -> None:
        self.waiting: list[tuple[asyncio.Transport, bytes]] = []
        self.timer: asyncio.TimerHandle | None = None

    def add(self, transport: asyncio.Transport, rest: bytes, enough: int) -> None:
        self.waiting.append((transport, rest))
        if self.timer:
            self.timer.cancel()
        self.timer = asyncio.get_running_loop().call_later(
            0 if len(self.waiting) == enough else 1, self.let_go
        )

    def let_go(self) -> None:
        for transport, rest in self.waiting:
            transport.write(rest)
        self.waiting.clear()


held = Held()


class Connection(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport: asyncio.Transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        while True:
            head, found, rest = self.received.partition(b"\r\n\r\n")
            length = int(match[1]) if (match := LENGTH.search(head)) else 0
            if not found or len(rest) < length:
                return
            self.received = rest[length:]
            self.answer(head, rest[:length])

    def answer(self, head: bytes, body: bytes) -> None:
        if match := LIST.match(head):
            self.transport.write(model_list(int(match[1]), bool(match[2])))
        elif match := MODEL.search(body):
            kind, size = match[1], int(match[2])
            if kind in (b"bytes", b"model"):
                self.transport.write(completion(max(size, 200)))
            elif kind == b"chunks":
                self.transport.write(b"".join(stream(size)))
            else:
                first, rest = stream(int(match[3]))
                self.transport.write(first)
                held.add(self.transport, rest, size)
        else:
            self.transport.write(plain({}))


async def main() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard) if hard > 0 else soft, hard))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Ends with the runner, which holds the other end.
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
