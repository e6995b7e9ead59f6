"""Answers of Gemini: recorded ones, each kind of part, and everything that may go wrong."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dialects.gemini_reading import answer, call, reader, told
from tokligenced.dialects import sse
from tokligenced.dialects.conversation import (
    Began,
    CallBegan,
    CallGrew,
    Carried,
    Counted,
    Drew,
    Ended,
    Event,
    Refused,
    Said,
    Sealed,
    Thought,
)
from tokligenced.dialects.wire_error import ErrorInside, WireError
from tokligenced.errors import UpstreamFailed

CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "given" / "cases"


def recorded() -> Iterator[Any]:
    """Answers with status 200 in this dialect out of the recorded corpus."""
    for file in sorted([*CORPUS.glob("gemini/*-chat-*.json"), *CORPUS.glob("vertex/*-chat-*.json")]):
        case = json.loads(file.read_text())
        if case["response"]["status"] == 200 and "enerateContent" in case["request"]["path"]:
            yield pytest.param(case["response"]["body"].encode(), case["response"]["sse"], id=case["id"])


def read(body: bytes, *, stream: bool) -> list[Event]:
    """All events of an answer."""
    fresh = reader()
    if not stream:
        return fresh.whole(body)
    datas = [data for event in sse.events(body + b"\n\n") if (data := sse.data_of(event))]
    return [event for data in datas for event in fresh.event(data)] + fresh.end()


@pytest.mark.parametrize(("body", "stream"), [*recorded()])
def test_a_recorded_answer_is_read_to_its_end(body: bytes, stream: bool) -> None:
    """It begins once, ends each choice once and last, and its calls are numbered and have unique ids."""
    events = read(body, stream=stream)
    assert isinstance(events[0], Began)
    assert events[0].id
    assert [type(event) for event in events].count(Began) == 1
    assert isinstance([event for event in events if not isinstance(event, Counted)][-1], Ended)
    calls = [event for event in events if isinstance(event, CallBegan)]
    assert [one.index for one in calls] == list(range(len(calls)))
    assert len({one.id for one in calls}) == len(calls)
    assert all(len(one.id) <= 40 for one in calls)
    for event in events:
        if isinstance(event, CallGrew):
            assert isinstance(json.loads(event.text), dict)


@pytest.mark.parametrize(("body", "stream"), [*recorded()])
def test_a_recorded_answer_that_is_cut_is_an_error(body: bytes, stream: bool) -> None:
    """Whatever the last events or bytes were: without them the answer is not complete."""
    if stream:
        events = sse.events(body)
        for length in range(len(events)):
            cut = b"".join(events[:length])
            if b"finishReason" not in cut:
                with pytest.raises(UpstreamFailed):
                    read(cut, stream=True)
    else:
        for length in range(0, len(body.rstrip()), max(1, len(body) // 200)):
            with pytest.raises(UpstreamFailed):
                reader().whole(body[:length])


def test_a_stream_and_a_whole_answer_tell_the_same() -> None:
    """The chunks of a stream, as the array that comes without server-sent events, are the same events."""
    case = json.loads(next(CORPUS.glob("gemini/gemini-chat-008-*.json")).read_text())
    body = case["response"]["body"].encode()
    datas = [data for event in sse.events(body) if (data := sse.data_of(event))]
    array = b"[" + b",\r\n".join(datas) + b"]"
    assert reader().whole(array) == read(body, stream=True)


def test_each_kind_of_part_has_its_event() -> None:
    """Text, thought, signature, picture, sound, file; an empty part is nothing."""
    code = {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "cw=="}
    events = told(
        {"text": "Hm", "thought": True},
        {"text": "Hello"},
        {"text": "", "thoughtSignature": "c2ln"},
        {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
        {"inlineData": {"mimeType": "audio/L16;rate=24000", "data": "AA=="}},
        {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/x"}},
        {"thoughtSignature": "bG9uZQ=="},
        {},
        code,
    )
    assert events[:3] == [Thought(0, "Hm"), Said(0, "Hello"), Sealed(0, "c2ln")]
    drawn = [event.media for event in events[3:6] if isinstance(event, Drew)]
    assert [(one.kind, one.data, one.url) for one in drawn] == [
        ("image", "AA==", None),
        ("audio", "AA==", None),
        ("video", None, "gs://b/x"),
    ]
    assert events[6] == Sealed(0, "bG9uZQ==")
    assert isinstance(events[7], Carried)
    assert events[7].block.dialect == "gemini"
    assert json.loads(bytes(events[7].block.block)) == code


def test_a_carried_part_is_one_line() -> None:
    """However the upstream sets its lines: a client's stream has one for each event."""
    part = b'{\n "toolCall": {\r\n "id": "a b" }\n}'
    body = answer("PART").replace(b'"PART"', part)
    carried = [event for event in reader().whole(body) if isinstance(event, Carried)]
    assert [bytes(event.block.block) for event in carried] == [b'{"toolCall":{"id":"a b"}}']


def test_calls_without_ids_get_their_own() -> None:
    """Ids are unique within the answer and made of the call's own, whatever the upstream repeats."""
    events = told(call(args={}), call(id="x"), call(id="x", args=None))
    assert [event.id for event in events if isinstance(event, CallBegan)] == [
        "call_0123456789abcdef0123456789abcdef0",
        "x",
        "call_0123456789abcdef0123456789abcdef2",
    ]
    assert [event.text for event in events if isinstance(event, CallGrew)] == ["{}", "{}", "{}"]


def test_arguments_keep_every_digit() -> None:
    """Only the white space between them goes."""
    body = answer(call(args="HERE")).replace(
        b'"HERE"', b'{ "a" : [1.50, 12345678901234567890123],\n "b": "x y" }'
    )
    grown = [event.text for event in reader().whole(body) if isinstance(event, CallGrew)]
    assert grown == ['{"a":[1.50,12345678901234567890123],"b":"x y"}']


def test_a_signature_stays_with_its_call() -> None:
    """Gemini 3 wants it back on the very part."""
    events = told({**call(), "thoughtSignature": "c2ln"}, call())
    assert [event.signature for event in events if isinstance(event, CallBegan)] == ["c2ln", None]


def test_one_call_at_a_time_when_the_client_wants_no_more() -> None:
    """Gemini can't be told, so the calls after the first are left for the next turn."""
    events = reader(single_call=True).whole(answer(call("a"), call("b"), call("c")))
    assert [event.name for event in events if isinstance(event, CallBegan)] == ["a"]
    assert events[-1] == Ended(choice=0, finish="tool_calls", native="STOP")


def test_a_free_text_tool_gets_its_text() -> None:
    """What the request wraps is unwrapped in the answer; what holds no text stays as it came."""
    events = reader(customs=frozenset({"patch"})).whole(
        answer(
            call("patch", args={"input": "*** Begin"}),
            call("patch", args={"x": 1}),
            call("f", args={"input": "x"}),
        )
    )
    assert [(e.kind, e.name) for e in events if isinstance(e, CallBegan)] == [
        ("custom", "patch"),
        ("custom", "patch"),
        ("function", "f"),
    ]
    assert [e.text for e in events if isinstance(e, CallGrew)] == ["*** Begin", '{"x":1}', '{"input":"x"}']


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("LANGUAGE", "content_filter"),
        ("BLOCKLIST", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("MODEL_ARMOR", "content_filter"),
        ("OTHER", "content_filter"),
        ("WHAT_COMES_NEXT", "content_filter"),
    ],
)
def test_a_finish_reason_is_told_in_the_hubs_words(reason: str, finish: Any) -> None:
    """With the provider's own word beside it."""
    events = reader().whole(answer({"text": "x"}, reason=reason))
    assert events[-1] == Ended(choice=0, finish=finish, native=reason)


def test_stop_after_calls_is_tool_calls() -> None:
    """Google has one word for both."""
    assert reader().whole(answer(call()))[-1] == Ended(choice=0, finish="tool_calls", native="STOP")


@pytest.mark.parametrize(
    "reason",
    ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE"],
)
def test_a_spoilt_call_is_the_upstreams_failure(reason: str) -> None:
    """The model's output can't be used, and the error says why."""
    with pytest.raises(ErrorInside) as inside:
        reader().event(answer(reason=reason, finishMessage="Bad call"))
    assert inside.value.error == WireError(message="Bad call", code=reason)


def test_what_held_an_answer_back_is_told() -> None:
    """Google's own explanation is what stands in for the answer."""
    events = reader().whole(answer(reason="IMAGE_SAFETY", finishMessage="Not shown."))
    assert events[-2:] == [
        Refused(0, "Not shown."),
        Ended(choice=0, finish="content_filter", native="IMAGE_SAFETY"),
    ]


@pytest.mark.parametrize("message", [None, "The prompt violated a filter."])
def test_a_blocked_prompt_is_an_answer_of_its_own(message: str | None) -> None:
    """There is no candidate, but the answer is complete."""
    feedback = {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": message}
    events = reader().whole(msgspec.json.encode({"promptFeedback": feedback, "responseId": "r"}))
    assert events[0] == Began(id="r", model="gemini-x")
    assert events[-1] == Ended(choice=0, finish="content_filter", native="PROHIBITED_CONTENT")
    assert events[1:-1] == ([Refused(0, message)] if message else [])


def test_a_reason_in_every_chunk_ends_once() -> None:
    """Some models say STOP from the first chunk on."""
    fresh = reader()
    events = fresh.event(answer({"text": "a"})) + fresh.event(answer({"text": "b"})) + fresh.end()
    assert events[1:] == [Said(0, "a"), Said(0, "b"), Ended(choice=0, finish="stop", native="STOP")]


def test_each_choice_must_end() -> None:
    """One that has no reason makes the whole answer incomplete."""
    two = [{"index": 1, "content": {"parts": [{"text": "b"}]}}, {"content": {"parts": [call()]}}]
    fresh = reader()
    fresh.event(msgspec.json.encode({"candidates": two}))
    fresh.event(msgspec.json.encode({"candidates": [{"index": 0, "finishReason": "STOP"}]}))
    with pytest.raises(UpstreamFailed):
        fresh.end()
    fresh.event(msgspec.json.encode({"candidates": [{"index": 1, "finishReason": "MAX_TOKENS"}]}))
    assert fresh.end() == [
        Ended(choice=0, finish="tool_calls", native="STOP"),
        Ended(choice=1, finish="length", native="MAX_TOKENS"),
    ]


def test_usage_of_the_last_chunk_counts_and_keeps_what_it_leaves_out() -> None:
    """Later figures replace earlier ones; nothing is added up."""
    fresh = reader()
    first = {"promptTokenCount": 10, "cachedContentTokenCount": 4, "totalTokenCount": 10}
    last = {"candidatesTokenCount": 3, "thoughtsTokenCount": 2, "totalTokenCount": 15}
    events = [
        event
        for usage in (first, {"trafficType": "ON_DEMAND"}, last, None)
        for event in fresh.event(msgspec.json.encode({"usageMetadata": usage}))
    ]
    events += fresh.late()
    usage = [event.usage for event in events if isinstance(event, Counted)][-1]
    assert (usage.input, usage.cached_input, usage.output, usage.reasoning) == (6, 4, 3, 2)
    assert not fresh.disbelieved


@pytest.mark.parametrize(
    "usage", [{"promptTokenCount": -1}, {"promptTokenCount": "many"}, [], {"promptTokenCount": 1e12}]
)
def test_a_usage_that_can_not_be_is_disbelieved(usage: Any) -> None:
    """The answer passes, nothing is counted by it."""
    fresh = reader()
    body = answer({"text": "x"})[:-1] + b',"usageMetadata":' + msgspec.json.encode(usage) + b"}"
    assert not any(isinstance(event, Counted) for event in fresh.whole(body))
    assert fresh.disbelieved


@pytest.mark.parametrize("wrap", ["%s", "[%s]"])
def test_an_error_where_an_answer_was_due_is_one(wrap: str) -> None:
    """Also in mid-stream, also in an array."""
    body = wrap % '{"error":{"code":503,"message":"Overloaded","status":"UNAVAILABLE"}}'
    with pytest.raises(ErrorInside) as inside:
        reader().event(body.encode())
    assert inside.value.error == WireError(message="Overloaded", type="UNAVAILABLE", code="UNAVAILABLE")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"not json",
        b'{"candidates":[]}',
        b'{"candidates":[{"content":{"parts":[{"text":1}]}}]}',
        b'{"candidates":[{"index":-1,"finishReason":"STOP"}]}',
        b'{"candidates":[{"index":1000000,"finishReason":"STOP"}]}',
        b'{"candidates":[{"content":{"parts":[{"functionCall":{"args":{}}}]},"finishReason":"STOP"}]}',
        b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":[]}}]},"finishReason":"STOP"}]}',
        b'{"candidates":[{"content":{"parts":[{"text":"\xff"}]},"finishReason":"STOP"}]}',
        b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":"\xff"}}}]}}]}',
        b'{"candidates":[{"content":{"parts":[{"toolCall":{"a":"\xff"}}]},"finishReason":"STOP"}]}',
        b'{"candidates":[{"finishReason":"STOP","groundingMetadata":[]}]}',
        b'{"candidates":[{"finishReason":"STOP","logprobsResult":{"chosenCandidates":1}}]}',
        b'{"error":[]}',
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        answer(call(args="HERE")).replace(b'"HERE"', b'{"a":' * 5000 + b"1" + b"}" * 5000),
    ],
)
def test_garbage_is_the_upstreams_failure(body: bytes) -> None:
    """Whatever comes, it is an answer or the provider's fault."""
    with pytest.raises(UpstreamFailed):
        reader().whole(body)


NAMES = """
    candidates content parts text thought functionCall name args partialArgs jsonPath stringValue willContinue
    inlineData data mimeType finishReason index usageMetadata promptTokenCount promptFeedback blockReason
    groundingMetadata groundingChunks citationMetadata logprobsResult error x
"""
members = st.sampled_from(NAMES.split())
leaves = st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["", "STOP", "$.a", "SAFETY", "x"])
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(members, inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(anything, min_size=1, max_size=4), st.booleans())
def test_nothing_else_than_a_failed_upstream_ever_happens(parts: list[Any], nested: bool) -> None:
    """Any JSON, alone or where parts belong, is read or is `UpstreamFailed`."""
    body = answer(*parts) if nested else msgspec.json.encode(parts[0])
    fresh = reader()
    try:
        fresh.event(body)
        events = fresh.end()
    except UpstreamFailed:
        return
    assert isinstance(events[-1], Ended)
