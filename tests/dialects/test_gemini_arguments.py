"""Function calls whose arguments come in pieces are put together."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokligenced.dialects.conversation import CallBegan, CallGrew, Ended
from tokligenced.dialects.gemini_answers import Reader
from tokligenced.dialects.gemini_arguments import OpenCall, PartialArg
from tokligenced.errors import UpstreamFailed


def pieces_of(value: Any, path: str = "$") -> list[dict[str, Any]]:
    """The pieces in which Gemini would stream a value: texts in two parts, everything else at once."""
    match value:
        case dict():
            return [
                piece
                for name, inner in value.items()
                for piece in pieces_of(
                    inner,
                    f"{path}['{name.replace(chr(92), chr(92) * 2).replace(chr(39), chr(92) + chr(39))}']",
                )
            ]
        case list():
            return [piece for at, inner in enumerate(value) for piece in pieces_of(inner, f"{path}[{at}]")]
        case str():
            half = len(value) // 2
            return [
                {"jsonPath": path, "stringValue": value[:half], "willContinue": True},
                {"jsonPath": path, "stringValue": value[half:]},
            ]
        case bool():
            return [{"jsonPath": path, "boolValue": value}]
        case None:
            return [{"jsonPath": path, "nullValue": "NULL_VALUE"}]
        case _:
            return [{"jsonPath": path, "numberValue": value}]


def put_together(pieces: list[dict[str, Any]], begun: dict[str, Any] | None = None) -> Any:
    call = OpenCall("f", None, None, begun or {})
    for piece in pieces:
        call.add([msgspec.convert(piece, PartialArg)])
    return json.loads(call.arguments())


texts = st.text(st.characters(codec="utf-8"), max_size=9)
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts
filled = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3) | st.dictionaries(texts, inner, min_size=1, max_size=3)
    ),
    max_leaves=9,
)


@given(st.dictionaries(texts, filled, max_size=4))
def test_pieces_make_the_arguments(arguments: dict[str, Any]) -> None:
    """Whatever the arguments are, taken apart they come together again."""
    assert put_together(pieces_of(arguments)) == arguments


def test_paths_may_be_written_in_either_way() -> None:
    """With dots or with brackets and either kind of quotation mark; what came whole at first is kept."""
    pieces = [
        {"jsonPath": "$.a.b", "numberValue": 1},
        {"jsonPath": "$[\"a\"]['c d'][0]", "stringValue": "x", "willContinue": True},
        {"jsonPath": "$[\"a\"]['c d'][0]", "stringValue": "y"},
        {"jsonPath": "$.a.n"},
    ]
    assert put_together(pieces, {"z": 2}) == {"z": 2, "a": {"b": 1, "c d": ["xy"], "n": None}}


def test_a_place_without_pieces_is_null() -> None:
    """Empty objects have none; what comes for such a place later is still put there."""
    pieces = [{"jsonPath": "$.a[2].b", "numberValue": 1}, {"jsonPath": "$.a[0].c", "boolValue": True}]
    assert put_together(pieces) == {"a": [{"c": True}, None, {"b": 1}]}


@pytest.mark.parametrize(
    "paths",
    [
        [""],
        ["$"],
        ["a.b"],
        ["$.."],
        ["$.a[x]"],
        ["$.a[100]"],
        ["$.a[9999999]"],
        ["$[0]"],
        ["$.a", "$.a.b"],
        ["$.a.b", "$.a[0]"],
        ["$" + ".a" * 101],
    ],
)
def test_a_path_that_leads_nowhere_is_the_upstreams_failure(paths: list[str]) -> None:
    """One that can't be read, that skips too many places, or that contradicts an earlier one."""
    with pytest.raises(UpstreamFailed):
        put_together([{"jsonPath": path, "numberValue": 1} for path in paths])


def streamed(*calls: Any, reason: str | None = "STOP") -> list[Any]:
    """The events of an answer whose chunks hold one piece of a function call each."""
    reader = Reader("req_1", "gemini-x")
    chunks = [{"candidates": [{"content": {"parts": [{"functionCall": call}]}}]} for call in calls]
    chunks.append({"candidates": [{"finishReason": reason}]})
    return [event for chunk in chunks for event in reader.event(msgspec.json.encode(chunk))] + reader.end()


GROWING: dict[str, Any] = {"jsonPath": "$.a", "stringValue": "x", "willContinue": True}


def test_a_call_is_told_when_it_is_whole() -> None:
    """The empty piece that ends one, the next call, and the end of the answer each make it so."""
    events = streamed(
        {"name": "one", "willContinue": True},
        {"partialArgs": [GROWING], "willContinue": True},
        {},
        {"name": "two", "id": "2", "willContinue": True},
        {"name": "three", "partialArgs": [GROWING], "willContinue": True},
    )
    assert [(event.name, event.id) for event in events if isinstance(event, CallBegan)] == [
        ("one", "call_10"),
        ("two", "2"),
        ("three", "call_12"),
    ]
    assert [event.text for event in events if isinstance(event, CallGrew)] == ['{"a":"x"}', "{}", '{"a":"x"}']
    assert events[-1] == Ended(choice=0, finish="tool_calls", native="STOP")


def test_an_end_without_a_beginning_is_nothing() -> None:
    """It is a failure only when it brings arguments."""
    assert not any(isinstance(event, CallBegan) for event in streamed({}))
    with pytest.raises(UpstreamFailed):
        streamed({"partialArgs": [GROWING]})
