"""Anthropic's Messages: a client's request read into the hub.

https://platform.claude.com/docs/en/api/messages
"""

import base64
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from tokligenced.dialects import body as json_body
from tokligenced.dialects import media
from tokligenced.dialects.conversation import (
    Cache,
    Conversation,
    Foreign,
    Media,
    MediaKind,
    OutputFormat,
    Part,
    Reasoning,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from tokligenced.domain import Call
from tokligenced.errors import InvalidRequest, invalid_value


class _CacheControl(Struct):
    ttl: Cache = "5m"


class _Source(Struct):
    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: str | list[Raw] | None = None


class _Google(Struct):
    thought_signature: str | None = None


class _Extra(Struct):
    google: _Google | None = None


class _Block(Struct):
    """Any block, with the members that any of them has."""

    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = Raw(b"{}")
    tool_use_id: str | None = None
    content: str | list[Raw] | None = None
    is_error: bool | None = None
    source: _Source | str | None = None
    title: str | None = None
    context: str | None = None
    cache_control: _CacheControl | None = None
    extra_content: _Extra | None = None


class _Message(Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[Raw]


class _Tool(Struct):
    name: Annotated[str, Meta(min_length=1)]
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None
    cache_control: _CacheControl | None = None


class _Choice(Struct):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Thinking(Struct):
    type: str
    budget_tokens: Annotated[int, Meta(ge=0)] | None = None


class _Format(Struct):
    type: Literal["json_schema"]
    schema: dict[str, Any]


class _OutputConfig(Struct):
    effort: str | None = None
    format: _Format | None = None


class _Metadata(Struct):
    user_id: str | None = None


class _Request(Struct):
    messages: list[_Message]
    system: str | list[Raw] | None = None
    max_tokens: int | None = None
    tools: list[_Tool] | None = None
    tool_choice: _Choice | None = None
    thinking: _Thinking | None = None
    output_config: _OutputConfig | None = None
    output_format: _Format | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    stop_sequences: list[str] | None = None
    metadata: _Metadata | None = None
    mcp_servers: list[Raw] | None = None
    container: Any = None


_read_request = msgspec.json.Decoder(_Request)
_read_block = msgspec.json.Decoder(_Block)

_MEDIA: dict[str, MediaKind] = {"image": "image", "document": "document"}


def read(call: Call) -> Conversation:
    """The conversation that a request holds. Raises `InvalidRequest` naming the field at fault.

    What changes nothing about the answer's meaning (`service_tier`, `context_management`, …) is left out.
    """
    request = json_body.decode(_read_request, call.body)
    config = request.output_config or _OutputConfig()
    choice = request.tool_choice
    try:
        turns = tuple(_turns(request))
    except RecursionError:
        raise invalid_value("messages", "blocks nest too deeply") from None
    return Conversation(
        turns=turns,
        tools=tuple(_tools(request.tools or ())),
        tool_choice=_tool_choice(choice),
        parallel_tool_calls=False if choice is not None and choice.disable_parallel_tool_use else None,
        max_output_tokens=request.max_tokens or call.imposed_output_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=request.top_k or None,
        stop=tuple(request.stop_sequences or ()),
        output_format=_output_format(config.format or request.output_format),
        reasoning=_reasoning(request.thinking, config.effort),
        user=request.metadata.user_id if request.metadata else None,
        stream=call.stream,
        unsupported=tuple(_unsupported(request)),
    )


def _turns(request: _Request) -> Iterator[Turn]:
    if request.system:
        yield Turn(role="system", parts=tuple(_parts(request.system, "system")))
    for at, message in enumerate(request.messages):
        parts = _parts(message.content, f"messages[{at}].content")
        if message.role == "user":
            yield from _asked(parts)
        else:
            yield Turn(role=message.role, parts=tuple(parts))


def _asked(parts: Sequence[Part]) -> Iterator[Turn]:
    """A user's turn: the hub has results of tools in turns of their own."""
    results = [part for part in parts if isinstance(part, ToolResult)]
    for result in results:
        yield Turn(role="tool", parts=(result,))
    said = tuple(part for part in parts if not isinstance(part, ToolResult))
    if said or not results:
        yield Turn(role="user", parts=said)


def _parts(content: str | list[Raw], where: str) -> list[Part]:
    if isinstance(content, str):
        return [Text(text=content)]
    return [part for at, raw in enumerate(content) for part in _part(raw, f"{where}[{at}]")]


def _part(raw: Raw, where: str) -> Iterator[Part]:
    block = _block(raw, where)
    match block.type:
        case "tool_use":
            signature = block.extra_content and block.extra_content.google
            yield ToolCall(
                id=_needed(block.id, where, "id"),
                name=_needed(block.name, where, "name"),
                arguments=bytes(block.input).decode(),
                signature=signature.thought_signature if signature else None,
                cache=_cache(block),
            )
        case "tool_result":
            inner = [] if block.content is None else _parts(block.content, f"{where}.content")
            yield ToolResult(
                call_id=_needed(block.tool_use_id, where, "tool_use_id"),
                parts=tuple(part for part in inner if isinstance(part, Text | Media | Foreign)),
                error=bool(block.is_error),
                cache=_cache(block),
            )
        case "thinking":
            yield Thinking(text=block.thinking or "", signature=block.signature or None)
        case "redacted_thinking":
            yield Thinking(redacted=_needed(block.data, where, "data"))
        case _:
            yield from _content(block, raw, where)


def _content(block: _Block, raw: Raw, where: str) -> Iterator[Part]:
    """What both sides may say."""
    match block.type:
        case "text":
            yield Text(text=_needed(block.text, where, "text"), cache=_cache(block))
        case "image" | "document":
            if not isinstance(block.source, _Source):
                raise _missing(f"{where}.source")
            if block.context:
                yield Text(text=block.context)
            yield from _media(block, block.source, where)
        case "search_result":
            head = "\n".join(part for part in (block.title, block.source) if isinstance(part, str))
            yield Text(text=head)
            yield from _parts(block.content or "", f"{where}.content")
        case _:
            yield Foreign(dialect="messages", block=raw.copy())


def _media(block: _Block, source: _Source, where: str) -> Iterator[Part]:
    if source.type == "content":
        yield from _parts(source.content or "", f"{where}.source.content")
        return
    data, media_type = source.data, source.media_type
    if source.type == "text":
        data = base64.b64encode(_needed(data, f"{where}.source", "data").encode()).decode()
    elif data is not None:
        data = media.base64_text(data, f"{where}.source.data")
        media_type = media.media_type(media_type or "", f"{where}.source.media_type")
    if data is None and source.url is None and source.file_id is None:
        raise _missing(f"{where}.source.data")
    yield Media(
        kind=_MEDIA[block.type],
        media_type=media_type,
        data=data,
        url=source.url,
        file_id=source.file_id,
        name=block.title,
        cache=_cache(block),
    )


def _block(raw: Raw, where: str) -> _Block:
    try:
        return _read_block.decode(raw)
    except msgspec.ValidationError as error:
        raise invalid_value(where, str(error)) from None


def _cache(block: _Block | _Tool) -> Cache | None:
    return block.cache_control.ttl if block.cache_control else None


def _tools(tools: Sequence[_Tool]) -> Iterator[Tool]:
    for tool in tools:
        if _is_clients(tool):
            yield Tool(
                name=tool.name,
                description=tool.description,
                schema=tool.input_schema,
                strict=tool.strict,
                cache=_cache(tool),
            )


def _is_clients(tool: _Tool) -> bool:
    return tool.type is None or tool.type == "custom"


def _tool_choice(choice: _Choice | None) -> ToolChoice | None:
    match choice:
        case None:
            return None
        case _Choice(type="any"):
            return ToolChoice(mode="required")
        case _Choice(type="tool"):
            return ToolChoice(mode="required", names=(_needed(choice.name, "tool_choice", "name"),))
        case _:
            return ToolChoice(mode="none" if choice.type == "none" else "auto")


def _output_format(wanted: _Format | None) -> OutputFormat | None:
    return None if wanted is None else OutputFormat(schema=wanted.schema, strict=True)


def _reasoning(thinking: _Thinking | None, effort: str | None) -> Reasoning | None:
    match thinking:
        case None:
            return Reasoning(effort=effort) if effort else None
        case _Thinking(type="enabled" | "adaptive"):
            return Reasoning(effort=effort, budget=thinking.budget_tokens)
        case _:
            return Reasoning(effort="none")


def _unsupported(request: _Request) -> Iterator[str]:
    """What only Anthropic's own servers can do, and would change the result."""
    if request.mcp_servers:
        yield "mcp_servers"
    if request.container:
        yield "container"
    for at, tool in enumerate(request.tools or ()):
        if not _is_clients(tool):
            yield f"tools[{at}].type"


def _needed(value: str | None, where: str, member: str) -> str:
    if value is None:
        raise _missing(f"{where}.{member}")
    return value


def _missing(param: str) -> InvalidRequest:
    return InvalidRequest(
        "missing_required_parameter", f"Missing required parameter: '{param}'.", param=param
    )
