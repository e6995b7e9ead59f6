"""JSON Schema as Gemini takes it: nearly as it is, or as the subset of OpenAPI that older models know.

https://ai.google.dev/gemini-api/docs/structured-output#json_schema_support
https://ai.google.dev/api/caching#Schema
"""

import re
from collections.abc import Mapping
from typing import Any

from tokligenced.errors import InvalidRequest

Schema = dict[str, Any]

# More than any tool has; references that double at each step would grow without end.
_MOST_NODES = 10_000
_DEEPEST = 100

_ONE = frozenset({"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"})
_NAMED = frozenset({"properties", "patternProperties", "dependentSchemas"})
_LISTED = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_OLD_DEFINITIONS = re.compile(r"^#/definitions/")
# Members of an object's schema that say nothing about what is in it.
_HOLLOW = frozenset({"type", "title", "description", "required", "$schema", "$id", "$comment"})

# Of OpenAPI's Schema object, what is taken over as it is.
_KEPT = frozenset(
    {
        "title", "description", "default", "example", "pattern", "nullable", "propertyOrdering", "required",
        "minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties",
        "minimum", "maximum",
    }
)  # fmt: skip
_FORMATS: Mapping[str, frozenset[str]] = {
    "STRING": frozenset({"enum", "date-time"}),
    "NUMBER": frozenset({"float", "double"}),
    "INTEGER": frozenset({"int32", "int64"}),
}


def is_empty(schema: Schema) -> bool:
    """Whether it describes an object that has no members, which Gemini wants left out."""
    hollow = _HOLLOW | {key for key in ("properties", "additionalProperties") if not schema.get(key)}
    return schema.get("type", "object") == "object" and schema.keys() <= hollow


def json_schema(schema: Schema, param: str) -> Schema:
    """The schema for the fields that take JSON Schema: what Gemini stumbles over is said another way.

    Raises `InvalidRequest` naming `param` for one without end.
    """
    walk = _Walk(param, schema)
    return walk.mended(walk.opened(schema), 0)


def openapi(schema: Schema, param: str) -> Schema:
    """The schema in OpenAPI's words, references put in place; a constraint it has no word for is left out.

    Raises `InvalidRequest` naming `param` for one without end.
    """
    return _Walk(param, schema).translated(schema, 0)


class _Walk:
    """One schema's conversion; not shared."""

    def __init__(self, param: str, root: Schema) -> None:
        self._param = param
        self._root = root
        self._nodes = 0
        self._within: list[str] = []

    def opened(self, schema: Schema) -> Schema:
        """The root without a reference: Gemini wants to see an object there."""
        seen: set[str] = set()
        while isinstance(reference := schema.get("$ref"), str) and reference not in seen:
            seen.add(reference)
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**self._found(reference), **beside}
        return schema

    def mended(self, schema: Schema, depth: int) -> Schema:
        """JSON Schema in the keywords that Gemini knows, with nothing beside a `$ref`."""
        self._step(depth)
        made: Schema = {}
        for key, value in schema.items():
            match key, value:
                case "$schema", _:
                    pass
                case "const", _:
                    made["enum"] = [value]
                case "definitions" | "$defs", dict():
                    made["$defs"] = {**made.get("$defs", {}), **self._each(value, depth)}
                case "$ref", str():
                    made["$ref"] = _OLD_DEFINITIONS.sub("#/$defs/", value)
                case "allOf", [dict() as only] if "anyOf" not in schema:
                    made["anyOf"] = [self.mended(only, depth + 1)]
                case _:
                    made[key] = self._below(key, value, depth)
        if "$ref" in made and "anyOf" not in made and any(not key.startswith("$") for key in made):
            return {"anyOf": [{"$ref": made.pop("$ref")}], **made}
        return made

    def _each(self, named: Schema, depth: int) -> Schema:
        """Schemas by name, mended."""
        return {
            name: self.mended(schema, depth + 1) if isinstance(schema, dict) else schema
            for name, schema in named.items()
        }

    def _below(self, key: str, value: object, depth: int) -> object:
        """The value of a keyword, the schemas in it mended."""
        if isinstance(value, dict):
            if key in _ONE:
                return self.mended(value, depth + 1)
            if key in _NAMED:
                return self._each(value, depth)
        elif isinstance(value, list) and (key in _LISTED or key == "items"):
            return [self.mended(each, depth + 1) if isinstance(each, dict) else each for each in value]
        return value

    def translated(self, schema: Schema, depth: int) -> Schema:
        """OpenAPI's Schema object."""
        self._step(depth)
        reference = schema.get("$ref")
        if isinstance(reference, str):
            if reference in self._within:
                # It goes on without end; here it is any object.
                return {"type": "OBJECT"}
            self._within.append(reference)
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            made = self.translated({**self._found(reference), **beside}, depth + 1)
            self._within.pop()
            return made
        for part in _schemas(schema, "allOf"):
            inner = part.get("$ref")
            if isinstance(inner, str) and inner not in self._within:
                schema = _joined(schema, self._found(inner))
            else:
                schema = _joined(schema, part)
        made = {key: value for key, value in schema.items() if key in _KEPT}
        self._type(schema, made, depth)
        self._bounds(schema, made)
        self._values(schema, made)
        properties = schema.get("properties")
        if isinstance(properties, dict) and properties:
            made["properties"] = {
                name: self.translated(value if isinstance(value, dict) else {}, depth + 1)
                for name, value in properties.items()
            }
        if isinstance(items := schema.get("items"), dict):
            made["items"] = self.translated(items, depth + 1)
        return made

    def _type(self, schema: Schema, made: Schema, depth: int) -> None:
        """Put `type`, `nullable` and `anyOf`; a list of types is a choice among them."""
        types = schema.get("type")
        names = [name for name in (types if isinstance(types, list) else [types]) if isinstance(name, str)]
        choices = _schemas(schema, "anyOf") + _schemas(schema, "oneOf")
        if "null" in names or any(each.get("type") == "null" for each in choices):
            made["nullable"] = True
        names = [name.upper() for name in names if name != "null"]
        choices = [each for each in choices if each.get("type") != "null"]
        if len(names) > 1:
            choices += [{"type": name} for name in names]
        elif names:
            made["type"] = names[0]
        elif "properties" in schema:
            made["type"] = "OBJECT"
        if len(choices) == 1 and "type" not in made:
            made |= {**self.translated(choices[0], depth + 1), **made}
        elif choices:
            made["anyOf"] = [self.translated(each, depth + 1) for each in choices]
        if isinstance(form := schema.get("format"), str) and form in _FORMATS.get(made.get("type", ""), ()):
            made["format"] = form

    def _bounds(self, schema: Schema, made: Schema) -> None:
        """Exclusive bounds as inclusive ones: for integers the same, for others the nearest there is."""
        step = 1 if made.get("type") == "INTEGER" else 0
        for exclusive, inclusive, away in (
            ("exclusiveMinimum", "minimum", step),
            ("exclusiveMaximum", "maximum", -step),
        ):
            bound = schema.get(exclusive)
            if isinstance(bound, int | float) and not isinstance(bound, bool):
                made.setdefault(inclusive, bound + away)

    def _values(self, schema: Schema, made: Schema) -> None:
        """Values to choose from; Gemini's OpenAPI has them for texts only, so others are described."""
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if not isinstance(values, list):
            return
        if None in values:
            made["nullable"] = True
        values = [value for value in values if value is not None]
        if values and all(isinstance(value, str) for value in values):
            made |= {"type": "STRING", "enum": values}
        elif values:
            told = f"One of: {', '.join(map(str, values))}."
            made["description"] = f"{made['description']} {told}" if made.get("description") else told

    def _found(self, reference: str) -> Schema:
        """What a reference within the schema points to: https://www.rfc-editor.org/rfc/rfc6901."""
        here: Any = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            here = here.get(name) if isinstance(here, dict) else None
        if not reference.startswith("#") or not isinstance(here, dict):
            raise self._refusal(f"there is nothing at '{reference}'")
        return here

    def _step(self, depth: int) -> None:
        self._nodes += 1
        if depth > _DEEPEST or self._nodes > _MOST_NODES:
            raise self._refusal("its schema is too deep or too large")

    def _refusal(self, reason: str) -> InvalidRequest:
        return InvalidRequest(
            "invalid_value", f"Invalid value for '{self._param}': {reason}.", param=self._param
        )


def _schemas(schema: Schema, key: str) -> list[Schema]:
    """The schemas listed under a keyword."""
    listed = schema.get(key)
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def _joined(schema: Schema, part: Schema) -> Schema:
    """A schema and one of its `allOf`, the schema's own words first."""
    joined = {**part, **schema}
    for key in ("properties", "$defs"):
        if isinstance(mine := schema.get(key), dict) and isinstance(theirs := part.get(key), dict):
            joined[key] = {**theirs, **mine}
    if isinstance(mine := schema.get("required"), list) and isinstance(theirs := part.get("required"), list):
        joined["required"] = [*theirs, *(name for name in mine if name not in theirs)]
    return joined
