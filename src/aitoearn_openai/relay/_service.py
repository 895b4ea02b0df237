"""AiToEarn behind the relay: asked with its key, and its failures in OpenAI's form."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import json
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar
from urllib.parse import urlsplit

import openai
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .._errors import QUOTE, Failure, failure_in, has_images, is_completion
from .._events import MAX_EVENT, Events, too_large
from .._hints import API_KEY_HEADER, origin
from .._json import LINE_ENDS, decode_json
from .._models import ChatModel, named
from .._pools import make_pool
from .._serving import until_disconnect
from .._settings import Settings
from .._sites import site_hint
from .._wording import causes

LIST_SECONDS = 60.0
"""Seconds in which the model list is asked for once, whoever asks without the token."""
MAX_ANSWER = 512 * 1024 * 1024
"""The bytes of an answer that is no stream: images come as text, several at once."""

_SENT_ON = {b"accept", b"accept-language", b"content-type", b"user-agent", b"x-request-id"}
_SENT_BACK = re.compile(r"retry-after(-ms)?|x-request-id|x-should-retry|x-ratelimit-.*")
_PASSES = {408, 429, 500, 502, 503, 504}
"""Statuses with which a server has no words because it is busy or away, at whatever address."""
_MASK = "**********"
_NO_DATA = re.compile(rb"(?<![^\r\n])(?!data(?:[:\r\n]|$))[^\r\n]+")
_MAX_HEADER = 1024
"""The characters that the value of a header may have to be passed on."""
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
        self._listed: asyncio.Future[list[ChatModel]] | None = None
        self._listed_at = 0.0

    async def close(self) -> None:
        """Give back the connections."""
        if self._pool:
            await self._pool.aclose()

    async def models_for_strangers(self) -> list[ChatModel]:
        """The chat models, or the failure to get them, for those without the token: asked for once a minute.

        Raises:
            Failed: there is no list.
        """
        now = time.monotonic()
        if self._listed is None or (self._listed.done() and now >= self._listed_at + LIST_SECONDS):
            self._listed_at = now
            self._listed = asyncio.ensure_future(self.models(Headers()))
        return await asyncio.shield(self._listed)  # Others wait for it too.

    async def models(self, headers: Headers) -> list[ChatModel]:
        """The chat models.

        Raises:
            Failed: there is no list.
        """
        # Redirects are not followed: the second header with the key would go along to any origin.
        async with self.ask("GET", "/models/chat", headers, {API_KEY_HEADER: self._key}, False) as answer:
            content = await _read(self.pieces(answer), MAX_ANSWER)
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
            Failed: there is none, or it is compressed, which nobody asked for.
        """
        with self._reached():
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
            encoding = answer.headers.get("content-encoding", "").strip()
            if encoding.lower() not in ("", "identity"):  # A few bytes of it may become gigabytes.
                status = _error_status(answer)
                what = f"{self._origin} sent HTTP {answer.status_code} with the content encoding {encoding!r}"
                message = f"{what}, though none was asked for: set the server not to compress."
                raise Failed(status, self.hide_key(message), None, self.sent_back(answer))
            yield answer
        finally:
            await answer.aclose()

    async def pieces(self, answer: Any) -> AsyncGenerator[bytes, None]:
        """The body of an answer as it arrives.

        Raises:
            Failed: it breaks off.
        """
        with self._reached():
            async for piece in answer.aiter_raw():
                yield piece

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        """Turn what the HTTP library raises, of whatever kind, into a failure in OpenAI's form."""
        try:
            yield
        except openai.OpenAIError as error:  # A setting with which there can be no connection.
            raise Failed(500, str(error)) from None
        except Exception as error:  # noqa: BLE001 - some of a bad address are of no library
            kind = type(error).__name__
            status = 504 if "Timeout" in kind else 502
            chain = [each for each in causes(error) if not hasattr(each, "exceptions")]
            systems = [str(each) for each in chain if isinstance(each, OSError) and each.errno]
            why = ": ".join(dict.fromkeys([str(next(iter(chain), "")) or kind, *systems[:1]]))
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
        status = _error_status(answer)
        if failure:
            status = failure.status or 502 if answer.is_success else status
            if failure.retry_after is not None:
                headers.setdefault("retry-after", str(failure.retry_after))
            if failure.request_id and self._can_pass(failure.request_id):
                headers.setdefault("x-request-id", failure.request_id)
            raise Failed(status, *self.words(failure, status), headers)
        message = _quote(content)
        if not message:
            raise self.unexpected(answer, content, "JSON", status)
        raise Failed(status, *self.words(Failure(message, status), status), headers)

    def words(self, failure: Failure, status: int) -> tuple[str, str | None]:
        """The message and the code of a failure as the program may see them: without the key."""
        message = self.hide_key(str(failure) if failure.enveloped else failure.message)
        if status == 401 and (hint := site_hint(self._origin)):
            message = f"{message.removesuffix('.')}. {hint}"
        return message, None if failure.code is None else self.hide_key(str(failure.code))

    def unexpected(self, answer: Any, content: bytes, due: str, status: int = 502) -> Failed:
        """The error for something that AiToEarn does not answer."""
        kind, quote = answer.headers.get("content-type", "no content type"), _quote(self.hide_key(content))
        what = repr(kind)
        if answer.has_redirect_location:
            # Its path may hold the key in a form that is not known here.
            what = (
                f"a redirect to {origin(answer.next_request.url)}"
                if answer.next_request
                else "a bad redirect"
            )
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

    def masked(self, event: bytes) -> bytes:
        """The bytes of an event without the key, but for those of its data: a model's words stay as they are."""
        if self.hide_key(event) == event:
            return event
        return _NO_DATA.sub(lambda line: self.hide_key(line[0]), event)

    def sent_back(self, answer: Any) -> dict[str, str]:
        """The headers of an answer that programs look at."""
        return {
            name: value
            for name, value in answer.headers.items()
            if _SENT_BACK.fullmatch(name) and self._can_pass(value)
        }

    def _can_pass(self, value: str) -> bool:
        """Whether a header of an answer can have this value."""
        is_plain = value.isascii() and value.isprintable() and len(value) <= _MAX_HEADER
        return is_plain and self.hide_key(value) == value


def _error_status(answer: Any) -> int:
    """The status of a failure, where the answer may have one of success."""
    return answer.status_code if 400 <= answer.status_code < 600 else 502


async def _read(pieces: AsyncIterator[bytes], most: int, *, start: bytes = b"", whole: bool = True) -> bytes:
    """The body of an answer, or what has come of it once there is more than blanks."""
    content = bytearray(start)
    async for piece in pieces:
        content += piece
        if len(content) > most:
            raise Failed(502, f"AiToEarn's answer is larger than {most >> 20} MB.")
        if not whole and piece.strip(_BLANK):
            break
    return bytes(content)


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
            await until_disconnect(receive, self._send(scope, receive, send))

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = self._service.ask("POST", self._path, self._headers, {}, True, self._body)
        async with asked as answer, contextlib.aclosing(self._service.pieces(answer)) as pieces:
            start = await _read(pieces, MAX_EVENT, whole=False)
            if self._is_stream(answer, start):
                await self._send_stream(send, answer, start, pieces)
                return
            content = await _read(pieces, MAX_ANSWER, start=start)
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
        held = bytearray()  # What does not go on before it is known that it reports no failure.
        piece = piece.removeprefix(codecs.BOM_UTF8)  # The SDK takes it for a part of the first line.
        try:
            while piece and not events.failure:
                passed = bytearray()
                for event in events.feed(piece):
                    held += self._service.masked(event.raw)
                    if not events.is_doubtful:
                        passed += held
                        held.clear()
                await _send_piece(send, bytes(passed))
                if len(held) > MAX_EVENT:
                    raise Failed(502, too_large())
                piece = await anext(pieces, b"")
            rest = b"" if events.failure else events.end()
            if not events.failure:
                await _send_piece(send, bytes(held) + self._service.masked(rest))
            if events.failure:
                status = events.failure.status or 502
                raise Failed(status, *self._service.words(events.failure, status))
        except Failed as failed:
            await _send_piece(send, b"data: %b\n\n" % bytes(error_response(*failed.args).body))
        await send({"type": "http.response.body"})


async def _send_piece(send: Send, piece: bytes) -> None:
    if piece:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
