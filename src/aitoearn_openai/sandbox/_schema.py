"""The smallest value that a JSON schema allows, for tool arguments and structured answers.

Values are made from the keywords that SDKs write, and each is checked by a validator that knows all of them. It is imported
when there is a schema, as it takes longer than the rest of the sandbox.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from functools import lru_cache
from itertools import chain, count, islice, repeat
from typing import Any

import rstr
from jsonschema import Draft202012Validator, SchemaError
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

_UUID = "00000000-0000-{}000-8000-000000000000"
_FORMATS = {
    "date-time": "2026-01-01T00:00:00Z|2026-01-01T00:00:00",
    "date": "2026-01-01",
    "time": "00:00:00Z|00:00:00",
    "duration": "P1D",
    "email": "sandbox@example.com",
    "name-email": "Sandbox <sandbox@example.com>",
    "hostname": "sandbox.example.com",
    **dict.fromkeys(("ipv4", "ipv4interface", "ipvanyaddress", "ipvanyinterface"), "192.0.2.1"),
    **dict.fromkeys(("ipv6", "ipv6interface"), "2001:db8::1"),
    **dict.fromkeys(("ipv4network", "ipvanynetwork"), "192.0.2.1/32"),
    "ipv6network": "2001:db8::1/128",
    "uri": "https://example.com/",
    "multi-host-uri": "postgres://user@host.example.com/sandbox",
    "uuid": "|".join(_UUID.format(version) for version in "41235678"),
    **{f"uuid{version}": _UUID.format(version) for version in "12345678"},
    **dict.fromkeys(("base64", "base64url"), "AAAA"),
    "directory-path": ".",
}
"""What is of each format; bars part the values."""

_LIMITS = "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"
_KINDS = {
    "null": (),
    "boolean": (),
    "number": (*_LIMITS, "multipleOf"),
    "string": ("format", "pattern", "minLength", "maxLength"),
    "array": ("items", "prefixItems", "minItems"),
    "object": ("properties", "required", "minProperties"),
}
"""The types, with the keywords by which a schema without a type shows which it means."""

_MOST = 10_000
"""The values that are tried for a schema, and the characters of a text."""
_MOST_TRIES = 300
"""The values that are tried for one part of a schema."""
_MISSING = object()


class NoInstance(ValueError):
    """No value was found that the schema allows; says why."""


@lru_cache
def minimal(schema: str) -> str:
    """A minimal instance of the schema, both as JSON; always the same for a schema.

    Raises:
        NoInstance: the schema is not valid, allows nothing, or asks for more than the sandbox can find.
    """
    try:
        search = _Search(json.loads(schema))
        value = search.first(search.root.schema, frozenset())
    except SchemaError as error:
        raise NoInstance(f"it is not a valid JSON schema: {error.message:.200}") from None
    except Unresolvable as error:
        raise NoInstance(f"it has no {error.ref!r}") from None
    except BaseException as error:
        # Where the recursion ends in the registry of `referencing`, which is not in Python, it panics.
        if not isinstance(error, RecursionError) and type(error).__name__ != "PanicException":
            raise
        raise NoInstance("it leads back to itself without an end") from None
    if value is _MISSING:
        raise NoInstance(search.reason)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class _Search:
    def __init__(self, schema: Any) -> None:
        validator = validator_for(schema, default=Draft202012Validator)
        validator.check_schema(schema)
        # A registry of its own, as the default one fetches what a schema names.
        registry: Registry[Any] = Registry()
        self.root: Any = validator(schema, registry=registry)
        self.resolver = registry.resolver_with_root(DRAFT202012.create_resource(schema))
        self.steps = 0
        self.reason = ""

    def first(self, schema: Any, refs: frozenset[str]) -> Any:
        """The first candidate that the schema allows, if any.

        Args:
            schema: A part of the schema.
            refs: The references that led here. One that leads back adds nothing to the smallest value.
        """
        check = self.root.evolve(schema=schema)
        for value in islice(self._candidates(schema, refs), _MOST_TRIES):
            self.steps += 1
            if self.steps > _MOST:
                raise NoInstance(self.reason or "its values are too many or too large to look for")
            if check.is_valid(value):
                return value
        self.reason = self.reason or f"nothing is found for {json.dumps(schema):.200}"
        return _MISSING

    def _candidates(self, schema: Any, refs: frozenset[str]) -> Iterator[Any]:
        flat, refs = self._flat(schema, refs)
        yield from flat.get("examples", ())
        yield from (flat[name] for name in ("default", "const") if name in flat)
        if "const" in flat or "enum" in flat:
            yield from flat.get("enum", ())
            return
        if options := flat.pop("anyOf", None) or flat.pop("oneOf", None):
            for option in sorted(options, key=lambda option: option != {"type": "null"}):
                yield from self._candidates({**flat, "allOf": [option]}, refs)
            return
        kinds = flat.get("type", ())
        kinds = [kinds] if isinstance(kinds, str) else sorted(kinds, key=lambda kind: kind != "null")
        for kind in kinds or sorted(_KINDS, key=lambda kind: flat.keys().isdisjoint(_KINDS[kind])):
            match kind:
                case "null":
                    yield None
                case "boolean":
                    yield from (False, True)
                case "string":
                    yield from self._strings(flat, refs)
                case "array":
                    yield from self._arrays(flat, refs)
                case "object":
                    yield from self._objects(flat, refs)
                case _:
                    yield from _numbers(flat)

    def _flat(self, schema: Any, refs: frozenset[str]) -> tuple[dict[str, Any], frozenset[str]]:
        """The schema with what `$ref` and `allOf` stand for in it; no value where a reference leads back to itself."""
        flat = dict(schema) if isinstance(schema, dict) else {}
        parts = flat.pop("allOf", [])
        if (ref := flat.pop("$ref", None)) is not None:
            if ref in refs:
                return {"enum": []}, refs
            refs |= {ref}
            parts = [self.resolver.lookup(ref).contents, *parts]
        for each in parts:
            part, refs = self._flat(each, refs)
            both = {
                "required": [*flat.get("required", ()), *part.get("required", ())],
                "properties": {**part.get("properties", {}), **flat.get("properties", {})},
            }
            flat = {**part, **flat} | {name: value for name, value in both.items() if value}
        return flat, refs

    def _objects(self, schema: dict[str, Any], refs: frozenset[str]) -> Iterator[Any]:
        properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        names = dict.fromkeys(schema.get("required", ()))
        for name in (*properties, "sandbox"):
            if len(names) < schema.get("minProperties", 0):
                names[name] = None
        for row in self._rows((properties.get(name, others) for name in names), refs):
            yield dict(zip(names, row, strict=True))

    def _arrays(self, schema: dict[str, Any], refs: frozenset[str]) -> Iterator[Any]:
        items, prefix = schema.get("items", True), schema.get("prefixItems", [])
        if isinstance(items, list):  # As drafts before 2020-12 write `prefixItems`.
            items, prefix = schema.get("additionalItems", True), items
        least = int(schema.get("minContains", "contains" in schema))
        contained = repeat({"allOf": [schema.get("contains", True), items]}, least)
        others = repeat(items, int(schema.get("minItems", 0)) - len(prefix) - least)
        yield from self._rows(chain(prefix, contained, others), refs)

    def _rows(self, schemas: Iterable[Any], refs: frozenset[str]) -> Iterator[list[Any]]:
        """The first value of each, if there are any."""
        row = [self.first(schema, refs) for schema in schemas]
        if _MISSING not in row:
            yield row

    def _strings(self, schema: dict[str, Any], refs: frozenset[str]) -> Iterator[str]:
        if schema.get("contentMediaType") == "application/json":
            row = self._rows([schema.get("contentSchema", True)], refs)
            yield from map(json.dumps, chain.from_iterable(row))
        if schema.get("format") in _FORMATS:
            # And nothing else, as the validator does not know each format.
            yield from _FORMATS[schema["format"]].split("|")
            return
        if "pattern" in schema:
            yield from _matches(schema["pattern"])
        text, least = "sandbox", int(min(schema.get("minLength", 0), _MOST))
        length = max(least, min(len(text), int(schema.get("maxLength", _MOST))))
        yield (text * (1 + least // len(text)))[:length]


def _matches(pattern: str) -> Iterator[str]:
    """Texts that match a pattern, mostly: not every part of one is read."""
    for spread in range(100):
        with suppress(Exception):  # Of any kind, where there is what it does not know.
            yield rstr.Rstr(_Choices(spread)).xeger(pattern)


class _Choices(random.Random):
    """What comes out is the same each time: it repeats a part a few times more at most, and prefers what can be read."""

    def __init__(self, spread: int) -> None:
        super().__init__(spread)
        self.spread = spread

    def randint(self, a: int, b: int) -> int:
        return super().randint(a, min(b, a + self.spread))

    def choice(self, seq: Any) -> Any:
        # The order of a set of texts differs from process to process.
        options = sorted(seq, key=str)
        return super().choice([each for each in options if str(each).isalnum()] or options)


def _numbers(schema: dict[str, Any]) -> Iterator[float]:
    """Zero, the limits, what is between them, and the multiples beside these."""
    # By their texts, in which 0.1 is a tenth. In draft 4 the exclusive limits are true or false.
    limits = [Fraction(str(schema[name])) for name in _LIMITS if not isinstance(schema.get(name, True), bool)]
    starts = [Fraction(0), *limits, sum(limits, Fraction()) / max(1, len(limits))]
    step = Fraction(str(schema.get("multipleOf", 1)))
    nearest = [round(start / step) for start in reversed(starts)]
    multiples = (
        (each + sign * distance) * step for distance in count() for each in nearest for sign in (1, -1)
    )
    return (int(value) if value.denominator == 1 else float(value) for value in chain(starts, multiples))
