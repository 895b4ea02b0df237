"""What shows an exception with all that was around it, as rich and error reporters do, shows no key and no password."""

from __future__ import annotations

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
        told += [*traceback.format_exception(error), str(error), repr(error)]
        if isinstance(error, ValidationError):
            told += [repr(error.errors()), error.json()]
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename != __file__:
                told += [f"{name} = {value!r}" for name, value in frame.f_locals.items()]
        error = error.__cause__ or error.__context__
    return "\n".join(told)


def put(bad: str, file: Path | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set it; not in the frame of a test, which would show it."""
    values = {"AITOEARN_API_KEY": f"{CANARY}-key", **BAD[bad]}
    if file:
        file.write_text("".join(f"{name}={json.dumps(value)}\n" for name, value in values.items()))
        values = {"AITOEARN_ENV_FILE": str(file)}
    for name, value in values.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("make", [Settings, OpenAI, AsyncOpenAI])
@pytest.mark.parametrize("in_a_file", [True, False])
@pytest.mark.parametrize("bad", BAD)
def test_a_bad_setting_shows_no_key(
    make: Callable[[], object], in_a_file: bool, bad: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in frames of ours or the libraries, nor in what the exception has; the good key beside it too."""
    put(bad, tmp_path / "my.env" if in_a_file else None, monkeypatch)
    with pytest.raises((ValidationError, openai.OpenAIError)) as caught:
        make()

    assert CANARY not in around(caught.value)


@pytest.mark.parametrize("outer", [None, BaseModel, BaseSettings])
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"api_key": f"{CANARY} key"}, "key"),
        ({"site": "mars"}, "Input should be 'cn', 'ai' or 'sandbox'"),
        ({"timeout": f"{CANARY} seconds"}, "Input should be a valid number"),
        ({"base_url": f"https://me:{CANARY}@host.example"}, "user name and password"),
        ({"base_url": "localhost"}, "write the address with its scheme"),
        ({"sit": "ai"}, "Extra inputs are not permitted"),
        (f"ak_{CANARY}", "valid dictionary or instance of Settings"),
    ],
    ids=str,
)
def test_settings_in_code_and_in_other_models_show_no_value(values: Any, words: str, outer: Any) -> None:
    """Neither by their own error nor by that of the outer model, which names the field, in the words of `Settings()`."""
    values = {"api_key": f"{CANARY}-key", **values} if isinstance(values, dict) else values
    make: Any = lambda llm: Settings(**llm) if isinstance(llm, dict) else Settings.model_validate(llm)
    if outer:
        make = type("Outer", (outer,), {"__annotations__": {"llm": Settings}})
    with pytest.raises((TypeError, ValidationError), match=words) as caught:
        make(llm=values)
    error = caught.value
    told = [str(error)]
    if isinstance(error, ValidationError):
        told += [repr(error.errors()), error.json()]
        assert outer is None or [each["loc"][0] for each in error.errors()] == ["llm"]

    assert CANARY not in "".join(told)
    assert "errors.pydantic.dev" not in told[0] or isinstance(values, str)


def test_no_library_logs_a_key(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """pydantic-settings, where it is told to, logs what it reads."""
    monkeypatch.setenv("PYDANTIC_SETTINGS_DEBUG", "1")
    monkeypatch.setenv("AITOEARN_API_KEY", CANARY)
    caplog.set_level(logging.DEBUG)
    Settings(site="ai")

    assert CANARY not in caplog.text
