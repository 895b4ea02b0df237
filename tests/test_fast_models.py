"""The objects of a chat are made by pydantic's validator: they are the ones that the SDK would make.

`FAST_EXAMPLES=100000` has the property tried at length.
"""

from __future__ import annotations

import copy
import json
import os
import pickle
from typing import Any
from unittest.mock import Mock

import openai
import pytest
from hypothesis import HealthCheck, assume, given, settings, strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from aitoearn_openai import OpenAI
from conftest import Reply, ScriptedServer, complete, stream

# fmt: off
TOOL_CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
CUSTOM_CALL = {"index": 1, "id": "call_2", "type": "custom", "custom": {"name": "g", "input": "x"}}
TOKEN = {"token": "hi", "logprob": -0.1, "bytes": [104, 105], "top_logprobs": [{"token": "h", "logprob": -1.5}]}
LOGPROBS = {"content": [TOKEN], "refusal": None}
CITATION = {"start_index": 0, "end_index": 2, "title": "t", "url": "u"}
ANNOTATION = {"type": "url_citation", "url_citation": CITATION}
AUDIO = {"id": "a", "data": "AAAA", "expires_at": 1, "transcript": "hi"}
USAGE = {
    "prompt_tokens": 15, "completion_tokens": 8, "total_tokens": 23,
    "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 2, "accepted_prediction_tokens": 0},
}
FILTERED = {"finish_reason": "content_filter", "content_filter_results": {"hate": {"filtered": True}}}
HEAD = {"id": "chatcmpl-1", "created": 1767225600, "model": "glm-5.2"}
# fmt: on


def completion(message: Any, choice: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": "hi", **message}
    whole = {"index": 0, "message": said, "finish_reason": "stop", **(choice or {})}
    return {**HEAD, "object": "chat.completion", "choices": [whole], "usage": USAGE, **more}


def chunk(delta: dict[str, Any], choice: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    part = {"index": 0, "delta": delta, "finish_reason": None, **(choice or {})}
    return {**HEAD, "object": "chat.completion.chunk", "choices": [part], **more}


# fmt: off
SHAPES = {
    ChatCompletion: [
        completion({}),
        completion({"reasoning_content": "r", "name": None, "tool_calls": []}, cost="0"),  # glm-5.2, as it was seen
        completion({"content": None, "tool_calls": [TOOL_CALL, CUSTOM_CALL]}, {"native_finish_reason": "tool_calls"}),
        completion({"refusal": None, "annotations": [ANNOTATION], "audio": AUDIO}, {"logprobs": LOGPROBS}),
        completion({}, usage={**USAGE, "prompt_cache_hit_tokens": 3, "prompt_cache_miss_tokens": 12}),
        completion({"function_call": {"name": "f", "arguments": ""}}, service_tier="default", system_fingerprint="s"),
        completion({}, FILTERED),
    ],
    ChatCompletionChunk: [
        chunk({"content": "hi", "reasoning_content": "r"}, {"logprobs": None}, usage=None),
        chunk({"tool_calls": [TOOL_CALL]}),
        chunk({"content": "hi"}, {"logprobs": LOGPROBS}, system_fingerprint=None, service_tier="auto"),
        chunk({"function_call": {"name": "f"}, "refusal": "no"}),
        chunk({}, {"finish_reason": "stop"}, cost="0.1", provider="p"),
        {**chunk({}), "choices": [], "usage": USAGE},
        chunk({"images": [{"type": "image_url", "image_url": {"url": "data:"}}]}, obfuscation="x"),
    ],
}
# fmt: on

ODD = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from([None, True, "", "stop", "assistant", "1", "function", 0, -1, 1.0, {}, []]),
    st.builds(dict, id=st.integers()),
)


@st.composite
def mutated(draw: st.DrawFn, shapes: list[dict[str, Any]]) -> Any:
    """A real shape in which up to three places are missing, odd, or new."""
    value = copy.deepcopy(draw(st.sampled_from(shapes)))
    for _ in range(draw(st.integers(0, 3))):
        place: Any = value
        while True:
            key = draw(st.sampled_from([*place, "new"] if isinstance(place, dict) else range(len(place))))
            inner = place[key] if key != "new" else None
            if not (isinstance(inner, (dict, list)) and inner and draw(st.booleans())):
                break
            place = inner
        if key != "new" and draw(st.booleans()):
            del place[key]
        else:
            place[key] = draw(ODD)
        assume(value)
    return value


PLAIN = openai.OpenAI(api_key="k")


def shown(made: Any) -> list[Any]:
    """All that a caller can see of an object, but for `model_fields_set`."""
    ways: list[dict[str, Any]] = [{"exclude_unset": True}, {"exclude_defaults": True}, {"by_alias": True}]
    dumps = [made.model_dump(**way) for way in ways]
    return [repr(made), made.to_json(), made.model_dump_json(), made.model_extra, *dumps]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("cast_to", SHAPES)
@settings(
    max_examples=int(os.environ.get("FAST_EXAMPLES", "100")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
@given(data=st.data())
def test_what_passes_a_strict_validation_is_what_the_sdk_makes(cast_to: Any, data: st.DataObject) -> None:
    """In type, value, order of fields and extra fields, however it is looked at, copied or pickled."""
    value = data.draw(mutated(SHAPES[cast_to]))
    try:
        ours = cast_to.model_validate(copy.deepcopy(value), strict=True)
    except ValueError:
        assume(False)  # The SDK's own way is taken.
    theirs = PLAIN._process_response_data(data=value, cast_to=cast_to, response=None)  # type: ignore[arg-type]

    assert ours == theirs
    assert shown(ours) == shown(theirs)
    for travel in (copy.copy, copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))):
        assert shown(travel(ours)) == shown(theirs)
    ours._request_id = theirs._request_id = "r"
    assert ours == theirs
    # The documented difference: pydantic counts extra fields among those that were set, as it does everywhere.
    assert ours.model_fields_set - theirs.model_fields_set <= set(ours.model_extra or ())


@pytest.mark.parametrize("cast_to", SHAPES)
def test_real_shapes_pass(cast_to: Any) -> None:
    """Or nothing would be faster, and nothing tried above."""
    for value in SHAPES[cast_to]:
        assert cast_to.model_validate(value, strict=True)


NUMBER_AS_TEXT = chunk({"content": "hi"}, created="1")
STREAM = Reply(
    f"data: {json.dumps(NUMBER_AS_TEXT)}\n\n" * 9 + "data: [DONE]\n\n", content_type="text/event-stream"
)


def test_a_number_as_text_stays_text(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the SDK. A stream is tried once: its other chunks would not pass either, and a try that fails takes time."""
    validate = Mock(wraps=ChatCompletionChunk.model_validate)
    monkeypatch.setattr(ChatCompletionChunk, "model_validate", validate)
    server.answer(Reply(completion({}, created="1")), STREAM)
    with OpenAI(base_url=server.base_url, api_key="k") as client:
        assert complete("m")(client).created == "1"
        for wanted in (1, 2):
            assert [part.created for part in stream("m")(client)] == ["1"] * 9
            assert validate.call_count == wanted
