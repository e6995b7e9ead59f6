"""OpenAI Responses: a request read into the hub.

What changes nothing about the answer's meaning (`metadata`, `include`, `truncation`, `service_tier`,
`text.verbosity`, `max_tool_calls`, which counts OpenAI's own tools only, …) is left out. What is kept at
OpenAI between calls is not there: `previous_response_id`, `conversation` and `prompt` are refused by name;
whoever stores responses puts the conversation into the call first (see `responses_calls.following`).
https://platform.openai.com/docs/api-reference/responses/create
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from tokligenced.dialects import body as json_body
from tokligenced.dialects import responses_items
from tokligenced.dialects.conversation import (
    Conversation,
    OutputFormat,
    Reasoning,
    Text,
    ToolChoice,
    Turn,
)
from tokligenced.dialects.responses_content import invalid
from tokligenced.dialects.responses_items import Item
from tokligenced.dialects.responses_tools import Tools
from tokligenced.domain import Call

_LOGPROBS = "message.output_text.logprobs"
# Tools that a client can force and that have no name of their own.
_NAMELESS = frozenset({"tool_search", "local_shell"})


class _Choice(Struct):
    """A choice of a tool, or one of the tools that are allowed."""

    type: str
    name: str | None = None
    namespace: str | None = None
    mode: Literal["auto", "required"] = "auto"
    tools: "list[_Choice] | None" = None


class _Format(Struct):
    type: str
    name: str = "response"
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class _Text(Struct):
    format: _Format | None = None


class _Reasoning(Struct):
    effort: str | None = None


class _Request(Struct):
    input: str | list[Item] | None = None
    instructions: str | None = None
    tool_choice: _Choice | str | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None
    include: list[str] | None = None
    moderation: dict[str, Raw] | None = None
    previous_response_id: str | None = None
    conversation: str | dict[str, Raw] | None = None
    prompt: dict[str, Raw] | None = None
    user: str | None = None
    safety_identifier: str | None = None


_read_request = msgspec.json.Decoder(_Request)


def read(call: Call) -> Conversation:
    """The conversation that a request holds. Raises `InvalidRequest` naming the field at fault."""
    request = json_body.decode(_read_request, call.body)
    tools = Tools(call)
    forced, choice = _tool_choice(request.tool_choice, tools)
    return Conversation(
        turns=tuple(_turns(request, tools)),
        tools=tools.offered,
        tool_choice=choice,
        parallel_tool_calls=request.parallel_tool_calls,
        max_output_tokens=request.max_output_tokens or call.imposed_output_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        logprobs=bool(request.top_logprobs) or _LOGPROBS in (request.include or ()),
        top_logprobs=request.top_logprobs,
        output_format=_output_format(request.text.format if request.text else None),
        reasoning=Reasoning(effort=request.reasoning.effort)
        if request.reasoning and request.reasoning.effort
        else None,
        user=request.user or request.safety_identifier,
        stream=call.stream,
        unsupported=(*_unsupported(request), *tools.unsupported, *forced),
    )


def _turns(request: _Request, tools: Tools) -> Iterator[Turn]:
    if request.instructions:
        yield Turn(role="system", parts=(Text(text=request.instructions),))
    if isinstance(request.input, str):
        yield Turn(role="user", parts=(Text(text=request.input),))
    else:
        yield from responses_items.turns(request.input or [], tools)


def _unsupported(request: _Request) -> Iterator[str]:
    """Members that only OpenAI has, and that would change the result."""
    for name in ("previous_response_id", "conversation", "prompt", "moderation"):
        if getattr(request, name):
            yield name


def _tool_choice(choice: _Choice | str | None, tools: Tools) -> tuple[list[str], ToolChoice | None]:
    """The choice; before it what of it only OpenAI has."""
    match choice:
        case None:
            return [], None
        case "auto" | "none" | "required":
            return [], ToolChoice(mode=choice)
        case _Choice(type="allowed_tools", tools=list() as allowed):
            # Tools of OpenAI's own are no more there than when they are offered.
            names = [name for each in allowed if (name := _chosen(each, tools)) is not None]
            if not names:
                return ["tool_choice.tools"], None
            return [], ToolChoice(mode=choice.mode, names=tuple(names))
        case _Choice():
            name = _chosen(choice, tools)
            return (
                ([f"tool_choice.{choice.type}"], None)
                if name is None
                else (
                    [],
                    ToolChoice(mode="required", names=(name,)),
                )
            )
        case _:
            raise invalid("tool_choice", "it is no choice of a tool")


def _chosen(choice: _Choice, tools: Tools) -> str | None:
    """What a model calls the chosen tool; None where OpenAI would run it."""
    if choice.type in {"function", "custom"} and choice.name:
        return tools.name(choice.name, choice.namespace)
    return choice.type if choice.type in _NAMELESS and tools.origin(choice.type) else None


def _output_format(wanted: _Format | None) -> OutputFormat | None:
    match wanted:
        case None | _Format(type="text"):
            return None
        case _Format(type="json_object"):
            return OutputFormat()
        case _Format(type="json_schema", schema=dict()):
            return OutputFormat(
                schema=wanted.schema,
                name=wanted.name,
                description=wanted.description,
                strict=wanted.strict,
            )
        case _:
            raise invalid("text.format", "it is no known format")
