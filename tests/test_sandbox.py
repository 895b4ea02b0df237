"""The sandbox, over real sockets."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import time
from typing import Any

import pytest
from pydantic import SecretStr

from aitoearn_openai import ChatModel, sandbox
from aitoearn_openai._errors import CODES, failure_in
from aitoearn_openai.sandbox import FAILURES, Sandbox
from commands import SAID
from conftest import MESSAGES, stream
from relays import ask, connect, send

CHAT, LIST, DRAW, EDIT = "/chat/completions", "/models/chat", "/images/generations", "/images/edits"
REQUEST: dict[str, Any] = {"model": "glm-5.2", "messages": MESSAGES}
HEAD = b"POST /api/ai/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
HEAD += b"Authorization: Bearer sandbox\r\nContent-Length: %d\r\n\r\n"
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "now"}},
    {"type": "function", "function": {"name": "weather", "parameters": WEATHER}},
]


def json_of(site: Sandbox, path: str = CHAT, body: Any = REQUEST, **more: Any) -> Any:
    """The JSON that answers, with the status 200 of all that the service says."""
    response = send(site, path, body, **more)
    assert response.status_code == 200
    return response.json()


def begin(site: Sandbox, model: str, **fields: Any) -> socket.socket:
    """A connection on which a completion is asked for."""
    body = json.dumps({**REQUEST, "model": model, **fields}).encode()
    return connect(site, HEAD % len(body) + body)


def complete(site: Sandbox, model: Any = "glm-5.2", **fields: Any) -> Any:
    """The JSON that answers a request for a chat completion with these fields."""
    return json_of(site, body={**REQUEST, "model": model, **fields})


def said(completion: Any) -> Any:
    return completion["choices"][0]["message"]["content"]


def test_the_settings_lead_to_the_sandbox(site: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its own key, whatever key the environment holds."""
    monkeypatch.setenv("AITOEARN_API_KEY", "a-real-key")
    assert (site.settings.base_url, site.settings.api_key) == (site.base_url, SecretStr("sandbox"))


def test_several_can_run_at_once_until_their_with_block_ends(caplog: pytest.LogCaptureFixture) -> None:
    """Each has its own port; the log of another server of the process is left alone."""
    with contextlib.suppress(KeyError), sandbox.serve() as one, sandbox.serve() as other:
        assert one != other
        assert complete(one) == complete(other)
        logging.getLogger("uvicorn.error").error("from another server")
        raise KeyError
    with pytest.raises(ConnectionRefusedError):
        connect(one)
    assert "from another server" in caplog.text


def test_a_client_that_goes_away_leaves_no_trace(capfd: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a request cut short nor a stream cut short is logged, even at the level of DEBUG."""
    caplog.set_level(logging.DEBUG)
    with sandbox.serve() as site:
        connect(site, HEAD % 9 + b"{").close()
        with begin(site, "fail-stream-cut", stream=True) as connection:
            assert connection.makefile("rb").read()
    assert [record for record in caplog.records if record.name.startswith(("uvicorn", "asyncio"))] == []
    assert capfd.readouterr() == ("", "")


def test_who_waits_for_an_answer_makes_no_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many connections there are, the sandbox answers who has its key, in its time."""
    monkeypatch.setattr("aitoearn_openai._serving.MAX_IDLE", 5)
    monkeypatch.setattr("aitoearn_openai.sandbox._app.SLOW_SECONDS", 0.3)
    with sandbox.serve() as site, contextlib.ExitStack() as stack:
        started = time.monotonic()
        waiting = stack.enter_context(begin(site, "slow-first-byte"))
        json_of(site, LIST, None)  # Then the sandbox has read what came before.
        for _ in range(20):
            stack.enter_context(connect(site))
        assert waiting.recv(15) == b"HTTP/1.1 200 OK"
        assert time.monotonic() - started >= 0.3


def test_the_model_list_has_every_shape_that_the_package_knows(site: Sandbox) -> None:
    """In the envelope of the service, also without a key; a wrong one in `X-Api-Key` is refused."""
    answer = send(site, LIST, token="")
    body, request_id = answer.json(), answer.headers["X-Request-Id"]
    assert (body["code"], body["message"], body["requestId"]) == (0, "请求成功", request_id)
    for key, code in (("sandbox", 0), ("no", 401)):
        assert json_of(site, LIST, None, token="", X_Api_Key=key)["code"] == code
    models = [ChatModel.model_validate(entry) for entry in body["data"]]
    pricings = [model.pricing for model in models if model.pricing]
    assert len({model.id for model in models}) == len(models) >= 11
    assert {"openai", "deepseek", "anthropic", "gemini"} < {model.owned_by for model in models}
    assert any(pricing.origin_pricing for pricing in pricings)
    assert {bool(each.origin_price) for each in pricings if each.price} == {True, False}
    assert any(not pricing.price and not pricing.tiers for pricing in pricings)
    assert any("Sale" in model.tags for model in models if not model.pricing)
    images = {str(entry.get("fixedImagePricing", "absent"))[:2] for entry in body["data"]}
    assert images == {"[{", "[]", "ab"}


def test_an_answer_says_that_no_model_read_the_message(site: Sandbox) -> None:
    """It echoes the last message of the user, and has the fields that the service adds to OpenAI's."""
    image = {"type": "image_url", "image_url": {}}
    asked = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Look:"}, image]},
        {"role": "assistant", "content": None, "tool_calls": []},
    ]
    chat = complete(site, messages=asked)
    tokens = {"prompt_tokens": 3 + 2 + 85, "completion_tokens": 19, "total_tokens": 109}
    assert chat["usage"] == {**tokens, "prompt_tokens_details": None}
    assert chat["cost"] == "0"
    assert chat["choices"][0]["finish_reason"] == "stop"
    message = {"role": "assistant", "content": f"{SAID}Look:", "name": None, "tool_calls": []}
    assert chat["choices"][0]["message"] == message
    other = complete(site, "gpt-5.2")
    assert "cost" not in other
    assert other["id"] != chat["id"]


def test_a_reasoning_model_shows_its_reasoning(site: Sandbox) -> None:
    """In a stream it comes before the content; the limit of tokens counts it. Two chunks at the end have no choice."""
    chat = complete(site, "deepseek-v4")
    usage = chat["usage"]
    assert usage["prompt_cache_hit_tokens"] == 0 < usage["prompt_cache_miss_tokens"] == usage["prompt_tokens"]
    chunks = ask(site, stream("deepseek-v4"))
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    pieces = [getattr(delta, "reasoning_content", None) for delta in deltas]
    assert "".join(filter(None, pieces)) == chat["choices"][0]["message"]["reasoning_content"] != ""
    assert not any(delta.content for delta, piece in zip(deltas, pieces, strict=True) if piece)
    counted, charged = chunks[-2:]
    assert (counted.choices, charged.choices) == ([], [])
    assert counted.usage
    assert getattr(charged, "cost", None) == "0"
    short = complete(site, "deepseek-v4", max_tokens=3)
    assert (said(short), short["choices"][0]["finish_reason"]) == ("", "length")
    assert short["usage"]["completion_tokens"] == 3


def test_a_stream_says_the_same_as_a_whole_answer(site: Sandbox) -> None:
    """Each choice comes in several chunks; the last chunk has the usage if it was asked for, else none has the field."""
    message = {"role": "user", "content": "你好，  世界 and\n\neverybody\n"}
    question: dict[str, Any] = {"model": "glm-5.2", "messages": [message], "n": 2}
    streamed: dict[str, Any] = {**question, "stream": True}
    streamed_with_usage = {**streamed, "stream_options": {"include_usage": True}}
    whole = ask(site, lambda client: client.chat.completions.create(**question))
    chunks = ask(site, lambda client: client.chat.completions.create(**streamed_with_usage))
    for choice in whole.choices:
        mine = [c.choices[0] for c in chunks if c.choices and c.choices[0].index == choice.index]
        assert len(mine) > 5
        assert (mine[0].delta.role, mine[0].delta.content) == ("assistant", "")
        assert "".join(part.delta.content or "" for part in mine) == choice.message.content
        assert [part.finish_reason for part in mine if part.finish_reason] == ["stop"]
    assert (chunks[-1].choices, chunks[-1].usage) == ([], whole.usage)
    assert getattr(chunks[-1], "cost", None) == getattr(whole, "cost", None)
    assert {chunk.usage for chunk in chunks[:-1]} == {None}
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    content = send(site, CHAT, streamed).content
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
    assert said(chat) == content
    assert (chat["choices"][0]["finish_reason"] == "length") == ("stop" not in limits)
    assert chat["usage"]["completion_tokens"] == (3 if "stop" in limits else 2)


@pytest.mark.parametrize(
    ("choice", "name", "arguments"),
    [
        ({"type": "function", "function": {"name": "weather"}}, "weather", {"city": "sandbox"}),
        ("required", "now", {}),
    ],
)
def test_a_forced_tool_is_called(site: Sandbox, choice: Any, name: str, arguments: Any) -> None:
    """The arguments fit its schema, and a stream brings them in pieces after id and name."""
    chat = complete(site, tools=TOOLS, tool_choice=choice)["choices"][0]
    assert (chat["message"]["content"], chat["finish_reason"]) == (None, "tool_calls")
    [call] = chat["message"]["tool_calls"]
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == (name, arguments)
    chunks = ask(site, stream("glm-5.2", tools=TOOLS, tool_choice=choice))
    first, *rest = [tool for c in chunks for tool in c.choices[0].delta.tool_calls or []]
    assert (bool(first.id), first.function.name) == (True, name)
    assert not any(piece.id for piece in rest)
    pieces = [piece.function.arguments or "" for piece in rest if piece.function]
    assert json.loads("".join(pieces)) == arguments


def test_a_tool_that_is_not_forced_is_not_called(site: Sandbox) -> None:
    """The answer is text; whoever forces one that is not there is told."""
    for choice in (None, "auto", "none", {"type": "allowed_tools"}, 7):
        assert complete(site, tools=TOOLS, tool_choice=choice)["choices"][0]["finish_reason"] == "stop"
    forced = {"type": "function", "function": {"name": "weather"}}
    for tools in (None, [], [7, {"type": "custom"}], TOOLS[:1]):
        refusal = complete(site, tools=tools, tool_choice=forced)
        assert (refusal["code"], "tool_choice" in refusal["message"]) == (400, True)


def test_whoever_wants_text_or_a_json_object_gets_it(site: Sandbox) -> None:
    text, made = (said(complete(site, response_format={"type": kind})) for kind in ("text", "json_object"))
    assert (text, json.loads(made)) == (f"{SAID}你好", {"answer": f"{SAID}你好"})


def test_images_take_the_names_of_their_list(site: Sandbox) -> None:
    """And no others, not even those of the chat list."""
    for path, endpoint in (("generation", DRAW), ("edit", EDIT)):
        names = [entry["name"] for entry in json_of(site, f"/models/image/{path}", None)["data"]]
        for name, code in [*((name, None) for name in names), ("glm-5.2", 12300)]:
            assert json_of(site, endpoint, {"model": name, "prompt": "a cat"}).get("code") == code


@pytest.mark.parametrize(
    ("path", "authorization"),
    [
        (CHAT, "Bearer wrong"),
        (CHAT, "Basic sandbox"),
        (CHAT, "Bearer slow-first-byte"),
        (DRAW, ""),
        (EDIT, "Bearer wrong"),
    ],
)
def test_a_wrong_key_is_refused_as_the_service_does(site: Sandbox, path: str, authorization: str) -> None:
    """HTTP 200 and the envelope with the code 401; only a bearer counts."""
    body = json_of(site, path, token="", Authorization=authorization, X_Request_Id="mine")
    assert isinstance(body.pop("timestamp"), int)
    assert body == {"data": {}, "code": 401, "message": "Unauthorized", "requestId": "mine"}


def test_a_path_that_the_service_lacks_is_refused(site: Sandbox) -> None:
    for method, path in (("POST", "/responses"), ("POST", f"{CHAT}/"), ("GET", "/models"), ("GET", CHAT)):
        refusal = json_of(site, path, None, method=method)
        assert (refusal["code"], refusal["message"]) == (404, f"Cannot {method} /api/ai{path}")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"not json", "body"),
        (b"\xff", "body"),
        (b"[]", "body"),
        (b"[" * 100000, "body"),
        ({"messages": MESSAGES}, "model"),
        ({**REQUEST, "model": ["glm-5.2"]}, "model"),
        ({**REQUEST, "messages": []}, "messages"),
        ({**REQUEST, "messages": "Hi"}, "messages"),
        ({**REQUEST, "messages": [None]}, "messages.0.role"),
        ({**REQUEST, "messages": [*MESSAGES, {"content": "Hi"}]}, "messages.1.role"),
        ({**REQUEST, "messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
        ({**REQUEST, "stream": "yes"}, "stream"),
        ({**REQUEST, "n": 0}, "n"),
        ({**REQUEST, "max_tokens": "9"}, "max_tokens"),
    ],
)
def test_whoever_sends_a_bad_request_is_told_which_field(site: Sandbox, body: Any, field: str) -> None:
    refusal = json_of(site, body=body)
    assert (refusal["code"], refusal["message"].removeprefix("the ").split()[0]) == (400, field)


@pytest.mark.parametrize(
    "field",
    ["model", "messages", "stop", "n", "tools", "tool_choice", "stream", "stream_options", "response_format"],
)
def test_no_value_of_an_odd_type_breaks_it(site: Sandbox, field: str) -> None:
    """It answers or refuses, with HTTP 200."""
    for odd in (None, 7, 1e999, "\ud800", [], {}, [None], {"function": 7}, True):
        assert send(site, CHAT, {**REQUEST, field: odd}).status_code == 200


def test_whoever_sends_a_bad_form_is_told(site: Sandbox) -> None:
    """Forms are read as far as they go."""
    named = b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\ngpt-1\r\n--x--\r\n'
    for kind, body, code in (
        ("multipart/form-data; boundary=x", b"", 400),
        ("multipart/form-data", b"--x\r\n\r\n", 400),
        ("multipart/form-data; boundary=x", named, 12300),
        ("application/json", b'{"model": "gpt-image-2"}', 400),
    ):
        assert json_of(site, EDIT, body, Content_Type=kind)["code"] == code


@pytest.mark.parametrize("code", [*CODES, "10003-zh", 424242])
def test_a_model_that_fails_answers_its_code(site: Sandbox, code: Any) -> None:
    """The envelope comes whether a stream was asked for or not, and for pictures too."""
    assert (f"fail-{code}" in FAILURES) == (code != 424242)
    for path, is_streamed in ((CHAT, True), (CHAT, False), (DRAW, False)):
        body = {**REQUEST, "model": f"fail-{code}", "prompt": "a cat", "stream": is_streamed}
        failure = failure_in(json_of(site, path, body))
        assert failure.code == int(str(code).removesuffix("-zh"))
        assert failure.retry_after == (1 if failure.code == 10003 else None)


@pytest.mark.parametrize("name", ["fail-401", "fail-12001", "fail-html", "fail-once-10003"])
def test_a_key_that_fails_is_refused_everywhere(site: Sandbox, name: str) -> None:
    """The model list included, in whichever header the key comes; a page is HTML, as from a captive portal."""
    for answer in (
        send(site, LIST, token=name),
        send(site, LIST, token="", X_Api_Key=name),
        send(site, CHAT, {**REQUEST, "stream": True}, token=name),
        send(site, EDIT, {"model": "glm-5.2", "prompt": "a cat"}, token=name),
        send(site, CHAT, {**REQUEST, "model": name, "n": 2}),
    ):
        assert answer.status_code == 200
        if name == "fail-html":
            assert answer.headers["Content-Type"].startswith("text/html")
            assert "<html>" in answer.text
        else:
            assert answer.json()["code"] == int(name.rpartition("-")[2])


def test_a_failure_that_happens_once_is_over_at_the_retry(site: Sandbox) -> None:
    """The SDK counts its tries; of a program that says nothing, or the same each time, they are counted here."""
    for number, counts in enumerate((["0", "1", "0"], [None, None, None], ["0", "0", "0"])):
        body = {"model": "fail-once-502", "messages": MESSAGES, "user": f"somebody {number}"}
        told = [{"X_Stainless_Retry_Count": count} if count else {} for count in counts]
        assert [json_of(site, body=body, **each).get("code") for each in told] == [502, None, 502]
    key = {"X_Api_Key": "fail-once-429", "X_Stainless_Retry_Count": "1"}
    assert json_of(site, LIST, None, token="", **key)["code"] == 0


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("fail-stream-cut", b"}]}\n\n\r\n"),
        ("fail-stream-error", b"event: error\ndata: the model stopped answering\n\n\r\n0\r\n\r\n"),
        ("fail-stream-envelope", b"}\n\n\r\n0\r\n\r\n"),
    ],
)
def test_a_stream_that_fails_has_begun_well(site: Sandbox, name: str, end: bytes) -> None:
    """Some chunks come first, `[DONE]` never; without `stream` the same model answers."""
    with begin(site, name, stream=True) as connection:
        content = connection.makefile("rb").read()
    assert content.count(b'data: {"id":"chatcmpl-') > 3
    assert content.endswith(end)
    assert b"[DONE]" not in content
    assert (b'"code":12301' in content) == (name == "fail-stream-envelope")
    assert "choices" in complete(site, name)
