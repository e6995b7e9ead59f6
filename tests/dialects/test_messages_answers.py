"""Anthropic's answers as events: recorded ones, odd ones, and anything at all."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokligenced.dialects import messages_answers, sse
from tokligenced.dialects.conversation import (
    Began,
    CallBegan,
    CallGrew,
    Carried,
    Cited,
    Counted,
    Ended,
    Event,
    Refused,
    Said,
    Signed,
    Thinking,
    Thought,
)
from tokligenced.dialects.messages_answers import Reader
from tokligenced.dialects.messages_blocks import Tools
from tokligenced.dialects.wire_error import ErrorInside, WireError
from tokligenced.domain import Usage
from tokligenced.errors import UpstreamFailed

CASES = Path(__file__).parents[3] / "shared" / "corpus" / "given" / "cases" / "anthropic"


def recorded() -> Iterator[Any]:
    """Answers with status 200 out of the recorded corpus."""
    for file in sorted(CASES.glob("*-chat-*.json")):
        case = json.loads(file.read_text())
        if case["response"]["status"] == 200:
            yield pytest.param(case["response"]["body"].encode(), case["response"]["sse"], id=case["id"])


def read(body: bytes, reader: Reader) -> list[Event]:
    """The events of a stream."""
    events: list[Event] = []
    for one in sse.events(body.rstrip() + b"\n\n"):
        if data := sse.data_of(one):
            events += reader.event(data)
    return events + reader.end()


def stream(*events: dict[str, Any], reader: Reader | None = None) -> list[Event]:
    """What a reader makes of these events between a beginning and an end."""
    reader = reader or Reader()
    found = [event for one in events for event in reader.event(json.dumps(one).encode())]
    return found + reader.end()


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of one block."""
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def stop(reason: str | None = "end_turn", **delta: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason, **delta}}


def json_pieces(*pieces: str) -> list[dict[str, Any]]:
    return [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]


def tool(name: str = "t", **more: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": "toolu_1", "name": name, "input": {}, **more}


def message_of(events: list[Event]) -> dict[str, Any]:
    """What events amount to, however they were cut."""
    return {
        "text": "".join([one.text for one in events if isinstance(one, Said)]),
        "thought": "".join([one.text for one in events if isinstance(one, Thought)]),
        "arguments": {
            (one.index, one.id, one.name): json.loads(
                "".join(
                    [more.text for more in events if isinstance(more, CallGrew) and more.index == one.index]
                )
            )
            for one in events
            if isinstance(one, CallBegan)
        },
        "kept": [one for one in events if isinstance(one, Signed | Cited)],
        "carried": [json.loads(bytes(one.block.block)) for one in events if isinstance(one, Carried)],
        "ended": [one for one in events if isinstance(one, Ended | Refused)],
        "usage": [one.usage for one in events if isinstance(one, Counted)][-1:],
    }


def add(block: dict[str, Any], delta: dict[str, Any]) -> None:
    """Put a piece where the documentation says it goes."""
    match delta["type"]:
        case "input_json_delta":
            block["_json"] += delta["partial_json"]
        case "citations_delta":
            block.setdefault("citations", []).append(delta["citation"])
        case "signature_delta":
            block["signature"] = delta["signature"]
        case kind:
            name = kind.removesuffix("_delta")
            block[name] = block.get(name, "") + delta[name]


def assembled(body: bytes) -> bytes:
    """A recorded stream as the whole message it amounts to, put together the documented way."""
    message: dict[str, Any] = {}
    for one in sse.events(body.rstrip() + b"\n\n"):
        event = json.loads(sse.data_of(one) or b"{}")
        match event.get("type"):
            case "message_start":
                message = event["message"]
            case "content_block_start":
                message["content"].append(event["content_block"] | {"_json": ""})
            case "content_block_delta":
                add(message["content"][event["index"]], event["delta"])
            case "message_delta":
                message |= event["delta"]
                message["usage"] |= {name: value for name, value in event["usage"].items() if value}
    for current in message["content"]:
        if written := current.pop("_json"):
            current["input"] = json.loads(written)
    return json.dumps(message).encode()


@pytest.mark.parametrize(("body", "is_stream"), [*recorded()])
def test_a_recorded_answer_is_read(body: bytes, is_stream: bool) -> None:
    """It begins once, ends once, and its usage is known; a stream means what its whole message means."""
    events = read(body, Reader()) if is_stream else Reader().whole(body)
    assert isinstance(events[0], Began)
    assert events[0].id.startswith("msg_")
    assert sum(isinstance(event, Began) for event in events) == 1
    assert isinstance(events[-1], Ended)
    assert message_of(events)["usage"]
    if is_stream:
        assert message_of(events) == message_of(Reader().whole(assembled(body)))


@pytest.mark.parametrize(("body", "is_stream"), [*recorded()])
def test_a_recorded_answer_that_is_cut_is_not_complete(body: bytes, is_stream: bool) -> None:
    """Wherever the end is missing, nothing looks like an end."""
    if not is_stream:
        for cut in range(0, len(body), max(1, len(body) // 50)):
            with pytest.raises(UpstreamFailed):
                Reader().whole(body[:cut])
        return
    events = sse.events(body.rstrip() + b"\n\n")
    reader = Reader()
    for one in events:
        with pytest.raises(UpstreamFailed):
            reader.end()
        data = sse.data_of(one) or b""
        if b'"message_delta"' in data:
            return
        reader.event(data)
    pytest.fail("there was no end")


def test_tools_are_counted_apart_from_other_blocks() -> None:
    """A call's index is its own; one without any piece has the arguments `{}`."""
    found = stream(
        *block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "I"}),
        *block(1, tool("a"), *json_pieces("")),
        *block(2, tool("b"), *json_pieces('{"x"', ":1}")),
        *block(3, tool("c", input={"y": 2})),
        stop("tool_use"),
    )
    assert found == [
        Said(0, "I"),
        CallBegan(choice=0, index=0, id="toolu_1", name="a"),
        CallGrew(0, 0, "{}"),
        CallBegan(choice=0, index=1, id="toolu_1", name="b"),
        CallGrew(0, 1, '{"x"'),
        CallGrew(0, 1, ":1}"),
        CallBegan(choice=0, index=2, id="toolu_1", name="c"),
        CallGrew(0, 2, '{"y": 2}'),
        Ended(choice=0, finish="tool_calls", native="tool_use"),
    ]


def test_thinking_is_signed_whole() -> None:
    """Each block of reasoning is given back whole at its end, unless it bears no signature."""
    found = stream(
        *block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "Hm"},
            {"type": "thinking_delta", "thinking": "."},
            {"type": "signature_delta", "signature": "c2ln"},
        ),
        *block(1, {"type": "thinking", "thinking": "", "signature": "ZW1wdHk="}),
        *block(2, {"type": "redacted_thinking", "data": "c2VjcmV0"}),
        *block(3, {"type": "thinking", "thinking": "aloud"}),
        stop(),
    )
    assert found == [
        Thought(0, "Hm"),
        Thought(0, "."),
        Signed(0, Thinking(text="Hm.", signature="c2ln")),
        Signed(0, Thinking(signature="ZW1wdHk=")),
        Signed(0, Thinking(redacted="c2VjcmV0")),
        Thought(0, "aloud"),
        Ended(choice=0, finish="stop", native="end_turn"),
    ]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (['{"input": "*** Be', 'gin\\n\\"x\\""}'], '*** Begin\n"x"'),
        (['{"input": "cut \\u00e'], "cut "),
        (['{"input": "cut \\\\'], "cut \\"),
        (['{"input": "cut \\'], "cut "),
        (["{}"], "{}"),
        ([], ""),
    ],
)
def test_free_text_is_unwrapped(pieces: list[str], expected: str) -> None:
    """A custom tool's call holds the text itself, as far as it came."""
    reader = Reader(Tools(custom=frozenset({"patch"})))
    found = stream(*block(0, tool("patch"), *json_pieces(*pieces)), stop("max_tokens"), reader=reader)
    assert found == [
        CallBegan(choice=0, index=0, id="toolu_1", name="patch", kind="custom"),
        CallGrew(0, 0, expected),
        Ended(choice=0, finish="length", native="max_tokens"),
    ]


def test_what_the_format_tool_is_called_with_is_the_answer() -> None:
    """Its input is said as it comes, and that it was a tool is not told."""
    reader = Reader(Tools(format="json_answer"))
    found = stream(
        *block(0, tool("json_answer"), *json_pieces('{"a"', ":1}")), stop("tool_use"), reader=reader
    )
    assert found == [
        Said(0, '{"a"'),
        Said(0, ":1}"),
        Ended(choice=0, finish="stop", native="tool_use"),
    ]


def test_a_call_beside_the_answer_is_still_a_call() -> None:
    """Where the client's tool was called, the client must act."""
    reader = Reader(Tools(format="json_answer"))
    found = stream(*block(0, tool("weather")), stop("tool_use"), reader=reader)
    assert found[-1] == Ended(choice=0, finish="tool_calls", native="tool_use")


def test_the_format_tool_without_input_answers_an_empty_object() -> None:
    """What is said is JSON even where nothing was."""
    reader = Reader(Tools(format="json_answer"))
    assert stream(*block(0, tool("json_answer")), stop("tool_use"), reader=reader)[0] == Said(0, "{}")


def test_server_tools_are_carried_whole() -> None:
    """A block that only Anthropic understands goes along with the input that was streamed to it."""
    use = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    found_ = {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": [{"encrypted_content": "x"}],
    }
    found = stream(
        *block(0, use, *json_pieces('{"query":', '"oslo"}')),
        *block(1, found_),
        *block(2, {"type": "never_seen", "x": 1}, {"type": "never_seen_delta", "y": 2}),
        *block(3, use, *json_pieces('{"cut')),
        stop(),
    )
    carried = [json.loads(bytes(event.block.block)) for event in found if isinstance(event, Carried)]
    assert carried == [use | {"input": {"query": "oslo"}}, found_, {"type": "never_seen", "x": 1}, use]


def test_sources_are_told_with_the_text_they_are_of() -> None:
    """A citation with an address is told once its text is over; one into a document has none."""
    web = {
        "type": "web_search_result_location",
        "url": "https://example.com",
        "title": "Ex",
        "cited_text": "x",
    }
    page = {"type": "page_location", "document_index": 0, "cited_text": "x"}
    found = stream(
        *block(0, {"type": "text", "text": "So: "}),
        *block(
            1,
            {"type": "text", "text": "", "citations": []},
            {"type": "citations_delta", "citation": web},
            {"type": "citations_delta", "citation": page},
            {"type": "text_delta", "text": "c\u00e9ld"},
        ),
        stop(),
    )
    assert [event for event in found if isinstance(event, Cited)] == [
        Cited(choice=0, url="https://example.com", title="Ex", start=4, end=8)
    ]


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("never_seen", "stop"),
    ],
)
def test_reasons_to_stop(reason: str, finish: str) -> None:
    """Each has its place, and its own word goes along."""
    found = stream(stop(reason, stop_sequence="END"))
    assert found == [Ended(choice=0, finish=finish, stop_sequence="END", native=reason)]  # type: ignore[arg-type]


def test_a_refusal_says_why() -> None:
    """An explanation is what the model says instead of an answer."""
    found = stream(stop("refusal", stop_details={"type": "refusal", "explanation": "Not that."}))
    assert found[0] == Refused(0, "Not that.")
    assert stream(stop("refusal", stop_details=None))[0] == Ended(
        choice=0, finish="content_filter", native="refusal"
    )


def test_usage_is_told_at_the_beginning_and_replaced_at_the_end() -> None:
    """Who hangs up early has told usage for what went in; totals are never added."""
    start = {"id": "msg_1", "model": "claude", "usage": {"input_tokens": 20, "output_tokens": 1}}
    found = stream(
        {"type": "message_start", "message": start},
        {"type": "ping"},
        {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": 7}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    )
    assert found == [
        Began(id="msg_1", model="claude"),
        Counted(Usage(input=20, output=1)),
        Counted(Usage(input=20, output=7)),
        Counted(Usage(input=20, output=9)),
        Ended(choice=0, finish="stop", native="end_turn"),
    ]


@pytest.mark.parametrize("usage", [{"input_tokens": -4, "output_tokens": 1}, {"input_tokens": "many"}, [1]])
def test_a_usage_that_can_not_be_does_not_stop_the_answer(usage: Any) -> None:
    """It is noted that it was not believed, and the answer passes."""
    reader = Reader()
    found = stream({**stop(), "usage": usage}, reader=reader)
    assert reader.disbelieved
    assert found == [Ended(choice=0, finish="stop", native="end_turn")]


def test_no_usage_is_no_reason_to_disbelieve() -> None:
    """An upstream that tells nothing told nothing wrong."""
    reader = Reader()
    stream(stop(), reader=reader)
    assert not reader.disbelieved


def test_an_end_without_a_reason_is_an_end() -> None:
    """`message_stop` completes the answer, and blocks that were left open are over."""
    signed = {"type": "thinking", "thinking": "Hm", "signature": "c2ln"}
    found = stream(
        {"type": "content_block_start", "index": 0, "content_block": signed}, {"type": "message_stop"}
    )
    assert found[-2:] == [Signed(0, Thinking(text="Hm", signature="c2ln")), Ended(choice=0, finish="stop")]


def test_an_error_after_the_beginning_is_an_error() -> None:
    """It carries the provider's own words."""
    reader = Reader()
    with pytest.raises(ErrorInside) as inside:
        reader.event(b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}')
    assert inside.value.error == WireError(message="Overloaded", type="overloaded_error")


def test_an_error_where_a_message_was_due_is_an_error() -> None:
    """A status of 200 does not make an answer of it."""
    with pytest.raises(ErrorInside) as inside:
        Reader().whole(b'{"type":"error","error":{"type":"api_error","message":"Sorry"}}')
    assert inside.value.error.message == "Sorry"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[DONE]",
        b"{",
        b"\xff",
        b"[]",
        b'"x"',
        b'{"type":1}',
        b"[" * 100_000,
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}',
        b'{"type":"content_block_delta","delta":{"type":"text_delta","text":"x"}}',
        b'{"type":"content_block_stop","index":3}',
        b'{"type":"content_block_start","index":0}',
        b'{"type":"content_block_start","index":0,"content_block":{}}',
        b'{"type":"content_block_start","index":0,"content_block":null}',
    ],
)
def test_what_is_not_the_dialect_is_refused(data: bytes) -> None:
    """Nonsense, and events of blocks that were never opened, fail the attempt and nothing else."""
    with pytest.raises(UpstreamFailed):
        Reader().event(data)


def test_a_block_is_over_when_it_is_over() -> None:
    """No piece reaches a closed block, and no place is taken twice."""
    reader = Reader()
    for one in block(0, {"type": "text", "text": "x"}):
        reader.event(json.dumps(one).encode())
    with pytest.raises(UpstreamFailed):
        reader.event(b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}')
    reader.event(b'{"type":"content_block_start","index":0,"content_block":{"type":"text"}}')
    with pytest.raises(UpstreamFailed):
        reader.event(b'{"type":"content_block_start","index":0,"content_block":{"type":"text"}}')


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"content":[]}', b'{"content":[{}],"stop_reason":"end_turn"}']
)
def test_a_whole_answer_is_complete_or_none(body: bytes) -> None:
    """What has no content, no reason to stop, or blocks of no type is not an answer."""
    with pytest.raises(UpstreamFailed):
        Reader().whole(body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            b'{"type":"error","error":{"type":"t","message":"m"},"request_id":"r"}',
            WireError(message="m", type="t"),
        ),
        (b'{"error":"plain"}', WireError(message="plain")),
        (b'{"message":"top"}', WireError(message="top")),
        (b"<html>", WireError()),
        (b"[" * 100_000, WireError()),
        (b"\xff", WireError()),
    ],
)
def test_error_bodies_are_read_as_far_as_they_can_be(body: bytes, expected: WireError) -> None:
    """The provider's words where they are there, and nothing otherwise."""
    assert messages_answers.read_error(body) == expected


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.sampled_from(["", "x", "{", "text", "tool_use", "end_turn"])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "text",
                    "id",
                    "name",
                    "input",
                    "usage",
                    "delta",
                    "citation",
                    "url",
                    "input_tokens",
                    "partial_json",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
kinds = st.sampled_from(
    [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "error",
        "x",
    ]
)
wild = st.fixed_dictionaries(
    {"type": kinds},
    optional={
        "index": st.integers(-1, 1) | scalars,
        "content_block": st.fixed_dictionaries(
            {"type": st.sampled_from(["text", "thinking", "tool_use", "redacted_thinking", "y"])},
            optional={"text": values, "input": values, "name": values, "citations": values},
        )
        | values,
        "delta": values,
        "message": values,
        "usage": values,
        "error": values,
    },
)


@given(st.lists(wild, max_size=8))
def test_whatever_comes_is_events_or_a_failed_attempt(events: list[Any]) -> None:
    """No event, in whatever order, raises anything but what means that the upstream failed."""
    reader = Reader(Tools(custom=frozenset({"x"}), format="text"))
    with contextlib.suppress(UpstreamFailed):
        for event in events:
            reader.event(msgspec.json.encode(event))
        reader.end()


@given(values | wild)
def test_whatever_body_comes_is_an_answer_or_a_failed_attempt(body: Any) -> None:
    """The same for answers that are not streamed, and for error bodies."""
    messages_answers.read_error(msgspec.json.encode(body))
    with contextlib.suppress(UpstreamFailed):
        Reader().whole(msgspec.json.encode(body))
