"""To the letter: the plain SDK's client and ours, asked the same thing of the same server, cannot be told apart."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import importlib
import inspect
import io
import json
import logging
import re
import socket
import sys
import typing
import warnings
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email import message_from_bytes
from itertools import pairwise
from threading import Event, Thread
from typing import Any

import anyio
import openai
import pytest
from openai.types import ImagesResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk

import aitoearn_openai
from aitoearn_openai.sandbox import Sandbox
from conftest import (
    CALLABLE_KEYS,
    CHAT_HELPERS,
    MESSAGES,
    NAMED_EVENTS,
    Asker,
    Reply,
    ScriptedServer,
    complete,
    stream,
)

PAIRS = [
    pytest.param(aitoearn_openai.OpenAI, openai.OpenAI, id="sync"),
    pytest.param(aitoearn_openai.AsyncOpenAI, openai.AsyncOpenAI, id="async"),
]
COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "logprobs": None,
            "message": {
                "role": "assistant",
                "content": '{"city": "北京", "degrees": 7}',
                "name": None,
                "tool_calls": [],
                "reasoning_content": "r",
            },
        }
    ],
    "usage": {
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "total_tokens": 3,
        "prompt_tokens_details": None,
    },
    "cost": "0.1",
}
ANSWER = Reply(COMPLETION, headers={"X-Request-Id": "r-1", "X-Odd": "é".encode().decode("latin-1")})
PICTURES = Reply({"created": 1, "data": [{"b64_json": "QQ=="}, {"b64_json": "Qg=="}], "odd": {"a": 1}})
MODELS = {
    "object": "list",
    "data": [{"id": name, "object": "model", "created": 0, "owned_by": "me"} for name in ("a", "b")],
}


def sse(*datas: object, done: bool = True) -> Reply:
    events = [data if isinstance(data, str) else json.dumps(data) for data in datas]
    body = "".join(f"data: {event}\n\n" for event in [*events, *(["[DONE]"] if done else [])])
    return Reply(body, content_type="text/event-stream", headers={"X-Request-Id": "r-1"})


def chunk(finish_reason: str | None = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
    head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "cost": "0.1"}
    return {**head, "choices": [choice]}


CHUNKS = sse(
    chunk(role="assistant", content=""),
    chunk(reasoning_content="r", content=""),
    *(chunk(content=piece) for piece in ('{"city": ', '"北京", ', '"degrees": 7}')),
    chunk(finish_reason="stop"),
)


class Weather(openai.BaseModel):
    """What a caller wants an answer, or the arguments of a tool, to be."""

    city: str
    degrees: int


# The comparison.


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

    def same(self, ask: Callable[[Any], Any], *replies: Reply, **arguments: Any) -> Outcome:
        """The outcome of `ask(client)`, which has to be the same for both."""
        theirs = self._outcome(openai, ask, replies, arguments)
        ours = self._outcome(aitoearn_openai, ask, replies, arguments)
        assert ours == theirs
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
            result = Asker(self.is_async, modules).run(self._driven(ask), **given)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other has it too
            result = error
        return Outcome(told(result), [seen(request) for request in self.server.requests])

    def _driven(self, ask: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Let one coroutine function ask both kinds: with a sync client there is nothing that it waits for."""

        def driven(client: Any) -> Any:
            result = ask(client)
            if self.is_async or not inspect.iscoroutine(result):
                return result
            try:
                result.send(None)
            except StopIteration as stop:
                return stop.value
            raise AssertionError("a sync client was waited for")

        return driven

    def pool(self, family: Any = openai, **arguments: Any) -> Any:
        """An `http_client` of a family: the SDK's own with its defaults, or a library's."""
        if family is openai:
            name = "DefaultAsyncHttpxClient" if self.is_async else "DefaultHttpxClient"
        else:
            name = "AsyncClient" if self.is_async else "Client"
        return getattr(family, name)(**arguments)


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def twins(request: pytest.FixtureRequest, server: ScriptedServer) -> Twins:
    return Twins(request.param, server)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries of which the server does not say when come at once."""
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.001)


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


async def wait(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


@contextlib.asynccontextmanager
async def entered(manager: Any) -> AsyncIterator[Any]:
    if hasattr(manager, "__aenter__"):
        async with manager as value:
            yield value
    else:
        with manager as value:
            yield value


async def listed(items: Any) -> list[Any]:
    return [item async for item in items] if hasattr(items, "__aiter__") else list(items)


async def first(items: Any) -> Any:
    return await anext(items) if hasattr(items, "__anext__") else next(items)


async def close(closable: Any) -> None:
    await wait(closable.close())


# Classes.


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_an_editor_or_a_framework_that_inspects_the_class_sees_the_sdks(ours: type, theirs: type) -> None:
    """Every name that the SDK's class has is there, with its signature and its type hints."""
    assert set(dir(ours)) >= set(dir(theirs))
    for name in dir(theirs):
        member, its_member = getattr(ours, name), getattr(theirs, name)
        if inspect.isfunction(its_member) and (name == "__init__" or not name.startswith("_")):
            assert inspect.signature(member) == inspect.signature(its_member), name
    assert typing.get_type_hints(ours.__init__) == typing.get_type_hints(theirs.__init__)
    assert ours.__name__ == theirs.__name__


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_code_that_checks_for_the_sdks_client_accepts_ours(ours: type, theirs: type) -> None:
    """Tracers and agents ask with `isinstance`, and print a client without its key."""
    ours_shown, theirs_shown = (repr(each(api_key="sk-secret")) for each in (ours, theirs))

    assert isinstance(ours(api_key="k"), theirs)
    assert re.sub(r"[\w.]+\.|0x\w+", "", ours_shown) == re.sub(r"[\w.]+\.|0x\w+", "", theirs_shown)
    assert "secret" not in ours_shown


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_retries": None},
        {"max_retries": "3"},
        {"http_client": 7},
        {"http_client": "wrong kind"},
        {"base_url": 7},
        {"base_url": ""},
        {"default_headers": {"X-One": None}},
        {"default_headers": {"X-One": 1}},
        {"unheard_of": 1},
        {"api_key": 7},
        {"api_key": ""},
    ],
    ids=repr,
)
def test_a_wrong_argument_is_told_as_the_sdk_tells_it(twins: Twins, arguments: dict[str, Any]) -> None:
    """At once or with the first call, with the same exception."""
    if arguments.get("http_client") == "wrong kind":
        wrong = Twins(not twins.is_async, twins.server)
        arguments = {"http_client": Each(wrong.pool)}
    twins.same(complete("m"), ANSWER, **arguments)


def test_a_misspelt_key_is_told_as_a_misspelt_argument(twins: Twins) -> None:
    """`api_kee=` is a TypeError, and not the news that there is no key."""
    twins.same(complete("m"), api_key=..., api_kee="k")


# The constructor and copies.


def arguments_of(method: str) -> list[str]:
    """The names of the arguments that the installed SDK knows."""
    return [name for name in inspect.signature(getattr(openai.OpenAI, method)).parameters if name != "self"]


RIVALS = {
    "workload_identity": {"api_key": ...},
    "provider": {"api_key": ..., "base_url": ...},
    "data_residency": {"base_url": ...},
}
"""Arguments that the SDK takes only where others are left out."""


def value_of(name: str, twins: Twins) -> Any:
    """Something for each argument that is not what it would be anyway."""
    identity = {
        "identity_provider_id": "i",
        "service_account_id": "s",
        "provider": {"token_type": "jwt", "get_token": str},
    }
    values: dict[str, Any] = {
        "api_key": "other",
        "admin_api_key": "admin",
        "workload_identity": identity,
        "provider": Each(lambda: bedrock(twins.server.origin)),
        "organization": "org",
        "project": "project",
        "webhook_secret": "whsec",
        "websocket_base_url": "wss://h.example/ws",
        "base_url": f"{twins.server.origin}/other/path/?of=mine",
        "data_residency": "eu",
        "timeout": 3.5,
        "max_retries": 7,
        "default_headers": {"X-Mine": "1", "User-Agent": "mine"},
        "set_default_headers": {"X-Other": "2"},
        "default_query": {"q": "1", "many": ["a", "b"]},
        "set_default_query": {"r": "你"},
        "http_client": Each(lambda: twins.pool(headers={"X-Pool": "1"}, follow_redirects=False)),
        "_strict_response_validation": True,
        "_enforce_credentials": False,
        "_extra_kwargs": {"_strict_response_validation": True},
    }
    if name not in values:
        pytest.fail(f"The installed SDK has a new argument {name!r}: say in this table what to give for it.")
    return values[name]


def bedrock(origin: str) -> Any:
    providers = importlib.import_module("openai.providers")
    return providers.bedrock(base_url=f"{origin}/provider", api_key="b")


SDKS_OWN = {*vars(openai.OpenAI(api_key="k")), *vars(openai.AsyncOpenAI(api_key="k"))}


def state(client: Any) -> dict[str, Any]:
    """Everything that a client of the SDK holds; of an object that equals nothing but itself, its kind."""
    pool = client._client
    held = {
        name: type(value) if name in ("_client", "_provider_runtime") or by_identity(value) else value
        for name, value in vars(client).items()
        if name in SDKS_OWN
    }
    held["pool"] = [pool.timeout, str(pool.base_url), dict(pool.headers), pool.follow_redirects]
    return held


def by_identity(value: Any) -> bool:
    return value is not None and type(value).__eq__ is object.__eq__


async def state_and_call(client: Any, twins: Twins) -> Any:
    """What the client holds, and, unless it would leave this machine, what it is answered."""
    before = state(client)
    at_home = str(client.base_url).startswith(twins.server.origin)
    if not at_home or getattr(client, "workload_identity", None):
        return before, str(client.base_url)
    return before, await wait(complete("m")(client)), client.default_headers.keys()


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "with-key-and-url"])
@pytest.mark.parametrize("name", arguments_of("__init__"))
def test_each_argument_of_the_constructor_makes_the_same_client(twins: Twins, name: str, alone: bool) -> None:
    """The same state and the same request, or the same refusal."""
    arguments = {**(RIVALS.get(name, {}) if alone else {}), name: value_of(name, twins)}
    twins.same(lambda client: state_and_call(client, twins), ANSWER, **arguments)


@pytest.mark.parametrize("method", ["copy", "with_options"])
@pytest.mark.parametrize("name", arguments_of("copy"))
def test_each_argument_of_a_copy_makes_the_same_client(twins: Twins, name: str, method: str) -> None:
    """A copy has our class and the SDK's ways, and the client that it came from stays as it was."""

    async def ask(client: Any) -> Any:
        value = value_of(name, twins)
        before = state(client)
        try:
            copied = getattr(client, method)(**{name: value.make() if isinstance(value, Each) else value})
        except openai.OpenAIError as error:
            return None, told(error), before == state(client)
        assert type(copied) is type(client)
        shares = copied._client is client._client
        answered = await state_and_call(copied, twins)
        if not shares:
            await close(copied)
        return shares, answered, before == state(client)

    shares, _, unchanged = twins.same(
        ask, ANSWER, default_headers={"X-First": "1"}, default_query={"first": "1"}, organization="first"
    ).result

    assert shares in (name != "http_client", None)
    assert unchanged


@pytest.mark.parametrize("order", [1, -1], ids=["forwards", "backwards"])
def test_a_chain_of_copies_ends_in_the_same_client(twins: Twins, order: int) -> None:
    """Each copy keeps what those before it were told, whatever the order."""
    names = [name for name in arguments_of("copy")[::order] if name not in RIVALS and name != "http_client"]

    async def ask(client: Any) -> Any:
        results = []
        for name in names:
            client = client.copy(**{name: value_of(name, twins)}).with_options()
            results.append(await state_and_call(client, twins))
        return results

    outcome = twins.same(ask, ANSWER)

    assert len(outcome.requests) == len(names)


@pytest.mark.parametrize(
    ("one", "other"), [*pairwise(arguments_of("copy")), ("default_query", "max_retries")]
)
def test_two_arguments_of_a_copy_agree_or_are_refused_as_in_the_sdk(
    twins: Twins, one: str, other: str
) -> None:
    """Some exclude each other; the refusal is the SDK's."""

    async def ask(client: Any) -> Any:
        values = {name: value_of(name, twins) for name in (one, other)}
        made = {name: value.make() if isinstance(value, Each) else value for name, value in values.items()}
        try:
            copied = client.copy(**made)
        finally:
            for value in made.values():
                if hasattr(value, "is_closed"):
                    await wait(value.aclose() if twins.is_async else value.close())
        return state(copied)

    twins.same(ask, ANSWER)


@pytest.mark.parametrize("limit", [None, 0.5, "parts"], ids=str)
def test_a_timeout_of_any_kind_arrives(twins: Twins, limit: Any) -> None:
    """None, seconds or the SDK's `Timeout`, of the client, of a copy and of one call."""
    limit = openai.Timeout(9, connect=3, read=4) if limit == "parts" else limit

    async def ask(client: Any) -> Any:
        for each in (client, client.with_options(timeout=limit), client.copy(timeout=1)):
            await wait(complete("m")(each))
            await wait(complete("m", timeout=limit)(each))
        return client.timeout

    outcome = twins.same(ask, ANSWER, timeout=limit)

    assert outcome.result == limit
    assert len(outcome.requests) == 6


def test_a_copy_shares_the_connections_and_another_client_does_not(twins: Twins) -> None:
    """And closing any of those that share closes the pool of all."""

    async def ask(client: Any) -> Any:
        other = type(client)(api_key="k", base_url=twins.server.base_url)
        copied = client.copy(api_key="x").with_options(timeout=1)
        shared = [copied._client is client._client, other._client is client._client]
        await close(copied)
        closed = [each.is_closed() for each in (client, copied, other)]
        await close(other)
        try:
            await wait(complete("m")(client))
        except Exception as error:  # noqa: BLE001 - whatever it is, the other has it too
            return shared, closed, type(error), str(error)

    assert twins.same(ask, ANSWER).result[:2] == [[True, False], [True, True, False]]


def test_attributes_assigned_later_are_sent(twins: Twins) -> None:
    """Programs set them on a running client, and the next call has them."""

    async def ask(client: Any) -> Any:
        await wait(complete("m")(client))
        client.api_key, client.organization, client.project = "new", "o", "p"
        client.base_url = f"{twins.server.origin}/v2"
        client.timeout, client.max_retries = 4.5, 1
        return await wait(complete("m")(client)), state(client), state(client.copy())

    outcome = twins.same(ask, ANSWER, Reply(status=500), ANSWER)

    assert [request[1] for request in outcome.requests[1:]] == ["/v2/chat/completions"] * 2


# Calls.

TOOL: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
CALL = {
    "id": "c",
    "type": "function",
    "function": {"name": "Weather", "arguments": '{"city": "北京", "degrees": 7}'},
}
CALLED = {
    **COMPLETION,
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {"role": "assistant", "content": None, "tool_calls": [CALL]},
        }
    ],
}
FILES: dict[str, Any] = {
    "bytes": b"\x89PNG\r\n--boundary",
    "named": ("图.png", b"\x00\xff", "image/png"),
    "with-headers": ("a.png", b"a", "image/png", {"X-Part": "1"}),
    "several": [b"one", ("two.png", b"2"), ("3.png", b"3", "image/png")],
}


def draw_on(image: Any, **arguments: Any) -> Callable[[Any], Any]:
    return lambda client: client.images.edit(
        model="m", image=image() if callable(image) else image, prompt="一只猫", n=2, **arguments
    )


def changed(**message: Any) -> Reply:
    choice = {**COMPLETION["choices"][0], "message": {"role": "assistant", "content": None, **message}}
    return Reply({**COMPLETION, "choices": [choice]})


CALLS: dict[str, tuple[Callable[[Any], Any], Reply]] = {
    "plain": (complete("m"), ANSWER),
    "n-stop-and-tools": (
        complete("m", n=3, stop=["a", "\n"], tools=[TOOL], tool_choice="auto", seed=1, temperature=0),
        Reply(CALLED),
    ),
    "everything-else": (
        complete(
            "m",
            user="u",
            metadata={"a": "b"},
            logit_bias={"1": 2},
            response_format={"type": "json_object"},
            reasoning_effort="low",
            max_tokens=5,
        ),
        ANSWER,
    ),
    "arguments-left-open": (complete("m", n=openai.NOT_GIVEN, stop=None, tools=openai.NOT_GIVEN), ANSWER),
    "extra-headers": (
        complete("m", extra_headers={"X-One": "1", "user-agent": "mine", "X-Stainless-Lang": openai.Omit()}),
        ANSWER,
    ),
    "extra-key": (complete("m", extra_headers={"Authorization": "Bearer mine"}), ANSWER),
    "extra-key-header": (complete("m", extra_headers={"X-Api-Key": "mine"}), ANSWER),
    "no-key": (complete("m", extra_headers={"Authorization": openai.Omit()}), ANSWER),
    "extra-query": (complete("m", extra_query={"q": "1 2", "many": ["a", "b"], "deep": {"a": 1}}), ANSWER),
    "extra-body": (complete("m", extra_body={"thinking": {"type": "enabled"}, "model": "over"}), ANSWER),
    "lone-surrogate": (complete("m", user="\ud800"), ANSWER),
    "missing-argument": (lambda client: client.chat.completions.create(model="m"), ANSWER),
    "bad-argument": (complete("m", unheard_of=1), ANSWER),
    "stream": (stream("m", stream_options={"include_usage": True}), CHUNKS),
    "stream-without-done": (stream("m"), sse(chunk(content="hi"), done=False)),
    "stream-of-odd-lines": (
        stream("m"),
        Reply(
            ': hello\r\nid: 7\nretry: 5\nevent: e\ndata: {"choices": [],\ndata: "odd": 1}\n\n'
            'data:{"choices":[]}\r\rdata: [DONE]\n\ndata: {"choices": [1]}\n\n',
            content_type="text/event-stream",
        ),
    ),
    "images": (
        lambda client: client.images.generate(model="m", prompt="猫", n=2, size="1024x1024"),
        PICTURES,
    ),
    **{f"edit-{name}": (draw_on(image), PICTURES) for name, image in FILES.items()},
    "edit-file": (draw_on(lambda: io.BytesIO(b"from a file")), PICTURES),
    "edit-with-mask": (
        draw_on(b"a", mask=("m.png", b"m"), extra_body={"own": ["x", {"y": 1}]}, extra_query={"q": "1"}),
        PICTURES,
    ),
    "edit-nonsense": (draw_on(5), PICTURES),
    "variation": (lambda client: client.images.create_variation(image=b"a"), PICTURES),
    "embedding": (
        lambda client: client.embeddings.create(model="m", input="x"),
        Reply({"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}]}),
    ),
    "legacy-completion": (
        lambda client: client.completions.create(model="m", prompt="x"),
        Reply({"id": "1", "object": "text_completion", "choices": [{"text": "x", "index": 0}]}),
    ),
    "response-stream": (
        lambda client: client.responses.create(model="m", input="x", stream=True),
        Reply(
            'data: {"type": "error", "code": "server_error", "message": "m", "sequence_number": 1}\n\n',
            content_type="text/event-stream",
        ),
    ),
    "speech": (
        lambda client: client.audio.speech.with_raw_response.create(model="m", voice="alloy", input="x"),
        Reply(b"\x00\xff", content_type="audio/mpeg"),
    ),
    "transcription": (
        lambda client: client.audio.transcriptions.create(model="m", file=b"x", response_format="text"),
        Reply("你好", content_type="text/plain; charset=utf-8"),
    ),
    "get": (lambda client: client.get("/users/me", cast_to=object), Reply({"code": 0, "data": {"a": 1}})),
    "get-another-origin": (
        lambda client: client.get(f"{client.base_url.copy_with(path='/else')}", cast_to=object),
        Reply({"a": 1}),
    ),
    "get-dict": (lambda client: client.get("/x", cast_to=dict[str, object]), Reply({"a": {"b": []}})),
    "get-list": (lambda client: client.get("/x", cast_to=list[int]), Reply(b"[1, 2]")),
    "get-model": (lambda client: client.get("/x", cast_to=Weather), Reply({"city": "c", "degrees": "x"})),
    "get-text": (
        lambda client: client.get("/x", cast_to=str, options={"params": {"a": [1]}}),
        Reply("{no json", content_type="text/html"),
    ),
    "get-nothing": (
        lambda client: client.get("/x", cast_to=type(None)),
        Reply(status=204, content_type=None),
    ),
    "get-foreign-model": (
        lambda client: client.get("/x", cast_to=int.__class__),
        Reply({"a": 1}),
    ),
    "post": (
        lambda client: client.post(
            "/chat/completions",
            cast_to=ChatCompletion,
            body={"model": "m"},
            options={"headers": {"X-One": "1"}, "max_retries": 1, "timeout": 3, "extra_json": {"b": 2}},
        ),
        ANSWER,
    ),
    "post-files": (
        lambda client: client.post(
            "/images/edits",
            cast_to=ImagesResponse,
            body={"model": "m", "deep": {"a": [1, 2]}},
            files={"image": ("a", b"b")},
            options={"headers": {"Content-Type": "multipart/form-data"}},
        ),
        PICTURES,
    ),
    "post-stream": (
        lambda client: client.post(
            "/chat/completions",
            cast_to=ChatCompletionChunk,
            body={"stream": True},
            stream=True,
            stream_cls=(openai.AsyncStream if isinstance(client, openai.AsyncOpenAI) else openai.Stream)[
                ChatCompletionChunk
            ],
        ),
        CHUNKS,
    ),
    "http-version-of-json": (
        complete("m"),
        Reply(COMPLETION, content_type="application/vnd.api+json; charset=utf-8", status=201),
    ),
    "json-of-another-charset": (complete("m"), Reply(json.dumps(COMPLETION).encode("utf-16"))),
    "json-that-is-not-said-to-be": (complete("m"), Reply(COMPLETION, content_type="text/plain")),
    "packed": (
        complete("m"),
        Reply(gzip.compress(json.dumps(COMPLETION).encode()), headers={"Content-Encoding": "gzip"}),
    ),
    "packed-stream": (
        stream("m"),
        Reply(
            gzip.compress(CHUNKS.encoded()),
            headers={"Content-Encoding": "gzip"},
            content_type="text/event-stream",
        ),
    ),
    "parsed": (
        lambda client: client.chat.completions.parse(model="m", messages=MESSAGES, response_format=Weather),
        ANSWER,
    ),
    "parsed-tools": (
        lambda client: client.chat.completions.parse(
            model="m", messages=MESSAGES, tools=[openai.pydantic_function_tool(Weather)]
        ),
        Reply(CALLED),
    ),
    "parsed-refusal": (
        lambda client: client.chat.completions.parse(model="m", messages=MESSAGES, response_format=Weather),
        changed(refusal="no"),
    ),
    "parsed-nonsense": (
        lambda client: client.chat.completions.parse(model="m", messages=MESSAGES, response_format=Weather),
        changed(content="no json"),
    ),
    "parsed-too-short": (
        lambda client: client.chat.completions.parse(model="m", messages=MESSAGES, response_format=Weather),
        Reply(
            {**COMPLETION, "choices": [{**COMPLETION["choices"][0], "finish_reason": "length"}]},
        ),
    ),
    "parsed-without-a-strict-tool": (
        lambda client: client.chat.completions.parse(
            model="m", messages=MESSAGES, tools=[{"type": "function", "function": {"name": "f"}}]
        ),
        Reply(CALLED),
    ),
}
if not NAMED_EVENTS:
    del CALLS["stream-of-odd-lines"]


@pytest.mark.parametrize("name", CALLS)
def test_a_call_sends_and_returns_the_same(twins: Twins, name: str) -> None:
    """Byte for byte to the server, and an equal object, or the same exception, back."""
    ask, reply = CALLS[name]

    async def asked(client: Any) -> Any:
        result = await wait(ask(client))
        if isinstance(result, (openai.Stream, openai.AsyncStream)):
            return await listed(result)
        return result.content if hasattr(result, "http_response") else (result, request_id(result))

    twins.same(asked, reply)


def sdks_class(response: Any) -> type:
    """The SDK's class that a response is of; ours may be a subclass."""
    return next(base for base in type(response).__mro__ if base.__module__.partition(".")[0] == "openai")


def request_id(result: Any) -> Any:
    return getattr(result, "_request_id", "has none")


@pytest.mark.parametrize("name", CALLS)
def test_a_call_with_strict_validation_sends_and_returns_the_same(twins: Twins, name: str) -> None:
    """Or fails for the same reason."""
    ask, reply = CALLS[name]

    async def asked(client: Any) -> Any:
        result = await wait(ask(client))
        if isinstance(result, (openai.Stream, openai.AsyncStream)):
            return await listed(result)
        return result.content if hasattr(result, "http_response") else result

    twins.same(asked, reply, _strict_response_validation=True)


def test_an_answer_that_breaks_the_schema_fails_under_strict_validation_alone(twins: Twins) -> None:
    """With the SDK's own exception, and the body in it."""
    odd = Reply({**COMPLETION, "choices": [{"index": "x"}]})

    assert isinstance(twins.same(complete("m"), odd).result, ChatCompletion)
    strict = twins.same(complete("m"), odd, _strict_response_validation=True).result
    assert strict[0] is openai.APIResponseValidationError


def test_fields_that_nobody_declared_stay(twins: Twins) -> None:
    """As attributes, in `model_extra` and in what the object turns into."""

    async def ask(client: Any) -> Any:
        answer = await wait(complete("m")(client))
        message = answer.choices[0].message
        extra = (answer.model_extra, message.model_extra, message.reasoning_content, answer.cost)
        return answer.to_json(), answer.to_dict(), extra, answer.model_fields_set, repr(answer)

    assert twins.same(ask, ANSWER).result[2][2:] == ["r", "0.1"]


@pytest.mark.parametrize("image", FILES)
def test_an_upload_arrives_field_by_field(twins: Twins, image: str) -> None:
    """The server finds each field and each file, with its name and its type."""
    outcome = twins.same(draw_on(FILES[image]), PICTURES)
    _, _, sent, body = outcome.requests[0]
    content_type = dict(sent)["content-type"]
    form = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    fields = [part.get_param("name", header="content-disposition") for part in form.get_payload()]

    assert {"model", "prompt", "n"} <= {*fields}
    assert sum(name.startswith("image") for name in fields) == (3 if image == "several" else 1)
    assert isinstance(outcome.result, ImagesResponse)


def test_the_model_list_differs_by_its_address_and_second_key_alone(twins: Twins) -> None:
    """The same headers otherwise, and what comes back is read as in the SDK, raw or not."""

    async def ask(client: Any) -> Any:
        results = []
        for models in (client.with_raw_response.models, client.models.with_raw_response):
            raw = await wait(models.list(extra_headers={"X-One": "1"}, extra_query={"q": "1"}, timeout=5))
            results += [
                sdks_class(raw),
                raw.status_code,
                raw.request_id,
                raw.retries_taken,
                ids(raw.parse().data),
            ]
        async with entered(client.models.with_streaming_response.list()) as response:
            results += [response.http_response.is_stream_consumed, ids((await wait(response.parse())).data)]
        page = await wait(client.with_options(default_headers={"X-Two": "2"}).models.list())
        results += [page.has_next_page(), page.next_page_info(), page._request_id, ids(await listed(page))]
        results.append(ids(await listed(client.models.list())))
        return results

    def ids(models: list[Any]) -> list[str]:
        return [model.id for model in models]

    outcome = twins.same(ask, Reply(MODELS, headers={"X-Request-Id": "r-1"}))

    assert [request[1] for request in outcome.requests[:3]] == [
        "/api/ai/models?q=1",
        "/api/ai/models?q=1",
        "/api/ai/models",
    ]


def test_retrieving_a_model_without_a_name_is_refused_as_in_the_sdk(twins: Twins) -> None:
    """A ValueError, before anything is sent."""
    twins.same(lambda client: client.models.retrieve(""), Reply(MODELS))


# Raw and streaming responses.


@pytest.mark.parametrize(
    "name",
    [
        *("plain", "images", "edit-named", "json-of-another-charset"),
        *(("parsed", "parsed-tools") if CHAT_HELPERS else ()),
    ],
)
def test_a_raw_response_is_the_same_in_each_part(twins: Twins, name: str) -> None:
    """Headers, status, request and content, how often it was retried, and the parsed object."""
    raw_asks: dict[str, Callable[[Any], Any]] = {
        "plain": lambda client: complete("m")(WithRaw(client)),
        "images": lambda client: client.images.with_raw_response.generate(model="m", prompt="p"),
        "parsed": lambda client: client.chat.completions.with_raw_response.parse(
            model="m", messages=MESSAGES, response_format=Weather
        ),
        "parsed-tools": lambda client: client.with_raw_response.chat.completions.parse(
            model="m", messages=MESSAGES, tools=[openai.pydantic_function_tool(Weather)]
        ),
        "edit-named": lambda client: client.images.with_raw_response.edit(image=FILES["named"], prompt="p"),
        "json-of-another-charset": lambda client: complete("m")(WithRaw(client)),
    }

    async def ask(client: Any) -> Any:
        raw = await wait(raw_asks[name](client))
        http = raw.http_response
        parsed = await wait(raw.parse())
        return [
            (sdks_class(raw), raw.status_code, raw.method, str(raw.url), raw.http_version, raw.is_closed),
            (raw.retries_taken, raw.request_id, headers(raw), raw.content, raw.text, type(raw.elapsed)),
            (type(http), http.reason_phrase, http.is_stream_consumed, http.encoding, http.history),
            (http.num_bytes_downloaded, http.request.method, sorted(http.extensions)),
            [pair for pair in raw.http_request.headers.multi_items() if pair[0] != "content-type"],
            (parsed, parsed is await wait(raw.parse()), request_id(parsed)),
        ]

    wanted = Reply(**{**vars(CALLS[name][1]), "headers": {"X-Request-Id": "r-1", "Set-Cookie": "a=b"}})
    outcome = twins.same(ask, Reply(status=503, headers={"Retry-After-Ms": "1"}), wanted)

    assert outcome.result[1][:2] == [1, "r-1"]


class WithRaw:
    """A client whose chat completions come raw."""

    def __init__(self, client: Any) -> None:
        self.chat = client.with_raw_response.chat


class WithStreaming:
    """A client whose chat completions come unread."""

    def __init__(self, client: Any) -> None:
        self.chat = client.with_streaming_response.chat


@pytest.mark.parametrize("wrapper", [WithRaw, WithStreaming])
def test_a_raw_response_is_shown_as_the_sdk_shows_it(twins: Twins, wrapper: Any) -> None:
    """In a log or a prompt it is an `APIResponse`, with its status."""

    async def ask(client: Any) -> Any:
        if wrapper is WithRaw:
            shown = repr(await wait(complete("m")(WithRaw(client))))
        else:
            async with entered(complete("m")(WithStreaming(client))) as response:
                shown = repr(response)
        return re.sub(r"[\w.]+\.|0x\w+", "", shown)

    twins.same(ask, ANSWER)


OTHER_TYPES = [
    str,
    object,
    dict,
    dict[str, Any],
    int,
    Weather,
    ChatCompletion,
    openai.BaseModel,
]


@pytest.mark.parametrize("wrapper", [WithRaw, WithStreaming])
@pytest.mark.parametrize("to", OTHER_TYPES, ids=str)
def test_a_raw_response_can_be_parsed_to_another_type(twins: Twins, to: Any, wrapper: Any) -> None:
    """Whatever the SDK's `parse(to=...)` takes, text included."""

    async def ask(client: Any) -> Any:
        if wrapper is WithRaw:
            return (await wait(complete("m")(WithRaw(client)))).parse(to=to)
        async with entered(complete("m")(WithStreaming(client))) as response:
            return await wait(response.parse(to=to))

    twins.same(ask, ANSWER)


@pytest.mark.parametrize("cast_to", [object, dict[str, object]], ids=str)
@pytest.mark.parametrize(
    ("body", "content_type"), [("hello", "text/plain"), ('"hello"', "application/json")], ids=["text", "json"]
)
def test_an_endpoint_of_ones_own_may_answer_with_text(
    twins: Twins, cast_to: Any, body: str, content_type: str
) -> None:
    """`client.get(..., cast_to=object)` gives whatever came, a string among the rest."""
    twins.same(lambda client: client.get("/x", cast_to=cast_to), Reply(body, content_type=content_type))


READERS: dict[str, Callable[[Any], Any]] = {
    "parse": lambda response: response.parse(),
    "read": lambda response: response.read(),
    "text": lambda response: response.text(),
    "json": lambda response: response.json(),
    "iter_bytes": lambda response: response.iter_bytes(),
    "iter_bytes-small": lambda response: response.iter_bytes(chunk_size=7),
    "iter_text": lambda response: response.iter_text(),
    "iter_lines": lambda response: response.iter_lines(),
    "http_response": lambda response: (
        response.http_response.aiter_raw()
        if isinstance(response, openai.AsyncAPIResponse)
        else response.http_response.iter_raw()
    ),
    "nothing": lambda response: None,
    "close": lambda response: response.close(),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["completion", "stream", "image"])
def test_an_unread_response_is_read_the_same_way(twins: Twins, reader: str, kind: str) -> None:
    """Its body is unread at hand-over, each reader gives the same, and the block closes it."""

    async def ask(client: Any) -> Any:
        images = client.images.with_streaming_response
        manager = {
            "completion": lambda: complete("m")(WithStreaming(client)),
            "stream": lambda: stream("m")(WithStreaming(client)),
            "image": lambda: images.generate(model="m", prompt="p"),
        }[kind]()
        async with entered(manager) as response:
            http = response.http_response
            before = (sdks_class(response), http.is_stream_consumed, http.is_closed, headers(response))
            more = (response.status_code, response.request_id, response.retries_taken, response.is_closed)
            try:
                result = await wait(READERS[reader](response))
                result = await listed(result) if isinstance(result, (Iterator, AsyncIterator)) else result
            except ValueError as error:  # A stream is no JSON.
                result = told(error)
        after = (http.is_closed, http.is_stream_consumed)
        return before, more, result, after, await wait(complete("m")(client))

    replies = {"completion": ANSWER, "stream": CHUNKS, "image": PICTURES}
    outcome = twins.same(ask, replies[kind], ANSWER)
    before, _, _, after, again = outcome.result

    assert before[1:3] == [False, False]
    assert after[0]
    assert isinstance(again, ChatCompletion)


def test_an_exception_inside_the_block_closes_an_unread_response(twins: Twins) -> None:
    """The caller's own error passes through, and the connection is given back."""

    async def ask(client: Any) -> Any:
        responses = []
        try:
            async with entered(complete("m")(WithStreaming(client))) as response:
                responses.append(response.http_response)
                raise KeyError("mine")
        except KeyError as error:
            again = await wait(complete("m")(client))
            return str(error), responses[0].is_closed, responses[0].is_stream_consumed, again

    assert twins.same(ask, ANSWER, http_client=Each(lambda: one_connection(twins))).result[1]


# Streams.


def one_connection(twins: Twins) -> Any:
    """A pool of a single connection: where one is not given back, the next call cannot have it."""
    library = sys.modules[openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0]]
    limits = library.Limits(max_connections=1, max_keepalive_connections=1)
    return twins.pool(limits=limits, timeout=library.Timeout(10, pool=5))


WAYS_OUT = ["close", "block", "break", "error", "to-the-end", "not-at-all"]


@pytest.mark.parametrize("way", WAYS_OUT)
def test_after_a_stream_that_is_left_the_connection_can_be_used(twins: Twins, way: str) -> None:
    """Closed early, left by its block, by `break` or by an error, or read to its end, there is one connection."""

    async def ask(client: Any) -> Any:
        chunks = await wait(stream("m")(client))
        got = []
        if way == "close":
            got.append(await first(chunks))
            await close(chunks)
        elif way == "break":
            async with entered(chunks):
                got.append(await first(chunks))
        elif way == "block":
            async with entered(chunks) as same:
                assert same is chunks
        elif way == "error":
            with contextlib.suppress(KeyError):
                async with entered(chunks):
                    got.append(await first(chunks))
                    raise KeyError
        elif way == "to-the-end":
            got += await listed(chunks)
        else:
            await close(chunks)
        await close(chunks)
        left = (chunks.response.is_closed, chunks.response.is_stream_consumed, type(chunks))
        try:
            got += await listed(chunks)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other has it too
            got.append(told(error))
        return got, left, await wait(complete("m")(client)), await listed(await wait(stream("m")(client)))

    outcome = twins.same(ask, CHUNKS, ANSWER, CHUNKS, http_client=Each(lambda: one_connection(twins)))

    assert outcome.result[1][0]
    assert len(outcome.requests) == 3


def test_a_stream_can_be_read_raw(twins: Twins) -> None:
    """`with_raw_response` and `stream=True`: the headers first, the chunks from `parse()`."""

    async def ask(client: Any) -> Any:
        raw = await wait(stream("m")(WithRaw(client)))
        before = (raw.headers["content-type"], raw.request_id, raw.http_response.is_stream_consumed)
        return before, type(raw.parse()), await listed(raw.parse())

    assert twins.same(ask, CHUNKS).result[0] == ["text/event-stream", "r-1", False]


HELPERS: dict[str, dict[str, Any]] = {
    "text": {},
    "response-format": {"response_format": Weather},
    "tools": {"tools": [openai.pydantic_function_tool(Weather)]},
}


@pytest.mark.skipif(not CHAT_HELPERS, reason="in this version of the SDK they are in beta")
@pytest.mark.parametrize("left", [False, True], ids=["to-the-end", "left-early"])
@pytest.mark.parametrize("name", HELPERS)
def test_the_stream_helper_gives_the_same_events(twins: Twins, name: str, left: bool) -> None:
    """Content, parsed objects and tool calls as they grow, and the final completion."""
    function = {"name": "Weather", "arguments": ""}
    pieces = ['{"city": "北京", ', '"degrees": 7}']
    tools = sse(
        chunk(
            role="assistant", tool_calls=[{"index": 0, "id": "c", "type": "function", "function": function}]
        ),
        *(chunk(tool_calls=[{"index": 0, "function": {"arguments": piece}}]) for piece in pieces),
        chunk(finish_reason="tool_calls"),
    )

    async def ask(client: Any) -> Any:
        manager = client.chat.completions.stream(model="m", messages=MESSAGES, **HELPERS[name])
        async with entered(manager) as events:
            if left:
                return [await first(events), type(events)], await wait(events.close())
            seen_events = [(event.type, event) for event in await listed(events)]
            return seen_events, await wait(events.get_final_completion()), type(events)

    outcome = twins.same(ask, tools if name == "tools" else CHUNKS)

    assert left or len(outcome.result[0]) > 5


# Failures.

ERROR = {"message": "no", "code": "bad_thing", "type": "t", "param": "p", "more": 1}
ERRORS: dict[str, Reply] = {
    "openai": Reply({"error": ERROR}),
    "openai-numeric": Reply({"error": {**ERROR, "code": 5, "param": None}}),
    "openai-bare": Reply({"error": {"message": "no"}}),
    "openai-text": Reply({"error": "no"}),
    "compatible": Reply({"object": "error", "message": "no", "code": 40301, "type": "t", "param": None}),
    "detail": Reply({"detail": [{"loc": ["body"], "msg": "no"}]}),
    "nest": Reply({"statusCode": 1, "message": "no", "error": "Bad"}),
    "list": Reply(b"[1]"),
    "null": Reply(b"null"),
    "html": Reply("<p>502", content_type="text/html"),
    "text": Reply("no\n", content_type="text/plain; charset=utf-8"),
    "broken": Reply(b'{"error": '),
    "empty": Reply(b"", content_type=None),
}
"""Bodies of failures that come with a status of their own. Those in the service's envelope are our words' business."""


STATUSES = [400, 402, 403, 404, 409, 413, 418, 422, 429, 500, 502, 529]


@pytest.mark.parametrize("body", ERRORS)
def test_a_failure_with_a_status_of_its_own_is_the_sdks_exception(twins: Twins, body: str) -> None:
    """Type, message, body, code, param, type and request id, whatever the status and the body."""

    async def ask(client: Any) -> Any:
        failures = []
        for _ in STATUSES:
            try:
                await wait(complete("m")(client))
            except openai.APIStatusError as error:
                failures.append((*told(error), error.request_id))
        return failures

    told_with = {**vars(ERRORS[body]), "headers": {"X-Request-Id": "r-9"}}
    replies = [Reply(**{**told_with, "status": status}) for status in STATUSES]
    outcome = twins.same(ask, *replies, max_retries=0)

    assert len(outcome.result) == len(STATUSES)
    assert all(failure[-1] == "r-9" for failure in outcome.result)


def test_a_redirect_that_leads_nowhere_is_the_sdks_exception(twins: Twins) -> None:
    """With its own status, whatever its body says."""
    twins.same(complete("m"), Reply({"error": ERROR}, status=302), max_retries=0)


@pytest.mark.parametrize("body", ERRORS)
def test_a_refused_key_is_the_sdks_exception_with_a_sentence_more(twins: Twins, body: str) -> None:
    """What the SDK would have said comes first, word for word; nothing else differs."""

    async def ask(client: Any) -> Any:
        try:
            await wait(complete("m")(client))
        except openai.AuthenticationError as error:
            kind, text, cause, shown, answered = told(error)
            text, _, hint = text.partition(". The key was sent to ")
            assert bool(hint) == isinstance(client, (aitoearn_openai.OpenAI, aitoearn_openai.AsyncOpenAI))
            return kind, text, cause, {**shown, "message": text, "args": (text,)}, answered

    reply = Reply(**{**vars(ERRORS[body]), "status": 401})
    twins.same(ask, reply, max_retries=0)


@pytest.mark.parametrize("kind", ["stream", "unread", "raw", "image", "upload", "list", "parsed"])
@pytest.mark.parametrize("status", [400, 500])
def test_a_failure_of_any_call_is_the_sdks_exception(twins: Twins, kind: str, status: int) -> None:
    """Also where the answer would have been a stream, raw or unread."""
    failure = Reply({"error": ERROR}, status=status)

    async def unread(client: Any) -> Any:
        async with entered(complete("m")(WithStreaming(client))) as response:
            return await wait(response.read())

    async def path_left_out(client: Any) -> Any:
        try:
            await wait(client.models.list())
        except openai.APIStatusError as error:
            return told(error)[:4], error.response.status_code

    asks: dict[str, Callable[[Any], Any]] = {
        "stream": stream("m"),
        "unread": unread,
        "raw": lambda client: complete("m")(WithRaw(client)),
        "image": CALLS["images"][0],
        "upload": draw_on(b"a"),
        "list": path_left_out,
        "parsed": CALLS["parsed"][0],
    }
    twins.same(asks[kind], failure, max_retries=0)


def soon(status: int, **headers: str) -> Reply:
    return Reply({"error": ERROR}, status=status, headers={"X-Request-Id": "r", **headers})


RETRIED: dict[str, tuple[list[Reply], int]] = {
    "500": ([soon(500), soon(503), ANSWER], 3),
    "429-after-seconds": ([soon(429, **{"Retry-After": "0.01"}), ANSWER], 2),
    "429-after-milliseconds": ([soon(429, **{"Retry-After-Ms": "5"}), ANSWER], 2),
    "429-after-a-date": ([soon(429, **{"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}), ANSWER], 2),
    "429-after-nonsense": ([soon(429, **{"Retry-After": "soon"}), ANSWER], 2),
    "429-for-ever": ([soon(429)], 3),
    "500-page-for-ever": ([Reply("<p>", status=500, content_type="text/html")], 3),
    "408": ([soon(408), ANSWER], 2),
    "409": ([soon(409), ANSWER], 2),
    "400": ([soon(400), ANSWER], 1),
    "400-to-retry": ([soon(400, **{"X-Should-Retry": "true"}), ANSWER], 2),
    "500-not-to-retry": ([soon(500, **{"X-Should-Retry": "false"}), ANSWER], 1),
}


@pytest.mark.parametrize("name", RETRIED)
def test_what_fails_is_retried_as_often_and_as_the_sdk_does(
    twins: Twins, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The same number of requests, the same retry counts in them, and the same waits in the log."""
    replies, requests = RETRIED[name]
    caplog.set_level(logging.INFO)
    logged = []

    async def ask(client: Any) -> Any:
        caplog.clear()
        try:
            return await wait(complete("m", extra_headers={"Idempotency-Key": "mine"})(client))
        finally:
            lines = [record.getMessage() for record in caplog.records if record.name != "asyncio"]
            logged.append([re.sub(r"0\.00\d+ seconds", "a moment", line) for line in lines])

    outcome = twins.same(ask, *replies)
    sent = [dict(request[2]) for request in outcome.requests]

    assert [each["x-stainless-retry-count"] for each in sent] == [str(count) for count in range(requests)]
    assert {each["idempotency-key"] for each in sent} == {"mine"}
    assert logged[0] == logged[1]
    assert len(logged[0]) >= requests


@pytest.mark.parametrize("retries", [0, 1, 3])
@pytest.mark.parametrize("kind", ["client", "copy", "call"])
def test_the_number_of_retries_holds_where_it_is_said(twins: Twins, retries: int, kind: str) -> None:
    """Of the client, by `with_options` for one call, and in a call's own options."""

    def ask(client: Any) -> Any:
        if kind == "call":
            options = {"max_retries": retries}
            return client.post("/chat/completions", cast_to=ChatCompletion, body={}, options=options)
        return complete("m")(client if kind == "client" else client.with_options(max_retries=retries))

    outcome = twins.same(ask, soon(500), max_retries=retries if kind == "client" else 5)

    assert len(outcome.requests) == retries + 1


@pytest.mark.parametrize("name", ["stream", "edit-several", "edit-file", "parsed", "post-stream", "images"])
def test_every_kind_of_call_is_sent_again_whole(twins: Twins, name: str) -> None:
    """Uploads and streams included; what the SDK cannot send again it does not."""
    ask, reply = CALLS[name]
    twins.same(ask, soon(502), soon(429, **{"Retry-After-Ms": "1"}), reply)


def test_the_key_against_doing_things_twice_stays_the_same_across_retries(twins: Twins) -> None:
    """Where a client is told to send one: a new one for each call, one for all its tries."""

    async def ask(client: Any) -> Any:
        client._idempotency_header = "Idempotency-Key"
        for _ in range(2):
            await wait(complete("m")(client))
        options = {"idempotency_key": "mine"}
        await wait(client.post("/chat/completions", cast_to=ChatCompletion, body={}, options=options))
        keys.append([request.headers["idempotency-key"] for request in twins.server.requests])
        twins.server.requests.clear()

    keys: list[list[str]] = []
    twins.same(ask, soon(500), ANSWER, soon(500), ANSWER, soon(500), ANSWER)

    for sent in keys:
        assert sent[0] == sent[1] != sent[2] == sent[3]
        assert sent[4:] == ["mine", "mine"]


@pytest.mark.parametrize("retries", [0, 2])
def test_a_refused_connection_is_the_sdks_exception_after_as_many_tries(twins: Twins, retries: int) -> None:
    """Counted by the hooks of an `http_client` of the caller's own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]  # Nobody listens there from here on.
    tries = counted(twins, complete("m"), base_url=f"http://127.0.0.1:{port}", max_retries=retries)

    assert tries == (openai.APIConnectionError, retries + 1)


SHORT = openai.Timeout(10, read=0.1)


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize(
    "ask", [complete("m", timeout=SHORT), stream("m", timeout=SHORT)], ids=["whole", "stream"]
)
def test_a_timeout_is_the_sdks_exception_after_as_many_tries(
    twins: Twins, ask: Callable[[Any], Any], retries: int
) -> None:
    """From a server that takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        tries = counted(twins, ask, base_url=url, max_retries=retries)

    assert tries == (openai.APITimeoutError, retries + 1)


def counted(twins: Twins, ask: Callable[[Any], Any], **arguments: Any) -> tuple[type, int]:
    """The exception and the number of requests, the same for both."""
    requests: list[str] = []
    pool = Each(lambda: requests.clear() or twins.pool(event_hooks=hooks(twins, [], [requests.append])))

    async def asked(client: Any) -> Any:
        try:
            await wait(ask(client))
        except openai.OpenAIError as error:
            return told(error), len(requests)

    (kind, *_), count = twins.same(asked, ANSWER, http_client=pool, **arguments).result
    return kind, count


PART = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n" + b'{"choices": ['


@pytest.mark.parametrize("kind", ["cut", "stalled"])
@pytest.mark.parametrize("name", ["completion", "unread"])
def test_an_answer_that_breaks_off_is_the_sdks_exception_and_gives_its_connection_back(
    twins: Twins, name: str, kind: str
) -> None:
    """The body of an answer is read by our seam; who waits for it sees no difference."""

    async def ask(client: Any) -> Any:
        failures = []
        for _ in range(2):  # With the single connection of the pool.
            try:
                if name == "completion":
                    await wait(complete("m", timeout=SHORT)(client))
                else:
                    async with entered(complete("m", timeout=SHORT)(WithStreaming(client))) as response:
                        await wait(response.read())
            except Exception as error:  # noqa: BLE001 - whatever it is, the other has it too
                failures.append((type(error), type(error.__cause__), str(error)))
        return failures

    with breaking_off(stalled=kind == "stalled") as url:
        outcome = twins.same(
            ask, ANSWER, base_url=url, max_retries=1, http_client=Each(lambda: one_connection(twins))
        )

    assert len(outcome.result) == 2


@contextlib.contextmanager
def breaking_off(*, stalled: bool) -> Iterator[str]:
    """A server that begins an answer and then says no more, or hangs up."""
    done = Event()

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(PART)
            if not stalled:
                connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):  # Until the client has gone, so that nothing is reset.
                pass

    def serve() -> None:
        with ThreadPoolExecutor(8) as pool:
            while not done.is_set():
                pool.submit(answer, listener.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        thread = Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{address[1]}"
        finally:
            done.set()
            socket.create_connection(address).close()
            thread.join()


@pytest.mark.parametrize("follow", [True, False])
@pytest.mark.parametrize("name", ["plain", "stream", "get", "edit-named"])
def test_redirects_are_followed_as_the_sdk_follows_them(
    twins: Twins, other_server: ScriptedServer, name: str, follow: bool
) -> None:
    """Within the origin and to another one, key and body included or left out; or not at all."""
    ask, reply = CALLS[name]
    replies = [
        Reply(status=307, headers={"Location": "/api/ai/moved"}),
        Reply(status=302, headers={"Location": f"{other_server.origin}/elsewhere"}),
    ]
    elsewhere = []

    async def asked(client: Any) -> Any:
        other_server.requests.clear()
        try:
            return await wait(ask(client))
        finally:
            elsewhere.append([seen(request) for request in other_server.requests])

    other_server.answer(reply)
    outcome = twins.same(
        asked, *replies, max_retries=0, http_client=Each(lambda: twins.pool(follow_redirects=follow))
    )

    assert elsewhere[0] == elsewhere[1]
    assert [len(outcome.requests), len(elsewhere[0])] == ([2, 1] if follow else [1, 0])


@pytest.mark.parametrize("given", [{}, {"Authorization": openai.Omit()}], ids=["key", "no-key"])
@pytest.mark.parametrize("follow", [True, False])
def test_redirects_of_the_model_list_are_followed_as_the_sdk_follows_them(
    twins: Twins, other_server: ScriptedServer, given: dict[str, Any], follow: bool
) -> None:
    """Though it is our code that follows them: `history`, address, cookies and answer are the SDK's."""
    elsewhere = []

    async def ask(client: Any) -> Any:
        other_server.requests.clear()
        try:
            raw = await wait(client.models.with_raw_response.list(extra_headers=given))
        except openai.APIStatusError as error:
            return error.status_code, error.response.headers["location"]
        finally:
            elsewhere.append([seen(request) for request in other_server.requests])
        http = raw.http_response
        visited = [(str(each.url.path)[-5:], each.status_code) for each in http.history[1:]]
        return len(http.history), visited, str(http.url), [model.id for model in raw.parse().data]

    other_server.answer(Reply(MODELS, headers={"Set-Cookie": "theirs=2"}))
    outcome = twins.same(
        ask,
        Reply(status=307, headers={"Location": "/api/ai/moved?x=1", "Set-Cookie": "ours=1; Path=/"}),
        Reply(status=302, headers={"Location": f"{other_server.origin}/elsewhere"}),
        http_client=Each(lambda: twins.pool(follow_redirects=follow)),
    )

    assert elsewhere[0] == elsewhere[1]
    assert [len(outcome.requests), len(elsewhere[0])] == ([2, 1] if follow else [1, 0])


def test_redirects_of_the_model_list_are_followed_without_the_second_key(twins: Twins) -> None:
    """`Omit` takes the header away, and nothing else with it."""
    moved = Reply(status=307, headers={"Location": "/api/ai/moved"})

    async def ask(client: Any) -> Any:
        page = await wait(client.models.list(extra_headers={"X-Api-Key": openai.Omit()}))
        return [model.id for model in page.data]

    twins.same(ask, moved, Reply(MODELS))


def test_a_second_key_that_the_client_was_given_is_sent(twins: Twins) -> None:
    """A header in `default_headers` goes with every request, the model list included."""

    async def ask(client: Any) -> Any:
        await wait(client.models.list())
        return twins.server.requests[-1].headers["x-api-key"]

    twins.same(ask, Reply(MODELS), default_headers={"X-Api-Key": "mine"})


def test_redirects_in_a_circle_end_as_in_the_sdk(twins: Twins) -> None:
    """For any call, the model list included, which follows its redirects itself."""

    async def ask(client: Any) -> Any:
        failures = []
        for call in (complete("m"), lambda client: client.models.list()):
            try:
                await wait(call(client))
            except openai.APIConnectionError as error:
                failures.append((type(error), type(error.__cause__), len(twins.server.requests)))
        twins.server.requests.clear()
        return failures

    assert (
        len(twins.same(ask, Reply(status=307, headers={"Location": "/x/models/chat"}), max_retries=0).result)
        == 2
    )


def test_the_model_list_asked_for_by_hand_does_not_give_the_key_away(
    twins: Twins, other_server: ScriptedServer
) -> None:
    """`client.get("/models/chat")` that is redirected to another origin leaves every key behind."""
    other_server.answer(Reply(MODELS))
    twins.same(
        lambda client: client.get("/models/chat", cast_to=object),
        Reply(status=302, headers={"Location": f"{other_server.origin}/elsewhere"}),
    )

    for request in other_server.requests:
        assert not {"authorization", "x-api-key"} & request.headers.keys()


@pytest.mark.parametrize("kind", ["completion", "raw", "stream"])
def test_an_answer_is_let_go_with_the_last_reference_to_it(twins: Twins, kind: str) -> None:
    """Answers can be large: they do not wait for the garbage collector where the SDK's do not."""

    async def ask(client: Any) -> Any:
        asks = {
            "completion": complete("m"),
            "raw": lambda each: complete("m")(WithRaw(each)),
            "stream": stream("m"),
        }
        answer = await wait(asks[kind](client))
        if kind == "raw":
            answer.parse()
        elif kind == "stream":
            answer = (await listed(answer))[-1]
        gone = weakref.ref(answer)
        gc.disable()
        try:
            del answer
            return gone() is None
        finally:
            gc.enable()

    assert twins.same(ask, CHUNKS if kind == "stream" else ANSWER).result


def test_the_methods_of_a_raw_response_have_the_sdks_signatures(twins: Twins) -> None:
    """`parse` too, for those who look before they call."""

    async def ask(client: Any) -> Any:
        raw = await wait(complete("m")(WithRaw(client)))
        return str(inspect.signature(raw.parse)), sorted(name for name in vars(raw) if name != "_client")

    twins.same(ask, ANSWER)


# Keys.


@pytest.mark.skipif(not CALLABLE_KEYS, reason="this version of the SDK takes no callable key")
def test_a_callable_key_is_asked_for_each_try(twins: Twins) -> None:
    """A fresh key for every request, retries and the model list included; an empty one is none."""

    def key() -> Any:
        keys = iter("abcd")

        async def next_key() -> str:
            return next(keys, "")

        return next_key if twins.is_async else lambda: next(keys, "")

    async def ask(client: Any) -> Any:
        answers = [await wait(complete("m")(each)) for each in (client, client.copy(), client)]
        return answers, client.api_key, client.models and len((await wait(client.models.list())).data)

    both = Reply({**COMPLETION, **MODELS})
    outcome = twins.same(ask, soon(500), both, api_key=Each(key))

    assert [dict(request[2]).get("authorization") for request in outcome.requests][:4] == [
        f"Bearer {name}" for name in "abcd"
    ]


@pytest.mark.parametrize("wrong", [RuntimeError("no vault"), openai.OpenAIError("no key"), None], ids=repr)
def test_a_callable_key_that_fails_is_told_as_the_sdk_tells_it(twins: Twins, wrong: Any) -> None:
    """Its exception reaches the caller; nothing is sent."""

    def fail() -> Any:
        if wrong is None:
            return None
        raise wrong

    async def fail_async() -> Any:
        return fail()

    twins.same(complete("m"), ANSWER, api_key=fail_async if twins.is_async else fail)


@pytest.mark.skipif("_enforce_credentials" not in arguments_of("__init__"), reason="not in this SDK")
@pytest.mark.parametrize("omitted", [True, False])
def test_a_client_without_credentials_is_one_of_the_sdks(twins: Twins, omitted: bool) -> None:
    """Who asks for no key to be needed gets the SDK's client without one."""
    extra = {"Authorization": openai.Omit()} if omitted else {}

    async def ask(client: Any) -> Any:
        return state(client), await wait(complete("m", extra_headers=extra)(client))

    twins.same(ask, ANSWER, api_key=..., _enforce_credentials=False)


# An `http_client` of the caller's own.


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


def hooks(twins: Twins, responses: list[Callable[[Any], Any]], requests: list[Callable[[Any], Any]]) -> Any:
    """Event hooks as the kind of client wants them."""

    def hook(function: Callable[[Any], Any]) -> Any:
        async def hook_async(event: Any) -> None:
            function(event)

        return hook_async if twins.is_async else function

    return {"response": [hook(each) for each in responses], "request": [hook(each) for each in requests]}


CALLS_OF_A_POOL = ["plain", "stream", "images", "edit-named", "get"]


@pytest.mark.parametrize("name", CALLS_OF_A_POOL)
def test_the_hooks_of_an_http_client_run_in_their_order(twins: Twins, family: Any, name: str) -> None:
    """Each sees what it saw before: the request as it goes out, the response unread and with its own status."""
    ask, reply = CALLS[name]
    log: list[Any] = []
    logs: list[list[Any]] = []

    def note(label: str) -> Callable[[Any], None]:
        def noted(event: Any) -> None:
            response = getattr(event, "is_stream_consumed", None)
            log.append(
                (label, response, getattr(event, "status_code", None), type(event), list(event.headers))
            )
            if response is None:
                event.headers[f"x-{label}"] = "1"

        return noted

    async def asked(client: Any) -> Any:
        log.clear()
        result = await wait(ask(client))
        logs.append([*log])
        return await listed(result) if isinstance(result, (openai.Stream, openai.AsyncStream)) else result

    pool = Each(
        lambda: twins.pool(family, event_hooks=hooks(twins, [note("c"), note("d")], [note("a"), note("b")]))
    )
    twins.same(asked, soon(503), reply, http_client=pool)

    assert [entry[:3] for entry in logs[0]] == [entry[:3] for entry in logs[1]]
    assert [entry[0] for entry in logs[1]] == ["a", "b", "c", "d"] * 2
    assert [entry[3] for entry in logs[0]] == [entry[3] for entry in logs[1]]


@pytest.mark.parametrize("where", ["request", "response"])
def test_a_hook_that_fails_fails_as_in_the_sdk(twins: Twins, family: Any, where: str) -> None:
    """Its exception is the caller's, or a failed connection if httpx counts it as one."""

    def fail(event: Any) -> None:
        raise LookupError("mine")

    def status(response: Any) -> None:
        response.raise_for_status()

    for failing in (fail, status):
        given = ([], [failing]) if where == "request" else ([failing], [])
        if where == "request" and failing is status:
            continue
        pool = Each(lambda given=given: twins.pool(family, event_hooks=hooks(twins, *given)))
        twins.same(complete("m"), soon(500), http_client=pool, max_retries=1)


class Signed:
    """What the caller's own authentication does: it needs both bodies, and answers a challenge."""

    requires_request_body = True
    requires_response_body = True

    def auth_flow(self, request: Any) -> Iterator[Any]:
        request.headers["X-Signature"] = str(len(request.content))
        response = yield request
        request.headers["X-Answer"] = str(len(response.content))
        response = yield request
        request.headers["X-Status"] = str(response.status_code)


class Unsigned:
    """An authentication that fails."""

    def auth_flow(self, request: Any) -> Iterator[Any]:
        raise LookupError("no certificate")
        yield request


AUTHS: dict[str, Callable[[Any], Any]] = {
    "basic": lambda family: ("user", "password"),
    "digest": lambda family: family.DigestAuth("user", "password"),
    "function": lambda family: token,
    "own": lambda family: type("Own", (Signed, family.Auth), {})(),
    "failing": lambda family: type("Own", (Unsigned, family.Auth), {})(),
    "none": lambda family: None,
}


def token(request: Any) -> Any:
    request.headers["Authorization"] = f"Token of {request.headers.get('Authorization')}"
    return request


@pytest.mark.parametrize("name", ["plain", "stream", "edit-several", "get"])
@pytest.mark.parametrize("auth", AUTHS)
def test_the_authentication_of_an_http_client_holds(twins: Twins, family: Any, auth: str, name: str) -> None:
    """Basic, digest with its challenge, a function, or the caller's own class that reads bodies."""
    ask, reply = CALLS[name]
    nonce = {"WWW-Authenticate": 'Digest realm="r", nonce="n", algorithm=MD5'}
    challenged = [Reply({"error": ERROR}, status=401, headers=nonce)] if auth in ("digest", "own") else []
    pool = Each(lambda: twins.pool(family, auth=AUTHS[auth](family)))
    outcome = twins.same(ask, *challenged, reply, http_client=pool, max_retries=0)

    assert len(outcome.requests) == {"digest": 2, "own": 2, "failing": 0}.get(auth, 1)


def test_an_http_client_keeps_its_cookies_headers_parameters_and_timeout(twins: Twins, family: Any) -> None:
    """What the server sets is sent again, and what the caller gave the `http_client` is sent always."""

    async def ask(client: Any) -> Any:
        for _ in range(2):
            await wait(complete("m")(client))
        held = client._client
        return dict(held.cookies), held.timeout, client.timeout, state(client), state(client.copy())

    pool = Each(
        lambda: twins.pool(
            family,
            cookies={"mine": "1"},
            headers={"X-Pool": "1"},
            params={"p": "1"},
            timeout=family.Timeout(7.5),
        )
    )
    outcome = twins.same(
        ask, Reply(COMPLETION, headers={"Set-Cookie": "theirs=2; Path=/"}), ANSWER, http_client=pool
    )

    assert "theirs=2" in dict(outcome.requests[1][2])["cookie"]
    assert outcome.result[0] == {"mine": "1", "theirs": "2"}
    assert dict(outcome.requests[0][2])["x-stainless-read-timeout"] == "7.5"


def test_a_transport_of_the_callers_own_answers(twins: Twins, family: Any) -> None:
    """Mocks and caches stand where the network was."""
    asked: list[Any] = []

    def answer(request: Any) -> Any:
        asked.append((request.method, str(request.url), request.content))
        return family.Response(200, json=COMPLETION, headers={"X-Request-Id": "mock"})

    async def ask(client: Any) -> Any:
        result = await wait(complete("m")(client))
        return result, result._request_id

    outcome = twins.same(
        ask, http_client=Each(lambda: twins.pool(family, transport=family.MockTransport(answer)))
    )

    assert outcome.result[1] == "mock"
    assert asked[0] == asked[1]


def test_others_who_share_an_http_client_see_no_difference(twins: Twins, family: Any) -> None:
    """Before, beside and after our client, a plain request and a plain SDK's client get what they always got."""
    refusal = Reply({"data": {}, "code": 12001, "message": "no credits"})
    events: list[Any] = []
    given = hooks(
        twins, [lambda response: events.append(response.status_code)], [lambda _: events.append("?")]
    )
    http_client = twins.pool(family, event_hooks=given, auth=("user", "password"))
    auth = http_client.auth
    theirs, ours = (
        getattr(modules, "AsyncOpenAI" if twins.is_async else "OpenAI")(
            api_key="k", base_url=twins.server.base_url, http_client=http_client, max_retries=0
        )
        for modules in (openai, aitoearn_openai)
    )
    before = {name: value for name, value in vars(http_client).items() if name != "_cookies"}
    snapshot = {name: [*found] for name, found in http_client.event_hooks.items()}

    async def others() -> Any:
        response = await wait(http_client.get(f"{twins.server.base_url}/models/chat"))
        answer = await wait(complete("m")(theirs))
        return response.status_code, response.json(), headers(response), answer, [*events]

    async def ask() -> Any:
        rounds = [await others()]
        for _ in range(2):
            events.clear()
            with pytest.raises(openai.APIStatusError, match="no credits"):
                await wait(complete("m")(ours))
            assert events == ["?", 200]
            events.clear()
            rounds.append(await others())
        await wait(http_client.aclose() if twins.is_async else http_client.close())
        return rounds

    twins.server.answer(refusal)
    rounds = asyncio.run(ask()) if twins.is_async else twins._driven(lambda _: ask())(None)

    assert rounds[0] == rounds[1] == rounds[2]
    assert {name: [*found] for name, found in http_client.event_hooks.items()} == snapshot
    assert http_client.auth is auth
    same = {name: vars(http_client)[name] is value for name, value in before.items() if name != "_state"}
    assert all(same.values()), same
    plain = [dict(seen(request)[2]) for request in twins.server.requests if "models" in request.path]
    assert len({tuple(each.items()) for each in plain}) == 1
    assert "x-api-key" not in plain[0]


# Threads, event loops and rubbish.


def test_sixteen_threads_may_share_one_client(site: Sandbox) -> None:
    """A hundred calls at once, each with its own answer."""

    def answers(client: openai.OpenAI) -> list[Any]:
        def ask(number: int) -> Any:
            said: Any = [{"role": "user", "content": f"number {number}"}]
            if number % 3 == 0:
                return list(client.chat.completions.create(model="glm-5.2", messages=said, stream=True))
            if number % 3 == 1:
                return client.with_options(max_retries=number).images.generate(model="glm-5.2", prompt="p")
            return client.chat.completions.create(model="glm-5.2", messages=said)

        with ThreadPoolExecutor(16) as pool:
            return list(pool.map(ask, range(100)))

    with (
        openai.OpenAI(base_url=site.base_url, api_key=site.api_key) as theirs,
        aitoearn_openai.OpenAI(base_url=site.base_url, api_key=site.api_key) as ours,
    ):
        assert answers(ours) == answers(theirs)
        with ThreadPoolExecutor(16) as pool:
            assert len({id(models) for models in pool.map(lambda _: ours.models, range(100))}) <= 16


def test_a_hundred_tasks_may_share_one_client(site: Sandbox) -> None:
    """The same in one event loop."""

    async def answers(client: openai.AsyncOpenAI) -> list[Any]:
        async def ask(number: int) -> Any:
            said: Any = [{"role": "user", "content": f"number {number}"}]
            if number % 2:
                chunks = await client.chat.completions.create(model="glm-5.2", messages=said, stream=True)
                return [chunk async for chunk in chunks]
            return await client.chat.completions.create(model="glm-5.2", messages=said)

        async with client:
            return await asyncio.gather(*map(ask, range(100)))

    theirs, ours = (
        asyncio.run(answers(modules.AsyncOpenAI(base_url=site.base_url, api_key=site.api_key)))
        for modules in (openai, aitoearn_openai)
    )

    assert ours == theirs


@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")  # Of the SDK's own streams, under trio.
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_async_client_works_in_every_event_loop_that_the_sdks_works_in(
    server: ScriptedServer, backend: str
) -> None:
    """Answers, retries, streams, streams left early, unread responses, failures and the model list."""
    if backend == "trio":
        pytest.importorskip("trio")

    async def ask(modules: Any) -> Any:
        server.requests.clear()
        both = Reply({**COMPLETION, **MODELS})
        server.answer(soon(503), both, both, both, soon(400), CHUNKS)
        results: list[Any] = []
        async with modules.AsyncOpenAI(api_key="k", base_url=server.base_url) as client:
            results.append(await complete("m")(client))
            results.append([model.id async for model in client.models.list()])
            async with complete("m")(WithStreaming(client)) as response:
                results.append(await response.text())
            with pytest.raises(openai.BadRequestError) as caught:
                await complete("m")(client)
            results.append(told(caught.value))
            results.append([chunk async for chunk in await stream("m")(client)])
            chunks = await stream("m")(client)
            results.append(await anext(chunks))
            await chunks.close()
            async with await stream("m")(client) as chunks:
                results.append(await anext(chunks))
            if CHAT_HELPERS:
                async with client.chat.completions.stream(model="m", messages=MESSAGES) as events:
                    results.append([event.type async for event in events])
        return results, [seen(request) for request in server.requests]

    theirs, ours = (anyio.run(ask, modules, backend=backend) for modules in (openai, aitoearn_openai))

    assert ours == theirs


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_call_that_is_cancelled_gives_its_connection_back(backend: str) -> None:
    """In the middle of a body: the next call, of a pool of one connection, is not kept waiting."""
    if backend == "trio":
        pytest.importorskip("trio")
    twins = Twins(True, ScriptedServer())

    async def ask(modules: Any, url: str) -> Any:
        pool = one_connection(twins)
        cancelled = []
        async with modules.AsyncOpenAI(api_key="k", base_url=url, http_client=pool, max_retries=0) as client:
            for _ in range(3):
                with anyio.move_on_after(0.2) as scope:
                    await complete("m")(client)
                cancelled.append(scope.cancelled_caught)
        return cancelled

    with breaking_off(stalled=True) as url:
        for modules in (openai, aitoearn_openai):
            assert anyio.run(ask, modules, url, backend=backend) == [True] * 3


@pytest.mark.parametrize("used", [True, False], ids=["used", "unused"])
def test_a_client_that_nobody_closed_goes_without_a_warning(twins: Twins, site: Sandbox, used: bool) -> None:
    """It is freed when the SDK's would be, and says as little about it."""

    async def drop(modules: Any) -> Any:
        client = Asker(twins.is_async, modules).client(base_url=site.base_url, api_key=site.api_key)
        if used:
            await wait(complete("glm-5.2")(client))
            await listed(await wait(stream("glm-5.2")(client)))
        gone = weakref.ref(client)
        del client
        at_once = gone() is None
        gc.collect()
        for _ in range(20 if twins.is_async else 0):  # The SDK leaves streams and pools to the event loop.
            await asyncio.sleep(0)
            gc.collect()
        return at_once, gone() is None

    def dropped(modules: Any) -> Any:
        unraisable: list[Any] = []
        with warnings.catch_warnings(record=True) as caught, pytest.MonkeyPatch.context() as patch:
            warnings.simplefilter("always")
            patch.setattr(sys, "unraisablehook", unraisable.append)
            if twins.is_async:
                result = asyncio.run(drop(modules))
            else:
                result = twins._driven(lambda _: drop(modules))(None)
            gc.collect()
        return result, [str(each.message) for each in caught], unraisable

    gc.collect()
    gc.freeze()  # What is there already would be looked through again each time.
    try:
        theirs, ours = dropped(openai), dropped(aitoearn_openai)
    finally:
        gc.unfreeze()

    assert ours[0] == theirs[0] == (not used, True)
    # A client that was used is freed in a circle, and so at times its sockets go before it: the SDK's just so.
    assert [message for message in ours[1] if not (used and message.startswith("unclosed"))] == []
    assert ours[2] == theirs[2] == []


@dataclass
class Subclass:
    """How people extend a client; the names of the arguments that their constructor got."""

    given: list[set[str]] = field(default_factory=list)

    def of(self, client_class: Any) -> Any:
        given = self.given

        class Mine(client_class):  # type: ignore[misc]
            def __init__(self, **arguments: Any) -> None:
                given.append({*arguments})
                super().__init__(**arguments)

            @property
            def default_headers(self) -> Any:
                return {**super().default_headers, "X-Subclass": "1"}

        return Mine


def test_a_subclass_is_built_copied_and_sent_as_one_of_the_sdks(twins: Twins) -> None:
    """Its constructor gets the same arguments from a copy, and its headers and name are sent."""
    notes = []

    async def ask(client: Any) -> Any:
        subclass = Subclass()
        mine = subclass.of(type(client))(
            api_key="k", base_url=str(client.base_url), http_client=client._client
        )
        copied = mine.copy(timeout=1).with_options(max_retries=0)
        notes.append(subclass.given)
        return await wait(complete("m")(copied)), type(copied).__name__

    outcome = twins.same(ask, ANSWER)
    sent = dict(outcome.requests[0][2])

    assert notes[0] == notes[1]
    assert sent["x-subclass"] == "1"
    assert sent["user-agent"].startswith("Mine/Python")
