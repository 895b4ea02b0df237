"""The seam to the openai SDK: the one module that touches names the SDK keeps private.

What is private, why, and since when it is so (checked on openai 1.83.0, 1.109.1, 2.54.0, 3.0.0 and 3.57.0):

- `custom_auth` / `_custom_auth`: the SDK asks them for an httpx `Auth` before each request. An `Auth` is
  httpx's documented way to look at a response before anyone else, request by request, without touching an
  `http_client` that others share. It runs before the SDK looks at the status, so the SDK's own retries and
  errors apply to a failure that came as HTTP 200.
- `_send_request`: what each try goes through, since 2.31.
- `_process_response`, `FinalRequestOptions.post_parser`: the last look at a parsed answer, also at one that
  is parsed long after the call (`with_streaming_response`).
- `_process_response_data`: every decoded answer and streamed chunk, on its way to its type.
- `_make_status_error`: where each service words its errors.
- `_make_sse_decoder`, `SSEDecoder`, `ServerSentEvent`: where each service's stream is decoded.
- `_client`: the HTTP client, given or made here.
- `SyncHttpxClientWrapper`, `AsyncHttpxClientWrapper`: the HTTP clients that the SDK makes, which close themselves.
- `_custom_headers`, `_ambient_authorizations`: what the SDK took from `OPENAI_CUSTOM_HEADERS`.
- `LegacyAPIResponse`: what `with_raw_response` gives.
- `to_raw_response_wrapper` and its three siblings: what makes it of a method of a resource.
- `LazyProxy`: what stands for a resource of the module until it is used.
- `RAW_RESPONSE_HEADER`: marks the requests whose body the caller wants unread.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from functools import cache, lru_cache, partial, wraps
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import openai
from openai._base_client import AsyncHttpxClientWrapper, AsyncPaginator, SyncHttpxClientWrapper
from openai._constants import RAW_RESPONSE_HEADER
from openai._legacy_response import (
    LegacyAPIResponse,
    async_to_raw_response_wrapper,
    to_raw_response_wrapper,
)
from openai._response import async_to_streamed_response_wrapper, to_streamed_response_wrapper
from openai._streaming import ServerSentEvent, SSEDecoder
from openai._utils import LazyProxy
from pydantic_core import from_json

from ._errors import Failure, failure_in, missing_path_hint
from ._settings import site_hint

if TYPE_CHECKING:
    from openai._base_client import BaseClient
    from openai._types import RequestOptions

    _Base = BaseClient[Any, Any]
else:
    _Base = object

__all__ = [
    "MODEL_LISTS",
    "AsyncClient",
    "AsyncPaginator",
    "LazyProxy",
    "SyncClient",
    "async_to_raw_response_wrapper",
    "async_to_streamed_response_wrapper",
    "forget_openai",
    "make_pool",
    "model_list_options",
    "to_raw_response_wrapper",
    "to_streamed_response_wrapper",
]

MODEL_LISTS = {
    "/models/chat": "client.models.list()",
    "/models/image/generation": "client.models.list_image_generation()",
    "/models/image/edit": "client.models.list_image_edit()",
}
"""The paths of the model lists, and the calls that ask for them."""
_LIST_FOR = {"/images/generations": "/models/image/generation", "/images/edits": "/models/image/edit"}
"""The list that has the names which an endpoint takes, where it is not the one for chat."""
API_KEY_HEADER = "X-Api-Key"
_TO_FILL = ""
_STREAM_WANTED = re.compile(rb'"stream":\s*true')
_NOT_JSON = object()


# Requests and responses. Both httpx families look alike, so none is imported or named here.


class _Seam:
    """An httpx `Auth` around the one that httpx would have used: it settles what the response means."""

    def __init__(self, family: Any, http_client: Any, sdk_auth: Any) -> None:
        self._family = family
        self._inner = sdk_auth or http_client.auth
        self._follow_redirects = http_client.follow_redirects

    def _inner_for(self, request: Any) -> Any:
        if self._inner is None and request.url.userinfo:
            return self._family.BasicAuth(request.url.username, request.url.password)
        return self._inner or self._family.Auth()

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        listing = _prepare(request)
        flow = self._inner_for(request).sync_auth_flow(request)
        try:
            request = next(flow)
            while True:
                response = yield request
                while listing and self._follow_redirects and response.next_request:
                    response = yield _redirected(response.next_request)
                request = flow.send(response)
        except StopIteration:
            pass
        finally:
            flow.close()
        if _is_to_be_read(response):
            response.read()
            _settle(response)

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        listing = _prepare(request)
        flow = self._inner_for(request).async_auth_flow(request)
        try:
            request = await flow.__anext__()
            while True:
                response = yield request
                while listing and self._follow_redirects and response.next_request:
                    response = yield _redirected(response.next_request)
                request = await flow.asend(response)
        except StopAsyncIteration:
            pass
        finally:
            await flow.aclose()
        if _is_to_be_read(response):
            await response.aread()
            _settle(response)


def _prepare(request: Any) -> bool:
    """Whether it is a request of `client.models`; if so, its second key header is given the key."""
    if API_KEY_HEADER not in request.headers or not request.url.path.endswith(tuple(MODEL_LISTS)):
        return False
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if request.headers[API_KEY_HEADER] == _TO_FILL:
        del request.headers[API_KEY_HEADER]
        if scheme == "Bearer":
            request.headers[API_KEY_HEADER] = key
    return True


def _redirected(request: Any) -> Any:
    """httpx drops `Authorization` on the way to another origin; the key's second header goes with it."""
    if "Authorization" not in request.headers:
        request.headers.pop(API_KEY_HEADER, None)
    return request


def _is_to_be_read(response: Any) -> bool:
    """Whether the body is read here, before the SDK looks at the status; streams and unread responses are not."""
    headers = response.headers
    if not response.is_success:
        return True  # The SDK reads it too, but in a stream without an eye on what can go wrong.
    if response.request.headers.get(RAW_RESPONSE_HEADER) == "stream":
        return False
    content_type = headers.get("Content-Type", "")
    if "json" not in content_type and "html" not in content_type:
        return False
    # A stream may be announced as JSON. It has no length, and the failures of the service have one.
    sized = "Content-Length" in headers or "Content-Encoding" in headers
    return sized or not _wants_stream(response.request)


def _wants_stream(request: Any) -> bool:
    try:
        return bool(_STREAM_WANTED.search(request.content))
    except RuntimeError:  # An upload, whose content is not in memory.
        return False


def _settle(response: Any) -> None:
    """Give a response that reports a failure the HTTP status that says the same."""
    if not response.is_success:
        _mend(response)
        return
    content = response.content
    # Told by substrings, as decoding each answer once more would cost every call.
    if b'"choices"' in content or not (b'"code"' in content or b'"error"' in content):
        return
    failure = failure_in(_loads(content))
    if failure:
        _mend(response)
        _set_status(response, failure)
        if failure.retry_after is not None:
            response.headers["Retry-After"] = str(failure.retry_after)


def _set_status(response: Any, failure: Failure) -> None:
    response.status_code = failure.status
    response.extensions["reason_phrase"] = b"Reported with HTTP 200"


def _mend(response: Any) -> None:
    """Take away what would have the SDK fail over an error before it can tell the error."""
    if response.content.startswith(codecs.BOM_UTF8):
        with suppress(ValueError):  # A hook of the caller's has read the text already.
            response.encoding = "utf-8-sig"
    try:
        _ = response.text
    except (AssertionError, LookupError, TypeError, ValueError):  # The charset is no text encoding, or a lie.
        response.encoding = "utf-8"
    if "GMT" in response.headers.get("Retry-After", ""):
        try:
            parsedate_to_datetime(response.headers["Retry-After"])
        except (TypeError, ValueError, OverflowError):  # In openai 1.x the year 99999 is an exception.
            del response.headers["Retry-After"]


def _loads(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _NOT_JSON


@cache
def _seam_class(family: Any) -> Any:
    return type("AiToEarnAuth", (_Seam, family.Auth), {})


def _families() -> list[Any]:
    return [sys.modules[name] for name in ("httpx2", "httpx") if name in sys.modules]


@lru_cache
def _family_of(client_class: Any) -> Any:
    return next(f for f in _families() if issubclass(client_class, (f.Client, f.AsyncClient)))


def _auth(http_client: Any, sdk_auth: Any) -> Any:
    family = _family_of(http_client.__class__)
    return _seam_class(family)(family, http_client, sdk_auth)


# Streams.


class _Event(ServerSentEvent):
    """An event that tells a failure in the form that the SDK's streams raise: `{"error": {"message": ...}}`."""

    _tells_error = False

    def __init__(self, event: ServerSentEvent) -> None:
        self._tells_error = event.event == "error"
        # Before 1.99 the SDK wrapped the data of a named event, and missed what it says.
        name = None if self._tells_error else event.event
        super().__init__(event=name, data=event.data, id=event.id, retry=event.retry)

    def json(self) -> Any:
        try:
            data = from_json(self.data)  # What `json.loads` gives, in half the time; it reads a little less.
        except ValueError:
            data = _loads(self.data)
        if data is _NOT_JSON:
            return {"error": {"message": self.data}}
        if not self._tells_error or (isinstance(data, dict) and ("error" in data or "code" in data)):
            return data
        return {"error": data if isinstance(data, dict) else {"message": self.data}}


def _transport_errors() -> tuple[type[Exception], ...]:
    return tuple(family.RequestError for family in _families())


def _connection_error(error: Any) -> openai.APIConnectionError:
    """What the SDK raises for it, in a stream only since 3.x."""
    if any(isinstance(error, family.TimeoutException) for family in _families()):
        return openai.APITimeoutError(error.request)
    return openai.APIConnectionError(request=error.request)


class _Decoder(SSEDecoder):
    _empty = True
    _line = ""

    def iter_bytes(self, iterator: Iterator[bytes]) -> Iterator[ServerSentEvent]:
        try:
            yield from super().iter_bytes(iterator)
        except UnicodeDecodeError:
            yield _NOT_TEXT
        except _transport_errors() as error:
            raise _connection_error(error) from error
        yield from self._rest()

    async def aiter_bytes(self, iterator: AsyncIterator[bytes]) -> AsyncIterator[ServerSentEvent]:
        try:
            async for event in super().aiter_bytes(iterator):
                yield event
        except UnicodeDecodeError:
            yield _NOT_TEXT
        except _transport_errors() as error:
            raise _connection_error(error) from error
        for event in self._rest():
            yield event

    def _rest(self) -> Iterator[ServerSentEvent]:
        """What a stream tells by its end. An event that no blank line ends is dropped, but not a failure."""
        if failure_in(_loads(self._line.removeprefix("data:"))):
            yield _Event(ServerSentEvent(data=self._line.removeprefix("data:")))
        elif self._empty:
            yield _NO_EVENT

    def decode(self, line: str) -> ServerSentEvent | None:
        if line[:1] in _BRACE_OR_MARK and failure_in(_loads(line.removeprefix("\ufeff"))):
            # The envelope itself where a stream was due, whatever its content type says.
            event: ServerSentEvent | None = ServerSentEvent(data=line.removeprefix("\ufeff"))
        else:
            event = super().decode(line)
        if event is None:
            self._line = line
            return None
        self._empty, self._line = False, ""
        if event.event:
            return _Event(event)
        event.__class__ = _Event  # Most events have no name; a second object for each would cost a stream.
        return event


_BRACE_OR_MARK = {"{", "\ufeff"}
_NO_EVENT = _Event(ServerSentEvent(event="error", data="The stream ended before its first event."))
_NOT_TEXT = _Event(ServerSentEvent(event="error", data="The stream broke: it is not UTF-8 text."))


# Clients.


class _Common(_Base):
    def _make_sse_decoder(self) -> SSEDecoder:
        return _Decoder()

    def _make_status_error(self, err_msg: str, *, body: object, response: Any) -> openai.APIStatusError:
        failure = failure_in(body)
        if failure and failure.enveloped:
            err_msg = f"Error code: {response.status_code} - {failure}"
        if response.status_code == 401:
            err_msg = f"{err_msg.removesuffix('.')}. {site_hint(_origin(response.url))}"
        if hint := _hint(self, response, failure, f"{err_msg} {body}"):
            err_msg = f"{err_msg.removesuffix('.')}. {hint}"
        error = super()._make_status_error(err_msg, body=body, response=response)
        if failure and failure.enveloped:
            error.code = str(failure.code)  # Declared as text, but before 3.x left as it came.
            error.request_id = error.request_id or failure.request_id
        return error

    def _process_response_data(self, *, data: Any, cast_to: Any, response: Any) -> Any:
        choices = data.get("choices") if isinstance(data, dict) else None
        if isinstance(choices, list) and set(map(type, choices)) == {dict}:
            pass  # Nearly every answer and chunk; the checks below would find nothing.
        elif failure := failure_in(data):
            # Inside a stream, or in a response that the caller wanted unread: too late for a retry.
            _set_status(response, failure)
            raise self._make_status_error(
                f"Error code: {failure.status} - {failure.message}", body=data, response=response
            )
        elif not _fits(data, cast_to):
            raise _unexpected(response, cast_to.__name__)
        parsed = super()._process_response_data(data=data, cast_to=cast_to, response=response)
        if path := getattr(cast_to, "list_path", None):
            _known_models.setdefault(self._client, {})[f"{self.base_url}", path] = parsed.data
        return parsed


_known_models: WeakKeyDictionary[Any, dict[tuple[str, str], list[Any]]] = WeakKeyDictionary()
"""What each model list had when it was last asked for, by HTTP client, which copies of a client share, and base URL."""


def _hint(client: Any, response: Any, failure: Failure | None, message: str) -> str:
    """What to do next about some failures, from what is known without a request."""
    url = response.url
    if response.status_code == 404 and (hint := missing_path_hint(message, f"{_origin(url)}{url.path}")):
        return hint
    code = failure.code if failure else None
    if code != 12300 and (response.status_code != 402 or code == 12009):
        return ""
    from ._models import scope_hint, unknown_model_hint

    path = next((path for end, path in _LIST_FOR.items() if url.path.endswith(end)), "/models/chat")
    offered = _known_models.get(client._client, {}).get((f"{client.base_url}", path), [])
    say = unknown_model_hint if code == 12300 else scope_hint
    return say(offered, _model_of(response.request), MODEL_LISTS[path])


def _model_of(request: Any) -> str:
    try:
        return str(_loads(request.content).get("model"))
    except (AttributeError, RuntimeError):  # No object, or an upload, whose content is not in memory.
        return ""


def _guarded(arguments: dict[str, Any]) -> dict[str, Any]:
    """Have each parsed answer of a response looked at, now or whenever the caller parses it.

    Takes the arguments away from the caller's frame: the options may hold the key, and tracebacks show frames.
    """
    options, response = arguments["options"], arguments["response"]
    options.post_parser = partial(_verify, arguments["cast_to"], options.post_parser, response)
    taken = dict(arguments)
    arguments.clear()
    return taken


def _fits(data: Any, cast_to: Any) -> bool:
    if isinstance(data, dict):
        choices = data.get("choices")
        if isinstance(choices, list):
            return all(isinstance(choice, dict) for choice in choices)
        return "choices" not in getattr(cast_to, "model_fields", ())
    return not _is_model(cast_to)


def _is_model(cast_to: Any) -> bool:
    return isinstance(cast_to, type) and issubclass(cast_to, openai.BaseModel)


def _verify(cast_to: Any, then: Any, response: Any, parsed: Any) -> Any:
    if isinstance(parsed, (openai.Stream, openai.AsyncStream)):
        content_type = response.headers.get("Content-Type", "")
        read_as_json = "json" in content_type and response.is_stream_consumed
        if "html" in content_type or (read_as_json and _loads(response.content) is not _NOT_JSON):
            raise _unexpected(response, "an event stream")
    elif (
        isinstance(parsed, str)
        and _is_model(cast_to)
        and not response.headers.get("Content-Type", "").partition(";")[0].strip().endswith("json")
    ):
        raise _unexpected(response, "JSON")
    return parsed if isinstance(then, openai.NotGiven) else then(parsed)


def _origin(url: Any) -> str:
    return f"{url.scheme}://{url.netloc.decode()}"


def _unexpected(response: Any, due: str) -> openai.APIResponseValidationError:
    return openai.APIResponseValidationError(
        response,
        body=None,
        message=f"{_origin(response.url)}{response.url.path} answered with "
        f"{response.headers.get('Content-Type', 'no content type')!r} where {due} was due. "
        "Check the base URL: AiToEarn's ends in /api/ai.",
    )


class SyncClient(_Common, openai.OpenAI):
    """The SDK's client, made to see the service's failures."""

    @property
    def custom_auth(self) -> Any:  # pragma: no cover - asked for by openai 1.x and early 2.x alone
        return _auth(self._client, super().custom_auth)

    def _custom_auth(self, security: Any) -> Any:
        return _auth(self._client, super()._custom_auth(security))

    def _process_response(self, **arguments: Any) -> Any:
        response = arguments["response"]
        with _told(response):
            return _watched(super()._process_response(**_guarded(arguments)))


class AsyncClient(_Common, openai.AsyncOpenAI):
    """The SDK's client, made to see the service's failures."""

    @property
    def custom_auth(self) -> Any:
        return _auth(self._client, super().custom_auth)

    async def _send_request(self, request: Any, **arguments: Any) -> Any:
        try:
            return await super()._send_request(request, **arguments)
        except Exception as error:
            if not hasattr(error, "exceptions"):
                raise
            # A redirect to an impossible port: anyio lets a group out that the SDK does not know.
            raise openai.APIConnectionError(request=request) from error

    async def _process_response(self, **arguments: Any) -> Any:
        response = arguments["response"]
        with _told(response):
            return _watched(await super()._process_response(**_guarded(arguments)))


@contextmanager
def _told(response: Any) -> Iterator[None]:
    """Have what goes wrong with a body while it is parsed told as an error of the SDK."""
    try:
        yield
    except _transport_errors() as error:
        raise _connection_error(error) from error
    except (ValueError, RecursionError, LookupError, AssertionError):
        if response.is_stream_consumed and _loads(response.content) is _NOT_JSON:
            raise _unexpected(response, "valid JSON") from None
        raise


def _as(method: Any) -> Callable[[Any], Any]:
    return wraps(method)


class _ToldLegacyResponse(LegacyAPIResponse[Any]):
    @_as(LegacyAPIResponse.parse)
    def parse(self, **arguments: Any) -> Any:
        with _told(self.http_response):
            return super().parse(**arguments)


class _ToldResponse(openai.APIResponse[Any]):
    @_as(openai.APIResponse.parse)
    def parse(self, **arguments: Any) -> Any:
        with _told(self.http_response):
            return super().parse(**arguments)


class _ToldAsyncResponse(openai.AsyncAPIResponse[Any]):
    @_as(openai.AsyncAPIResponse.parse)
    async def parse(self, **arguments: Any) -> Any:
        with _told(self.http_response):
            return await super().parse(**arguments)


# Their `repr` says the name of the class.
_ToldResponse.__name__, _ToldAsyncResponse.__name__ = "APIResponse", "AsyncAPIResponse"
_TOLD = {
    LegacyAPIResponse: _ToldLegacyResponse,
    openai.APIResponse: _ToldResponse,
    openai.AsyncAPIResponse: _ToldAsyncResponse,
}


def _watched(parsed: Any) -> Any:
    """A raw response parses when its caller says so, long after `_process_response`: watch that too."""
    if told := _TOLD.get(type(parsed)):
        parsed.__class__ = told
    return parsed


def forget_openai(client: openai.OpenAI | openai.AsyncOpenAI, given: Mapping[str, Any]) -> None:
    """Take back what the SDK's constructor read from `OPENAI_*` where the caller gave nothing."""
    own = vars(client)
    read = ("admin_api_key", "organization", "project", "webhook_secret")
    own.update({name: given.get(name) for name in read if name in own})
    own["_custom_headers"] = given.get("default_headers") or {}
    own["_ambient_authorizations"] = frozenset()


def make_pool(*, is_async: bool, backend: str = "httpx") -> Any:
    """The HTTP client that the SDK would make, or its aiohttp one; all that are made share one TLS context.

    Raises:
        openai.OpenAIError: aiohttp is wanted but not installed, or the SDK has no client for it.
    """
    tls = _tls_context(*(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")))
    if not is_async:
        return SyncHttpxClientWrapper(verify=tls)
    if backend == "httpx":
        return AsyncHttpxClientWrapper(verify=tls)
    try:
        return openai.DefaultAioHttpClient(verify=tls)
    except (AttributeError, RuntimeError):
        raise openai.OpenAIError(
            "AITOEARN_HTTP_BACKEND=aiohttp needs more than is installed: pip install 'aitoearn-openai[aiohttp]' "
            "and openai 1.89 or later."
        ) from None


@lru_cache(maxsize=1)
def _tls_context(*_environment: str | None) -> Any:
    """What the SDK makes anew for each client, in nearly all of the time that a client takes to make."""
    return _family_of(openai.DefaultHttpxClient).create_ssl_context()


def model_list_options(
    client: Any, headers: Any, query: Any, body: Any, timeout: Any, post_parser: Any = None
) -> RequestOptions:
    """The options of a request for the model list, from the arguments that the SDK's methods take."""
    headers = dict(headers or {})
    given = {name.lower(): value for name, value in {**client.default_headers, **headers}.items()}
    key = given.get(API_KEY_HEADER.lower())
    if key is None:
        headers[API_KEY_HEADER] = _TO_FILL
    options = {"headers": headers, "params": query, "extra_json": body, "post_parser": post_parser}
    if not isinstance(key, openai.Omit):
        options["follow_redirects"] = False  # `_Seam` follows, to keep this header from other origins.
    return {
        **{name: value for name, value in options.items() if value is not None},  # type: ignore[typeddict-item]
        **({} if isinstance(timeout, openai.NotGiven) else {"timeout": timeout}),
        "security": {"bearer_auth": True},
    }
