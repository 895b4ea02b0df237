"""The model lists, and the one model in them that a user means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import aitoearn_openai as openai

if TYPE_CHECKING:
    from .._models import ListedModel

    _Model = TypeVar("_Model", bound=ListedModel)


def fetch(settings: openai.Settings, **arguments: Any) -> list[openai.ChatModel]:
    """The service's list, also without a key: it is public."""
    with _client(settings, arguments) as client:
        return list(client.models.list(extra_headers=_headers(settings)))


def fetch_images(settings: openai.Settings, **arguments: Any) -> dict[str, list[openai.ImageModel]]:
    """The lists of the models that draw, by the method of `client.images`."""
    with _client(settings, arguments) as client:
        lists = {"generate": client.models.image_generation, "edit": client.models.image_edit}
        return {call: list(each.list(extra_headers=_headers(settings))) for call, each in lists.items()}


def _client(settings: openai.Settings, arguments: dict[str, Any]) -> openai.OpenAI:
    key = {} if settings.api_key else {"api_key": "none"}
    return openai.OpenAI.from_settings(settings, **{**key, **arguments})


def _headers(settings: openai.Settings) -> dict[str, str | openai.Omit]:
    return {} if settings.api_key else {"Authorization": openai.Omit()}


def matching(offered: Sequence[_Model], wanted: str) -> _Model | str:
    """The model of that name or label or, if it is the only one, with that in its name; or what to do instead."""
    from .._models import find

    found = find(offered, wanted)
    if not isinstance(found, list):
        return found
    part = wanted.casefold()
    fitting = {model.id: model for model in offered if part in f"{model.id}\n{model.label or ''}".casefold()}
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    if fitting:
        return f"{wanted!r} fits {', '.join(fitting)}; write more of the name"
    closest = f"; the closest: {', '.join(found)}" if found else ""
    return f"no model is named {wanted!r}{closest}"
