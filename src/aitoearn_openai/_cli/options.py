"""What the commands share: the options for the site, and the settings that follow from them."""

from __future__ import annotations

import re
from typing import Annotated

import typer
from typer import Option

import aitoearn_openai as openai

from .._sites import ENV_PREFIX, SANDBOX_KEY, SITES
from . import failures

_WORD = re.compile(r"[A-Za-z0-9][\w.:/@+-]*", re.ASCII)
"""What no shell takes for anything but a word, whether it evaluates it, as zsh does, or puts it on the line."""


def model_names(context: typer.Context, incomplete: str) -> list[str]:
    """The names in the model list that begin so and that a shell can be given; none where the list cannot be had at once."""
    from .lists import fetch_lists

    try:
        settings = resolve(context.params.get("site"), context.params.get("base_url"))
        lists = fetch_lists(settings, images=bool(context.params.get("images")), max_retries=0, timeout=2.0)
    except openai.OpenAIError:
        return []
    names = dict.fromkeys(model.id for models in lists.values() for model in models)
    begun = (name for name in names if name.lower().startswith(incomplete.lower()))
    return [*filter(_WORD.fullmatch, begun)]


Model = Annotated[
    str | None,
    Option(
        "--model",
        "-m",
        metavar="NAME",
        autocompletion=model_names,
        help=f"A name, a label or a part that fits no other, instead of {ENV_PREFIX}MODEL.",
    ),
]
Site = Annotated[
    str | None,
    Option(metavar="|".join(SITES), autocompletion=lambda: list(SITES), help=f"Instead of {ENV_PREFIX}SITE."),
]
BaseUrl = Annotated[str | None, Option(metavar="URL", help=f"A server, instead of {ENV_PREFIX}BASE_URL.")]


def resolve(site: str | None, base_url: str | None) -> openai.Settings:
    """The settings, with the options of the command before all else."""
    from pydantic import ValidationError

    from .._settings import Settings, load

    given = {name: value for name, value in (("site", site), ("base_url", base_url)) if value}
    # Names the variable of each bad value; any option wins over the variable's address.
    settings = load(only=Settings.model_fields.keys() - ({"base_url"} if given else set()))
    try:
        settings = Settings(**given) if given else settings  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = error.errors()[0]
        option = f"--{str(wrong['loc'][0]).replace('_', '-')}"
        raise typer.BadParameter(f"{wrong['msg']}.", param_hint=option) from None
    if settings.api_key and settings.api_key.get_secret_value() != SANDBOX_KEY:
        failures.secrets.add(settings.api_key.get_secret_value())
    return settings


def resolve_with_key(site: str | None, base_url: str | None) -> openai.Settings:
    """The settings of a command that needs a key."""
    settings = resolve(site, base_url)
    if not settings.api_key:
        from .._settings import missing_key

        failures.fail(missing_key(settings), failures.KEY)
    return settings
