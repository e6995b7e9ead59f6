"""The description of the API at /api/openapi.json, made of the tables that its routes are made of.

https://spec.openapis.org/oas/v3.1.0
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from tokligenced import __version__
from tokligenced.api.admin import answers
from tokligenced.api.admin.public import PUBLIC, PublicRoute
from tokligenced.api.admin.table import ROUTES, Route

PATH = "/api/openapi.json"
_REF = "#/components/schemas/{name}"
_PAGING = (
    {"name": "after", "in": "query", "schema": {"type": "string"}},
    {
        "name": "limit",
        "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
    },
)

Object = dict[str, Any]
ParametersOf = Callable[[str], type[Struct]]


def document(parameters_of: ParametersOf) -> Object:
    """The whole description; `parameters_of` gives the type of an operation's parameters."""
    parameters = [parameters_of(route.operation) for route in ROUTES]
    shapes = [route.answer for route in ROUTES]
    schemas, components = msgspec.json.schema_components(
        [*parameters, *shapes, answers.Error], ref_template=_REF
    )
    paths: dict[str, Object] = {}
    count = len(ROUTES)
    for number, route in enumerate(ROUTES):
        kind = parameters[number]
        taken = _resolved(schemas[number], components)
        operation = _operation(route, kind, taken, schemas[count + number])
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    for public in PUBLIC:
        paths.setdefault(public.path, {})[public.method.lower()] = _public(public)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tokligenced",
            "version": __version__,
            "description": "A gateway to language models. /api/admin is for administrators: on the machine "
            "itself without a key, from elsewhere with a key that an administrator's account pays for.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, kind: type[Struct], taken: Object, answer: Object) -> Object:
    """One administrators' operation; `taken` is the schema of its parameters."""
    fields: Object = dict(taken.get("properties", {}))
    required = set(taken.get("required", []))
    described: Object = {
        "operationId": route.operation,
        "summary": route.summary,
        "description": (kind.__doc__ or "").strip(),
        "tags": ["administration"],
        "security": [{"key": []}],
    }
    parameters: list[Object] = [
        {"name": name, "in": "path", "required": True, "schema": fields.pop(name)} for name in route.names
    ]
    if route.method == "GET":
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": _in_query(schema)}
            for name, schema in fields.items()
        ]
    elif fields:
        needed = sorted(required - set(route.names))
        schema = {"type": "object", "properties": fields, "required": needed, "additionalProperties": False}
        described["requestBody"] = {
            "required": bool(needed),
            "content": {"application/json": {"schema": schema}},
        }
    if route.listed is not None:
        parameters += _PAGING
    return {
        **described,
        "parameters": parameters,
        "responses": {
            str(route.status): {
                "description": "Done.",
                "content": {"application/json": {"schema": answer}},
            },
            "default": _refused("Refused: error.code says why."),
        },
    }


def _public(route: PublicRoute) -> Object:
    parameters: list[Object] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in route.names
    ]
    described: Object = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": ["public"],
        "parameters": parameters,
        "responses": {
            "200": {"description": "Done.", "content": {each: {} for each in route.answers}},
            "default": _refused("Refused: error.code says why."),
        },
    }
    if route.keyed:
        described["security"] = [{"key": []}]
    if route.method == "POST":
        schema = {"type": "object"}
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return described


def _refused(why: str) -> Object:
    schema = {"$ref": _REF.format(name="Error")}
    return {"description": why, "content": {"application/json": {"schema": schema}}}


def _resolved(schema: Object, components: Object) -> Object:
    name = str(schema["$ref"]).rpartition("/")[2]
    resolved: Object = components[name]
    return resolved


def _in_query(schema: Object) -> Object:
    """A URL has no null: a parameter that may be null is one that may be left out."""
    ways = [way for way in schema.get("anyOf", []) if way != {"type": "null"}]
    kept = {name: value for name, value in schema.items() if name != "anyOf" and value is not None}
    if not ways:
        return kept
    return {**kept, **ways[0]} if len(ways) == 1 else {**kept, "anyOf": ways}
