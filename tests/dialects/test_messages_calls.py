"""Messages requests as conversations: what clients send, and the way out and back."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from tests.dialects.messages_rules import check
from tokligenced.dialects import messages_calls, messages_requests
from tokligenced.dialects.conversation import (
    Conversation,
    Foreign,
    Media,
    OutputFormat,
    Part,
    Reasoning,
    Target,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from tokligenced.dialects.messages_requests import Traits
from tokligenced.domain import Call
from tokligenced.errors import InvalidRequest

TARGET = Target(provider="a", model="claude", max_output_tokens=4000)
# A model that takes everything, so that all there is can go out and come back.
ALL = Traits(
    thinking="either",
    off="disabled",
    efforts=("minimal", "low", "medium", "high", "xhigh", "max"),
    structured=True,
    system_turns=True,
)


def read(body: dict[str, Any] | bytes, **more: Any) -> Conversation:
    """The conversation in a body."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return messages_calls.read(Call(dialect="messages", model="claude", body=raw, members={}, **more))


def said(*content: Any, role: str = "user", **members: Any) -> Conversation:
    """The conversation of one message with these blocks."""
    message = {"role": role, "content": list(content)}
    return read({"model": "claude", "max_tokens": 10, "messages": [message], **members})


def parts(*content: Any, role: str = "user") -> tuple[Part, ...]:
    return tuple(part for turn in said(*content, role=role).turns for part in turn.parts)


def test_a_request_of_a_coding_agent_is_read() -> None:
    """System blocks, a mid-conversation instruction, tools, thinking and effort all have their place."""
    conversation = read(
        {
            "model": "claude-opus-4-8",
            "max_tokens": 64_000,
            "system": [
                {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
            ],
            "messages": [
                {"role": "user", "content": "Weather?"},
                {"role": "system", "content": "It is late."},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
                        {"type": "redacted_thinking", "data": "c2VjcmV0"},
                        {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo"}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Here:"},
                        {"type": "tool_result", "tool_use_id": "t1", "is_error": True, "content": "broken"},
                    ],
                },
            ],
            "tools": [
                {
                    "name": "weather",
                    "description": "Tells.",
                    "input_schema": {"type": "object"},
                    "defer_loading": False,
                }
            ],
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
            "thinking": {"type": "adaptive"},
            "output_config": {"effort": "xhigh"},
            "metadata": {"user_id": "u"},
            "context_management": {"edits": []},
            "stream": True,
        },
        stream=True,
    )
    assert conversation == Conversation(
        turns=(
            Turn(role="system", parts=(Text(text="Be brief.", cache="1h"),)),
            Turn(role="user", parts=(Text(text="Weather?"),)),
            Turn(role="system", parts=(Text(text="It is late."),)),
            Turn(
                role="assistant",
                parts=(
                    Thinking(text="Hm.", signature="c2ln"),
                    Thinking(redacted="c2VjcmV0"),
                    ToolCall(id="t1", name="weather", arguments='{"city": "Oslo"}'),
                ),
            ),
            Turn(role="tool", parts=(ToolResult(call_id="t1", parts=(Text(text="broken"),), error=True),)),
            Turn(role="user", parts=(Text(text="Here:"),)),
        ),
        tools=(Tool(name="weather", description="Tells.", schema={"type": "object"}),),
        tool_choice=ToolChoice(mode="auto"),
        parallel_tool_calls=False,
        max_output_tokens=64_000,
        reasoning=Reasoning(effort="xhigh"),
        user="u",
        stream=True,
    )


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
            (Media(kind="image", media_type="image/png", data="AA=="),),
        ),
        (
            {
                "type": "image",
                "source": {"type": "url", "url": "https://example.com"},
                "cache_control": {"type": "ephemeral"},
            },
            (Media(kind="image", url="https://example.com", cache="5m"),),
        ),
        (
            {"type": "document", "title": "T", "context": "C", "source": {"type": "file", "file_id": "f"}},
            (Text(text="C"), Media(kind="document", file_id="f", name="T")),
        ),
        (
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}},
            (Media(kind="document", media_type="text/plain", data="aGk="),),
        ),
        (
            {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "hi"}]}},
            (Text(text="hi"),),
        ),
        (
            {
                "type": "search_result",
                "source": "s",
                "title": "t",
                "content": [{"type": "text", "text": "x"}],
            },
            (Text(text="t\ns"), Text(text="x")),
        ),
        (
            {"type": "container_upload", "file_id": "f"},
            (Foreign(dialect="messages", block=Raw(b'{"type": "container_upload", "file_id": "f"}')),),
        ),
    ],
)
def test_every_kind_of_block_is_something(block: dict[str, Any], expected: tuple[Part, ...]) -> None:
    """Pictures, documents and search results become what others have too; the rest is carried as it is."""
    assert parts(block) == expected


def test_a_tool_result_may_be_empty_or_mixed() -> None:
    """A result holds text, pictures, or nothing."""
    found = parts(
        {"type": "tool_result", "tool_use_id": "a"},
        {
            "type": "tool_result",
            "tool_use_id": "b",
            "content": [
                {"type": "text", "text": "x"},
                {"type": "image", "source": {"type": "url", "url": "https://example.com"}},
                {"type": "tool_reference", "tool_name": "t"},
            ],
        },
    )
    assert found == (
        ToolResult(call_id="a", parts=()),
        ToolResult(
            call_id="b",
            parts=(
                Text(text="x"),
                Media(kind="image", url="https://example.com"),
                Foreign(dialect="messages", block=Raw(b'{"type": "tool_reference", "tool_name": "t"}')),
            ),
        ),
    )


def test_a_signature_comes_back_with_its_call() -> None:
    """What another provider wants back with a call is read where the writer put it."""
    call = {"type": "tool_use", "id": "t", "name": "n", "input": {}}
    (found,) = parts(call | {"extra_content": {"google": {"thought_signature": "c2ln"}}}, role="assistant")
    assert found == ToolCall(id="t", name="n", arguments="{}", signature="c2ln")


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, Reasoning(budget=2048)),
        ({"thinking": {"type": "adaptive"}}, Reasoning()),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "max"}}, Reasoning(effort="none")),
        ({"thinking": {"type": "between_tools"}}, Reasoning(effort="none")),
        ({"output_config": {"effort": "low"}}, Reasoning(effort="low")),
    ],
)
def test_how_much_to_think(members: dict[str, Any], expected: Reasoning | None) -> None:
    """Each way to say it is understood."""
    assert said({"type": "text", "text": "x"}, **members).reasoning == expected


@pytest.mark.parametrize(
    ("choice", "expected", "parallel"),
    [
        ({"type": "auto"}, ToolChoice(mode="auto"), None),
        ({"type": "none"}, ToolChoice(mode="none"), None),
        ({"type": "any", "disable_parallel_tool_use": True}, ToolChoice(mode="required"), False),
        (
            {"type": "tool", "name": "t", "disable_parallel_tool_use": False},
            ToolChoice(mode="required", names=("t",)),
            None,
        ),
    ],
)
def test_which_tool_to_use(choice: dict[str, Any], expected: ToolChoice, parallel: bool | None) -> None:
    """Each choice has its counterpart."""
    conversation = said({"type": "text", "text": "x"}, tool_choice=choice)
    assert (conversation.tool_choice, conversation.parallel_tool_calls) == (expected, parallel)


@pytest.mark.parametrize("where", ["output_config", "beta"])
def test_a_wanted_schema(where: str) -> None:
    """The native format, in its place and where it was in its beta."""
    wanted = {"type": "json_schema", "schema": {"type": "object"}}
    members = {"output_config": {"format": wanted}} if where == "output_config" else {"output_format": wanted}
    expected = OutputFormat(schema={"type": "object"}, strict=True)
    assert said({"type": "text", "text": "x"}, **members).output_format == expected


def test_what_only_anthropic_can_do_is_named() -> None:
    """Tools of Anthropic's own servers can't be had elsewhere, and are not silently left out."""
    conversation = said(
        {"type": "text", "text": "x"},
        tools=[
            {"name": "mine", "input_schema": {"type": "object"}, "type": "custom"},
            {"type": "web_search_20250305", "name": "web_search"},
        ],
        mcp_servers=[{"name": "m"}],
        container="c",
    )
    assert [tool.name for tool in conversation.tools] == ["mine"]
    assert conversation.unsupported == ("mcp_servers", "container", "tools[1].type")


@pytest.mark.parametrize(
    ("content", "param"),
    [
        ([{"text": "no type"}], "messages[0].content[0]"),
        ([{"type": "text"}], "messages[0].content[0].text"),
        ([{"type": "text", "text": 5}], "messages[0].content[0]"),
        ([{"type": "image"}], "messages[0].content[0].source"),
        ([{"type": "image", "source": {"type": "base64"}}], "messages[0].content[0].source.data"),
        ([{"type": "text", "text": "x"}, {"type": "tool_result"}], "messages[0].content[1].tool_use_id"),
        ([{"type": "tool_use", "id": "x"}], "messages[0].content[0].name"),
        (
            [{"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text"}]}],
            "messages[0].content[0].content[0].text",
        ),
        (5, "messages[0].content"),
    ],
)
def test_what_is_wrong_is_named(content: Any, param: str) -> None:
    """A block that is not one is a 400 that says where it stands."""
    with pytest.raises(InvalidRequest) as refused:
        read({"model": "m", "messages": [{"role": "user", "content": content}]})
    assert refused.value.status == 400
    assert (refused.value.param or "").replace("[...]", "[0]") == param


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"messages":5}', b"[" * 100_000])
def test_what_is_no_request_is_refused(body: bytes) -> None:
    """Whatever comes is a conversation or a 400."""
    with pytest.raises(InvalidRequest):
        read(body)


def test_blocks_within_blocks_without_end_are_refused() -> None:
    """Results in results, as deep as JSON goes, are a 400 and nothing worse."""
    inner = '{"type":"tool_result","tool_use_id":"a","content":[' * 450 + "]}" * 450
    with pytest.raises(InvalidRequest) as refused:
        read(b'{"model":"m","messages":[{"role":"user","content":[%b]}]}' % inner.encode())
    assert refused.value.param == "messages"


def test_a_limit_that_was_imposed_counts_where_the_client_set_none() -> None:
    """What the payer can afford is the limit then."""
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    assert read(body, imposed_output_tokens=7).max_output_tokens == 7
    assert read(body | {"max_tokens": 9}, imposed_output_tokens=7).max_output_tokens == 9


caches = st.sampled_from([None, "5m", "1h"])
words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(
    lambda text: text.strip() == text
)
texts = st.builds(Text, text=words, cache=caches)
pngs = st.builds(
    Media, kind=st.just("image"), media_type=st.just("image/png"), data=st.just("iVBORw0KGgo="), cache=caches
)
links = st.builds(
    Media, kind=st.sampled_from(["image", "document"]), url=st.just("https://example.com/x"), cache=caches
)
pdfs = st.builds(
    Media,
    kind=st.just("document"),
    media_type=st.just("application/pdf"),
    data=st.just("JVBERi0="),
    name=words,
)
medias = pngs | links | pdfs
thoughts = st.builds(Thinking, text=words | st.just(""), signature=st.just("c2ln")) | st.builds(
    Thinking, redacted=st.just("c2VjcmV0")
)
foreign = st.just(
    Foreign(dialect="messages", block=Raw(b'{"type":"server_tool_use","id":"s","name":"x","input":{}}'))
)


@st.composite
def canonical(draw: st.DrawFn) -> Conversation:
    """A conversation as this dialect has it: turns alternate, results come first and are all there."""
    turns: list[Turn] = []
    if draw(st.booleans()):
        turns.append(Turn(role="system", parts=tuple(draw(st.lists(texts, min_size=1, max_size=2)))))
    calls: list[str] = []
    for step in range(draw(st.integers(1, 3))):
        for call_id in calls:
            inner = tuple(draw(st.lists(texts | medias, max_size=2)))
            result = ToolResult(call_id=call_id, parts=inner, error=draw(st.booleans()), cache=draw(caches))
            turns.append(Turn(role="tool", parts=(result,)))
        if not calls or draw(st.booleans()):
            turns.append(
                Turn(role="user", parts=tuple(draw(st.lists(texts | medias, min_size=1, max_size=3))))
            )
        if draw(st.booleans()):
            turns.append(Turn(role="system", parts=tuple(draw(st.lists(texts, min_size=1, max_size=2)))))
        answer: list[Part] = draw(st.lists(texts | thoughts | foreign, min_size=1, max_size=3))
        calls = [f"call_{step}_{number}" for number in range(draw(st.integers(0, 2)))]
        answer += [
            ToolCall(
                id=call_id,
                name="weather",
                arguments=draw(st.sampled_from(["{}", '{"a": [1, null]}'])),
                cache=draw(caches),
            )
            for call_id in calls
        ]
        turns.append(Turn(role="assistant", parts=tuple(answer)))
    turns += [Turn(role="tool", parts=(ToolResult(call_id=call_id, parts=()),)) for call_id in calls]
    if not calls:
        turns.append(Turn(role="user", parts=(draw(texts),)))
    return Conversation(
        turns=tuple(turns),
        tools=(Tool(name="weather", description="Tells.", schema={"type": "object"}, cache=draw(caches)),),
        tool_choice=draw(st.sampled_from([ToolChoice(mode="auto"), ToolChoice(mode="none")])),
        max_output_tokens=4000,
        stop=tuple(draw(st.lists(words, max_size=2))),
        output_format=draw(
            st.sampled_from(
                [
                    None,
                    OutputFormat(
                        schema={"type": "object", "properties": {}, "additionalProperties": False},
                        strict=True,
                    ),
                ]
            )
        ),
        reasoning=draw(
            st.sampled_from([None, Reasoning(effort="xhigh"), Reasoning(effort="none"), Reasoning()])
        ),
        user=draw(st.sampled_from([None, "u-1"])),
        stream=draw(st.booleans()),
    )


@given(canonical())
def test_out_and_back_is_the_same(conversation: Conversation) -> None:
    """A conversation that goes out as Messages comes back as it was, block by block."""
    body = messages_requests.write(conversation, TARGET, ALL).body
    check(json.loads(body))
    assert read(body, stream=conversation.stream) == conversation


@pytest.mark.parametrize(
    ("source", "member"),
    [
        ({"type": "base64", "media_type": "image/png", "data": "!!!"}, "data"),
        ({"type": "base64", "media_type": "image/png", "data": ""}, "data"),
        ({"type": "base64", "data": "QUJD"}, "media_type"),
        ({"type": "base64", "media_type": "nonsense", "data": "QUJD"}, "media_type"),
    ],
)
def test_files_that_can_not_be_decoded_are_refused(source: dict[str, str], member: str) -> None:
    """Another provider would be sent what is no file; the member at fault is named."""
    held = [{"role": "user", "content": [{"type": "image", "source": source}]}]
    with pytest.raises(InvalidRequest) as refused:
        read({"messages": held})
    assert refused.value.param == f"messages[0].content[0].source.{member}"
