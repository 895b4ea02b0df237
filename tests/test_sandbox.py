"""The sandbox, over real sockets."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import logging
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from aitoearn_openai import sandbox
from aitoearn_openai._errors import CODES as KNOWN, failure_in
from aitoearn_openai._models import ChatModel
from aitoearn_openai.sandbox import FAILURES, Sandbox

CHAT = "/chat/completions"
LIST = "/models/chat"
HELLO: list[Any] = [{"role": "user", "content": "Hello there"}]
REQUEST: dict[str, Any] = {"model": "glm-5.2", "messages": HELLO}
TOLD = "This is the AiToEarn sandbox; no model read your message. You said: "
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "now"}},
    {"type": "function", "function": {"name": "weather", "parameters": WEATHER}},
]
CODES = [name for name in FAILURES if name.startswith("fail-1") or name[5:].isdecimal()]


@pytest.fixture(scope="module")
def client(site: Sandbox) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=site.base_url, api_key=site.api_key, max_retries=0) as plain:
        yield plain


def send(
    site: Sandbox,
    path: str,
    body: Any = None,
    *,
    method: str | None = None,
    key: str | None = "sandbox",
    **headers: str,
) -> tuple[http.client.HTTPMessage, bytes]:
    """Headers and body of the answer, whose status is 200 in all that the service says; an object goes out as JSON."""
    address = urlsplit(site.base_url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=10)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if key is not None:
        sent["Authorization"] = f"Bearer {key}"
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    with contextlib.closing(connection):
        connection.request(method or ("GET" if body is None else "POST"), address.path + path, content, sent)
        response = connection.getresponse()
        assert response.status == 200
        try:
            return response.headers, response.read()
        except http.client.IncompleteRead as cut:
            return response.headers, cut.partial + b"<cut>"


def ask(site: Sandbox, path: str = CHAT, body: Any = REQUEST, **more: Any) -> Any:
    """The JSON that answers; `more` are headers, or a `key` of another kind."""
    return json.loads(send(site, path, body, **more)[1])


def complete(site: Sandbox, model: Any = "glm-5.2", **fields: Any) -> Any:
    """The JSON that answers a request for a chat completion with these fields."""
    return ask(site, body={**REQUEST, "model": model, **fields})


# --- running it


def test_whoever_starts_it_gets_an_address_a_key_and_settings(
    site: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings lead to this sandbox with its own key, whatever key the environment holds."""
    monkeypatch.setenv("AITOEARN_API_KEY", "a-real-key")
    assert site.base_url.startswith("http://127.0.0.1:")
    assert site.settings.base_url == site.base_url
    assert site.settings.api_key is not None
    assert site.settings.api_key.get_secret_value() == site.api_key == "sandbox"


def test_whoever_asks_for_a_taken_port_is_told_which(site: Sandbox) -> None:
    """The error names the port."""
    port = urlsplit(site.base_url).port or 0
    with pytest.raises(OSError, match=f"port {port} "), sandbox.serve(port):
        pass


def test_several_can_run_at_once_until_their_with_block_ends() -> None:
    """Each has its own port; nothing listens any more after an error in the body."""
    with contextlib.suppress(KeyError), sandbox.serve() as one, sandbox.serve() as other:
        assert one != other
        assert complete(one) == complete(other)
        raise KeyError
    with pytest.raises(ConnectionRefusedError):
        complete(one)


def test_a_client_that_goes_away_leaves_no_trace(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a request cut short nor a stream cut short is logged, even at the level of DEBUG."""
    caplog.set_level(logging.DEBUG)
    with sandbox.serve() as site:
        address = urlsplit(site.base_url)
        with socket.create_connection((str(address.hostname), address.port or 0)) as leaving:
            leaving.sendall(
                f"POST {address.path}{CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{{".encode()
            )
        send(site, CHAT, {"model": "fail-stream-cut", "messages": HELLO, "stream": True})
        send(site, LIST)
    assert [record for record in caplog.records if record.name.startswith(("uvicorn", "asyncio"))] == []
    assert capfd.readouterr() == ("", "")


def test_who_waits_for_an_answer_makes_no_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many connections there are, the sandbox answers who has its key."""
    monkeypatch.setattr("aitoearn_openai._serving.MAX_IDLE", 5)
    monkeypatch.setattr("aitoearn_openai.sandbox._app.SLOW_SECONDS", 0.3)
    body = json.dumps({"model": "slow-first-byte", "messages": HELLO})
    with sandbox.serve() as site, contextlib.ExitStack() as stack:
        address = urlsplit(site.base_url)
        waiting = stack.enter_context(socket.create_connection((str(address.hostname), address.port or 0)))
        head = f"POST {address.path}{CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sandbox\r\n"
        waiting.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        ask(site, LIST, None)  # Then the sandbox has read what came before.
        for _ in range(20):
            stack.enter_context(socket.create_connection((str(address.hostname), address.port or 0)))
        assert waiting.recv(15) == b"HTTP/1.1 200 OK"


def test_another_server_of_the_process_keeps_its_log(caplog: pytest.LogCaptureFixture) -> None:
    """The loggers of uvicorn belong to the process, and only the sandbox's own records are dropped."""
    with sandbox.serve():
        logging.getLogger("uvicorn.error").error("from another server")
    assert "from another server" in caplog.text


# --- the model list


def test_the_model_list_is_public(site: Sandbox) -> None:
    """It answers without a key, in the envelope of the service; a wrong one in `X-Api-Key` is refused."""
    headers, content = send(site, LIST, key=None)
    body = json.loads(content)
    assert (body["code"], body["message"]) == (0, "请求成功")
    assert body["requestId"] == headers["X-Request-Id"]
    assert [ask(site, LIST, None, key=None, X_Api_Key=key)["code"] for key in ("sandbox", "wrong")] == [
        0,
        401,
    ]


def test_the_package_reads_every_model_of_the_list(site: Sandbox) -> None:
    """All shapes of the contract are there, and each is one that `ChatModel` knows."""
    entries = ask(site, LIST, None)["data"]
    models = [ChatModel.model_validate(entry) for entry in entries]
    pricings = [model.pricing for model in models if model.pricing]
    assert len({model.id for model in models}) == len(entries) >= 11
    assert {"openai", "deepseek", "anthropic", "gemini"} < {model.owned_by for model in models}
    assert any(pricing.origin_pricing for pricing in pricings)
    assert any(pricing.price and pricing.origin_price for pricing in pricings)
    assert any(pricing.price and not pricing.origin_price for pricing in pricings)
    assert any(not pricing.price and not pricing.tiers for pricing in pricings)
    assert any("Sale" in model.tags for model in models if not model.pricing)
    assert {str(entry.get("fixedImagePricing", "absent"))[:2] for entry in entries} == {"[{", "[]", "ab"}


# --- answers


def test_an_answer_says_that_no_model_read_the_message(site: Sandbox, client: openai.OpenAI) -> None:
    """It echoes the last message of the user, and has the fields that the service adds to OpenAI's."""
    messages: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Look:"}, {"type": "image_url", "image_url": {}}],
        },
        {"role": "assistant", "content": None, "tool_calls": []},
    ]
    chat = client.chat.completions.create(model="glm-5.2", messages=messages)
    assert chat.choices[0].message.content == f"{TOLD}Look:"
    assert chat.choices[0].finish_reason == "stop"
    assert chat.object == "chat.completion"
    assert chat.usage is not None
    assert chat.usage.prompt_tokens == 3 + 2 + 85
    raw = complete(site, messages=messages)
    assert raw["usage"]["prompt_tokens_details"] is None
    message = raw["choices"][0]["message"]
    assert (message["name"], message["tool_calls"]) == (None, [])
    assert "reasoning_content" not in message


def test_models_differ_as_those_of_the_service_do(site: Sandbox) -> None:
    """A `cost` of 0 for a call that has a price, and none for some; DeepSeek counts its cache in fields of its own."""
    assert complete(site)["cost"] == "0"
    assert "cost" not in complete(site, "gpt-5.2")
    told = complete(site, "deepseek-v4")["usage"]
    assert (told["prompt_cache_hit_tokens"], told["prompt_cache_miss_tokens"]) == (0, told["prompt_tokens"])


def test_the_same_request_gets_the_same_answer(site: Sandbox) -> None:
    """Id and time included; another request has another id."""
    assert complete(site) == complete(site)
    assert complete(site)["id"] != complete(site, n=2)["id"]


def test_images_take_the_names_of_their_list(site: Sandbox) -> None:
    """And no others, not even those of the chat list."""
    for path, endpoint in (("generation", "/images/generations"), ("edit", "/images/edits")):
        names = [entry["name"] for entry in ask(site, f"/models/image/{path}", None)["data"]]
        for name, code in [*((name, None) for name in names), ("glm-5.2", 12300)]:
            assert ask(site, endpoint, {"model": name, "prompt": "a cat"}).get("code") == code


def test_a_reasoning_model_shows_its_reasoning(client: openai.OpenAI) -> None:
    """In a stream it comes before the content; the limit of tokens counts it. Two chunks at the end have no choice."""
    chat = client.chat.completions.create(model="deepseek-v4", messages=HELLO)
    reasoning = getattr(chat.choices[0].message, "reasoning_content", None)
    assert reasoning
    chunks = list(client.chat.completions.create(model="deepseek-v4", messages=HELLO, stream=True))
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    pieces = [getattr(delta, "reasoning_content", None) for delta in deltas]
    assert "".join(filter(None, pieces)) == reasoning
    assert not any(delta.content for delta, piece in zip(deltas, pieces, strict=True) if piece)
    *_, counted, charged = chunks
    assert (counted.choices, charged.choices) == ([], [])
    assert counted.usage
    assert getattr(charged, "cost", None) == "0"
    short = client.chat.completions.create(model="deepseek-v4", messages=HELLO, max_tokens=3)
    assert short.choices[0].message.content == ""
    assert short.choices[0].finish_reason == "length"
    assert short.usage is not None
    assert short.usage.completion_tokens == 3


def test_a_stream_says_the_same_as_a_whole_answer(client: openai.OpenAI) -> None:
    """Each choice comes in several chunks, and the last chunk has the usage if it was asked for."""
    messages: list[Any] = [{"role": "user", "content": "你好，  世界 and\n\neverybody\n"}]
    whole = client.chat.completions.create(model="glm-5.2", messages=messages, n=2)
    chunks = list(
        client.chat.completions.create(
            model="glm-5.2", messages=messages, n=2, stream=True, stream_options={"include_usage": True}
        )
    )
    for choice in whole.choices:
        mine = [c.choices[0] for c in chunks if c.choices and c.choices[0].index == choice.index]
        assert len(mine) > 5
        assert (mine[0].delta.role, mine[0].delta.content) == ("assistant", "")
        assert "".join(part.delta.content or "" for part in mine) == choice.message.content
        assert [part.finish_reason for part in mine if part.finish_reason] == ["stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert getattr(chunks[-1], "cost", None) == getattr(whole, "cost", None)
    assert {chunk.usage for chunk in chunks[:-1]} == {None}
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}


def test_a_stream_without_usage_has_no_such_field(site: Sandbox) -> None:
    """As OpenAI does; and it ends in `[DONE]`."""
    content = send(site, CHAT, {**REQUEST, "stream": True})[1]
    assert b"usage" not in content
    assert content.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("limits", "content"),
    [
        # Four bytes are a token.
        ({"max_tokens": 2}, "This is "),
        ({"max_completion_tokens": 2}, "This is "),
        ({"stop": "AiTo"}, "This is the "),
        ({"stop": ["never", "AiTo", "", 7]}, "This is the "),
    ],
)
def test_an_answer_stops_at_its_limit(site: Sandbox, limits: dict[str, Any], content: str) -> None:
    """Of tokens, with the reason `length`, or before a stop string."""
    chat = complete(site, **limits)
    assert chat["choices"][0]["message"]["content"] == content
    assert (chat["choices"][0]["finish_reason"] == "length") == ("stop" not in limits)
    assert chat["usage"]["completion_tokens"] == (3 if "stop" in limits else 2)


@pytest.mark.parametrize(
    ("choice", "name", "arguments"),
    [
        ({"type": "function", "function": {"name": "weather"}}, "weather", {"city": "sandbox"}),
        ("required", "now", {}),
    ],
)
def test_a_forced_tool_is_called(client: openai.OpenAI, choice: Any, name: str, arguments: Any) -> None:
    """The arguments fit its schema, and a stream brings them in pieces after id and name."""
    chat = client.chat.completions.create(model="glm-5.2", messages=HELLO, tools=TOOLS, tool_choice=choice)
    message = chat.choices[0].message
    assert message.content is None
    assert chat.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls is not None
    call: Any = message.tool_calls[0]
    assert call.function.name == name
    assert json.loads(call.function.arguments) == arguments
    stream = client.chat.completions.create(
        model="glm-5.2", messages=HELLO, tools=TOOLS, tool_choice=choice, stream=True
    )
    first, *rest = [tool for c in stream for tool in c.choices[0].delta.tool_calls or []]
    assert first.id
    assert first.function is not None
    assert first.function.name == name
    assert not any(piece.id for piece in rest)
    assert (
        json.loads("".join(piece.function.arguments or "" for piece in rest if piece.function)) == arguments
    )


def test_a_tool_that_is_not_forced_is_not_called(site: Sandbox) -> None:
    """The answer is text."""
    for choice in (None, "auto", "none", {"type": "allowed_tools"}, 7):
        assert complete(site, tools=TOOLS, tool_choice=choice)["choices"][0]["finish_reason"] == "stop"


def test_whoever_forces_a_tool_that_is_not_there_is_told(site: Sandbox) -> None:
    """The failure names `tool_choice`."""
    choice = {"type": "function", "function": {"name": "weather"}}
    for tools in (None, [], [7, {"type": "custom"}], TOOLS[:1]):
        refusal = complete(site, tools=tools, tool_choice=choice)
        assert (refusal["code"], "tool_choice" in refusal["message"]) == (400, True)


def test_whoever_wants_text_or_a_json_object_gets_it(site: Sandbox) -> None:
    """The object holds the usual text."""
    text, made = (
        complete(site, response_format={"type": kind})["choices"][0]["message"]["content"]
        for kind in ("text", "json_object")
    )
    assert (text, json.loads(made)) == (f"{TOLD}Hello there", {"answer": f"{TOLD}Hello there"})


@pytest.mark.parametrize("kind", ["generations", "edits"])
def test_pictures_come_as_valid_png(client: openai.OpenAI, kind: str) -> None:
    """As many as were asked for, from a form too."""
    pixel = b"\x89PNG\r\n\x1a\n"
    if kind == "edits":
        files: Any = ("a.png", pixel, "image/png")
        answer = client.images.edit(model="gpt-image-2", prompt="a cat", image=files, n=2)
    else:
        answer = client.images.generate(model="gpt-image-2", prompt="a cat", n=2)
    assert answer.data is not None
    assert len(answer.data) == 2
    assert base64.b64decode(answer.data[0].b64_json or "").startswith(pixel)


# --- refusals


@pytest.mark.parametrize(
    ("path", "authorization"),
    [
        (CHAT, "Bearer wrong"),
        (CHAT, "Basic sandbox"),
        (CHAT, "Bearer slow-first-byte"),
        ("/images/generations", ""),
        ("/images/edits", "Bearer wrong"),
    ],
)
def test_a_wrong_key_is_refused_as_the_service_does(site: Sandbox, path: str, authorization: str) -> None:
    """HTTP 200 and the envelope with the code 401; only a bearer counts."""
    body = ask(site, path, key=None, Authorization=authorization)
    assert isinstance(body.pop("timestamp"), int)
    assert body.pop("requestId")
    assert body == {"data": {}, "code": 401, "message": "Unauthorized"}


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/responses"), ("POST", f"{CHAT}/"), ("GET", "/models"), ("GET", CHAT)]
)
def test_a_path_that_the_service_lacks_is_refused(site: Sandbox, method: str, path: str) -> None:
    """The message names method and path."""
    refusal = ask(site, path, None, method=method)
    assert (refusal["code"], refusal["message"]) == (404, f"Cannot {method} /api/ai{path}")


def test_an_unknown_model_is_refused(site: Sandbox) -> None:
    """The message names it."""
    refusal = complete(site, "gpt-1")
    assert (refusal["code"], refusal["message"]) == (12300, "Model not found: gpt-1")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"not json", "body"),
        (b"\xff", "body"),
        (b"[]", "body"),
        (b"[" * 100000, "body"),
        ({"messages": HELLO}, "model"),
        ({"messages": HELLO, "model": ""}, "model"),
        ({"messages": HELLO, "model": ["glm-5.2"]}, "model"),
        ({"model": "glm-5.2"}, "messages"),
        ({"model": "glm-5.2", "messages": []}, "messages"),
        ({"model": "glm-5.2", "messages": "Hi"}, "messages"),
        ({"model": "glm-5.2", "messages": [None]}, "messages.0.role"),
        ({"model": "glm-5.2", "messages": [*HELLO, {"content": "Hi"}]}, "messages.1.role"),
        ({"model": "glm-5.2", "messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
        ({**REQUEST, "stream": "yes"}, "stream"),
        ({**REQUEST, "n": 0}, "n"),
        ({**REQUEST, "max_tokens": "9"}, "max_tokens"),
    ],
)
def test_whoever_sends_a_bad_request_is_told_which_field(site: Sandbox, body: Any, field: str) -> None:
    """The code is 400 and the message begins with the field."""
    refusal = ask(site, body=body)
    assert refusal["code"] == 400
    assert refusal["message"].removeprefix("the ").startswith(f"{field} ")


@pytest.mark.parametrize(
    "field",
    ["model", "messages", "stop", "n", "tools", "tool_choice", "stream", "stream_options", "response_format"],
)
def test_no_value_of_an_odd_type_breaks_it(site: Sandbox, field: str) -> None:
    """It answers or refuses, with HTTP 200."""
    for odd in (None, 7, 1e999, "\ud800", [], {}, [None], {"function": 7}, True):
        send(site, CHAT, {**REQUEST, field: odd})


@pytest.mark.parametrize(
    ("content_type", "body", "code"),
    [
        ("multipart/form-data; boundary=x", b"", 400),
        ("multipart/form-data", b"--x\r\n\r\n", 400),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\ngpt-1\r\n--x--\r\n',
            12300,
        ),
        ("application/json", b'{"model": "gpt-image-2"}', 400),
    ],
)
def test_whoever_sends_a_bad_form_is_told(site: Sandbox, content_type: str, body: bytes, code: int) -> None:
    """Forms are read as far as they go."""
    assert ask(site, "/images/edits", body, Content_Type=content_type)["code"] == code


def test_a_request_id_comes_back(site: Sandbox) -> None:
    """As a header of every answer, and in the envelope of a refusal."""
    for body in ({**REQUEST, "stream": True}, {}):
        headers, content = send(site, CHAT, body, X_Request_Id="mine")
        assert headers["X-Request-Id"] == "mine"
        assert body or json.loads(content)["requestId"] == "mine"


# --- failing on purpose


def test_every_code_that_the_package_knows_has_a_name() -> None:
    """The table of names keeps up with the table of codes."""
    assert {f"fail-{code}" for code in KNOWN} < set(FAILURES)


@pytest.mark.parametrize("name", [*CODES, "fail-424242"])
def test_a_model_that_fails_answers_its_code(site: Sandbox, name: str) -> None:
    """The envelope comes whether a stream was asked for or not, and for pictures too."""
    for path, stream in ((CHAT, True), (CHAT, False), ("/images/generations", False)):
        failure = failure_in(ask(site, path, {**REQUEST, "model": name, "prompt": "a cat", "stream": stream}))
        assert failure is not None
        assert failure.code == int(name.split("-")[1])
        assert failure.retry_after == (1 if failure.code == 10003 else None)


@pytest.mark.parametrize("name", ["fail-401", "fail-12001", "fail-html", "fail-once-10003"])
def test_a_key_that_fails_is_refused_everywhere(site: Sandbox, name: str) -> None:
    """The model list included, in whichever header the key comes; a page is HTML, as from a captive portal."""
    for headers, content in (
        send(site, LIST, key=name),
        send(site, LIST, key=None, X_Api_Key=name),
        send(site, CHAT, {**REQUEST, "stream": True}, key=name),
        send(site, "/images/edits", {"model": "glm-5.2", "prompt": "a cat"}, key=name),
        send(site, CHAT, {**REQUEST, "model": name, "n": 2}),
    ):
        if name == "fail-html":
            assert headers["Content-Type"].startswith("text/html")
            assert b"<html>" in content
        else:
            assert json.loads(content)["code"] == int(name.rpartition("-")[2])


def test_a_failure_that_happens_once_is_over_at_the_retry() -> None:
    """The SDK counts its tries; of a program that says nothing, or the same each time, they are counted here."""
    with sandbox.serve() as site:
        for number, counts in enumerate((["0", "1", "0"], [None, None, None], ["0", "0", "0"])):
            body = {"model": "fail-once-502", "messages": HELLO, "user": f"somebody {number}"}
            told = [{"X_Stainless_Retry_Count": count} if count else {} for count in counts]
            assert [ask(site, body=body, **each).get("code") for each in told] == [502, None, 502]
        key = {"X_Api_Key": "fail-once-429", "X_Stainless_Retry_Count": "1"}
        assert ask(site, LIST, None, key=None, **key)["code"] == 0


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("fail-stream-cut", b"<cut>"),
        ("fail-stream-error", b"event: error\ndata: the model stopped answering\n\n"),
        ("fail-stream-envelope", b"}\n\n"),
    ],
)
def test_a_stream_that_fails_has_begun_well(site: Sandbox, name: str, end: bytes) -> None:
    """Some chunks come first, `[DONE]` never; without `stream` the same model answers."""
    content = send(site, CHAT, {"model": name, "messages": HELLO, "stream": True})[1]
    assert content.startswith(b'data: {"id":"chatcmpl-')
    assert content.endswith(end)
    assert b"[DONE]" not in content
    assert (b'"code":12301' in content) == (name == "fail-stream-envelope")
    assert "choices" in complete(site, name)


def test_a_slow_model_answers_in_the_end(site: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait comes before the first byte; here it is cut short."""
    monkeypatch.setattr("aitoearn_openai.sandbox._app.SLOW_SECONDS", 0.2)
    started = time.monotonic()
    assert "choices" in complete(site, "slow-first-byte")
    assert time.monotonic() - started >= 0.2
