"""Where the client finds its key, its site and its limits: `AITOEARN_*` and nothing else."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable, Mapping
from functools import partial, wraps
from stat import S_ISFIFO
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource, SettingsConfigDict

from ._sites import API_PATH, ENV_PREFIX, SANDBOX_KEY, SITES, normalize_base_url

if TYPE_CHECKING:
    from pydantic import ModelWrapValidatorHandler
    from typing_extensions import Self

_KEY = re.compile(r"[!#-&(-~]*")
_SCHEME = re.compile(r"^(authorization\s*:\s*)?(bearer(\s+|$))*", re.IGNORECASE)


def missing_key(settings: Settings) -> str:
    """What to do without a key."""
    origin, hint = settings.base_url.removesuffix(API_PATH), misspelt_hint()
    if os.path.isfile(".env") and not os.environ.get(f"{ENV_PREFIX}ENV_FILE"):
        hint += "The file .env is not read by itself: set AITOEARN_ENV_FILE=.env if it is yours. "
    if origin not in SITES.values():
        return f"{hint}There is no key for {origin}: set AITOEARN_API_KEY, or unset AITOEARN_BASE_URL if that is not wanted."
    other = "ai" if origin == SITES["cn"] else "cn"
    return (
        f"{hint}There is no AiToEarn key. Create one at {origin} (Settings, then API Key) and set AITOEARN_API_KEY; "
        f"for a key of {SITES[other]}, set AITOEARN_SITE={other} too. "
        "OPENAI_API_KEY is never used: it belongs to another service. "
        "To try things out without a key, set AITOEARN_SITE=sandbox and run `aitoearn-openai sandbox`."
    )


def misspelt_hint() -> str:
    """Which variables are nearly settings, and how to rename them; before what is said of a setting that is missing."""
    import difflib

    known = [f"{ENV_PREFIX}{name.upper()}" for name in (*Settings.model_fields, "env_file", "debug")]
    names = {name.upper(): name for name in os.environ}
    file = os.environ.get(f"{ENV_PREFIX}ENV_FILE")
    if file and os.path.isfile(os.path.expanduser(file)):  # A pipe can be read only once.
        names = {name.upper(): name.upper() for name in env_file_source(Settings, file).env_vars} | names
    hints = []
    for upper in sorted(names.keys() - known):
        for meant in difflib.get_close_matches(upper, known, n=1, cutoff=0.82):  # Unlike OPENAI_API_KEY.
            if meant not in names:
                hints.append(f"{names[upper]} is set, but is not a setting: rename it to {meant}. ")
    return "".join(hints)


def env_file_source(settings_class: type[BaseSettings], path: str | os.PathLike[str]) -> DotEnvSettingsSource:
    """The settings in a `.env` file, which is in UTF-8, or in UTF-16 with its mark, as files of Windows are.

    Raises:
        openai.OpenAIError: the file cannot be read; names it, and holds nothing of its content.
    """
    path = os.path.expanduser(path)
    reason = "is not UTF-8 text; save it with the encoding UTF-8"
    try:
        encoding = "utf-8-sig"
        if not S_ISFIFO(os.stat(path).st_mode):  # A pipe can be read only once.
            with open(path, "rb") as file:
                if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                    encoding = "utf-16"
        source = DotEnvSettingsSource(settings_class, env_file=path, env_file_encoding=encoding)
        names = "".join(source.env_vars)
        # A part in another encoding, such as PowerShell appends: its settings would be lost.
        if "\0" not in names and "\ufeff" not in names:
            return source
    except UnicodeError:
        pass
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    # Raised out here, so that the traceback does not carry the decoder's error and with it the content.
    from openai import OpenAIError

    raise OpenAIError(f"{ENV_PREFIX}ENV_FILE (or _env_file): {path!r} {reason}")


class Settings(BaseSettings):
    """Settings of a client: arguments first, then `AITOEARN_*` variables, then the named `.env` file.

    A `.env` file is read only when `AITOEARN_ENV_FILE` (or `Settings(_env_file=...)`) names it, never
    because it lies in the working directory.

    Raises:
        pydantic.ValidationError: for a bad value; the value itself is not shown.
        openai.OpenAIError: the `.env` file is missing, or is not text.

    Examples:
        >>> Settings(site="ai").base_url
        'https://aitoearn.ai/api/ai'
    """

    model_config = SettingsConfigDict(
        defer_build=True,
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    site: Literal["cn", "ai", "sandbox"] = "cn"
    """The site: `cn` (aitoearn.cn), `ai` (aitoearn.ai) or `sandbox` (the local stand-in)."""

    base_url: str = Field(default="", validate_default=True)
    """The SDK base URL, in any form that the service's guides show; by default the site's.

    It wins over a `site` from the same place; a site given in code wins over both variables.
    """

    api_key: SecretStr | None = Field(default=None, validate_default=True)
    """The key. It belongs to one site: a key of aitoearn.cn is refused by aitoearn.ai and the reverse.

    At the sandbox's own address it is `sandbox`, or begins so, so that a key of a real site never goes there.
    """

    model: str | None = None
    """The model that the command line uses."""

    timeout: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Seconds until a request times out; None leaves the SDK's default."""

    max_retries: int | None = Field(default=None, ge=0)
    """How often the SDK repeats a failed request; None leaves the SDK's default."""

    http_backend: Literal["httpx", "aiohttp"] = "httpx"
    """What `AsyncOpenAI` speaks HTTP with; `aiohttp` (extra `aiohttp`) carries more calls at once."""

    @field_validator("*", mode="before")
    @classmethod
    def _reveal(cls, value: object, info: ValidationInfo) -> object:
        """Take out what was hidden until here, but for the key."""
        if isinstance(value, SecretStr) and info.field_name != "api_key":
            value = value.get_secret_value()
        is_name = isinstance(value, str) and info.field_name in ("site", "http_backend")
        return value.strip().lower() if is_name else value  # type: ignore[attr-defined]

    @field_validator("base_url")
    @classmethod
    def _resolve_base_url(cls, value: str, info: ValidationInfo) -> str:
        if value.strip():
            return normalize_base_url(value)
        return SITES[info.data["site"]] + API_PATH if "site" in info.data else value

    @field_validator("api_key")
    @classmethod
    def _resolve_key(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        key = _SCHEME.sub("", value.get_secret_value().strip()) if value else ""
        if not _KEY.fullmatch(key):
            raise ValueError(
                "a key has no spaces, line ends, quotes or letters beyond ASCII; copy it once more"
            )
        at_home = info.data.get("base_url") == SITES["sandbox"] + API_PATH and not key.startswith(SANDBOX_KEY)
        if at_home or (not key and info.data.get("site") == "sandbox"):
            key = SANDBOX_KEY
        return SecretStr(key) if key else None

    @model_validator(mode="wrap")
    @classmethod
    def _without_values(cls, values: Any, make: ModelWrapValidatorHandler[Self]) -> Self:
        """Raise errors without the values, which may hold a key or a password."""
        try:
            return make(values)
        except ValidationError as error:
            problems = [
                InitErrorDetails(
                    type=PydanticCustomError(each["type"], each["msg"].removeprefix("Value error, ")),
                    loc=each["loc"],
                    input="**********",
                )
                for each in error.errors(include_url=False)
            ]
        # Raised out here, so that the traceback does not carry the library's error and with it the values.
        raise ValidationError.from_exception_data(cls.__name__, problems, hide_input=True)

    if TYPE_CHECKING:  # The library would have type checkers ask for a `SecretStr`, and know no `_env_file`.

        def __init__(
            self,
            *,
            site: Literal["cn", "ai", "sandbox"] = ...,
            base_url: str = ...,
            api_key: str | SecretStr | None = ...,
            model: str | None = ...,
            timeout: float | None = ...,
            max_retries: int | None = ...,
            http_backend: Literal["httpx", "aiohttp"] = ...,
            _env_file: str | os.PathLike[str] | None = ...,
        ) -> None:
            """Read settings. What is not given comes from `AITOEARN_*` variables, then from the named `.env` file."""

    else:

        @wraps(BaseSettings.__init__)
        def __init__(self, **values):
            values = _hidden(values)  # Tracebacks show this frame.
            found = _read_variables(type(self), values.pop("_env_file", None))
            if "site" in values:  # Its address wins over the variables'.
                found.pop("base_url", None)
            # Not that of `BaseSettings`, which lets out errors that hold the content of the file.
            super(BaseSettings, self).__init__(**{**found, **values})
            self.model_fields_set.intersection_update(values)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other values, which count as given in code; pydantic checks none of them."""
        if update and isinstance(key := update.get("api_key"), str):
            update = {**update, "api_key": SecretStr(key)}
        return super().model_copy(update=update, deep=deep)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what was given in code; a key takes its address along.

        What came from variables or a file does not travel: the other side reads its own.
        """
        values = {name: getattr(self, name) for name in self.model_fields_set}
        if values.get("api_key"):
            values["base_url"] = self.base_url
        return partial(type(self), **values), ()


def _read_variables(
    settings_class: type[BaseSettings], file: str | os.PathLike[str] | None
) -> dict[str, Any]:
    """What the variables say and, where they do not, the named `.env` file."""
    file = file or os.environ.get(f"{ENV_PREFIX}ENV_FILE")
    in_file = env_file_source(settings_class, file)() if file else {}
    variables = EnvSettingsSource(settings_class)()
    if "site" in variables:  # Its address wins over the file's.
        in_file.pop("base_url", None)
    found = {**in_file, **variables}
    return _hidden({name: found[name] for name in found.keys() & settings_class.model_fields})


def _hidden(values: dict[str, Any]) -> dict[str, Any]:
    """The values so that no frame, log or error of the libraries shows them."""
    return {
        name: SecretStr(each) if isinstance(each, str) and not name.startswith("_") else each
        for name, each in values.items()
    }


def load(only: Iterable[str] = Settings.model_fields) -> Settings:
    """Settings from the environment, with each bad value of the wanted fields reported under the name of its variable.

    Raises:
        openai.OpenAIError: names the variables and what is allowed; no value is in it.
    """
    try:
        fields: Any = Settings.model_fields
        return Settings(**{name: field.default for name, field in fields.items() if name not in only})
    except ValidationError as error:
        message = "; ".join(
            f"{ENV_PREFIX}{str(each['loc'][0]).upper()}: {each['msg']}" for each in error.errors()
        )
    # Raised out here, so that the traceback does not carry the library's error and with it the value.
    from openai import OpenAIError

    raise OpenAIError(message)
