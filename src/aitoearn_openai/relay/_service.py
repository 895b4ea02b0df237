"""AiToEarn behind the relay: asked with its key, and its failures in OpenAI's form."""

from __future__ import annotations

import codecs
import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar
from urllib.parse import urlsplit

import openai
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .._errors import QUOTE, Failure, failure_in, has_images, is_completion
from .._events import Events
from .._hints import API_KEY_HEADER, origin
from .._json import decode_json
from .._models import ChatModel, named
from .._sdk.errors import family_of
from .._sdk.pools import make_pool
from .._serving import for_client
from .._settings import Settings, site_hint
from ..batch import LINE_ENDS, causes

_SENT_ON = {b"accept", b"accept-language", b"content-type", b"user-agent", b"x-request-id"}
_SENT_BACK = re.compile(r"retry-after(-ms)?|x-request-id|x-should-retry|x-ratelimit-.*")
_PASSES = {408, 429, 500, 502, 503, 504}
"""Statuses with which a server has no words because it is busy or away, at whatever address."""
_MASK = "**********"
_SHORT = 8
"""A key of fewer characters may be an everyday word: without it, names of fields and sentences would be spoilt."""
_Words = TypeVar("_Words", str, bytes)
_BLANK = codecs.BOM_UTF8 + b" \t\r\n"


class Failed(Exception):
    """A request that ends in an error; the arguments are those of `error_response`."""


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON in OpenAI's form."""
    # Chinese stays readable, as some programs show what came; half a character, and what some readers take for the
    # end of a line, are escaped.
    text = json.dumps(content, ensure_ascii=False).translate(LINE_ENDS)
    return Response(text.encode(errors="backslashreplace"), status, headers, "application/json")


def error_response(
    status: int, message: str, code: object = None, headers: dict[str, str] | None = None
) -> Response:
    """An error in OpenAI's form."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    error = {"message": message, "type": kind, "param": None, "code": None if code is None else str(code)}
    return json_response({"error": error}, status, headers)


class Service:
    """AiToEarn at the address of the settings, with their key, timeout and backend."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._key = settings.api_key.get_secret_value() if settings.api_key else ""
        self._origin = "{0.scheme}://{0.netloc}".format(urlsplit(settings.base_url))
        self._pool: Any = None

    async def close(self) -> None:
        """Give back the connections."""
        if self._pool:
            await self._pool.aclose()

    async def models(self, headers: Headers) -> list[ChatModel]:
        """The chat models.

        Raises:
            Failed: there is no list.
        """
        # Redirects are not followed: the second header with the key would go along to any origin.
        async with self.ask("GET", "/models/chat", headers, {API_KEY_HEADER: self._key}, False) as answer:
            content = await answer.aread()
        body = self.checked(answer, content)
        entries = named(body.get("data")) if isinstance(body, dict) else None
        if not isinstance(entries, list):
            raise self.unexpected(answer, content, "a model list")
        return [ChatModel.model_validate(entry) for entry in entries]

    @contextlib.asynccontextmanager
    async def ask(
        self,
        method: str,
        path: str,
        headers: Headers,
        more_headers: dict[str, str],
        follow_redirects: bool,
        body: bytes | None = None,
    ) -> AsyncIterator[Any]:
        """The service's answer, its body unread.

        Raises:
            Failed: there is none, or it breaks off inside the `with` block.
        """
        with self.reached():
            if self._pool is None:
                self._pool = make_pool(
                    is_async=True,
                    backend=self._settings.http_backend,
                    base_url=self._settings.base_url,
                )
                self._pool.timeout = self._settings.timeout or self._pool.timeout
                # Those of one program would go on with the requests of another.
                self._pool.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            request = self._pool.build_request(
                method,
                self._settings.base_url + path,
                content=body,
                headers=[(name, value) for name, value in headers.raw if name in _SENT_ON],
            )
            own = {"authorization": f"Bearer {self._key}", "accept-encoding": "identity"}
            request.headers.update(own | more_headers)
            answer = await self._pool.send(request, stream=True, follow_redirects=follow_redirects)
            try:
                yield answer
            finally:
                await answer.aclose()

    @contextlib.contextmanager
    def reached(self) -> Iterator[None]:
        try:
            yield
        except openai.OpenAIError as error:  # A setting with which there can be no connection.
            raise Failed(500, str(error)) from None
        except Exception as error:
            is_known = isinstance(error, family_of(openai.DefaultAsyncHttpxClient).RequestError)
            if not is_known and not type(error).__module__.startswith("aiohttp."):
                raise
            kind = type(error).__name__
            status = 504 if "Timeout" in kind else 502
            systems = [str(each) for each in causes(error) if isinstance(each, OSError) and each.errno]
            why = ": ".join(dict.fromkeys([str(error) or kind, *systems[:1]]))
            message = f"The connection to {self._origin} failed: {why}."
            raise Failed(status, self.hide_key(message)) from None

    def checked(self, answer: Any, content: bytes) -> Any:
        """The decoded body of an answer that reports no failure.

        Raises:
            Failed: it reports one, with its status or with HTTP 200.
        """
        body = decode_json(content)
        failure = failure_in(body)
        if answer.is_success and not failure:
            return body
        content = self.hide_key(content)
        failure = failure_in(decode_json(content))
        headers = self.sent_back(answer)
        status = answer.status_code if 400 <= answer.status_code < 600 else 502
        if failure:
            status = failure.status or 502 if answer.is_success else status
            if failure.retry_after is not None:
                headers.setdefault("retry-after", str(failure.retry_after))
            if failure.request_id and failure.request_id.isprintable() and failure.request_id.isascii():
                headers.setdefault("x-request-id", failure.request_id)
            raise Failed(status, *self.words(failure, status), headers)
        message = _quote(content)
        if not message:
            raise self.unexpected(answer, content, "JSON", status)
        raise Failed(status, *self.words(Failure(message, status), status), headers)

    def words(self, failure: Failure, status: int) -> tuple[str, object]:
        """The message and the code of a failure as the program may see them: without the key."""
        message = self.hide_key(str(failure) if failure.enveloped else failure.message)
        if status == 401 and (hint := site_hint(self._origin)):
            message = f"{message.removesuffix('.')}. {hint}"
        return message, failure.code

    def unexpected(self, answer: Any, content: bytes, due: str, status: int = 502) -> Failed:
        """The error for something that AiToEarn does not answer."""
        kind, quote = answer.headers.get("content-type", "no content type"), _quote(self.hide_key(content))
        what = f"a redirect to {answer.headers['location']}" if answer.has_redirect_location else repr(kind)
        message = (
            f"{origin(answer.url)}{answer.url.path} answered HTTP {answer.status_code} with {what} where {due} was expected"
            f"{f': {quote}' if quote else ''}."
        )
        if answer.status_code not in _PASSES:
            message += " Check the base URL: AiToEarn's ends in /api/ai."
        failure = Failure(message, status)
        return Failed(status, *self.words(failure, status), self.sent_back(answer))

    def hide_key(self, words: _Words) -> _Words:
        """What a server says, without the key, before it is cut."""
        if len(self._key) < _SHORT:
            return words
        if isinstance(words, str):
            return words.replace(self._key, _MASK)
        return words.replace(self._key.encode(), _MASK.encode())

    def sent_back(self, answer: Any) -> dict[str, str]:
        """The headers of an answer that programs look at."""
        return {
            name: value
            for name, value in answer.headers.items()
            if _SENT_BACK.fullmatch(name)
            and value.isascii()
            and value.isprintable()
            and self.hide_key(value) == value
        }


def _quote(content: bytes) -> str:
    """The first words of a server; nothing of a page."""
    text = " ".join(content[:QUOTE].decode("utf-8-sig", errors="replace").split())
    return "" if text.startswith("<") else text


class Answer:
    """The answer to a request, which is asked for when it is sent, and given up when the program goes away."""

    def __init__(self, service: Service, path: str, headers: Headers, body: bytes) -> None:
        self._service = service
        self._path = path
        self._headers = headers
        self._body = body
        self._is_chat = path == "/chat/completions"
        self._is_json = body.lstrip(_BLANK).startswith(b"{")
        asked = decode_json(body) if b'"stream"' in body else None
        self._wants_stream = isinstance(asked, dict) and asked.get("stream") is True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(ClientDisconnect):
            await for_client(receive, self._send(scope, receive, send))

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = self._service.ask("POST", self._path, self._headers, {}, True, self._body)
        async with asked as answer, contextlib.aclosing(answer.aiter_bytes()) as pieces:
            start = b""
            async for piece in pieces:
                start += piece
                if start.strip(_BLANK):
                    break
            if self._is_stream(answer, start):
                await self._send_stream(send, answer, start, pieces)
                return
            content = start + b"".join([piece async for piece in pieces])
            body = self._service.checked(answer, content)
            field = "choices" if self._is_chat else "data"
            if self._wants_stream:
                raise self._service.unexpected(answer, content, "an event stream")
            if not isinstance(body, dict) or not (is_completion if self._is_chat else has_images)(body):
                raise self._service.unexpected(answer, content, f"JSON with {field!r}")
            response = Response(
                content, answer.status_code, self._service.sent_back(answer), "application/json"
            )
            await response(scope, receive, send)

    def _is_stream(self, answer: Any, start: bytes) -> bool:
        """Whether the body is one, whatever it was announced as."""
        if not answer.is_success or start.strip(_BLANK)[:1] in (b"", b"{", b"[", b"<"):
            return False
        announced = "event-stream" in answer.headers.get("content-type", "")
        return self._wants_stream or (announced and not self._is_json)

    async def _send_stream(self, send: Send, answer: Any, piece: bytes, pieces: AsyncIterator[bytes]) -> None:
        headers = {"content-type": "text/event-stream; charset=utf-8", **self._service.sent_back(answer)}
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": encoded})
        events = Events(is_chat=self._is_chat, hide_key=self._service.hide_key)
        piece = piece.removeprefix(codecs.BOM_UTF8)  # The SDK takes it for a part of the first line.
        try:
            with self._service.reached():
                while piece and not events.failure:
                    await _send_piece(send, b"".join(event.raw for event in events.feed(piece)))
                    piece = await anext(pieces, b"")
            if not events.failure:
                await _send_piece(send, events.end())
            if events.failure:
                status = events.failure.status or 502
                raise Failed(status, *self._service.words(events.failure, status))
        except Failed as failed:
            await _send_piece(send, b"data: %b\n\n" % bytes(error_response(*failed.args).body))
        await send({"type": "http.response.body"})


async def _send_piece(send: Send, piece: bytes) -> None:
    if piece:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
