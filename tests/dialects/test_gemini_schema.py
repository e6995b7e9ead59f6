"""JSON Schema made into what Gemini takes."""

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.dialects import gemini_published
from tokligenced.dialects import gemini_schema
from tokligenced.errors import InvalidRequest


def openapi(schema: dict[str, Any]) -> dict[str, Any]:
    made = gemini_schema.openapi(schema, "tools")
    gemini_published.check_schema(msgspec.convert(made, gemini_published.Schema))
    return made


def member(schema: dict[str, Any]) -> Any:
    """What becomes of a member's schema."""
    return openapi({"type": "object", "properties": {"x": schema}})["properties"]["x"]


@pytest.mark.parametrize(
    ("schema", "made"),
    [
        ({"type": "string", "minLength": 1}, {"type": "STRING", "minLength": 1}),
        ({"type": "string", "format": "uri", "$comment": "x"}, {"type": "STRING"}),
        ({"type": "string", "format": "date-time"}, {"type": "STRING", "format": "date-time"}),
        ({"type": ["string", "null"]}, {"type": "STRING", "nullable": True}),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]}),
        ({"anyOf": [{"type": "number"}, {"type": "null"}]}, {"type": "NUMBER", "nullable": True}),
        (
            {"oneOf": [{"type": "number"}, {"type": "string"}], "title": "T"},
            {"anyOf": [{"type": "NUMBER"}, {"type": "STRING"}], "title": "T"},
        ),
        ({"enum": ["a", "b", None]}, {"type": "STRING", "enum": ["a", "b"], "nullable": True}),
        ({"const": "a"}, {"type": "STRING", "enum": ["a"]}),
        (
            {"type": "integer", "enum": [1, 2], "description": "Size."},
            {"type": "INTEGER", "description": "Size. One of: 1, 2."},
        ),
        (
            {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10},
            {"type": "INTEGER", "minimum": 1, "maximum": 9},
        ),
        ({"type": "number", "exclusiveMinimum": 0}, {"type": "NUMBER", "minimum": 0}),
        ({"type": "array", "items": {"type": "string"}}, {"type": "ARRAY", "items": {"type": "STRING"}}),
        ({"type": "object", "additionalProperties": True}, {"type": "OBJECT"}),
        (
            {
                "allOf": [
                    {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                    {"properties": {"b": {"type": "string"}}, "required": ["b"]},
                ]
            },
            {
                "type": "OBJECT",
                "properties": {"a": {"type": "STRING"}, "b": {"type": "STRING"}},
                "required": ["b", "a"],
            },
        ),
        (
            {"type": "object", "properties": {"$ref": {"type": "string"}, "const": {"type": "string"}}},
            {"type": "OBJECT", "properties": {"$ref": {"type": "STRING"}, "const": {"type": "STRING"}}},
        ),
    ],
)
def test_openapi_says_the_same(schema: dict[str, Any], made: dict[str, Any]) -> None:
    """Each keyword has its counterpart, or is left out where it only narrows."""
    assert member(schema) == made


def test_references_are_put_in_place() -> None:
    """Also in pieces, also with a name that needs escapes, with what stands beside them."""
    schema = {
        "type": "object",
        "properties": {
            "a": {"$ref": "#/$defs/p~1q", "description": "Mine."},
            "b": {"allOf": [{"$ref": "#/definitions/r"}]},
        },
        "$defs": {"p/q": {"type": "string", "description": "Theirs."}},
        "definitions": {"r": {"type": "integer"}},
    }
    assert openapi(schema)["properties"] == {
        "a": {"type": "STRING", "description": "Mine."},
        "b": {"type": "INTEGER"},
    }


def test_a_tree_ends_where_it_comes_back_to_itself() -> None:
    """A reference within what it refers to is any object."""
    schema = {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
            }
        },
    }
    children = openapi(schema)["properties"]["children"]
    assert children == {"type": "ARRAY", "items": {"type": "OBJECT"}}


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"x": schema}}
    return schema


def doubling(steps: int) -> dict[str, Any]:
    defs: dict[str, Any] = {
        f"d{at}": {
            "type": "object",
            "properties": {"a": {"$ref": f"#/$defs/d{at + 1}"}, "b": {"$ref": f"#/$defs/d{at + 1}"}},
        }
        for at in range(steps)
    }
    return {"$ref": "#/$defs/d0", "$defs": defs | {f"d{steps}": {"type": "string"}}}


@pytest.mark.parametrize(
    "schema",
    [nested(900), doubling(40), {"$ref": "#/$defs/gone"}, {"$ref": "https://example.com/schema"}],
    ids=["deep", "doubling", "dangling", "elsewhere"],
)
def test_a_schema_that_can_not_be_put_in_place_is_refused(schema: dict[str, Any]) -> None:
    """What would grow without end, or refers to nothing, is the client's error and names the field."""
    with pytest.raises(InvalidRequest) as refused:
        gemini_schema.openapi(schema, "tools")
    assert refused.value.param == "tools"


def test_json_schema_is_refused_when_it_is_too_deep() -> None:
    """Also where it is sent nearly as it is."""
    with pytest.raises(InvalidRequest):
        gemini_schema.json_schema(nested(900), "response_format")


def test_json_schema_stays_as_it_is_but_for_what_google_stumbles_over() -> None:
    """No `$schema`, no `const`, nothing beside a reference; members may have any name, values any content."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "const": {"const": 1},
            "$ref": {"$ref": "#/$defs/a", "description": "x"},
            "list": {"type": "array", "prefixItems": [{"const": "y"}], "default": [{"const": 1}]},
            "kept": {"type": "integer", "exclusiveMinimum": 0, "multipleOf": 2},
        },
        "additionalProperties": {"const": 3},
        "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]}},
    }
    assert gemini_schema.json_schema(schema, "tools") == {
        "type": "object",
        "properties": {
            "const": {"enum": [1]},
            "$ref": {"anyOf": [{"$ref": "#/$defs/a"}], "description": "x"},
            "list": {"type": "array", "prefixItems": [{"enum": ["y"]}], "default": [{"const": 1}]},
            "kept": {"type": "integer", "exclusiveMinimum": 0, "multipleOf": 2},
        },
        "additionalProperties": {"enum": [3]},
        "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]}},
    }


def test_the_root_is_an_object_that_can_be_seen() -> None:
    """A reference at the root is followed, old names of definitions become the one that Gemini knows."""
    schema = {
        "$ref": "#/definitions/node",
        "definitions": {
            "node": {"type": "object", "properties": {"next": {"$ref": "#/definitions/node"}}},
            "text": {"allOf": [{"$ref": "#/definitions/node"}], "title": "T"},
        },
    }
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
    assert gemini_schema.json_schema(schema, "tools") == {
        **node,
        "$defs": {"node": node, "text": {"anyOf": [{"$ref": "#/$defs/node"}], "title": "T"}},
    }


@pytest.mark.parametrize(
    ("schema", "empty"),
    [
        ({}, True),
        ({"type": "object", "properties": {}, "additionalProperties": False, "required": []}, True),
        ({"type": "object", "additionalProperties": True}, False),
        ({"type": "object", "properties": {"a": {}}}, False),
        ({"$ref": "#/$defs/a"}, False),
        ({"type": "string"}, False),
    ],
)
def test_an_object_without_members_is_empty(schema: dict[str, Any], empty: bool) -> None:
    """Nothing else is."""
    assert gemini_schema.is_empty(schema) == empty


names = st.sampled_from(
    ["type", "properties", "items", "anyOf", "allOf", "oneOf", "enum", "const", "$ref", "$defs", "required",
     "format", "exclusiveMinimum", "minimum", "a"]
)  # fmt: skip
scalars = (
    st.none()
    | st.booleans()
    | st.integers(0, 9)
    | st.sampled_from(["string", "object", "null", "#", "#/$defs/a"])
)
schemas = st.dictionaries(
    names,
    st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)
    ),
)


@given(schemas)
@example({"required": [[]], "allOf": [{"required": []}]})
def test_no_schema_breaks_it(schema: dict[str, Any]) -> None:
    """Whatever a client calls a schema becomes one or is refused; nothing else happens."""
    for convert in (gemini_schema.openapi, gemini_schema.json_schema):
        try:
            made = convert(schema, "tools")
        except InvalidRequest:
            continue
        assert "$schema" not in made
    assert gemini_schema.is_empty(schema) in {True, False}
