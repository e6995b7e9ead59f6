import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.providers.demo_client import CLOCK, WEATHER, ask, events, message, play, whole
from tokligenced.providers import demo_answers

asked = st.builds(
    ask,
    st.text(max_size=80) | st.sampled_from(["Hello!", "Write a story about Ada", "the weather in Paris?"]),
    n=st.none() | st.integers(1, 3),
    max_tokens=st.none() | st.integers(1, 40) | st.just(10**12),
    max_completion_tokens=st.none() | st.integers(1, 200),
    stop=st.none() | st.sampled_from([".", "the", "", "no such words"]) | st.just(["demo", "."]),
    reasoning_effort=st.none() | st.sampled_from(["none", "minimal", "low", "high"]),
    tools=st.none() | st.just([]) | st.just([WEATHER]) | st.just([WEATHER, CLOCK]),
    response_format=st.none() | st.just({"type": "json_object"}),
    stream_options=st.none() | st.just({"include_usage": True}),
)


def join(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The choices that a client makes of a stream's chunks, in the shape of a whole answer's."""
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for part in chunk["choices"]:
            choice = choices.setdefault(part["index"], {"message": {}, "finish_reason": None})
            choice["finish_reason"] = part["finish_reason"]
            message = choice["message"]
            for name, value in part["delta"].items():
                if name == "tool_calls":
                    _join_calls(message.setdefault("tool_calls", []), value)
                elif name in {"content", "reasoning_content"} and message.get(name) is not None:
                    message[name] += value
                else:
                    message[name] = value
    return [choices[index] for index in sorted(choices)]


def _join_calls(calls: list[dict[str, Any]], deltas: list[dict[str, Any]]) -> None:
    for delta in deltas:
        if delta["index"] == len(calls):
            calls.append({"id": delta["id"], "type": delta["type"], "function": dict(delta["function"])})
        else:
            calls[delta["index"]]["function"]["arguments"] += delta["function"]["arguments"]


def without_annotations(choices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A whole answer's choices with what a stream carries, too."""
    return [
        {
            "message": {name: value for name, value in choice["message"].items() if name != "annotations"},
            "finish_reason": choice["finish_reason"],
        }
        for choice in choices
    ]


@given(asked, st.booleans())
def test_the_same_request_gets_the_same_bytes(request: dict[str, Any], stream: bool) -> None:
    """Nothing but the request decides the answer: no clock, no chance, no memory."""
    first, second = play({**request, "stream": stream}), play({**request, "stream": stream})
    assert (first.status, first.headers) == (second.status, second.headers)
    assert list(first.steps) == list(second.steps)


@given(asked)
def test_a_stream_adds_up_to_the_whole_answer(request: dict[str, Any]) -> None:
    """Whoever joins the chunks has the message, the reasoning, the tool calls and the finish reason."""
    streamed = join(events(request))
    for choice in streamed:
        for call in choice["message"].get("tool_calls", []):
            del call["id"]  # made from the request's bytes, which differ by `stream`
    answer = without_annotations(whole(request)["choices"])
    for choice in answer:
        for call in choice["message"].get("tool_calls", []):
            del call["id"]
    assert streamed == answer


@given(asked)
def test_usage_counts_what_was_said_and_never_passes_the_limit(request: dict[str, Any]) -> None:
    """Completion tokens are those of the answer, within each choice's limit, and reach it when cut."""
    answer = whole(request)
    usage, choices = answer["usage"], answer["choices"]
    said = thought = 0
    for choice in choices:
        own = demo_answers.count(choice["message"].get("reasoning_content", ""))
        thought += own
        own += demo_answers.count(choice["message"]["content"] or "")
        for call in choice["message"].get("tool_calls", []):
            own += 1 + demo_answers.count(call["function"]["arguments"])
        said += own
        limit = request["max_completion_tokens"] or request["max_tokens"]
        assert limit is None or own <= limit
        assert choice["finish_reason"] != "length" or own == limit
    assert usage["completion_tokens"] == said
    assert usage["completion_tokens_details"]["reasoning_tokens"] == thought
    assert usage["total_tokens"] == usage["prompt_tokens"] + said
    assert len(choices) == (request["n"] or 1)


@given(st.text())
def test_tokens_are_the_text_and_a_cut_keeps_their_number(text: str) -> None:
    """Joined pieces are the text; the first k of them count k; counting and cutting agree."""
    pieces = demo_answers.pieces(text)
    assert "".join(pieces) == text
    assert demo_answers.count(text) == len(pieces)
    for k in range(len(pieces)):
        assert demo_answers.count("".join(pieces[:k])) == k


def test_chunks_have_openais_shape() -> None:
    """Role in the first chunk, one piece in each, the finish reason alone in the last, no usage unasked."""
    first, *middle, last = events(ask("Hello!"))
    assert list(first) == [
        "id",
        "object",
        "created",
        "model",
        "service_tier",
        "system_fingerprint",
        "choices",
    ]
    assert first["id"].startswith("chatcmpl-")
    assert (first["object"], first["model"]) == ("chat.completion.chunk", "demo")
    assert first["choices"] == [
        {
            "index": 0,
            "delta": {"role": "assistant", "content": "", "refusal": None},
            "logprobs": None,
            "finish_reason": None,
        }
    ]
    assert all(list(chunk["choices"][0]["delta"]) == ["content"] for chunk in middle)
    assert last["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]
    assert {chunk["id"] for chunk in (*middle, last)} == {first["id"]}


def test_the_usage_chunk_comes_last_and_only_when_asked_for() -> None:
    """With include_usage, each chunk has a null usage and one more, without choices, has the numbers."""
    *chunks, last = events(ask(stream_options={"include_usage": True}))
    assert {chunk["usage"] for chunk in chunks} == {None}
    assert last["choices"] == []
    usage = whole(ask(stream_options={"include_usage": True}))["usage"]
    assert last["usage"] == usage
    assert set(usage) == {
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "prompt_tokens_details",
        "completion_tokens_details",
    }


def test_a_greeting_says_who_answers_and_how_to_get_a_real_model() -> None:
    """The first answer a newcomer sees explains itself."""
    content = message(ask("Hello!"))["content"]
    assert content.startswith("Hello!")
    assert "demo model" in content
    assert "[providers.anthropic]" in content


def test_a_story_is_about_what_was_wanted() -> None:
    """Asked for a story, the demo model tells one, with the topic in it."""
    assert message(ask("Write a story"))["content"].startswith("Once upon a time")
    assert "a grey cat" in message(ask("Tell me a story about a grey cat."))["content"]


def test_other_questions_are_quoted_back() -> None:
    """The answer shows what arrived, shortened when long, and says what it could not look at."""
    assert "“Which {tea} is best?”" in message(ask("Which {tea} is best?"))["content"]
    assert len(message(ask("tea " * 5_000))["content"]) < 1_000
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
    ]
    answer = message({"model": "demo", "messages": [{"role": "user", "content": parts}]})["content"]
    assert "“What is this?”" in answer
    assert "3 attachments" in answer


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_an_answer_longer_than_the_limit_is_cut_with_finish_reason_length(limit: str) -> None:
    """One token is one token, and a limit beyond the answer changes nothing."""
    short = whole(ask("Hello!", **{limit: 1}))
    assert short["choices"][0]["message"]["content"] == "Hello"
    assert short["choices"][0]["finish_reason"] == "length"
    assert short["usage"]["completion_tokens"] == 1
    everything = whole(ask("Hello!", **{limit: 2**62}))
    assert everything["choices"][0]["finish_reason"] == "stop"
    exact = everything["usage"]["completion_tokens"]
    assert whole(ask("Hello!", **{limit: exact}))["choices"][0]["finish_reason"] == "stop"
    assert whole(ask("Hello!", **{limit: exact - 1}))["choices"][0]["finish_reason"] == "length"


def test_a_stop_sequence_ends_the_answer_before_itself() -> None:
    """The earliest of the sequences counts, and the finish reason is stop."""
    choice = whole(ask("Hello!", stop=[" gateway", " model"]))["choices"][0]
    assert choice["message"]["content"] == "Hello! I am the demo"
    assert choice["finish_reason"] == "stop"


def test_reasoning_comes_before_the_answer_and_is_counted() -> None:
    """More effort, more thoughts; none with `none`; a limit they use up leaves no answer."""
    chunks = events(ask(reasoning_effort="high"))
    kinds = [next(iter(chunk["choices"][0]["delta"]), None) for chunk in chunks]
    assert [kind for kind, _ in itertools.groupby(kinds)] == ["role", "reasoning_content", "content", None]
    counted = [
        whole(ask(reasoning_effort=effort))["usage"]["completion_tokens_details"]["reasoning_tokens"]
        for effort in ("none", "minimal", "low", "medium", "high")
    ]
    assert counted[0] == 0
    assert counted == sorted(set(counted))
    exhausted = whole(ask(reasoning_effort="high", max_completion_tokens=5))
    assert exhausted["choices"][0]["message"]["content"] == ""
    assert exhausted["choices"][0]["finish_reason"] == "length"
    assert exhausted["usage"]["completion_tokens_details"]["reasoning_tokens"] == 5


def test_several_choices_are_told_apart() -> None:
    """With n, each choice has its index and words of its own, and usage counts them all."""
    answer = whole(ask(n=3))
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert len({choice["message"]["content"] for choice in answer["choices"]}) == 3
    assert answer["usage"]["completion_tokens"] > 2 * whole(ask())["usage"]["completion_tokens"]


def test_words_behind_a_result_do_not_make_it_call_again() -> None:
    """An agent that adds text of its own after a tool's result gets an answer, not the same call for ever."""
    call = {"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "How is the weather?"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "sunny"},
        {"role": "user", "content": "Mind the weather reminder."},
    ]
    tool = {"type": "function", "function": {"name": "weather"}}
    answer = message({"model": "demo", "messages": messages, "tools": [tool]})
    assert "sunny" in answer["content"]
    assert not answer.get("tool_calls")
