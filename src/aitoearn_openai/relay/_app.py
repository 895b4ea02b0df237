"""The relay as an ASGI application: OpenAI's paths, for programs that have the token."""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import AsyncIterator, Collection
from typing import Any

import openai
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from .._hints import closest, origin
from .._models import ChatModel, find
from .._sdk.errors import family_of
from .._serving import (
    MAX_BODY,
    bearer,
    is_token,
    other_name,
    other_page,
    read_body,
    trust,
    until_disconnect,
)
from .._settings import Settings
from .._sites import SANDBOX_KEY
from ._service import ENDPOINTS, MASK, Failed, Service, json_response

_METHODS = "GET", "HEAD", "POST"

log = logging.getLogger("aitoearn_openai.relay")
"""A warning for each request that fails, and at the level `INFO` a line for each other."""
log.addHandler(logging.NullHandler())


def app(
    settings: Settings, token: str, *, local: bool = True, allow_origins: Collection[str] = ()
) -> ASGIApp:
    """The relay as an ASGI application, for a server of one's own, whose limits on connections and heads then hold.

    Args:
        settings: Where AiToEarn is, and the key.
        token: What programs send in the place of a key.
        local: Answer only requests to this machine by its own name, and show the model list without a token. Otherwise
            nothing is answered without the token.
        allow_origins: The addresses of web pages that may use the relay, with the token, such as
            `http://localhost:3000`; all others are refused.

    Raises:
        ValueError: the token is empty, or the key; or what should be the address of a page is not.

    Examples:
        >>> import uvicorn
        >>> uvicorn.run(app(Settings(), "a long secret"))  # doctest: +SKIP
    """
    token = token.strip()
    if not token:
        raise ValueError("the relay needs a token that is not empty")
    if settings.api_key and token == settings.api_key.get_secret_value() != SANDBOX_KEY:
        raise ValueError("the token must not be the key, as programs would hold it then")
    service = Service(settings)
    origins = {_origin(each) for each in allow_origins}

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        yield
        await service.close()

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
        is_preflight = bool(page) and method == "OPTIONS" and "access-control-request-method" in headers
        if local and (why := other_name(headers)):
            raise Failed(403, why)
        if page not in origins and (is_preflight or other_page(headers)):
            advice = f"start it with `--allow-origin {page}` if that page may use it with the token"
            raise Failed(403, f"The relay does not answer web pages, such as those of {page}: {advice}.")
        given, is_reading = bearer(headers), method in ("GET", "HEAD")
        has_token = is_token(given, token)
        # A page without an origin, such as one in a frame, is not of this machine either.
        is_page = page == "null" or headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        if not (has_token or (local and is_reading and path == "/models" and not is_page)):
            sent = "a key that is not the token of this relay" if given else "no key"
            message = f"The program sends {sent}: its API key must be the token that the relay shows."
            raise Failed(401, message)
        if has_token:
            trust(scope)
        if method == "POST" and path in ENDPOINTS:
            if headers.get("content-encoding", "identity").lower() != "identity":
                message = "The relay takes no compressed requests: set the program to send them as they are."
                raise Failed(415, message)
            large = Failed(413, f"The request is larger than the {MAX_BODY >> 20} MB that AiToEarn takes.")
            body = await read_body(Request(scope, receive), large)
            sending = service.forward(path, headers, body, scope, receive, send)
            return await until_disconnect(receive, sending)
        if not (is_reading and re.match("/models(/|$)", path)):
            raise _no_path(method, path)
        listed = service.models(headers) if has_token else service.models_for_strangers()
        content = _listing(path, await until_disconnect(receive, listed))
        await json_response(content)(scope, receive, send)
        return 200

    shared = CORSMiddleware(
        answer, origins, _METHODS, allow_headers=["*"], expose_headers=["*"], allow_private_network=True
    )

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        is_allowed = origins and Headers(scope=scope).get("origin") in origins
        await (shared if is_allowed else answer)(scope, receive, send)

    return Router(lifespan=lifespan, redirect_slashes=False, default=serve)


def _origin(page: str) -> str:
    """The origin of a page as browsers send it.

    Raises:
        ValueError: it has none.
    """
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


def _no_path(method: str, path: str) -> Failed:
    message = f"AiToEarn has no {method} {path or '/'}; it has GET /models and POST {', '.join(ENDPOINTS)}."
    if path.startswith("/responses"):
        message = "AiToEarn has no Responses API: set the program to use chat completions."
    allowed = "POST" if path in ENDPOINTS else "GET, HEAD" if re.match("/models(/|$)", path) else ""
    return Failed(405 if allowed else 404, message, "unknown_url", {"allow": allowed} if allowed else None)
