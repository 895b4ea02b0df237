"""AiToEarn behind the relay: asked with its key, and its failures in OpenAI's form."""

from __future__ import annotations

import codecs
import contextlib
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .._errors import QUOTE, Failure, failure_in, has_images, is_completion
from .._events import MAX_EVENT, Event, Events
from .._hints import API_KEY_HEADER, origin
from .._json import LINE_ENDS, decode_json
from .._local import SHORT_KEY
from .._models import ChatModel, read
from .._pools import make_pool
from .._sdk.exceptions import family_of
from .._settings import Settings
from .._sites import site_hint
from .._wording import reason

ENDPOINTS = "/chat/completions", "/images/generations", "/images/edits"
_LIST_PATH = "/models/chat"
MAX_ANSWER = 512 * 1024 * 1024
"""The bytes of an answer that is not a stream: images come as text, several at once."""
MASK = "**********"

_SENT_ON = {b"accept", b"accept-language", b"content-type", b"user-agent", b"x-request-id"}
_SENT_BACK = re.compile(r"retry-after(-ms)?|x-request-id|x-should-retry|x-ratelimit-.*")
_BLANK = codecs.BOM_UTF8 + b" \t\r\n"


class Failed(Exception):
    """A request that ends in an error in OpenAI's form."""

    is_sent = False
    """Whether the program has got it, at the end of a stream."""

    def __init__(
        self, status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        kind = "server_error" if status >= 500 else "invalid_request_error"
        error = {"message": message, "type": kind, "param": None, "code": code}
        self.response = json_response({"error": error}, status, headers)


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON in OpenAI's form."""
    # Chinese stays readable, as some programs show what came; half a character, and what some readers take for the
    # end of a line, are escaped.
    text = json.dumps(content, ensure_ascii=False).translate(LINE_ENDS)
    return Response(text.encode(errors="backslashreplace"), status, headers, "application/json")


class Service:
    """AiToEarn at the address of the settings, with their key, timeout and backend.

    Raises:
        openai.OpenAIError: a setting with which there can be no connection.
    """

    def __init__(self, settings: Settings) -> None:
        self._base_url = settings.base_url
        self._key = settings.api_key.get_secret_value() if settings.api_key else ""
        self._origin = urlsplit(settings.base_url)._replace(path="").geturl()
        self.pool = make_pool(is_async=True, backend=settings.http_backend, base_url=settings.base_url)
        self.pool.timeout = settings.timeout or self.pool.timeout
        # Cookies of one program would go on with the requests of another.
        self.pool.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    async def models(self, headers: Headers) -> list[ChatModel]:
        """The chat models; raises `Failed` where there is no list."""
        async with self._ask(_LIST_PATH, headers) as (answer, pieces):
            content = await _read(pieces, MAX_ANSWER)
        body = self._checked(answer, content)
        entries = body.get("data") if isinstance(body, dict) else None
        if not isinstance(entries, list):
            raise self._unexpected(answer, content, "a model list")
        return read(ChatModel, entries)

    @contextlib.asynccontextmanager
    async def _ask(
        self, path: str, headers: Headers, content: bytes | None = None
    ) -> AsyncIterator[tuple[Any, AsyncGenerator[bytes, None]]]:
        """The service's answer, and its body as it arrives; raises `Failed` where there is none, or it breaks off."""
        is_list = content is None
        own = [(b"authorization", b"Bearer " + self._key.encode()), (b"accept-encoding", b"identity")]
        if is_list:
            own.append((API_KEY_HEADER.lower().encode(), self._key.encode()))
        with self._reached():
            # `build_request` would merge all this with what the pool adds, in three times the time.
            request = family_of(type(self.pool)).Request(
                "GET" if is_list else "POST",
                self._base_url + path,
                headers=[*(each for each in headers.raw if each[0] in _SENT_ON), *own],
                content=content,
                extensions={"timeout": self.pool.timeout.as_dict()},
            )
            # Redirects of the list are not followed: the second header with the key would go along to any origin.
            answer = await self.pool.send(request, stream=True, follow_redirects=not is_list)
        async with contextlib.aclosing(answer), contextlib.aclosing(self._pieces(answer)) as pieces:
            encoding = answer.headers.get("content-encoding", "").strip()
            # Nobody asked for it, and a few bytes of it may become gigabytes.
            if encoding.lower() not in ("", "identity"):
                message = (
                    f"{origin(answer.url)} sent HTTP {answer.status_code} with the content encoding {encoding!r}, though "
                    "none was asked for: set the server not to compress."
                )
                raise self._failed(Failure(message), _error_status(answer), self._sent_back(answer))
            yield answer, pieces

    async def _pieces(self, answer: Any) -> AsyncGenerator[bytes, None]:
        with self._reached():
            async with contextlib.aclosing(answer.aiter_raw()) as pieces:
                async for piece in pieces:
                    yield piece

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        """Turn what the HTTP library raises, of whatever kind, into a failure in OpenAI's form."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - some of a bad address are of no library
            status = 504 if "Timeout" in type(error).__name__ else 502
            message = f"The connection to {self._origin} failed: {reason(error)}."
            raise self._failed(Failure(message), status) from None

    async def forward(
        self, path: str, headers: Headers, body: bytes, scope: Scope, receive: Receive, send: Send
    ) -> int:
        """Send the service's answer to the program; its status. Raises `Failed` where there is none, or its stream failed."""
        is_chat = path == "/chat/completions"
        asked = decode_json(body) if b'"stream"' in body else None
        wants_stream = isinstance(asked, dict) and asked.get("stream") is True
        is_json = body.lstrip(_BLANK).startswith(b"{")
        async with self._ask(path, headers, body) as (answer, pieces):
            start = await _read(pieces, MAX_EVENT, whole=False)
            # Whatever it was announced as.
            if answer.is_success and start.strip(_BLANK)[:1] not in (b"", b"{", b"[", b"<"):
                announced = "event-stream" in answer.headers.get("content-type", "")
                if wants_stream or (announced and not is_json):
                    return await self._send_stream(send, answer, start, pieces, is_chat)
            content = await _read(pieces, MAX_ANSWER, start=start)
        made, is_due = self._checked(answer, content), is_completion if is_chat else has_images
        if wants_stream or not (isinstance(made, dict) and is_due(made)):
            due = "an event stream" if wants_stream else f"JSON with {'choices' if is_chat else 'data'!r}"
            raise self._unexpected(answer, content, due)
        response = Response(content, answer.status_code, self._sent_back(answer), "application/json")
        await response(scope, receive, send)
        return response.status_code

    async def _send_stream(
        self, send: Send, answer: Any, piece: bytes, pieces: AsyncGenerator[bytes, None], is_chat: bool
    ) -> int:
        headers = {"content-type": "text/event-stream; charset=utf-8", **self._sent_back(answer)}
        raw = Headers(headers).raw
        await send({"type": "http.response.start", "status": answer.status_code, "headers": raw})
        events = Events(is_chat=is_chat, hide_key=self.hide_key)
        last, failed = b"", None
        try:
            while piece:
                passed = b"".join(map(_encoded, events.feed(piece)))
                # A comment in place of one that the server sent, or of a part of an event, so that nobody gives up.
                await send({"type": "http.response.body", "body": passed or b":\n\n", "more_body": True})
                if events.failure or events.is_done:
                    break  # The server need not close the connection.
                piece = await anext(pieces, b"")
            if not events.failure:
                last = b"".join(map(_encoded, events.end()))
            if events.failure:
                raise self._failed(events.failure, events.failure.status or 502)
        except Failed as error:
            failed, last = error, last + b"data: %b\n\n" % bytes(error.response.body)
        await send({"type": "http.response.body", "body": last})
        if failed:
            failed.is_sent = True
            raise failed
        return int(answer.status_code)

    def _checked(self, answer: Any, content: bytes) -> Any:
        """The decoded body of an answer; raises `Failed` where it reports a failure, with its status or with HTTP 200."""
        body = decode_json(content)
        if answer.is_success and not failure_in(body):
            return body
        status, headers = _error_status(answer), self._sent_back(answer)
        text = self._text(content)
        if failure := failure_in(decode_json(text)):
            status = failure.status or 502 if answer.is_success else status
            if failure.retry_after is not None:
                headers.setdefault("retry-after", str(failure.retry_after))
            if failure.request_id and self._can_pass(failure.request_id):
                headers.setdefault("x-request-id", failure.request_id)
        elif quote := _quote(text):
            failure = Failure(quote)
        else:
            raise self._unexpected(answer, content, "JSON", status)
        raise self._failed(failure, status, headers)

    def _failed(self, failure: Failure, status: int, headers: dict[str, str] | None = None) -> Failed:
        """A failure as the program may see it: without the key."""
        message = self.hide_key(str(failure) if failure.enveloped else failure.message)
        if status == 401 and (hint := site_hint(self._origin)):
            message = f"{message.removesuffix('.')}. {hint}"
        code = None if failure.code is None else self.hide_key(str(failure.code))
        return Failed(status, message, code, headers)

    def _unexpected(self, answer: Any, content: bytes, due: str, status: int = 502) -> Failed:
        """The error for something that AiToEarn does not answer."""
        what, quote = repr(answer.headers.get("content-type", "")), _quote(self._text(content))
        if answer.next_request:  # Its path may hold the key in a form that is not known here.
            what = f"a redirect to {origin(answer.next_request.url)}"
        message = (
            f"{origin(answer.url)}{answer.url.path} answered HTTP {answer.status_code} with {what} where {due} was expected"
            f"{f': {quote}' if quote else ''}."
        )
        if answer.status_code < 500 and answer.status_code not in (
            408,
            429,
        ):  # Otherwise the server is there, and busy.
            message += " Check the base URL: AiToEarn's ends in /api/ai."
        return self._failed(Failure(message), status, self._sent_back(answer))

    def hide_key(self, words: str) -> str:
        """What a server says, without the key, before it is cut."""
        return words if len(self._key) < SHORT_KEY else words.replace(self._key, MASK)

    def _text(self, content: bytes) -> str:
        return self.hide_key(content.decode(json.detect_encoding(content), errors="replace"))

    def _sent_back(self, answer: Any) -> dict[str, str]:
        """The headers of an answer that programs look at."""
        sent = answer.headers.items()
        return {name: value for name, value in sent if _SENT_BACK.fullmatch(name) and self._can_pass(value)}

    def _can_pass(self, value: str) -> bool:
        """Whether a header of an answer can have this value; a request id may be of any length."""
        is_plain = value.isascii() and value.isprintable() and len(value) <= 1024
        return is_plain and self.hide_key(value) == value


def _encoded(event: Event) -> bytes:
    name, data = f"event: {event.event}\n" if event.event else "", event.data
    if isinstance(event.decoded, dict) and event.decoded.get("error", ...) is None:
        data = json.dumps(event.decoded)  # The SDK of a program takes any `error` for one.
    return "".join([name, *(f"data: {line}\n" for line in data.split("\n")), "\n"]).encode()


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


def _quote(text: str) -> str:
    """The first words of a server; nothing of a page."""
    words = " ".join(text[:QUOTE].split())
    return "" if words.startswith("<") else words
