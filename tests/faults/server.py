"""A raw server on loopback that misbehaves as it is told, and counts what its clients do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

LONGEST_WAIT = 60.0
"""Seconds after which the server gives up on a client, so that nothing here runs for ever."""


@dataclass(frozen=True)
class Repeat:
    """Send the same piece again and again, until the client leaves."""

    piece: bytes
    pause: float


class Hang:
    """Say nothing more, and keep the connection open until the client leaves."""


class Reset:
    """Drop the connection as a crashed server does: RST, no goodbye."""


class Close:
    """End the connection in order."""


Step = bytes | Repeat | type[Hang] | type[Reset] | type[Close]


@dataclass
class Visit:
    """What one client is answered and what it did: its requests and connections."""

    answer: Callable[[Request], list[Step]]
    requests: list[Request] = field(default_factory=list)
    hung: bool = False
    connections: dict[asyncio.StreamWriter, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    origin: str
    """Where it arrived: `main`, or `other` for the second origin that redirects point to."""
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def is_good(self) -> bool:
        """Whether it is the request that follows a fault, to be answered as a healthy server does."""
        return b'"model":"good"' in self.body.replace(b": ", b":")


class Server:
    """Serves every visit at `/<visit>/...`, on two origins; a third port refuses connections."""

    def __init__(self) -> None:
        self.visits: dict[str, Visit] = {}
        self.ports: dict[str, int] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faulty-server")
        self._refusing = socket.socket()
        self._servers: list[asyncio.Server] = []

    def __enter__(self) -> Server:  # noqa: PYI034 - nobody derives from it
        self._thread.start()
        for origin in ("main", "other"):
            self._call(self._listen(origin))
        # Bound but not listening: the port stays refused, and nobody else can take it.
        self._refusing.bind(("127.0.0.1", 0))
        self.ports["refusing"] = self._refusing.getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._refusing.close()

    def visit(self, name: str, answer: Callable[[Request], list[Step]]) -> Visit:
        self.visits[name] = Visit(answer)
        return self.visits[name]

    def origin(self, name: str = "main") -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    @contextlib.contextmanager
    def give_up_after(self, visit: Visit, seconds: float) -> Iterator[None]:
        """Drop the connections of a visit that takes too long, which ends whatever its client waits for."""

        async def give_up() -> None:
            await asyncio.sleep(seconds)
            visit.hung = True
            for writer in list(visit.connections):
                reset(writer)

        guard = asyncio.run_coroutine_threadsafe(give_up(), self._loop)
        try:
            yield
        finally:
            guard.cancel()

    def settled_connections(self, visit: Visit, at_most: int, within: float = 2.0) -> int:
        """The open connections at the origin that has most of them: one is a pool at rest.

        Asked until they are few enough or the time is up, as closing takes a moment to arrive.
        """
        until = time.monotonic() + within
        while True:
            open_at = list(visit.connections.values())
            most = max(map(open_at.count, open_at), default=0)
            if most <= at_most or time.monotonic() > until:
                return most
            time.sleep(0.002)

    def _call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _listen(self, origin: str) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            visits: list[Visit] = []
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while request := await _read_request(origin, reader):
                    visits.append(self.visits[request.target.split("/")[1]])
                    if not await _serve(request, visits[-1], reader, writer):
                        break
            for visit in visits:
                visit.connections.pop(writer, None)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self._servers.append(server)
        self.ports[origin] = server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _serve(
    request: Request, visit: Visit, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    """Answer a request; say whether the connection goes on."""
    visit.connections[writer] = request.origin
    if not request.is_good:
        visit.requests.append(request)
    for step in [Reset] if visit.hung else visit.answer(request):
        if isinstance(step, bytes):
            await _send(step, writer)
        elif isinstance(step, Repeat):
            until = time.monotonic() + LONGEST_WAIT
            while time.monotonic() < until and not reader.at_eof():
                await _send(step.piece, writer)
                await asyncio.sleep(step.pause)
        elif step is Hang:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(reader.read(), LONGEST_WAIT)
        elif step is Reset:
            reset(writer)
        if not isinstance(step, bytes):
            return False
    return True


async def _send(piece: bytes, writer: asyncio.StreamWriter) -> None:
    if writer.transport.is_closing():
        raise ConnectionError
    writer.write(piece)
    await writer.drain()


def reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _read_request(origin: str, reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    pairs = (line.split(":", 1) for line in lines)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(origin, first.split()[1], headers, body)


def reply(
    body: bytes | str | Any = b"",
    status: int | str = 200,
    content_type: str | None = "application/json",
    length: int | None = None,
    **headers: str,
) -> bytes:
    """A whole HTTP answer; `length` is the one that it claims, by default the true one."""
    text = body if isinstance(body, (str, bytes)) else json.dumps(body, ensure_ascii=False)
    content = text.encode() if isinstance(text, str) else text
    claimed = str(len(content) if length is None else length)
    return head(status, content_type, **{"content-length": claimed, **headers}) + content


def head(status: int | str = 200, content_type: str | None = "application/json", **headers: str) -> bytes:
    """The head of an answer. Underscores in the names of headers stand for dashes."""
    typed = {} if content_type is None else {"content-type": content_type}
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in {**typed, **headers}.items()]
    return f"HTTP/1.1 {status} Whatever\r\n{''.join(lines)}\r\n".encode()


def chunked(*pieces: bytes, end: bool = True) -> bytes:
    """Pieces in chunked transfer encoding, with or without the chunk that ends it."""
    sent = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece)
    return sent + b"0\r\n\r\n" * end
