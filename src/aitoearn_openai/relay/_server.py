"""The relay on a port, beside the caller's code."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import openai

from .._local import HOST, listen, new_token
from .._serving import in_thread
from .._settings import Settings, load, missing_key
from .._sites import is_loopback
from ._app import app

_HOST = re.compile(r"[\w.-]+|[\da-f]*:[\da-f:.]+(%[\w.-]+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Relay:
    """A running relay: where it is, and what programs give as their key.

    Examples:
        >>> with serve(settings=Settings(site="sandbox")) as here:
        ...     here.base_url.startswith("http://127.0.0.1:")
        True
    """

    base_url: str
    """What programs take for OpenAI's address, such as `http://127.0.0.1:8379/v1`."""

    api_key: str = field(repr=False)
    """The token, which is good for this relay alone."""


@contextlib.contextmanager
def serve(
    port: int = 0,
    *,
    settings: Settings | None = None,
    host: str = HOST,
    token: str | None = None,
    allow_origins: Collection[str] = (),
) -> Iterator[Relay]:
    """Run a relay in a background thread for as long as the `with` block lasts.

    Args:
        port: The port; 0 takes a free one.
        settings: Where AiToEarn is, and the key; by default those of the environment.
        host: The address to listen on. One that other machines reach needs a token.
        token: What programs give as their key; by default a new one.
        allow_origins: The addresses of web pages that may use the relay, with the token, such as
            `http://localhost:3000`; all others are refused.

    Raises:
        openai.OpenAIError: there is no key, or a setting has a bad value.
        OSError: if the port cannot be had; the message names it.
        ValueError: the host is not a host name or address; other machines could reach it, and there is no token; or the
            token is the key, or no header can carry it.

    Examples:
        >>> import openai
        >>> from aitoearn_openai import sandbox
        >>> with sandbox.serve() as site, serve(settings=site.settings) as here:
        ...     client = openai.OpenAI(base_url=here.base_url, api_key=here.api_key)
        ...     client.models.retrieve("glm-5.2").owned_by
        'zhipu'
    """
    settings = settings or load()
    if not settings.api_key:
        raise openai.OpenAIError(missing_key(settings))
    host, token = host.strip("[]"), (token or "").strip()
    name = f"[{host}]" if ":" in host else host
    local = is_loopback(f"http://{name}")
    if not _HOST.fullmatch(host):
        raise ValueError(f"{host!r} is not a host name or an IP address; the port is given apart")
    if not (local or token):
        raise ValueError(f"a relay at {host!r} can be reached by other machines: give it a token")
    token = token or new_token()
    if not (token.isascii() and token.isprintable()):
        raise ValueError("a header cannot carry this token: use printable ASCII characters only")
    served = app(settings, token, local=local, allow_origins=allow_origins)
    with listen(host, port) as listener:
        here = Relay(f"http://{name}:{listener.getsockname()[1]}/v1", token)
        with in_thread(served, listener, "relay"):
            yield here
