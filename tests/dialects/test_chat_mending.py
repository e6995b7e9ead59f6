"""Answers of vendors that are nearly OpenAI's: what clients get of them."""

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tokligenced.dialects.chat_answers import Watch
from tokligenced.dialects.chat_mending import Mender
from tokligenced.dialects.wire_error import ErrorInside

CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
WHOLE = {**CHUNK, "object": "chat.completion"}


def watch(*, stream: bool) -> Watch:
    return Watch(Mender(call_id="req_7", created=5, model="the-model"), stream=stream)


def streamed(*chunks: dict[str, Any], cut: int = 0) -> list[dict[str, Any]]:
    """What a client reads of a stream of these chunks, checked against the SDK's types."""
    sent = (
        b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    )
    watching = watch(stream=True)
    got = b"".join([watching.feed(sent[:cut]), watching.feed(sent[cut:]), watching.finish()])
    read = [json.loads(line[6:]) for line in got.split(b"\n\n") if line.startswith(b"data: {")]
    for chunk in read:
        ChatCompletionChunk.model_validate(chunk)
    return read


def whole(**members: Any) -> dict[str, Any]:
    """What a client reads of a whole answer, checked against the SDK's types."""
    watching = watch(stream=False)
    watching.feed(json.dumps({**WHOLE, **members}).encode())
    read: dict[str, Any] = json.loads(watching.finish())
    ChatCompletion.model_validate(read)
    return read


def piece(delta: object, finish: str | None = None, **members: Any) -> dict[str, Any]:
    return {**CHUNK, "choices": [{"index": 0, "delta": delta, "finish_reason": finish, **members}]}


def choice(message: object, finish: str | None = "stop", **members: Any) -> dict[str, Any]:
    return {"index": 0, "message": message, "finish_reason": finish, **members}


SAID = {"role": "assistant", "content": "hi"}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("members", "where", "expected"),
    [
        ({"choices": [choice(SAID, "eos")]}, "finish_reason", "stop"),
        ({"choices": [choice(SAID, "model_length")]}, "finish_reason", "length"),
        ({"choices": [choice(SAID, "made_up")]}, "native_finish_reason", "made_up"),
        ({"choices": [choice(SAID, logprobs=[1, 2])]}, "logprobs", None),
        ({"choices": [choice(SAID, logprobs=[1, 2])]}, "native_logprobs", [1, 2]),
        ({"choices": [{"finish_reason": "content_filter"}]}, "index", 0),
        ({"choices": [choice({"content": "hi"})]}, "message", SAID),
        ({"choices": [choice({**SAID, "role": ""})]}, "message", SAID),
    ],
)
def test_a_choice_is_made_readable(members: dict[str, Any], where: str, expected: object) -> None:
    """What does not fit OpenAI's types is put so that it does, and the vendor's own word is kept."""
    assert whole(**members)["choices"][0][where] == expected


@pytest.mark.parametrize("missing", ["id", "created", "model", "object"])
def test_members_that_are_missing_are_filled_in(missing: str) -> None:
    """A client finds every member that OpenAI promises."""
    chunk = piece({"content": "hi"})
    del chunk[missing]
    (read, *_) = streamed(chunk, piece({}, "stop"))
    expected = {"id": "chatcmpl-req_7", "created": 5, "model": "the-model", "object": CHUNK["object"]}
    assert read == {**piece({"content": "hi"}), missing: expected[missing]}


def test_a_service_tier_that_openai_does_not_have_is_kept_apart() -> None:
    """Groq's tier can't stand where OpenAI's does."""
    read = whole(choices=[choice(SAID)], service_tier="on_demand")
    assert (read["service_tier"], read["native_service_tier"]) == (None, "on_demand")


def test_parts_become_text_and_reasoning() -> None:
    """Mistral's lists of parts become the text and the reasoning that they hold."""
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "closed": True}
    parts = [thought, {"type": "text", "text": "4"}, {"type": "reference", "reference_ids": [1]}]
    message = whole(choices=[choice({"role": "assistant", "content": parts})])["choices"][0]["message"]
    assert message["content"] == "4"
    assert message["reasoning_content"] == "hm"
    assert message["native_content"] == [parts[2]]
    first, second, *_ = streamed(piece({"content": [thought]}), piece({"content": "4"}), piece({}, "stop"))
    assert first["choices"][0]["delta"] == {"content": "", "reasoning_content": "hm"}
    assert second == piece({"content": "4"})


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({**CALL, "id": ""}, {**CALL, "id": "call_7_0_0"}),
        ({"id": "a", "function": CALL["function"]}, CALL),
        ({**CALL, "function": {"name": "f", "arguments": {}}}, CALL),
        (
            {**CALL, "function": {"name": "f", "arguments": {"x": [1]}}},
            {**CALL, "function": {"name": "f", "arguments": '{"x":[1]}'}},
        ),
        ({**CALL, "function": {"name": "f", "arguments": ""}}, CALL),
        ({**CALL, "function": {"name": "f", "arguments": None}}, CALL),
    ],
)
def test_a_whole_tool_call_is_made_readable(sent: dict[str, Any], expected: dict[str, Any]) -> None:
    """A tool call has an id, a type, and arguments that are text."""
    read = whole(choices=[choice({"role": "assistant", "tool_calls": [sent]}, "tool_calls")])
    assert read["choices"][0]["message"]["tool_calls"] == [expected]


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(
            [{"function": {"name": "f", "arguments": '{"x"'}}, {"function": {"arguments": ":1}"}}], id="bare"
        ),
        pytest.param(
            [{"index": 0, "id": "", "function": {"name": "f", "arguments": '{"x":1}'}}], id="empty id"
        ),
        pytest.param(
            [{"index": 0, "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}], id="object"
        ),
    ],
)
def test_a_streamed_tool_call_is_made_readable(pieces: list[dict[str, Any]]) -> None:
    """The first piece of a tool call tells id, type, name and index, wherever the stream is cut."""
    chunks = [*[piece({"tool_calls": [each]}) for each in pieces], piece({}, "tool_calls")]
    for cut in range(0, 500, 7):
        calls = [
            c
            for chunk in streamed(*chunks, cut=cut)
            for c in chunk["choices"][0]["delta"].get("tool_calls", ())
        ]
        assert {call["index"] for call in calls} == {0}
        assert {name: calls[0][name] for name in ("id", "type")} == {"id": "call_7_0_0", "type": "function"}
        assert json.loads("".join(call["function"]["arguments"] for call in calls)) == {"x": 1}


def test_parallel_calls_under_one_number_are_told_apart() -> None:
    """A vendor that numbers every call 0 still gives clients two calls."""
    one = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    two = {**one, "id": "b"}
    read = streamed(piece({"tool_calls": [one]}), piece({"tool_calls": [two]}), piece({}, "tool_calls"))
    calls = [call for chunk in read for call in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert [(call["index"], call["id"]) for call in calls] == [(0, "a"), (1, "b")]


def test_a_call_without_arguments_gets_an_empty_object() -> None:
    """Arguments that never came are an empty object when the choice is over."""
    call = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    read = streamed(piece({"tool_calls": [call]}), piece({}, "tool_calls"))
    assert read[-1]["choices"][0]["delta"]["tool_calls"] == [{"index": 0, "function": {"arguments": "{}"}}]


@pytest.mark.parametrize("reason", ["insufficient_system_resource", "error", "network_error"])
def test_an_answer_that_broke_off_is_an_error(reason: str) -> None:
    """A finish reason that tells of a failure never looks like the end of an answer."""
    with pytest.raises(ErrorInside):
        streamed(piece({"content": "hi"}), piece({}, reason))
    with pytest.raises(ErrorInside):
        whole(choices=[choice(SAID, reason)])


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 4}, 7),
        ({"prompt_tokens": 3, "completion_tokens": None}, 3),
        ({"prompt_tokens": 3}, 3),
    ],
)
def test_a_total_that_is_missing_is_added_up(usage: dict[str, Any], expected: int) -> None:
    """Clients find a total wherever anything was counted."""
    assert whole(choices=[choice(SAID)], usage=usage)["usage"]["total_tokens"] == expected


def test_usage_without_counts_is_none() -> None:
    """What counts nothing is no usage."""
    assert whole(choices=[choice(SAID)], usage={"traffic": "free"})["usage"] is None


@pytest.mark.parametrize("odd", [7, [1], {"a": 1}])
def test_an_id_that_is_no_text_becomes_one(odd: object) -> None:
    """Its pieces are still known by it."""
    first = {"id": odd, "function": {"name": "f", "arguments": '{"a":'}}
    more = {"id": odd, "function": {"arguments": "1}"}}
    chunks = streamed(piece({"tool_calls": [first]}), piece({"tool_calls": [more]}), piece({}, "tool_calls"))
    pieces = [call for one in chunks for call in one["choices"][0]["delta"].get("tool_calls", ())]
    assert [call["index"] for call in pieces] == [0, 0]
    assert "".join(call["function"]["arguments"] for call in pieces) == '{"a":1}'
