"""Responses answers written from the hub's events: streamed and whole say the same to OpenAI's clients."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tokligenced.dialects import responses_calls, responses_events, responses_requests, sse
from tokligenced.dialects.conversation import (
    Began,
    CallBegan,
    CallGrew,
    Carried,
    Cited,
    Counted,
    Drew,
    Ended,
    Event,
    Foreign,
    Logged,
    Media,
    Part,
    Refused,
    Said,
    Sealed,
    Signed,
    Text,
    Thinking,
    Thought,
    ToolCall,
    Turn,
)
from tokligenced.dialects.responses_writer import Writer
from tokligenced.domain import Call, Usage
from tokligenced.errors import CallError, InvalidRequest, PaymentRequired, Unavailable

BEGAN = Began(id="msg_1", model="claude")
STOP = Ended(choice=0, finish="stop")
CALLS = Ended(choice=0, finish="tool_calls")
FOREIGN = Foreign(dialect="messages", block=Raw(b'{"type":"server_tool_use","id":"x"}'))
TOKEN = {"token": "hi", "logprob": -0.5, "bytes": [104, 105], "top_logprobs": []}

_read_event: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def call(*, stream: bool = True, **members: Any) -> Call:
    body = {"model": "m", "input": "x", "stream": stream, **members}
    return responses_calls.parse(json.dumps(body).encode(), call_id="req_" + "a" * 32, at=5_000)


def events_of(sent: bytes) -> list[dict[str, Any]]:
    """The events, each as the SDK reads it, numbered from 0 and named as they are typed."""
    found = []
    for event in sse.events(sent):
        data = sse.data_of(event)
        assert data is not None
        found.append(json.loads(data))
        assert event.startswith(b"event: %b\n" % found[-1]["type"].encode())
    for event in found:
        if event["type"] not in {"error", "response.failed"}:  # OpenAI's own are not as its types say
            _read_event.validate_python(event)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def streamed(*events: Event, **members: Any) -> list[dict[str, Any]]:
    """The events of a whole stream; items are opened, grow and are closed in order."""
    writer = Writer(call(**members), "claude")
    found = events_of(b"".join([writer.stream([event]) for event in events]) + writer.end())
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
    for event in found:
        state.handle_event(_read_event.validate_python(event))
    assert [event["type"] for event in found[:2]] == ["response.created", "response.in_progress"]
    assert found[-1]["type"] in {"response.completed", "response.incomplete"}
    _check_items(found)
    return found


def _check_items(found: list[dict[str, Any]]) -> None:
    """Each item is opened and closed once, nothing reaches a closed one, and deltas make up the whole."""
    opened: dict[int, str] = {}
    closed: dict[int, dict[str, Any]] = {}
    grown: dict[tuple[int, str], str] = {}
    for event in found:
        index = event.get("output_index")
        if index is None:
            continue
        assert index not in closed
        if event["type"] == "response.output_item.added":
            assert index not in opened
            opened[index] = event["item"]["id"]
        elif event["type"] == "response.output_item.done":
            assert event["item"]["id"] == opened[index]
            closed[index] = event["item"]
        else:
            assert event["item_id"] == opened[index]
        if "delta" in event:
            key = (index, event["type"].removesuffix(".delta"))
            grown[key] = grown.get(key, "") + event["delta"]
        for member in ("text", "arguments", "input", "refusal"):
            if event["type"].endswith(".done") and member in event:
                assert grown.pop((index, event["type"].removesuffix(".done")), "") == event[member]
    assert not grown
    final = found[-1]["response"]["output"]
    assert [closed[index] for index in sorted(closed)] == final
    assert sorted(opened) == sorted(closed) == list(range(len(final)))
    ids = Counter(item["id"] for item in final)
    assert all(count == 1 for count in ids.values())
    assert all(len(each) <= 64 for each in ids)


def whole(*events: Event, **members: Any) -> dict[str, Any]:
    """The answer in one piece, as the SDK reads it."""
    answer: dict[str, Any] = json.loads(Writer(call(stream=False, **members), "claude").whole(events))
    Response.model_validate(answer)
    return answer


def both(*events: Event, **members: Any) -> list[dict[str, Any]]:
    """The items of the answer; a stream ends with the very response that is given whole."""
    given = whole(*events, **members)
    assert streamed(*events, **members)[-1]["response"] == given
    return list(given["output"])


def kinds(found: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in found]


def test_a_text_in_its_events() -> None:
    """The exact sequence in which OpenAI tells a message."""
    found = streamed(BEGAN, Said(0, "he"), Said(0, ""), Said(0, "llo"), STOP)
    assert kinds(found) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert found[-1]["response"]["output"][0]["content"][0]["text"] == "hello"


def test_a_response_tells_what_was_asked() -> None:
    """The request's own members come back, the ids are the call's, the model and the usage the upstream's."""
    tools = [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}]
    asked: dict[str, Any] = {
        "instructions": "be brief",
        "tools": tools,
        "tool_choice": "required",
        "temperature": 0.25,
        "top_p": 0.5,
        "text": {"format": {"type": "json_object"}},
        "reasoning": {"effort": "low"},
        "parallel_tool_calls": False,
        "metadata": {"a": "b"},
        "max_output_tokens": 64,
        "truncation": "auto",
        "user": "u",
    }
    usage = Usage(input=1, cached_input=2, cache_write_5m=4, output=8, reasoning=16)
    answer = whole(BEGAN, Said(0, "x"), Counted(usage), STOP, **asked)
    assert {name: answer[name] for name in asked} == asked
    assert answer["id"] == "resp_" + "a" * 32
    assert (answer["object"], answer["created_at"], answer["status"]) == ("response", 5, "completed")
    assert (answer["model"], answer["store"], answer["previous_response_id"]) == ("claude", False, None)
    assert answer["usage"] == {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 4},
        "output_tokens": 24,
        "output_tokens_details": {"reasoning_tokens": 16},
        "total_tokens": 31,
    }


def test_nothing_is_sent_before_there_is_something() -> None:
    """Until then a failure may still be mended by another deployment."""
    writer = Writer(call(), "claude")
    assert writer.stream([BEGAN, Counted(Usage(input=3)), Said(0, ""), Thought(0, "")]) == b""
    assert writer.stream([Said(0, "x")]).startswith(b"event: response.created\n")


def test_an_answer_without_a_word_is_an_answer() -> None:
    """A stream that says nothing is begun and ended all the same."""
    assert kinds(streamed(BEGAN, STOP)) == ["created", "in_progress", "completed"]
    assert both(STOP) == []


def test_reasoning_in_its_events() -> None:
    """Visible reasoning is a summary, with its proof under seal when it is over."""
    found = streamed(
        BEGAN, Thought(0, "h"), Thought(0, "m"), Signed(0, Thinking(text="hm", signature="S")), STOP
    )
    assert kinds(found)[2:-1] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]
    item = found[-1]["response"]["output"][0]
    assert item["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert item["encrypted_content"]


def test_tool_calls_in_their_events() -> None:
    """Functions and custom tools grow by their own events; one without arguments has an empty object."""
    found = streamed(
        CallBegan(choice=0, index=0, id="c0", name="f"),
        CallGrew(0, 0, '{"a":'),
        CallGrew(0, 0, "1}"),
        CallBegan(choice=0, index=1, id="c1", name="p", kind="custom"),
        CallGrew(0, 1, "*** Begin"),
        CallBegan(choice=0, index=2, id="c2", name="g"),
        CALLS,
    )
    function = [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ]
    assert kinds(found)[2:7] == function
    assert kinds(found)[7:9] == ["output_item.added", "custom_tool_call_input.delta"]
    output = found[-1]["response"]["output"]
    assert [(item["type"], item["call_id"], item["name"]) for item in output] == [
        ("function_call", "c0", "f"),
        ("custom_tool_call", "c1", "p"),
        ("function_call", "c2", "g"),
    ]
    assert [item.get("arguments", item.get("input")) for item in output] == ['{"a":1}', "*** Begin", "{}"]


def test_calls_that_grow_by_turns_lose_nothing() -> None:
    """An upstream may send the arguments of several calls in turns, and text between them."""
    output = both(
        CallBegan(choice=0, index=0, id="c0", name="f"),
        CallGrew(0, 0, '{"a":'),
        CallBegan(choice=0, index=1, id="c1", name="p", kind="custom"),
        CallGrew(0, 1, "x"),
        Said(0, "meanwhile"),
        CallGrew(0, 0, "1}"),
        CallGrew(0, 1, "y"),
        CALLS,
    )
    assert [item["type"] for item in output] == ["function_call", "custom_tool_call", "message"]
    assert (output[0]["arguments"], output[1]["input"]) == ('{"a":1}', "xy")


def test_refusals_sources_pictures_and_probabilities() -> None:
    """Each has its place in the dialect."""
    output = both(
        Logged(0, [TOKEN]),
        Said(0, "hi"),
        Logged(0, [TOKEN]),
        Sealed(0, "S"),
        Cited(choice=0, url="https://x.test", title="X", start=0, end=2),
        Refused(0, "no"),
        Drew(0, Media(kind="image", media_type="image/webp", data="aGk=")),
        Drew(0, Media(kind="audio", media_type="audio/wav", data="aGk=")),
        STOP,
    )
    assert [item["type"] for item in output] == ["message", "reasoning", "message", "image_generation_call"]
    text = output[0]["content"][0]
    assert text["logprobs"] == [TOKEN, TOKEN]
    assert text["annotations"] == [
        {"type": "url_citation", "url": "https://x.test", "title": "X", "start_index": 0, "end_index": 2}
    ]
    assert output[2]["content"] == [{"type": "refusal", "refusal": "no"}]
    assert (output[3]["result"], output[3]["output_format"]) == ("aGk=", "webp")


def test_text_and_refusal_are_parts_of_one_message() -> None:
    """A message goes on with another part."""
    output = both(Said(0, "well"), Refused(0, "no"), STOP)
    assert [part["type"] for part in output[0]["content"]] == ["output_text", "refusal"]


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_an_answer_that_was_cut_short_says_why(finish: Any, reason: str) -> None:
    """It is incomplete, as is what was being said; arguments stay as far as they came."""
    events = [
        Said(0, "x"),
        CallBegan(choice=0, index=0, id="c0", name="f"),
        CallGrew(0, 0, '{"a'),
        Ended(choice=0, finish=finish),
    ]
    found = streamed(*events)
    response = found[-1]["response"]
    assert (found[-1]["type"], response["status"]) == ("response.incomplete", "incomplete")
    assert response["incomplete_details"] == {"reason": reason}
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]
    assert response["output"][1]["arguments"] == '{"a'
    assert whole(*events) == response


def test_calls_come_back_in_the_form_of_their_tool() -> None:
    """A namespace stands beside the client's own name; tools with types of their own have such items."""
    tools: list[dict[str, Any]] = [
        {"type": "function", "name": "send"},
        {
            "type": "namespace",
            "name": "agents",
            "description": "",
            "tools": [{"type": "function", "name": "send"}],
        },
        {
            "type": "namespace",
            "name": "functions",
            "description": "",
            "tools": [{"type": "custom", "name": "exec"}],
        },
        {"type": "tool_search", "execution": "client"},
        {"type": "local_shell"},
    ]
    names = ["send", "agents__send", "exec", "tool_search", "local_shell", "local_shell", "unknown"]
    arguments = ["{}", "{}", "code", '{"query":"q"}', '{"command":["ls"],"timeout_ms":5}', "{}", "{}"]
    events: list[Event] = []
    for index, (name, text) in enumerate(zip(names, arguments, strict=True)):
        kind: Any = "custom" if name == "exec" else "function"
        events.append(CallBegan(choice=0, index=index, id=f"c{index}", name=name, kind=kind))
        events.append(CallGrew(0, index, text))
    output = both(*events, CALLS, tools=tools)
    shown = [{k: v for k, v in item.items() if k not in {"id", "status", "call_id"}} for item in output]
    assert shown == [
        {"type": "function_call", "name": "send", "arguments": "{}"},
        {"type": "function_call", "name": "send", "arguments": "{}", "namespace": "agents"},
        {"type": "custom_tool_call", "name": "exec", "input": "code", "namespace": "functions"},
        {"type": "tool_search_call", "execution": "client", "arguments": {"query": "q"}},
        {
            "type": "local_shell_call",
            "action": {"type": "exec", "command": ["ls"], "env": {}, "timeout_ms": 5},
        },
        {"type": "function_call", "name": "local_shell", "arguments": "{}"},
        {"type": "function_call", "name": "unknown", "arguments": "{}"},
    ]
    assert [item["call_id"] for item in output] == [f"c{index}" for index in range(len(names))]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unavailable("upstream_error", "broke"), "server_error"),
        (Unavailable("upstream_rate_limited", "busy"), "rate_limit_exceeded"),
        (InvalidRequest("context_length_exceeded", "too long"), "context_length_exceeded"),
        (InvalidRequest("content_filter", "no"), "invalid_prompt"),
        (PaymentRequired("insufficient_balance", "broke"), "insufficient_quota"),
    ],
)
def test_a_stream_that_broke_off_ends_as_failed(error: CallError, code: str) -> None:
    """The error is told as OpenAI tells it, then the response with what was whole by then; numbers go on."""
    writer = Writer(call(), "claude")
    sent = writer.stream([Thought(0, "hm"), Signed(0, Thinking(text="hm")), Said(0, "half a")])
    found = events_of(sent + writer.fail(error))
    told, failed = found[-2:]
    assert told["type"] == "error"
    assert told["error"]["message"] == told["message"] == error.message
    assert told["code"] == told["error"]["code"] == error.code
    assert (failed["type"], failed["response"]["status"]) == ("response.failed", "failed")
    assert failed["response"]["id"] == found[0]["response"]["id"]
    assert failed["response"]["error"] == {"code": code, "message": error.message}
    assert [item["type"] for item in failed["response"]["output"]] == ["reasoning"]


def test_a_keep_alive_is_an_event_that_says_nothing() -> None:
    """It has data, which a comment has not, and a type and number, which strict clients want."""
    (event,) = sse.events(responses_events.KEEP_ALIVE)
    data = sse.data_of(event)
    assert data is not None
    assert json.loads(data) == {"type": "keepalive", "sequence_number": 0}


PIECES = st.text(max_size=5)
THINKING = st.one_of(
    st.builds(Thinking, text=PIECES, signature=st.text(min_size=1, max_size=5)),
    st.builds(Thinking, redacted=st.text(min_size=1, max_size=5)),
)


@st.composite
def turns(draw: st.DrawFn) -> tuple[Part, ...]:
    """What a model may give in one turn, no two texts in a row, which would be one."""
    parts: list[Part] = []
    for kind in draw(st.lists(st.sampled_from(["text", "thinking", "open", "foreign", "call"]), max_size=8)):
        before = parts[-1] if parts else None
        match kind:
            case "text" if not isinstance(before, Text):
                signature = draw(st.none() | st.just("T"))
                parts.append(Text(text=draw(st.text(min_size=1, max_size=9)), signature=signature))
            case "thinking":
                parts.append(draw(THINKING))
            case "open" if not isinstance(before, Thinking):
                parts.append(Thinking(text=draw(st.text(min_size=1, max_size=5))))
            case "foreign":
                parts.append(FOREIGN)
            case "call":
                number = len(parts)
                free = draw(st.booleans())
                parts.append(
                    ToolCall(
                        id=f"c{number}",
                        name="f",
                        arguments=draw(PIECES) if free else draw(st.sampled_from(["{}", '{"a":[1]}'])),
                        kind="custom" if free else "function",
                        signature=draw(st.none() | st.just(f"S{number}")),
                    )
                )
    return tuple(parts)


def told(parts: tuple[Part, ...]) -> list[Event]:
    """The events by which an upstream gives these."""
    events: list[Event] = []
    calls = 0
    for at, part in enumerate(parts):
        match part:
            case Text():
                events += [Said(0, piece) for piece in part.text]
                events += [Sealed(0, part.signature)] if part.signature else []
            case Thinking():
                events += [Thought(0, piece) for piece in part.text]
                follows = parts[at + 1] if at + 1 < len(parts) else None
                assert (
                    not isinstance(follows, Thinking) or part.signature or part.redacted or follows.redacted
                )
                events += [Signed(0, part)] if part.signature or part.redacted else []
            case Foreign():
                events.append(Carried(0, part))
            case ToolCall():
                events.append(
                    CallBegan(
                        choice=0,
                        index=calls,
                        id=part.id,
                        name=part.name,
                        kind=part.kind,
                        signature=part.signature,
                    )
                )
                events += [CallGrew(0, calls, piece) for piece in part.arguments]
                calls += 1
    return events


@given(turns())
def test_a_turn_comes_back_word_for_word(parts: tuple[Part, ...]) -> None:
    """What a client without a memory hands back is exactly what the model gave, proofs and order included."""
    kept: list[Part] = []
    for part in parts:
        # Two open blocks in a row can't be told apart, nor an open one from the signed one after it.
        joined = isinstance(part, Thinking) and kept and isinstance(last := kept[-1], Thinking)
        if joined and not (last.signature or last.redacted) and not part.redacted:
            kept.pop()
        kept.append(part)
    parts = tuple(kept)
    output = both(*told(parts), CALLS)
    request = {"model": "m", "input": [{"role": "user", "content": "x"}, *output]}
    conversation = responses_requests.read(responses_calls.parse(json.dumps(request).encode()))
    assert conversation.turns[1:] == ((Turn(role="assistant", parts=parts),) if parts else ())
