"""The smallest value that a JSON schema allows, for tool arguments and structured answers.

Values are made from the keywords that SDKs write, and each is checked by a validator that knows all of them.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from functools import lru_cache
from itertools import chain, count
from typing import Any

_VARIANTS = range(1, 29)
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
    "regex": "sandbox{}",
    "base64 base64url": "AA{:02}",
    "directory-path": ".",
    "file-path": "",  # No file is there on every machine.
}
"""What is of each format, with a place for a number. Spaces part the names, bars the values."""

_TEMPLATES = {
    name: values.split("|") if values else [] for names, values in _FORMATS.items() for name in names.split()
}

_KINDS = {
    "null": (),
    "boolean": (),
    "number": ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf"),
    "string": ("format", "pattern", "minLength", "maxLength"),
    "array": ("items", "prefixItems", "minItems"),
    "object": ("properties", "required", "minProperties"),
}
"""The types, with the keywords by which a schema without a type shows which it means."""

_ATOMS: dict[str, list[Any]] = {"null": [None], "boolean": [False, True]}

_MOST_ITEMS = 1000
_MOST_CHARACTERS = 10_000
_MOST_STEPS = 10_000
_MOST_TRIES = 200
_MISSING = object()


class NoInstance(ValueError):
    """No value was found that the schema allows; says why."""


def dig(value: Any, *path: str) -> Any:
    """What lies at a path of keys; None where there is nothing, or something other than objects on the way."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def minimal(schema: Any) -> str:
    """A minimal instance of the schema as JSON, always the same for a schema.

    Raises:
        NoInstance: the schema is not valid, allows nothing, or asks for more than the sandbox can find.

    Examples:
        >>> minimal({"properties": {"city": {"type": "string"}, "days": {}}, "required": ["city"]})
        '{"city":"sandbox"}'
    """
    return _minimal(json.dumps(schema))


@lru_cache
def _minimal(text: str) -> str:
    # Not before there is a schema: they are more to import than the rest of the sandbox.
    from jsonschema import SchemaError
    from referencing.exceptions import Unresolvable

    try:
        search = _Search(json.loads(text))
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
        problem, tries = None, 0
        for value in self._candidates(schema, refs):
            self._count()
            tries += 1
            key = json.dumps(value, sort_keys=True)
            error = None if key in seen else next(check.iter_errors(value), None)
            problem = problem or error
            if not error and key not in seen:
                tries = 0
                seen.add(key)
                yield value
            if tries > _MOST_TRIES:
                break
        if not seen and not self.reason:
            self.reason = f"nothing is found for {json.dumps(schema):.100}"
            if problem:
                self.reason = (
                    f"no value fits {problem.validator!r}: {json.dumps(problem.validator_value):.100}"
                )

    def _count(self) -> None:
        self.steps += 1
        if self.steps > _MOST_STEPS:
            raise NoInstance(self.reason or "its values are too many or too large to look for")

    def _candidates(self, schema: Any, refs: frozenset[str]) -> Iterator[Any]:
        self._count()
        flat, refs = self._flat(schema, refs)
        if flat is None:
            return
        if "const" in flat:
            yield flat["const"]
        yield from chain(flat.get("enum", ()), flat.get("examples", ()))
        if "default" in flat:
            yield flat["default"]
        if options := flat.pop("anyOf", None) or flat.pop("oneOf", None):
            for option in sorted(options, key=lambda option: dig(option, "type") != "null"):
                yield from self._candidates({**flat, "allOf": [option]}, refs)
            return
        kinds = flat.get("type")
        if isinstance(kinds, list):
            kinds = sorted(kinds, key=lambda kind: kind != "null")
        elif kinds is None:
            kinds = sorted(_KINDS, key=lambda kind: flat.keys().isdisjoint(_KINDS[kind]))
        else:
            kinds = [kinds]
        for kind in kinds:
            if kind == "object":
                yield from self._objects(flat, refs)
            elif kind == "array":
                yield from self._arrays(flat, refs)
            elif kind == "string":
                yield from self._strings(flat, refs)
            else:
                yield from _numbers(flat) if kind in ("integer", "number") else _ATOMS[kind]

    def _flat(self, schema: Any, refs: frozenset[str]) -> tuple[dict[str, Any] | None, frozenset[str]]:
        """The schema with what `$ref` and `allOf` stand for in it; None where a reference leads back to itself."""
        flat = dict(schema) if isinstance(schema, dict) else {}
        parts = flat.pop("allOf", [])
        if (ref := flat.pop("$ref", None)) is not None:
            if ref in refs:
                return None, refs
            refs |= {ref}
            parts = [self.resolver.lookup(ref).contents, *parts]
        for each in parts:
            part, refs = self._flat(each, refs)
            if part is None:
                return None, refs
            shared = flat.get("properties", {}).keys() & part.get("properties", {}).keys()
            both = {name: {"allOf": [flat["properties"][name], part["properties"][name]]} for name in shared}
            merged = {
                "required": [*flat.get("required", ()), *part.get("required", ())],
                "properties": {**flat.get("properties", {}), **part.get("properties", {}), **both},
            }
            flat = {**part, **flat} | {name: value for name, value in merged.items() if value}
        return flat, refs

    def _objects(self, schema: dict[str, Any], refs: frozenset[str]) -> Iterator[Any]:
        properties, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        names = dict.fromkeys(schema.get("required", ()))
        more = chain(
            properties,
            *(self.values({"type": "string", "pattern": pattern}, refs) for pattern in patterns),
            self.values({"type": "string", "allOf": [schema.get("propertyNames", True)]}, refs),
        )
        while len(names) < schema.get("minProperties", 0) and (name := next(more, None)) is not None:
            names[name] = None

        def schema_of(name: str) -> Any:
            matching = [patterns[pattern] for pattern in patterns if re.search(pattern, name)]
            return properties.get(name, (matching or [schema.get("additionalProperties", True)])[0])

        for row in self._rows([schema_of(name) for name in names], refs):
            yield dict(zip(names, row, strict=True))

    def _arrays(self, schema: dict[str, Any], refs: frozenset[str]) -> Iterator[Any]:
        items, prefix = schema.get("items", True), schema.get("prefixItems", [])
        if isinstance(items, list):  # As drafts before 2020-12 write `prefixItems`.
            items, prefix = schema.get("additionalItems", True), items
        least = schema.get("minItems", 0)
        if least > _MOST_ITEMS:
            return
        start = max(least, len(prefix))
        for length in (*range(start, start + len(_VARIANTS)), *range(least, start)):
            schemas = [*prefix, *[items] * (length - len(prefix))][:length]
            yield from (
                self._distinct(schemas, refs) if schema.get("uniqueItems") else self._rows(schemas, refs)
            )

    def _rows(self, schemas: list[Any], refs: frozenset[str]) -> Iterator[list[Any]]:
        """A value for each schema, and then the next value for each, as far as there are any."""
        streams = [self.values(schema, refs) for schema in schemas]
        row = [next(stream, _MISSING) for stream in streams]
        while _MISSING not in row:
            yield row
            later = [next(stream, _MISSING) for stream in streams]
            if all(value is _MISSING for value in later):
                return
            row = [old if new is _MISSING else new for old, new in zip(row, later, strict=True)]

    def _distinct(self, schemas: list[Any], refs: frozenset[str]) -> Iterator[list[Any]]:
        """One row of values, none of which is there twice."""
        streams = {id(schema): self.values(schema, refs) for schema in schemas}
        row: dict[str, Any] = {}
        for schema in schemas:
            for value in streams[id(schema)]:
                if json.dumps(value, sort_keys=True) not in row:
                    row[json.dumps(value, sort_keys=True)] = value
                    break
        if len(row) == len(schemas):
            yield [*row.values()]

    def _strings(self, schema: dict[str, Any], refs: frozenset[str]) -> Iterator[str]:
        if schema.get("contentMediaType") == "application/json":
            yield from map(json.dumps, self.values(schema.get("contentSchema", True), refs))
        templates = _TEMPLATES.get(schema.get("format", ""))
        if templates is not None:  # And nothing else, as the validator does not know each of them.
            yield from (template.format(number) for template in templates for number in _VARIANTS)
            return
        if "pattern" in schema:
            yield from _matches(schema["pattern"])
        least = min(schema.get("minLength", 0), _MOST_CHARACTERS)
        for number in ("", *_VARIANTS):
            text = f"{number}sandbox"
            yield (text * (1 + least // len(text)))[: max(least, len(text))][: schema.get("maxLength")]


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
    low = max(_bounds(schema, "minimum", "exclusiveMinimum"), default=None)
    high = min(_bounds(schema, "maximum", "exclusiveMaximum"), default=None)
    step = next(_bounds(schema, "multipleOf"), Fraction(1))
    start = Fraction(0)
    if low is not None and low > 0:
        start = math.ceil(low / step) * step
    elif high is not None and high < 0:
        start = math.floor(high / step) * step
    ends = [end for end in (low, high) if end is not None]
    middle = [] if low is None or high is None else [(low + high) / 2]
    walk = (start + sign * distance * step for distance in count() for sign in (1, -1))
    values = chain([start] if not start else [], ends, middle, walk)
    return (int(value) if value.denominator == 1 else float(value) for value in values)


def _bounds(schema: dict[str, Any], *keywords: str) -> Iterator[Fraction]:
    for keyword in keywords:
        if keyword in schema and math.isfinite(schema[keyword]):
            # By its text, in which 0.1 is a tenth.
            yield Fraction(str(schema[keyword]))
