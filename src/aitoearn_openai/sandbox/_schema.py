"""The smallest value that a JSON schema allows, for tool arguments and structured answers.

Values are made from the keywords that SDKs write, and each is checked by a validator that knows all of them.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from functools import lru_cache
from itertools import chain, count, islice
from typing import Any

_NUMBERS = range(1, 29)
"""The numbers in values of a format, each of them a day of every month."""

_FORMATS = {
    "date-time": "2026-01-{:02}T00:00:00Z|2026-01-{:02}T00:00:00",
    "date": "2026-01-{:02}",
    "time": "00:00:{:02}Z|00:00:{:02}",
    "duration": "P{}D",
    "email idn-email": "sandbox{}@example.com",
    "name-email": "Sandbox <sandbox{}@example.com>",
    "hostname idn-hostname": "sandbox{}.example.com",
    "ipv4 ipv4interface ipvanyaddress ipvanyinterface": "192.0.2.{}",
    "ipv6 ipv6interface": "2001:db8::{}",
    "ipv4network ipvanynetwork": "192.0.2.{}/32",
    "ipv6network": "2001:db8::{}/128",
    "uri uri-reference uri-template iri iri-reference url": "https://example.com/{}",
    "multi-host-uri": "postgres://user@host{}.example.com/sandbox",
    "uuid": "|".join(f"00000000-0000-{version}000-8000-0000000000{{:02}}" for version in "41235678"),
    **{f"uuid{version}": f"00000000-0000-{version}000-8000-0000000000{{:02}}" for version in "12345678"},
    "json-pointer": "/{}",
    "relative-json-pointer json-string": "{}",
    "base64 base64url": "AA{:02}",
    "directory-path": ".",
}
"""What is of each format, with a place for a number. Spaces part the names, bars the values."""
_TEMPLATES = {name: values.split("|") for names, values in _FORMATS.items() for name in names.split()}

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

_ATOMS: dict[str, list[Any]] = {"null": [None], "boolean": [False, True]}

_MOST_ITEMS = 1000
_MOST_CHARACTERS = 10_000
_MOST_STEPS = 10_000
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

    Examples:
        >>> minimal('{"properties": {"city": {"type": "string"}, "days": {}}, "required": ["city"]}')
        '{"city":"sandbox"}'
    """
    # Not before there is a schema: they are more to import than the rest of the sandbox.
    from jsonschema import SchemaError
    from referencing.exceptions import Unresolvable

    try:
        search = _Search(json.loads(schema))
        for value in search.values(search.root.schema, frozenset()):
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except SchemaError as error:
        raise NoInstance(f"it is not a valid JSON schema: {error.message:.200}") from None
    except Unresolvable as error:
        raise NoInstance(f"it has no {error.ref!r}") from None
    except BaseException as error:
        # Where the recursion ends in the registry of `referencing`, which is not in Python, it panics.
        if not isinstance(error, RecursionError) and type(error).__name__ != "PanicException":
            raise
        raise NoInstance("it leads back to itself without an end") from None
    raise NoInstance(search.reason)


class _Search:
    def __init__(self, schema: Any) -> None:
        from jsonschema import Draft202012Validator
        from jsonschema.validators import validator_for
        from referencing import Registry
        from referencing.jsonschema import DRAFT202012

        validator = validator_for(schema, default=Draft202012Validator)
        validator.check_schema(schema)
        # A registry of its own, as the default one fetches what a schema names.
        registry: Registry[Any] = Registry()
        self.root: Any = validator(schema, registry=registry)
        self.resolver = registry.resolver_with_root(DRAFT202012.create_resource(schema))
        self.steps = 0
        self.reason = ""

    def values(self, schema: Any, refs: frozenset[str]) -> Iterator[Any]:
        """Different values that the schema allows, the smallest first.

        Args:
            schema: A part of the schema.
            refs: The references that led here. One that leads back adds nothing to the smallest value.
        """
        check = self.root.evolve(schema=schema)
        seen: set[str] = set()
        for value in islice(self._candidates(schema, refs), _MOST_TRIES):
            self.steps += 1
            if self.steps > _MOST_STEPS:
                raise NoInstance(self.reason or "its values are too many or too large to look for")
            key = json.dumps(value, sort_keys=True)
            if key not in seen and check.is_valid(value):
                seen.add(key)
                yield value
        if not seen:
            self.reason = self.reason or f"nothing is found for {json.dumps(schema):.200}"

    def _candidates(self, schema: Any, refs: frozenset[str]) -> Iterator[Any]:
        flat, refs = self._flat(schema, refs)
        yield from flat.get("examples", ())
        if "default" in flat:
            yield flat["default"]
        if "const" in flat or "enum" in flat:
            yield from [flat["const"]] if "const" in flat else flat["enum"]
            return
        if options := flat.pop("anyOf", None) or flat.pop("oneOf", None):
            for option in sorted(options, key=lambda option: option != {"type": "null"}):
                yield from self._candidates({**flat, "allOf": [option]}, refs)
            return
        kinds = flat.get("type", ())
        kinds = [kinds] if isinstance(kinds, str) else sorted(kinds, key=lambda kind: kind != "null")
        for kind in kinds or sorted(_KINDS, key=lambda kind: flat.keys().isdisjoint(_KINDS[kind])):
            if kind in ("object", "array", "string"):
                make = {"object": self._objects, "array": self._arrays, "string": self._strings}[kind]
                yield from make(flat, refs)
            else:
                yield from _ATOMS.get(kind) or _numbers(flat)

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
        properties, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        names = dict.fromkeys(schema.get("required", ()))
        more = chain(
            properties,
            *(self.values({"type": "string", "pattern": pattern}, refs) for pattern in patterns),
            self.values({"type": "string", "allOf": [schema.get("propertyNames", True)]}, refs),
        )
        while len(names) < int(schema.get("minProperties", 0)) and (name := next(more, None)) is not None:
            names[name] = None

        def schema_of(name: str) -> Any:
            matching = [patterns[pattern] for pattern in patterns if re.search(pattern, name)]
            return properties.get(name, (matching or [schema.get("additionalProperties", True)])[0])

        for row in _rows([self.values(schema_of(name), refs) for name in names]):
            yield dict(zip(names, row, strict=True))

    def _arrays(self, schema: dict[str, Any], refs: frozenset[str]) -> Iterator[Any]:
        items, prefix = schema.get("items", True), schema.get("prefixItems", [])
        if isinstance(items, list):  # As drafts before 2020-12 write `prefixItems`.
            items, prefix = schema.get("additionalItems", True), items
        least = int(schema.get("minItems", 0))
        if least > _MOST_ITEMS:
            return
        start = max(least, len(prefix))
        for length in (*range(start, start + 28), *range(least, start)):
            schemas = [*prefix, *[items] * (length - len(prefix))][:length]
            # In a set, each place leaves out as many values as stand before it.
            is_set, streams = bool(schema.get("uniqueItems")), [self.values(each, refs) for each in schemas]
            yield from _rows([islice(stream, place * is_set, None) for place, stream in enumerate(streams)])

    def _strings(self, schema: dict[str, Any], refs: frozenset[str]) -> Iterator[str]:
        if schema.get("contentMediaType") == "application/json":
            yield from map(json.dumps, self.values(schema.get("contentSchema", True), refs))
        if templates := _TEMPLATES.get(schema.get("format", "")):
            # And nothing else, as the validator does not know each format.
            yield from (template.format(number) for template in templates for number in _NUMBERS)
            return
        if "pattern" in schema:
            yield from _matches(schema["pattern"])
        least = int(min(schema.get("minLength", 0), _MOST_CHARACTERS))
        for number in ("", *_NUMBERS):
            text = f"{number}sandbox"
            yield (text * (1 + least // len(text)))[: max(least, len(text))][
                : int(schema.get("maxLength", sys.maxsize))
            ]


def _rows(streams: list[Iterator[Any]]) -> Iterator[list[Any]]:
    """The first value of each stream, and then the next of each, as far as there are any."""
    row = later = [next(stream, _MISSING) for stream in streams]
    while _MISSING not in row and (later is row or any(value is not _MISSING for value in later)):
        yield row
        later = [next(stream, _MISSING) for stream in streams]
        row = [old if new is _MISSING else new for old, new in zip(row, later, strict=True)]


def _matches(pattern: str) -> Iterator[str]:
    """Texts that match a pattern, mostly: not every part of one is read."""
    import rstr

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
    # By their texts, in which 0.1 is a tenth.
    # In draft 4 the exclusive limits are true or false.
    limits = [Fraction(str(schema[name])) for name in _LIMITS if not isinstance(schema.get(name, True), bool)]
    step = Fraction(str(schema.get("multipleOf", 1)))
    starts = [Fraction(0), *limits, *([sum(limits, Fraction()) / len(limits)] if limits else [])]
    walk = (
        (round(start / step) + sign * distance) * step
        for distance in count()
        for start in reversed(starts)
        for sign in (1, -1)
    )
    return (int(value) if value.denominator == 1 else float(value) for value in chain(starts, walk))
