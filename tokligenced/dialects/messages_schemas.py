"""JSON Schemas as Anthropic's structured outputs take them: closed objects, and no limits on values.

https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
"""

from collections.abc import Iterator, Mapping
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
    """Somewhere an object may have members that the schema does not name."""


def structured(schema: Schema) -> Schema | None:
    """The schema with what is not taken told in descriptions instead.

    None for one that lets objects have members of any name: such can't be asked for.
    """
    try:
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
            kept["anyOf" if name == "oneOf" else name] = [_inner(one) for one in value]
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


def _inner(schema: object) -> object:
    # `true` and `false` are schemas too; what is none at all is for the provider to refuse.
    return _closed(schema) if isinstance(schema, dict) else schema


def _taken(name: str, value: object) -> bool:
    if name == "format":
        return value in _FORMATS
    if name == "minItems":
        return value in {0, 1}
    return name in _KEPT


def _types(schema: Mapping[str, Any]) -> Iterator[object]:
    kind = schema.get("type")
    return iter(kind if isinstance(kind, list) else [kind])
