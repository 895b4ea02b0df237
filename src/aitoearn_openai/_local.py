"""What a server on this machine has before it starts: a port, and a token."""

from __future__ import annotations

import errno
import secrets
import socket

HOST = "127.0.0.1"
SHORT_KEY = 8
"""A key of fewer characters may be an everyday word: it is not looked for in texts and variables."""
_BUFFER = 64 * 1024
"""The bytes of a connection that wait to be read; the system would keep megabytes for each."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that queues connections from now on, so that nobody has to wait for the server to start.

    Raises:
        OSError: if the port cannot be had; the message names it.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = "it is in use" if error.errno == errno.EADDRINUSE else error.strerror
        raise OSError(error.errno, f"cannot listen on port {port} of {host}: {reason}") from error
    # Its connections inherit this; asyncio does not set it on them, and each answer would wait 40 ms for an ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    return listener


def new_token() -> str:
    """A token in the form of OpenAI's keys, as some programs check it."""
    return f"sk-{secrets.token_hex(24)}"
