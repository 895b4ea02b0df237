"""Whole answers: a failure in any shape is raised in the server's words, and no right answer is refused.

What the fault matrix has is not here: these are the shapes that need another call, or another look at the outcome.
"""

from __future__ import annotations

import json
import socket
import sys
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from threading import Event
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion

from aitoearn_openai._sdk.exceptions import family_of
from conftest import (
    MESSAGES,
    Asker,
    Reply,
    ScriptedServer,
    complete,
    draw,
    in_turns,
    list_models,
    raw,
    stream,
)
from faults.runner import each, wait

pytestmark = pytest.mark.usefixtures("no_waiting")

CHOICE: Any = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}
ANSWER = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [CHOICE]}
EMPTY = {"index": 0, "finish_reason": "stop", "message": {"content": ""}, "delta": {"content": ""}}
AS_DICT: Any = dict[str, object] if sys.version_info >= (3, 11) else object
"""On Python 3.10 the SDK itself cannot parse into the first."""
RESPONSE: Any = family_of(openai.DefaultHttpxClient).Response


def sse(body: Any) -> Reply:
    return Reply(f"data: {json.dumps(body)}\n\n", content_type="text/event-stream")


def ask(asker: Asker, server: ScriptedServer, wanted: Any, *replies: Any, **arguments: Any) -> Any:
    server.answer(*(each if isinstance(each, Reply) else Reply(json.dumps(each)) for each in replies))
    return asker.run(wanted, base_url=server.base_url, api_key="k", **{"max_retries": 0, **arguments})


def get(cast_to: Any) -> Callable[[Any], Any]:
    return lambda client: client.get("/anything", cast_to=cast_to)


def edit(client: Any) -> Any:
    return client.images.edit(model="m", prompt="a cat", image=("a.png", b"png"))


class Extended(ChatCompletion):
    """A type of the caller's own that extends the SDK's."""

    cost: str = ""


class Mine(openai.BaseModel):
    """One whose `choices` are its own affair."""

    choices: list[Any]


OTHERS: list[Callable[[Any], Any]] = [
    lambda client: client.embeddings.create(model="m", input="hi"),
    lambda client: client.embeddings.create(model="m", input="hi", encoding_format="float"),
    lambda client: client.moderations.create(input="hi"),
    lambda client: client.responses.create(model="m", input="hi"),
    lambda client: client.audio.transcriptions.create(model="m", file=("a.mp3", b"mp3")),
    lambda client: client.files.list(),
]
"""Endpoints that the service lacks and others have."""

# fmt: off
BROKE, DIED = "upstream broke", {"message": "upstream broke"}
INVALID, INTERNAL = openai.APIResponseValidationError, openai.InternalServerError
FAILURES: list[tuple[Any, Any, type[Exception], str]] = [
    *((wrap(complete("m")), body, error, BROKE) for wrap in (lambda ask: ask, raw) for body, error in [
        ({"choices": [], "code": 12301, **DIED}, INTERNAL),
        ({"id": "1", "choices": None, "code": 12301, **DIED}, INTERNAL),
        ({"code": 401, "msg": BROKE}, openai.AuthenticationError),
        ({"id": "1", "choices": [], "success": False, **DIED}, INVALID),
        ({"id": "1", "object": "chat.completion", "warning": BROKE}, INVALID),
        ([BROKE], INVALID),
    ]),
    # OpenAI's own codes are words; a choice has the provider's status, which is not the caller's.
    (complete("m"), {"error": BROKE, "code": 429}, openai.RateLimitError, BROKE),
    (complete("m"), {"error": {**DIED, "code": "rate_limit_exceeded"}}, openai.RateLimitError, BROKE),
    (complete("m"), {"error": {**DIED, "code": "429"}}, openai.RateLimitError, BROKE),
    (complete("m"), {"error": {**DIED, "code": None, "type": "server_error"}}, INTERNAL, BROKE),
    (complete("m"), {"error": {**DIED, "code": ["odd"], "type": {}}}, openai.BadRequestError, BROKE),
    (complete("m"), {"error": {**DIED, "code": "odd", "type": "server_error"}}, openai.BadRequestError, BROKE),
    (complete("m"), {"code": "invalid_api_key", **DIED}, INVALID, BROKE),
    *((complete("m"), {**ANSWER, "choices": [{**EMPTY, "finish_reason": reason, "error": error}]}, INTERNAL, BROKE)
      for reason in ("stop", None) for error in (BROKE, {**DIED, "code": 12001}, {**DIED, "code": "server_error"})),
    (complete("m"), {"choices": [{"finish_reason": "error", "error": {**DIED, "code": 403}}]}, INTERNAL, BROKE),
    (complete("m"), {"choices": [{"finish_reason": "error", "native_finish_reason": "MALFORMED_FUNCTION_CALL"}]},
     INTERNAL, "The model failed: finish_reason 'MALFORMED_FUNCTION_CALL'."),
    # An error beside choices that have nothing.
    *((wanted("m"), reply({**ANSWER, "choices": [EMPTY], "error": error}), openai.APIError, BROKE)
      for wanted, reply in ((complete, Reply), (stream, sse)) for error in (BROKE, {**DIED, "code": "server_error"})),
    *((complete("m"), {**ANSWER, "choices": [choice]}, INVALID, "where ChatCompletion was expected")
      for choice in ({}, {"index": 0, "message": None, "finish_reason": "stop"})),
    # No pictures are no answer.
    *((wrap(draw("m")), body, openai.APIError, BROKE) for wrap in (lambda ask: ask, raw) for body in [
        {"error": BROKE},
        {"detail": BROKE},
        {"success": False, **DIED},
        {"created": 1, "data": [], "error": BROKE},
        {"created": 1, "data": None, **DIED},
        {"created": 1, "data": [], "note": BROKE},
        {"created": 1, "data": [{}], "note": BROKE},
        {"created": 1, "data": [{"url": None, "error": DIED}]},
    ]),
    # An object without any field of its type.
    *((wanted, body, openai.APIError, BROKE if body else "was expected")
      for wanted, body in product(OTHERS, [{}, {"success": False, **DIED}, {"detail": BROKE}, [BROKE]])),
    *((wanted, {"code": 404, **DIED}, openai.NotFoundError, BROKE) for wanted in OTHERS),
    (edit, {"data": {}, "code": 12001, "message": BROKE}, openai.APIStatusError, BROKE),  # An upload is not in memory.
]


@in_turns("wanted,body,error,words", FAILURES)
def test_a_failure_in_any_shape_is_raised_in_the_servers_words(
    asker: Asker, server: ScriptedServer, wanted: Any, body: Any, error: type[Exception], words: str
) -> None:
    """The message quotes them; of a code that is not AiToEarn's it says nothing."""
    with pytest.raises(error) as failed:
        ask(asker, server, wanted, body)

    # Where the words are all that the message has, openai 1.x and 2.x show the whole body.
    assert words in str(failed.value)
    assert f"{BROKE}:" not in str(failed.value)
    assert ("AiToEarn code" in str(failed.value)) == (wanted is edit or error is openai.NotFoundError)


PICTURES = [{"url": None, "error": {"message": "blocked"}}, {"b64_json": "aGk="}]
VOUCHER = {"id": "1", "object": "voucher", "code": 7}
POST: Any = {"path": "/chat/completions", "body": {"model": "m", "messages": MESSAGES}}
MODELS = {"code": 0, "data": [{"name": "m"}]}
ANSWERS: dict[str, tuple[Any, Any, Callable[[Any], Any], Any]] = {
    "an error of nulls": (
        complete("m"), {**ANSWER, "error": {"code": None, "message": None}}, lambda got: got.choices[0].message.content, "hi"),
    **{f"{error} as the error of a choice": (
        complete("m"), {**ANSWER, "choices": [{**CHOICE, "error": error}]}, lambda got: got.choices[0].message.content, "hi")
       for error in ({}, {"code": None, "message": None})},
    "pictures, one of which failed": (
        draw("m"), {"created": 1, "data": PICTURES, "code": 200, "message": "success"}, lambda got: got.data[1].b64_json, "aGk="),
    "choices of a type of one's own": (
        lambda client: client.post("/x", body={}, cast_to=Mine), {"choices": [{"name": "a"}]}, lambda got: got.choices, [{"name": "a"}]),
    "a type that extends the SDK's": (
        lambda client: client.post(**POST, cast_to=Extended), {**ANSWER, "cost": "1"}, lambda got: (type(got), got.cost), (Extended, "1")),
    "a type without fields": (get(openai.BaseModel), {"a": 1}, lambda got: got.to_dict(), {"a": 1}),
    "an object with a code of its own": (get(object), VOUCHER, dict, VOUCHER),
    "a list left out": (OTHERS[-1], {"object": "list", "has_more": False}, lambda got: got.has_more, False),
    "an empty list and success": (OTHERS[-1], {"code": 200, "message": "success", "data": []}, lambda got: got.data, []),
    **{f"{body} as an HTTP response": (get(RESPONSE), body, lambda got: (got.json(), got.status_code), (body, 200))
       for body in ({"error": {}}, {"error": None}, {"error": {"message": "mine"}, "id": "1"}, {"detail": "x"}, {"success": False})},
    "one model, parsed to a response": (
        raw(lambda client: client.models.retrieve("m"), to=RESPONSE), MODELS, lambda got: got.json(), MODELS),
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


def test_a_failure_inside_a_choice_is_retried(asker: Asker, server: ScriptedServer) -> None:
    """A model that failed may answer the next time."""
    failed = {**ANSWER, "choices": [{**EMPTY, "finish_reason": "error"}]}

    assert ask(asker, server, complete("m"), failed, ANSWER, max_retries=1).choices[0].message.content == "hi"


GOOD_CHUNK = f"data: {json.dumps({**ANSWER, 'choices': [{'index': 0, 'delta': {'content': 'hi'}}]})}\n\n"
GOOD: list[tuple[Any, Reply]] = [
    (complete("m"), Reply(ANSWER)),
    (stream("m"), Reply(f"{GOOD_CHUNK}data: [DONE]\n\n", content_type="text/event-stream")),
    (edit, Reply({"created": 1, "data": [{"url": "https://example.com/a.png"}]})),
    (list_models, Reply(MODELS)),
]


@in_turns("content_type,good", product(["application/json", "text/plain", "text/html", "x/y", None], GOOD))
def test_an_envelope_is_retried_whatever_its_words_and_its_content_type(
    asker: Asker, server: ScriptedServer, content_type: str | None, good: tuple[Any, Reply]
) -> None:
    """Its structure counts."""
    failed = {"data": {"choices": None}, "code": 12301, "message": 'no "choices" came back'}

    assert ask(asker, server, good[0], Reply(failed, content_type=content_type), good[1], max_retries=1)
    assert len(server.requests) == 2


def test_a_failure_says_how_it_came(asker: Asker, server: ScriptedServer) -> None:
    """In the response, for who looks at it, whose own request id comes first; and in whole sentences."""
    refusal = {"data": {}, "code": 401, "message": "Unauthorized", "requestId": "r-1"}
    with pytest.raises(openai.AuthenticationError) as failed:
        ask(asker, server, complete("m"), Reply(refusal, headers={"X-Request-Id": "r-2"}))
    with pytest.raises(openai.AuthenticationError, match="No such key") as refused:
        ask(asker, server, complete("m"), Reply({"error": {"message": "No such key."}}, 401))

    assert (failed.value.request_id, failed.value.code) == ("r-2", "401")
    assert failed.value.response.reason_phrase == "Reported with HTTP 200"
    assert ".." not in str(refused.value)


def test_a_list_that_is_not_there_is_a_wrong_address(asker: Asker, server: ScriptedServer) -> None:
    """A self-hosted server has one, so nothing is said of those."""
    with pytest.raises(openai.NotFoundError, match=r"AiToEarn's base URL ends in /api/ai\.$"):
        ask(asker, server, list_models, {"code": 404, "message": "Cannot GET /models/chat"})


def test_an_empty_header_of_the_callers_stays_empty(asker: Asker, server: ScriptedServer) -> None:
    """The key takes the place of one in the model lists alone."""
    ask(asker, server, complete("m", extra_headers={"X-Api-Key": ""}), ANSWER)

    assert server.requests[0].headers["x-api-key"] == ""


@pytest.mark.parametrize("cast_to", [object, AS_DICT, ChatCompletion])
def test_a_failure_in_an_unread_response_is_raised_whatever_it_is_parsed_into(
    asker: Asker, server: ScriptedServer, cast_to: Any
) -> None:
    """By a path of the caller's own, too."""
    options = {"headers": {"X-Stainless-Raw-Response": "stream"}}

    async def wanted(client: Any) -> Any:
        return await wait((await wait(client.get("/x", cast_to=cast_to, options=options))).parse())

    with pytest.raises(openai.APIStatusError, match="no credits") as caught:
        ask(asker, server, wanted, {"data": {}, "code": 12001, "message": "no credits"})
    assert caught.value.status_code == 402


@in_turns("content_type,encoding", product(["text/plain", "text/event-stream", None], [None, "gzip"]))
def test_a_stream_is_not_waited_for_whatever_it_is_called(
    asker: Asker, content_type: str | None, encoding: str | None
) -> None:
    """Its first chunk is there before the server has sent the last."""
    go_on = Event()

    async def asked(client: Any) -> list[Any]:
        return [go_on.set() async for _ in each(await wait(stream("m")(client)))]

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        pool.submit(_stream_slowly, listener, content_type, encoding, go_on)
        where: Any = {"base_url": f"http://127.0.0.1:{listener.getsockname()[1]}", "api_key": "k"}
        got = asker.run(asked, timeout=5, max_retries=0, **where)

    assert len(got) == 1


def _stream_slowly(
    listener: socket.socket, content_type: str | None, encoding: str | None, go_on: Event
) -> None:
    connection, _ = listener.accept()
    with connection:
        received = b""
        while not received.endswith(b"}"):
            received += connection.recv(65536)
        head = "HTTP/1.1 200 OK\r\nConnection: close\r\n"
        head += f"Content-Type: {content_type}\r\n" if content_type else ""
        head += f"Content-Encoding: {encoding}\r\n" if encoding else ""
        connection.sendall(f"{head}\r\n".encode())
        compressor = zlib.compressobj(wbits=31)
        for event in (GOOD_CHUNK.encode(), b"data: [DONE]\n\n"):
            packed = compressor.compress(event) + compressor.flush(zlib.Z_SYNC_FLUSH)
            connection.sendall(packed if encoding else event)
            if not go_on.wait(5):
                return
