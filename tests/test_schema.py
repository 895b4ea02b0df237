"""Structured answers and tool arguments of the sandbox: values that the schema allows, or the reason why there are none."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import uuid
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Annotated, Any, Literal

import openai
import pydantic
import pytest
from pydantic import Field

from aitoearn_openai import OpenAI
from aitoearn_openai.sandbox import Sandbox
from conftest import MESSAGES, complete


@pytest.fixture(scope="module")
def client(site: Sandbox) -> Iterator[openai.OpenAI]:
    with OpenAI.from_settings(site.settings, max_retries=0) as client:
        yield client


def ask_for(client: Any, schema: Any) -> Any:
    """A structured answer by this schema."""
    wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    return complete("glm-5.2", response_format=wanted)(client)


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]
    name: str


class Formula(pydantic.BaseModel):
    term: Sum | int


class Sum(pydantic.BaseModel):
    left: Formula
    right: Formula


Colour = enum.Enum("Colour", {"red": "r", "blue": "b"})
UUIDS = [getattr(pydantic, f"UUID{n}") for n in "13456788" if hasattr(pydantic, f"UUID{n}")]
KINDS: dict[str, list[Any]] = {
    "strings": [str, Annotated[str, Field(min_length=20)], Annotated[str, Field(max_length=3)]],
    "patterns": [
        Annotated[str, Field(pattern=r"^[A-Z]{2}\d+$")],
        Annotated[str, Field(pattern=r"^\S+@\S+$", min_length=12, max_length=14)],
        Annotated[str, Field(pattern=r"^[^<>]+$")],
    ],
    "formats": [pydantic.Base64Bytes, pydantic.EmailStr, pydantic.NameEmail, pydantic.DirectoryPath],
    "texts of JSON": [pydantic.Json[list[int]]],
    "UUIDs": [uuid.UUID, *UUIDS],
    "numbers": [
        int,
        Annotated[decimal.Decimal, Field(max_digits=5, decimal_places=2, gt=3)],
        Annotated[int, Field(multiple_of=7, gt=3)],
        Annotated[float, Field(multiple_of=0.1, gt=0.25, lt=0.5)],
        Annotated[float, Field(gt=1e-9, lt=2e-9)],
    ],
    "dates": [datetime.date, datetime.datetime, datetime.time, datetime.timedelta],
    "URLs": [pydantic.HttpUrl, pydantic.PostgresDsn],
    "IP": [IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network],
    "choices": [bool, None, int | None, Literal["a", 1], Colour],
    "models": [Formula, Annotated[Cat | Dog, Field(discriminator="kind")]],
    "containers": [tuple[int, str, tuple[bool, None]], frozenset[Colour], dict[str, int]],
    "lists": [Annotated[list[Cat], Field(min_length=2)]],
    "what only its author knows": [
        Annotated[pydantic.FutureDate, Field(examples=["3000-01-01"])],
        Annotated[pydantic.ImportString[Any], Field(examples=["os.path"])],
    ],
}


@pytest.mark.parametrize("kinds", KINDS.values(), ids=KINDS)
def test_a_pydantic_type_is_answered_with_a_value_of_it(client: openai.OpenAI, kinds: list[Any]) -> None:
    """As a structured answer, and as the argument of a tool that is forced."""
    for kind in kinds:
        model = pydantic.create_model("Event", value=(kind, ...))
        answer = client.chat.completions.parse(model="glm-5.2", messages=MESSAGES, response_format=model)
        assert isinstance(answer.choices[0].message.parsed, model)
    tools: Any = {"tools": [openai.pydantic_function_tool(model)], "tool_choice": "required"}
    answer = client.chat.completions.parse(model="glm-5.2", messages=MESSAGES, **tools)
    called: Any = answer.choices[0].message.tool_calls
    assert isinstance(called[0].function.parsed_arguments, model)


ITSELF = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}
ZOD_EMAIL = (
    r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"
)
ZOD_TIME = r"^(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?$"
A = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
B = {"properties": {"b": {"const": 5}}, "required": ["b"]}
DRAFT_7 = {"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "minItems": 2}
INTEGER = {"type": "integer"}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (True, None),
        ({"properties": {"a": {"type": "boolean"}, "b": {}}, "required": ["a"]}, {"a": False}),
        ({"required": ["a"], "additionalProperties": INTEGER}, {"a": 0}),
        ({"type": "string", "enum": [1, "red", "blue"]}, "red"),
        ({"type": "string", "default": "x", "minLength": 7}, "sandbox"),
        ({"type": "string", "default": "x", "examples": ["y"]}, "y"),
        ({"anyOf": [INTEGER, {"type": "null"}]}, None),
        ({"anyOf": [INTEGER, {"type": "string"}], "minLength": 8}, 0),
        ({"anyOf": [{"minimum": 2}, {"type": "string"}], "type": "number"}, 2),
        ({"allOf": [A, B]}, {"a": "sandbox", "b": 5}),
        ({"allOf": [{"$ref": "#/$defs/x"}], "maxLength": 2, "$defs": {"x": {"type": "string"}}}, "sa"),
        ({"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": INTEGER}}, 0),
        ({"$ref": "#here", "$defs": {"x": {"$anchor": "here", "type": "integer"}}}, 0),
        ({"anyOf": [ITSELF, {"type": "string"}]}, {"next": "sandbox"}),
        (DRAFT_7 | {"items": [{"type": "string"}], "additionalItems": INTEGER}, ["sandbox", 0]),
        ({"type": "integer", "minimum": 1.5}, 2),
        ({"type": "integer", "minimum": 2**70, "multipleOf": 3}, 2**70 + 2),
        ({"type": "array", "items": INTEGER, "minItems": 2.0}, [0, 0]),
        ({"type": "string", "minLength": 2.0, "maxLength": 3.0}, "san"),
        ({"exclusiveMaximum": -3}, -4),
        ({"type": "object", "minProperties": 1, "additionalProperties": INTEGER}, {"sandbox": 0}),
        ({"minProperties": 1, "properties": {"a": INTEGER}, "additionalProperties": False}, {"a": 0}),
        ({"type": "array", "contains": INTEGER}, [0]),
        ({"type": "array", "contains": {"const": 7}, "items": INTEGER, "minItems": 2}, [7, 0]),
        ({"type": "array", "contains": INTEGER, "minContains": 2}, [0, 0]),
        ({"not": {"type": "null"}}, False),
        ({"type": "string", "format": "email", "pattern": ZOD_EMAIL}, "sandbox@example.com"),
        ({"type": "string", "format": "time", "pattern": ZOD_TIME}, "00:00:00"),
        ({"type": "string", "format": "of the author's"}, "sandbox"),
        ({"type": "string", "contentMediaType": "application/json", "contentSchema": {"const": [1]}}, "[1]"),
    ],
)
def test_whoever_wants_a_schema_gets_the_least_that_fits(client: Any, schema: Any, value: Any) -> None:
    """Of what pydantic, zod and people write."""
    got = json.loads(ask_for(client, schema).choices[0].message.content or "")
    assert got == value
    assert type(got) is type(value)


LONG: Any = {"type": "array", "minItems": 1000, "items": {"type": "null"}}


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "strin"}, "not a valid JSON schema: 'strin' is not valid"),
        ({"type": "string", "pattern": r"^\p{L}+$"}, r"'^\\p{L}+$' is not a 'regex'"),
        *(
            (schema, f"found for {json.dumps(schema)}")
            for schema in (
                {"type": "string", "pattern": "^a+$", "maxLength": 0},
                {"type": "string", "pattern": "^a{65536}$"},
                {"type": "string", "format": "date", "pattern": "^1999"},
                {"type": "string", "minLength": 10**9},
                {"type": "array", "minItems": 2, "uniqueItems": True},
                {"type": "object", "minProperties": 2},  # Of names that the schema does not have.
                {"oneOf": [{"type": "number"}, INTEGER]},
                {"anyOf": [{"type": "boolean"}], "not": {"type": "boolean"}},
                {"type": "integer", "minimum": 5, "maximum": 4},
            )
        ),
        (ITSELF, 'found for {"$ref": "#"}'),
        ({"allOf": [{"$ref": "#"}]}, 'found for {"allOf": '),
        ({"anyOf": [{"$ref": "#"}, {"type": "string"}]}, "leads back to itself"),
        ({"type": "string", "not": {"$ref": "#"}}, "leads back to itself"),
        ({"$ref": "#/$defs/missing"}, "it has no '/$defs/missing'"),
        ({"$ref": "http://127.0.0.1:9/schema"}, "it has no 'http://127.0.0.1:9/schema'"),
        ({"type": "array", "minItems": 10**9}, "too many or too large"),
        ({**LONG, "items": LONG}, "too many or too large"),
    ],
)
def test_a_schema_that_is_not_imitated_is_refused(client: openai.OpenAI, schema: Any, why: str) -> None:
    """With the keyword, and what to do; never a value that the schema does not allow."""
    with pytest.raises(openai.BadRequestError) as refused:
        ask_for(client, schema)
    assert why in str(refused.value)
