"""A conversation as a request of Gemini's generateContent or streamGenerateContent.

What Gemini can't be asked for is refused by name; `parallel_tool_calls` is kept by the reader of the answer.
https://ai.google.dev/api/generate-content#request-body
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from tokligenced.dialects import free_text, gemini_schema
from tokligenced.dialects.conversation import Conversation, Target, Tool
from tokligenced.dialects.gemini_contents import Content, Contents
from tokligenced.dialects.gemini_models import ThinkingConfig, Traits, thinking, traits
from tokligenced.errors import InvalidRequest

_MOST_STOPS = 5
_LARGEST_SEED = 2**31 - 1
_MODALITIES: Mapping[str, str] = {"text": "TEXT", "image": "IMAGE", "audio": "AUDIO"}


class _Declaration(Struct, rename="camel", omit_defaults=True):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    parameters_json_schema: dict[str, Any] | None = None


class _Tools(Struct, rename="camel"):
    function_declarations: list[_Declaration]


class _CallingConfig(Struct, rename="camel", omit_defaults=True):
    mode: str
    allowed_function_names: tuple[str, ...] = ()


class _ToolConfig(Struct, rename="camel"):
    function_calling_config: _CallingConfig


class _GenerationConfig(Struct, rename="camel", omit_defaults=True):
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: tuple[str, ...] = ()
    seed: int | None = None
    candidate_count: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_logprobs: bool | None = None
    logprobs: int | None = None
    response_mime_type: str | None = None
    response_schema: dict[str, Any] | None = None
    response_json_schema: dict[str, Any] | None = None
    response_modalities: tuple[str, ...] = ()
    thinking_config: ThinkingConfig | None = None


class _Body(Struct, rename="camel", omit_defaults=True):
    contents: list[Content]
    generation_config: _GenerationConfig
    system_instruction: Content | None = None
    tools: list[_Tools] = []
    tool_config: _ToolConfig | None = None


def write(conversation: Conversation, target: Target) -> bytes:
    """The body of the request. Raises `InvalidRequest` for what Gemini, or this model of it, can't do."""
    for param in conversation.unsupported:
        raise target.cannot(param)
    able = traits(target.model)
    turns = Contents(conversation.turns, target, able)
    body = _Body(
        contents=turns.contents,
        system_instruction=Content(turns.system) if turns.system else None,
        generation_config=_generation(conversation, target, able),
    )
    if conversation.tools:
        body.tools = [_Tools([_declaration(tool, able) for tool in conversation.tools])]
        body.tool_config = _tool_config(conversation, able)
    elif conversation.tool_choice and conversation.tool_choice.mode == "required":
        raise InvalidRequest(
            "invalid_value", "Invalid value for 'tool_choice': there are no tools.", param="tool_choice"
        )
    return msgspec.json.encode(body)


def customs(conversation: Conversation) -> frozenset[str]:
    """The names of the tools that take free text, for the reader of the answer."""
    return frozenset(tool.name for tool in conversation.tools if tool.kind == "custom")


def _declaration(tool: Tool, able: Traits) -> _Declaration:
    made = _Declaration(tool.name, tool.description)
    schema = tool.schema
    if tool.kind == "custom":
        schema, made.description = free_text.SCHEMA, free_text.description(tool)
    if schema is None or gemini_schema.is_empty(schema):
        return made
    if able.modern:
        made.parameters_json_schema = gemini_schema.json_schema(schema, "tools")
    else:
        made.parameters = gemini_schema.openapi(schema, "tools")
    return made


def _tool_config(conversation: Conversation, able: Traits) -> _ToolConfig | None:
    choice = conversation.tool_choice
    mode = choice.mode if choice else None
    names = choice.names if choice else ()
    if mode == "none":
        config = _CallingConfig("NONE")
    elif mode == "required":
        config = _CallingConfig("ANY", names)
    elif names or (able.modern and any(tool.strict for tool in conversation.tools)):
        # Calls or text, the calls by their schemas; AUTO promises nothing and takes no names.
        config = _CallingConfig("VALIDATED", names)
    elif mode == "auto":
        config = _CallingConfig("AUTO")
    else:
        return None
    return _ToolConfig(config)


def _generation(conversation: Conversation, target: Target, able: Traits) -> _GenerationConfig:
    if len(conversation.stop) > _MOST_STOPS:
        raise target.cannot("stop", f"it takes {_MOST_STOPS} stop sequences at most")
    if conversation.choices > 1 and conversation.stream:
        raise target.cannot("n", "it streams one choice only")
    unknown = [name for name in conversation.modalities if name not in _MODALITIES]
    if unknown:
        raise target.cannot("modalities", f"it has no '{unknown[0]}' to give")
    config = _GenerationConfig(
        max_output_tokens=conversation.max_output_tokens,
        temperature=conversation.temperature,
        top_p=conversation.top_p,
        top_k=conversation.top_k,
        stop_sequences=conversation.stop,
        # Google's are of 32 bits; the same seed stays the same.
        seed=None if conversation.seed is None else conversation.seed & _LARGEST_SEED,
        candidate_count=conversation.choices if conversation.choices > 1 else None,
        presence_penalty=conversation.presence_penalty,
        frequency_penalty=conversation.frequency_penalty,
        thinking_config=thinking(target.model, conversation.reasoning),
    )
    if conversation.logprobs:
        config.response_logprobs = True
        config.logprobs = conversation.top_logprobs
    if "audio" in conversation.modalities:
        # Models that speak give nothing else: https://ai.google.dev/gemini-api/docs/speech-generation
        config.response_modalities = ("AUDIO",)
    elif set(conversation.modalities) != {"text"}:
        config.response_modalities = tuple(_MODALITIES[name] for name in conversation.modalities)
    wanted = conversation.output_format
    if wanted is not None:
        config.response_mime_type = "application/json"
        if wanted.schema is not None and able.modern:
            config.response_json_schema = gemini_schema.json_schema(wanted.schema, "response_format")
        elif wanted.schema is not None:
            config.response_schema = gemini_schema.openapi(wanted.schema, "response_format")
    return config
