"""Requests to Anthropic's Messages, written from the hub.

https://platform.claude.com/docs/en/api/messages
https://platform.claude.com/docs/en/build-with-claude/thinking
"""

import re
from typing import Any, Literal

import msgspec
from msgspec import Struct

from tokligenced.dialects import free_text
from tokligenced.dialects.conversation import Conversation, OutputFormat, Target, Tool, ToolChoice
from tokligenced.dialects.messages_blocks import Tools
from tokligenced.dialects.messages_media import CACHES, CacheControl
from tokligenced.dialects.messages_schemas import structured
from tokligenced.dialects.messages_turns import Layout, Message, TextBlock, lay_out
from tokligenced.errors import invalid_value


class Traits(Struct, frozen=True, kw_only=True):
    """What a model takes.

    - `thinking`: by a `budget` in tokens, `adaptive`, either of both, or none at all
    - `off`: how to say that it shall not think, where leaving thinking out does not say it
    - `efforts`: the words it knows, in rising order
    - `sampling`: temperature and top_p `both`, only `one` of them, or none, nor top_k
    - `structured`: JSON of a given schema, and strict tools
    - `system_turns`: instructions in the midst of a conversation
    - `forced_thinking`: to think before it calls a tool that it must call
    """

    thinking: Literal["none", "budget", "either", "adaptive"] = "none"
    off: Literal["unsaid", "disabled", "between_tools", "low_effort"] = "unsaid"
    efforts: tuple[str, ...] = ()
    sampling: Literal["both", "one", "none"] = "both"
    structured: bool = False
    system_turns: bool = False
    forced_thinking: bool = False


class Request(Struct, frozen=True, kw_only=True):
    """The body to send, what its answer's reader must know of it, and whether it names files at Anthropic."""

    body: bytes
    tools: Tools
    uses_files: bool


class _Thinking(Struct, frozen=True, omit_defaults=True):
    type: str
    budget_tokens: int | None = None
    display: str | None = None


class _Tool(Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    input_schema: dict[str, Any]
    description: str | None = None
    strict: bool = False
    cache_control: CacheControl | None = None


class _Choice(Struct, frozen=True, omit_defaults=True):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool = False


class _JsonSchema(Struct, frozen=True, tag_field="type", tag="json_schema"):
    schema: dict[str, Any]


class _OutputConfig(Struct, omit_defaults=True):
    effort: str | None = None
    format: _JsonSchema | None = None


class _Metadata(Struct, frozen=True):
    user_id: str


class _Body(Struct, kw_only=True, omit_defaults=True):
    model: str
    max_tokens: int
    messages: list[Message]
    system: list[TextBlock] | None = None
    tools: list[_Tool] | None = None
    tool_choice: _Choice | None = None
    thinking: _Thinking | None = None
    output_config: _OutputConfig | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: tuple[str, ...] = ()
    metadata: _Metadata | None = None
    stream: bool = False


_EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "max")
# Tokens to think with for an effort, where a model wants a number; Anthropic gives only the least.
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 24576, "max": 32000}
_LEAST_BUDGET = 1024

_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_ANYTHING: dict[str, Any] = {"type": "object", "properties": {}}

_ONLY_JSON = "Answer with one JSON object and nothing else: no text before or after it, no code fence."
_FORMAT_TOOL = "json_answer"
_FORMAT_DESCRIPTION = "Gives the answer. Always answer by calling this tool."

_LONGEST_USER = 256
# Anthropic wants no names, addresses or numbers of people.
_PERSONAL = re.compile(r"@|^\+?[\d\s().-]{7,}$")


def write(conversation: Conversation, target: Target, traits: Traits) -> Request:
    """The request for this conversation. Raises `InvalidRequest` for what can't be asked of this model."""
    _refuse_what_is_not_there(conversation, target)
    layout = lay_out(conversation.turns, target, system_turns=traits.system_turns)
    body = _Body(
        model=target.model,
        max_tokens=conversation.max_output_tokens or target.max_output_tokens,
        messages=layout.messages,
        stream=conversation.stream,
        stop_sequences=_stops(conversation),
        metadata=_metadata(conversation.user),
    )
    custom = _offer_tools(body, conversation, target, traits)
    _think(body, conversation, layout, traits)
    if _thinks(body) and not traits.forced_thinking and _forced(conversation.tool_choice):
        raise target.cannot("tool_choice", "a tool can't be forced while the model shall reason")
    format_tool = None
    if conversation.output_format is not None:
        format_tool = _format(body, conversation.output_format, layout, target, traits)
    _sample(body, conversation, traits)
    body.system = layout.system or None
    return Request(
        body=msgspec.json.encode(body),
        tools=Tools(custom=custom, format=format_tool),
        uses_files=layout.uses_files,
    )


def _refuse_what_is_not_there(conversation: Conversation, target: Target) -> None:
    for param in conversation.unsupported:
        raise target.cannot(param)
    if conversation.choices > 1:
        raise target.cannot("n", "only one answer to a request is supported")
    if conversation.logprobs or conversation.top_logprobs:
        raise target.cannot("logprobs")
    if conversation.presence_penalty:
        raise target.cannot("presence_penalty")
    if conversation.frequency_penalty:
        raise target.cannot("frequency_penalty")
    for modality in conversation.modalities:
        if modality != "text":
            raise target.cannot("modalities", f"{modality} output is not supported")


def _stops(conversation: Conversation) -> tuple[str, ...]:
    if any(not stop.strip() for stop in conversation.stop):
        raise invalid_value("stop", "Anthropic takes no stop sequence of nothing but white space")
    return conversation.stop


def _metadata(user: str | None) -> _Metadata | None:
    if not user or len(user) > _LONGEST_USER or _PERSONAL.search(user):
        return None
    return _Metadata(user)


def _forced(choice: ToolChoice | None) -> bool:
    return choice is not None and choice.mode == "required"


def _offer_tools(body: _Body, conversation: Conversation, target: Target, traits: Traits) -> frozenset[str]:
    """Put in the tools and which to use; gives the names of those that take free text."""
    choice = conversation.tool_choice or ToolChoice()
    if unknown := set(choice.names) - {tool.name for tool in conversation.tools}:
        raise invalid_value("tool_choice", f"there is no tool '{min(unknown)}'")
    if not conversation.tools:
        if choice.mode == "required":
            raise invalid_value("tool_choice", "there are no tools")
        return frozenset()
    # One that must be called is named; of several only they are offered.
    one = choice.names[0] if choice.mode == "required" and len(choice.names) == 1 else None
    offered = [
        (at, tool)
        for at, tool in enumerate(conversation.tools)
        if one or not choice.names or tool.name in choice.names
    ]
    body.tools = [_tool(at, tool, target, traits) for at, tool in offered]
    alone = conversation.parallel_tool_calls is False
    if choice.mode == "none":
        body.tool_choice = _Choice("none")
    elif choice.mode == "required":
        body.tool_choice = _Choice("tool" if one else "any", one, alone)
    elif alone or conversation.tool_choice is not None:
        body.tool_choice = _Choice("auto", None, alone)
    return frozenset(tool.name for _, tool in offered if tool.kind == "custom")


def _tool(at: int, tool: Tool, target: Target, traits: Traits) -> _Tool:
    param = f"tools[{at}]"
    if not _TOOL_NAME.fullmatch(tool.name):
        raise invalid_value(param, "a tool's name is 1 to 128 letters, digits, '_' and '-'")
    cache = CACHES[tool.cache]
    if tool.kind == "custom":
        description = free_text.description(tool)
        return _Tool(
            name=tool.name, input_schema=free_text.SCHEMA, description=description, cache_control=cache
        )
    schema = _ANYTHING if tool.schema is None else {"type": "object", **tool.schema}
    if schema["type"] != "object":
        raise target.cannot(param, "a tool's arguments can only be an object")
    strict = structured(schema) if tool.strict and traits.structured else None
    return _Tool(
        name=tool.name,
        input_schema=schema if strict is None else strict,
        description=tool.description,
        strict=strict is not None,
        cache_control=cache,
    )


def _think(body: _Body, conversation: Conversation, layout: Layout, traits: Traits) -> None:
    """Put in how much to think. What a model has no means for is left out: it is a wish, not a meaning."""
    wish = conversation.reasoning
    if wish is None or traits.thinking == "none":
        return
    effort, budget = wish.effort, wish.budget
    if effort == "none" or (budget is not None and budget <= 0):
        _think_not(body, traits)
        return
    if effort is not None and effort not in _EFFORTS:
        raise invalid_value("reasoning_effort", f"'{effort}' is not an effort")
    if effort is None and traits.thinking == "adaptive" and budget is not None:
        effort = _effort_of(budget)
    if effort is not None and traits.efforts:
        body.output_config = _OutputConfig(effort=_known_effort(effort, traits))
    if traits.thinking == "adaptive" or (traits.thinking == "either" and budget is None):
        # Newer models keep their thoughts to themselves unless asked.
        body.thinking = _Thinking("adaptive", display="summarized")
    elif not layout.lost_its_thinking:
        tokens = _budget(effort, budget, body.max_tokens)
        body.thinking = _Thinking("enabled", tokens) if tokens else None


def _thinks(body: _Body) -> bool:
    return body.thinking is not None and body.thinking.type in {"enabled", "adaptive"}


def _think_not(body: _Body, traits: Traits) -> None:
    if traits.off == "low_effort":
        body.output_config = _OutputConfig(effort=traits.efforts[0])
    elif traits.off != "unsaid":
        body.thinking = _Thinking(traits.off)


def _known_effort(effort: str, traits: Traits) -> str:
    """The nearest effort that the model knows, rather less than more."""
    wanted = _EFFORTS.index(effort)
    return max(
        (one for one in traits.efforts if _EFFORTS.index(one) <= wanted),
        default=traits.efforts[0],
        key=_EFFORTS.index,
    )


def _effort_of(budget: int) -> str:
    return next((effort for effort, tokens in _BUDGETS.items() if tokens >= budget), "max")


def _budget(effort: str | None, budget: int | None, max_tokens: int) -> int | None:
    """The tokens to think with: fewer than all that may come out. None where an effort has no room."""
    if budget is None:
        tokens = min(_BUDGETS[effort or "medium"], max_tokens // 2)
        return max(tokens, _LEAST_BUDGET) if max_tokens > _LEAST_BUDGET else None
    tokens = max(budget, _LEAST_BUDGET)
    if tokens >= max_tokens:
        raise invalid_value(
            "max_tokens", f"it must be more than the {tokens} tokens that the model may think with"
        )
    return tokens


def _format(body: _Body, wanted: OutputFormat, layout: Layout, target: Target, traits: Traits) -> str | None:
    """Ask for JSON; gives the tool whose input is the answer, where it takes one."""
    if wanted.schema is None:
        layout.system.append(TextBlock(_ONLY_JSON))
        return None
    schema = structured(wanted.schema) if traits.structured else None
    if schema is not None:
        body.output_config = body.output_config or _OutputConfig()
        body.output_config.format = _JsonSchema(schema)
        return None
    if body.tool_choice is not None and body.tool_choice.type in {"any", "tool"}:
        return None  # a tool is called now, and the answer comes another time
    if _thinks(body) and not traits.forced_thinking:
        raise target.cannot(
            "response_format", "this JSON schema is not supported while the model shall reason"
        )
    if wanted.schema.get("type") != "object":
        raise target.cannot("response_format", "only a JSON schema of an object is supported")
    tools = body.tools or []
    name = _FORMAT_TOOL
    while any(tool.name == name for tool in tools):
        name += "_"
    description = wanted.description or _FORMAT_DESCRIPTION
    answer = _Tool(name=name, input_schema=wanted.schema, description=description)
    choice = body.tool_choice or _Choice("auto")
    if choice.type == "none":
        tools = []
    body.tools = [*tools, answer]
    alone = choice.disable_parallel_tool_use
    body.tool_choice = _Choice("any", None, alone) if tools else _Choice("tool", name)
    return name


def _sample(body: _Body, conversation: Conversation, traits: Traits) -> None:
    """Put in how to sample, as far as the model lets itself be told; it samples its own way otherwise."""
    if traits.sampling == "none":
        return
    temperature, top_p, top_k = conversation.temperature, conversation.top_p, conversation.top_k
    if temperature is not None:
        temperature = min(temperature, 1.0)
    if _thinks(body):
        # https://platform.claude.com/docs/en/build-with-claude/extended-thinking#feature-compatibility
        temperature = temperature if temperature == 1 else None
        top_p = top_p if top_p is not None and top_p >= 0.95 else None
        top_k = None
    if traits.sampling == "one" and temperature is not None and top_p is not None:
        # The one that says something; 1 is what both are anyway.
        temperature, top_p = (None, top_p) if temperature == 1 else (temperature, None)
    body.temperature, body.top_p, body.top_k = temperature, top_p, top_k
