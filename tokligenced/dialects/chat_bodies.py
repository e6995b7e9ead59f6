"""OpenAI Chat Completions: requests written from the hub, for clients that speak another dialect.

https://platform.openai.com/docs/api-reference/chat/create
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct

from tokligenced.dialects import free_text
from tokligenced.dialects.conversation import (
    Conversation,
    Foreign,
    Media,
    OutputFormat,
    Part,
    Reasoning,
    Refusal,
    Target,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from tokligenced.errors import InvalidRequest

Object = dict[str, Any]

_LONGEST_ID = 40
_LONGEST_USER = 64
_MOST_STOPS = 4
# Thinking in tokens, as Anthropic's clients ask for it, in OpenAI's words.
_EFFORTS = ((4_096, "low"), (16_384, "medium"))
_FORMATS = {"audio/wav": "wav", "audio/mpeg": "mp3"}


class Traits(Struct, frozen=True, kw_only=True):
    """What an upstream of this dialect takes.

    `custom` are tools of free text; `reasons` says that it takes an effort; `replays` that it wants a model's
    unsigned reasoning back, as DeepSeek does and OpenAI refuses.
    """

    limit_field: str = "max_tokens"
    custom: bool = False
    reasons: bool = True
    replays: bool = True


def write(conversation: Conversation, target: Target, traits: Traits) -> bytes:
    """The body of a request. Raises `InvalidRequest` for what can't be said in this dialect."""
    for name in conversation.unsupported:
        raise target.cannot(name)
    stop = conversation.stop
    if len(stop) > _MOST_STOPS:
        raise target.cannot("stop", f"it takes at most {_MOST_STOPS} stop sequences")
    user = conversation.user
    given: Object = {
        "model": target.model,
        "messages": list(_messages(conversation.turns, target, traits)),
        "tools": [_tool(tool, traits) for tool in _offered(conversation)],
        "tool_choice": _choice(conversation.tool_choice, conversation.tools, traits),
        "parallel_tool_calls": conversation.parallel_tool_calls if conversation.tools else None,
        traits.limit_field: conversation.max_output_tokens,
        "temperature": conversation.temperature,
        "top_p": conversation.top_p,
        "presence_penalty": conversation.presence_penalty,
        "frequency_penalty": conversation.frequency_penalty,
        "stop": list(stop),
        "seed": conversation.seed,
        "n": conversation.choices if conversation.choices > 1 else None,
        "logprobs": conversation.logprobs or None,
        "top_logprobs": conversation.top_logprobs if conversation.logprobs else None,
        "response_format": _format(conversation.output_format),
        "reasoning_effort": _effort(conversation.reasoning) if traits.reasons else None,
        "modalities": list(conversation.modalities) if conversation.modalities != ("text",) else None,
        "user": user if user and len(user) <= _LONGEST_USER else None,
        "stream": conversation.stream or None,
        "stream_options": {"include_usage": True} if conversation.stream else None,
    }
    return msgspec.json.encode({name: value for name, value in given.items() if value not in (None, [])})


def custom_names(tools: Iterable[Tool], traits: Traits) -> frozenset[str]:
    """The tools of free text that had to be offered as functions."""
    return frozenset(tool.name for tool in tools if tool.kind == "custom" and not traits.custom)


def _messages(turns: Sequence[Turn], target: Target, traits: Traits) -> Iterator[Object]:
    """The messages; every result right after the calls, what can't stand in one right after them all."""
    shown: list[Object] = []
    waiting: dict[str, str] = {}
    for at, turn in enumerate(turns):
        results = [part for part in turn.parts if isinstance(part, ToolResult)]
        said = [part for part in turn.parts if not isinstance(part, ToolResult)]
        for result in results:
            if waiting.pop(result.call_id, None) is None:
                raise InvalidRequest(
                    "invalid_value",
                    f"Invalid value for 'messages[{at}]': it answers no tool call that is open,"
                    f" '{result.call_id}'.",
                    param=f"messages[{at}]",
                )
            yield {
                "role": "tool",
                "tool_call_id": _id(result.call_id),
                "content": _result(result, shown, target),
            }
        if shown and not waiting:
            yield {"role": "user", "content": shown}
            shown = []
        if turn.role == "assistant":
            waiting |= {part.id: part.name for part in said if isinstance(part, ToolCall)}
            if message := _assistant(said, traits):
                yield message
        elif any(isinstance(part, Foreign) for part in said):
            raise target.cannot(f"messages[{at}]", "only another provider knows a part of it")
        elif content := _content(said, target):
            role = "system" if turn.role in {"system", "developer"} else "user"
            name = {"name": turn.name} if turn.name else {}
            yield {"role": role, "content": content, **name}
    if shown:
        yield {"role": "user", "content": shown}


def _id(call_id: str) -> str:
    """An id that OpenAI takes; the same for call and result."""
    if len(call_id) <= _LONGEST_ID:
        return call_id
    return f"call_{sha256(call_id.encode()).hexdigest()[:32]}"


def _result(result: ToolResult, shown: list[Object], target: Target) -> str:
    """The text of a result; pictures and files, which OpenAI takes from users alone, are added to `shown`."""
    texts = []
    for part in result.parts:
        if isinstance(part, Text):
            texts.append(part.text)
        elif isinstance(part, Media):
            shown.append(_media(part, target))
    return "\n".join(texts)


def _assistant(parts: Sequence[Part], traits: Traits) -> Object | None:
    text = "".join(part.text for part in parts if isinstance(part, Text))
    refusal = "".join(part.text for part in parts if isinstance(part, Refusal))
    thoughts = "".join(part.text for part in parts if isinstance(part, Thinking))
    calls = [_call(part, traits) for part in parts if isinstance(part, ToolCall)]
    if not (text or refusal or calls):
        return None
    message: Object = {"role": "assistant", "content": text or None}
    if refusal:
        message["refusal"] = refusal
    if thoughts and traits.replays:
        message["reasoning_content"] = thoughts
    if calls:
        message["tool_calls"] = calls
    return message


def _call(call: ToolCall, traits: Traits) -> Object:
    if call.kind == "custom" and traits.custom:
        return {"id": _id(call.id), "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    arguments = (
        free_text.wrapped(call.arguments).decode() if call.kind == "custom" else call.arguments or "{}"
    )
    return {"id": _id(call.id), "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _content(parts: Sequence[Part], target: Target) -> str | list[Object]:
    """Text alone as a string, anything else as parts."""
    kept = [part for part in parts if not isinstance(part, Thinking | ToolCall)]
    if all(isinstance(part, Text) for part in kept):
        texts = [part.text for part in kept if isinstance(part, Text) and part.text]
        return texts[0] if len(texts) == 1 else [{"type": "text", "text": text} for text in texts]
    return [_media(part, target) if isinstance(part, Media) else _text(part) for part in kept]


def _text(part: Part) -> Object:
    return {"type": "text", "text": part.text if isinstance(part, Text | Refusal) else ""}


def _media(media: Media, target: Target) -> Object:
    uri = f"data:{media.media_type};base64,{media.data}"
    match media:
        case Media(kind="image", file_id=None):
            image = {"url": media.url if media.data is None else uri}
            return {
                "type": "image_url",
                "image_url": image | ({"detail": media.detail} if media.detail else {}),
            }
        case Media(kind="audio", data=str(), media_type=str(kind)):
            audio = {"data": media.data, "format": _FORMATS.get(kind, kind.partition("/")[2])}
            return {"type": "input_audio", "input_audio": audio}
        case Media(kind="document", data=str()):
            return {"type": "file", "file": {"file_data": uri, "filename": media.name or "file"}}
        case Media(file_id=str(file_id)):
            return {"type": "file", "file": {"file_id": file_id}}
        case _:
            raise target.cannot("messages", f"it takes no {media.kind} of this kind")


def _tool(tool: Tool, traits: Traits) -> Object:
    if tool.kind == "custom" and traits.custom:
        custom = {"name": tool.name, "description": tool.description, "format": tool.format}
        return {"type": "custom", "custom": _without_none(custom)}
    free = tool.kind == "custom"
    function = {
        "name": tool.name,
        "description": free_text.description(tool) if free else tool.description,
        "parameters": free_text.SCHEMA if free else tool.schema,
        "strict": tool.strict,
    }
    return {"type": "function", "function": _without_none(function)}


def _offered(conversation: Conversation) -> Iterator[Tool]:
    """The tools; where only some of them are allowed, those, for not all upstreams can be told so."""
    choice = conversation.tool_choice or ToolChoice()
    # One that must be called is named instead.
    names = () if choice.mode == "required" and len(choice.names) == 1 else choice.names
    return (tool for tool in conversation.tools if not names or tool.name in names)


def _without_none(members: Object) -> Object:
    return {name: value for name, value in members.items() if value is not None}


def _choice(choice: ToolChoice | None, tools: Sequence[Tool], traits: Traits) -> str | Object | None:
    if choice is None or not tools:
        return None
    if choice.mode != "required" or len(choice.names) != 1:
        return choice.mode
    (name,) = choice.names
    custom = traits.custom and any(tool.name == name and tool.kind == "custom" for tool in tools)
    kind = "custom" if custom else "function"
    return {"type": kind, kind: {"name": name}}


def _format(wanted: OutputFormat | None) -> Object | None:
    if wanted is None:
        return None
    if wanted.schema is None:
        return {"type": "json_object"}
    schema = {
        "name": wanted.name,
        "description": wanted.description,
        "schema": wanted.schema,
        "strict": wanted.strict,
    }
    return {"type": "json_schema", "json_schema": _without_none(schema)}


def _effort(reasoning: Reasoning | None) -> str | None:
    if reasoning is None or reasoning.budget is None:
        # The most is `xhigh` to OpenAI.
        return {"max": "xhigh"}.get(reasoning.effort or "", reasoning.effort) if reasoning else None
    return next((effort for most, effort in _EFFORTS if reasoning.budget < most), "high")
