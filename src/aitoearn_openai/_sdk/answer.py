"""The parsed answer: checked before the caller gets it, now or whenever a raw response is parsed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, wraps
from inspect import iscoroutinefunction
from typing import Any, get_args

import openai
from openai.types import ImagesResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import ValidationError

from .._errors import NOT_JSON, decode_json, holds_answer, is_refusal
from .errors import connection_error, status_error, unexpected
from .private import unsupported
from .response import CHECKED, READ, SEEN, STEP, STREAMED, family_of
from .stream import Decoder

_PARSING_ERRORS = ValueError, RecursionError, LookupError, AssertionError, openai.APIResponseValidationError
_INVALID = "invalid"


class AnswerCheck:
    """The check of one answer: a `post_parser`, which the SDK calls with whatever it has parsed."""

    def __init__(self, client: Any, arguments: dict[str, Any]) -> None:
        self._client, self._response = client, arguments["response"]
        self._cast_to, self._stream_class = arguments["cast_to"], arguments["stream_cls"]
        self.to: Any = None
        """The type that the caller gives to `parse(to=...)`, if any."""
        self._done = False
        step = getattr(self._response, STEP, None)
        if step not in (SEEN, READ):
            raise openai.OpenAIError(unsupported("custom_auth"))
        self._was_read = step == READ
        setattr(self._response, STEP, CHECKED)
        self._then = arguments["options"].post_parser
        arguments["options"].post_parser = self

    def __call__(self, parsed: Any) -> Any:
        self._done = True
        if isinstance(parsed, (openai.Stream, openai.AsyncStream)):
            self._check_stream(parsed)
        else:
            self._check_answer(parsed, self.to or self._cast_to)
        return self._then(parsed) if callable(self._then) else parsed

    def finish(self, parsed: Any) -> Any:
        """What `_process_response` gives; a raw response checks what it parses later."""
        if self._done or not hasattr(parsed, "http_response"):
            return self.require_checked(parsed)
        if self._was_read and self._client._should_stream_response_body(request=self._response.request):
            raise openai.OpenAIError(unsupported("RAW_RESPONSE_HEADER"))
        parsed.__class__ = _checked_class(parsed.__class__)
        parsed._check = self
        return parsed

    def require_checked(self, parsed: Any) -> Any:
        """What was parsed, if it was checked."""
        if not self._done and parsed is not self._response:
            raise openai.OpenAIError(unsupported("FinalRequestOptions.post_parser"))
        return parsed

    def _check_stream(self, stream: Any) -> None:
        response, content_type = self._response, self._response.headers.get("Content-Type", "")
        is_json = self._was_read and "json" in content_type and decode_json(response.content) is not NOT_JSON
        if "html" in content_type or is_json:
            raise unexpected(response, "an event stream")
        decoder = next((value for value in vars(stream).values() if isinstance(value, Decoder)), None)
        if decoder is None:
            raise openai.OpenAIError(unsupported("_make_sse_decoder"))
        chunk_type = next(iter(get_args(self._stream_class)), self._cast_to)
        is_chat = "choices" in getattr(chunk_type, "model_fields", ())
        decoder.bind(self._client, response, is_chat=is_chat, is_typed=_is_known(self._cast_to))
        setattr(response, STEP, STREAMED)  # Until the decoder has seen an event.

    def _check_answer(self, parsed: Any, cast_to: Any) -> None:
        client, response = self._client, self._response
        may_report = not self._was_read and isinstance(parsed, (dict, openai.BaseModel))
        if may_report and (error := status_error(client, response, decode_json(response.content))):
            raise error
        if not (isinstance(cast_to, type) and issubclass(cast_to, openai.BaseModel)):
            return
        if not isinstance(parsed, openai.BaseModel):
            raise self._error("JSON" if isinstance(parsed, str) else cast_to.__name__)
        path = getattr(cast_to, "list_path", None)
        if path and not parsed.__pydantic_private__:  # `build` sets one.
            raise openai.OpenAIError(unsupported("build"))
        if path and not response.url.query:
            client._known_models[path] = parsed.data  # type: ignore[attr-defined]
        field, fields = "data" if cast_to is ImagesResponse else "choices", _required_fields(cast_to)
        made = getattr(parsed, field, None)
        if field in cast_to.model_fields:
            is_list = isinstance(made, list)
            is_answer, is_sure = holds_answer(field, made) if _is_known(cast_to) else is_list, bool(made)
        else:
            is_answer, is_sure = True, not fields or not fields.isdisjoint(parsed.model_fields_set)
        if is_answer and is_sure:
            return
        body = decode_json(response.content)
        if not is_answer or not body or is_refusal(body):
            raise self._error(cast_to.__name__)

    def _error(self, expected: str) -> openai.APIError:
        """The failure that the body reports, or else that it is not what was expected."""
        body = decode_json(self._response.content)
        error = status_error(self._client, self._response, body)
        return error or unexpected(self._response, expected, None if body is NOT_JSON else body)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn body-parsing errors into SDK exceptions."""
        try:
            yield
        except family_of(type(self._response)).RequestError as error:
            raise connection_error(error) from error
        except _PARSING_ERRORS as error:
            if not self._response.is_stream_consumed:
                raise
            body = decode_json(self._response.content)
            if body is NOT_JSON and not isinstance(error, openai.OpenAIError):
                raise unexpected(self._response, "valid JSON") from None
            if failure := status_error(self._client, self._response, body):
                raise failure from None
            raise


def _is_known(cast_to: Any) -> bool:
    """Whether it is a type of the SDK's or of this package, and none of the caller's."""
    return getattr(cast_to, "__module__", "").partition(".")[0] in ("openai", "aitoearn_openai")


@cache
def _required_fields(cast_to: type[openai.BaseModel]) -> set[str]:
    """What an answer of the SDK's type has; an error in another format may have an `object` too."""
    if not _is_known(cast_to):
        return set()
    return {name for name, field in cast_to.model_fields.items() if field.is_required()} - {"object"}


@cache
def _checked_class(response_class: Any) -> Any:
    """A class of raw responses that check what they parse."""
    sdk_parse = response_class.parse

    def parse(self: Any, **arguments: Any) -> Any:
        with self._check.errors():
            self._check.to = arguments.get("to")
            return self._check.require_checked(sdk_parse(self, **arguments))

    async def parse_async(self: Any, **arguments: Any) -> Any:
        with self._check.errors():
            self._check.to = arguments.get("to")
            return self._check.require_checked(await sdk_parse(self, **arguments))

    checked_parse = wraps(sdk_parse)(parse_async if iscoroutinefunction(sdk_parse) else parse)
    return type(response_class.__name__, (response_class,), {"parse": checked_parse})


class FastModels:
    """Makes the objects of a chat with pydantic's validator, in a sixth of the time that the SDK takes.

    What passes a strict validation is already what the type says, so nothing is converted; all else goes the SDK's way.
    """

    def _process_response_data(self, *, data: Any, cast_to: Any, response: Any) -> Any:
        step = getattr(response, STEP, None)
        if step is not CHECKED and step is not _INVALID:
            raise openai.OpenAIError(
                unsupported("SSEDecoder.decode" if step == STREAMED else "_process_response")
            )
        if step is CHECKED and (cast_to is ChatCompletionChunk or cast_to is ChatCompletion):
            try:
                return cast_to.model_validate(data, strict=True)
            except ValidationError:
                setattr(response, STEP, _INVALID)  # The next chunks of this stream will not pass either.
        return super()._process_response_data(data=data, cast_to=cast_to, response=response)  # type: ignore[misc]
