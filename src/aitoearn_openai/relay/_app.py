"""The relay, as an ASGI application or on a port: OpenAI's paths, for programs that have the token."""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import AsyncIterator, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import openai
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from .._hints import closest, origin
from .._local import HOST, listen, new_token
from .._models import ChatModel, find
from .._sdk.exceptions import family_of
from .._serving import MAX_BODY, bearer, in_thread, is_page, is_token, read_body, trust, until_disconnect
from .._settings import Settings, load, missing_key
from .._sites import SANDBOX_KEY
from ._service import ENDPOINTS, MASK, Failed, Service, json_response

log = logging.getLogger("aitoearn_openai.relay")
"""A warning for each request that fails, and at the level `INFO` a line for each other."""
log.addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Relay:
    """A running relay: where it is, and what programs give as their key."""

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
        host: The address to listen on.
        token: What programs give as their key; by default a new one.
        allow_origins: The addresses of web pages that may use the relay, with the token, such as
            `http://localhost:3000`; all others are refused.

    Raises:
        openai.OpenAIError: there is no key, or a setting has a bad value.
        OSError: if the port cannot be had; the message names it.
        ValueError: as for `app`.

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
    host, token = host.strip("[]"), new_token() if token is None else token.strip()
    served = app(settings, token, allow_origins=allow_origins)
    with listen(host, port) as listener:
        name = f"[{host}]" if ":" in host else host
        here = Relay(f"http://{name}:{listener.getsockname()[1]}/v1", token)
        with in_thread(served, listener, "relay"):
            yield here


def app(settings: Settings, token: str, *, allow_origins: Collection[str] = ()) -> ASGIApp:
    """The relay as an ASGI application, for a server of one's own, whose limits on connections and heads then hold.

    Args:
        settings: Where AiToEarn is, and the key.
        token: What programs send in the place of a key.
        allow_origins: As for `serve`.

    Raises:
        ValueError: the token is empty, is the key, or cannot stand in a header; or what should be the address of a page
            is not.
        openai.OpenAIError: a variable names a proxy that cannot be used, or the package for aiohttp is missing.

    Examples:
        >>> import uvicorn
        >>> uvicorn.run(app(Settings(), "a long secret"))  # doctest: +SKIP
    """
    token = token.strip()
    if not (token and token.isascii() and token.isprintable()):
        raise ValueError(
            "a header cannot carry this token: it needs printable ASCII characters, and no others"
        )
    if settings.api_key and token == settings.api_key.get_secret_value() != SANDBOX_KEY:
        raise ValueError("the token must not be the key, as programs would hold it then")
    service = Service(settings)
    origins = {_origin(each) for each in allow_origins}

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        yield
        await service.pool.aclose()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and log it."""
        began, level, words = time.monotonic(), logging.INFO, ""
        try:
            status = await respond(scope, receive, send)
        except ClientDisconnect:
            status, words = 499, ": the program went away"
        except Failed as failed:
            level, status, words = logging.WARNING, failed.response.status_code, f": {failed}"
            if not failed.is_sent:
                await failed.response(scope, receive, send)
        if log.isEnabledFor(level):
            line = f"{scope['method']} {scope['path']} {status} {time.monotonic() - began:.2f} s{words}"
            line = service.hide_key(line.replace(token, MASK))
            log.log(level, "%s", "".join(each if each.isprintable() else " " for each in line))

    async def respond(scope: Scope, receive: Receive, send: Send) -> int:
        headers, method = Headers(scope=scope), scope["method"]
        path = re.sub(r"^(/v1)+(?=/|$)|/+$", "", re.sub("/+", "/", scope["path"]))
        page = headers.get("origin", "")
        if page and page not in origins and (method == "OPTIONS" or is_page(page)):
            advice = f"start it with `--allow-origin {page}` if that page may use it with the token"
            raise Failed(403, f"The relay does not answer web pages, such as those of {page}: {advice}.")
        given = bearer(headers)
        if not is_token(given, token):
            sent = "a key that is not the token of this relay" if given else "no key"
            message = f"The program sends {sent}: its API key must be the token that the relay shows."
            raise Failed(401, message)
        trust(scope)
        if method == "POST" and path in ENDPOINTS:
            if headers.get("content-encoding", "identity").lower() != "identity":
                message = "The relay takes no compressed requests: set the program to send them as they are."
                raise Failed(415, message)
            large = Failed(413, f"The request is larger than the {MAX_BODY >> 20} MB that AiToEarn takes.")
            body = await read_body(Request(scope, receive), large)
            sending = service.forward(path, headers, body, scope, receive, send)
            return await until_disconnect(receive, sending)
        if method in ("GET", "HEAD") and re.match("/models(/|$)", path):
            models = await until_disconnect(receive, service.models(headers))
            await json_response(_listing(path, models))(scope, receive, send)
            return 200
        there = f"set the program to use POST {', '.join(ENDPOINTS)} or GET /models"
        raise Failed(404, f"AiToEarn has no {method} {path or '/'}: {there}.", "unknown_url")

    methods, every = ("GET", "HEAD", "POST"), ("*",)
    shared = CORSMiddleware(
        answer, origins, methods, allow_headers=every, expose_headers=every, allow_private_network=True
    )

    async def start(scope: Scope, receive: Receive, send: Send) -> None:
        is_allowed = origins and Headers(scope=scope).get("origin") in origins
        await (shared if is_allowed else answer)(scope, receive, send)

    return Router(lifespan=lifespan, redirect_slashes=False, default=start)


def _origin(page: str) -> str:
    """The origin of a page as browsers send it; raises `ValueError` where it has none."""
    if page == "null":
        return page
    family = family_of(openai.DefaultHttpxClient)
    with contextlib.suppress(family.InvalidURL):
        url = family.URL(page.strip())
        if url.scheme and url.host and {"*", "%"}.isdisjoint(url.host):
            return origin(url)
    raise ValueError(f"{page!r} is not the address of a page, such as http://localhost:3000")


def _listing(path: str, models: list[ChatModel]) -> dict[str, Any]:
    if path == "/models":
        return {"object": "list", "data": [_entry(model) for model in models]}
    name = path.removeprefix("/models/")
    found = find(models, name)
    if isinstance(found, ChatModel):
        return _entry(found)
    raise Failed(404, f"AiToEarn has no model {name!r}. {closest(found)}".rstrip(), "model_not_found")


def _entry(model: ChatModel) -> dict[str, Any]:
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": model.owned_by}
