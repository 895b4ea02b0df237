"""The HTTP clients that are made here: they share a TLS context, and close themselves as the SDK's do."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import sys
from contextlib import suppress
from typing import Any
from urllib.request import getproxies

import openai

from ._sdk.errors import family_of
from ._sites import needs_no_proxy

_LOCAL = "all://localhost", "all://*.localhost", "all://127.0.0.1", "all://[::1]"
_IPV6 = re.compile(r"\[[\da-f:.]+\](/\d+)?|[\da-f]*:[\da-f:.]*/\d+", re.IGNORECASE)

_TLS_OPTIONS = (
    "check_hostname",
    "hostname_checks_common_name",
    "keylog_filename",
    "maximum_version",
    "minimum_version",
    "options",
    "post_handshake_auth",
    "verify_flags",
    "verify_mode",
)


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

    Args:
        is_async: Whether it is for an async client.
        backend: `httpx` or `aiohttp`.
        base_url: The address that it is for.

    Raises:
        openai.OpenAIError: aiohttp is wanted but not installed, or a variable names a proxy that cannot be used.
    """
    make: Any = _AsyncPool if is_async else _Pool
    if is_async and backend == "aiohttp":
        make = openai.DefaultAioHttpClient
    options = {"verify": _tls_context(), "trust_env": not needs_no_proxy(base_url)}
    if options["trust_env"] and getproxies():  # A copy of a client may have another address.
        options["mounts"] = dict.fromkeys(_LOCAL)
    try:
        return make(**options)
    except RuntimeError:
        raise openai.OpenAIError(
            "AITOEARN_HTTP_BACKEND=aiohttp needs a package that is missing: pip install 'aitoearn-openai[aiohttp]'."
        ) from None
    except (ImportError, ValueError, family_of(_Pool).InvalidURL):  # All else is ready made: it is a proxy.
        raise openai.OpenAIError(_proxy_problem()) from None


_shared: tuple[Any, Any, Any] | None = None
"""The TLS context that was made last, between what it was made of and how it was then."""


def _tls_context() -> Any:
    """What the SDK makes anew for each client, in nearly all of the time that a client takes to make."""
    global _shared
    origin, shared = _tls_origin(), _shared
    if not shared or shared[0] != origin or _tls_state(shared[1]) != shared[2]:
        context = family_of(_Pool).create_ssl_context()
        _shared = shared = origin, context, _tls_state(context)
    return shared[1]


def _tls_origin() -> Any:
    """All that a TLS context depends on. A folder is asked at each handshake, so that sharing would gain nothing there."""
    names = "SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"
    file, folder, _ = variables = [os.environ.get(name) for name in names]
    if folder and not file:
        return object()
    files = [file] if file else [ssl.get_default_verify_paths().openssl_cafile]
    if not file and (certifi := sys.modules.get("certifi")):
        files.append(certifi.where())  # pragma: no cover - httpx2, in newer SDKs, asks the system
    versions = []
    for path in files:
        with suppress(OSError):
            found = os.stat(path)
            versions.append((path, found.st_ino, found.st_size, found.st_mtime_ns))
    return ssl.SSLContext, ssl.create_default_context, variables, versions


def _tls_state(context: Any) -> Any:
    """What can be seen of a TLS context: another state says that a caller has changed it."""
    ciphers = [cipher["name"] for cipher in context.get_ciphers()]
    authorities = None
    with suppress(NotImplementedError):  # By truststore, where they are the system's.
        authorities = context.cert_store_stats()
    return ciphers, authorities, [getattr(context, name, None) for name in _TLS_OPTIONS]


def _proxy_problem() -> str:
    """Which variable names a proxy that cannot be used, and what to do; not its value, which may hold a password."""
    for name in ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"):
        for spelling in (name.lower(), name):
            scheme, found, _ = os.environ.get(spelling, "").partition("://")
            if found and scheme.lower() in ("socks5", "socks5h"):
                return (
                    f"{spelling} names a {scheme} proxy, for which a package is missing: pip install socksio. "
                    f"Or name an http:// proxy, or unset {spelling}."
                )
            if found and scheme.lower() not in ("http", "https"):
                return (
                    f"{spelling} names a proxy of the kind {scheme}://, which is not supported: write socks5:// or "
                    f"http://, as the proxy is, or unset {spelling}."
                )
    if family_of(_Pool).__name__ == "httpx":  # pragma: no cover - httpx2, in newer SDKs, reads every host
        for spelling in ("no_proxy", "NO_PROXY"):
            for host in map(str.strip, os.environ.get(spelling, "").split(",")):
                if _IPV6.fullmatch(host):
                    return (
                        f"{spelling} has {host!r}, which httpx cannot read: write the address without brackets and "
                        "without what follows the slash, or take it out."
                    )
    return "A proxy of the environment cannot be used: correct or unset ALL_PROXY, HTTPS_PROXY, HTTP_PROXY and NO_PROXY."
