"""Many requests from Python: which results come, in what order, and what is asked of the service."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from typing import Any

import openai
import pytest
from typing_extensions import Self

from aitoearn_openai import AsyncOpenAI, ChatModel, batch, sandbox
from aitoearn_openai._sdk.errors import family_of
from aitoearn_openai._wording import reason
from aitoearn_openai.batch import Budget, Request, Result, in_groups, run
from conftest import MESSAGES, Reply, ScriptedServer

LINE: dict[str, Any] = {
    "custom_id": "a",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "glm-5.2", "messages": MESSAGES},
}


def request(custom_id: str = "a", model: str = "glm-5.2", **more: Any) -> Request:
    return Request(custom_id, {"model": model, "messages": MESSAGES, **more})


def requests(models: dict[str, str] | int) -> list[Request]:
    if isinstance(models, int):
        return [request(f"q-{number}") for number in range(models)]
    return [request(custom_id, model) for custom_id, model in models.items()]


def ask_all(wanted: Any, base_url: str, results: list[Result], **options: Any) -> None:
    """Put the results of the requests into the list, as far as they come."""

    async def ask() -> None:
        arguments = {"max_retries": 0, **options.pop("client", {})}
        async with AsyncOpenAI(base_url=base_url, api_key="sandbox", **arguments) as client:
            async for result in run(client, wanted, **options):
                results.append(result)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(ask())


def results_of(wanted: Any, base_url: str, **options: Any) -> list[Result]:
    results: list[Result] = []
    ask_all(wanted, base_url, results, **options)
    return results


ANSWER = {"choices": [{"message": {"content": "Hi"}}]}


class Gate:
    """A server in the test's own loop: models named `slow` are answered once the test says so, others at once."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.arrived = asyncio.Condition()
        self.open = asyncio.Event()
        self.tasks: set[Any] = set()

    async def wait_for(self, count: int) -> None:
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.bodies) >= count)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.add(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
                async with self.arrived:
                    self.bodies.append(json.loads(await reader.readexactly(length)))
                    self.arrived.notify_all()
                model = self.bodies[-1]["model"]
                if model == "slow":
                    await self.open.wait()
                refused = {"data": {}, "code": int(model), "message": "no"} if model.isdecimal() else None
                body = json.dumps(refused or ANSWER).encode()
                answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                writer.write((answer % len(body)).encode() + body)
        writer.close()


@contextlib.asynccontextmanager
async def gated() -> AsyncIterator[tuple[Gate, AsyncOpenAI]]:
    gate = Gate()
    server = await asyncio.start_server(gate._answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with AsyncOpenAI(base_url=f"http://127.0.0.1:{port}", api_key="k", max_retries=0) as client:
            yield gate, client
    finally:
        gate.open.set()
        server.close()
        await asyncio.gather(*gate.tasks)


def test_each_request_gets_its_result(site: sandbox.Sandbox) -> None:
    """Under its own name, as the service sent it and as the SDK's object."""
    results = results_of(requests(40), site.base_url)

    assert sorted(result.request.custom_id for result in results) == sorted(f"q-{n}" for n in range(40))
    for result in results:
        assert result.error is None
        assert result.body
        assert result.body["cost"] == "0"
        assert result.completion
        assert result.completion.choices[0].message.content == (
            "This is the AiToEarn sandbox; no model read your message. You said: 你好"
        )
        assert result.completion.usage


def test_what_is_sent_and_what_comes_back_is_kept_to_the_letter(server: ScriptedServer) -> None:
    """Fields that nobody knows among them, in both directions."""
    answer = {
        "id": 1,
        "choices": [{"message": {"content": "Hi", "reasoning_content": "…", "tool_calls": []}, "odd": None}],
        "cost": "0.000000001",
        "usage": {"prompt_tokens": "many", "prompt_tokens_details": None},
        "x": [{"y": 1.5}],
    }
    server.answer(Reply(answer, headers={"X-Request-Id": "r-1"}))
    body = {"model": "m", "messages": [{"role": "owl", "content": None}], "stream": False, "z": {"1": None}}
    (result,) = results_of([Request("a", body)], server.base_url)

    assert json.loads(server.requests[0].body) == body
    assert result.to_dict() == {
        "id": Request("a", body).id,
        "custom_id": "a",
        "response": {"status_code": 200, "request_id": "r-1", "body": answer},
        "error": None,
    }


def test_results_come_as_they_finish() -> None:
    """A slow answer holds up no other."""

    async def look() -> None:
        async with gated() as (gate, client):
            names = []
            async for result in run(client, requests({"slow": "slow", "a": "m", "b": "m"})):
                names.append(result.request.custom_id)
                if len(names) == 2:
                    gate.open.set()
        assert sorted(names[:2]) == ["a", "b"]
        assert names[2] == "slow"

    asyncio.run(look())


def test_as_many_requests_as_wanted_are_under_way_and_no_more() -> None:
    """The iterable is asked for no more than one ahead of them, so an endless one will do."""
    taken = itertools.count()

    async def look() -> None:
        async with gated() as (gate, client):
            endless = (request(f"q-{next(taken)}", "slow") for _ in itertools.count())
            results = run(client, endless, concurrency=5)
            first = asyncio.ensure_future(anext(results))
            await gate.wait_for(5)
            await asyncio.sleep(0.1)  # time for a sixth, if there were one
            assert len(gate.bodies) == 5
            assert next(taken) <= 6
            gate.open.set()
            assert (await first).body == ANSWER
            await results.aclose()
            assert next(taken) <= 20

    asyncio.run(look())


def test_who_stops_early_leaves_nothing_running() -> None:
    """After a `break`, what is under way is cancelled."""

    async def look() -> None:
        wanted = (request(f"q-{number}", "slow" if number else "m") for number in range(99))
        async with gated() as (gate, client):
            async with contextlib.aclosing(run(client, wanted)) as results:
                async for _ in results:
                    break
            assert asyncio.all_tasks() - gate.tasks == {asyncio.current_task()}

    asyncio.run(look())


def test_requests_may_come_from_something_async(site: sandbox.Sandbox) -> None:
    """Such as a queue or a database; results do not wait for the next request."""

    async def look() -> None:
        asked: asyncio.Queue[Request] = asyncio.Queue()

        async def come() -> AsyncIterator[Request]:
            for _ in range(3):
                yield await asked.get()

        async with AsyncOpenAI(base_url=site.base_url, api_key="sandbox") as client:
            asked.put_nowait(request("q-0"))
            names = []
            async for result in run(client, come()):
                names.append(result.request.custom_id)
                asked.put_nowait(request(f"q-{len(names)}"))
        assert names == ["q-0", "q-1", "q-2"]

    asyncio.run(look())


def test_a_source_that_is_no_generator_stays_open(site: sandbox.Sandbox) -> None:
    """What it is, and whether anybody else reads from it, is not known here."""

    class Source:
        def __init__(self) -> None:
            self.left = iter(requests(3))

        def __aiter__(self) -> Self:
            return self

        async def __anext__(self) -> Request:
            for each in self.left:
                return each
            raise StopAsyncIteration

        async def aclose(self) -> None:
            raise AssertionError("it is not ours to close")

    async def look() -> None:
        async with AsyncOpenAI(base_url=site.base_url, api_key="sandbox") as client:
            assert len([result async for result in run(client, Source())]) == 3

    asyncio.run(look())


def test_a_rate_is_kept(site: sandbox.Sandbox) -> None:
    """Of 1,200 a minute, the fifth starts 200 ms after the first; a busy machine only makes it later."""

    async def look() -> None:
        now = asyncio.get_running_loop().time
        async with AsyncOpenAI(base_url=site.base_url, api_key="sandbox") as client:
            started = now()
            assert len([result async for result in run(client, requests(5), rpm=1200)]) == 5
            assert now() - started > 0.19

    asyncio.run(look())


@pytest.mark.slow
@pytest.mark.parametrize("pause", ["of the source", "of the program", "of the budget"])
def test_a_pause_is_not_made_up_for_by_a_burst(site: sandbox.Sandbox, pause: str) -> None:
    """Neither after nothing was asked for a while, nor after the event loop stood still, nor after credits were waited for."""

    class Slow(Budget):
        async def reserve(self, request: Request) -> None:
            await asyncio.sleep(1.5 if pause == "of the budget" and len(starts) == 1 else 0)

        def count(self, result: Result) -> None:
            pass

    async def look() -> None:
        async def note(_: Any) -> None:
            starts.append(asyncio.get_running_loop().time())

        async def come() -> AsyncIterator[Request]:
            for number, each in enumerate(requests(4)):
                if number == 1 and pause == "of the source":
                    await asyncio.sleep(1.5)
                yield each

        http_client = openai.DefaultAsyncHttpxClient(event_hooks={"request": [note]})
        async with AsyncOpenAI.from_settings(site.settings, http_client=http_client) as client:
            async for _ in in_groups(client, come(), concurrency=4, rpm=120, budget=Slow(1, {})):
                if len(starts) == 1 and pause == "of the program":
                    time.sleep(1.5)  # noqa: ASYNC251 - on purpose

    starts: list[float] = []
    asyncio.run(look())
    gaps = [after - before for before, after in itertools.pairwise(starts)]

    assert max(gaps) > 1.2
    assert min(gaps) > 0.35  # of half a second


class Source:
    """A source of requests that notes that it was closed, as one that holds a file or a connection has to be."""

    def __init__(self, kind: str) -> None:
        self.kind, self.closed = kind, False

    def requests(self) -> Any:
        if self.kind == "object":
            return self
        return self.asynchronous() if self.kind == "async generator" else self.__iter__()

    def __iter__(self) -> Iterator[Request]:
        try:
            for number in itertools.count():
                yield request(f"q-{number}", "fail-12001" if number == 5 else "glm-5.2")
        finally:
            self.closed = True

    async def asynchronous(self) -> AsyncIterator[Request]:
        try:
            for each in self:
                yield each
                await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0)
            self.closed = True


@pytest.mark.parametrize("kind", ["async generator", "generator", "object"])
@pytest.mark.parametrize("end", ["break", "aclose", "refused", "cancelled", "last"])
def test_a_source_is_closed_however_a_run_ends(site: sandbox.Sandbox, kind: str, end: str) -> None:
    """So that what it holds is given back at once, and not whenever garbage is collected."""
    source = Source(kind)

    async def ask() -> None:
        wanted = source.requests()
        async with AsyncOpenAI(base_url=site.base_url, api_key="sandbox") as client:
            results = run(client, wanted, concurrency=1)
            if end == "break":
                async for _ in run(client, wanted, concurrency=1):
                    break
                for _ in range(1000):  # The event loop closes what nobody refers to.
                    await asyncio.sleep(0 if source.closed else 0.001)
            elif end == "aclose":
                await anext(results)
                await results.aclose()
            elif end == "cancelled":
                task = asyncio.create_task(take(results))
                await came.wait()
                task.cancel()
                await asyncio.wait([task])
            elif end == "refused":
                with pytest.raises(openai.APIStatusError):
                    await take(results)
            assert source.closed or end == "last"
        if end == "last":
            async with AsyncOpenAI(base_url=site.base_url, api_key="sandbox") as client:
                async for _ in run(client, wanted, concurrency=1):
                    break  # The last thing that the program does.

    async def take(results: AsyncIterator[Result]) -> None:
        async for _ in results:
            came.set()

    came = asyncio.Event()
    asyncio.run(ask())

    assert source.closed


@pytest.mark.parametrize(
    ("reply", "response", "error"),
    [
        (
            Reply({"code": 12300, "message": "Model not found: m", "requestId": "r-1"}),
            {"status_code": 404, "request_id": "r-1", "code": "12300", "message": "Model not found: m"},
            None,
        ),
        (
            Reply({"error": {"message": "Too long", "type": "t", "param": "p", "code": "c"}}, status=400),
            {"status_code": 400, "request_id": None, "type": "t", "param": "p", "code": "c"},
            None,
        ),
        (Reply("<html>", content_type="text/html"), None, ("invalid_response", "answered with 'text/html'")),
        (Reply('{"id": "x"}'), None, ("invalid_response", "where ChatCompletion was expected")),
        (Reply('{"choices": []}'), None, ("invalid_response", "an answer without choices")),
    ],
)
def test_a_failure_is_told_where_the_batch_api_tells_it(
    server: ScriptedServer, reply: Reply, response: dict[str, Any] | None, error: tuple[str, str] | None
) -> None:
    """What the service says in `response`, and in `error` why there is nothing that it says."""
    server.answer(reply)
    (result,) = results_of(requests(1), server.base_url)
    told = result.to_dict()

    assert (result.body, result.completion) == (None, None)
    assert isinstance(result.error, openai.APIError)
    if response:
        assert told["error"] is None
        assert {name: told["response"][name] for name in ("status_code", "request_id")} == {
            name: response.pop(name) for name in ("status_code", "request_id")
        }
        said = told["response"]["body"]["error"]
        assert response.pop("message", "Too long") in said["message"]
        assert response.items() <= said.items()
    else:
        assert told["response"] is None
        assert error
        assert told["error"]["code"] == error[0]
        assert error[1] in told["error"]["message"]


def test_a_service_that_is_not_there_is_an_error_of_each_request(site: sandbox.Sandbox) -> None:
    """Which says why; one that is too slow is told apart."""
    (unreached,) = results_of(requests(1), "http://127.0.0.1:1")
    slow = requests({"a": "slow-first-byte"})
    (late,) = results_of(slow, site.base_url, client={"timeout": 0.2})

    unreached_error, late_error = unreached.to_dict()["error"], late.to_dict()["error"]
    assert unreached_error["code"] == "connection_error"
    assert "connection attempts failed" in unreached_error["message"]
    assert late_error["code"] == "request_timeout"


@pytest.mark.parametrize(("code", "status"), [("12001", 402), ("401", 401), ("12008", 403)])
def test_nothing_more_is_asked_once_the_account_is_refused(code: str, status: int) -> None:
    """The results that were under way come first, then the SDK's error."""
    wanted = iter(requests({"slow": "slow", "refused": code} | {f"q-{n}": code for n in range(99)}))

    names, error = ended_by(wanted, concurrency=2)

    assert isinstance(error, openai.APIStatusError)
    assert (error.status_code, names) == (status, ["slow"])
    assert len(list(wanted)) > 90


@pytest.mark.parametrize(
    ("replies", "answered"),
    [([404] * 10, 10), ([404] * 9 + [200] + [404] * 10, 20), (([404] * 9 + [500]) * 3, 30)],
)
def test_ten_unknown_models_in_a_row_end_a_run(
    server: ScriptedServer, replies: list[int], answered: int
) -> None:
    """As nothing that follows is known either; what is known in between, or fails otherwise, breaks the row."""
    server.answer(*(Reply(ANSWER if status == 200 else {}, status) for status in replies))
    results: list[Result] = []
    wanted = requests(answered if answered == 30 else 99)
    if answered < 30:
        with pytest.raises(openai.NotFoundError):
            ask_all(wanted, server.base_url, results, concurrency=1)
    else:
        ask_all(wanted, server.base_url, results, concurrency=1)

    assert len(results) == answered
    assert len(server.requests) in range(answered, answered + 2)  # One may be under way.


def test_an_iterable_that_breaks_loses_no_result() -> None:
    """Those under way come before its error."""

    def wanted() -> Iterator[Request]:
        yield request("slow", "slow")
        yield request("fast", "m")
        raise LookupError("the database is gone")

    names, error = ended_by(wanted())

    assert isinstance(error, LookupError)
    assert names == ["fast", "slow"]


def ended_by(wanted: Iterator[Request], **options: Any) -> tuple[list[str], Exception | None]:
    """The results, the slow one after the others, and the error that ended the run."""
    names: list[str] = []

    async def ask() -> None:
        async with gated() as (gate, client):
            asyncio.get_running_loop().call_later(0.3, gate.open.set)
            async for result in run(client, wanted, **options):
                names.append(result.request.custom_id)

    try:
        asyncio.run(ask())
    except (openai.OpenAIError, LookupError) as error:
        return names, error
    return names, None


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"rpm": 0}, {"rpm": -1.5}])
def test_limits_that_let_nothing_through_are_refused(options: dict[str, Any]) -> None:
    """Before anything is asked."""
    with pytest.raises(ValueError, match="must be above 0"):
        results_of(requests(1), "http://127.0.0.1:1", **options)


def nested() -> Any:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    return deep


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Request("", LINE["body"]), "custom_id must be a text"),
        (lambda: Request(7, LINE["body"]), "custom_id must be a text"),  # type: ignore[arg-type]
        (lambda: Request("a", []), "body must be an object"),  # type: ignore[arg-type]
        (lambda: Request("a", {"messages": MESSAGES}), "body.model must be a text"),
        (lambda: Request("a", {"model": "m"}), "body.messages must be a list of at least one"),
        (lambda: request(messages=[]), "body.messages must be a list of at least one"),
        (lambda: request(stream=True), "remove body.stream"),
        (lambda: request(top_p=float("nan")), "cannot be sent as JSON"),
        (lambda: request(user="\ud83d"), "cannot be sent as JSON"),
        (lambda: request(user=object()), "cannot be sent as JSON"),
        (lambda: request(user=nested()), "cannot be sent as JSON"),
        (lambda: Request.from_dict([]), "a request must be an object"),
        (lambda: Request.from_dict({**LINE, "method": "GET"}), 'method must be "POST"'),
        (lambda: Request.from_dict({**LINE, "url": "/v1/embeddings"}), 'url must be "/v1/chat/completions"'),
        (lambda: Request.from_dict({**LINE, "body": None}), "body must be an object"),
    ],
)
def test_a_request_that_cannot_succeed_is_refused_at_once(make: Callable[[], Request], told: str) -> None:
    """With what is wrong, before it costs anything."""
    with pytest.raises(ValueError, match=told):
        make()


def test_the_id_of_a_result_tells_its_request() -> None:
    """The same request has the same one on every machine; another name or body has another."""
    ids = {request().id, request("b").id, request(n=1).id, request(n=True).id}

    assert len(ids) == 4
    assert Request.from_dict(LINE).id == request().id == "batch_req_ff249274abf2104eaed2ca72b9c498cd"


def priced(number: int, **more: Any) -> batch.Request:
    """A request that is estimated at 0.1 credits by `PRICES`."""
    return batch.Request(f"{number}", {"model": "m", "messages": MESSAGES, "max_tokens": 100, **more})


PRICES = Reply(
    {
        "code": 0,
        "data": [{"name": "m", "pricing": {"tiers": [{"input": {"text": 0}, "output": {"text": 1}}]}}],
    }
)


def used(tokens: Any) -> Reply:
    return Reply({**ANSWER, "usage": {"prompt_tokens": 1, "completion_tokens": tokens}, "cost": "0"})


def spend(
    server: ScriptedServer, *requests: batch.Request, **limits: Any
) -> tuple[list[str], Exception | None]:
    """The requests that were answered, and how the run ended."""

    async def main() -> tuple[list[str], Exception | None]:
        answered: list[str] = []
        async with AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0, timeout=5) as client:
            try:
                async for result in batch.run(client, requests, **limits):
                    answered.append(result.request.custom_id)
            except (openai.OpenAIError, ValueError) as error:
                return answered, error
        return answered, None

    return asyncio.run(main())


@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_run_starts_nothing_that_would_carry_it_past_its_credits(
    server: ScriptedServer, concurrency: int
) -> None:
    """What is there counts as it was used, what is under way as it is estimated."""
    server.answer(PRICES, used(50))
    answered, error = spend(server, *map(priced, range(9)), concurrency=concurrency, max_credits=0.25)

    assert sorted(answered) == ["0", "1", "2", "3"]
    assert isinstance(error, batch.MaxCreditsReached)
    assert "'4', is estimated at 0.1 credits. With the 0.2 counted so far" in str(error)
    assert len(server.requests) == 1 + 4


def test_a_run_within_its_credits_ends_as_any(server: ScriptedServer) -> None:
    """Exactly N is within N."""
    server.answer(PRICES, used(100))

    assert spend(server, *map(priced, range(2)), concurrency=1, max_credits=Decimal("0.2")) == (
        ["0", "1"],
        None,
    )


@pytest.mark.parametrize(
    ("reply", "n", "answered"),
    [
        (used("?"), 1, 2),  # Nobody knows what it used: the estimate stays.
        (Reply("<p>", content_type="text/html"), 1, 2),
        (Reply({"code": 12301, "message": "failed"}), 1, 5),  # Failed calls of the service are not charged.
        (used(1), 3, 0),  # Of several answers, several are estimated.
    ],
)
def test_what_a_request_used_is_estimated_where_it_is_not_known(
    server: ScriptedServer, reply: Reply, n: int, answered: int
) -> None:
    """Rather too much than too little."""
    server.answer(PRICES, reply)
    wanted = [priced(number, n=n) for number in range(5)]

    assert len(spend(server, *wanted, concurrency=1, max_credits=0.25)[0]) == answered


def test_a_tracer_that_wraps_create_sees_each_request(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the body as the server gets it, fields that the SDK does not know among it."""
    seen = []
    create = openai.resources.chat.AsyncCompletions.create

    @functools.wraps(create)
    async def traced(*args: Any, **arguments: Any) -> Any:
        seen.append(arguments)
        return await create(*args, **arguments)

    monkeypatch.setattr(openai.resources.chat.AsyncCompletions, "create", traced)
    server.answer(used(1))
    sent = priced(0, thinking={"type": "enabled"}, timeout=7)

    assert spend(server, sent)[0] == ["0"]
    assert seen[0]["messages"] == sent.body["messages"]
    assert json.loads(server.requests[0].body) == sent.body


def test_a_loop_other_than_asyncios_is_named() -> None:
    """Such as that of trio, which drives coroutines as this test does."""
    results = batch.run(AsyncOpenAI(api_key="k"), [priced(0)])
    with pytest.raises(RuntimeError, match=r"batch\.run works with asyncio only"):
        results.__anext__().__await__().send(None)


def test_a_run_with_credits_refuses_a_model_without_a_price(server: ScriptedServer) -> None:
    """After the answers before it."""
    server.answer(PRICES, used(1))
    answered, error = spend(server, priced(0), priced(1, model="free"), concurrency=1, max_credits=1)

    assert answered == ["0"]
    assert isinstance(error, ValueError)
    assert "the list has none for the model 'free'" in str(error)


@pytest.mark.parametrize("limit", [0, -1, float("nan"), Decimal("nan")])
def test_credits_are_above_0(server: ScriptedServer, limit: Any) -> None:
    """Anything else is a mistake."""
    server.answer(PRICES)
    _, error = spend(server, priced(0), max_credits=limit)

    assert isinstance(error, ValueError)
    assert "max_credits must be above 0" in str(error)


def tier(limit: Any = None, image: Any = None, write: Any = None) -> dict[str, Any]:
    output = {"text": 1} if image is None else {"text": 1, "image": image}
    return {"maxInputTokens": limit, "input": {"text": 0, "cacheWrite5m": write}, "output": output}


OPEN = [tier(5000, "1E+999999", 1), tier("many")]
DRAWS = [tier(image=10)]
DREW = {"completion_tokens_details": {"image_tokens": 100}}


@pytest.mark.parametrize(
    ("tiers", "usage", "most", "answered"),
    [
        # Counts that contradict each other, at the dearest price: 1.1, 1.1, 1.1 and 0.3 credits.
        (OPEN, {"prompt_tokens": 100, "cache_read_input_tokens": 1000, "total_tokens": 110}, 1, 1),
        (OPEN, {"prompt_tokens": 100, "cache_creation_input_tokens": 1000, "total_tokens": 110}, 1, 1),
        (OPEN, {"completion_tokens_details": {"reasoning_tokens": 1000}}, 1, 1),
        (OPEN, {"prompt_tokens": 300, "total_tokens": 310}, 1, 3),
        # Above the first limit, the next of which cannot be read: the estimate of 0.1 stays.
        (OPEN, {"prompt_tokens": 10_000}, 1, 9),
        # What the total counts beyond the answer, as some servers leave reasoning out of its tokens.
        ([tier()], {"completion_tokens": 1, "total_tokens": 202}, 0.45, 2),
        # A model that may draw is taken for one that draws, and an answer whose price is open for one that drew.
        (DRAWS, {"completion_tokens": 100}, 2.5, 2),
        (DRAWS, {"completion_tokens": 100, **DREW}, 2.5, 2),
        (DRAWS, {"completion_tokens": 0}, 2.5, 2),
        # What is free costs nothing, whatever else the list has a price for.
        (
            [{"input": {"text": 0, "cacheWrite5m": 9}, "output": {"text": 0}}],
            {"prompt_tokens": 999, "completion_tokens": 5},
            1,
            9,
        ),
    ],
)
def test_an_answer_whose_price_is_open_counts_as_the_most_it_may_be(
    server: ScriptedServer, tiers: Any, usage: dict[str, Any], most: float, answered: int
) -> None:
    """Never as less than it was estimated at."""
    counts = {"prompt_tokens": 1, "completion_tokens": 0, **usage}
    server.answer(
        Reply({"code": 0, "data": [{"name": "m", "pricing": {"tiers": tiers}}]}),
        Reply({**ANSWER, "usage": counts}),
    )

    assert len(spend(server, *map(priced, range(9)), concurrency=1, max_credits=most)[0]) == answered


@pytest.mark.parametrize("limit", [-5, "many"])
def test_a_limit_that_is_none_leaves_the_estimate(limit: Any) -> None:
    """The service refuses such a request; it does not make the model one without a price."""
    model = ChatModel.model_validate(
        {"name": "m", "pricing": {"tiers": [{"input": {"text": 1}, "output": {"text": 1}}]}}
    )
    body = {"model": "m", "messages": [{"content": "Hi"}], "max_tokens": limit}

    assert Request("a", body).estimate(model, 500) is not None


def test_a_price_by_call_is_the_estimate() -> None:
    """Whatever the tokens."""
    model = ChatModel.model_validate({"name": "m", "pricing": {"price": "0.5"}})

    assert request().estimate(model, 500) == Decimal("0.5")


def test_an_answer_without_choices_says_why(server: ScriptedServer) -> None:
    """In the server's words, where it has any."""
    server.answer(Reply({"choices": [], "success": False, "message": "model is away"}))

    (result,) = results_of(requests(1), server.base_url)

    assert "model is away" in str(result.error)


def test_a_reason_without_words_is_the_systems_or_its_kind() -> None:
    """The HTTP libraries have no words for a connection that is reset."""
    family = family_of(openai.DefaultHttpxClient)
    error = openai.APIConnectionError(request=family.Request("GET", "http://127.0.0.1"))
    error.__cause__ = family.ReadError("")
    assert reason(error) == "ReadError"
    error.__cause__.__cause__ = system = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
    assert reason(error) == str(system)


def test_a_failure_in_a_choice_is_one_of_the_request(server: ScriptedServer) -> None:
    """Whatever its status: the account at the provider is the gateway's, and others may be answered."""
    choice = {"finish_reason": "error", "error": {"code": 403, "message": "flagged by moderation"}}
    server.answer(Reply({"choices": [choice]}), Reply(ANSWER))
    refused, answered = results_of(requests(2), server.base_url, concurrency=1)

    assert refused.error is not None
    assert "flagged by moderation" in str(refused.error)
    assert answered.error is None
