"""The smallest value that a JSON schema allows, for tool arguments and structured answers."""

from __future__ import annotations

import math
from typing import Any

_MOST_ITEMS = 100
_ATOMS = {"string": "sandbox", "boolean": False}


def dig(value: Any, *path: str) -> Any:
    """What lies at a path of keys; None where there is nothing, or something other than objects on the way."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def minimal(schema: Any) -> Any:
    """A minimal instance of the schema, as far as the keywords that SDK users write go.

    Examples:
        >>> minimal({"properties": {"city": {"type": "string"}, "days": {}}, "required": ["city"]})
        {'city': 'sandbox'}
    """
    return _minimal(schema, schema, frozenset({"#"}))


def _minimal(schema: Any, root: Any, refs: frozenset[str]) -> Any:
    if not isinstance(schema, dict):
        return None
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    if values := _list(schema, "enum"):
        return values[0]
    ref = schema.get("$ref")
    if isinstance(ref, str):
        # Where a schema leads back to itself, this ends.
        return None if ref in refs else _minimal(dig(root, *ref.split("/")[1:]), root, refs | {ref})
    if options := _list(schema, "anyOf") or _list(schema, "oneOf") or _list(schema, "allOf"):
        return None if {"type": "null"} in options else _minimal(options[0], root, refs)
    kind = schema.get("type", "object" if "properties" in schema else None)
    if isinstance(kind, list):
        kind = kind[0] if kind and "null" not in kind else None
    if kind == "object":
        names = [name for name in _list(schema, "required") if isinstance(name, str)]
        return {name: _minimal(dig(schema, "properties", name), root, refs) for name in names}
    if kind == "array":
        least = schema.get("minItems")
        if not isinstance(least, int) or least < 1:
            return []
        return [_minimal(schema.get("items"), root, refs)] * min(least, _MOST_ITEMS)
    if kind in ("integer", "number"):
        least = max([*_bound(schema, "minimum", 0), *_bound(schema, "exclusiveMinimum", 1)], default=0)
        return math.ceil(least) if kind == "integer" else least
    return _ATOMS.get(kind) if isinstance(kind, str) else None


def _list(schema: dict[str, Any], keyword: str) -> list[Any]:
    value = schema.get(keyword)
    return value if isinstance(value, list) else []


def _bound(schema: dict[str, Any], keyword: str, above: int) -> list[float]:
    value = schema.get(keyword)
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return [value + above]
    return []
