"""Messages answers written from events: the order of a stream, whole messages, and the way back."""

import json
import re
from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from pydantic import TypeAdapter

from tokligenced.dialects import sse
from tokligenced.dialects.conversation import (
    AnswerWriter,
    Began,
    CallBegan,
    CallGrew,
    Carried,
    Cited,
    Counted,
    Ended,
    Event,
    Foreign,
    Logged,
    Refused,
    Said,
    Sealed,
    Signed,
    Thinking,
    Thought,
)
from tokligenced.dialects.messages_answers import Reader
from tokligenced.dialects.messages_writer import Writer
from tokligenced.domain import Call, Usage
from tokligenced.errors import UpstreamFailed

sdk_events: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
STOP = Ended(choice=0, finish="stop")


def writer() -> AnswerWriter:
    return Writer(Call(dialect="messages", model="m", body=b"", id="call-1", members={}), "claude")


def streamed(events: list[Event], size: int = 1) -> list[dict[str, Any]]:
    """The events that a client sees when they come `size` at a time, checked against the protocol."""
    writes = writer()
    wire = (
        b"".join([writes.stream(events[at : at + size]) for at in range(0, len(events), size)]) + writes.end()
    )
    found = []
    for one in sse.events(wire):
        event = json.loads(sse.data_of(one) or b"")
        assert one.startswith(b"event: " + event["type"].encode() + b"\n")
        sdk_events.validate_python(event)
        found.append(event)
    check_order(found)
    return found


def check_order(events: list[dict[str, Any]]) -> None:
    """One message, blocks one after the other, nothing to a block that is not open."""
    kinds = [event["type"] for event in events]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert not {"message_start", "message_delta", "message_stop"} & set(kinds[1:-2])
    index, is_open = -1, False
    for event in events[1:-2]:
        match event["type"]:
            case "content_block_start":
                assert not is_open
                index, is_open = index + 1, True
            case "content_block_delta":
                assert is_open
            case other:
                assert other == "content_block_stop"
                assert is_open
                is_open = False
        assert event["index"] == index
    assert not is_open


def whole(events: list[Event]) -> dict[str, Any]:
    """The message that is not streamed, as the official client reads it."""
    body = writer().whole(events)
    Message.model_validate_json(body)
    message: dict[str, Any] = json.loads(body)
    return message


def calls(*ids: str) -> list[Event]:
    return [CallBegan(choice=0, index=at, id=id_, name="t") for at, id_ in enumerate(ids)]


def test_a_stream_in_its_order() -> None:
    """Thinking, text and a call, each in a block of its own, the reason and the usage at the end."""
    events: list[Event] = [
        Began(id="msg_1", model="claude-x"),
        Counted(Usage(input=5, cached_input=2)),
        Thought(0, "Hm"),
        Signed(0, Thinking(text="Hm", signature="c2ln")),
        Said(0, "I "),
        Said(0, "look"),
        *calls("t1"),
        CallGrew(0, 0, '{"a"'),
        CallGrew(0, 0, ":1}"),
        Counted(Usage(input=5, cached_input=2, output=9, reasoning=4)),
        Ended(choice=0, finish="tool_calls"),
    ]
    found = streamed(events, size=2)
    assert found[0]["message"]["id"] == "msg_1"
    assert found[0]["message"]["usage"]["input_tokens"] == 5
    blocks = [event["content_block"]["type"] for event in found if event["type"] == "content_block_start"]
    assert blocks == ["thinking", "text", "tool_use"]
    deltas = [event["delta"] for event in found if event["type"] == "content_block_delta"]
    assert deltas == [
        {"type": "thinking_delta", "thinking": "Hm"},
        {"type": "signature_delta", "signature": "c2ln"},
        {"type": "text_delta", "text": "I "},
        {"type": "text_delta", "text": "look"},
        {"type": "input_json_delta", "partial_json": '{"a"'},
        {"type": "input_json_delta", "partial_json": ":1}"},
    ]
    assert found[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert found[-2]["usage"]["output_tokens"] == 13
    assert found[-2]["usage"]["output_tokens_details"] == {"thinking_tokens": 4}


def test_what_is_said_goes_out_at_once() -> None:
    """The start waits for something to say; then each piece leaves with the events that brought it."""
    writes = writer()
    assert writes.stream([Began(id="a", model="b")]) == b""
    said = writes.stream([Said(0, "x")])
    assert said.index(b"message_start") < said.index(b'"text":"x"')
    assert writes.stream([]) == b""
    writes.stream(calls("t"))
    assert b"{" in writes.stream([CallGrew(0, 0, "{")])


def test_mixed_pieces_of_calls_come_apart() -> None:
    """Where an upstream mixes them, each call has its own pieces, in order, and none is lost."""
    events: list[Event] = [
        *calls("a", "b"),
        CallGrew(0, 0, '{"x":'),
        CallGrew(0, 1, '{"y":'),
        Said(0, "meanwhile"),
        CallGrew(0, 0, "1}"),
        CallGrew(0, 1, "2}"),
        Ended(choice=0, finish="tool_calls"),
    ]
    expected = [
        {"type": "tool_use", "id": "a", "name": "t", "input": {"x": 1}},
        {"type": "tool_use", "id": "b", "name": "t", "input": {"y": 2}},
        {"type": "text", "text": "meanwhile"},
    ]
    assert whole(events)["content"] == expected
    streamed(events)


def test_a_finished_call_gives_way_at_once() -> None:
    """Calls that come one after the other are not held back."""
    writes = writer()
    writes.stream([*calls("a"), CallGrew(0, 0, "{}")])
    assert b'"id":"b"' in writes.stream([CallBegan(choice=0, index=1, id="b", name="t")])


@pytest.mark.parametrize(
    ("ended", "refused", "expected"),
    [
        (STOP, False, {"stop_reason": "end_turn", "stop_sequence": None}),
        (
            Ended(choice=0, finish="stop", stop_sequence="X"),
            False,
            {"stop_reason": "stop_sequence", "stop_sequence": "X"},
        ),
        (
            Ended(choice=0, finish="length", native="MAX_TOKENS"),
            False,
            {"stop_reason": "max_tokens", "stop_sequence": None},
        ),
        (Ended(choice=0, finish="content_filter"), False, {"stop_reason": "refusal", "stop_sequence": None}),
        (
            Ended(choice=0, finish="stop", native="pause_turn"),
            False,
            {"stop_reason": "pause_turn", "stop_sequence": None},
        ),
        (
            Ended(choice=0, finish="stop", native="tool_use"),
            False,
            {"stop_reason": "end_turn", "stop_sequence": None},
        ),
        (
            STOP,
            True,
            {
                "stop_reason": "refusal",
                "stop_sequence": None,
                "stop_details": {"type": "refusal", "category": None, "explanation": "No. Never."},
            },
        ),
    ],
)
def test_reasons_to_stop_are_anthropic_s(ended: Ended, refused: bool, expected: dict[str, Any]) -> None:
    """Each finish has its word, the provider's own where it is Anthropic's; a refusal says why."""
    events: list[Event] = [Refused(0, "No. "), Refused(0, "Never.")] if refused else []
    events.append(ended)
    assert streamed(events)[-2]["delta"] == expected
    assert expected.items() <= whole(events).items()


def test_free_text_and_broken_arguments_are_objects() -> None:
    """A tool is called with an object here, whatever it was called with elsewhere."""
    events: list[Event] = [
        CallBegan(choice=0, index=0, id="a", name="patch", kind="custom"),
        CallGrew(0, 0, "x "),
        CallGrew(0, 0, '"y"'),
        CallBegan(choice=0, index=1, id="b", name="t"),
        CallGrew(0, 1, '{"cut'),
        CallBegan(choice=0, index=2, id="c", name="t", signature="c2ln"),
        Ended(choice=0, finish="length"),
    ]
    assert whole(events)["content"] == [
        {"type": "tool_use", "id": "a", "name": "patch", "input": {"input": 'x "y"'}},
        {"type": "tool_use", "id": "b", "name": "t", "input": {"INVALID_JSON": '{"cut'}},
        {
            "type": "tool_use",
            "id": "c",
            "name": "t",
            "input": {},
            "extra_content": {"google": {"thought_signature": "c2ln"}},
        },
    ]
    streamed(events)


def test_signatures_without_text_have_blocks_of_their_own() -> None:
    """Reasoning that is hidden or empty is handed back all the same."""
    events: list[Event] = [
        Signed(0, Thinking(redacted="c2VjcmV0")),
        Signed(0, Thinking(signature="c2ln")),
        Said(0, "x"),
        STOP,
    ]
    assert whole(events)["content"] == [
        {"type": "redacted_thinking", "data": "c2VjcmV0"},
        {"type": "thinking", "thinking": "", "signature": "c2ln"},
        {"type": "text", "text": "x"},
    ]


def test_what_has_no_place_here_is_left_out() -> None:
    """Log probabilities, seals and other dialects' blocks break nothing."""
    events: list[Event] = [
        Logged(0, [{"token": "x"}]),
        Sealed(0, "c2ln"),
        Carried(0, Foreign(dialect="gemini", block=Raw(b"{}"))),
        STOP,
    ]
    assert whole(events)["content"] == []
    assert len(streamed(events)) == 3


def test_a_stream_of_nothing_is_still_a_message() -> None:
    """Begin, reason, end: and an id and a model even where the upstream gave none."""
    found = streamed([STOP])
    assert [event["type"] for event in found] == ["message_start", "message_delta", "message_stop"]
    assert (found[0]["message"]["id"], found[0]["message"]["model"]) == ("msg_call-1", "claude")


def test_a_stream_that_broke_off_says_so() -> None:
    """One error event, with the request's id, and nothing that looks like an end."""
    told = writer().fail(UpstreamFailed("upstream_error", "It broke."))
    assert told.startswith(b"event: error\n")
    event = json.loads(sse.data_of(told) or b"")
    assert (event["type"], event["error"]["message"], event["request_id"]) == ("error", "It broke.", "call-1")


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    """The events of an answer, as any reader may give them."""
    events: list[Event] = [Began(id="msg_1", model="claude-x")]
    usages = st.builds(
        Usage,
        input=st.integers(0, 99),
        cached_input=st.integers(0, 9),
        output=st.integers(0, 99),
        reasoning=st.integers(0, 9),
    )
    count = 0
    for kind in draw(
        st.lists(
            st.sampled_from(["text", "think", "redacted", "call", "foreign", "cite", "count"]), max_size=6
        )
    ):
        match kind:
            case "text":
                events += [Said(0, text) for text in draw(st.lists(texts, min_size=1, max_size=3))]
            case "think":
                pieces = draw(st.lists(texts, max_size=3))
                events += [Thought(0, text) for text in pieces]
                events.append(Signed(0, Thinking(text="".join(pieces), signature="c2ln")))
            case "redacted":
                events.append(Signed(0, Thinking(redacted="c2VjcmV0")))
            case "call":
                events.append(CallBegan(choice=0, index=count, id=f"t{count}", name="tool"))
                events += [
                    CallGrew(0, count, text) for text in draw(st.sampled_from([["{}"], ['{"a":', "[1]}"]]))
                ]
                count += 1
            case "foreign":
                block = Raw(b'{"type":"server_tool_use","id":"s","name":"web_search","input":{"q":1}}')
                events.append(Carried(0, Foreign(dialect="messages", block=block)))
            case "cite":
                events.append(Cited(choice=0, url="https://example.com", title=draw(texts)))
            case _:
                events.append(Counted(draw(usages)))
    finish = "tool_calls" if count else draw(st.sampled_from(["stop", "length"]))
    events.append(Counted(draw(usages)))
    native = {"tool_calls": "tool_use", "stop": "end_turn", "length": "max_tokens"}[finish]
    return [*events, Ended(choice=0, finish=finish, native=native)]


def meaning(events: list[Event]) -> list[Any]:
    """Events with their pieces joined, counts but the last left out, and citations without places."""
    found: list[Any] = []
    for event in events:
        match event:
            case Counted():
                pass
            case Cited():
                found.append(("cited", event.url, event.title))
            case Carried():
                found.append(json.loads(bytes(event.block.block)))
            case Said() | Thought() | CallGrew():
                kind = (type(event), getattr(event, "index", None))
                if found and isinstance(found[-1], list) and found[-1][0] == kind:
                    found[-1][1] += event.text
                else:
                    found.append([kind, event.text])
            case _:
                found.append(event)
    # A citation is told when its text is over, wherever in it the citation stood.
    cited = [one for one in found if isinstance(one, tuple)]
    rest: list[Any] = []
    for one in found:
        if isinstance(one, tuple):
            continue
        if isinstance(one, list) and rest and isinstance(rest[-1], list) and rest[-1][0] == one[0]:
            rest[-1] = [one[0], rest[-1][1] + one[1]]
        else:
            rest.append(one)
    return [*rest, cited, [event.usage for event in events if isinstance(event, Counted)][-1]]


@given(answers(), st.integers(1, 5))
def test_out_and_back_is_the_same_answer(events: list[Event], size: int) -> None:
    """Written as a stream or whole, and read again, an answer means what it meant."""
    reader = Reader()
    back = [event for one in streamed(events, size) for event in reader.event(json.dumps(one).encode())]
    assert meaning(back + reader.end()) == meaning(events)
    assert meaning(Reader().whole(json.dumps(whole(events), separators=(",", ":")).encode())) == meaning(
        events
    )


mess = st.one_of(
    texts.map(lambda text: Said(0, text)),
    texts.map(lambda text: Thought(0, text)),
    st.builds(lambda at: CallBegan(choice=0, index=at, id=f"t{at}", name="t"), st.integers(0, 2)),
    st.builds(
        lambda at, text: CallGrew(0, at, text),
        st.integers(0, 2),
        st.sampled_from(["{", "}", "{}", '{"a":1}', " "]),
    ),
    st.just(Signed(0, Thinking(signature="c2ln"))),
    st.just(Signed(0, Thinking(text="unsigned"))),
    st.just(Cited(choice=0, url="https://example.com")),
    st.just(STOP),
)


@given(st.lists(mess, max_size=12), st.integers(1, 4))
def test_whatever_comes_the_protocol_holds(events: list[Event], size: int) -> None:
    """No order of events opens two blocks at once, leaves one open, or adds to a closed one."""
    streamed(events, size)
    whole(events)


def test_ids_of_calls_are_ones_that_anthropic_takes_back() -> None:
    """A call's id from elsewhere is made legal, alike each time; a legal one stays."""
    ids = []
    for given_id in ("functions.get:0", "functions.get:0", "functions_get:0", "call_1"):
        message = json.loads(writer().whole([CallBegan(choice=0, index=0, id=given_id, name="f"), STOP]))
        ids.append(message["content"][0]["id"])
    assert ids[0] == ids[1] != ids[2]
    assert ids[3] == "call_1"
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]+", one) for one in ids)
