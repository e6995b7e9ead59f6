"""Usage as OpenAI's Chat, and all that took after it, spell it: the one place where it is read.

https://platform.openai.com/docs/api-reference/chat/object#chat-object-usage
"""

from msgspec import Struct

from tokligenced.domain import Usage

# More tokens than any model's window; an upstream that says so is not believed.
ABSURD = 100_000_000


class _PromptDetails(Struct):
    cached_tokens: float | None = None
    cache_write_tokens: float | None = None
    audio_tokens: float | None = None
    image_tokens: float | None = None


class _CompletionDetails(Struct):
    reasoning_tokens: float | None = None
    audio_tokens: float | None = None
    image_tokens: float | None = None


_NO_PROMPT_DETAILS = _PromptDetails()
_NO_COMPLETION_DETAILS = _CompletionDetails()


class WireUsage(Struct):
    """What the upstream sent. Numbers are read as floats because some vendors write `12.0`."""

    prompt_tokens: float | None = None
    completion_tokens: float | None = None
    total_tokens: float | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    # DeepSeek: https://api-docs.deepseek.com/guides/kv_cache
    prompt_cache_hit_tokens: float | None = None

    @property
    def silent(self) -> bool:
        """Whether it says nothing."""
        return self.prompt_tokens is None and self.completion_tokens is None


def usage_of(wire: WireUsage) -> Usage | None:
    """The disjoint parts of what the upstream counted; None when it counted nothing believable.

    An explicit zero is zero. OpenAI counts cached, audio and image tokens within the prompt, and
    reasoning within the completion; xAI adds reasoning on top, which its total gives away.
    """
    if wire.silent:
        return None
    parts = wire.prompt_tokens_details or _NO_PROMPT_DETAILS
    made = wire.completion_tokens_details or _NO_COMPLETION_DETAILS
    numbers = (
        wire.prompt_tokens or 0,
        wire.completion_tokens or 0,
        wire.total_tokens or 0,
        (wire.prompt_cache_hit_tokens if parts.cached_tokens is None else parts.cached_tokens) or 0,
        parts.cache_write_tokens or 0,
        parts.audio_tokens or 0,
        parts.image_tokens or 0,
        made.reasoning_tokens or 0,
        made.audio_tokens or 0,
        made.image_tokens or 0,
    )
    if min(numbers) < 0 or max(numbers) > ABSURD:
        return None
    prompt, completion, total, cached, written, audio_in, image_in, reasoning, audio_out, image_out = map(
        int, numbers
    )
    if reasoning and (total == prompt + completion + reasoning or reasoning > completion):
        completion += reasoning
    # The parts are made disjoint: sound that was cached is counted as cached, and not once more.
    cached = min(cached, prompt)
    written = min(written, prompt - cached)
    audio_in = min(audio_in, prompt - cached - written)
    image_in = min(image_in, prompt - cached - written - audio_in)
    audio_out = min(audio_out, completion - reasoning)
    image_out = min(image_out, completion - reasoning - audio_out)
    return Usage(
        input=prompt - cached - written - audio_in - image_in,
        cached_input=cached,
        cache_write_5m=written,
        audio_in=audio_in,
        image_in=image_in,
        output=completion - reasoning - audio_out - image_out,
        reasoning=reasoning,
        audio_out=audio_out,
        image_out=image_out,
    )


def wire_of(usage: Usage) -> dict[str, object]:
    """The usage as a chat client reads it.

    What is written to a cache for an hour is a part of `cache_write_tokens`, and told apart where it is any.
    """
    prompt = {
        "cached_tokens": usage.cached_input,
        "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "audio_tokens": usage.audio_in,
        "image_tokens": usage.image_in,
    }
    if usage.cache_write_1h:
        prompt["cache_write_1h_tokens"] = usage.cache_write_1h
    completion = {"reasoning_tokens": usage.reasoning, "audio_tokens": usage.audio_out}
    if usage.image_out:
        completion["image_tokens"] = usage.image_out
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": completion,
    }
