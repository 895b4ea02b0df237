"""The SDK's two clients, with the hooks through which they see the service's failures."""

from __future__ import annotations

from contextlib import suppress
from functools import wraps
from typing import Any

import openai
from openai.types.chat import ChatCompletion
from pydantic import ValidationError

from .._errors import QUOTE, error_message, failure_in
from .._hints import HINT, next_step
from .._wording import Message, Ours
from .answer import failure_for, is_sdk_type, second_look
from .auth import auth_class
from .exceptions import status_error
from .exchange import CURRENT, Exchange
from .stream import Decoder


class _Hooks:
    _origins: Any
    """The constructor's arguments, and where each came from. If the caller gave an `http_client`, its `auth` still applies."""

    _known_models: dict[str, Any]
    """What each model list had when it was last asked for, by path."""

    def _auth(self, sdk_auth: Any) -> Any:
        exchange, given = CURRENT.get(), self._origins.arguments.get("http_client")
        if exchange is None:
            return sdk_auth
        client_class: Any = openai.DefaultHttpxClient if given is None else type(given)
        return auth_class(client_class)(exchange, sdk_auth or (given and given.auth))

    @property
    def custom_auth(self) -> Any:
        return self._auth(super().custom_auth)  # type: ignore[misc]

    def _custom_auth(self, security: Any) -> Any:  # The sync client since 2.x; the async one may follow.
        return self._auth(super()._custom_auth(security))  # type: ignore[misc]

    def _process_response_data(self, *, data: Any, cast_to: Any, response: Any) -> Any:
        if isinstance(data, openai.BaseModel):
            return data  # A chunk that the decoder has made.
        exchange = CURRENT.get()
        if exchange and exchange.response is response:
            second_look(self, response, cast_to, data)
        # An event: its stream may be read within another call, and one made by hand had no first look.
        elif failure := failure_for(cast_to, data):
            raise status_error(self, response, failure, data)
        if hasattr(cast_to, "from_answer") and is_sdk_type(cast_to):  # A type of this package makes itself.
            return cast_to.from_answer(self, response, data)
        if cast_to is ChatCompletion:
            with suppress(ValidationError):  # What passes is what the SDK would make, only sooner.
                return cast_to.model_validate(data, strict=True)
        return super()._process_response_data(data=data, cast_to=cast_to, response=response)  # type: ignore[misc]

    def _make_sse_decoder(self) -> Any:
        exchange = CURRENT.get()
        if exchange is None:  # A `Stream` that was made by hand.
            return super()._make_sse_decoder()  # type: ignore[misc]
        return Decoder(exchange)

    def _make_status_error(
        self, err_msg: str, *, body: object, response: Any, **more: Any
    ) -> openai.APIStatusError:
        failure, status = failure_in(body), Ours(f"Error code: {response.status_code} - ")
        if failure and (failure.enveloped or failure.message not in err_msg):
            parts = [status, str(failure)]
        elif err_msg.startswith(status):
            parts = [status, err_msg.removeprefix(status)]
        elif isinstance(body, dict) and (words := error_message(body.get("error")) or error_message(body)):
            parts = [status, words[:QUOTE]]
        else:
            parts = [err_msg]
        if hint := next_step(response, failure, f"{''.join(parts)} {body}", self._known_models):
            *parts, last = Message(*parts).parts
            parts += [last.removesuffix("."), Ours(". "), hint]
        message = Message(*parts)
        error: Any = super()._make_status_error(message, body=body, response=response, **more)  # type: ignore[misc]
        response.extensions[HINT] = hint
        if failure and failure.enveloped:
            error.code = str(failure.code)  # Declared as text, but before 3.x left as it came.
            error.request_id = error.request_id or failure.request_id
        return error  # type: ignore[no-any-return]


class SyncClient(_Hooks, openai.OpenAI):
    """The SDK's client, which sees the service's failures."""

    @wraps(openai.OpenAI.request)
    def request(self, cast_to: Any, options: Any, **how: Any) -> Any:  # type: ignore[override]
        with Exchange(self, cast_to, **how).as_current() as exchange:
            return exchange.finish(super().request(cast_to, options, **how))

    def _process_response(self, *, response: Any, **arguments: Any) -> Any:
        exchange: Any = CURRENT.get()
        if response is not exchange.response:  # `Auth` did not see it: something replaced `send`.
            exchange.response = response
            if exchange.wants_body(response):
                response.read()
            if found := exchange.first_look(response):
                raise status_error(self, response, *found)
        return super()._process_response(response=response, **_clear_frame(arguments))


class AsyncClient(_Hooks, openai.AsyncOpenAI):
    """The SDK's client, which sees the service's failures."""

    @wraps(openai.AsyncOpenAI.request)
    async def request(self, cast_to: Any, options: Any, **how: Any) -> Any:  # type: ignore[override]
        with Exchange(self, cast_to, **how).as_current() as exchange:
            return exchange.finish(await super().request(cast_to, options, **how))

    async def _process_response(self, *, response: Any, **arguments: Any) -> Any:
        exchange: Any = CURRENT.get()
        if response is not exchange.response:  # `Auth` did not see it: something replaced `send`.
            exchange.response = response
            if exchange.wants_body(response):
                await response.aread()
            if found := exchange.first_look(response):
                raise status_error(self, response, *found)
        return await super()._process_response(response=response, **_clear_frame(arguments))


def _clear_frame(arguments: dict[str, Any]) -> dict[str, Any]:
    """Move the arguments out of the caller's frame: they may hold the key, and error reporters show frames."""
    moved = dict(arguments)
    arguments.clear()
    return moved
