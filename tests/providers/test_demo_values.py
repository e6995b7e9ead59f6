import json

from hypothesis import given
from hypothesis import strategies as st

from tests.providers.demo_client import CLOCK, WEATHER, ask, events, message, whole
from tokligenced.providers import demo_values

schemas = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["object", "array", "#"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "properties",
                    "items",
                    "required",
                    "enum",
                    "anyOf",
                    "allOf",
                    "$ref",
                    "minItems",
                    "minLength",
                    "maximum",
                    "exclusiveMinimum",
                    "const",
                    "maxLength",
                    "format",
                    "a",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def test_a_tool_is_called_with_arguments_that_fit() -> None:
    """Required members are there, enums and bounds kept, and the user's words are used."""
    choice = whole(ask("What is the weather in Paris?", tools=[CLOCK, WEATHER]))["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    (call,) = choice["message"]["tool_calls"]
    assert (call["type"], call["function"]["name"]) == ("function", "get_weather")
    assert json.loads(call["function"]["arguments"]) == {"city": "Paris", "unit": "celsius", "days": 3}


def test_a_streamed_tool_call_begins_with_its_name_and_goes_on_in_fragments() -> None:
    """Id, type and name come first with empty arguments, which then arrive in several parts."""
    chunks = events(ask("What is the weather in Paris?", tools=[WEATHER]))
    head, *rest = [
        chunk["choices"][0]["delta"]["tool_calls"][0]
        for chunk in chunks
        if "tool_calls" in chunk["choices"][0]["delta"]
    ]
    assert head["id"].startswith("call_")
    assert head["function"] == {"name": "get_weather", "arguments": ""}
    assert len(rest) > 3
    assert all(set(delta) == {"index", "function"} for delta in rest)


def test_tools_that_are_mentioned_are_called_in_parallel() -> None:
    """Two tools that the user speaks of are two calls, one when parallel calls are not wanted."""
    both = ask("Tell me the weather and the clock", tools=[WEATHER, CLOCK])
    calls = message(both)["tool_calls"]
    assert [call["function"]["name"] for call in calls] == ["get_weather", "read_clock"]
    assert len({call["id"] for call in calls}) == 2
    assert len(message({**both, "parallel_tool_calls": False})["tool_calls"]) == 1


def test_tool_choice_is_obeyed() -> None:
    """`none` answers in words, a name calls that function, nothing offered calls nothing."""
    tools = [WEATHER, CLOCK]
    assert "tool_calls" not in message(ask(tools=tools, tool_choice="none"))
    named = {"type": "function", "function": {"name": "read_clock"}}
    (call,) = message(ask("the weather?", tools=tools, tool_choice=named))["tool_calls"]
    assert call["function"]["name"] == "read_clock"
    assert "tool_calls" not in message(ask(tools=[]))


def test_after_a_tools_result_the_answer_quotes_it() -> None:
    """The second turn is text with each result and its tool's name, unless a call is required again."""
    turns = [
        {"role": "user", "content": "What is the weather in Paris?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": message(ask("weather?", tools=[WEATHER]))["tool_calls"],
        },
    ]
    call = turns[1]["tool_calls"][0]["id"]
    turns += [
        {"role": "tool", "tool_call_id": call, "content": "22 degrees"},
        {"role": "tool", "tool_call_id": "call_other", "content": [{"type": "text", "text": "sunny"}]},
    ]
    request = {"model": "demo", "messages": turns, "tools": [WEATHER]}
    content = message(request)["content"]
    assert content.index("get_weather answered: “22 degrees”") < content.index("answered: “sunny”")
    assert message({**request, "tool_choice": "required"})["tool_calls"]


def test_json_answers_are_json() -> None:
    """json_object gives an object, json_schema one with the required members of the right types."""
    plain = message(ask(response_format={"type": "json_object"}))["content"]
    assert isinstance(json.loads(plain), dict)
    schema = {
        "type": "object",
        "$defs": {"Step": {"type": "object", "properties": {"n": {"type": "number"}}, "required": ["n"]}},
        "properties": {
            "name": {"type": "string"},
            "kind": {"const": "recipe"},
            "done": {"type": "boolean"},
            "steps": {"type": "array", "items": {"$ref": "#/$defs/Step"}, "minItems": 2},
            "when": {"type": "string", "format": "date"},
            "who": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "size": {"type": ["null", "number"], "exclusiveMaximum": 0},
            "share": {"type": "number", "maximum": 0.25},
            "count": {"type": "integer", "exclusiveMinimum": 6},
            "unneeded": {"type": "string"},
        },
        "required": ["name", "kind", "done", "steps", "when", "who", "size", "share", "count"],
    }
    form = {"type": "json_schema", "json_schema": {"name": "recipe", "schema": schema}}
    assert json.loads(message(ask("Soup", response_format=form))["content"]) == {
        "name": "Soup",
        "kind": "recipe",
        "done": True,
        "steps": [{"n": 0.5}, {"n": 0.5}],
        "when": "2025-06-15",
        "who": 1,
        "size": -0.5,
        "share": 0.25,
        "count": 7,
    }


@given(schemas)
def test_no_schema_is_too_strange(schema: object) -> None:
    """Whatever is sent as a schema, some value that is JSON comes of it."""
    json.dumps(demo_values.fill(schema, "Hello"))


def test_no_schema_makes_the_demo_model_run_away() -> None:
    """Recursion, wide trees and huge counts stay small."""
    node = {
        "type": "object",
        "properties": {name: {"$ref": "#"} for name in "abcdefgh"},
        "required": list("abcdefgh"),
    }
    assert len(json.dumps(demo_values.fill(node, "x"))) < 20_000
    assert demo_values.fill({"$ref": "#"}, "x") == "x"
    assert len(json.dumps(demo_values.fill({"type": "array", "minItems": 10**9}, "x"))) < 100
    assert len(json.dumps(demo_values.fill({"minLength": 10**9}, "x"))) < 300
