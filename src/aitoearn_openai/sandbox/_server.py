"""The sandbox on a port, beside the caller's code."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import uvicorn
from pydantic import SecretStr

from .._settings import API_PATH, SANDBOX_KEY, SITES, Settings
from ._app import app

_HOST = str(urlsplit(SITES["sandbox"]).hostname)


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox: where it is and the key that it takes.

    Example:
        >>> with serve() as site:
        ...     site.api_key
        'sandbox'
    """

    base_url: str
    """The SDK base URL, such as `http://127.0.0.1:8378/api/ai`."""

    api_key: str = SANDBOX_KEY

    @property
    def settings(self) -> Settings:
        """Settings of a client of this sandbox.

        Example:
            >>> with serve() as site:
            ...     site.settings.site
            'sandbox'
        """
        return Settings(site="sandbox", base_url=self.base_url, api_key=SecretStr(self.api_key))


@contextlib.contextmanager
def serve(
    port: int = 0, *, upstream: str | None = None, upstream_key: str | None = None
) -> Iterator[Sandbox]:
    """Run a sandbox in a background thread for as long as the `with` block lasts.

    Args:
        port: The port on 127.0.0.1; 0 takes a free one.
        upstream: The base URL of an OpenAI-compatible engine, which then answers for its own models.
        upstream_key: The engine's key.

    Raises:
        OSError: if the port cannot be had; the message names it.

    Example:
        >>> from aitoearn_openai import OpenAI
        >>> with serve() as site, OpenAI.from_settings(site.settings) as client:
        ...     client.models.retrieve("GLM 5.2").id
        'glm-5.2'
    """
    with _listen(port) as listener:
        server = _server(upstream, upstream_key)
        thread = threading.Thread(
            target=_answer, args=(server, listener), name="aitoearn-sandbox", daemon=True
        )
        thread.start()
        try:
            yield Sandbox(f"http://{_HOST}:{listener.getsockname()[1]}{API_PATH}")
        finally:
            server.should_exit = True
            thread.join()


def _listen(port: int) -> socket.socket:
    """A socket that queues connections from now on, so that nobody has to wait for the server to start."""
    try:
        listener = socket.create_server((_HOST, port), backlog=2048)
    except OSError as error:
        reason = "it is in use" if error.errno == errno.EADDRINUSE else os.strerror(error.errno or 0)
        raise OSError(error.errno, f"cannot listen on port {port} of {_HOST}: {reason}") from error
    # Its connections inherit this; asyncio does not set it on them, and each answer would wait 40 ms for an ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _server(upstream: str | None, upstream_key: str | None) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app(upstream, upstream_key),
            ws="none",
            lifespan="on",
            log_config=None,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=60,  # longer than clients keep an idle connection: none meets a closed one
            timeout_graceful_shutdown=1,
        )
    )


def _answer(server: uvicorn.Server, listener: socket.socket) -> None:
    with _no_records():
        asyncio.run(_until_stopped(server, listener))


@contextlib.contextmanager
def _no_records() -> Iterator[None]:
    """Drop what this thread logs; the loggers belong to the process, which may run another server."""
    loggers = [logging.getLogger(name) for name in ("uvicorn.error", "uvicorn.access", "asyncio")]
    sandboxs = threading.get_ident()

    def is_of_others(_: logging.LogRecord) -> bool:
        return threading.get_ident() != sandboxs

    for logger in loggers:
        logger.addFilter(is_of_others)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(is_of_others)


async def _until_stopped(server: uvicorn.Server, listener: socket.socket) -> None:
    try:
        await server.serve(sockets=[listener])
    finally:
        # uvicorn waits for clients that do not read, then leaves their connections open.
        for connection in list(server.server_state.connections):
            connection.transport.abort()
