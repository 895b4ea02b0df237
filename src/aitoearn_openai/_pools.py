"""The HTTP clients that are made here: they share a TLS context, and close themselves as the SDK's do."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from contextlib import suppress
from typing import Any
from urllib.request import getproxies

import openai

from ._sdk.exceptions import family_of
from ._sites import is_here

_LOCAL = "all://localhost", "all://*.localhost", "all://127.0.0.1", "all://[::1]"
_PROXIES = "ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"


class _Pool(openai.DefaultHttpxClient):
    def __del__(self) -> None:
        with suppress(Exception):
            self.close()


class _AsyncPool(openai.DefaultAsyncHttpxClient):
    def __del__(self) -> None:
        with suppress(Exception):
            if not self.is_closed:
                asyncio.get_running_loop().create_task(self.aclose())


def make_pool(*, is_async: bool, backend: str = "httpx", base_url: str = "") -> Any:
    """The HTTP client that the SDK would make, or its aiohttp one; all that are made share one TLS context.

    What is on this machine is never asked through a proxy, which would see the key.

    Raises:
        openai.OpenAIError: aiohttp is wanted but not installed, or a variable names a proxy that cannot be used.
    """
    make: Any = _AsyncPool if is_async else _Pool
    if is_async and backend == "aiohttp":
        make = openai.DefaultAioHttpClient
    options = {"verify": _tls_context(), "trust_env": not is_here(base_url)}
    if options["trust_env"] and getproxies():  # A copy of a client may have another address.
        options["mounts"] = dict.fromkeys(_LOCAL)
    try:
        return make(**options)
    except RuntimeError:
        raise openai.OpenAIError(
            "AITOEARN_HTTP_BACKEND=aiohttp needs a package that is missing: pip install 'aitoearn-openai[aiohttp]'."
        ) from None
    except (ImportError, ValueError, family_of(_Pool).InvalidURL):  # All else is ready made: it is a proxy.
        # Not the values of the variables, which may hold a password.
        names = [each for name in _PROXIES for each in (name, name.lower()) if os.environ.get(each)]
        raise openai.OpenAIError(
            f"{' or '.join(names) or 'A proxy of this system'} cannot be used: a socks5 proxy needs a package, "
            "pip install socksio; for socks:// write socks5://, for any other kind http://; and NO_PROXY takes an "
            "IPv6 address without brackets and slash. Correct the variable, or unset it."
        ) from None


_shared: tuple[Any, Any, Any] | None = None
"""The TLS context that was made last, between what it was made of and the authorities that it had then."""


def _tls_context() -> Any:
    """What the SDK makes anew for each client, in nearly all of the time that a client takes to make."""
    global _shared
    origin, shared = _tls_origin(), _shared
    if not shared or shared[0] != origin or _authorities(shared[1]) != shared[2]:
        context = family_of(_Pool).create_ssl_context()
        _shared = shared = origin, context, _authorities(context)
    return shared[1]


def _tls_origin() -> Any:
    """All that a TLS context depends on, but for a folder of authorities, where OpenSSL looks at each handshake."""
    variables = [os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")]
    files = [variables[0] or ssl.get_default_verify_paths().openssl_cafile]
    if certifi := sys.modules.get("certifi"):
        files.append(certifi.where())  # pragma: no cover - httpx2, in newer SDKs, asks the system
    versions = []
    for path in files:
        with suppress(OSError):
            found = os.stat(path)
            versions.append((path, found.st_ino, found.st_size, found.st_mtime_ns))
    return ssl.SSLContext, ssl.create_default_context, variables, versions


def _authorities(context: Any) -> Any:
    """How many a context has, and what it checks: what a program added or changed is not for all clients."""
    stats = None
    with suppress(NotImplementedError):  # By truststore, where they are the system's.
        stats = context.cert_store_stats()
    return stats, context.verify_mode, context.check_hostname, context.minimum_version
