"""What the commands share: the options for the site, and the settings that follow from them."""

from __future__ import annotations

import difflib
import os
import re
from typing import Annotated, Any

import typer
from typer import Option

import aitoearn_openai as openai

from .._sites import ENV_PREFIX, SANDBOX_KEY, SITES, normalize_base_url
from . import failures

_COMPLETION_SECONDS = 2.0
_CLOSE = 0.82
"""How alike a misspelt variable is to the one that is meant: AITOEARN_URL is, OPENAI_API_KEY is not."""
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
    from .lists import fetch, fetch_images

    at_once: Any = {"max_retries": 0, "timeout": _COMPLETION_SECONDS}
    try:
        settings = resolve(context.params.get("site"), context.params.get("base_url"))
        images = context.params.get("images")
        lists = fetch_images(settings, **at_once) if images else {"chat": fetch(settings, **at_once)}
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
        help=f"A model by its name, its label or a part that fits no other, instead of {ENV_PREFIX}MODEL.",
    ),
]
Site = Annotated[
    str | None,
    Option(
        metavar="|".join(SITES),
        callback=_known_site,
        autocompletion=lambda: list(SITES),
        help=f"The site, instead of {ENV_PREFIX}SITE.",
    ),
]
BaseUrl = Annotated[
    str | None,
    Option(
        metavar="URL", callback=_normalized_url, help=f"A server's address, instead of {ENV_PREFIX}BASE_URL."
    ),
]


def resolve(site: str | None, base_url: str | None) -> openai.Settings:
    """The settings, with the options of the command before all else."""
    from .._settings import Settings, load

    given = {name: value for name, value in (("site", site), ("base_url", base_url)) if value}
    # Names the variable of each bad value; any option wins over the variable's address.
    settings = load(only=Settings.model_fields.keys() - ({"base_url"} if given else set()))
    if given:
        settings = Settings(**given)  # type: ignore[arg-type]
    if settings.api_key and settings.api_key.get_secret_value() != SANDBOX_KEY:
        failures.secrets.add(settings.api_key.get_secret_value())
    return settings


def resolve_with_key(site: str | None, base_url: str | None) -> openai.Settings:
    """The settings of a command that needs a key."""
    settings = resolve(site, base_url)
    if not settings.api_key:
        from .._settings import missing_key

        failures.fail(misspelt_hint() + missing_key(settings), failures.KEY)
    return settings


def misspelt() -> dict[str, str | None]:
    """The variables that look like settings and are not, each with the one that is meant, if that is not set."""
    from .._settings import Settings, env_file_source

    known = [f"{ENV_PREFIX}{name.upper()}" for name in (*Settings.model_fields, "env_file", "debug")]
    names = {name.upper(): name for name in os.environ}
    if file := os.environ.get(f"{ENV_PREFIX}ENV_FILE"):
        in_file = env_file_source(Settings, file).env_vars
        names = {name.upper(): name.upper() for name in in_file} | names
    found = {}
    for upper, name in sorted(names.items()):
        close = difflib.get_close_matches(upper, known, n=1, cutoff=_CLOSE)
        meant = close[0] if close and close[0] not in names else None
        if upper not in known and (meant or upper.startswith(ENV_PREFIX)):
            found[name] = meant
    return found


def misspelt_hint() -> str:
    """What to rename, before what is said of a setting that is missing."""
    return "".join(
        f"{name} is set, but is not a setting: rename it to {meant}. "
        for name, meant in misspelt().items()
        if meant
    )
