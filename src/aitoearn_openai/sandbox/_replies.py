"""Answers in OpenAI's format, whole and as the events of a stream. No I/O."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from .._models import BYTES_PER_TOKEN, ChatModel
from ._failures import Refused
from ._request import Question, tokens

CREATED = 1767225600  # always 2026-01-01, as the same request gets the same answer
DONE = b"data: [DONE]\n\n"

# Its models reason, count the cache in fields of their own, and end a stream with frames that have no choice.
_DEEPSEEK = "deepseek"
_WITHOUT_COST = {"openai", "ollama"}
_REASONING = "The sandbox imitates a model that reasons; nothing was thought."
_PIECE = re.compile(r"\s*\S{1,8}|\s+")
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAAC0lEQVR42mNgAAIAAAUAAen63NgAAAAASUVORK5CYII="


class _Answer(NamedTuple):
    reasoning: str
    text: str  # the content, or else the arguments of the function called
    finish_reason: str
    bill: dict[str, Any]  # `usage` and, of most models, `cost`


def dumps(value: object) -> bytes:
    """JSON as it goes over the wire."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def completion(question: Question, model: ChatModel, name: str) -> bytes:
    """The answer as one object."""
    answer = _answer(question, model)
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "name": None, "tool_calls": []}
    if question.function:
        message |= {"content": None, "tool_calls": [_call(question, answer.text)]}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    choice = {"message": message, "logprobs": None, "finish_reason": answer.finish_reason}
    choices = [{"index": index, **choice} for index in range(question.n)]
    return dumps({**_head(question, "chat.completion", name), "choices": choices, **answer.bill})


def events(question: Question, model: ChatModel, name: str) -> list[bytes]:
    """The answer as encoded server-sent events, the last of them `DONE`."""
    answer = _answer(question, model)
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None if question.function else ""}]
    deltas += [{"content": None, "reasoning_content": piece} for piece in _PIECE.findall(answer.reasoning)]
    pieces = _PIECE.findall(answer.text)
    if question.function:
        deltas.append({"tool_calls": [{"index": 0, **_call(question, "")}]})
        deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces]
    else:
        deltas += [{"content": piece} for piece in pieces]

    head = b"data: " + dumps(_head(question, "chat.completion.chunk", name))[:-1] + b',"choices":['
    end = b'}],"usage":null}\n\n' if question.include_usage else b"}]}\n\n"
    reasons = [b"null"] * len(deltas) + [dumps(answer.finish_reason)]
    encoded = [
        b'%b{"index":%d,"delta":%b,"logprobs":null,"finish_reason":%b%b' % (head, index, delta, reason, end)
        for delta, reason in zip([*map(dumps, deltas), b"{}"], reasons, strict=True)
        for index in range(question.n)
    ]
    last = [answer.bill] if question.include_usage else []
    if model.owned_by == _DEEPSEEK:
        last = [{field: value} for field, value in answer.bill.items()]
    return [*encoded, *(head + b"]," + dumps(fields)[1:] + b"\n\n" for fields in last), DONE]


def pictures(count: int) -> bytes:
    """As many pictures, each of a single transparent pixel."""
    return dumps({"created": CREATED, "data": [{"b64_json": _PIXEL}] * count})


def _answer(question: Question, model: ChatModel) -> _Answer:
    text = f"This is the AiToEarn sandbox; no model read your message. You said: {question.said}"
    if question.schema is not None:
        text = _instance(question) if question.schema else dumps({"answer": text}).decode()
    for stop in question.stop:
        text = text.partition(stop)[0]
    reasoning = _within(question.limit, _REASONING if model.owned_by == _DEEPSEEK else "")
    said = _within(question.limit - tokens(reasoning), text)
    done = "tool_calls" if question.function else "stop"
    asked, answered = question.prompt_tokens, question.n * (tokens(reasoning) + tokens(said))
    usage: dict[str, Any] = {"prompt_tokens": asked, "completion_tokens": answered}
    usage |= {"total_tokens": asked + answered, "prompt_tokens_details": None}
    if model.owned_by == _DEEPSEEK:
        usage |= {"prompt_cache_hit_tokens": 0, "prompt_cache_miss_tokens": asked}
    # The one cost that the service was seen to send is 0, for a call that has a price; some models send none.
    bill = {"usage": usage} if model.owned_by in _WITHOUT_COST else {"usage": usage, "cost": "0"}
    return _Answer(reasoning, said, done if said == text else "length", bill)


def _instance(question: Question) -> str:
    from ._schema import NoInstance, minimal

    try:
        return minimal(json.dumps(question.schema))
    except NoInstance as error:
        where = f"the parameters of {question.function}" if question.function else "response_format"
        advice = "A valid one among the `examples` of that part of the schema is its answer."
        raise Refused(
            400, f"{where}: the sandbox finds no value for this schema: {error}. {advice}"
        ) from None


def _within(limit: int, text: str) -> str:
    return text.encode()[: limit * BYTES_PER_TOKEN].decode(errors="ignore")


def _head(question: Question, kind: str, name: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{question.digest}", "object": kind, "created": CREATED, "model": name}


def _call(question: Question, arguments: str) -> dict[str, Any]:
    function = {"name": question.function, "arguments": arguments}
    return {"id": f"call_{question.digest}", "type": "function", "function": function}
