"""The sandbox on a port, beside the caller's code."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pydantic import SecretStr

from .._local import listen
from .._serving import in_thread
from .._settings import Settings
from .._sites import API_PATH, SANDBOX_KEY, SITES
from ._app import app

_HOST = str(urlsplit(SITES["sandbox"]).hostname)


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox: where it is and the key that it takes.

    Examples:
        >>> with serve() as site:
        ...     site.api_key
        'sandbox'
    """

    base_url: str
    """The SDK base URL, such as `http://127.0.0.1:8378/api/ai`."""

    api_key: str = field(default=SANDBOX_KEY, repr=False)

    @property
    def settings(self) -> Settings:
        """Settings of a client of this sandbox.

        Examples:
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
        upstream_key: The engine's key. The sandbox then takes no key but a new one, its `api_key`.

    Raises:
        OSError: if the port cannot be had; the message names it.

    Examples:
        >>> from aitoearn_openai import OpenAI
        >>> with serve() as site, OpenAI.from_settings(site.settings) as client:
        ...     client.models.retrieve("GLM 5.2").id
        'glm-5.2'
    """
    with listen(_HOST, port) as listener:
        token = f"{SANDBOX_KEY}-{secrets.token_hex(24)}" if upstream_key else SANDBOX_KEY
        site = Sandbox(f"http://{_HOST}:{listener.getsockname()[1]}{API_PATH}", token)
        with in_thread(app(upstream, upstream_key, token=token), listener, "sandbox"):
            yield site
