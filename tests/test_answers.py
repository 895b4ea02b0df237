"""Whole answers: each shape of a failure is raised with the server's words, and no right answer is refused."""

from __future__ import annotations

import json
import socket
import sys
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from threading import Event
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion

from conftest import MESSAGES, Asker, Reply, ScriptedServer, complete, list_models, raw, stream

pytestmark = pytest.mark.usefixtures("no_waiting")

ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}],
}


AS_DICT: Any = dict[str, object] if sys.version_info >= (3, 11) else object
"""On Python 3.10 the SDK itself cannot parse into the first."""


def ask(asker: Asker, server: ScriptedServer, wanted: Any, *replies: Reply, **arguments: Any) -> Any:
    server.answer(*replies)
    return asker.run(wanted, base_url=server.base_url, api_key="k", **{"max_retries": 0, **arguments})


def get(cast_to: Any, path: str = "/anything") -> Callable[[Any], Any]:
    return lambda client: client.get(path, cast_to=cast_to)


@pytest.mark.parametrize(
    "body",
    [
        {"error": "upstream broke"},
        {"object": "error", "message": "upstream broke", "code": 400},
        {"success": False, "message": "upstream broke"},
        {"base_resp": {"status_code": 1, "status_msg": "upstream broke"}},
        {"detail": "upstream broke"},
        {"id": "1", "choices": [], "success": False, "message": "upstream broke"},
        {"id": "1", "choices": [], "detail": "upstream broke"},
        {"choices": [], "code": 12301, "message": "upstream broke"},
        {"id": "1", "choices": None, "code": 12301, "message": "upstream broke"},
        {"code": 401, "msg": "upstream broke"},
        {"id": "1", "object": "chat.completion", "warning": "upstream broke"},
        ["upstream broke"],
    ],
)
@pytest.mark.parametrize("wrap", [lambda ask: ask, raw])
def test_a_failure_in_any_shape_keeps_the_servers_words(
    asker: Asker, server: ScriptedServer, body: Any, wrap: Callable[[Any], Any]
) -> None:
    """The message quotes them, and `body` holds what was sent."""
    with pytest.raises(openai.APIError, match="upstream broke") as caught:
        ask(asker, server, wrap(complete("m")), Reply(json.dumps(body)))

    assert caught.value.body == body


@pytest.mark.parametrize(
    ("error", "exception"),
    [
        ({"code": 502, "message": "provider died"}, openai.InternalServerError),
        ({"code": 429, "message": "provider died"}, openai.RateLimitError),
        ({"code": 12001, "message": "provider died"}, openai.APIStatusError),
        ({"code": "server_error", "message": "provider died"}, openai.InternalServerError),
        ("provider died", openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("finish_reason", ["error", "stop", None])
def test_a_failure_inside_a_choice_is_raised(
    asker: Asker, server: ScriptedServer, error: Any, exception: type, finish_reason: str | None
) -> None:
    """As gateways send it, with HTTP 200."""
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"content": ""}, "error": error}
    with pytest.raises(exception, match="provider died"):
        ask(asker, server, complete("m"), Reply({**ANSWER, "choices": [choice]}))


def test_a_failure_inside_a_choice_is_retried_where_that_is_worth_it(
    asker: Asker, server: ScriptedServer
) -> None:
    """A model that failed may answer the next time."""
    failed = {"index": 0, "finish_reason": "error", "message": {"role": "assistant", "content": ""}}
    answer = ask(
        asker, server, complete("m"), Reply({**ANSWER, "choices": [failed]}), Reply(ANSWER), max_retries=1
    )

    assert answer.choices[0].message.content == "hi"


@pytest.mark.parametrize("kind", ["completion", "stream"])
@pytest.mark.parametrize("finish_reason", ["error", "stop"])
@pytest.mark.parametrize("error", ["provider died", {"code": "server_error", "message": "provider died"}])
def test_an_error_beside_choices_is_raised(
    asker: Asker, server: ScriptedServer, error: Any, finish_reason: str, kind: str
) -> None:
    """In the words of the error, where no choice has anything; gateways send both when a model fails."""
    choice = {
        "index": 0,
        "finish_reason": finish_reason,
        "message": {"content": ""},
        "delta": {"content": ""},
    }
    body = {**ANSWER, "choices": [choice], "error": error}
    event = Reply(f"data: {json.dumps(body)}\n\n", content_type="text/event-stream")
    reply, wanted = {"completion": (Reply(body), complete), "stream": (event, stream)}[kind]
    with pytest.raises(openai.APIError, match="provider died"):
        ask(asker, server, wanted("m"), reply)


@pytest.mark.parametrize("error", [{}, {"code": None, "message": None}])
def test_an_error_in_a_choice_that_says_nothing_is_no_failure(
    asker: Asker, server: ScriptedServer, error: Any
) -> None:
    """Some servers have one in each choice."""
    choice = {**ANSWER["choices"][0], "error": error}  # type: ignore[index, dict-item]

    assert (
        ask(asker, server, complete("m"), Reply({**ANSWER, "choices": [choice]})).choices[0].message.content
        == "hi"
    )


@pytest.mark.parametrize("wrap", [lambda ask: ask, raw])
@pytest.mark.parametrize(
    "body",
    [
        {"error": "upstream broke"},
        {"detail": "upstream broke"},
        {"success": False, "message": "upstream broke"},
        {"created": 1, "data": [], "error": "upstream broke"},
        {"created": 1, "data": None, "message": "upstream broke"},
        {"created": 1, "data": [], "note": "upstream broke"},
        {"created": 1, "data": [{}], "note": "upstream broke"},
        {"created": 1, "data": [{"url": None, "error": {"message": "upstream broke"}}]},
    ],
)
def test_no_pictures_are_no_answer(
    asker: Asker, server: ScriptedServer, body: Any, wrap: Callable[[Any], Any]
) -> None:
    """The server's words are raised in their place."""
    with pytest.raises(openai.APIError, match="upstream broke"):
        ask(asker, server, wrap(lambda client: client.images.generate(model="m", prompt="cat")), Reply(body))


def test_some_pictures_are_an_answer(asker: Asker, server: ScriptedServer) -> None:
    """Beside one that failed, and where the server says that all is well."""
    made = [{"url": None, "error": {"message": "blocked"}}, {"b64_json": "aGk="}]
    body = Reply({"created": 1, "data": made, "code": 200, "message": "success"})
    answer = ask(asker, server, lambda client: client.images.generate(model="m", prompt="cat"), body)

    assert answer.data[1].b64_json == "aGk="


@pytest.mark.parametrize(
    "body", [{}, {"success": False, "message": "upstream broke"}, {"detail": "upstream broke"}]
)
@pytest.mark.parametrize(
    "wanted",
    [
        lambda client: client.embeddings.create(model="m", input="hi"),
        lambda client: client.embeddings.create(model="m", input="hi", encoding_format="float"),
        lambda client: client.moderations.create(input="hi"),
        lambda client: client.responses.create(model="m", input="hi"),
        lambda client: client.audio.transcriptions.create(model="m", file=("a.mp3", b"mp3")),
        lambda client: client.files.list(),
    ],
)
def test_an_object_without_any_field_of_its_type_is_no_answer(
    asker: Asker, server: ScriptedServer, wanted: Any, body: Any
) -> None:
    """At the endpoints too that the service lacks and others have."""
    with pytest.raises(openai.APIError, match="upstream broke" if body else "was expected"):
        ask(asker, server, wanted, Reply(body))


def test_a_type_of_the_callers_own_has_what_it_has(asker: Asker, server: ScriptedServer) -> None:
    """Its `choices` are its own affair."""

    class Mine(openai.BaseModel):
        choices: list[Any]

    ask_mine = lambda client: client.post("/x", body={}, cast_to=Mine)
    assert ask(asker, server, ask_mine, Reply({"choices": [{"name": "a"}]})).choices == [{"name": "a"}]


def test_an_object_may_have_a_code_of_its_own(asker: Asker, server: ScriptedServer) -> None:
    """The envelope of the service has neither `id` nor `object`."""
    voucher = {"id": "1", "object": "voucher", "code": 7}
    read_voucher = lambda client: client.get("/vouchers/1", cast_to=object)

    assert ask(asker, server, read_voucher, Reply(voucher)) == voucher


@pytest.mark.parametrize(
    "body", [{"object": "list", "has_more": False}, {"code": 200, "message": "success", "data": []}]
)
def test_an_empty_list_is_an_answer(asker: Asker, server: ScriptedServer, body: Any) -> None:
    """Also where the server leaves it out."""
    assert ask(asker, server, lambda client: client.files.list(), Reply(body)) is not None


def test_a_failure_says_how_it_came(asker: Asker, server: ScriptedServer) -> None:
    """In the response, for who looks at it; and in whole sentences."""
    server.answer(Reply({"data": {}, "code": 401, "message": "Unauthorized"}))
    with pytest.raises(openai.AuthenticationError) as failed:
        asker.run(complete("m"), base_url=server.base_url, api_key="k", max_retries=0)
    server.answer(Reply({"error": {"message": "No such key."}}, 401))
    with pytest.raises(openai.AuthenticationError, match="No such key") as refused:
        asker.run(complete("m"), base_url=server.base_url, api_key="k", max_retries=0)

    assert failed.value.response.reason_phrase == "Reported with HTTP 200"
    assert ".." not in str(refused.value)


def test_an_empty_header_of_the_callers_stays_empty(asker: Asker, server: ScriptedServer) -> None:
    """The key takes the place of one in the model lists alone."""
    ask(asker, server, complete("m", extra_headers={"X-Api-Key": ""}), Reply(ANSWER))

    assert server.requests[0].headers["x-api-key"] == ""


@pytest.mark.parametrize("choice", [{}, {"index": 0, "message": None, "finish_reason": "stop"}])
def test_a_choice_without_a_message_is_no_answer(asker: Asker, server: ScriptedServer, choice: Any) -> None:
    """The plain SDK gives a `message` that is None."""
    with pytest.raises(openai.APIResponseValidationError, match="where ChatCompletion was expected"):
        ask(asker, server, complete("m"), Reply({**ANSWER, "choices": [choice]}))


@pytest.mark.parametrize("reason", ["error", "network_error", "insufficient_system_resource", "abort"])
def test_a_finish_reason_of_a_failure_is_one(asker: Asker, server: ScriptedServer, reason: str) -> None:
    """As gateways, Zhipu, DeepSeek and vLLM have it; in one piece and streamed."""
    choice = {"index": 0, "finish_reason": reason, "message": {"content": ""}, "delta": {"content": ""}}
    body = {**ANSWER, "choices": [choice]}
    with pytest.raises(openai.InternalServerError, match=f"The model failed: finish_reason '{reason}'"):
        ask(asker, server, complete("m"), Reply(body))
    with pytest.raises(openai.APIError, match=f"The model failed: finish_reason '{reason}'"):
        ask(
            asker,
            server,
            stream("m"),
            Reply(f"data: {json.dumps(body)}\n\n", content_type="text/event-stream"),
        )


@pytest.mark.parametrize("kind", ["completion", "stream"])
@pytest.mark.parametrize(
    ("message", "content_type"),
    [
        ("choices", "application/json"),
        ('no "choices" came back', "application/json"),
        ("upstream is away", "text/plain"),
        ("upstream is away", "text/html"),
        ("upstream is away", "application/octet-stream"),
        ("upstream is away", None),
    ],
)
def test_an_envelope_is_retried_whatever_its_words_and_its_content_type(
    asker: Asker, server: ScriptedServer, message: str, content_type: str | None, kind: str
) -> None:
    """Its structure counts."""
    failed = Reply({"data": {"choices": None}, "code": 12301, "message": message}, content_type=content_type)
    event = json.dumps({**ANSWER, "choices": [{"index": 0, "delta": {"content": "hi"}}]})
    good = {
        "completion": Reply(ANSWER),
        "stream": Reply(f"data: {event}\n\ndata: [DONE]\n\n", content_type="text/event-stream"),
    }
    wanted = {"completion": complete, "stream": stream}[kind]("m")

    assert ask(asker, server, wanted, failed, good[kind], max_retries=1)
    assert len(server.requests) == 2


def test_a_tool_that_streams_does_not_make_the_request_a_stream(asker: Asker) -> None:
    """The word may stand anywhere in a schema; the top of the request says what is asked."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"stream": True}}}
    bodies = [{"data": {}, "code": 12301, "message": "m"}, ANSWER]
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        pool.submit(_answer_without_length, listener, bodies)
        base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        answer = asker.run(complete("m", tools=[tool]), base_url=base_url, api_key="k", max_retries=1)

    assert answer.choices[0].message.content == "hi"


def _answer_without_length(listener: socket.socket, bodies: list[Any]) -> None:
    for body in bodies:
        connection, _ = listener.accept()
        with connection:
            received = b""
            while not received.endswith(b"}"):
                received += connection.recv(65536)
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
            connection.sendall(head + json.dumps(body).encode())


@pytest.mark.parametrize("error", [None, {}, {"code": None, "message": None}])
def test_an_error_that_says_nothing_is_no_failure(asker: Asker, server: ScriptedServer, error: Any) -> None:
    """Some servers send the field with each answer."""
    answer = ask(asker, server, complete("m"), Reply({**ANSWER, "error": error}))
    assert answer.choices[0].message.content == "hi"

    assert ask(asker, server, get(object), Reply({"error": error})) == {"error": error}


def http_response_class() -> Any:
    return import_module(openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0]).Response


def test_an_answer_asked_for_as_it_is_stays_as_it_is(asker: Asker, server: ScriptedServer) -> None:
    """`cast_to=httpx.Response` is for what is no model at all."""
    response_class = http_response_class()
    for body in (
        {"error": {}},
        {"error": None},
        {"detail": "fine"},
        {"success": False},
        {"status": "failed"},
    ):
        response = ask(asker, server, get(response_class), Reply(body))
        assert response.json() == body
        assert response.status_code == 200


def test_a_raw_response_parses_into_whatever_the_caller_says(asker: Asker, server: ScriptedServer) -> None:
    """Of a completion and of one model."""
    response_class = http_response_class()
    models = Reply({"code": 0, "data": [{"name": "m"}]})
    wanted = raw(lambda client: client.models.retrieve("m"), to=response_class)
    assert isinstance(ask(asker, server, wanted, models), response_class)
    page = Reply("upstream says hello", content_type="text/plain")
    assert ask(asker, server, raw(complete("m"), to=str), page) == "upstream says hello"
    assert ask(asker, server, raw(complete("m"), to=AS_DICT), Reply(ANSWER)) == ANSWER


def test_a_failure_is_found_in_each_answer_to_an_upload_too(asker: Asker, server: ScriptedServer) -> None:
    """The files of an upload are not in memory, so the request cannot be looked into."""
    failed = Reply({"data": {}, "code": 12301, "message": "m"}, content_type="text/plain")
    edit = lambda client: client.images.edit(model="m", prompt="a cat", image=("a.png", b"png"))
    drawn = Reply({"created": 1, "data": [{"url": "https://example.com/a.png"}]})
    ask(asker, server, edit, failed, drawn, max_retries=1)

    assert len(server.requests) == 2


def test_strict_validation_is_the_sdks(asker: Asker, server: ScriptedServer) -> None:
    """Who wants answers validated is told what is wrong with them."""
    body = {**ANSWER, "created": "yesterday"}
    with pytest.raises(openai.APIResponseValidationError, match="invalid for expected schema"):
        ask(asker, server, complete("m"), Reply(body), _strict_response_validation=True)
    assert ask(asker, server, complete("m"), Reply(body)).created == "yesterday"


def test_a_type_of_the_callers_own_is_made_as_ever(asker: Asker, server: ScriptedServer) -> None:
    """Also one that extends the SDK's."""

    class Mine(ChatCompletion):
        cost: str = ""

    answer = ask(
        asker,
        server,
        lambda client: client.post(
            "/chat/completions", cast_to=Mine, body={"model": "m", "messages": MESSAGES}
        ),
        Reply({**ANSWER, "cost": "1"}),
    )

    assert (type(answer), answer.cost) == (Mine, "1")


@pytest.mark.parametrize("cast_to", [object, AS_DICT, ChatCompletion])
def test_a_failure_in_an_unread_response_is_raised_whatever_it_is_parsed_into(
    asker: Asker, server: ScriptedServer, cast_to: Any
) -> None:
    """By a path of the caller's own, too."""
    server.answer(Reply({"data": {}, "code": 12001, "message": "no credits"}))
    headers = {"X-Stainless-Raw-Response": "stream"}

    async def ask_async(client: Any) -> Any:
        response = await client.get("/x", cast_to=cast_to, options={"headers": headers})
        return await response.parse()

    def ask(client: Any) -> Any:
        return client.get("/x", cast_to=cast_to, options={"headers": headers}).parse()

    with pytest.raises(openai.APIStatusError, match="no credits") as caught:
        asker.run(ask_async if asker.is_async else ask, base_url=server.base_url, api_key="k", max_retries=0)
    assert caught.value.status_code == 402


@pytest.mark.parametrize("encoding", [None, "gzip"])
@pytest.mark.parametrize("content_type", ["text/plain", "text/event-stream", None])
def test_a_stream_is_not_waited_for_whatever_it_is_called(
    asker: Asker, content_type: str | None, encoding: str | None
) -> None:
    """Its first chunk is there before the server has sent the last."""
    go_on = Event()
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        pool.submit(_stream_slowly, listener, content_type, encoding, go_on)
        arguments = {"base_url": f"http://127.0.0.1:{listener.getsockname()[1]}", "api_key": "k"}

        async def ask_async(client: Any) -> int:
            got = 0
            async for _ in await stream("m")(client):
                got += 1
                go_on.set()
            return got

        def ask(client: Any) -> int:
            got = 0
            for _ in stream("m")(client):
                got += 1
                go_on.set()
            return got

        assert asker.run(ask_async if asker.is_async else ask, timeout=5, max_retries=0, **arguments) == 1


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
        body = {**ANSWER, "choices": [{"index": 0, "delta": {"content": "hi"}}]}
        compressor = zlib.compressobj(wbits=31)
        for event in (f"data: {json.dumps(body)}\n\n".encode(), b"data: [DONE]\n\n"):
            connection.sendall(
                compressor.compress(event) + compressor.flush(zlib.Z_SYNC_FLUSH) if encoding else event
            )
            if not go_on.wait(5):
                return


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        ({"error": "too fast", "code": 429}, openai.RateLimitError, "too fast"),
        ({"error": {"message": "no", "code": "rate_limit_exceeded"}}, openai.RateLimitError, "no"),
        ({"error": {"message": "no", "code": "429"}}, openai.RateLimitError, "no"),
        (
            {"error": {"message": "no", "code": None, "type": "server_error"}},
            openai.InternalServerError,
            "no",
        ),
        ({"error": {"message": "no", "code": ["odd"], "type": {}}}, openai.BadRequestError, "no"),
        ({"error": {"message": "no", "code": "odd", "type": "server_error"}}, openai.BadRequestError, "no"),
        ({"code": "invalid_api_key", "message": "no"}, openai.APIResponseValidationError, "no"),
        (
            {"choices": [{"finish_reason": "error", "native_finish_reason": "MALFORMED_FUNCTION_CALL"}]},
            openai.InternalServerError,
            "The model failed: finish_reason 'MALFORMED_FUNCTION_CALL'",
        ),
        (
            {"choices": [{"finish_reason": "error", "error": {"code": 403, "message": "flagged"}}]},
            openai.InternalServerError,
            "flagged",
        ),
    ],
)
def test_the_words_and_codes_of_gateways_are_understood(
    asker: Asker, server: ScriptedServer, body: Any, error: type[Exception], words: str
) -> None:
    """OpenAI's own codes are words; a choice has the provider's status."""
    with pytest.raises(error) as failed:
        ask(asker, server, complete("m"), Reply(body))

    # Where the words are all that the message has, openai 1.x and 2.x show the whole body.
    assert words in str(failed.value)
    assert f"{words}:" not in str(failed.value)
    assert "AiToEarn code" not in str(failed.value)


def test_a_list_that_is_not_there_is_a_wrong_address(asker: Asker, server: ScriptedServer) -> None:
    """A self-hosted server has one, so nothing is said of those."""
    with pytest.raises(openai.NotFoundError, match=r"AiToEarn's base URL ends in /api/ai\.$"):
        ask(asker, server, list_models, Reply({"code": 404, "message": "Cannot GET /models/chat"}))
