"""An ASGI application on a port: what the sandbox and the relay share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Iterator
from typing import Any, TypeVar

import anyio
import uvicorn
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ._limits import files_allowed

KEEP_ALIVE = 600
"""Seconds that an idle connection stays open: longer than clients keep one, so that none meets a closed one."""
HEAD_SECONDS = 30.0
"""Seconds in which the head of a request has to arrive, and the body of one without the token."""
BODY_SECONDS = 300.0
"""Seconds in which the body of a request with the token has to arrive."""
MAX_HEAD = 64 * 1024
"""The bytes that the head of a request may have."""
MAX_HEADERS = 256
MAX_PIPELINE = 16
"""The requests of one connection that may wait for the answer to another."""
MAX_BODY = 50 * 1024 * 1024
"""The bytes that the body of a request may have: the service takes no more."""
MAX_IDLE = 1024
"""The connections that may stay open without waiting for an answer to a request with the token.

Where the system allows few open files, half of these.
"""

_TRUST = "aitoearn_openai.trust"
"""Where the `state` of a request has what is called once its connection has shown the token."""
_LEAVE_SECONDS = 10.0
_THREADS = "aitoearn-"
"""What the names of the threads begin with in which servers run."""

_Result = TypeVar("_Result")


# They belong to the process, which may have another server.
for _logger in ("uvicorn.error", "uvicorn.access", "asyncio"):
    logging.getLogger(_logger).addFilter(lambda record: not str(record.threadName).startswith(_THREADS))

if sys.platform == "win32":  # pragma: no cover - there, no other clock can be asked
    Loop = asyncio.ProactorEventLoop
else:

    class Loop(asyncio.SelectorEventLoop):
        """Keeps the time that is, also where tests of the process freeze `time.monotonic`."""

        def time(self) -> float:
            return time.clock_gettime(time.CLOCK_MONOTONIC)


class _Connection(HttpToolsProtocol):
    """A connection whose requests have to arrive in time, and in a limited size.

    It makes room for others, unless it has shown the token and waits for an answer. It reads with httptools, as that
    takes little time for the smallest pieces; it has no limits of its own.
    """

    trusted = False
    _unread = 0
    """The bytes since the last that were part of a body or ended a head."""
    _part: str | None = None
    """What the client has to send: the `head` or the `body` of a request."""
    _deadline: asyncio.TimerHandle | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a request has arrived and waits for its answer."""
        return bool(self.cycle) and not (self.cycle.response_complete or self.cycle.more_body)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for("head")
        self.since = self.loop.time()
        # The other files are for those that wait for an answer, and for their requests to the service.
        most = min(MAX_IDLE, files_allowed() // 2)
        others: Any = self.connections if len(self.connections) > most else ()
        idle = [each for each in others if not (each.trusted and each.is_busy)]
        if len(idle) > most:  # Many go at once, so that the search is seldom.
            for each in sorted(idle, key=lambda each: (each.trusted, each.since))[: 1 + most // 10]:
                self.connections.discard(each)  # Now: more may come before it has closed.
                each.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._wait_for(None)

    def data_received(self, data: bytes) -> None:
        self._unread += len(data)
        super().data_received(data)
        if self._unread > MAX_HEAD:
            self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"][_TRUST] = self._trust
        self._wait_for("head")

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) >= MAX_HEADERS:
            raise ValueError("too many headers")  # The parser answers with 400.
        if self._part != "body":  # Those of trailers would join those of the head.
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= MAX_PIPELINE:
            raise ValueError("too many requests at once")
        self._unread = 0
        super().on_headers_complete()
        self._wait_for("body")

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._wait_for(None)

    def on_response_complete(self) -> None:
        if self.cycle.response_complete:
            self.cycle.body = self.cycle.body[:0]  # What nobody read would stay as long as the connection.
        super().on_response_complete()

    def _wait_for(self, part: str | None) -> None:
        """Set the deadline for a part of a request."""
        if self._deadline:
            self._deadline.cancel()
        self._part, self._deadline = part, None
        if part:
            seconds = BODY_SECONDS if part == "body" and self.trusted else HEAD_SECONDS
            self._deadline = self.loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        if self.is_busy:  # With the request before this one.
            self._wait_for(self._part)
        else:
            self.transport.abort()

    def _trust(self) -> None:
        self.trusted = True
        self._wait_for(self._part)


def trust(scope: Scope) -> None:
    """Note that the connection of a request has shown the token."""
    if note := scope.get("state", {}).get(_TRUST):  # Other servers have no such thing.
        note()


@contextlib.contextmanager
def in_thread(app: Any, listener: socket.socket, name: str) -> Iterator[None]:
    """Serve an application in a background thread, which logs nothing, for as long as the `with` block lasts."""
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=_Connection,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=1,
        )
    )

    async def serve() -> None:
        await server.serve(sockets=[listener])
        # uvicorn waits for clients that do not read, then leaves their connections open.
        for connection in list(server.server_state.connections):
            connection.transport.abort()

    loop = {"backend_options": {"loop_factory": Loop}}
    thread = threading.Thread(target=anyio.run, args=(serve,), kwargs=loop, name=_THREADS + name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(_LEAVE_SECONDS)


def is_page(origin: str) -> bool:
    """Whether an `Origin` is that of a web page; desktop applications are not pages."""
    return origin.lower().startswith(("http:", "https:"))


def bearer(headers: Headers) -> str:
    """The key that a request has, if any."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def is_token(given: str, token: str) -> bool:
    """Whether this is the token, in a time that does not tell how much of it is right."""
    return secrets.compare_digest(given.encode(), token.encode())


async def read_body(request: Request, too_large: Exception) -> bytes:
    """The body of a request; raises what is given where it is larger than `MAX_BODY`."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY:
            raise too_large
    return bytes(body)


async def until_disconnect(receive: Receive, awaitable: Awaitable[_Result]) -> _Result:
    """The result for a client whose request has been read; raises `ClientDisconnect` when the client goes away first."""
    with anyio.CancelScope() as scope:

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            scope.cancel()

        watcher = asyncio.ensure_future(watch())
        try:
            return await awaitable
        finally:
            watcher.cancel()
    raise ClientDisconnect
