"""What the commands share: the options for the site, and the settings that follow from them."""

from __future__ import annotations

import re
from typing import Annotated, Any

import openai
import typer

from .._settings import ENV_PREFIX, SANDBOX_KEY, SITES, Settings, load, missing_key, normalize_base_url
from . import failures

_COMPLETION_SECONDS = 2.0
_WORD = re.compile(r"[A-Za-z0-9][\w.:/@+-]*", re.ASCII)
"""What no shell takes for anything but a word, whether it evaluates it, as zsh does, or puts it on the line."""


def _known_site(name: str | None) -> str | None:
    if name is not None and name.strip().lower() not in SITES:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(SITES)}.")
    return name


def _normalized_url(url: str | None) -> str | None:
    try:
        return url and normalize_base_url(url)
    except ValueError as error:
        raise typer.BadParameter(f"{error}.") from None


def model_names(context: typer.Context, incomplete: str) -> list[str]:
    """The names in the model list that begin so and that a shell can be given; none where the list cannot be had at once."""
    from .models import fetch, fetch_images

    at_once: Any = {"max_retries": 0, "timeout": _COMPLETION_SECONDS}
    try:
        settings = resolve(context.params.get("site"), context.params.get("base_url"))
        if context.params.get("images"):
            names = [model.id for models in fetch_images(settings, **at_once).values() for model in models]
        else:
            names = [model.id for model in fetch(settings, **at_once)]
    except openai.OpenAIError:
        return []
    begun = (name for name in dict.fromkeys(names) if name.lower().startswith(incomplete.lower()))
    return [*filter(_WORD.fullmatch, begun)]


Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        autocompletion=model_names,
        help=f"A name or label, instead of {ENV_PREFIX}MODEL.",
    ),
]
Site = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(SITES),
        callback=_known_site,
        autocompletion=lambda: list(SITES),
        help=f"The site, instead of {ENV_PREFIX}SITE.",
    ),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        callback=_normalized_url,
        help=f"The address of a server, instead of {ENV_PREFIX}BASE_URL.",
    ),
]
Debug = Annotated[
    bool,
    typer.Option("--debug", callback=failures.debug, help="Show the traceback of an error."),
]


def resolve(site: str | None, base_url: str | None) -> Settings:
    """The settings, with the options of the command before all else."""
    given = {name: value for name, value in (("site", site), ("base_url", base_url)) if value}
    # Names the variable of each bad value; any option wins over the variable's address.
    settings = load(only=Settings.model_fields.keys() - ({"base_url"} if given else set()))
    if given:
        settings = Settings(**given)  # type: ignore[arg-type]
    if settings.api_key and settings.api_key.get_secret_value() != SANDBOX_KEY:
        failures.secrets.add(settings.api_key.get_secret_value())
    return settings


def resolve_with_key(site: str | None, base_url: str | None) -> Settings:
    """The settings of a command that needs a key."""
    settings = resolve(site, base_url)
    if not settings.api_key:
        failures.fail(missing_key(settings), failures.KEY)
    return settings
