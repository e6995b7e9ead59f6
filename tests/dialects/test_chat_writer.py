"""Chat answers written from the hub's events: streamed and whole say the same to OpenAI's own clients."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tokligenced.dialects import chat, chat_requests
from tokligenced.dialects.chat_writer import Writer
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
    Refused,
    Said,
    Sealed,
    Signed,
    Text,
    Thinking,
    Thought,
    ToolCall,
)
from tokligenced.domain import Call, Usage

BEGAN = Began(id="msg_1", model="claude")
STOP = Ended(choice=0, finish="stop")
USAGE = Usage(
    input=1,
    cached_input=2,
    cache_write_5m=4,
    cache_write_1h=8,
    output=16,
    reasoning=32,
    audio_in=64,
    audio_out=128,
)


def call(*, stream: bool = True, usage: bool = True) -> Call:
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": stream}
    if usage:
        body["stream_options"] = {"include_usage": True}
    return chat.parse(json.dumps(body).encode(), call_id="req_1", at=5_000)


def streamed(*events: Event, usage: bool = True) -> list[dict[str, Any]]:
    """The chunks of a stream of these events, each as the SDK reads it."""
    writer = Writer(call(usage=usage), "claude")
    sent = b"".join([writer.stream([event]) for event in events]) + writer.end()
    assert sent.endswith(b"data: [DONE]\n\n")
    chunks = [json.loads(line.removeprefix(b"data: ")) for line in sent.split(b"\n\n")[:-2]]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    return chunks


def whole(*events: Event) -> dict[str, Any]:
    """The answer in one piece, as the SDK reads it."""
    answer: dict[str, Any] = json.loads(Writer(call(stream=False), "claude").whole(events))
    ChatCompletion.model_validate(answer)
    return answer


def joined(chunks: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """What a client that adds up the deltas of each choice has at the end."""
    found: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            message = found.setdefault(choice["index"], {})
            for name, value in choice["delta"].items():
                if name == "tool_calls":
                    for piece in value:
                        _grow(message.setdefault("tool_calls", {}), piece)
                elif isinstance(value, list):
                    message[name] = message.get(name, []) + value
                elif isinstance(value, str) and name != "role":
                    message[name] = message.get(name, "") + value
                else:
                    message[name] = value
    return found


def _grow(calls: dict[int, dict[str, Any]], piece: dict[str, Any]) -> None:
    piece = dict(piece)
    known = calls.setdefault(piece.pop("index"), {})
    for name, value in piece.items():
        if name in ("function", "custom") and name in known:
            for inner, text in value.items():
                known[name][inner] = known[name].get(inner, "") + text
        else:
            known[name] = dict(value) if isinstance(value, dict) else value


def same(message: dict[str, Any]) -> dict[str, Any]:
    """A message without what says nothing."""
    calls = message.get("tool_calls") or ()
    calls = [calls[n] for n in sorted(calls)] if isinstance(calls, dict) else list(calls)
    return {name: value for name, value in {**message, "tool_calls": calls}.items() if value}


SEQUENCES: dict[str, list[Event]] = {
    "text": [Said(0, "Hé"), Said(0, "llo"), STOP],
    "nothing": [STOP],
    "reasoning": [Thought(0, "hm"), Signed(0, Thinking(text="hm", signature="s")), Said(0, "4"), STOP],
    "redacted": [
        Signed(0, Thinking(redacted="zz")),
        Said(0, "a"),
        Signed(0, Thinking(signature="t")),
        Said(0, "b"),
        STOP,
    ],
    "refusal": [
        Refused(0, "I "),
        Refused(0, "won't"),
        Ended(choice=0, finish="content_filter", native="refusal"),
    ],
    "calls": [
        Said(0, "ok"),
        CallBegan(choice=0, index=0, id="a", name="f", signature="S"),
        CallGrew(0, 0, '{"x"'),
        CallGrew(0, 0, ":1}"),
        CallBegan(choice=0, index=1, id="b", name="g"),
        CallGrew(0, 1, "{}"),
        Ended(choice=0, finish="tool_calls"),
    ],
    "picture": [Said(0, "look"), Drew(0, Media(kind="image", media_type="image/png", data="QUJD")), STOP],
    "sources": [Said(0, "so"), Cited(choice=0, url="http://x", title="X", start=0, end=2), STOP],
    "foreign": [
        Carried(0, Foreign(dialect="messages", block=Raw(b'{"type":"x"}'))),
        Said(0, "so"),
        Sealed(0, "S"),
        STOP,
    ],
    "choices": [Said(1, "b"), Said(0, "a"), Ended(choice=1, finish="length"), STOP],
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_streamed_and_whole_say_the_same(name: str) -> None:
    """The message that a client adds up from a stream is the message that it gets whole."""
    events = [BEGAN, *SEQUENCES[name], Counted(USAGE)]
    chunks, answer = streamed(*events), whole(*events)
    added = joined(chunks)
    assert {choice["index"]: same(choice["message"]) for choice in answer["choices"]} == {
        index: same(message) for index, message in added.items()
    }
    reasons = {
        c["index"]: c["finish_reason"] for chunk in chunks for c in chunk["choices"] if c["finish_reason"]
    }
    assert reasons == {choice["index"]: choice["finish_reason"] for choice in answer["choices"]}
    assert chunks[-1]["usage"] == answer["usage"]
    assert {chunk["id"] for chunk in chunks} == {answer["id"]} == {"msg_1"}


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_stream_has_the_shape_that_clients_need(name: str) -> None:
    """Each choice tells its role first and its reason last and once; a call's first piece has all of it."""
    chunks = streamed(BEGAN, *SEQUENCES[name])
    choices: dict[int, list[dict[str, Any]]] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            choices.setdefault(choice["index"], []).append(choice)
    for pieces in choices.values():
        assert pieces[0]["delta"]["role"] == "assistant"
        assert [bool(piece["finish_reason"]) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
        begun = set()
        for piece in [call for each in pieces for call in each["delta"].get("tool_calls", ())]:
            if piece["index"] not in begun:
                begun.add(piece["index"])
                assert piece["id"]
                assert piece[piece["type"]]["name"]


def test_what_is_handed_back_is_what_was_said() -> None:
    """An answer handed back as it came is read as the very parts of which it was written."""
    block = Foreign(dialect="messages", block=Raw(b'{"type":"x"}'))
    events: list[Event] = [
        BEGAN,
        Thought(0, "hm"),
        Signed(0, Thinking(text="hm", signature="s")),
        Carried(0, block),
        Signed(0, Thinking(redacted="zz")),
        Said(0, "be"),
        Said(0, "fore"),
        Signed(0, Thinking(signature="t")),
        Said(0, "after"),
        CallBegan(choice=0, index=0, id="a", name="f", signature="S"),
        CallGrew(0, 0, "{}"),
        Signed(0, Thinking(text="x", signature="u")),
        CallBegan(choice=0, index=1, id="b", name="g"),
        CallGrew(0, 1, "{}"),
        Ended(choice=0, finish="tool_calls"),
    ]
    message = whole(*events)["choices"][0]["message"]
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}, message]}
    parts = chat_requests.read(chat.parse(json.dumps(body).encode())).turns[1].parts
    carried = parts[1]
    assert isinstance(carried, Foreign)
    assert json.loads(bytes(carried.block)) == json.loads(bytes(block.block))
    assert (parts[0], *parts[2:]) == (
        Thinking(text="hm", signature="s"),
        Thinking(redacted="zz"),
        Text(text="before"),
        Thinking(signature="t"),
        Text(text="after"),
        ToolCall(id="a", name="f", arguments="{}", signature="S"),
        Thinking(text="x", signature="u"),
        ToolCall(id="b", name="g", arguments="{}"),
    )


def test_usage_has_every_part() -> None:
    """A client reads each part of what was counted, and a total that is their sum."""
    assert whole(BEGAN, STOP, Counted(USAGE))["usage"] == {
        "prompt_tokens": 79,
        "completion_tokens": 176,
        "total_tokens": 255,
        "prompt_tokens_details": {
            "cached_tokens": 2,
            "cache_write_tokens": 12,
            "cache_write_1h_tokens": 8,
            "audio_tokens": 64,
            "image_tokens": 0,
        },
        "completion_tokens_details": {"reasoning_tokens": 32, "audio_tokens": 128},
    }


def test_usage_comes_only_when_asked_for() -> None:
    """The chunk with the usage is the last before the end, and only for who asked."""
    assert "usage" in streamed(BEGAN, Said(0, "a"), STOP, Counted(USAGE))[-1]
    assert not [c for c in streamed(BEGAN, Said(0, "a"), STOP, Counted(USAGE), usage=False) if c.get("usage")]


def test_an_answer_without_an_id_has_the_call_s() -> None:
    """Where the upstream names neither answer nor model, the call's id and the deployment's model stand."""
    answer = whole(Said(0, "a"), STOP)
    assert (answer["id"], answer["model"], answer["created"]) == ("chatcmpl-req_1", "claude", 5)


def test_log_probabilities_are_passed_on() -> None:
    """What was likely instead stands where OpenAI has it."""
    token = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
    answer = whole(Said(0, "a"), Logged(0, [token]), STOP)
    assert answer["choices"][0]["logprobs"] == {"content": [token], "refusal": None}
    chunk = streamed(Said(0, "a"), Logged(0, [token]), STOP)[1]
    assert chunk["choices"][0]["logprobs"] == {"content": [token], "refusal": None}


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=10))
def test_any_text_arrives(texts: list[str]) -> None:
    """Whatever characters a model writes are the client's, in order."""
    chunks = streamed(BEGAN, *[Said(0, text) for text in texts], STOP)
    assert joined(chunks)[0].get("content", "") == "".join(texts)


def test_custom_tools_get_their_text_as_it_is() -> None:
    """A call of a custom tool has free text for input, streamed and whole."""
    events: list[Event] = [
        CallBegan(choice=0, index=0, id="a", name="g", kind="custom"),
        CallGrew(0, 0, "free "),
        CallGrew(0, 0, "text"),
        Ended(choice=0, finish="tool_calls"),
    ]
    expected = {"id": "a", "type": "custom", "custom": {"name": "g", "input": "free text"}}
    assert whole(*events)["choices"][0]["message"]["tool_calls"] == [expected]
    writer = Writer(call(), "claude")
    sent = (writer.stream(events) + writer.end()).split(b"\n\n")[:-2]
    assert joined([json.loads(line.removeprefix(b"data: ")) for line in sent])[0]["tool_calls"] == {
        0: expected
    }


def test_who_offers_functions_gets_a_function_call() -> None:
    """Clients from before there were tools find the call where they look for it, streamed and not."""
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "functions": [{"name": "f"}]}
    asked = chat.parse(json.dumps(body).encode(), call_id="req_1", at=5_000)
    assert chat_requests.read(asked).parallel_tool_calls is False
    events = [
        CallBegan(choice=0, index=0, id="c", name="f"),
        CallGrew(0, 0, '{"a":'),
        CallGrew(0, 0, "1}"),
        Ended(choice=0, finish="tool_calls"),
    ]
    whole_choice = json.loads(Writer(asked, "claude").whole(events))["choices"][0]
    assert whole_choice["message"]["function_call"] == {"name": "f", "arguments": '{"a":1}'}
    assert "tool_calls" not in whole_choice["message"]
    writer = Writer(asked, "claude")
    chunks = (writer.stream(events) + writer.end()).split(b"\n\n")[:-2]
    choices = [json.loads(chunk[6:])["choices"][0] for chunk in chunks]
    pieces = [choice["delta"].get("function_call") for choice in choices]
    assert pieces == [{"name": "f", "arguments": ""}, {"arguments": '{"a":'}, {"arguments": "1}"}, None]
    assert choices[-1]["finish_reason"] == whole_choice["finish_reason"] == "function_call"
