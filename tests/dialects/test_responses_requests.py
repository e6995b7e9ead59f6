"""Responses requests read into the hub."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from tokligenced.dialects import responses_calls, responses_requests
from tokligenced.dialects.conversation import (
    Conversation,
    Foreign,
    Media,
    OutputFormat,
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
from tokligenced.dialects.responses_reasoning import Secret, sealed
from tokligenced.errors import InvalidRequest

SAMPLES = Path(__file__).parents[3] / "shared" / "agents" / "samples"
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FUNCTION = {"type": "function", "name": "f", "parameters": SCHEMA, "strict": False, "description": "does"}
FORMAT = {"type": "grammar", "syntax": "lark", "definition": "start: /a/"}
FOREIGN = Foreign(dialect="messages", block=Raw(b'{"type":"x","n":1}'))


def read(**members: Any) -> Conversation:
    body = {"model": "m", "input": "hello", **members}
    return responses_requests.read(responses_calls.parse(json.dumps(body).encode()))


def turns(*items: dict[str, Any], **members: Any) -> tuple[Turn, ...]:
    return read(input=list(items), **members).turns


def refusal(**members: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        read(**members)
    return caught.value


def test_a_plain_request() -> None:
    """Instructions come before a text, which is the user's; the rest is as it was asked for."""
    conversation = read(
        instructions="be brief",
        temperature=0.5,
        top_p=0.9,
        max_output_tokens=64,
        parallel_tool_calls=False,
        reasoning={"effort": "low", "summary": "auto"},
        text={"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}},
        include=["message.output_text.logprobs", "reasoning.encrypted_content"],
        top_logprobs=2,
        user="u",
        stream=True,
        store=False,
        metadata={"a": "b"},
        truncation="auto",
        client_metadata={"x": "y"},
    )
    assert conversation == Conversation(
        turns=(
            Turn(role="system", parts=(Text(text="be brief"),)),
            Turn(role="user", parts=(Text(text="hello"),)),
        ),
        temperature=0.5,
        top_p=0.9,
        max_output_tokens=64,
        parallel_tool_calls=False,
        reasoning=Reasoning(effort="low"),
        output_format=OutputFormat(schema=SCHEMA, name="n", strict=True),
        logprobs=True,
        top_logprobs=2,
        user="u",
        stream=True,
    )


def test_messages_of_every_side_and_form() -> None:
    """Easy and full messages, with and without a type, hold texts, pictures, files and sounds."""
    found = turns(
        {"role": "developer", "content": "rules"},
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "see"},
                {"type": "input_image", "image_url": "https://x.test/a.png", "detail": "low"},
                {"type": "input_image", "image_url": "data:image/png;base64,aGk="},
                {"type": "input_image", "file_id": "file-1"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="},
                {"type": "input_file", "filename": "a.txt", "file_data": "aGk="},
                {"type": "input_file", "file_url": "https://x.test/a.pdf"},
                {"type": "input_file", "file_id": "file-2"},
                {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
            ],
        },
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "I see", "annotations": [], "logprobs": []},
                {"type": "refusal", "refusal": "but no"},
            ],
        },
    )
    assert found == (
        Turn(role="developer", parts=(Text(text="rules"),)),
        Turn(
            role="user",
            parts=(
                Text(text="see"),
                Media(kind="image", url="https://x.test/a.png", detail="low"),
                Media(kind="image", media_type="image/png", data="aGk="),
                Media(kind="image", file_id="file-1"),
                Media(kind="document", media_type="application/pdf", data="aGk=", name="a.pdf"),
                Media(kind="document", media_type="text/plain", data="aGk=", name="a.txt"),
                Media(kind="document", url="https://x.test/a.pdf"),
                Media(kind="document", file_id="file-2"),
                Media(kind="audio", media_type="audio/wav", data="aGk="),
            ),
        ),
        Turn(role="assistant", parts=(Text(text="I see"), Refusal(text="but no"))),
    )


def test_what_a_model_gave_in_a_row_is_one_turn() -> None:
    """Reasoning, text and parallel calls stand together in order, and each outcome after them."""
    found = turns(
        {"role": "user", "content": "go"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "on it"}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'},
        {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "*** Begin"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"type": "function_call_output", "call_id": "c1", "output": "done"},
        {
            "type": "custom_tool_call_output",
            "call_id": "c2",
            "output": [
                {"type": "input_text", "text": "ok"},
                {"type": "input_image", "image_url": "https://x.test/a.png"},
            ],
        },
    )
    assert found[1:] == (
        Turn(
            role="assistant",
            parts=(
                Thinking(text="hm"),
                Text(text="on it"),
                ToolCall(id="c1", name="f", arguments='{"a":1}'),
                ToolCall(id="c2", name="patch", arguments="*** Begin", kind="custom"),
            ),
        ),
        Turn(role="tool", parts=(ToolResult(call_id="c1", parts=(Text(text="done"),)),)),
        Turn(
            role="tool",
            parts=(
                ToolResult(
                    call_id="c2", parts=(Text(text="ok"), Media(kind="image", url="https://x.test/a.png"))
                ),
            ),
        ),
    )


def test_sealed_reasoning_is_read_word_for_word() -> None:
    """Blocks come back as they were, signatures at the text before and the call after them."""
    signed = Thinking(text="hm", signature="S1")
    secrets = [
        Secret(thinking=signed),
        Secret(thinking=Thinking(redacted="R")),
        Secret(foreign=FOREIGN),
    ]
    found = turns(
        {"type": "reasoning", "summary": [], "encrypted_content": sealed(secrets)},
        {"role": "assistant", "content": [{"type": "output_text", "text": "said"}]},
        {"type": "reasoning", "summary": [], "encrypted_content": sealed([Secret(text_signature="T")])},
        {"type": "reasoning", "summary": [], "encrypted_content": sealed([Secret(call_signature="C")])},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "f", "arguments": "{}"},
    )
    assert found == (
        Turn(
            role="assistant",
            parts=(
                signed,
                Thinking(redacted="R"),
                FOREIGN,
                Text(text="said", signature="T"),
                ToolCall(id="c1", name="f", arguments="{}", signature="C"),
                ToolCall(id="c2", name="f", arguments="{}"),
            ),
        ),
    )


@pytest.mark.parametrize(
    ("item", "thinking"),
    [
        ({"summary": [{"type": "summary_text", "text": "s"}], "encrypted_content": "gAAAA"}, None),
        ({"summary": [{"type": "summary_text", "text": "s"}], "encrypted_content": "tk1.!"}, None),
        ({"summary": [{"type": "summary_text", "text": "s"}], "encrypted_content": "tk1.e30="}, None),
        ({"summary": [], "encrypted_content": None}, None),
        ({"summary": [{"type": "summary_text", "text": "s"}]}, "s"),
        (
            {"summary": [], "content": [{"type": "reasoning_text", "text": "r"}], "encrypted_content": "x"},
            "r",
        ),
    ],
)
def test_reasoning_of_somebody_else_is_no_error(item: dict[str, Any], thinking: str | None) -> None:
    """What only OpenAI can read is left out with its summary; what stands there openly is kept."""
    found = turns({"role": "user", "content": "x"}, {"type": "reasoning", "id": "rs_1", **item})
    kept = () if thinking is None else (Turn(role="assistant", parts=(Thinking(text=thinking),)),)
    assert found[1:] == kept


def test_tools_of_every_kind_are_offered_under_unique_legal_names() -> None:
    """A name that another tool has gets its namespace before it; a namespace's purpose is told once."""
    conversation = read(
        input=[
            {
                "type": "additional_tools",
                "role": "developer",
                "tools": [
                    {"type": "namespace", "name": "functions", "tools": [{"type": "custom", "name": "x"}]}
                ],
            },
            {"role": "user", "content": "go"},
            {"type": "function_call", "call_id": "c", "name": "f", "namespace": "ns", "arguments": "{}"},
            {"type": "function_call", "call_id": "d", "name": "gone", "namespace": "old", "arguments": "{}"},
        ],
        tools=[
            {
                "type": "namespace",
                "name": "ns",
                "description": "for agents",
                "tools": [FUNCTION, {"type": "function", "name": "b.c"}],
            },
            FUNCTION,
            {"type": "custom", "name": "patch", "description": "edits", "format": FORMAT},
            {"type": "tool_search", "execution": "client", "description": "finds", "parameters": SCHEMA},
            {"type": "tool_search"},
            {"type": "web_search", "external_web_access": False},
        ],
    )
    assert conversation.tools == (
        Tool(name="f", description="does", schema=SCHEMA, strict=False),
        Tool(name="patch", description="edits", kind="custom", format=FORMAT),
        Tool(name="tool_search", description="finds", schema=SCHEMA),
        Tool(name="ns__f", description="does\n\nns: for agents", schema=SCHEMA, strict=False),
        Tool(name="b_c"),
        Tool(name="x", kind="custom"),
    )
    assert conversation.unsupported == ()
    assert [part.name for part in conversation.turns[-1].parts if isinstance(part, ToolCall)] == [
        "ns__f",
        "old__gone",
    ]


def test_a_tool_that_is_told_of_twice_is_one_tool() -> None:
    """What a search for tools found is offered, and once only however often it was found."""
    output = {"type": "tool_search_output", "call_id": "s", "execution": "client", "tools": [FUNCTION]}
    conversation = read(
        input=[
            {"type": "tool_search_call", "call_id": "s", "execution": "client", "arguments": {"query": "q"}},
            output,
            {**output, "call_id": None},
        ],
        tools=[FUNCTION],
    )
    assert [tool.name for tool in conversation.tools] == ["f"]
    assert conversation.turns == (
        Turn(role="assistant", parts=(ToolCall(id="s", name="tool_search", arguments='{"query": "q"}'),)),
        Turn(role="tool", parts=(ToolResult(call_id="s", parts=(Text(text="Found: f"),)),)),
    )


def test_a_shell_of_the_clients_is_a_function() -> None:
    """What it was told and what came of it are read too."""
    action = {"type": "exec", "command": ["ls"], "env": {}}
    conversation = read(
        input=[
            {
                "type": "local_shell_call",
                "id": "lsh",
                "call_id": "c",
                "status": "completed",
                "action": action,
            },
            {"type": "local_shell_call_output", "id": "c", "output": "a.txt"},
        ],
        tools=[{"type": "local_shell"}],
    )
    assert [tool.name for tool in conversation.tools] == ["local_shell"]
    call, result = (part for turn in conversation.turns for part in turn.parts)
    assert isinstance(call, ToolCall)
    assert json.loads(call.arguments) == action
    assert result == ToolResult(call_id="c", parts=(Text(text="a.txt"),))


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ("auto", ToolChoice(mode="auto")),
        ("none", ToolChoice(mode="none")),
        ("required", ToolChoice(mode="required")),
        ({"type": "function", "name": "f"}, ToolChoice(mode="required", names=("f",))),
        ({"type": "custom", "name": "x.y"}, ToolChoice(mode="required", names=("x_y",))),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}, {"type": "web_search"}],
            },
            ToolChoice(mode="required", names=("f",)),
        ),
    ],
)
def test_choices_of_tools(choice: Any, wanted: ToolChoice) -> None:
    """A tool is chosen by the name that the model knows."""
    tools = [FUNCTION, {"type": "custom", "name": "x.y"}]
    assert read(tools=tools, tool_choice=choice).tool_choice == wanted


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0].web_search"),
        ({"tools": [FUNCTION, {"type": "mcp", "server_label": "x"}]}, "tools[1].mcp"),
        ({"tools": [FUNCTION, {"type": "file_search"}]}, "tools[1].file_search"),
        ({"tools": [FUNCTION, {"type": "code_interpreter"}]}, "tools[1].code_interpreter"),
        ({"tools": [FUNCTION, {"type": "image_generation"}]}, "tools[1].image_generation"),
        (
            {"tools": [FUNCTION], "tool_choice": {"type": "web_search_preview"}},
            "tool_choice.web_search_preview",
        ),
        ({"tools": [FUNCTION], "tool_choice": {"type": "tool_search"}}, "tool_choice.tool_search"),
        (
            {
                "tools": [FUNCTION],
                "tool_choice": {"type": "allowed_tools", "tools": [{"type": "web_search"}]},
            },
            "tool_choice.tools",
        ),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"moderation": {"model": "x"}}, "moderation"),
    ],
)
def test_what_would_change_the_answer_is_named(members: dict[str, Any], named: str) -> None:
    """Whatever provider gets the conversation can refuse it by name."""
    assert named in read(**members).unsupported


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].type"),
        ({"input": [{"id": "msg_1"}]}, "input[0].type"),
        ({"input": [{"type": "compaction", "encrypted_content": "x"}]}, "input[0].type"),
        ({"input": [{"type": "computer_call", "call_id": "c"}]}, "input[0].type"),
        ({"input": [{"type": "computer_call_output", "output": {"type": "x"}}]}, "input[0].type"),
        ({"input": [{"role": "user", "content": "x"}, {"type": "dream"}]}, "input[1].type"),
        ({"input": [{"role": "critic", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "dream"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content[0]"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:x"}]}]},
            "input[0].content[0].image_url",
        ),
        ({"input": [{"type": "function_call", "call_id": "c", "arguments": "{}"}]}, "input[0].name"),
        ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
        (
            {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": {}}]},
            "input[0].arguments",
        ),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": {}}]}, "input[0].output"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        (
            {"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "custom"}]}]},
            "tools[0].tools[0].name",
        ),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"temperature": 3}, "temperature"),
        ({"text": {"format": {"type": "xml"}}}, "text.format"),
    ],
)
def test_what_can_not_be_read_is_refused_by_name(members: dict[str, Any], param: str) -> None:
    """The refusal says where in the request the fault is."""
    assert refusal(**members).param == param


@pytest.mark.parametrize("name", ["codex-51", "codex-55", "codex-61sol", "opencode-responses"])
def test_what_coding_agents_send_is_served(name: str) -> None:
    """Every request of Codex and opencode that was seen on the wire has a meaning for any provider."""
    exchanges = json.loads((SAMPLES / f"{name}.json").read_text())
    assert exchanges
    for exchange in exchanges:
        call = responses_calls.parse(json.dumps(exchange["body"]).encode())
        conversation = responses_requests.read(call)
        assert not conversation.unsupported
        assert conversation.turns[-1].role == (
            "user" if conversation.turns[-2].role != "assistant" else "tool"
        )
        called = {
            part.name for turn in conversation.turns for part in turn.parts if isinstance(part, ToolCall)
        }
        assert called <= {tool.name for tool in conversation.tools}


@pytest.mark.parametrize("depth", [100, 900, 100_000])
def test_nesting_without_end_is_read_or_refused(depth: int) -> None:
    """However deep namespaces or values stand within each other, it is the client's fault at most."""
    spaces = b'[{"type":"namespace","name":"n","tools":' * depth + b"[]" + b"}]" * depth
    values = b"[" * depth + b"]" * depth
    call = b'[{"type":"local_shell_call","call_id":"c","action":{"a":%b}}]' % values
    for body in (b'{"model":"m","input":"x","tools":%b}' % spaces, b'{"model":"m","input":%b}' % call):
        with suppress(InvalidRequest):
            responses_requests.read(responses_calls.parse(body))
