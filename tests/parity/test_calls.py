"""Calls: byte for byte to the server, and an equal object, or the same exception, back."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion

from conftest import Reply, complete
from parity.calls import ANSWER, CALLS, COMPLETION, MODELS
from parity.twins import Twins, entered, listed, request_id, sdks_class, wait


@pytest.mark.parametrize("strict", [{}, {"_strict_response_validation": True}], ids=["loose", "strict"])
@pytest.mark.parametrize("name", CALLS)
def test_a_call_sends_and_returns_the_same(twins: Twins, name: str, strict: dict[str, Any]) -> None:
    """Byte for byte to the server, and an equal object, or the same exception, back."""
    ask, reply = CALLS[name]

    async def asked(client: Any) -> Any:
        result = await wait(ask(client))
        if isinstance(result, (openai.Stream, openai.AsyncStream)):
            return await listed(result)
        return result.content if hasattr(result, "http_response") else (result, request_id(result))

    twins.same(asked, reply, **strict)


def test_an_answer_that_breaks_the_schema_fails_under_strict_validation_alone(twins: Twins) -> None:
    """With the SDK's own exception, and the body in it."""
    odd = Reply({**COMPLETION, "choices": [{"index": "x", "message": {}}]})

    assert isinstance(twins.same(complete("m"), odd).result, ChatCompletion)
    strict = twins.same(complete("m"), odd, _strict_response_validation=True).result
    assert strict[0] is openai.APIResponseValidationError


def test_fields_that_nobody_declared_stay(twins: Twins) -> None:
    """As attributes, in `model_extra` and in what the object turns into."""

    async def ask(client: Any) -> Any:
        answer = await wait(complete("m")(client))
        message = answer.choices[0].message
        extra = (answer.model_extra, message.model_extra, message.reasoning_content, answer.cost)
        # Beside the extra fields, which pydantic counts among those that were set, and the SDK mostly does not.
        declared = answer.model_fields_set - set(answer.model_extra or ())
        return answer.to_json(), answer.to_dict(), extra, declared, repr(answer)

    assert twins.same(ask, ANSWER).result[2][2:] == ["r", "0.1"]


def test_the_model_list_differs_by_its_address_and_second_key_alone(twins: Twins) -> None:
    """The same headers otherwise, and what comes back is read as in the SDK, raw or not."""

    async def ask(client: Any) -> Any:
        results = []
        for models in (client.with_raw_response.models, client.models.with_raw_response):
            raw = await wait(models.list(extra_headers={"X-One": "1"}, extra_query={"q": "1"}, timeout=5))
            results += [
                sdks_class(raw),
                raw.status_code,
                raw.request_id,
                raw.retries_taken,
                ids(raw.parse().data),
            ]
        async with entered(client.models.with_streaming_response.list()) as response:
            results += [response.http_response.is_stream_consumed, ids((await wait(response.parse())).data)]
        page = await wait(client.with_options(default_headers={"X-Two": "2"}).models.list())
        results += [page.has_next_page(), page.next_page_info(), page._request_id, ids(await listed(page))]
        results.append(ids(await listed(client.models.list())))
        return results

    def ids(models: list[Any]) -> list[str]:
        return [model.id for model in models]

    outcome = twins.same(ask, Reply(MODELS, headers={"X-Request-Id": "r-1"}))

    assert [request[1] for request in outcome.requests[:3]] == [
        "/api/ai/models?q=1",
        "/api/ai/models?q=1",
        "/api/ai/models",
    ]


def test_retrieving_a_model_without_a_name_is_refused_as_in_the_sdk(twins: Twins) -> None:
    """A ValueError, before anything is sent."""
    twins.same(lambda client: client.models.retrieve(""), Reply(MODELS))
