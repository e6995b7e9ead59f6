"""OpenAI Chat Completions: a request read into the hub.

Besides OpenAI's own members it takes what its answers carry beyond them (see `chat_extensions`), and what
clients of OpenAI-compatible vendors are used to: `cache_control` on parts, `reasoning_content`, `thinking`.
https://platform.openai.com/docs/api-reference/chat/create
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from tokligenced.dialects import body as json_body
from tokligenced.dialects import chat_content
from tokligenced.dialects.chat_content import Message
from tokligenced.dialects.conversation import (
    Cache,
    Conversation,
    OutputFormat,
    Reasoning,
    Role,
    Tool,
    ToolChoice,
    ToolResult,
    Turn,
)
from tokligenced.domain import Call
from tokligenced.errors import InvalidRequest, invalid_value

_Share = Annotated[float, Meta(ge=0, le=1)]
_Penalty = Annotated[float, Meta(ge=-2, le=2)]
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}


class _Named(Struct):
    name: Annotated[str, Meta(min_length=1)]


class _Function(_Named):
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Custom(_Named):
    description: str | None = None
    format: dict[str, Any] | None = None


class _Tool(Struct):
    type: str = "function"
    function: _Function | None = None
    custom: _Custom | None = None
    cache_control: chat_content.CacheControl | None = None


class _AllowedTool(Struct):
    type: str = "function"
    function: _Named | None = None
    custom: _Named | None = None


class _AllowedTools(Struct):
    mode: Literal["auto", "required"]
    tools: list[_AllowedTool]


class _Choice(Struct):
    type: str = "function"
    function: _Named | None = None
    custom: _Named | None = None
    allowed_tools: _AllowedTools | None = None


class _Schema(Struct):
    name: str = "response"
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class _Format(Struct):
    type: str
    json_schema: _Schema | None = None


class _Reasoning(Struct):
    """OpenRouter's: https://openrouter.ai/docs/use-cases/reasoning-tokens."""

    effort: str | None = None
    max_tokens: Annotated[int, Meta(ge=0)] | None = None
    enabled: bool | None = None


class _Thinking(Struct):
    """Anthropic's, which several vendors took over."""

    type: str
    budget_tokens: Annotated[int, Meta(ge=0)] | None = None


class _Request(Struct):
    messages: list[Message]
    tools: list[_Tool] | None = None
    functions: list[_Function] | None = None
    tool_choice: _Choice | str | None = None
    function_call: _Named | str | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: _Share | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    presence_penalty: _Penalty | None = None
    frequency_penalty: _Penalty | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    logit_bias: dict[str, float] | None = None
    response_format: _Format | None = None
    reasoning_effort: str | None = None
    reasoning: _Reasoning | None = None
    thinking: _Thinking | None = None
    modalities: list[str] | None = None
    web_search_options: dict[str, Any] | None = None
    user: str | None = None


_read_request = msgspec.json.Decoder(_Request)


def read(call: Call) -> Conversation:
    """The conversation that a request holds. Raises `InvalidRequest` naming the field at fault.

    What changes nothing about the answer's meaning (`metadata`, `store`, `service_tier`, …) is left out.
    """
    request = json_body.decode(_read_request, call.body)
    stop = [request.stop] if isinstance(request.stop, str) else request.stop or ()
    return Conversation(
        turns=tuple(_turns(request.messages)),
        tools=tuple(_tools(request)),
        tool_choice=_tool_choice(request),
        # An answer to who offers functions, as they were before there were tools, holds one call.
        parallel_tool_calls=False if request.functions else request.parallel_tool_calls,
        max_output_tokens=request.max_completion_tokens or request.max_tokens or call.imposed_output_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=request.top_k or None,
        presence_penalty=request.presence_penalty or None,
        frequency_penalty=request.frequency_penalty or None,
        stop=tuple(stop),
        seed=request.seed,
        choices=call.choices,
        logprobs=bool(request.logprobs),
        top_logprobs=request.top_logprobs,
        output_format=_output_format(request.response_format),
        reasoning=_reasoning(request),
        modalities=tuple(request.modalities or ("text",)),
        user=request.user,
        stream=call.stream,
        unsupported=tuple(_unsupported(request)),
    )


def _turns(messages: list[Message]) -> Iterator[Turn]:
    # Functions, as they were before there were tools, have no ids: a result belongs to the last call.
    legacy = 0
    for at, message in enumerate(messages):
        where = f"messages[{at}]"
        role = _ROLES.get(message.role)
        if role is None:
            raise invalid_value(f"{where}.role", f"there is no role '{message.role}'")
        if role == "tool":
            call_id = f"function-{legacy}" if message.role == "function" else message.tool_call_id
            if not call_id:
                raise InvalidRequest(
                    "missing_required_parameter",
                    f"Missing required parameter: '{where}.tool_call_id'.",
                    param=f"{where}.tool_call_id",
                )
            result = ToolResult(
                call_id=call_id,
                parts=tuple(chat_content.result_parts(message, where)),
                cache=chat_content.cache(message.cache_control, where),
            )
            yield Turn(role="tool", parts=(result,), name=message.name)
        elif role == "assistant":
            legacy += message.function_call is not None
            parts = chat_content.assistant_parts(message, where, legacy_id=f"function-{legacy}")
            yield Turn(role="assistant", parts=tuple(parts), name=message.name)
        else:
            parts = chat_content.parts(message, where)
            yield Turn(role=role, parts=tuple(parts), name=message.name)


def _tools(request: _Request) -> Iterator[Tool]:
    for at, tool in enumerate(request.tools or ()):
        if tool.function is not None:
            cache = chat_content.cache(tool.cache_control, f"tools[{at}]")
            yield _function(tool.function, cache)
        elif tool.custom is not None:
            custom = tool.custom
            yield Tool(name=custom.name, description=custom.description, kind="custom", format=custom.format)
    for function in request.functions or ():
        yield _function(function, None)


def _function(function: _Function, cache: Cache | None) -> Tool:
    return Tool(
        name=function.name,
        description=function.description,
        schema=function.parameters,
        strict=function.strict,
        cache=cache,
    )


def _tool_choice(request: _Request) -> ToolChoice | None:
    choice = request.tool_choice
    param = "tool_choice"
    if choice is None and request.function_call is not None:
        param = "function_call"
        choice = (
            request.function_call
            if isinstance(request.function_call, str)
            else _Choice(function=request.function_call)
        )
    match choice:
        case None:
            return None
        case "auto":
            return ToolChoice(mode="auto")
        case "none":
            return ToolChoice(mode="none")
        case "required" | "any":
            return ToolChoice(mode="required")
        case _Choice(allowed_tools=_AllowedTools() as allowed):
            named = [tool.function or tool.custom for tool in allowed.tools]
            return ToolChoice(mode=allowed.mode, names=tuple(each.name for each in named if each))
        case _Choice(function=_Named() as named) | _Choice(custom=_Named() as named):
            return ToolChoice(mode="required", names=(named.name,))
        case _:
            raise invalid_value(param, "it is no choice of a tool")


def _output_format(wanted: _Format | None) -> OutputFormat | None:
    match wanted:
        case None | _Format(type="text"):
            return None
        case _Format(type="json_object"):
            return OutputFormat()
        case _Format(type="json_schema", json_schema=_Schema() as schema):
            return OutputFormat(
                schema=schema.schema,
                name=schema.name,
                description=schema.description,
                strict=schema.strict,
            )
        case _:
            raise invalid_value("response_format", "it is no known format")


def _reasoning(request: _Request) -> Reasoning | None:
    if (thinking := request.thinking) is not None:
        if thinking.type == "disabled":
            return Reasoning(effort="none")
        return Reasoning(effort=request.reasoning_effort, budget=thinking.budget_tokens)
    if (reasoning := request.reasoning) is not None:
        if reasoning.enabled is False:
            return Reasoning(effort="none")
        return Reasoning(effort=reasoning.effort or request.reasoning_effort, budget=reasoning.max_tokens)
    return Reasoning(effort=request.reasoning_effort) if request.reasoning_effort else None


def _unsupported(request: _Request) -> Iterator[str]:
    """Members that only OpenAI's own kind has, and that would change the result."""
    if request.logit_bias:
        yield "logit_bias"
    if request.web_search_options is not None:
        yield "web_search_options"
    for at, tool in enumerate(request.tools or ()):
        if tool.function is None and tool.custom is None:
            yield f"tools[{at}].type"
