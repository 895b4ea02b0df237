"""A relay in front of a server, as tests ask it: with the plain SDK, or with bare HTTP."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import openai

from aitoearn_openai import Settings, relay
from conftest import AIOHTTP, MESSAGES
from faults.runner import KEY

BACKENDS = ["httpx", *(["aiohttp"] if AIOHTTP else [])]
CHAT = "/chat/completions"
BODY = {"model": "m", "messages": MESSAGES}


def relay_to(server: Any, **settings: Any) -> AbstractContextManager[relay.Relay]:
    origin = server.origin if isinstance(server.origin, str) else server.origin()
    return relay.serve(settings=Settings(base_url=origin, **{"api_key": KEY, **settings}))


def ask(here: relay.Relay, question: Callable[[Any], Any], **more: Any) -> Any:
    """What the plain SDK gets; a stream is read to its end."""
    with openai.OpenAI(base_url=here.base_url, api_key=here.api_key, max_retries=0, **more) as client:
        got = question(client)
        return list(got) if isinstance(got, openai.Stream) else got


def send(
    url: Any, path: str, body: Any = None, *, method: Any = None, token: Any = None, **headers: str
) -> Any:
    """The response to bare HTTP, of a relay or a sandbox by default with its token; an object goes out as JSON."""
    if not isinstance(url, str):
        url, token = url.base_url, url.api_key if token is None else token
    sent = {"Authorization": f"Bearer {token}"} if token else {}
    sent |= {} if body is None else {"Content-Type": "application/json"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    with openai.DefaultHttpxClient(timeout=60) as client:
        return client.request(
            method or ("GET" if body is None else "POST"), url + path, headers=sent, content=content
        )


def connect(server: Any, sent: bytes = b"") -> socket.socket:
    """A connection to a server, or to the one at an address, on which this has been sent."""
    address = urlsplit(server if isinstance(server, str) else server.base_url)
    connection = socket.create_connection((str(address.hostname), address.port or 0), timeout=60)
    connection.sendall(sent)
    return connection


def error_of(response: Any) -> tuple[int, dict[str, Any]]:
    """The status and the error of a refusal, which is in OpenAI's form."""
    assert response.headers["Content-Type"] == "application/json"
    return response.status_code, response.json()["error"]


@contextmanager
def serving(command: str, *arguments: str, **environment: str) -> Iterator[Any]:
    """The process of `relay` or `sandbox`, its first lines, and what it has said once Ctrl-C has ended it."""
    said: list[str] = []
    command_line = [sys.executable, "-m", "aitoearn_openai", command, "--port", "0", *arguments]
    streams: Any = {"stdout": subprocess.PIPE, "encoding": "utf-8", "env": {**os.environ, **environment}}
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as errors,
        subprocess.Popen(command_line, stderr=errors, **streams) as process,
    ):
        try:
            yield process, [process.stdout.readline() for _ in range(3)], said
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        errors.seek(0)
        said += errors.read().splitlines()
