"""An ASGI application on a port: what the sandbox and the relay share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar, cast

import anyio
import uvicorn
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ._limits import files_allowed
from ._sites import is_loopback

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
TRUST = "aitoearn_openai.trust"
"""The name in a request's `state` of what an application calls when a connection has shown the token."""

MAX_IDLE = 1024
"""The connections that may stay open without waiting for an answer to a request with the token.

Where the system allows few open files, half of these.
"""
_HOST = re.compile(r"(\[[0-9a-f:]+\]|[\w.-]+)(:\d{1,5})?", re.IGNORECASE)
_LEAVE_SECONDS = 10.0

_Result = TypeVar("_Result")

if sys.platform == "win32":  # pragma: no cover - there, no other clock can be asked
    Loop = asyncio.ProactorEventLoop
else:
    try:
        from uvloop import Loop  # type: ignore[import-not-found, unused-ignore]
    except ImportError:

        class Loop(asyncio.SelectorEventLoop):  # type: ignore[no-redef]
            """Keeps the time that is, also where tests of the process freeze `time.monotonic`; uvloop does so too."""

            def time(self) -> float:
                return time.clock_gettime(time.CLOCK_MONOTONIC)


class _Connection(HttpToolsProtocol):
    """A connection whose requests have to arrive in time, and in a limited size.

    httptools, as it reads the smallest pieces in little time; it has no limits of its own.
    """

    trusted = True
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
        self.wait_for("head")

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.wait_for(None)

    def data_received(self, data: bytes) -> None:
        self._unread += len(data)
        super().data_received(data)
        if self._unread > MAX_HEAD:
            self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.wait_for("head")

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
        self.wait_for("body")

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.wait_for(None)

    def on_response_complete(self) -> None:
        if self.cycle.response_complete:
            self.cycle.body = self.cycle.body[:0]  # What nobody read would stay as long as the connection.
        super().on_response_complete()

    def wait_for(self, part: str | None) -> None:
        """Set the deadline for a part of a request."""
        if self._deadline:
            self._deadline.cancel()
        self._part, self._deadline = part, None
        if part:
            seconds = BODY_SECONDS if part == "body" and self.trusted else HEAD_SECONDS
            self._deadline = self.loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        if self.is_busy:  # With the request before this one.
            self.wait_for(self._part)
        else:
            self.transport.abort()


class _Stranger(_Connection):
    """A connection that makes room for others, unless it has shown the token and waits for an answer."""

    trusted = False

    def __init__(
        self, config: uvicorn.Config, server_state: Any, app_state: dict[str, Any], _loop: Any = None
    ) -> None:
        super().__init__(config, server_state, {**app_state, TRUST: self._trust}, _loop)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.since = self.loop.time()
        # The other files are for those that wait for an answer, and for their requests to the service.
        most = min(MAX_IDLE, files_allowed() // 2)
        others: Any = self.connections if len(self.connections) > most else ()
        idle = [each for each in others if not (each.trusted and each.is_busy)]
        if len(idle) > most:  # Many go at once, so that the search is seldom.
            for each in sorted(idle, key=lambda each: (each.trusted, each.since))[: 1 + most // 10]:
                self.connections.discard(each)  # Now: more may come before it has closed.
                each.transport.abort()

    def _trust(self) -> None:
        self.trusted = True
        self.wait_for(self._part)


def make_server(app: Any, *, has_token: bool = False) -> uvicorn.Server:
    """The server of an application.

    Args:
        app: The application.
        has_token: It calls what stands at `TRUST` in the `state` of a request that shows its token. Of the other
            connections, the oldest are closed when there are too many.
    """
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=_Stranger if has_token else _Connection,
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


@contextlib.contextmanager
def in_thread(app: Any, listener: socket.socket, name: str, *, has_token: bool = False) -> Iterator[None]:
    """Serve in a background thread for as long as the `with` block lasts; see `make_server`."""
    server = make_server(app, has_token=has_token)

    def serve() -> None:
        with _silence_thread():
            run(until_stopped, server, listener)

    thread = threading.Thread(target=serve, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(_LEAVE_SECONDS)


def run(main: Callable[..., Awaitable[None]], *arguments: Any) -> None:
    """Run this in a loop of its own."""
    anyio.run(main, *arguments, backend_options={"loop_factory": Loop})


async def until_stopped(server: uvicorn.Server, listener: socket.socket) -> None:
    """Serve until `server.should_exit` is set."""
    try:
        await server.serve(sockets=[listener])
    finally:
        # uvicorn waits for clients that do not read, then leaves their connections open.
        for connection in list(server.server_state.connections):
            connection.transport.abort()


def foreign(headers: Headers, what: str) -> str | None:
    """Why a server on this machine does not answer a request: it comes from a web page, or under another name.

    Args:
        headers: Those of the request.
        what: What the server is called.
    """
    origin = headers.get("origin", "")
    if (why := other_name(headers, what)) or not origin.lower().startswith("http") or is_loopback(origin):
        return why
    return f"This {what} does not answer web pages, such as those of {origin}."


def other_name(headers: Headers, what: str) -> str | None:
    """Why a server on this machine does not answer a request under another name, which web pages can give it."""
    host = " ".join(headers.getlist("host"))
    if _HOST.fullmatch(host) and is_loopback(f"http://{host}"):
        return None
    return f"This {what} answers only at the address that it shows: 127.0.0.1 or localhost."


def is_token(given: str, token: str) -> bool:
    """Whether this is the token, in a time that does not tell how much of it is right."""
    return secrets.compare_digest(given.encode(), token.encode())


async def read_body(request: Request) -> bytes | None:
    """The body of a request; None if it is larger than `MAX_BODY`."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > MAX_BODY:
        return None
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY:
            return None
    return bytes(body)


async def until_disconnect(receive: Receive, awaitable: Awaitable[_Result]) -> _Result:
    """The result for a client whose request has been read; given up when the client goes away.

    Raises:
        ClientDisconnect: it went away first.
    """
    caller, is_gone = cast("asyncio.Task[Any]", asyncio.current_task()), False

    async def watch() -> None:
        nonlocal is_gone
        while (await receive())["type"] != "http.disconnect":
            pass
        is_gone = True
        caller.cancel()

    watcher = asyncio.ensure_future(watch())
    try:
        return await awaitable
    except asyncio.CancelledError:
        if is_gone:
            raise ClientDisconnect from None
        raise
    finally:
        watcher.cancel()


@contextlib.contextmanager
def _silence_thread() -> Iterator[None]:
    """Drop what this thread logs; the loggers belong to the process, which may run another server."""
    loggers = [logging.getLogger(name) for name in ("uvicorn.error", "uvicorn.access", "asyncio")]
    servers = threading.get_ident()

    def is_of_others(_: logging.LogRecord) -> bool:
        return threading.get_ident() != servers

    for logger in loggers:
        logger.addFilter(is_of_others)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(is_of_others)
