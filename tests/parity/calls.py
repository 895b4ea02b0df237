"""What is asked and what the server answers: a table of calls that nearly every subject uses."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import openai

from conftest import MESSAGES, Reply, complete, stream

# fmt: off
MESSAGE = {"role": "assistant", "content": '{"city": "北京", "degrees": 7}', "name": None, "tool_calls": [], "reasoning_content": "r"}
CHOICE = {"index": 0, "finish_reason": "stop", "logprobs": None, "message": MESSAGE}
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "prompt_tokens_details": None}
HEAD = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
COMPLETION: dict[str, Any] = {**HEAD, "choices": [CHOICE], "usage": USAGE, "cost": "0.1"}
# fmt: on
ANSWER = Reply(COMPLETION, headers={"X-Request-Id": "r-1", "X-Odd": "é".encode().decode("latin-1")})
PICTURES = Reply({"created": 1, "data": [{"b64_json": "QQ=="}, {"b64_json": "Qg=="}], "odd": {"a": 1}})
MODELS = {
    "object": "list",
    "data": [{"id": name, "object": "model", "created": 0, "owned_by": "me"} for name in ("a", "b")],
}


def sse(*datas: object, done: bool = True) -> Reply:
    events = [data if isinstance(data, str) else json.dumps(data) for data in datas]
    body = "".join(f"data: {event}\n\n" for event in [*events, *(["[DONE]"] if done else [])])
    return Reply(body, content_type="text/event-stream", headers={"X-Request-Id": "r-1"})


def chunk(finish_reason: str | None = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
    head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "cost": "0.1"}
    return {**head, "choices": [choice]}


CHUNKS = sse(
    chunk(role="assistant", content=""),
    chunk(reasoning_content="r", content=""),
    *(chunk(content=piece) for piece in ('{"city": ', '"北京", ', '"degrees": 7}')),
    chunk(finish_reason="stop"),
)


class Weather(openai.BaseModel):
    """What a caller wants an answer, or the arguments of a tool, to be."""

    city: str
    degrees: int


# fmt: off
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
TOOL: Any = {"type": "function", "function": {"name": "weather", "strict": True, "parameters": SCHEMA}}
CALL = {"id": "c", "type": "function", "function": {"name": "Weather", "arguments": '{"city": "北京", "degrees": 7}'}}
# fmt: on
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
CALLED = {**COMPLETION, "choices": [{"index": 0, "finish_reason": "tool_calls", "message": CALLING}]}
ODD = {**COMPLETION, "choices": [{"index": "x", "message": {}}]}
FILES: Any = [b"one", ("图.png", b"\x00\xff", "image/png"), ("3.png", b"3", "image/png", {"X-Part": "1"})]


def draw_on(image: Any) -> Callable[[Any], Any]:
    return lambda client: client.images.edit(model="m", image=image, prompt="一只猫", n=2)


def changed(**message: Any) -> Reply:
    choice = {**COMPLETION["choices"][0], "message": {"role": "assistant", "content": None, **message}}
    return Reply({**COMPLETION, "choices": [choice]})


def parse(**arguments: Any) -> Callable[[Any], Any]:
    return lambda client: client.chat.completions.parse(model="m", messages=MESSAGES, **arguments)


def get(path: str, cast_to: Any, **arguments: Any) -> Callable[[Any], Any]:
    return lambda client: client.get(path, cast_to=cast_to, **arguments)


ERROR = {"message": "no", "code": "bad_thing", "type": "t", "param": "p", "more": 1}


def soon(status: int, **headers: str) -> Reply:
    return Reply({"error": ERROR}, status=status, headers={"X-Request-Id": "r", **headers})


# fmt: off
ALL: Any = {
    "n": 3, "stop": ["a", "\n"], "tools": [TOOL], "tool_choice": "auto", "temperature": 0, "metadata": {"a": "b"},
    "logit_bias": {"1": 2}, "response_format": {"type": "json_object"},
    "extra_headers": {"X-One": "1", "user-agent": "mine", "X-Stainless-Lang": openai.Omit()},
    "extra_query": {"q": "1 2", "many": ["a", "b"], "deep": {"a": 1}},
    "extra_body": {"thinking": {"type": "enabled"}, "model": "over"},
}
EVENT_OF_ERROR = 'data: {"type": "error", "code": "server_error", "message": "m", "sequence_number": 1}\n\n'
GZIP = {"Content-Encoding": "gzip"}
JSON_API = "application/vnd.api+json; charset=utf-8"

CALLS: dict[str, tuple[Callable[[Any], Any], Reply]] = {
    "plain": (complete("m"), ANSWER),
    "an-answer-that-breaks-the-schema": (complete("m"), Reply(ODD)),
    "every-kind-of-argument": (complete("m", **ALL), Reply(CALLED)),
    "extra-key-header": (complete("m", extra_headers={"X-Api-Key": ""}), ANSWER),
    "no-key": (complete("m", extra_headers={"Authorization": openai.Omit()}), ANSWER),
    "stream": (stream("m", stream_options={"include_usage": True}), CHUNKS),
    "stream-failed": (stream("m"), sse(chunk(content="hi"), {"error": {"message": "busy", "code": "slow", "param": "p"}})),
    "stream-without-done": (stream("m"), sse(chunk(content="hi"), chunk(finish_reason="stop"), done=False)),
    "images": (lambda client: client.images.generate(model="m", prompt="猫", n=2, size="1024x1024"), PICTURES),
    "edit": (draw_on(FILES), PICTURES),
    "legacy-completion": (
        lambda client: client.completions.create(model="m", prompt="x"),
        Reply({"id": "1", "object": "text_completion", "choices": [{"text": "x", "index": 0}]})),
    "response-stream": (
        lambda client: client.responses.create(model="m", input="x", stream=True),
        Reply(EVENT_OF_ERROR, content_type="text/event-stream")),
    "speech": (
        lambda client: client.audio.speech.with_raw_response.create(model="m", voice="alloy", input="x"),
        Reply(b"\x00\xff", content_type="audio/mpeg")),
    "transcription": (
        lambda client: client.audio.transcriptions.create(model="m", file=b"x", response_format="text"),
        Reply("你好", content_type="text/plain; charset=utf-8")),
    "get": (get("/users/me", object), Reply({"code": 0, "data": {"a": 1}})),
    "get-dict": (get("/x", dict[str, object]), Reply({"a": {"b": []}})),
    "get-list": (get("/x", list[int]), Reply(b"[1, 2]")),
    "get-model": (get("/x", Weather), Reply({"city": "c", "degrees": "x"})),
    "get-text": (get("/x", str, options={"params": {"a": [1]}}), Reply("{no json", content_type="text/html")),
    "get-nothing": (get("/x", type(None)), Reply(status=204, content_type=None)),
    "get-foreign-model": (get("/x", int.__class__), Reply({"a": 1})),
    "http-version-of-json": (complete("m"), Reply(COMPLETION, content_type=JSON_API, status=201)),
    "json-of-another-charset": (complete("m"), Reply(json.dumps(COMPLETION).encode("utf-16"))),
    "json-that-is-not-said-to-be": (complete("m"), Reply(COMPLETION, content_type="text/plain")),
    "packed": (complete("m"), Reply(gzip.compress(json.dumps(COMPLETION).encode()), headers=GZIP)),
    "packed-stream": (stream("m"), Reply(gzip.compress(CHUNKS.encoded()), headers=GZIP, content_type="text/event-stream")),
    "parsed": (parse(response_format=Weather), ANSWER),
    "parsed-tools": (parse(tools=[openai.pydantic_function_tool(Weather)]), Reply(CALLED)),
    "parsed-refusal": (parse(response_format=Weather), changed(refusal="no")),
    "parsed-nonsense": (parse(response_format=Weather), changed(content="no json")),
    "parsed-too-short": (
        parse(response_format=Weather), Reply({**COMPLETION, "choices": [{**CHOICE, "finish_reason": "length"}]})),
    "parsed-refused": (parse(response_format=Weather), soon(400)),
    "edit-refused": (draw_on(b"a"), soon(400)),
    "stream-refused": (stream("m"), soon(500)),
    "raw-refused": (lambda client: complete("m")(client.with_raw_response), soon(500)),
}
# fmt: on
