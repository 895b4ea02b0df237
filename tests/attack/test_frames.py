"""What shows an exception with all that was around it, as rich and error reporters do, shows no key and no password."""

from __future__ import annotations

import io
import json
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings
from rich.console import Console
from rich.traceback import Traceback

from aitoearn_openai import AsyncOpenAI, OpenAI, Settings

CANARY = "canary"
BAD = {
    "a site": {"AITOEARN_SITE": "mars"},
    "a key as the site": {"AITOEARN_SITE": f"ak_{CANARY}_0123456789"},
    "a timeout": {"AITOEARN_TIMEOUT": f"{CANARY} seconds"},
    "a password": {"AITOEARN_BASE_URL": f"https://me:{CANARY}@host.example"},
    "a query": {"AITOEARN_BASE_URL": f"https://host.example?key={CANARY}"},
    "a space": {"AITOEARN_API_KEY": f"{CANARY} key"},
    "quotes": {"AITOEARN_API_KEY": f"'{CANARY}'"},
    "a line end": {"AITOEARN_API_KEY": f"{CANARY}\nkey"},
}


def around(error: BaseException | None) -> str:
    """All that the frames of an exception, and of those that led to it, have in their variables."""
    told = []
    while error:
        shown = io.StringIO()
        trace = Traceback.from_exception(type(error), error, error.__traceback__, show_locals=True)
        Console(file=shown, width=500).print(trace)
        told += [shown.getvalue(), *traceback.format_exception(error)]
        if isinstance(error, ValidationError):
            told += [repr(error.errors()), error.json(), repr(error)]
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename != __file__:
                told += [f"{name} = {value!r}" for name, value in frame.f_locals.items()]
        error = error.__cause__ or error.__context__
    return "\n".join(told)


def in_variables(values: dict[str, str], _: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def in_a_file(values: dict[str, str], place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = place / "my.env"
    file.write_text("".join(f"{name}={json.dumps(value)}\n" for name, value in values.items()))
    monkeypatch.setenv("AITOEARN_ENV_FILE", str(file))


@pytest.mark.parametrize("make", [Settings, OpenAI, AsyncOpenAI])
@pytest.mark.parametrize("put", [in_variables, in_a_file])
@pytest.mark.parametrize("bad", BAD)
def test_a_bad_setting_shows_no_key(
    make: Callable[[], object], put: Any, bad: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in frames of ours or the libraries, nor in what the exception has; the good key beside it too."""
    put({"AITOEARN_API_KEY": f"{CANARY}-key", **BAD[bad]}, tmp_path, monkeypatch)
    with pytest.raises((ValidationError, openai.OpenAIError)) as caught:
        make()

    assert CANARY not in around(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"api_key": f"{CANARY} key"},
        {"api_key": f"{CANARY}-key", "site": "mars"},
        {"api_key": f"{CANARY}-key", "base_url": f"https://me:{CANARY}@host.example"},
        {"api_key": f"{CANARY}-key", "sit": "ai"},
    ],
    ids=repr,
)
@pytest.mark.parametrize("outer", [None, BaseModel, BaseSettings])
def test_settings_in_code_and_in_other_models_show_no_value(values: dict[str, str], outer: Any) -> None:
    """Neither by their own error nor by that of the outer model, which shows what it was given."""

    def make() -> object:
        if outer is None:
            return Settings(**values)  # type: ignore[arg-type]
        return type("Outer", (outer,), {"__annotations__": {"llm": Settings}})(llm=values)

    with pytest.raises(ValidationError) as caught:
        make()
    told = [str(caught.value), repr(caught.value.errors()), caught.value.json()]

    assert CANARY not in "".join(told)
    assert "errors.pydantic.dev" not in told[0]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"sit": "ai"}, "sit\n  Extra inputs are not permitted"),
        ({"site": "mars"}, "Input should be 'cn', 'ai' or 'sandbox'"),
        ({"timeout": "soon"}, "Input should be a valid number"),
        ({"base_url": "localhost"}, "write the address with its scheme"),
        (f"ak_{CANARY}", "valid dictionary or instance of Settings"),
    ],
)
def test_settings_inside_a_model_say_what_is_wrong(value: Any, words: str) -> None:
    """In the words of `Settings()`, once, under the name of the field."""

    class Outer(BaseModel):
        llm: Settings

    with pytest.raises(ValidationError, match=words) as caught:
        Outer(llm=value)

    assert [each["loc"][0] for each in caught.value.errors()] == ["llm"]
    assert CANARY not in str(caught.value)
    assert Outer.model_validate({"llm": {"site": "ai"}}).llm.base_url == "https://aitoearn.ai/api/ai"


def test_no_library_logs_a_key(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """pydantic-settings, where it is told to, logs what it reads."""
    monkeypatch.setenv("PYDANTIC_SETTINGS_DEBUG", "1")
    monkeypatch.setenv("AITOEARN_API_KEY", CANARY)
    caplog.set_level(logging.DEBUG)
    Settings(site="ai")

    assert CANARY not in caplog.text
