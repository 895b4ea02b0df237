"""The sites, and what an address says: nothing here needs the SDK."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address
from socket import inet_aton
from urllib.parse import urlsplit, urlunsplit

ENV_PREFIX = "AITOEARN_"
SITES = {
    "cn": "https://aitoearn.cn",
    "ai": "https://aitoearn.ai",
    "sandbox": "http://127.0.0.1:8378",
}
"""Origin of each site. `cn` is the first server of the service's OpenAPI document, so the default."""

API_PATH = "/api/ai"
SANDBOX_KEY = "sandbox"

_OFFICIAL_HOSTS = {urlsplit(SITES[site]).hostname for site in ("cn", "ai")}
_LOCAL_NAMES = {"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"}
"""What systems call themselves."""
_ENDPOINT = re.compile(r"(/chat/completions|/models/chat|/images/(generations|edits)|/|\s)*$")


def normalize_base_url(url: str) -> str:
    """The SDK base URL that a pasted address of the service means.

    The service's guides show its origin, `/api`, `/api/ai` and whole endpoints; all of them lead to
    `/api/ai`. On another host, any other path stays as it is.

    Raises:
        ValueError: with what to write instead. The address itself is not repeated: it may hold a password.
    """
    try:
        url = url.partition("#")[0].strip()
        if not url.isprintable():  # Half a character is not, and neither is what steers a terminal.
            raise ValueError
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise ValueError("this is not an address; write it as https://aitoearn.cn") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(
            "write the address with its scheme, such as https://aitoearn.cn or http://localhost:8080"
        )
    if parts.scheme == "http" and host in _OFFICIAL_HOSTS:
        raise ValueError(f"write https://{host}: over plain http, others on the way could read the key")
    if "@" in parts.netloc:
        address = parts.netloc.rpartition("@")[2]
        raise ValueError(f"write the address without user name and password, as {parts.scheme}://{address}")
    if host in _OFFICIAL_HOSTS and port in (None, 443):
        return f"https://{host}{API_PATH}"
    if parts.query:
        raise ValueError(
            "write the address without the ? and what follows it; in code, default_query= sends that "
            "with each request"
        )
    path = _ENDPOINT.sub("", parts.path)
    if path in ("", "/api"):
        path = API_PATH
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


@lru_cache(maxsize=64)
def is_here(url: str) -> bool:
    """Whether an address leads to this machine, in any spelling that the system takes, such as `127.1` or `0.0.0.0`."""
    host = ""
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
        address = ip_address(host.partition("%")[0] if ":" in host else inet_aton(host))
    except (OSError, ValueError):  # A name.
        return host in _LOCAL_NAMES or host.endswith(".localhost")
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def site_hint(origin: str) -> str:
    """What to look at when AiToEarn refuses a key: nearly always it is a key of its other site."""
    for here, other in (("cn", "ai"), ("ai", "cn")):
        if origin == SITES[here]:
            return (
                f"The key was sent to {origin}, and a key belongs to the one site that it was created on. "
                f"If that is {SITES[other]}, set AITOEARN_SITE={other}."
            )
    return ""
