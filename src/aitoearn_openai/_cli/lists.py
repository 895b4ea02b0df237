"""The model lists, and the one model in them that a user means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import aitoearn_openai as openai

if TYPE_CHECKING:
    from .._models import ListedModel

    _Model = TypeVar("_Model", bound=ListedModel)


def fetch_lists(settings: openai.Settings, *, images: bool, **arguments: Any) -> dict[str, list[Any]]:
    """The lists of the models that talk or draw, by the method that takes them; also without a key: they are public."""
    key: Any = {} if settings.api_key else {"api_key": "none"}
    headers: Any = {} if settings.api_key else {"Authorization": openai.Omit()}
    with openai.OpenAI.from_settings(settings, **key, **arguments) as client:
        lists: dict[str, Any] = {"chat": client.models}
        if images:
            lists = {"generate": client.models.image_generation, "edit": client.models.image_edit}
        return {call: list(each.list(extra_headers=headers)) for call, each in lists.items()}


def fetch(settings: openai.Settings, **arguments: Any) -> list[openai.ChatModel]:
    """The list of the models that talk."""
    return fetch_lists(settings, images=False, **arguments)["chat"]


def matching(offered: Sequence[_Model], wanted: str) -> _Model | str:
    """The model of that name or label or, if it is the only one, with that in its name; or what to do instead."""
    from .._models import find

    found = find(offered, wanted)
    if not isinstance(found, list):
        return found
    fitting = containing(offered, wanted)
    if len(fitting) == 1:
        return fitting[0]
    closest = f"; the closest: {', '.join(found)}" if found else ""
    return f"no model is named {wanted!r}{closest}"


def containing(offered: Sequence[_Model], part: str) -> list[_Model]:
    """The models that have it in their name or label, each once."""
    part = part.casefold()
    fitting = {model.id: model for model in offered if part in f"{model.id}\n{model.label or ''}".casefold()}
    return list(fitting.values())
