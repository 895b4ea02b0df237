"""The first look at a response, in an httpx `Auth`: before the SDK sees its status, and with the SDK's retries to come.

It is httpx's public way to see a response first, and leaves an `http_client` that others share untouched.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing, suppress
from functools import cache
from typing import Any

from .._hints import API_KEY_HEADER
from .answer import is_sdk_type
from .exceptions import family_of
from .exchange import Exchange


@cache
def auth_class(client_class: type) -> Any:
    """`_Auth` as a subclass of the `Auth` that goes with an HTTP client."""
    family = family_of(client_class)
    return type("AiToEarnAuth", (_Auth, family.Auth), {"family": family})


class _Auth:
    """Wraps the `Auth` that httpx would have used."""

    family: Any

    def __init__(self, exchange: Exchange, inner: Any) -> None:
        self._exchange, self._inner = exchange, inner

    def _begin(self, request: Any) -> Any:
        """The `Auth` for this try."""
        self._exchange.request = request
        cast_to = self._exchange.cast_to
        is_list = is_sdk_type(cast_to) and hasattr(cast_to, "model_class")
        if is_list and API_KEY_HEADER not in request.headers:
            # The service's lists take the key in a header of their own too; what asks for them follows no redirect.
            scheme, _, key = request.headers.get("Authorization", "").partition(" ")
            if scheme == "Bearer":
                request.headers[API_KEY_HEADER] = key
        if self._inner is None and request.url.userinfo:  # As httpx does where no `Auth` is given.
            return self.family.BasicAuth(request.url.username, request.url.password)
        return self._inner or self.family.Auth()

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        with closing(self._begin(request).sync_auth_flow(request)) as flow, suppress(StopIteration):
            request = next(flow)
            while True:
                response = yield request
                request = flow.send(response)
        if self._exchange.wants_body(response):
            response.read()
        self._exchange.first_look(response)  # The SDK goes on by the status that it now has.

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        async with aclosing(self._begin(request).async_auth_flow(request)) as flow:
            with suppress(StopAsyncIteration):
                request = await anext(flow)
                while True:
                    response = yield request
                    request = await flow.asend(response)
        if self._exchange.wants_body(response):
            await response.aread()
        self._exchange.first_look(response)  # The SDK goes on by the status that it now has.
