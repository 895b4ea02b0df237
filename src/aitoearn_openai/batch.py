"""Many requests at once: `run` asks them through an async client and gives each result as soon as it is there.

Requests and results are those of the OpenAI Batch API's files, so files and the code around them carry over.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Coroutine, Generator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import openai
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion

from ._errors import ACCOUNT_STATUSES
from ._limits import ANSWER_TOKENS, CONCURRENCY
from ._models import BYTES_PER_TOKEN, Prices
from ._sdk.clients import AsyncClient
from ._wording import Ours, reason

if TYPE_CHECKING:
    from ._models import ChatModel

__all__ = ["ANSWER_TOKENS", "CONCURRENCY", "MaxCreditsReached", "Request", "Result", "run"]

_MOST_UNKNOWN = 10
"""After so many answers of 404 in a row, nothing that follows can be expected to be found."""

URL = "/v1/chat/completions"
"""What a line of a Batch API file says for the one endpoint that the service has."""

_canonical = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True).encode


@dataclass(frozen=True)
class Request:
    """A request for a chat completion.

    Raises:
        ValueError: it could not be sent, or would be refused at once; says why.
    """

    custom_id: str
    """The caller's name for it, by which its result is found."""
    body: dict[str, Any]
    """The body, which is sent unchanged."""
    id: str = field(init=False, repr=False, compare=False)
    """The `id` of its result, which stands for `custom_id` and body: another request has another."""

    def __post_init__(self) -> None:
        _check(_is_text(self.custom_id), "custom_id must be a text that is not empty")
        _check(isinstance(self.body, dict), "body must be an object")
        _check(_is_text(self.body.get("model")), "body.model must be a text that is not empty")
        messages = self.body.get("messages")
        is_list = isinstance(messages, list) and messages
        _check(is_list, "body.messages must be a list of at least one message")
        _check(not self.body.get("stream"), "remove body.stream: results are whole answers")
        named = f"{digest(self.body)} {self.custom_id}".encode(errors="surrogatepass")
        object.__setattr__(self, "id", f"batch_req_{blake2b(named, digest_size=16).hexdigest()}")

    @classmethod
    def from_dict(cls, line: Any) -> Request:
        """The request of a decoded line of a Batch API input file.

        Raises:
            ValueError: it is not a request, or is for another endpoint; says why.
        """
        _check(isinstance(line, dict), "a request must be an object")
        _check(line.get("method") == "POST", 'method must be "POST"')
        _check(line.get("url") == URL, f'url must be "{URL}": the service answers nothing else in a batch')
        return cls(line.get("custom_id"), line.get("body"))

    def estimate(self, model: ChatModel | None, answer_tokens: int = ANSWER_TOKENS) -> Decimal | None:
        """About what it costs in credits by the list's prices; None where there is no price.

        Args:
            model: The entry of the request's model in the list.
            answer_tokens: How many tokens each answer has, if the request does not limit it to fewer.
        """
        if model is None:
            return None
        tokens_in, tokens_out = self.tokens(answer_tokens)
        cost = model.credits(prompt_tokens=tokens_in, completion_tokens=tokens_out)
        tier = model.pricing and model.pricing.tier(tokens_in)
        if cost and tier:
            cost += tokens_out * (_dearest(tier.output) - (tier.output.text or 0)) / 1000
        return cost

    def tokens(self, answer_tokens: int) -> tuple[int, int]:
        """About how many tokens it has, by its texts alone, and how many its answers have."""
        size = sum(len(text_of(each).encode(errors="replace")) for each in self.body["messages"])
        limits = [_count(self.body.get(name)) for name in ("max_completion_tokens", "max_tokens")]
        each = min(answer_tokens, *(limit or answer_tokens for limit in limits))
        return -(-size // BYTES_PER_TOKEN), each * (_count(self.body.get("n")) or 1)


def digest(value: Any) -> str:
    """Stands for a value that is sent as JSON; a `ValueError` says why it cannot be."""
    try:
        return blake2b(_canonical(value).encode(), digest_size=16).hexdigest()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"it cannot be sent as JSON: {error}") from None


def text_of(message: Any) -> str:
    """The texts of a message, without what else it holds."""
    content = _mapping(message).get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    return "".join(text for part in parts if isinstance(text := _mapping(part).get("text"), str))


def _dearest(prices: Prices) -> Decimal:
    return max(getattr(prices, kind) or Decimal(0) for kind in Prices.model_fields)


def _count(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _check(good: object, message: str) -> None:
    if not good:
        raise ValueError(message)


@dataclass(frozen=True)
class Result:
    """What became of a request: an answer, or the error that the SDK raised when it gave up."""

    request: Request
    body: dict[str, Any] | None = None
    """The answer as the service sent it, with fields beyond OpenAI's; None where there is an error."""
    request_id: str | None = None
    """What support will ask for."""
    error: openai.APIError | None = None

    @property
    def completion(self) -> ChatCompletion | None:
        """The answer as the SDK's object; None where there is an `error`."""
        return None if self.body is None else ChatCompletion.construct(**self.body)

    @property
    def usage(self) -> CompletionUsage | None:
        """The tokens of the answer, as far as the service tells them; None where there is an `error`."""
        return None if self.body is None else CompletionUsage.construct(**_mapping(self.body.get("usage")))

    def to_dict(self) -> dict[str, Any]:
        """The result as a line of the Batch API's output file has it.

        An answer, also one that reports a failure, is in `response`, with its status. `error` is for requests without an answer.
        """
        line = {"id": self.request.id, "custom_id": self.request.custom_id, "response": None, "error": None}
        status, body = 200, self.body
        if isinstance(self.error, openai.APIStatusError):
            said = {name: getattr(self.error, name, None) for name in ("message", "type", "param", "code")}
            status, body = self.error.status_code, {"error": said}
        elif self.error:
            code = _CODES.get(type(self.error), "invalid_response")
            why = f" {reason(self.error)}" if self.error.__cause__ else ""
            return {**line, "error": {"code": code, "message": f"{self.error}{why}"}}
        return {**line, "response": {"status_code": status, "request_id": self.request_id, "body": body}}


_CODES: dict[type[openai.APIError], str] = {
    openai.APITimeoutError: "request_timeout",
    openai.APIConnectionError: "connection_error",
}


class MaxCreditsReached(openai.OpenAIError):
    """The next request would carry the estimate past the most credits that a run may cost."""


class Budget:
    """How many credits a run may still cost, by the prices of the list; the retries of a request are not known here."""

    def __init__(
        self, max_credits: Decimal | float, models: dict[str, ChatModel], answer_tokens: int
    ) -> None:
        _check(float(max_credits) > 0, "max_credits must be above 0")
        self._most = Decimal(str(max_credits))
        self._models, self._answer_tokens = models, answer_tokens
        self._used = self._reserved = Decimal(0)
        self._has_changed = asyncio.Event()

    def estimate(self, request: Request) -> Decimal:
        """As that of the request; a `ValueError` where the list has no price for its model."""
        name = request.body["model"]
        estimate = request.estimate(self._models.get(name), self._answer_tokens)
        if estimate is None:
            raise ValueError(f"a limit on credits needs prices, and the list has none for the model {name!r}")
        return estimate

    async def reserve(self, request: Request) -> None:
        """Wait until the request can start: those under way may turn out to cost less than estimated."""
        estimate = self.estimate(request)
        while self._used + self._reserved + estimate > self._most:
            if not self._reserved:
                raise MaxCreditsReached(
                    f"The next request, {request.custom_id!r}, is estimated at {float(estimate):.4g} credits. With the "
                    f"{float(self._used):.4g} counted so far, that would be more than this run's limit of {self._most.normalize():f}."
                )
            self._has_changed.clear()
            await self._has_changed.wait()
        self._reserved += estimate

    def count(self, result: Result) -> None:
        """Count what a request used instead of its estimate."""
        estimate = self.estimate(result.request)
        self._reserved -= estimate
        self._used += self._used_by(result, estimate)
        self._has_changed.set()

    def _used_by(self, result: Result, estimate: Decimal) -> Decimal:
        """The most that it may be where list and `usage` leave the price open; the estimate where nothing was counted."""
        if result.body is None:
            return Decimal(0) if isinstance(result.error, openai.APIStatusError) else estimate
        model = self._models[result.request.body["model"]]
        told = _mapping(result.body.get("usage"))
        usage = Counter({name: _count(value) for name, value in told.items()})
        credits = model.credits(result.usage)
        # A cost of 0 is one only if the answer was counted.
        if credits or (credits is not None and usage["completion_tokens"]):
            return credits
        asked = (
            usage["prompt_tokens"] + usage["cache_read_input_tokens"] + usage["cache_creation_input_tokens"]
        )
        answered = max(usage["completion_tokens"], usage["total_tokens"] - usage["prompt_tokens"])
        tier = model.pricing and model.pricing.tier(asked)
        if not tier:
            return estimate
        return max(estimate, (asked * _dearest(tier.input) + answered * _dearest(tier.output)) / 1000)


async def run(
    client: openai.AsyncOpenAI,
    requests: Iterable[Request] | AsyncIterable[Request],
    *,
    concurrency: int = CONCURRENCY,
    rpm: float | None = None,
    max_credits: Decimal | float | None = None,
) -> AsyncIterator[Result]:
    """Ask all requests, and give each result as soon as it is there, in whatever order they finish.

    Requests are taken as they are needed, so that memory does not grow with their number. A request that
    fails, after the client's retries, is a result with an `error`, and the others go on.

    Args:
        client: An `AsyncOpenAI` of this package; its retries, timeout and HTTP backend hold.
        requests: Any iterable, async or not; one that waits for something should be async.
        concurrency: The most requests under way at once; one whose result was not taken yet counts too.
        rpm: The most requests that start in a minute, evenly spread; the client's retries are not counted.
        max_credits: No request starts that would carry the estimate past so many credits, of both balances
            together: what the answers used by the list's prices, and `Request.estimate` of those under way.

    Raises:
        MaxCreditsReached: the next request would go past `max_credits`. The results of those under way come first.
        openai.APIStatusError: the key is refused (401, 403) or credits have run out (402). No further request
            starts, the results of those under way come first, and those that were refused give no result.
        ValueError: a number is not above 0; or, with `max_credits`, the list has no price for a request's model.
        TypeError: the client is another than an `AsyncOpenAI` of this package.
        RuntimeError: no event loop of asyncio runs, as under trio.
    """
    if not isinstance(client, AsyncClient):
        raise TypeError(
            "batch.run() needs an AsyncOpenAI of aitoearn_openai; another takes failures for answers"
        )
    budget = None
    if max_credits is not None:
        listed: Any = await client.models.list()
        budget = Budget(max_credits, {model.id: model for model in listed.data}, ANSWER_TOKENS)
    async with aclosing(Runner(client, requests, concurrency, rpm, budget).groups()) as groups:
        async for group in groups:
            for result in group:
                yield result


@dataclass
class Runner:
    """Starts requests, as many at once and as fast as is wanted, and collects their results."""

    client: openai.AsyncOpenAI
    requests: Iterable[Request] | AsyncIterable[Request]
    concurrency: int
    rpm: float | None
    budget: Budget | None

    def __post_init__(self) -> None:
        is_rate = self.rpm is None or self.rpm > 0
        _check(is_rate and self.concurrency >= 1, "concurrency and rpm must be above 0")
        self._now = asyncio.get_running_loop().time
        self._slots = asyncio.Semaphore(self.concurrency)
        self._tasks: set[asyncio.Task[Result | None]] = set()
        self._ended: asyncio.Queue[asyncio.Task[Result | None]] = asyncio.Queue()
        self._failure: BaseException | None = None
        self._unknown = 0
        self._feeder = self._start(self._feed())

    @property
    def under_way(self) -> int:
        """How many requests have no result yet that was taken."""
        return len(self._tasks - {self._feeder})

    def halt(self) -> None:
        """Start no further request."""
        self._feeder.cancel()

    async def groups(self) -> AsyncGenerator[list[Result], None]:
        """The results, each time all those that are there by then; last, the error that ended the run is raised."""
        try:
            while self._tasks:
                ended = [await self._ended.get()]
                while not self._ended.empty():
                    ended.append(self._ended.get_nowait())
                self._tasks.difference_update(ended)
                group: list[Result] = []
                for task in ended:
                    if task.cancelled():
                        continue
                    if error := task.exception():
                        self._fail(error)
                    elif result := task.result():
                        group.append(result)
                if group:
                    yield group
                # Not before the caller asks for more, so that a crash of the caller loses few results.
                for _ in ended:
                    self._slots.release()
            if self._failure:
                raise self._failure
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, Result | None]) -> asyncio.Task[Result | None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended.put_nowait)
        return task

    def _fail(self, error: BaseException) -> None:
        """Start nothing more; what is under way ends before the first error is raised."""
        self._failure = self._failure or error
        self.halt()

    async def _feed(self) -> None:
        due = self._now()
        async with aclosing(_each(self.requests)) as requests:
            async for request in requests:
                await self._slots.acquire()
                if self.budget:
                    await self.budget.reserve(request)
                if self.rpm:
                    await asyncio.sleep(due - self._now())
                    # A timer that is a little late is made up for, a pause is not: that would be a burst.
                    due = max(due, self._now() - 6 / self.rpm) + 60 / self.rpm
                self._start(self._ask(request))

    async def _ask(self, request: Request) -> Result:
        body = dict(request.body)
        try:
            # By `create`, which tracers wrap; and raw, so that no objects are made of the answer.
            raw = await self.client.chat.completions.with_raw_response.create(
                model=body.pop("model"), messages=body.pop("messages"), extra_body=body or None
            )
            result = Result(request, raw.parse(to=_Answer).to_dict(), raw.request_id)
        except openai.APIError as error:
            if getattr(error, "status_code", None) in ACCOUNT_STATUSES:
                raise
            result = Result(request, request_id=getattr(error, "request_id", None), error=error)
        self._unknown = self._unknown + 1 if isinstance(result.error, openai.NotFoundError) else 0
        if result.error and self._unknown == _MOST_UNKNOWN:
            self._fail(result.error)
        if self.budget:
            self.budget.count(result)
        return result


async def _each(requests: Iterable[Request] | AsyncIterable[Request]) -> AsyncGenerator[Request, None]:
    """The requests; a generator of them is closed in the end, also where it was not read to its own."""
    source = aiter(requests) if isinstance(requests, AsyncIterable) else iter(requests)
    try:
        if isinstance(source, AsyncIterator):
            async for request in source:
                yield request
        else:
            for request in source:
                yield request
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()
        elif isinstance(source, Generator):
            source.close()


class _Answer(openai.BaseModel):
    """An answer as it came: the SDK checks that it is one, and makes no objects of it."""

    choices: list[Any]

    @classmethod
    def from_answer(cls, client: Any, response: Any, data: Any) -> _Answer:
        """Made in place of the SDK's own construction."""
        if not data["choices"]:
            message = Ours("The service gave an answer without choices")
            raise openai.APIResponseValidationError(response, data, message=message)
        return cls.construct(**data)


_Answer.__name__ = ChatCompletion.__name__  # Errors name what was expected.
