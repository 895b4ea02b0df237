"""The decoded answer: a failure in it, or another shape than the caller's type, is an exception."""

from __future__ import annotations

from functools import cache
from typing import Any

import openai
from openai.types import ImagesResponse

from .._errors import Failure, envelope_failure, failure_in, has_images, is_completion
from .exceptions import status_error, unexpected

_AS_IT_IS = {"bytes", "HttpxBinaryResponseContent", "Response"}
"""Types, by their name, with which the caller asks for what came, whatever it is; none is a model of the SDK's."""


def is_sdk_type(cast_to: Any) -> bool:
    """Whether it is a model of the SDK's or of this package; any other type is the caller's own affair."""
    name = getattr(cast_to, "__module__", "").partition(".")[0]
    return name in ("openai", "aitoearn_openai") and hasattr(cast_to, "model_fields")


def is_chat(cast_to: Any) -> bool:
    """Whether it is a completion, or a chunk of one."""
    return is_sdk_type(cast_to) and "choices" in cast_to.model_fields


def failure_for(cast_to: Any, body: Any) -> Failure | None:
    """The failure in a body that was to become that type; none where the caller wants the content as it is."""
    if not isinstance(body, dict):
        return None
    if not is_sdk_type(cast_to):
        is_wanted = getattr(cast_to, "__name__", "") in _AS_IT_IS
        return None if is_wanted else envelope_failure(body, strict=True)
    # Of a chat, `failure_in` finds out itself whether it has an answer.
    is_answer = not is_chat(cast_to) and any(body.get(name) for name in _own_fields(cast_to) - {"data"})
    return None if is_answer else failure_in(body)


def second_look(client: Any, response: Any, cast_to: Any, body: Any) -> None:
    """Raise the failure in a decoded body, or that it is something else than that type."""
    if failure := failure_for(cast_to, body):
        raise status_error(client, response, failure, body)
    if not is_sdk_type(cast_to):
        return
    known = body if isinstance(body, dict) else {}
    if is_chat(cast_to):
        is_answer = is_completion(known)
    elif hasattr(cast_to, "from_answer"):
        is_answer = True  # It checks that itself.
    elif cast_to is ImagesResponse:
        is_answer = has_images(known)
    else:
        names = _own_fields(cast_to)
        is_answer = (
            known.get("object", "error") != "error"
            or any(known.get(name) is not None for name in names)
            or (not names and isinstance(body, dict))
        )
    if not is_answer:  # With choices it came from the right address.
        raise unexpected(response, cast_to.__name__, body, advice="choices" not in known)


@cache
def _own_fields(cast_to: type[openai.BaseModel]) -> set[str]:
    """The fields that an answer of that type has and a failure has not."""
    required = {name for name, field in cast_to.model_fields.items() if field.is_required()}
    return required - {"code", "created", "created_at", "error", "id", "message", "model", "object", "type"}
