"""The sandbox, as an ASGI application or on a port: routes, keys and the service's envelope."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from .._local import HOST, listen
from .._serving import bearer, in_thread, is_page, is_token, read_body, trust, until_disconnect
from .._settings import Settings
from .._sites import API_PATH, SANDBOX_KEY
from . import _replies, _request
from ._catalogue import EDIT_ENTRIES, ENTRIES, GENERATION_ENTRIES, MODELS
from ._failures import (
    FAILURES,
    PAGE,
    SLOW,
    SLOW_SECONDS,
    STREAM_FAILURES,
    NotTheService,
    Refused,
    failure_named,
)
from ._upstream import Engine

_CHAT, _GENERATION, _EDIT = "/models/chat", "/models/image/generation", "/models/image/edit"
_LISTS = {_CHAT: ENTRIES, _GENERATION: GENERATION_ENTRIES, _EDIT: EDIT_ENTRIES}
_LIST_FOR = {"/chat/completions": _CHAT, "/images/generations": _GENERATION, "/images/edits": _EDIT}
"""The endpoints that answer by a model, with the list that has its name."""
_NAMES = {path: {entry["name"] for entry in entries} for path, entries in _LISTS.items()}
_OWN_NAME = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?", re.IGNORECASE)


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox: where it is and the key that it takes."""

    base_url: str
    """The SDK base URL, such as `http://127.0.0.1:8378/api/ai`."""

    api_key: str = field(default=SANDBOX_KEY, repr=False)

    @property
    def settings(self) -> Settings:
        """Settings of a client of this sandbox."""
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
    """
    with listen(HOST, port) as listener:
        token = f"{SANDBOX_KEY}-{secrets.token_hex(24)}" if upstream_key else SANDBOX_KEY
        site = Sandbox(f"http://{HOST}:{listener.getsockname()[1]}{API_PATH}", token)
        with in_thread(app(upstream, upstream_key, token=token), listener, "sandbox"):
            yield site


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
    """
    if upstream_key and not token:
        raise ValueError("a sandbox that spends from an engine's key needs a token")
    if token and not token.startswith(SANDBOX_KEY):
        raise ValueError(
            f"the token must begin with {SANDBOX_KEY!r}, as settings send no other key to a sandbox"
        )
    engine = Engine(upstream, upstream_key) if upstream else None
    service = _Service(engine, token or SANDBOX_KEY, is_local=local and engine is not None)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        if engine:
            await engine.close()

    failures = (404, 405, Refused, NotTheService, ClientDisconnect)
    application = Starlette(
        lifespan=lifespan,
        routes=[
            *(Route(f"{API_PATH}{path}", service.models) for path in _LISTS),
            *(Route(f"{API_PATH}{path}", service.answer, methods=["POST"]) for path in _LIST_FOR),
        ],
        exception_handlers=dict.fromkeys(failures, _on_failure),
    )
    application.router.redirect_slashes = False
    return application


@dataclass
class _Service:
    """What answers: the sandbox itself, or the engine behind it."""

    engine: Engine | None
    token: str
    is_local: bool
    failed: set[int] = field(default_factory=set)
    """The requests that have failed once and were not asked again yet."""

    async def models(self, request: Request) -> Response:
        self.check(request, b"")
        entries = _LISTS[_path(request)]
        if self.engine:
            entries = await until_disconnect(request.receive, self.engine.models())
        listed = {"data": entries, "code": 0, "message": "请求成功", "requestId": _request_id(request)}
        return _reply(request, _replies.dumps(listed))

    async def answer(self, request: Request) -> Response:
        raw = await read_body(request, Refused(500, "request entity too large"))
        self.check(request, raw)
        path, kind = _path(request), request.headers.get("content-type", "application/json")
        is_form = kind.lower().startswith("multipart/")
        body = _request.parse_form(raw, kind) if is_form else _request.parse(raw)
        name = _request.required_text(body, "model")
        is_engines = await self.is_engines(name, request, raw)
        is_chat = path == "/chat/completions"
        wanted: Any = _request.question(body, raw) if is_chat else _request.picture_count(body)
        if self.engine and is_engines:
            ending = _event(_envelope(request, 12301, "AI model call failed: the engine broke off"))
            answer = self.engine.answer(path, raw, kind, _request_id(request), ending)
            return await until_disconnect(request.receive, answer)
        if not is_chat:
            return _reply(request, _replies.pictures(wanted))
        model = MODELS.get(name, MODELS["glm-5.2"])
        if not wanted.stream:
            return _reply(request, _replies.completion(wanted, model, name))
        events = _replies.events(wanted, model, name)
        if name in STREAM_FAILURES:
            events = events[: len(events) // 2]
        if name == "fail-stream-error":
            events.append(b"event: error\ndata: the model stopped answering\n\n")
        elif name == "fail-stream-envelope":
            events.append(_event(_envelope(request, 12301, "AI model call failed")))
        return _Stream(_request_id(request), events, is_finished=name != "fail-stream-cut")

    def check(self, request: Request, raw: bytes) -> None:
        """Refuse web pages, and a wrong key: chat and images go by the bearer, a list by `X-Api-Key` if there is one."""
        headers, is_list = request.headers, request.method != "POST"
        if self.is_local:
            host, page = " ".join(headers.getlist("host")), headers.get("origin", "")
            if not _OWN_NAME.fullmatch(host):
                raise Refused(403, "The sandbox answers only at the address that it shows.")
            if is_page(page):
                raise Refused(403, f"The sandbox does not answer web pages, such as those of {page}.")
        key = (is_list and headers.get("x-api-key")) or bearer(headers)
        has_failed = self.fail(key, request, raw)
        is_public = self.token == SANDBOX_KEY and is_list and "x-api-key" not in headers
        if not (is_token(key, self.token) or is_public or (has_failed and self.token == SANDBOX_KEY)):
            raise Refused(401, "Unauthorized")
        trust(request.scope)

    def fail(self, name: str, request: Request, raw: bytes) -> bool:
        """Fail if the model or key of that name does; return whether it is one that fails once and did."""
        failure, is_once = failure_named(name)
        if failure and not (is_once and self.is_retry(request, raw)):
            raise failure
        return failure is not None

    def is_retry(self, request: Request, raw: bytes) -> bool:
        """Whether a request has failed before: the SDK counts its tries; others say nothing, or `0` each time."""
        headers = request.headers
        asked = hash((request.url.path, headers.get("authorization"), headers.get("x-api-key"), raw))
        is_retry = bool(headers.get("x-stainless-retry-count", "").strip("0")) or asked in self.failed
        (self.failed.discard if is_retry else self.failed.add)(asked)
        return is_retry

    async def is_engines(self, name: str, request: Request, raw: bytes) -> bool:
        """Whether the engine answers for the model of that name; raises where nobody does."""
        has_failed = self.fail(name, request, raw)
        if name == SLOW:
            await asyncio.sleep(SLOW_SECONDS)
        if has_failed or name in FAILURES:
            return False
        if self.engine:
            is_known = await until_disconnect(request.receive, self.engine.has(name))
        else:
            is_known = name in _NAMES[_LIST_FOR[_path(request)]]
        if not is_known:
            raise Refused(12300, f"Model not found: {name}")
        return self.engine is not None


class _Stream(StreamingResponse):
    """Encoded events, each sent at once; an unfinished stream ends with the connection."""

    def __init__(self, request_id: str, events: list[bytes], *, is_finished: bool) -> None:
        headers = {"Cache-Control": "no-cache", "X-Request-Id": request_id}
        super().__init__((), headers=headers, media_type="text/event-stream")
        self.events, self.is_finished = events, is_finished

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        for event in self.events:
            await send({"type": "http.response.body", "body": event, "more_body": True})
            await asyncio.sleep(0)  # lets the server notice that the client has gone
        if self.is_finished:
            await send({"type": "http.response.body"})


def _path(request: Request) -> str:
    return request.url.path.removeprefix(API_PATH)


def _request_id(request: Request) -> str:
    """What the client calls its request, or else a new name, the same for all of it."""
    if not hasattr(request.state, "id"):
        request.state.id = request.headers.get("x-request-id") or uuid4().hex
    return str(request.state.id)


def _reply(request: Request, content: bytes, media_type: str = "application/json") -> Response:
    return Response(content, headers={"X-Request-Id": _request_id(request)}, media_type=media_type)


def _envelope(request: Request, code: int, message: str) -> bytes:
    now = time.time_ns() // 1_000_000
    body = {"data": {}, "code": code, "message": message, "timestamp": now, "requestId": _request_id(request)}
    return _replies.dumps(body)


def _event(data: bytes) -> bytes:
    return b"data: %b\n\n" % data


async def _on_failure(request: Request, error: Exception) -> Response:
    if isinstance(error, ClientDisconnect):
        return Response()  # nobody reads it
    if isinstance(error, NotTheService):
        return _reply(request, PAGE, "text/html")
    if not isinstance(error, Refused):
        error = Refused(404, f"Cannot {request.method} {request.url.path}")
    return _reply(request, _envelope(request, error.code, error.message))
