"""What a client ought to understand of an answer, read from each provider's own language.

A second opinion beside the shared scorer's: it knows nothing of the gateway's code nor of the scorer's.
"""

import json
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

Json = dict[str, Any]

_SAID = frozenset({"role", "content", "reasoning_content", "reasoning", "refusal", "tool_calls", "images"})
_NOT_MORE = frozenset({"index", "message", "finish_reason", "logprobs"})
_ANTHROPIC_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
# Together's word among OpenAI's.
_VENDORS_FINISH = {"eos": "stop"}
_GEMINI_FINISH = {"STOP": "stop", "MAX_TOKENS": "length"}


class Call(Struct, frozen=True):
    """A tool call; `id` is None where the provider gave none."""

    name: str
    arguments: Any
    id: str | None


class Choice(Struct, frozen=True, kw_only=True):
    """One answer; `media` are pictures and sounds in base64, `more` is what else its client gets."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: tuple[Call, ...] = ()
    media: tuple[str, ...] = ()
    finish: str | None = None
    more: Json = {}


class Parts(Struct, frozen=True, kw_only=True):
    """Usage in every part that a client is told of."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    written: int = 0
    reasoning: int = 0
    audio_in: int = 0
    audio_out: int = 0


class Message(Struct, frozen=True):
    """A whole answer; `usage` is None where it was not told."""

    choices: tuple[Choice, ...]
    usage: Parts | None


def of_chat(answer: Json) -> Message:
    """A chat completion as OpenAI or its like would give it, or as the gateway gave it."""
    choices = tuple(_chat_choice(choice) for choice in answer["choices"])
    return Message(choices, chat_usage(answer.get("usage") or {}))


def chat_usage(usage: Json) -> Parts | None:
    """Usage as it stands there."""
    if usage.get("prompt_tokens") is None:
        return None
    went_in, came_out = (usage.get(f"{side}_tokens_details") or {} for side in ("prompt", "completion"))
    hit = usage.get("prompt_cache_hit_tokens")
    return Parts(
        prompt=usage["prompt_tokens"],
        completion=usage.get("completion_tokens") or 0,
        cached=went_in.get("cached_tokens") or hit or 0,
        written=went_in.get("cache_write_tokens") or 0,
        reasoning=came_out.get("reasoning_tokens") or 0,
        audio_in=went_in.get("audio_tokens") or 0,
        audio_out=came_out.get("audio_tokens") or 0,
    )


def booked_chat(answer: Json) -> Parts | None:
    """Usage as the books have it: reasoning that a provider counts beside the completion belongs to it."""
    usage = answer.get("usage") or (answer.get("x_groq") or {}).get("usage") or {}
    parts = chat_usage(usage)
    if parts is None or usage.get("total_tokens") != parts.prompt + parts.completion + parts.reasoning:
        return parts
    return Parts(**{**_members(parts), "completion": parts.completion + parts.reasoning})


def _members(parts: Parts) -> dict[str, int]:
    return {name: getattr(parts, name) for name in parts.__struct_fields__}


def _chat_choice(choice: Json) -> Choice:
    message = choice.get("message") or {}
    content = message.get("content") or []
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    thought = message.get("reasoning_content") or message.get("reasoning") or ""
    thoughts = [piece["text"] for part in parts for piece in part.get("thinking", [])]
    calls = message.get("tool_calls") or []
    urls = [image["image_url"]["url"] for image in message.get("images") or []]
    more = {name: value for name, value in message.items() if name not in _SAID and value not in (None, [])}
    more |= {name: value for name, value in choice.items() if name not in _NOT_MORE and value is not None}
    own = [
        {name: value for name, value in call.items() if name not in {"id", "index", "function"}}
        for call in calls
    ]
    return Choice(
        text="".join([part["text"] for part in parts if part["type"] == "text"]),
        reasoning="".join([thought, *thoughts]),
        refusal=message.get("refusal") or "",
        calls=tuple(Call(_name(call), _arguments(call), call.get("id")) for call in calls),
        media=tuple(url.partition(",")[2] for url in urls),
        finish=_VENDORS_FINISH.get(choice["finish_reason"], choice["finish_reason"]),
        more={**more, "calls": own},
    )


def _name(call: Json) -> str:
    name: str = (call.get("function") or call["custom"])["name"]
    return name


def _arguments(call: Json) -> Any:
    if "custom" in call:
        return call["custom"]["input"]
    return json.loads(call["function"]["arguments"] or "{}")


def of_anthropic(answer: Json) -> Message:
    """A message of Anthropic's; what its own servers did is for it alone."""
    blocks = answer["content"]
    usage = answer["usage"]
    cached = usage.get("cache_read_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    choice = Choice(
        text="".join([block["text"] for block in blocks if block["type"] == "text"]),
        reasoning="".join([block["thinking"] for block in blocks if block["type"] == "thinking"]),
        refusal=(answer.get("stop_details") or {}).get("explanation") or "",
        calls=tuple(
            Call(block["name"], block["input"] or {}, block["id"])
            for block in blocks
            if block["type"] == "tool_use"
        ),
        finish=_ANTHROPIC_FINISH[answer["stop_reason"]],
    )
    parts = Parts(
        prompt=usage["input_tokens"] + cached + written,
        completion=usage["output_tokens"],
        cached=cached,
        written=written,
        reasoning=(usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0,
    )
    return Message((choice,), parts)


def of_gemini(answer: Json) -> Message:
    """An answer of Gemini's; a prompt that it blocked has no candidates, and may say why."""
    usage = _gemini_usage(answer.get("usageMetadata"))
    if not answer.get("candidates"):
        reason = answer["promptFeedback"].get("blockReasonMessage") or ""
        return Message((Choice(refusal=reason, finish="content_filter"),), usage)
    return Message(tuple(_candidate(each) for each in answer["candidates"]), usage)


def _candidate(candidate: Json) -> Choice:
    parts = (candidate.get("content") or {}).get("parts") or []
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    finish = _GEMINI_FINISH.get(candidate["finishReason"], "content_filter")
    return Choice(
        text="".join([part["text"] for part in parts if "text" in part and not part.get("thought")]),
        reasoning="".join([part["text"] for part in parts if "text" in part and part.get("thought")]),
        calls=tuple(Call(call["name"], call.get("args") or {}, call.get("id")) for call in calls),
        media=tuple(part["inlineData"]["data"] for part in parts if "inlineData" in part),
        finish="tool_calls" if calls and finish == "stop" else finish,
    )


def _gemini_usage(usage: Json | None) -> Parts | None:
    if not usage or "promptTokenCount" not in usage:
        return None
    heard = {each["modality"]: each.get("tokenCount", 0) for each in usage.get("promptTokensDetails") or []}
    thoughts = usage.get("thoughtsTokenCount") or 0
    return Parts(
        prompt=usage["promptTokenCount"] + (usage.get("toolUsePromptTokenCount") or 0),
        completion=(usage.get("candidatesTokenCount") or 0) + thoughts,
        cached=usage.get("cachedContentTokenCount") or 0,
        reasoning=thoughts,
        audio_in=heard.get("AUDIO", 0),
    )


READERS: Mapping[str, Any] = {"openai": of_chat, "anthropic": of_anthropic, "gemini": of_gemini}
