"""Many requests at once: `run` asks them through an async client and gives each result as soon as it is there.

Requests and results are those of the OpenAI Batch API's files, so files and the code around them carry over.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
)
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import openai
from openai.types.chat import ChatCompletion

__all__ = ["CONCURRENCY", "Request", "Result", "run"]

CONCURRENCY = 16
"""How many requests run at once by default: enough to keep a slow model busy, and few enough not to be refused."""

PATH = "/chat/completions"
URL = f"/v1{PATH}"
"""What a line of a Batch API file says for the one endpoint that the service has."""

STOP = {401, 402, 403}
"""Statuses that speak of the account and not of the request: every other request would fail the same."""


@dataclass(frozen=True)
class Request:
    """A request for a chat completion.

    Raises:
        ValueError: it could not be sent, or would be refused at once; says why.

    Example:
        >>> Request("greeting-1", {"model": "glm-5.2", "messages": []})
        Traceback (most recent call last):
        ValueError: body.messages must be a list of at least one message
    """

    custom_id: str
    """The caller's name for it, by which its result is found."""
    body: dict[str, Any]
    """The body, which is sent to the letter."""

    def __post_init__(self) -> None:
        _check(_is_text(self.custom_id), "custom_id must be a text that is not empty")
        _check(isinstance(self.body, dict), "body must be an object")
        _check(_is_text(self.body.get("model")), "body.model must be a text that is not empty")
        messages = self.body.get("messages")
        is_list = isinstance(messages, list) and bool(messages)
        _check(is_list, "body.messages must be a list of at least one message")
        _check(not self.body.get("stream"), "body.stream must go: results are whole answers")
        try:
            self._digest()
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"it cannot be sent as JSON: {error}") from None

    @classmethod
    def from_dict(cls, line: Any) -> Request:
        """The request of a decoded line of a Batch API input file.

        Raises:
            ValueError: it is none, or one for another endpoint; says why.

        Example:
            >>> body = {"model": "glm-5.2", "messages": [{"role": "user", "content": "Hi"}]}
            >>> line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
            >>> Request.from_dict(line).custom_id
            'a'
        """
        _check(isinstance(line, dict), "a request must be an object")
        _check(line.get("method") == "POST", 'method must be "POST"')
        _check(line.get("url") == URL, f'url must be "{URL}": the service answers nothing else in a batch')
        return cls(line.get("custom_id"), line.get("body"))

    @property
    def id(self) -> str:
        """The `id` of its result, which stands for `custom_id` and body: another request has another."""
        return f"batch_req_{self._digest()}"

    def _digest(self) -> str:
        told = json.dumps([self.custom_id, self.body], ensure_ascii=False, allow_nan=False, sort_keys=True)
        return blake2b(told.encode(), digest_size=16).hexdigest()


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _check(good: bool, told: str) -> None:
    if not good:
        raise ValueError(told)


@dataclass(frozen=True)
class Result:
    """What became of a request: an answer, or the error that the SDK raised when it gave up.

    Example:
        >>> request = Request("a", {"model": "glm-5.2", "messages": [{"role": "user", "content": "Hi"}]})
        >>> choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}
        >>> result = Result(request, body={"choices": [choice], "cost": "0.1"})
        >>> result.completion.choices[0].message.content, result.to_dict()["response"]["status_code"]
        ('Hello', 200)
    """

    request: Request
    body: dict[str, Any] | None = None
    """The answer as the service sent it, with fields such as `cost`; None where there is an error."""
    request_id: str | None = None
    """What support will ask for."""
    error: openai.APIError | None = None

    @property
    def completion(self) -> ChatCompletion | None:
        """The answer as the SDK's object; None where there is an `error`."""
        return None if self.body is None else ChatCompletion.construct(**self.body)

    def to_dict(self) -> dict[str, Any]:
        """The result as a line of the Batch API's output file has it.

        An answer, also one that says no, is in `response`, with its status. `error` is for requests that got none.
        """
        response: dict[str, Any] | None = None
        error: dict[str, Any] | None = None
        if self.error is None:
            response = {"status_code": 200, "request_id": self.request_id, "body": self.body}
        elif isinstance(self.error, openai.APIStatusError):
            fields = {name: getattr(self.error, name, None) for name in ("message", "type", "param", "code")}
            response = {
                "status_code": self.error.status_code,
                "request_id": self.request_id,
                "body": {"error": fields},
            }
        else:
            why = f" {reason(self.error)}" if self.error.__cause__ else ""
            error = {"code": _kind(self.error), "message": f"{self.error}{why}"}
        return {
            "id": self.request.id,
            "custom_id": self.request.custom_id,
            "response": response,
            "error": error,
        }


def _kind(error: openai.APIError) -> str:
    if isinstance(error, openai.APITimeoutError):
        return "request_timeout"
    return "connection_error" if isinstance(error, openai.APIConnectionError) else "invalid_response"


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and what it comes from."""
    while error:
        yield error
        group = getattr(error, "exceptions", ())  # As many as a host has addresses.
        error = error.__cause__ or error.__context__ or next(iter(group), None)


def reason(error: openai.APIError) -> str:
    """Why there is no answer: the words of the HTTP library, and what the system said, which it leaves out."""
    systems = [str(cause) for cause in causes(error) if isinstance(cause, OSError) and cause.errno]
    return ": ".join(dict.fromkeys([str(error.__cause__ or error), *systems[:1]]))


async def run(
    client: openai.AsyncOpenAI,
    requests: Iterable[Request] | AsyncIterable[Request],
    *,
    concurrency: int = CONCURRENCY,
    rpm: float | None = None,
) -> AsyncIterator[Result]:
    """Ask all requests, and give each result as soon as it is there, in whatever order they finish.

    Requests are taken as they are needed, so that memory does not grow with their number. A request that
    fails, after the client's retries, is a result with an `error`, and the others go on.

    Args:
        client: An `AsyncOpenAI`; its retries, timeout and HTTP backend hold.
        requests: Any iterable, async or not; one that waits for something should be async.
        concurrency: The most requests under way at once; one whose result was not taken yet counts too.
        rpm: The most requests that start in a minute, evenly spread; the client's retries are not counted.

    Raises:
        openai.APIStatusError: the key is refused (401, 403) or credits have run out (402). No further request
            starts, the results of those under way come first, and those that were refused give no result.
        ValueError: `concurrency` or `rpm` is not above 0.

    Example:
        >>> from aitoearn_openai import AsyncOpenAI, sandbox
        >>> async def main(settings):
        ...     messages = [{"role": "user", "content": "Hi"}]
        ...     requests = [Request(f"hi-{n}", {"model": "glm-5.2", "messages": messages}) for n in range(3)]
        ...     async with AsyncOpenAI.from_settings(settings) as client:
        ...         return [result.body["cost"] async for result in run(client, requests, concurrency=2)]
        >>> with sandbox.serve() as site:
        ...     asyncio.run(main(site.settings))
        ['0.008175', '0.008175', '0.008175']
    """
    async with aclosing(in_groups(client, requests, concurrency=concurrency, rpm=rpm)) as groups:
        async for group in groups:
            for result in group:
                yield result


async def in_groups(
    client: openai.AsyncOpenAI,
    requests: Iterable[Request] | AsyncIterable[Request],
    *,
    concurrency: int,
    rpm: float | None,
    halt: asyncio.Future[None] | None = None,
) -> AsyncGenerator[list[Result], None]:
    """The results of `run`, each time all those that are there by then; once `halt` is done, no request starts."""
    _check(concurrency >= 1 and (rpm is None or rpm > 0), "concurrency and rpm must be above 0")
    ended: asyncio.Queue[asyncio.Task[Any]] = asyncio.Queue()
    unended: set[asyncio.Task[Any]] = set()
    # A slot is free again when the caller comes back for more: so what a crash of the caller loses is bounded too.
    slots = asyncio.Semaphore(concurrency)

    def start(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        unended.add(task)
        task.add_done_callback(ended.put_nowait)
        return task

    async def feed() -> None:
        now = asyncio.get_running_loop().time
        due = now()
        async with aclosing(_each(requests)) as source:
            async for request in source:
                await slots.acquire()
                if rpm:
                    due = max(due, now())
                    await asyncio.sleep(due - now())
                    # A timer that is a little late is made up for, a pause is not: that would be a burst.
                    due = max(due, now() - 6 / rpm) + 60 / rpm
                start(_ask(client, request))

    feeder = start(feed())
    if halt:
        halt.add_done_callback(lambda _: feeder.cancel())
    failure: BaseException | None = None
    try:
        while unended:
            group = []
            tasks = [await ended.get()]
            while not ended.empty():
                tasks.append(ended.get_nowait())
            unended.difference_update(tasks)
            for task in tasks:
                if task.cancelled():
                    continue
                if task.exception():
                    failure = failure or task.exception()
                    feeder.cancel()
                elif task is not feeder:
                    group.append(task.result())
            if group:
                yield group
            for _ in tasks:
                slots.release()
        if failure:
            raise failure
    finally:
        for task in unended:
            task.cancel()
        await asyncio.gather(*unended, return_exceptions=True)


async def _each(requests: Iterable[Request] | AsyncIterable[Request]) -> AsyncGenerator[Request, None]:
    """The requests; a generator of them is closed in the end, also where it was not read to its own."""
    if isinstance(requests, AsyncIterable):
        async_source = aiter(requests)
        try:
            async for request in async_source:
                yield request
        finally:
            if isinstance(async_source, AsyncGenerator):
                await async_source.aclose()
    else:
        source = iter(requests)
        try:
            for request in source:
                yield request
        finally:
            if isinstance(source, Generator):
                source.close()


class _Answer(openai.BaseModel):
    """An answer as it came: the SDK checks that it is one, and makes no objects of it."""

    choices: list[Any]

    @classmethod
    def build(cls, *, response: Any, data: Any) -> Any:
        """What the SDK calls in the place of the constructor, for the response that goes with the data."""
        if isinstance(data, dict) and data.get("choices") == []:
            message = "The service gave an answer without choices"
            raise openai.APIResponseValidationError(response, data, message=message)
        return cls.construct(**data) if isinstance(data, dict) else data


_Answer.__name__ = ChatCompletion.__name__  # Errors name what was due.


async def _ask(client: openai.AsyncOpenAI, request: Request) -> Result:
    try:
        answer = await client.post(PATH, body=request.body, cast_to=_Answer)
    except openai.APIError as error:
        if getattr(error, "status_code", None) in STOP:
            raise
        return Result(request, request_id=getattr(error, "request_id", None), error=error)
    return Result(request, answer.to_dict(), answer._request_id)
