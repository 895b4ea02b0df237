"""Runs the rows against both clients and judges what they made of them."""

from __future__ import annotations

import asyncio
import inspect
import json
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal
from uuid import uuid4

import openai
from openai.pagination import AsyncPage, SyncPage
from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk

import aitoearn_openai

from .server import Request, Server
from .table import Mode, Origins, Row, answer_to

KEY = "sk-faults-0123456789abcdef"
HELLO: Any = [{"role": "user", "content": "hello"}]
GUARD = 10.0
"""Seconds after which a call counts as hung: far beyond every timeout, retry and wait in the table."""

Verdict = Literal["value", "error", "wrong value", "foreign", "hung"]


@dataclass(frozen=True)
class Run:
    """One row, asked one way, of one client."""

    row: Row
    mode: Mode
    is_async: bool
    ours: bool

    def __str__(self) -> str:
        who, way = "ours" if self.ours else "plain SDK", "async" if self.is_async else "sync"
        return f"{self.row.name} [honest: {self.row.truth}], {self.mode}, {way}, {who}"


@dataclass
class Result:
    verdict: Verdict = "hung"
    told: str = ""
    """The outcome in a few words."""
    said: str = ""
    """What of the answer has reached the caller, before the error if there is one; see `said_in`."""
    value: Any = None
    """The value in plain types, to be compared between the clients."""
    message: str = ""
    status: int | None = None
    code: Any = None
    """What the caller reads in the error, and its attributes."""
    requests: list[Request] = field(default_factory=list)
    seconds: float = 0.0
    left_open: int = 0
    """Connections beyond the one of a pool at rest, once a good request has followed."""
    recovered: str = ""
    """Why the good request that followed failed; empty if it did not."""


def run_all(server: Server, runs: Iterable[Run]) -> dict[Run, Result]:
    """All runs, side by side where they do not need the processor for themselves."""

    def result_of(run: Run) -> Result:
        return asyncio.run(_run(server, run)) if run.is_async else driven(_run(server, run))  # type: ignore[no-any-return]

    runs = list(runs)
    with ThreadPoolExecutor(1 if any(run.row.heavy for run in runs) else 16) as pool:
        return dict(zip(runs, pool.map(result_of, runs), strict=True))


def _ask(run: Run, client: Any) -> Any:
    """The call itself; what it returns is awaited by the async twin."""
    if run.mode == "list":
        return client.models.list()
    if run.mode == "bytes":
        return client.files.content("f")
    if run.mode == "object":
        return client.get("/x", cast_to=object)
    wrapper = {"raw": "with_raw_response", "unread": "with_streaming_response"}.get(run.mode)
    completions = client.chat.completions
    create = (getattr(completions, wrapper) if wrapper else completions).create
    extra: dict[str, Any] = {"stream": True} if run.mode in ("stream", "closing") else {}
    return create(model="m", messages=HELLO, **extra)


async def wait(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


@asynccontextmanager
async def entered(manager: Any) -> AsyncIterator[Any]:
    if hasattr(manager, "__aenter__"):
        async with manager as value:
            yield value
    else:
        with manager as value:
            yield value


async def each(items: Any) -> AsyncIterator[Any]:
    if hasattr(items, "__aiter__"):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


async def first(items: Any) -> Any:
    return await anext(items) if hasattr(items, "__anext__") else next(items)


def driven(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns that asks a sync client: there is nothing that it waits for."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("a sync client was waited for")


async def _read(run: Run, client: Any, got: list[Any], held: list[Any]) -> None:
    """Ask, and add what comes to `got`; `held` is what the caller has in hand."""
    answer = _ask(run, client)
    if run.mode == "unread":
        async with entered(answer) as response:
            assert not response.http_response.is_stream_consumed, "read too early"
            got.append(await wait(response.parse()))
        return
    answer = await wait(answer)
    held.append(answer)
    if run.mode == "stream":
        async for chunk in each(answer):
            got.append(chunk)
    elif run.mode == "closing":
        for _ in range(3):
            got.append(await first(answer))
        await wait(answer.close())
    else:
        got.append(answer.parse() if run.mode == "raw" else answer)


async def _run(server: Server, run: Run) -> Result:
    """One function asks both kinds of client."""
    modules: Any = aitoearn_openai if run.ours else openai
    make_client, make_pool = modules.OpenAI, openai.DefaultHttpxClient
    settled: Any = server.settled_connections
    if run.is_async:
        make_client, make_pool = modules.AsyncOpenAI, openai.DefaultAsyncHttpxClient
        settled = partial(asyncio.to_thread, settled)
    name, origin = uuid4().hex, server.origin()
    origins = Origins(origin, server.origin("other"), f"{origin}/{name}")
    visit = server.visit(name, answer_to(run.row, run.mode, origins))
    there = f"{server.origin('refusing') if run.row.refused else origin}/{name}/api/ai"
    given: dict[str, Any] = {"base_url": there, "api_key": KEY, "timeout": run.row.timeout, "max_retries": 1}
    result, got = Result(), list[Any]()
    held: list[Any] = []  # What the caller still has in hand must not be what frees a connection.
    async with (
        # To read certificates, which nothing here needs, takes longer than most rows.
        entered(make_pool(verify=False, trust_env=False)) as pool,
        entered(make_client(**given, http_client=pool)) as client,
    ):
        with server.give_up_after(visit, GUARD + 2 * run.row.timeout):
            started = time.monotonic()
            try:
                await _read(run, client, got, held)
            except BaseException as error:  # noqa: BLE001 - what comes out is the question
                _note(error, result)
            result.seconds = time.monotonic() - started
            result.said = said_in(run.mode, got)
            if not result.told:
                _judge(run, got, result)
            if visit.hung:
                result.verdict = "hung"
            here = client.with_options(base_url=f"{origin}/{name}/api/ai", timeout=10)
            try:
                await wait(here.chat.completions.create(model="good", messages=HELLO))
            except BaseException as error:  # noqa: BLE001 - what comes out is the question
                result.recovered = repr(error)
        result.left_open = await wait(settled(visit, 1)) - 1
    result.requests = visit.requests
    return result


def _note(error: BaseException, result: Result) -> None:
    """What the caller reads in it; the error itself is let go, as its frames hold the response."""
    # The SDK's errors tell of which request they are.
    is_sdks = isinstance(error, openai.OpenAIError) and getattr(error, "request", True)
    result.verdict = "error" if is_sdks else "foreign"
    result.message = " ".join(str(error).split())
    result.told = f"{error!r:.2000}"
    result.status, result.code = getattr(error, "status_code", None), getattr(error, "code", None)


def _judge(run: Run, got: list[Any], result: Result) -> None:
    """What a call that raised nothing gave."""
    # Where nothing but `[DONE]` was sent, an empty stream says what happened.
    problem = problem_with(run.mode, got, may_be_empty=run.row.truth == "either")
    if not problem and run.row.truth != "error" and result.said != run.row.due(run.mode):
        problem = f"{result.said!r:.60}"
    result.verdict, result.told = "wrong value" if problem else "value", problem
    if not problem and run.mode not in ("bytes", "object"):
        result.value = [
            [model.id for model in value.data] if run.mode == "list" else value.to_dict() for value in got
        ]


def said_in(mode: Mode, got: list[Any]) -> str:
    """The contents in one line: the text of the choices, and, of a chunk without any, `+` and its other fields.

    Of a model list the ids. What is not of the promised type says nothing.
    """
    if mode in ("bytes", "object"):
        return "".join(each.text if mode == "bytes" else json.dumps(each) for each in got)
    if mode == "list":
        data = getattr(got[0], "data", None) if got else None
        return " ".join(str(getattr(model, "id", model)) for model in data) if isinstance(data, list) else ""
    return "".join(map(_said, got))


def _said(answer: Any) -> str:
    if not isinstance(answer, (ChatCompletion, ChatCompletionChunk)) or not _are_choices(answer.choices):
        return ""
    fields = answer.to_dict().keys() - {"id", "object", "created", "model", "choices"}
    rest = "".join(f"+{name}" for name in sorted(fields))
    if not answer.choices:
        return rest
    parts: Any = [getattr(choice, "delta", getattr(choice, "message", None)) for choice in answer.choices]
    return "".join(getattr(part, "content", None) or "" for part in parts)


def problem_with(mode: Mode, got: list[Any], may_be_empty: bool = False) -> str:
    """What came, if it is not what the method promises to return; empty if it is."""
    kind = ChatCompletionChunk if mode in ("stream", "closing") else ChatCompletion
    if mode in ("bytes", "object"):
        is_promised = True
    elif mode == "list":
        models = got[0].data if isinstance(got[0], (SyncPage, AsyncPage)) else None
        is_promised = isinstance(models, list) and all(
            isinstance(model, Model) and isinstance(getattr(model, "id", None), str) and model.id.strip()
            for model in models
        )
    else:
        is_promised = (may_be_empty or bool(got)) and all(
            isinstance(answer, kind) and _are_choices(answer.choices) for answer in got
        )
    return "" if is_promised else f"{got!r:.200}"


def _are_choices(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(choice, openai.BaseModel) for choice in value)


def most_requests(result: Result) -> int:
    """The requests that the status allows: what HTTP would have the plain SDK ask for again is asked again."""
    status = result.status or 0
    return 2 if status in (408, 409, 429) or status >= 500 else 1


def faults_of(run: Run, result: Result, plain: Result | None) -> Iterator[str]:
    """What is wrong with one result, beside what the plain SDK did where that is known."""
    row, is_error = run.row, result.verdict in ("error", "foreign")
    if result.verdict not in (["value", "error"] if row.truth == "either" else [row.truth]):
        yield f"{result.verdict} where {row.truth} was expected: {result.told}"
    due, is_whole = row.due(run.mode), not is_error or row.truth == "error"
    if result.said != due if is_whole else not due.startswith(result.said):
        yield f"the caller read {result.said!r:.80}, and not {due!r:.80}"
    if plain and result.verdict == plain.verdict == "value" and result.value != plain.value:
        yield f"{result.value!r:.200} is not the plain SDK's {plain.value!r:.200}"

    if is_error and (not result.message or row.words not in result.message):
        yield f"{row.words!r} is not in the message {result.message!r:.200}"
    if KEY in f"{result.message} {result.told}":
        yield "the key is in the message"
    if result.said and "Check the base URL" in result.message:
        yield f"a chunk came from that base URL, but: {result.message!r:.200}"
    if is_error and row.status not in (None, result.status):
        yield f"status {result.status}, and not {row.status}"
    if is_error and row.code not in (None, result.code):
        yield f"code {result.code!r}, and not {row.code!r}"

    most = 2 if plain and plain.verdict == "foreign" else most_requests(result)
    most = max(most, len(plain.requests)) if plain else most
    # What comes unread is judged when nobody asks again.
    exact = 1 if row.requests and run.mode == "unread" else row.requests
    if len(result.requests) != exact if exact else len(result.requests) > most:
        yield f"{len(result.requests)} requests, and not {exact or most}"
    if result.seconds >= GUARD + 2 * row.timeout:
        yield f"{result.seconds:.1f} seconds"
    if result.recovered:
        yield f"the next request failed: {result.recovered}"
    if result.left_open:
        yield f"{result.left_open} connections were left open"
    for request in result.requests:
        if request.origin == "other" and KEY in str(request.headers):
            yield "another origin was sent the key"
        if "/models" in request.target and request.headers.get("x-api-key") != KEY:
            yield "the model list was asked for without X-Api-Key"
