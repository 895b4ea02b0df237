"""Whole answers: a failure with HTTP 200 is the SDK's own exception in the server's words, and no right answer is refused.

Which body is a failure, of which status, and how often it is asked for again, is in the fault matrix. These are the
shapes that need another call, or another look at the outcome.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from itertools import product
from typing import Any, ClassVar

import openai
import pytest
from openai.types.chat import ChatCompletion

from conftest import LIBRARY, Asker, Reply, ScriptedServer, complete, draw, in_turns, list_models, raw, stream
from faults.runner import each, entered, wait

CHOICE: Any = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}
ANSWER = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [CHOICE]}
AS_DICT: Any = dict[str, object] if sys.version_info >= (3, 11) else object
"""On Python 3.10 the SDK itself cannot parse into the first."""
SYNC = Asker(is_async=False)


def ask(asker: Asker, server: ScriptedServer, wanted: Any, reply: Any) -> Any:
    return asker.ask(server, wanted, reply if isinstance(reply, Reply) else Reply(json.dumps(reply)))


def caught(server: ScriptedServer, wanted: Any, reply: Any) -> Any:
    with pytest.raises(openai.APIError) as raised:
        ask(SYNC, server, wanted, reply)
    return raised.value


def envelope(code: int, message: str = "no", **more: Any) -> dict[str, Any]:
    return {"data": {}, "code": code, "message": message, **more}


def get(cast_to: Any) -> Callable[[Any], Any]:
    return lambda client: client.get("/anything", cast_to=cast_to)


OTHERS: list[Callable[[Any], Any]] = [
    lambda client: client.embeddings.create(model="m", input="hi"),
    lambda client: client.moderations.create(input="hi"),
    lambda client: client.responses.create(model="m", input="hi"),
    lambda client: client.audio.transcriptions.create(model="m", file=("a.mp3", b"mp3")),
    lambda client: client.files.list(),
]
"""Endpoints that the service lacks and others have."""
BROKE, DIED = "upstream broke", {"message": "upstream broke"}
FAILURES: list[tuple[Any, Any, type[Exception], str]] = [
    # No pictures are no answer.
    *(
        (wanted, body, openai.APIError, BROKE)
        for wanted in (draw("m"), raw(draw("m")))
        for body in [
            {"error": BROKE},
            {"success": False, **DIED},
            {"created": 1, "data": [], "error": BROKE},
            {"created": 1, "data": [{}], "note": BROKE},
            {"created": 1, "data": [{"url": None, "error": DIED}]},
        ]
    ),
    # An object without any field of its type.
    *(
        (wanted, body, openai.APIError, BROKE if body else "was expected")
        for wanted, body in product(OTHERS, [{}, {"detail": BROKE}, [BROKE]])
    ),
    *((wanted, {"code": 404, **DIED}, openai.NotFoundError, f"{BROKE} (AiToEarn code 404)") for wanted in OTHERS),
    # An upload is not in memory.
    (lambda client: client.images.edit(model="m", prompt="a cat", image=b"png"),
     envelope(12001, BROKE), openai.APIStatusError, f"402 - {BROKE} (AiToEarn code 12001)"),
    (
        complete("m"),
        {"choices": [{"finish_reason": "error", "native_finish_reason": "MALFORMED_FUNCTION_CALL"}]},
        openai.InternalServerError,
        "The model failed: finish_reason 'MALFORMED_FUNCTION_CALL'.",
    ),
    # What was due is said where a server says nothing.
    *(
        (complete("m"), Reply(body, content_type=kind), openai.APIResponseValidationError, f"{due} was expected")
        for body, kind, due in [
            ("null", "application/json", "/api/ai/chat/completions answered with 'application/json' where ChatCompletion"),
            ('{"choices": [{"ind', "application/json", "JSON"),
            ("upstream timed out", "application/json-seq", "JSON"),
        ]
    ),
]  # fmt: skip


@in_turns("wanted,body,error,words", FAILURES)
def test_a_failure_in_any_shape_is_raised_in_the_servers_words(
    asker: Asker, server: ScriptedServer, wanted: Any, body: Any, error: type[Exception], words: str
) -> None:
    """Of a code that is not AiToEarn's the message says nothing; who knows the shape finds all that came in the error."""
    with pytest.raises(error) as failed:
        ask(asker, server, wanted, body)

    assert words in str(failed.value)
    if not isinstance(body, Reply):  # Of an `error` the SDK keeps the inside.
        assert failed.value.body in (body, body.get("error", body) if isinstance(body, dict) else body)
    assert ("AiToEarn code" in str(failed.value)) == ("AiToEarn code" in words)


class Extended(ChatCompletion):
    """A type of the caller's own that extends the SDK's."""

    cost: str = ""


class Mine(openai.BaseModel):
    """One whose names are its own affair."""

    choices: list[Any]
    model_class: ClassVar[Any] = None
    from_answer: ClassVar[Any] = None


def post(cast_to: Any) -> Callable[[Any], Any]:
    return lambda client: client.post("/chat/completions", cast_to=cast_to, body={})


def text(answer: Any) -> Any:
    return answer.choices[0].message.content


PICTURES = [{"url": None, "error": {"message": "blocked"}}, {"b64_json": "aGk="}]
MODELS = {"code": 0, "data": [{"name": "m"}]}
# fmt: off
ANSWERS: dict[str, tuple[Any, Any, Callable[[Any], Any], Any]] = {
    "an error of nulls": (complete("m"), {**ANSWER, "error": {"code": None, "message": None}}, text, "hi"),
    "an error of nulls in a choice": (complete("m"), {**ANSWER, "choices": [{**CHOICE, "error": {"code": None}}]}, text, "hi"),
    "pictures, one of which failed": (
        draw("m"), {"created": 1, "data": PICTURES, "code": 200, "message": "success"}, lambda got: got.data[1].b64_json, "aGk="),
    "a field that raw responses have": (complete("m"), {**ANSWER, "http_response": "x"}, text, "hi"),
    "choices of a type of one's own": (post(Mine), {"choices": [{"name": "a"}]}, lambda got: got.choices, [{"name": "a"}]),
    "a type that extends the SDK's": (post(Extended), {**ANSWER, "cost": "1"}, lambda got: (type(got), got.cost), (Extended, "1")),
    "a type without fields": (get(openai.BaseModel), {"a": 1}, lambda got: got.to_dict(), {"a": 1}),
    "a list left out": (OTHERS[-1], {"object": "list", "has_more": False}, lambda got: got.has_more, False),
    "an empty list and success": (OTHERS[-1], {"code": 200, "message": "success", "data": []}, lambda got: got.data, []),
    "a failure as an HTTP response": (get(LIBRARY.Response), envelope(1), lambda got: (got.json(), got.status_code), (envelope(1), 200)),
    "one model, raw": (raw(lambda client: client.models.retrieve("m")), MODELS, lambda got: got.id, "m"),
    "one model, parsed to a response": (
        raw(lambda client: client.models.retrieve("m"), to=LIBRARY.Response), MODELS, lambda got: got.json(), MODELS),
    "a page, parsed to text": (raw(complete("m"), to=str), Reply("hello", content_type="text/plain"), str, "hello"),
    "a completion, parsed to a dict": (raw(complete("m"), to=AS_DICT), ANSWER, dict, ANSWER),
}
# fmt: on


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_looks_like_a_failure_comes_through(
    asker: Asker, server: ScriptedServer, name: str
) -> None:
    """What the caller wants as a type of their own is theirs, and some servers send `error` with each answer."""
    wanted, body, show, due = ANSWERS[name]

    assert show(ask(asker, server, wanted, body)) == due
    # A list alone takes the key in a header that a redirect would carry to another origin.
    assert ("x-api-key" in server.requests[0].headers) == (body is MODELS)


def test_a_failure_says_how_it_came(server: ScriptedServer) -> None:
    """In the response, for who looks at it, whose own request id comes first; and in whole sentences."""
    refusal = envelope(401, "Unauthorized", requestId="r-1")
    failed = caught(server, complete("m"), refusal)
    assert (failed.request_id, failed.code, failed.body) == ("r-1", "401", refusal)
    assert failed.response.reason_phrase == "Reported with HTTP 200"
    assert str(failed) == "Error code: 401 - Unauthorized (AiToEarn code 401, request id r-1)"

    assert caught(server, complete("m"), Reply(refusal, headers={"X-Request-Id": "r-2"})).request_id == "r-2"
    assert ".." not in str(caught(server, complete("m"), Reply({"error": {"message": "No such key."}}, 401)))


WAITS = {
    "Too many requests, please try again after 7 seconds": "7",
    "Please try again after 1 second": "1",
    "请求过于频繁，请在12秒后重试": "12",
    "Too many requests": None,
}


@pytest.mark.parametrize("message", WAITS)
def test_a_stated_waiting_time_reaches_the_sdk(server: ScriptedServer, message: str) -> None:
    """As the header that the SDK obeys."""
    error = caught(server, complete("m"), envelope(10003, message))

    assert error.response.headers.get("Retry-After") == WAITS[message]


@pytest.mark.parametrize("code", [401, 12000, 19000])
@pytest.mark.parametrize(("here", "there"), [("cn", "ai"), ("ai", "cn")])
def test_a_refused_key_names_the_site(here: str, there: str, code: int) -> None:
    """The most common failure is a key of the other site."""
    body = envelope(code, "Unauthorized")
    transport = LIBRARY.MockTransport(lambda _: LIBRARY.Response(200, json=body))
    pool = openai.DefaultHttpxClient(transport=transport)
    with pytest.raises(openai.AuthenticationError) as raised:
        SYNC.run(complete("m"), base_url=f"https://aitoearn.{here}/api/ai", api_key="k", http_client=pool)

    sent = f"Unauthorized (AiToEarn code {code}). The key was sent to https://aitoearn.{here}, "
    assert sent in str(raised.value)
    assert str(raised.value).endswith(f"If that is https://aitoearn.{there}, set AITOEARN_SITE={there}.")


def test_a_list_that_is_not_there_is_a_wrong_address(server: ScriptedServer) -> None:
    """The hint says what was asked, and how AiToEarn's addresses end."""
    error = caught(server, list_models, {"code": 404, "message": "Cannot GET /models/chat"})

    assert f"The address asked was {server.base_url}/models/chat" in str(error)
    assert "its base URL ends in /api/ai." in str(error)


def test_a_byte_order_mark_hides_no_failure(server: ScriptedServer) -> None:
    """Neither with a status of its own nor without, nor where a hook of the caller's has read the text already."""
    marked = "\ufeff" + json.dumps(envelope(12001, "no credits"))
    for status in (200, 402):
        told = str(caught(server, list_models, Reply(marked, status)))
        assert "402 - no credits (AiToEarn code 12001)" in told

    server.answer(Reply(marked))
    read = [lambda response: response.read(), lambda response: response.text]
    pool = openai.DefaultHttpxClient(event_hooks={"response": read})
    with pytest.raises(openai.APIStatusError) as raised:
        SYNC.run(list_models, base_url=server.base_url, api_key="k", http_client=pool)
    assert raised.value.status_code == 402


def test_a_refusal_that_cannot_be_decoded_is_one_all_the_same(server: ScriptedServer) -> None:
    """Where the SDK would crash."""
    error = caught(server, list_models, Reply("no", 400, content_type="text/plain; charset=zlib"))

    assert (type(error), str(error), error.body) == (openai.BadRequestError, "Error code: 400", None)


@in_turns(
    "reply,words",
    [
        (Reply('data: {"code": 12001, "message": "no"}\n\n', content_type="text/event-stream"), "402 - no"),
        (Reply("<p>hello", content_type="text/html"), "Check the base URL"),
    ],
)
def test_a_failure_in_an_unread_stream_is_raised_when_it_is_read(
    asker: Asker, server: ScriptedServer, reply: Reply, words: str
) -> None:
    """`with_streaming_response` hands over the response unread, good or bad."""

    async def read(client: Any) -> Any:
        async with entered(stream("m")(client.with_streaming_response)) as response:
            assert not response.http_response.is_stream_consumed
            return [chunk async for chunk in each(await wait(response.parse()))]

    with pytest.raises(openai.APIError, match=words):
        ask(asker, server, read, reply)


@pytest.mark.parametrize("cast_to", [object, AS_DICT, ChatCompletion])
def test_a_failure_in_an_unread_response_is_raised_whatever_it_is_parsed_into(
    asker: Asker, server: ScriptedServer, cast_to: Any
) -> None:
    """By a path of the caller's own, too."""
    options = {"headers": {"X-Stainless-Raw-Response": "stream"}}

    async def wanted(client: Any) -> Any:
        return await wait((await wait(client.get("/x", cast_to=cast_to, options=options))).parse())

    with pytest.raises(openai.APIStatusError, match="402 - no credits"):
        ask(asker, server, wanted, envelope(12001, "no credits"))
