"""The sandbox as an ASGI application: routes, keys and the service's envelope."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from uuid import uuid4

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from .._models import ChatModel
from .._serving import bearer, is_token, other_name, other_page, read_body, trust, until_disconnect
from .._sites import API_PATH, SANDBOX_KEY
from . import _replies, _request
from ._catalogue import EDIT_ENTRIES, ENTRIES, GENERATION_ENTRIES, MODELS
from ._failures import FAILURES, PAGE, SLOW, SLOW_SECONDS, STREAM_FAILURES, NotTheService, Refused, Tries, act
from ._upstream import Engine

_GENERATION, _EDIT = "/models/image/generation", "/models/image/edit"
_LISTS = {"/models/chat": ENTRIES, _GENERATION: GENERATION_ENTRIES, _EDIT: EDIT_ENTRIES}
_DRAWN_BY = {"/images/generations": _GENERATION, "/images/edits": _EDIT}
_NAMES = {path: {entry["name"] for entry in entries} for path, entries in _LISTS.items()}
_ENCODED = {path: _replies.dumps(entries) for path, entries in _LISTS.items()}


def app(
    upstream: str | None = None,
    upstream_key: str | None = None,
    *,
    token: str | None = None,
    local: bool = True,
) -> Starlette:
    """The sandbox as an ASGI application, for your own server.

    Args:
        upstream: The base URL of an OpenAI-compatible engine, which then answers for its own models.
        upstream_key: The engine's key. Whoever has the token can spend from it.
        token: The key that the sandbox takes, in the place of `sandbox`; it begins with that word.
        local: With an engine, answer only requests to this machine by its own name, which keeps web pages out.

    Raises:
        ValueError: there is a key of the engine, and no token; or the token does not begin with `sandbox`.

    Examples:
        >>> import uvicorn
        >>> uvicorn.run(app())  # doctest: +SKIP
    """
    if upstream_key and not token:
        raise ValueError("a sandbox that spends from an engine's key needs a token")
    if token and not token.startswith(SANDBOX_KEY):
        raise ValueError(
            f"the token must begin with {SANDBOX_KEY!r}, as settings send no other key to a sandbox"
        )
    engine = Engine(upstream, upstream_key) if upstream else None

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        if engine:
            await engine.close()

    application = Starlette(
        lifespan=lifespan,
        routes=[
            *(Route(f"{API_PATH}{path}", _models) for path in _LISTS),
            Route(f"{API_PATH}/chat/completions", _chat, methods=["POST"]),
            *(Route(f"{API_PATH}{path}", _images, methods=["POST"]) for path in _DRAWN_BY),
        ],
        exception_handlers={
            404: _on_no_route,
            405: _on_no_route,
            Refused: _on_refused,
            NotTheService: _on_page,
            RecursionError: _on_refused,
            ClientDisconnect: _on_disconnect,
        },
    )
    application.router.redirect_slashes = False
    application.state.engine = engine
    application.state.token = token or SANDBOX_KEY
    application.state.local = local and engine is not None
    application.state.tries = Tries()
    return application


class _Stream:
    """Encoded events, each sent at once; an unfinished stream ends with the connection."""

    def __init__(self, request_id: str, events: list[bytes], *, finished: bool = True) -> None:
        self.headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-cache"),
            (b"x-request-id", request_id.encode("latin-1")),
        ]
        self.events = events
        self.finished = finished

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.headers})
        for event in self.events:
            await send({"type": "http.response.body", "body": event, "more_body": True})
            await asyncio.sleep(0)  # lets the server notice that the client has gone
        if self.finished:
            await send({"type": "http.response.body"})


async def _models(request: Request) -> Response:
    _check(request, b"", bearer_needed=False)
    request_id = _request_id(request)
    engine: Engine | None = request.app.state.engine
    entries = (
        _replies.dumps(await until_disconnect(request.receive, engine.models()))
        if engine
        else _ENCODED[_path(request)]
    )
    success = f'"code":0,"message":"请求成功","requestId":{_replies.dumps(request_id).decode()}'
    return _reply(request_id, b'{"data":%b,%b}' % (entries, success.encode()))


async def _chat(request: Request) -> Response | _Stream:
    raw = await read_body(request, Refused(500, "request entity too large"))
    _check(request, raw, bearer_needed=True)
    body = _request.parse(raw)
    name = _request.model_name(body)
    model = await _model(name, request, raw)
    question = _request.question(body, raw)
    if isinstance(model, Engine):
        return await _answer_of(model, request, raw)
    request_id = _request_id(request)
    if not question.stream:
        return _reply(request_id, _replies.completion(question, model, name))
    events = _replies.events(question, model, name)
    if name not in STREAM_FAILURES:
        return _Stream(request_id, events)
    endings = {
        "fail-stream-error": [b"event: error\ndata: the model stopped answering\n\n"],
        "fail-stream-envelope": [b"data: " + _envelope(request_id, 12301, "AI model call failed") + b"\n\n"],
    }
    half = events[: len(events) // 2]
    return _Stream(request_id, half + endings.get(name, []), finished=name in endings)


async def _images(request: Request) -> Response:
    raw = await read_body(request, Refused(500, "request entity too large"))
    _check(request, raw, bearer_needed=True)
    kind = request.headers.get("content-type", "")
    body = _request.parse_form(raw, kind) if kind.lower().startswith("multipart/") else _request.parse(raw)
    model = await _model(_request.model_name(body), request, raw)
    if isinstance(model, Engine):
        return await _answer_of(model, request, raw)
    return _reply(_request_id(request), _replies.pictures(_request.picture_count(body)))


def _check(request: Request, raw: bytes, *, bearer_needed: bool) -> None:
    """Refuse web pages, and a wrong key: chat and images go by the bearer, the model list by `X-Api-Key` if there is one."""
    headers, token = request.headers, request.app.state.token
    if request.app.state.local and (why := other_name(headers)):
        raise Refused(403, why)
    if request.app.state.local and (page := other_page(headers)):
        raise Refused(403, f"The sandbox does not answer web pages, such as those of {page}.")
    key = bearer(headers)
    header = headers.get("x-api-key", SANDBOX_KEY if token == SANDBOX_KEY else key)
    bearer_good, header_good = _is_good(key, request, raw), _is_good(header, request, raw)
    if not (bearer_good if bearer_needed else header_good):
        raise Refused(401, "Unauthorized")
    trust(request.scope)


def _is_good(key: str, request: Request, raw: bytes) -> bool:
    """Whether it is the token, or a name that has failed as it does and would not fail again."""
    token = request.app.state.token
    return is_token(key, token) or (act(key, lambda: _is_first_try(request, raw)) and token == SANDBOX_KEY)


async def _answer_of(engine: Engine, request: Request, raw: bytes) -> Response:
    request_id = _request_id(request)
    broken = _envelope(request_id, 12301, "AI model call failed: the engine broke off")
    answer = engine.answer(
        _path(request),
        raw,
        request.headers.get("content-type", "application/json"),
        request_id,
        ending=b"data: " + broken + b"\n\n",
    )
    return await until_disconnect(request.receive, answer)


async def _model(name: str, request: Request, raw: bytes) -> ChatModel | Engine:
    """What answers for the model of that name: the sandbox, or the engine behind it."""
    acted = act(name, lambda: _is_first_try(request, raw))
    if name == SLOW:
        await asyncio.sleep(SLOW_SECONDS)
    if acted or name in FAILURES:
        return MODELS["glm-5.2"]
    engine: Engine | None = request.app.state.engine
    path = _DRAWN_BY.get(_path(request), "/models/chat")
    if not (await until_disconnect(request.receive, engine.has(name)) if engine else name in _NAMES[path]):
        raise Refused(12300, f"Model not found: {name}")
    return engine or MODELS.get(name, MODELS["glm-5.2"])


def _path(request: Request) -> str:
    return request.url.path.removeprefix(API_PATH)


def _is_first_try(request: Request, raw: bytes) -> bool:
    headers = request.headers
    same = (request.url.path, headers.get("authorization"), headers.get("x-api-key"), raw)
    tries: Tries = request.app.state.tries
    return tries.is_first(same, headers.get("x-stainless-retry-count", ""))


def _request_id(request: Request) -> str:
    return request.headers.get("x-request-id") or uuid4().hex


def _reply(request_id: str, content: bytes, media_type: str = "application/json") -> Response:
    return Response(content, headers={"X-Request-Id": request_id}, media_type=media_type)


def _envelope(request_id: str, code: int, message: str) -> bytes:
    now = time.time_ns() // 1_000_000
    body = {"data": {}, "code": code, "message": message, "timestamp": now, "requestId": request_id}
    return _replies.dumps(body)


async def _on_refused(request: Request, error: Exception) -> Response:
    request_id = _request_id(request)
    refused = error if isinstance(error, Refused) else Refused(400, "the body is nested too deeply")
    return _reply(request_id, _envelope(request_id, refused.code, refused.message))


async def _on_no_route(request: Request, error: Exception) -> Response:
    return await _on_refused(request, Refused(404, f"Cannot {request.method} {request.url.path}"))


async def _on_page(request: Request, error: Exception) -> Response:
    return _reply(_request_id(request), PAGE, "text/html")


async def _on_disconnect(request: Request, error: Exception) -> Response:
    return Response()  # nobody reads it
