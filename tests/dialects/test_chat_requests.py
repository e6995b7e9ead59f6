"""Chat requests read into the hub: everything a client may say, and what it may not."""

import base64
import json
from typing import Any

import pytest

from tokligenced.dialects import chat, chat_requests
from tokligenced.dialects.conversation import (
    Conversation,
    Foreign,
    Media,
    OutputFormat,
    Part,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from tokligenced.errors import InvalidRequest

PIXEL = base64.b64encode(b"\x89PNG").decode()
HI = {"role": "user", "content": "hi"}


def read(*messages: Any, **members: Any) -> Conversation:
    body = {"model": "m", "messages": list(messages) or [HI], **members}
    return chat_requests.read(chat.parse(json.dumps(body).encode()))


def parts(message: dict[str, Any]) -> tuple[Part, ...]:
    """The parts of the last of these messages."""
    return read(HI, message).turns[-1].parts


def test_turns_keep_their_order_and_roles() -> None:
    """Systems and developers stay where they stood, and names stay with who has them."""
    said = [{"role": "system", "content": "a"}, {**HI, "name": "ann"}, {"role": "developer", "content": "b"}]
    assert read(*said).turns == (
        Turn(role="system", parts=(Text(text="a"),)),
        Turn(role="user", parts=(Text(text="hi"),), name="ann"),
        Turn(role="developer", parts=(Text(text="b"),)),
    )


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "text", "text": "a"}, Text(text="a")),
        ("a", Text(text="a")),
        ({"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, Text(text="a", cache="5m")),
        (
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            Text(text="a", cache="1h"),
        ),
        (
            {"type": "image_url", "image_url": {"url": "http://x/y.png", "detail": "low"}},
            Media(kind="image", url="http://x/y.png", detail="low"),
        ),
        (
            {"type": "image_url", "image_url": {"url": f"data:image/jpg;base64,{PIXEL}"}},
            Media(kind="image", media_type="image/jpeg", data=PIXEL),
        ),
        (
            {"type": "image_url", "image_url": f"data:image/png;base64,{PIXEL}"},
            Media(kind="image", media_type="image/png", data=PIXEL),
        ),
        (
            {"type": "image_url", "image_url": {"url": f"data:application/pdf;base64,{PIXEL}"}},
            Media(kind="document", media_type="application/pdf", data=PIXEL),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": PIXEL, "format": "mp3"}},
            Media(kind="audio", media_type="audio/mpeg", data=PIXEL),
        ),
        (
            {
                "type": "file",
                "file": {"file_data": f"data:application/pdf;base64,{PIXEL}", "filename": "a.pdf"},
            },
            Media(kind="document", media_type="application/pdf", data=PIXEL, name="a.pdf"),
        ),
        (
            {"type": "file", "file": {"file_data": PIXEL, "filename": "a.pdf"}},
            Media(kind="document", media_type="application/pdf", data=PIXEL, name="a.pdf"),
        ),
        ({"type": "file", "file": {"file_id": "file-1"}}, Media(kind="document", file_id="file-1")),
        (
            {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{PIXEL}"}},
            Media(kind="video", media_type="video/mp4", data=PIXEL),
        ),
        ({"type": "refusal", "refusal": "no"}, Refusal(text="no")),
    ],
)
def test_content_parts(part: Any, expected: Part) -> None:
    """Each kind of content part is read as what it is."""
    assert parts({"role": "user", "content": [part]}) == (expected,)


def test_base64_of_any_spelling_is_made_common() -> None:
    """The alphabet for URLs and missing padding are put right, as providers want them."""
    data = base64.b64encode(b"\xfb\xff\xfe\x01").decode()
    spelt = data.replace("+", "-").replace("/", "_").rstrip("=")
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{spelt}"}}
    assert parts({"role": "user", "content": [part]}) == (
        Media(kind="image", media_type="image/png", data=data),
    )


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,@@@@"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": f"data:;base64,{PIXEL}"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png,raw"}}, "image_url.url"),
        ({"type": "image_url"}, ""),
        ({"type": "input_audio", "input_audio": {"data": "?", "format": "wav"}}, "input_audio.data"),
        ({"type": "file", "file": {"file_data": PIXEL}}, "file.file_data"),
        ({"type": "file", "file": {}}, "file"),
        ({"type": "hologram"}, ""),
        ({"type": "text", "text": "a", "cache_control": {"ttl": "2h"}}, "cache_control.ttl"),
    ],
)
def test_parts_that_can_not_be_read_are_refused_by_name(part: Any, param: str) -> None:
    """What is no picture, no base64 or no known part is 400, and the message names the place."""
    with pytest.raises(InvalidRequest) as refused:
        parts({"role": "user", "content": ["first", part]})
    place = "messages[1].content[1]" + (f".{param}" if param else "")
    assert (refused.value.code, refused.value.param) == ("invalid_value", place)


def test_tool_calls_and_results() -> None:
    """Calls keep ids, names, arguments, kinds and signatures; results keep what they answer."""
    calls = [
        {
            "id": "a",
            "type": "function",
            "function": {"name": "f", "arguments": '{"x":1}'},
            "extra_content": {"google": {"thought_signature": "S"}},
        },
        {"id": "b", "type": "custom", "custom": {"name": "g", "input": "free"}},
    ]
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    conversation = read(
        HI,
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "a", "content": "one"},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "two"}, image]},
    )
    assert [turn.parts for turn in conversation.turns[1:]] == [
        (
            ToolCall(id="a", name="f", arguments='{"x":1}', signature="S"),
            ToolCall(id="b", name="g", arguments="free", kind="custom"),
        ),
        (ToolResult(call_id="a", parts=(Text(text="one"),)),),
        (
            ToolResult(
                call_id="b", parts=(Text(text="two"), Media(kind="image", media_type="image/png", data=PIXEL))
            ),
        ),
    ]


def test_functions_as_they_were_before_tools() -> None:
    """A function's result belongs to the call before it, though neither has an id."""
    conversation = read(
        HI,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "42"},
        functions=[{"name": "f", "parameters": {"type": "object"}}],
        function_call={"name": "f"},
    )
    (call,), (result,) = (turn.parts for turn in conversation.turns[1:])
    assert isinstance(call, ToolCall)
    assert isinstance(result, ToolResult)
    assert call.id == result.call_id
    assert conversation.tools == (Tool(name="f", schema={"type": "object"}),)
    assert conversation.tool_choice == ToolChoice(mode="required", names=("f",))


def test_reasoning_comes_back_in_its_place() -> None:
    """Signed reasoning and a provider's own blocks stand again where they stood in the answer."""
    message = {
        "role": "assistant",
        "content": "before after",
        "reasoning_content": "one two",
        "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}],
        "thinking_blocks": [
            {"type": "thinking", "thinking": "one", "signature": "s1"},
            {"type": "redacted_thinking", "data": "zzz", "position": {"blocks": 1}},
            {"type": "thinking", "thinking": "", "signature": "s2", "position": {"text": 7, "blocks": 3}},
        ],
        "provider_blocks": [{"dialect": "messages", "block": {"type": "x"}, "position": {"blocks": 2}}],
    }
    first, second, third, fourth, *rest = parts(message)
    assert (first, second) == (Thinking(text="one", signature="s1"), Thinking(redacted="zzz"))
    assert isinstance(third, Foreign)
    assert (third.dialect, json.loads(bytes(third.block))) == ("messages", {"type": "x"})
    assert fourth == Text(text="before ")
    assert rest == [
        Thinking(signature="s2"),
        Text(text="after"),
        ToolCall(id="a", name="f", arguments="{}"),
    ]


def test_reasoning_without_proof_is_kept_as_text() -> None:
    """What clients of DeepSeek and others hand back is reasoning, unsigned."""
    message = {"role": "assistant", "content": "hi", "reasoning_content": "hm"}
    assert parts(message) == (Thinking(text="hm"), Text(text="hi"))


def test_a_signature_of_text_belongs_to_the_text() -> None:
    """Google's signature of an answer without calls goes back with its last text."""
    extra = {"google": {"thought_signature": "S"}}
    assert parts({"role": "assistant", "content": "hi", "extra_content": extra}) == (
        Text(text="hi", signature="S"),
    )


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", ToolChoice(mode="auto")),
        ("none", ToolChoice(mode="none")),
        ("required", ToolChoice(mode="required")),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice(mode="required", names=("f",))),
        ({"type": "custom", "custom": {"name": "g"}}, ToolChoice(mode="required", names=("g",))),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
            ToolChoice(mode="auto", names=("f",)),
        ),
        (None, None),
    ],
)
def test_tool_choices(choice: Any, expected: ToolChoice | None) -> None:
    """Every way to choose a tool is understood."""
    assert read(tool_choice=choice).tool_choice == expected


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"reasoning_effort": "low"}, Reasoning(effort="low")),
        ({"reasoning": {"effort": "high"}}, Reasoning(effort="high")),
        ({"reasoning": {"max_tokens": 2000}}, Reasoning(budget=2000)),
        ({"reasoning": {"enabled": False}}, Reasoning(effort="none")),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, Reasoning(budget=2000)),
        ({"thinking": {"type": "disabled"}, "reasoning_effort": "high"}, Reasoning(effort="none")),
        ({"thinking": {"type": "adaptive"}, "reasoning_effort": "high"}, Reasoning(effort="high")),
        ({}, None),
    ],
)
def test_reasoning_asked_for(members: dict[str, Any], expected: Reasoning | None) -> None:
    """OpenAI's, OpenRouter's and Anthropic's ways to ask for reasoning mean the same."""
    assert read(**members).reasoning == expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, OutputFormat()),
        (
            {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
            },
            OutputFormat(name="n", schema={"type": "object"}, strict=True),
        ),
    ],
)
def test_output_formats(wanted: Any, expected: OutputFormat | None) -> None:
    """Text, JSON, and JSON of a schema."""
    assert read(response_format=wanted).output_format == expected


def test_the_newer_name_of_the_limit_wins() -> None:
    """Of the two names of the limit on output the newer counts."""
    assert read(max_tokens=5).max_output_tokens == 5
    assert read(max_tokens=5, max_completion_tokens=3).max_output_tokens == 3


def test_sampling_and_the_rest() -> None:
    """All that shapes the sampling is carried, and zero penalties are none."""
    conversation = read(
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        stop="x",
        seed=7,
        n=2,
        logprobs=True,
        top_logprobs=4,
        presence_penalty=0,
        frequency_penalty=1.5,
        user="ann",
        modalities=["text", "image"],
        parallel_tool_calls=False,
        metadata={"a": "b"},
        store=True,
    )
    assert conversation == Conversation(
        turns=(Turn(role="user", parts=(Text(text="hi"),)),),
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        stop=("x",),
        seed=7,
        choices=2,
        logprobs=True,
        top_logprobs=4,
        frequency_penalty=1.5,
        user="ann",
        modalities=("text", "image"),
        parallel_tool_calls=False,
    )


def test_what_only_openai_has_is_named() -> None:
    """Members that would change the result and stand for nothing else are told to the dialect."""
    conversation = read(logit_bias={"1": 5}, web_search_options={}, tools=[{"type": "web_search"}])
    assert conversation.unsupported == ("logit_bias", "web_search_options", "tools[0].type")


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [HI, {"role": "assistant", "tool_calls": [{"id": "a"}]}]}, "messages[1].tool_calls[0]"),
        (
            {"messages": [HI, {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}]},
            "messages[1].tool_calls[0].id",
        ),
        ({"messages": [HI, {"role": "assistant", "audio": {"id": "a"}}]}, "messages[1].audio"),
        ({"tool_choice": "whatever"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice"),
        ({"response_format": {"type": "yaml"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"stop": 7}, "stop"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(members: dict[str, Any], param: str) -> None:
    """A member of a wrong kind or value is 400 naming it, before any provider is asked."""
    body = {"model": "m", "messages": [HI], **members}
    with pytest.raises(InvalidRequest) as refused:
        chat_requests.read(chat.parse(json.dumps(body).encode()))
    assert refused.value.param == param
