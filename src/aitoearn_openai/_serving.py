"""An ASGI application on a port: what the sandbox and the relay share."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import threading
from collections.abc import Awaitable, Iterator
from typing import Any, TypeVar

import uvicorn
from starlette.requests import ClientDisconnect
from starlette.types import Receive

KEEP_ALIVE = 600
"""Seconds that an idle connection stays open: longer than clients keep one, so that none meets a closed one."""

_Result = TypeVar("_Result")


def listen(host: str, port: int) -> socket.socket:
    """A socket that queues connections from now on, so that nobody has to wait for the server to start.

    Raises:
        OSError: if the port cannot be had; the message names it.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = "it is in use" if error.errno == errno.EADDRINUSE else _reason(error)
        raise OSError(error.errno, f"cannot listen on port {port} of {host}: {reason}") from error
    # Its connections inherit this; asyncio does not set it on them, and each answer would wait 40 ms for an ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _reason(error: OSError) -> str:
    known = (error.errno or 0) > 0  # A name that is none has a number of another kind.
    return os.strerror(error.errno or 0) if known else error.strerror or str(error)


def make_server(app: Any) -> uvicorn.Server:
    """The server of an application."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
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
def in_thread(app: Any, listener: socket.socket, name: str) -> Iterator[None]:
    """Serve in a background thread for as long as the `with` block lasts."""
    server = make_server(app)

    def run() -> None:
        with _no_records():
            asyncio.run(until_stopped(server, listener))

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


async def until_stopped(server: uvicorn.Server, listener: socket.socket) -> None:
    """Serve until `server.should_exit` is set."""
    try:
        await server.serve(sockets=[listener])
    finally:
        # uvicorn waits for clients that do not read, then leaves their connections open.
        for connection in list(server.server_state.connections):
            connection.transport.abort()


async def for_client(receive: Receive, awaitable: Awaitable[_Result]) -> _Result:
    """The result for a client whose request has been read; given up when the client goes away.

    Raises:
        ClientDisconnect: it went away first.
    """
    call, end = asyncio.ensure_future(awaitable), asyncio.ensure_future(_disconnect(receive))
    try:
        await asyncio.wait((call, end), return_when=asyncio.FIRST_COMPLETED)
        if not call.done():
            raise ClientDisconnect
        return call.result()
    finally:
        call.cancel()
        end.cancel()
        await asyncio.gather(call, end, return_exceptions=True)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@contextlib.contextmanager
def _no_records() -> Iterator[None]:
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
