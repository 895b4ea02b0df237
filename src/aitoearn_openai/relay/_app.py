"""The relay as an ASGI application: OpenAI's paths, for programs that have the token."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Awaitable
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .._hints import closest
from .._models import ChatModel, find
from .._serving import MAX_BODY, TRUST, foreign, is_token, read_body, until_disconnect
from .._settings import Settings
from .._sites import SANDBOX_KEY
from ._service import Answer, Failed, Service, error_response, json_response

_ENDPOINTS = ("/chat/completions", "/images/generations", "/images/edits")


def app(settings: Settings, token: str, *, local: bool = True) -> ASGIApp:
    """The relay as an ASGI application, for a server of one's own, whose limits on connections and heads then hold.

    Args:
        settings: Where AiToEarn is, and the key.
        token: What programs send in the place of a key.
        local: Answer only requests to this machine by its own name, which keeps web pages out, and show the model
            list without a token. Otherwise nothing is answered without the token.

    Raises:
        ValueError: the token is empty, or the key.

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

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await service.close()

    def listed(request: Request) -> Awaitable[list[ChatModel]]:
        return service.models(request.headers) if request.state.has_token else service.models_for_strangers()

    async def models(request: Request) -> Response:
        data = [_entry(model) for model in await until_disconnect(request.receive, listed(request))]
        return json_response({"object": "list", "data": data})

    async def model(request: Request) -> Response:
        name = request.path_params["name"]
        found = find(await until_disconnect(request.receive, listed(request)), name)
        if isinstance(found, ChatModel):
            return json_response(_entry(found))
        message = f"AiToEarn has no model {name!r}. {closest(found)}".rstrip()
        raise Failed(404, message, "model_not_found")

    async def forward(request: Request) -> Answer:
        return Answer(service, request.scope["path"], request.headers, await _body(request))

    routes = Starlette(
        lifespan=lifespan,
        routes=[
            Route("/models", models),
            Route("/models/{name:path}", model),
            *(Route(path, forward, methods=["POST"]) for path in _ENDPOINTS),
        ],
        exception_handlers={
            HTTPException: _on_no_route,
            Failed: _on_failed,
            ClientDisconnect: _on_disconnect,
        },
    )
    routes.router.redirect_slashes = False

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = re.sub(r"^(/v1)+(?=/|$)|/+$", "", re.sub("/+", "/", scope["path"]))
            headers = Headers(scope=scope)
            # A page of no origin, such as one in a frame, is none of this machine's either.
            is_page = headers.get("origin", "") == "null"
            is_page |= headers.get("sec-fetch-site", "none") not in (
                "none",
                "same-origin",
            )  # Also without an origin.
            public = local and path == "/models" and scope["method"] in ("GET", "HEAD") and not is_page
            if local and (why := foreign(headers, "relay")):
                return await error_response(403, why)(scope, receive, send)
            scheme, _, given = headers.get("authorization", "").partition(" ")
            given = given.strip()
            has_token = scheme.lower() == "bearer" and is_token(given, token)
            if not (has_token or public):
                sent = "a key that is not the token of this relay" if given else "no key"
                message = f"The program sends {sent}: its API key must be the token that the relay shows."
                return await error_response(401, message)(scope, receive, send)
            state = scope.get("state", {})
            if has_token and TRUST in state:
                state[TRUST]()
            scope = {**scope, "path": path, "state": {**state, "has_token": has_token}}
        return await routes(scope, receive, send)

    return guarded


def _entry(model: ChatModel) -> dict[str, Any]:
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": model.owned_by}


async def _body(request: Request) -> bytes:
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Failed(415, "The relay takes no compressed requests: set the program to send them as they are.")
    body = await read_body(request)
    if body is None:
        raise Failed(413, f"The request is larger than the {MAX_BODY >> 20} MB that AiToEarn takes.")
    return body


async def _on_no_route(request: Request, error: Any) -> Response:
    path = request.scope["path"]
    message = f"AiToEarn has no {request.method} {path or '/'}; it has GET /models and POST {', '.join(_ENDPOINTS)}."
    if path.startswith("/responses"):
        message = "AiToEarn has no Responses API: set the program to use chat completions."
    return error_response(error.status_code, message, "unknown_url", error.headers)


async def _on_failed(request: Request, error: Any) -> Response:
    return error_response(*error.args)


async def _on_disconnect(request: Request, error: Exception) -> Response:
    return Response()  # nobody reads it
