"""JSON Schemas as Anthropic's structured outputs take them: closed objects, and no limits on values.

https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
"""

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

import msgspec

Schema = dict[str, Any]

_KEPT = frozenset(
    {
        "$schema",
        "$id",
        "$ref",
        "additionalProperties",
        "anyOf",
        "allOf",
        "const",
        "default",
        "description",
        "enum",
        "items",
        "properties",
        "required",
        "title",
        "type",
        "$defs",
        "definitions",
    }
)
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)


class _Open(Exception):
    """Somewhere the schema lets in more than can be named."""


def structured(schema: Schema) -> Schema | None:
    """The schema with what is not taken told in descriptions instead.

    None for one that lets objects have members of any name, or that goes on without end: such can't be
    asked for.
    """
    try:
        _expect_end(schema)
        return _closed(schema)
    except (_Open, RecursionError):
        return None


def _closed(schema: Schema) -> Schema:
    kept: Schema = {}
    told: Schema = {}
    for name, value in schema.items():
        if name in {"properties", "$defs", "definitions"} and isinstance(value, dict):
            kept[name] = {key: _inner(one) for key, one in value.items()}
        elif name in {"anyOf", "oneOf", "allOf"} and isinstance(value, list):
            # One that stands alone may be a reference, which is not taken within `allOf`.
            same = "allOf" if name == "allOf" and len(value) > 1 else "anyOf"
            kept[same] = [_inner(one) for one in value]
        elif name == "items":
            kept[name] = _inner(value)
        elif _taken(name, value):
            kept[name] = value
        else:
            told[name] = value
    if "object" in _types(schema) or "properties" in schema:
        if schema.get("additionalProperties") or "properties" not in schema:
            raise _Open
        kept["additionalProperties"] = False
    if told:
        hints = msgspec.json.encode(told).decode()
        kept["description"] = "\n\n".join(part for part in (kept.get("description"), hints) if part)
    return kept


def _expect_end(schema: Schema) -> None:
    """Raises `_Open` where a definition refers to itself, by whatever way."""
    references = {
        f"#/{place}/{name}": set(_references(one))
        for place in ("$defs", "definitions")
        if isinstance(within := schema.get(place), dict)
        for name, one in within.items()
    }
    within = {name: value for name, value in schema.items() if name not in {"$defs", "definitions"}}
    references["#"] = set(_references(within))
    try:
        TopologicalSorter(references).prepare()
    except CycleError:
        raise _Open from None


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for one in schema:
            yield from _references(one)


def _inner(schema: object) -> object:
    # `true` and `false` are schemas too; what is none at all is for the provider to refuse.
    return _closed(schema) if isinstance(schema, dict) else schema


def _taken(name: str, value: object) -> bool:
    if name == "format":
        return isinstance(value, str) and value in _FORMATS
    if name == "minItems":
        return value in (0, 1)
    return name in _KEPT


def _types(schema: Mapping[str, Any]) -> Iterator[object]:
    kind = schema.get("type")
    return iter(kind if isinstance(kind, list) else [kind])
