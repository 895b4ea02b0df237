"""What to do next about a failure, from what is known without another request."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._errors import Failure
from ._sites import site_hint
from ._wording import Message, Ours

if TYPE_CHECKING:
    from ._models import ListedModel

API_KEY_HEADER = "X-Api-Key"
LISTS = {
    "/models/chat": "client.models.list()",
    "/models/image/generation": "client.models.image_generation.list()",
    "/models/image/edit": "client.models.image_edit.list()",
}
"""The paths of the model lists, and the calls that ask for them."""

HINT = "aitoearn_openai.hint"
"""What a refusal has in its `extensions`: the one part of the message that no server wrote."""

_LIST_FOR = {"/images/generations": "/models/image/generation", "/images/edits": "/models/image/edit"}


def origin(url: Any) -> str:
    """Scheme, host and port of an address, without a user name and password."""
    return f"{url.scheme}://{url.netloc.decode()}"


def hint_of(error: Any) -> str:
    """The hint at the end of the message of an error, if any."""
    return str(error.response.extensions.get(HINT, "")) if hasattr(error, "response") else ""


def next_step(
    response: Any, failure: Failure | None, message: str, known: Mapping[str, Iterable[ListedModel]]
) -> str:
    """What to do next, or an empty text where there is nothing to say.

    Args:
        response: The refusal.
        failure: What it reports.
        message: All that it says.
        known: What each model list had when the client last asked for it, by path.
    """
    # What was asked, and not where the server may have sent us: that may repeat a key.
    url, code = (*response.history, response)[0].url, failure and failure.code
    if response.status_code == 401:
        return Ours(site_hint(origin(url)))
    if response.next_request and API_KEY_HEADER in response.request.headers:
        return Message(
            Ours(f"{origin(url)}{url.path} redirects to "),
            origin(response.next_request.url),
            Ours(". The key is not sent there; if that is the service, use its address as the base URL."),
        )
    if response.status_code == 404 and f"Cannot {response.request.method} /" in message:
        return Ours(
            f"The address asked was {origin(url)}{url.path}: AiToEarn has chat completions, images and model lists, "
            "and its base URL ends in /api/ai. A self-hosted AiToEarn server has the list of chat models alone."
        )
    lacks_credits = (
        failure and failure.status == 402 and (code == 12001 or (failure.enveloped and code != 12009))
    )
    if code != 12300 and not lacks_credits:
        return ""
    from ._models import find  # Not every program needs these classes, and they take time to make.

    path = next((path for end, path in _LIST_FOR.items() if url.path.endswith(end)), "/models/chat")
    listing, wanted = LISTS[path], _model_of(response.request)
    found = find(known.get(path, ()), wanted)
    if lacks_credits and not isinstance(found, list) and found.credits_scope:
        is_paid, ending = Ours(" is paid from the balance "), Ours("; credits of another do not count.")
        return Message(found.id, is_paid, repr(found.credits_scope), ending)
    if lacks_credits:
        return Ours(
            "Credits belong to one of two balances, 'general' and 'seedance'; "
            f"`credits_scope` in `{listing}` says which one pays for a model."
        )
    if isinstance(found, list):
        return closest(found) or Ours(f"`{listing}` lists the names.")
    if found.id == wanted:
        return Ours(f"The model list had {wanted}, but models may vanish: `{listing}` lists the names.")
    return Message(Ours("Its name is "), found.id, Ours(": that is what `model=` takes."))


def _model_of(request: Any) -> str:
    try:
        return str(json.loads(request.content).get("model"))
    except (AttributeError, ValueError, RuntimeError, RecursionError):
        return ""  # No object, or an upload, whose content is not in memory.


def closest(names: Sequence[str]) -> str:
    """A sentence with the names that are close to a wrong one."""
    if not names:
        return ""
    beginning = f"The closest {'name is' if len(names) == 1 else 'names are'} "
    return Message(Ours(beginning), ", ".join(names), Ours("."))
