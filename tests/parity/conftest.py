"""The comparison: the plain SDK's client and ours, of each kind, asked the same thing of the same server."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import openai
import pytest

import aitoearn_openai
from conftest import LIBRARY, Asker, Reply, ScriptedServer
from faults.runner import each


@dataclass
class Each:
    """An argument of a client that is made anew for each of the two."""

    make: Callable[[], Any]


@dataclass
class Outcome:
    """What the caller got, and what the server saw."""

    result: Any
    requests: list[Any]


@dataclass
class Twins:
    """The plain SDK's client and ours, of one kind, and the server that both are asked about."""

    is_async: bool
    server: ScriptedServer
    backend: str = "asyncio"

    def same(self, ask: Callable[[Any], Any], *replies: Reply, **arguments: Any) -> Outcome:
        """The outcome of `ask(client)`, which has to be the same for both."""
        theirs = self._outcome(openai, ask, replies, arguments)
        ours = self._outcome(aitoearn_openai, ask, replies, arguments)
        assert vars(ours) == vars(theirs)
        return ours

    def _outcome(
        self, modules: Any, ask: Callable[[Any], Any], replies: tuple[Reply, ...], arguments: dict[str, Any]
    ) -> Outcome:
        self.server.requests.clear()
        self.server.answer(*replies)
        given = {"api_key": "k", "base_url": self.server.base_url, **arguments}
        given = {name: value.make() if isinstance(value, Each) else value for name, value in given.items()}
        given = {name: value for name, value in given.items() if value is not ...}
        try:
            result = Asker(self.is_async, modules, self.backend).run(ask, **given)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other has it too
            result = error
        return Outcome(told(result), [seen(request) for request in self.server.requests])

    def pool(self, family: Any = openai, **arguments: Any) -> Any:
        """An `http_client` of a family: the SDK's own with its defaults, or a library's."""
        if family is openai:
            name = "DefaultAsyncHttpxClient" if self.is_async else "DefaultHttpxClient"
        else:
            name = "AsyncClient" if self.is_async else "Client"
        return getattr(family, name)(**arguments)


def told(value: Any) -> Any:
    """What a caller can see of a value; an exception is no more than that."""
    if isinstance(value, BaseException):
        names = ("message", "body", "code", "param", "type", "status_code", "request_id", "args")
        shown = {name: getattr(value, name, "nothing") for name in names}
        response = getattr(value, "response", None)
        answered = response is not None and (response.status_code, str(response.url), headers(response))
        return type(value), str(value), type(value.__cause__), shown, answered
    if isinstance(value, (list, tuple)):
        return [told(item) for item in value]
    if isinstance(value, dict):
        return {key: told(item) for key, item in value.items()}
    return value


def headers(response: Any) -> Any:
    return [(name, value) for name, value in response.headers.multi_items() if name != "date"]


def seen(request: Any) -> Any:
    """What the server saw of a request, but for what is random, and for what has to differ on the model list."""
    found = re.search(r"boundary=([0-9a-f]+)", request.headers.get("content-type", ""))
    boundary = found[1] if found else "no boundary"
    sent = {name: value.replace(boundary, "B") for name, value in request.headers.items()}
    path = request.path.replace("/models/chat", "/models")
    if request.method == "GET" and sent.get("x-api-key") == sent.get("authorization", "").partition(" ")[2]:
        del sent["x-api-key"]
    return request.method, path, list(sent.items()), request.body.replace(boundary.encode(), b"B")


def arguments_of(method: str) -> list[str]:
    """The names of the arguments that the installed SDK knows."""
    return [name for name in inspect.signature(getattr(openai.OpenAI, method)).parameters if name != "self"]


PROPERTIES = "default_headers", "default_query", "auth_headers", "user_agent", "base_url"


def state(client: Any) -> dict[str, Any]:
    """All that a client shows of itself: its public attributes, but for the resources."""
    plain = vars(openai.OpenAI(api_key="k"))
    names = {*PROPERTIES, *(name for name in plain if not name.startswith("_"))}
    return {name: _comparable(getattr(client, name)) for name in sorted(names)}


def _comparable(value: Any) -> Any:
    """Of an object that equals nothing but itself, its kind."""
    if isinstance(value, dict):
        return {key: _comparable(item) for key, item in value.items()}
    return type(value) if value is not None and type(value).__eq__ is object.__eq__ else value


async def listed(items: Any) -> list[Any]:
    return [item async for item in each(items)]


def sdks_class(response: Any) -> type:
    """The SDK's class that a response is of; ours may be a subclass."""
    return next(base for base in type(response).__mro__ if base.__module__.partition(".")[0] == "openai")


def one_connection(twins: Twins) -> Any:
    """A pool of a single connection: where one is not given back, the next call cannot have it."""
    limits = LIBRARY.Limits(max_connections=1, max_keepalive_connections=1)
    return twins.pool(limits=limits, timeout=LIBRARY.Timeout(10, pool=5))


def hooks(twins: Twins, responses: list[Callable[[Any], Any]], requests: list[Callable[[Any], Any]]) -> Any:
    """Event hooks as the kind of client wants them."""

    def hook(function: Callable[[Any], Any]) -> Any:
        async def hook_async(event: Any) -> None:
            function(event)

        return hook_async if twins.is_async else function

    return {"response": [hook(each) for each in responses], "request": [hook(each) for each in requests]}


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def twins(request: pytest.FixtureRequest, server: ScriptedServer) -> Twins:
    return Twins(request.param, server)


@pytest.fixture(autouse=True)
def every_test_retries_at_once(no_waiting: None) -> None:
    """The comparison asks thousands of times."""


@pytest.fixture(params=["httpx", "httpx2"])
def family(request: pytest.FixtureRequest) -> Any:
    """A library of HTTP clients that the installed SDK takes: its own, and on 3.x also the legacy one."""
    library = pytest.importorskip(request.param)
    with library.Client() as http_client:
        try:
            openai.OpenAI(api_key="k", http_client=http_client)
        except TypeError:
            pytest.skip(f"this SDK takes no client of {request.param}")
    return library
