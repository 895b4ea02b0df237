"""Many requests from Python: which results come, in what order, and what is asked of the service."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import itertools
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import openai
import pytest

from aitoearn_openai import AsyncOpenAI, batch, sandbox
from aitoearn_openai.batch import Request, Result, run
from conftest import MESSAGES, Reply, ScriptedServer

BODY = {"model": "glm-5.2", "messages": MESSAGES}
LINE: dict[str, Any] = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": BODY}
ANSWER = {"choices": [{"message": {"content": "Hi"}}]}
GOOD = Reply(ANSWER)
PARTS = {"type": "t", "param": "p", "code": "c"}
FLAGGED = {"finish_reason": "error", "error": {"code": 403, "message": "flagged by moderation"}}


def request(custom_id: str = "a", model: str = "glm-5.2", **more: Any) -> Request:
    return Request(custom_id, {**BODY, "model": model, **more})


def requests(count: int) -> list[Request]:
    return [request(f"q-{number}") for number in range(count)]


def client_of(base_url: str, **more: Any) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=base_url, api_key="sandbox", **{"max_retries": 0, "timeout": 5, **more})


def ask(wanted: Any, base_url: str, *, timeout: float = 5, **options: Any) -> tuple[list[Result], Any]:
    """The results, and the error that ended the run; nothing of it runs any longer."""
    results: list[Result] = []

    async def main() -> Exception | None:
        async with client_of(base_url, timeout=timeout) as client:
            try:
                async for result in run(client, wanted, **options):
                    results.append(result)
            except (openai.OpenAIError, ValueError, LookupError) as error:
                return error
            finally:
                assert asyncio.all_tasks() == {asyncio.current_task()}
        return None

    return results, asyncio.run(main())


def test_bodies_are_kept_to_the_letter(server: ScriptedServer) -> None:
    """Fields that nobody knows among them, in both directions; a tracer that wraps `create` sees each request."""
    answer = {
        "id": 1,
        "choices": [{"message": {"content": "Hi", "reasoning_content": "…", "tool_calls": []}, "odd": None}],
        "cost": "0.000000001",
        "usage": {"prompt_tokens": "many", "prompt_tokens_details": None},
        "x": [{"y": 1.5}],
    }
    server.answer(Reply(answer, headers={"X-Request-Id": "r-1"}))
    body = {"model": "m", "messages": [{"role": "owl"}], "stream": False, "z": {"1": None}, "timeout": 7}
    create = openai.resources.chat.AsyncCompletions.create
    with patch.object(
        openai.resources.chat.AsyncCompletions, "create", autospec=True, side_effect=create
    ) as seen:
        (result,), _ = ask([Request("a", body)], server.base_url)

    assert json.loads(server.requests[0].body) == body
    assert seen.call_args.kwargs["messages"] == body["messages"]
    assert result.to_dict() == {
        "id": Request("a", body).id,
        "custom_id": "a",
        "response": {"status_code": 200, "request_id": "r-1", "body": answer},
        "error": None,
    }
    assert result.completion.choices[0].message.content == "Hi"
    assert result.usage.prompt_tokens == "many"


def test_results_come_as_they_finish(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow answer holds up no other. An async generator of requests is closed as soon as a run ends."""
    number, gate, closed = itertools.count(), threading.Event(), []
    monkeypatch.setattr(server, "next_reply", lambda: GOOD if next(number) or gate.wait(60) else None)

    async def come() -> AsyncIterator[Request]:
        try:
            for number in itertools.count():
                yield request(f"q-{number}")
                while not server.requests:
                    await asyncio.sleep(0.01)
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    async def main() -> list[str]:
        names: list[str] = []
        async with client_of(server.base_url) as client:
            async with contextlib.aclosing(run(client, come(), concurrency=2)) as results:
                while "q-0" not in names:
                    names.append((await anext(results)).request.custom_id)
                    if len(names) == 2:
                        gate.set()
            assert closed
        return names

    assert asyncio.run(main())[:2] == ["q-1", "q-2"]


def test_no_more_than_wanted_is_under_way(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endless iterable will do, as one more is taken; who stops early leaves nothing running or open."""
    taken, gate = itertools.count(), threading.Event()
    monkeypatch.setattr(server, "next_reply", lambda: GOOD if gate.wait(60) else None)

    async def main() -> None:
        endless = (request(f"q-{next(taken)}") for _ in itertools.count())
        async with client_of(server.base_url) as client:
            async with contextlib.aclosing(run(client, endless, concurrency=5)) as results:
                first = asyncio.ensure_future(anext(results))
                while len(server.requests) < 5:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.1)  # time for a sixth, if there were one
                assert (len(server.requests), next(taken) <= 6) == (5, True)
                gate.set()
                assert (await first).body
            assert next(taken) <= 20
            assert inspect.getgeneratorstate(endless) == inspect.GEN_CLOSED
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


@pytest.mark.slow
def test_a_pause_is_not_made_up_for_by_a_burst(site: sandbox.Sandbox) -> None:
    """Neither after the source waited, for results and for something else, nor after the event loop stood still."""
    starts: list[float] = []
    names: list[str] = []

    async def note(_: Any) -> None:
        starts.append(time.monotonic())

    async def come() -> AsyncIterator[Request]:
        for each in requests(6):
            if each.custom_id == "q-2":
                while len(names) < 2:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(1.5)
            yield each

    async def main() -> None:
        http_client = openai.DefaultAsyncHttpxClient(event_hooks={"request": [note]})
        async with AsyncOpenAI.from_settings(site.settings, http_client=http_client) as client:
            async for result in run(client, come(), concurrency=2, rpm=120):
                names.append(result.request.custom_id)
                if len(names) == 4:
                    time.sleep(1.5)  # noqa: ASYNC251 - on purpose

    asyncio.run(main())
    gaps = [after - before for before, after in itertools.pairwise(starts)]

    assert min(gaps.pop(3), gaps.pop(1)) > 1.2
    assert min(gaps) > 0.2  # Of half a second on an idle machine; in a burst it is next to none.


@pytest.mark.parametrize(
    ("reply", "status", "told"),
    [
        (Reply({"code": 12300, "message": "Model not found: m"}), 404, {"code": "12300"}),
        (Reply({"error": {"message": "Too long", **PARTS}}, 400), 400, PARTS),
        # Whatever its status: the account at the provider is the gateway's.
        (Reply({"choices": [FLAGGED]}), 502, "flagged by moderation"),
        (Reply("<html>", content_type="text/html"), None, "answered with 'text/html'"),
        (Reply('{"id": "x"}'), None, "where ChatCompletion was expected"),
        (Reply('{"choices": []}'), None, "an answer without choices"),
    ],
)
def test_a_failure_is_told_where_the_batch_api_tells_it(
    server: ScriptedServer, reply: Reply, status: int | None, told: Any
) -> None:
    """What the service says in `response`, and in `error` why there is nothing that it says."""
    reply.headers["X-Request-Id"] = "r-1"
    server.answer(reply)
    (result,), end = ask(requests(1), server.base_url)
    response, error = result.to_dict()["response"], result.to_dict()["error"]

    assert (result.body, result.completion, result.usage, end) == (None, None, None, None)
    assert isinstance(result.error, openai.APIError)
    if status:
        assert (response["status_code"], response["request_id"], error) == (status, "r-1", None)
        shown = response["body"]["error"]
        assert told in shown["message"] if isinstance(told, str) else told.items() <= shown.items()
        assert shown["message"].startswith(f"Error code: {status} - ")
    else:
        assert (response, error["code"]) == (None, "invalid_response")
        assert told in error["message"]


def test_a_service_that_is_not_there_is_an_error_of_each_request(site: sandbox.Sandbox) -> None:
    """Which says why, in the system's words too; one that is too slow is told apart."""
    (unreached,), _ = ask(requests(1), "http://127.0.0.1:1")
    (late,), _ = ask([request(model="slow-first-byte")], site.base_url, timeout=0.2)
    error = unreached.to_dict()["error"]

    assert error["code"] == "connection_error"
    assert re.search(r"connection attempts failed.*\[Errno", error["message"])
    assert late.to_dict()["error"] == {"code": "request_timeout", "message": "Request timed out. ReadTimeout"}


@pytest.mark.slow
@pytest.mark.parametrize(("model", "status"), [("fail-12001", 402), ("fail-401", 401), ("", 0)])
def test_what_ends_a_run_comes_after_all_under_way(site: sandbox.Sandbox, model: str, status: int) -> None:
    """Nothing more is asked once the account is refused, or the iterable has failed."""
    taken = []

    def wanted() -> Iterator[Request]:
        yield request("slow", "slow-first-byte")
        for number in range(99):
            taken.append(number)
            if not model:
                raise LookupError("the database is gone")
            yield request(f"{number}", model)

    results, error = ask(wanted(), site.base_url, concurrency=2)

    assert getattr(error, "status_code", 0) == status
    assert isinstance(error, openai.APIStatusError if model else LookupError)
    assert [each.request.custom_id for each in results] == ["slow"]
    assert len(taken) < 10


@pytest.mark.parametrize(
    ("replies", "answered"),
    [([404] * 10, 10), ([404] * 9 + [200] + [404] * 10, 20), (([404] * 9 + [500]) * 3, 30)],
)
def test_ten_unknown_models_end_a_run(server: ScriptedServer, replies: list[int], answered: int) -> None:
    """In a row, as nothing that follows is known either; what is known in between, or fails otherwise, breaks the row."""
    server.answer(*(Reply(ANSWER if status == 200 else {}, status) for status in replies))
    results, error = ask(requests(answered if answered == 30 else 99), server.base_url, concurrency=1)

    assert isinstance(error, openai.NotFoundError) == (answered < 30)
    assert len(results) == answered
    assert len(server.requests) in range(answered, answered + 2)  # One may be under way.


NESTED: list[Any] = functools.reduce(lambda inner, _: [inner], range(100_000), [])


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
        (lambda: request(user=NESTED), "cannot be sent as JSON"),
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


@pytest.mark.parametrize("kind", [openai.AsyncOpenAI, openai.OpenAI])
def test_a_client_that_takes_failures_for_answers_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match="needs an AsyncOpenAI of aitoearn_openai"):
        run(kind(api_key="k"), requests(1)).__anext__().__await__().send(None)


def test_a_loop_other_than_asyncios_is_refused() -> None:
    """Such as that of trio, which drives coroutines as this test does."""
    results = run(AsyncOpenAI(api_key="k"), requests(1))
    with pytest.raises(RuntimeError, match="no running event loop"):
        results.__anext__().__await__().send(None)


def tier(limit: Any = None, image: Any = None, write: Any = None) -> dict[str, Any]:
    """By which a request of `priced()` is estimated at 0.1 credits, unless the model draws."""
    output = {"text": 1, "image": image}
    return {"maxInputTokens": limit, "input": {"text": 0, "cacheWrite5m": write}, "output": output}


def prices(*tiers: Any, **pricing: Any) -> Reply:
    return Reply({"code": 0, "data": [{"name": "m", "pricing": {"tiers": tiers, **pricing}}]})


def priced(count: int) -> Iterator[Request]:
    return (request(f"{number}", "m", max_tokens=100) for number in range(count))


def used(tokens: Any, **more: Any) -> Reply:
    return Reply({**ANSWER, "usage": {"prompt_tokens": 1, "completion_tokens": tokens, **more}, "cost": "0"})


@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_run_starts_nothing_that_would_pass_its_limit(server: ScriptedServer, concurrency: int) -> None:
    """What is there counts as it was used, what is under way as it is estimated."""
    server.answer(prices(tier()), used(50))
    results, error = ask(priced(9), server.base_url, concurrency=concurrency, max_credits=0.25)

    assert sorted(each.request.custom_id for each in results) == ["0", "1", "2", "3"]
    assert isinstance(error, batch.MaxCreditsReached)
    assert "'4', is estimated at 0.1 credits. With the 0.2 counted so far" in str(error)
    assert len(server.requests) == 1 + 4


OPEN = prices(tier(5000, write=1))
DRAWS = prices(tier(image=10))
DREW = {"completion_tokens_details": {"image_tokens": 100}}
FREE = prices({"input": {"text": 0, "cacheWrite5m": 9}, "output": {"text": 0}})


@pytest.mark.parametrize(
    ("listed", "reply", "most", "answered"),
    [
        (prices(tier()), used(100), "0.2", 2),  # Exactly N is within N.
        # Nobody knows what it used: the estimate stays. Failed calls of the service are not charged.
        (prices(tier()), used("?"), "0.25", 2),
        (prices(tier()), Reply("<p>", content_type="text/html"), "0.25", 2),
        (prices(tier()), Reply({"code": 12301, "message": "failed"}), "0.25", 9),
        # Counts that contradict each other, at the dearest price: 1.1, 1.1 and 0.3 credits.
        (OPEN, used(0, prompt_tokens=100, cache_read_input_tokens=1000, total_tokens=110), "1", 1),
        (OPEN, used(0, prompt_tokens=100, cache_creation_input_tokens=1000, total_tokens=110), "1", 1),
        (OPEN, used(0, prompt_tokens=300, total_tokens=310), "1", 3),
        # What the total counts beyond the answer, as some servers leave reasoning out of its tokens.
        (prices(tier()), used(1, total_tokens=202), "0.45", 2),
        # A model that may draw is taken for one that draws, and an answer whose price is open for one that drew.
        (DRAWS, used(100), "2.5", 2),
        (DRAWS, used(100, **DREW), "2.5", 2),
        (DRAWS, used(0), "2.5", 2),
        # What is free costs nothing, whatever else the list has a price for, and where nothing was counted.
        (FREE, used(5, prompt_tokens=999), "1", 9),
        (prices(price=0), used(0), "1", 9),
    ],
)
def test_an_answer_whose_price_is_open_counts_as_the_most_it_may_be(
    server: ScriptedServer, listed: Reply, reply: Reply, most: str, answered: int
) -> None:
    """Never as less than it was estimated at."""
    server.answer(listed, reply)

    assert len(ask(priced(9), server.base_url, concurrency=1, max_credits=Decimal(most))[0]) == answered


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"concurrency": 0}, "concurrency and rpm must be above 0"),
        ({"rpm": -1.5}, "concurrency and rpm must be above 0"),
        ({"max_credits": 0}, "max_credits must be above 0"),
        ({"max_credits": Decimal("nan")}, "max_credits must be above 0"),
        ({"max_credits": 1}, "needs prices, and the list has none for the model 'free'"),
    ],
)
def test_a_limit_that_cannot_be_kept_is_refused(server: ScriptedServer, options: Any, told: str) -> None:
    """Before anything is asked, or after the answers before a model without a price."""
    server.answer(prices(tier()), used(1))
    wanted = [*priced(1), request("free", "free")]
    results, error = ask(wanted, server.base_url, **{"concurrency": 1, **options})

    assert isinstance(error, ValueError)
    assert told in str(error)
    assert len(results) == (options == {"max_credits": 1})
