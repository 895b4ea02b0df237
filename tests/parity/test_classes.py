"""What an editor, a framework or `isinstance` sees of the classes, and how wrong arguments fail."""

from __future__ import annotations

import inspect
import re
import typing
from typing import Any

import openai
import pytest

import aitoearn_openai
from conftest import complete
from parity.calls import ANSWER
from parity.twins import Each, Twins

PAIRS = [
    pytest.param(aitoearn_openai.OpenAI, openai.OpenAI, id="sync"),
    pytest.param(aitoearn_openai.AsyncOpenAI, openai.AsyncOpenAI, id="async"),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_an_editor_or_a_framework_that_inspects_the_class_sees_the_sdks(ours: type, theirs: type) -> None:
    """Every name that the SDK's class has is there, with its signature and its type hints."""
    assert set(dir(ours)) >= set(dir(theirs))
    for name in dir(theirs):
        member, its_member = getattr(ours, name), getattr(theirs, name)
        if inspect.isfunction(its_member) and (name == "__init__" or not name.startswith("_")):
            assert inspect.signature(member) == inspect.signature(its_member), name
    assert typing.get_type_hints(ours.__init__) == typing.get_type_hints(theirs.__init__)
    assert ours.__name__ == theirs.__name__


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_code_that_checks_for_the_sdks_client_accepts_ours(ours: type, theirs: type) -> None:
    """Tracers and agents ask with `isinstance`, and print a client without its key."""
    ours_shown, theirs_shown = (repr(each(api_key="sk-secret")) for each in (ours, theirs))

    assert isinstance(ours(api_key="k"), theirs)
    assert re.sub(r"[\w.]+\.|0x\w+", "", ours_shown) == re.sub(r"[\w.]+\.|0x\w+", "", theirs_shown)
    assert "secret" not in ours_shown


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_retries": None},
        {"max_retries": "3"},
        {"http_client": 7},
        {"http_client": "wrong kind"},
        {"base_url": 7},
        {"base_url": ""},
        {"default_headers": {"X-One": None}},
        {"default_headers": {"X-One": 1}},
        {"unheard_of": 1},
        {"api_key": 7},
    ],
    ids=repr,
)
def test_a_wrong_argument_is_told_as_the_sdk_tells_it(twins: Twins, arguments: dict[str, Any]) -> None:
    """At once or with the first call, with the same exception."""
    if arguments.get("http_client") == "wrong kind":
        wrong = Twins(not twins.is_async, twins.server)
        arguments = {"http_client": Each(wrong.pool)}
    twins.same(complete("m"), ANSWER, **arguments)


def test_a_misspelt_key_is_told_as_a_misspelt_argument(twins: Twins) -> None:
    """`api_kee=` is a TypeError, and not the news that there is no key."""
    twins.same(complete("m"), api_key=..., api_kee="k")
