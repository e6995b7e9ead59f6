"""Schemas for structured outputs."""

from typing import Any

import pytest

from tokligenced.dialects.messages_schemas import structured


def test_every_object_is_closed_wherever_it_stands() -> None:
    """Objects within objects, lists, choices and definitions may have no further members."""
    inner = {"type": "object", "properties": {}}
    closed = {**inner, "additionalProperties": False}
    schema = {
        "type": "object",
        "properties": {
            "list": {"type": "array", "items": inner},
            "one": {"anyOf": [inner, {"type": "null"}]},
            "maybe": {"type": ["object", "null"], "properties": {"properties": {"type": "string"}}},
            "ref": {"$ref": "#/$defs/thing"},
        },
        "$defs": {"thing": inner},
    }
    assert structured(schema) == {
        "type": "object",
        "properties": {
            "list": {"type": "array", "items": closed},
            "one": {"anyOf": [closed, {"type": "null"}]},
            "maybe": {
                "type": ["object", "null"],
                "properties": {"properties": {"type": "string"}},
                "additionalProperties": False,
            },
            "ref": {"$ref": "#/$defs/thing"},
        },
        "$defs": {"thing": closed},
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"type": "integer", "maximum": 5}, {"type": "integer", "description": '{"maximum":5}'}),
        (
            {"type": "string", "description": "A name.", "minLength": 1, "pattern": "^a"},
            {"type": "string", "description": 'A name.\n\n{"minLength":1,"pattern":"^a"}'},
        ),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"type": "string", "format": "phone"}, {"type": "string", "description": '{"format":"phone"}'}),
        ({"type": "array", "items": True, "minItems": 1}, {"type": "array", "items": True, "minItems": 1}),
        ({"type": "array", "minItems": 2}, {"type": "array", "description": '{"minItems":2}'}),
        ({"oneOf": [{"type": "null"}, {"const": 1}]}, {"anyOf": [{"type": "null"}, {"const": 1}]}),
        ({"enum": ["a", {"maximum": 1}], "default": "a"}, {"enum": ["a", {"maximum": 1}], "default": "a"}),
    ],
)
def test_limits_are_told_in_words(given: dict[str, Any], taken: dict[str, Any]) -> None:
    """What is not taken as a rule is left as a hint; what is taken stays."""
    assert structured(given) == taken


@pytest.mark.parametrize(
    "open_",
    [
        {"type": "object"},
        {"type": "object", "properties": {}, "additionalProperties": True},
        {"type": "array", "items": {"type": "object", "additionalProperties": {"type": "string"}}},
        {"properties": {"a": {"type": ["object", "null"]}}},
    ],
)
def test_objects_of_any_names_can_not_be_asked_for(open_: dict[str, Any]) -> None:
    """A map would be closed to an object without members, so there is no schema for it."""
    assert structured(open_) is None


def test_a_bottomless_schema_is_none() -> None:
    """Nesting beyond all depth does not end the process."""
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(100_000):
        schema = {"type": "array", "items": schema}
    assert structured(schema) is None


@pytest.mark.parametrize(
    "endless",
    [
        {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}},
        {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/a"}},
            "$defs": {
                "a": {"type": "array", "items": {"$ref": "#/definitions/b"}},
            },
            "definitions": {"b": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]}},
        },
    ],
)
def test_a_schema_that_refers_to_itself_can_not_be_asked_for(endless: dict[str, Any]) -> None:
    """Anthropic refuses recursion, directly or by another definition."""
    assert structured(endless) is None


def test_one_reference_within_all_of_is_a_choice_of_one() -> None:
    """References are not taken within `allOf`, where many generators put a lone one."""
    schema = {"allOf": [{"$ref": "#/$defs/a"}], "description": "d", "$defs": {"a": {"type": "string"}}}
    assert structured(schema) == {
        "anyOf": [{"$ref": "#/$defs/a"}],
        "description": "d",
        "$defs": {"a": {"type": "string"}},
    }


@pytest.mark.parametrize("odd", [{"minItems": [1]}, {"format": {"a": 1}}, {"format": ["date"]}])
def test_values_of_no_meaning_do_no_harm(odd: dict[str, Any]) -> None:
    """What is no value for a keyword is told in words, as all that is not taken."""
    assert set(structured({"type": "string", **odd}) or ()) == {"type", "description"}
