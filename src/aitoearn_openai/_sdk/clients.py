"""The SDK's two clients, with the hooks through which they see the service's failures."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial, wraps
from typing import Any

import openai

from .._errors import failure_in
from .._hints import next_step
from .._wording import Message, Ours
from .answer import AnswerCheck, FastModels
from .private import unsupported
from .response import auth_class, family_of
from .stream import Decoder

_PROBE = "X-Probe"


class _Hooks(FastModels):
    _given_http_client: Any
    """The `http_client` that the caller gave."""

    _known_models: dict[str, Any]
    """What each model list had when it was last asked for, by path."""

    def _auth(self, sdk_auth: Any) -> Any:
        given = self._given_http_client
        client_class: Any = openai.DefaultHttpxClient if given is None else type(given)
        return auth_class(client_class)(sdk_auth or (given and given.auth))

    @property
    def custom_auth(self) -> Any:
        return self._auth(super().custom_auth)  # type: ignore[misc]

    def _custom_auth(self, security: Any) -> Any:  # The sync client since 2.x; the async one may follow.
        return self._auth(super()._custom_auth(security))  # type: ignore[misc]

    def _make_sse_decoder(self) -> Any:
        return Decoder()

    def _make_status_error(
        self, err_msg: str, *, body: object, response: Any, **more: Any
    ) -> openai.APIStatusError:
        failure = failure_in(body)
        status = Ours(f"Error code: {response.status_code} - ")
        parts = [status, err_msg.removeprefix(status)] if err_msg.startswith(status) else [err_msg]
        if failure and (failure.enveloped or failure.message not in err_msg):
            parts = [status, str(failure)]
        if hint := next_step(response, failure, f"{''.join(parts)} {body}", self._known_models):
            *parts, last = Message(*parts).parts
            parts += [last.removesuffix("."), Ours(". "), hint]
        message = Message(*parts)
        error: Any = super()._make_status_error(message, body=body, response=response, **more)  # type: ignore[misc]
        error._hint = hint
        if failure and failure.enveloped:
            error.code = str(failure.code)  # Declared as text, but before 3.x left as it came.
            error.request_id = error.request_id or failure.request_id
        return error  # type: ignore[no-any-return]


class SyncClient(_Hooks, openai.OpenAI):
    """The SDK's client, which sees the service's failures."""

    def _process_response(self, **arguments: Any) -> Any:
        check = AnswerCheck(self, arguments)
        with check.errors():
            return check.finish(super()._process_response(**_move_out(arguments)))


class AsyncClient(_Hooks, openai.AsyncOpenAI):
    """The SDK's client, which sees the service's failures."""

    @wraps(openai.AsyncOpenAI.request)
    async def request(self, cast_to: Any, options: Any, **arguments: Any) -> Any:  # type: ignore[override]
        try:
            return await super().request(cast_to, options, **arguments)
        except Exception as error:
            if not hasattr(error, "exceptions"):
                raise
            # A redirect to an impossible port: anyio lets out a group, which the SDK does not expect.
            request = family_of(openai.DefaultHttpxClient).Request(
                options.method, self.base_url.join(options.url.lstrip("/"))
            )
            raise openai.APIConnectionError(request=request) from error

    async def _process_response(self, **arguments: Any) -> Any:
        check = AnswerCheck(self, arguments)
        with check.errors():
            return check.finish(await super()._process_response(**_move_out(arguments)))


def _move_out(arguments: dict[str, Any]) -> dict[str, Any]:
    """Move the arguments out of the caller's frame: they may hold the key, and error reporters show frames."""
    moved = dict(arguments)
    arguments.clear()
    return moved


def drop_openai_settings(client: openai.OpenAI | openai.AsyncOpenAI, given: Mapping[str, Any]) -> None:
    """Undo what the SDK's constructor read from `OPENAI_*` where the caller gave nothing."""
    own = vars(client)
    own["_custom_headers"] = {_PROBE: ""}
    if _PROBE not in client.default_headers:
        raise openai.OpenAIError(unsupported("_custom_headers"))
    own["_custom_headers"] = given.get("default_headers") or {}
    names = "admin_api_key", "organization", "project", "webhook_secret"
    for name in filter(partial(hasattr, client), names):  # Older SDKs lack some.
        setattr(client, name, given.get(name))
