"""Usage as OpenAI's Chat, and all that took after it, spell it: the one place where it is read.

https://platform.openai.com/docs/api-reference/chat/object#chat-object-usage
"""

from msgspec import Struct

from tokligenced.domain import Usage

# More tokens than any model's window; an upstream that says so is not believed.
_ABSURD = 100_000_000


class _PromptDetails(Struct):
    cached_tokens: float | None = None
    cache_write_tokens: float | None = None
    audio_tokens: float | None = None
    image_tokens: float | None = None


class _CompletionDetails(Struct):
    reasoning_tokens: float | None = None
    audio_tokens: float | None = None
    image_tokens: float | None = None


class WireUsage(Struct):
    """What the upstream sent. Numbers are read as floats because some vendors write `12.0`."""

    prompt_tokens: float | None = None
    completion_tokens: float | None = None
    total_tokens: float | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    # DeepSeek: https://api-docs.deepseek.com/guides/kv_cache
    prompt_cache_hit_tokens: float | None = None


def usage_of(wire: WireUsage) -> Usage | None:
    """The disjoint parts of what the upstream counted; None when it counted nothing believable.

    An explicit zero is zero. OpenAI counts cached, audio and image tokens within the prompt, and
    reasoning within the completion; xAI adds reasoning on top, which its total gives away.
    """
    if wire.prompt_tokens is None and wire.completion_tokens is None:
        return None
    prompt_details = wire.prompt_tokens_details or _PromptDetails()
    completion_details = wire.completion_tokens_details or _CompletionDetails()
    cached = prompt_details.cached_tokens
    numbers = (
        wire.prompt_tokens,
        wire.completion_tokens,
        wire.total_tokens,
        wire.prompt_cache_hit_tokens if cached is None else cached,
        prompt_details.cache_write_tokens,
        prompt_details.audio_tokens,
        prompt_details.image_tokens,
        completion_details.reasoning_tokens,
        completion_details.audio_tokens,
        completion_details.image_tokens,
    )
    if any(number is not None and not 0 <= number <= _ABSURD for number in numbers):
        return None
    prompt, completion, total, cached_in, written, audio_in, image_in, reasoning, audio_out, image_out = (
        int(number or 0) for number in numbers
    )
    if reasoning and total == prompt + completion + reasoning:
        completion += reasoning
    return Usage(
        input=max(0, prompt - cached_in - written - audio_in - image_in),
        cached_input=cached_in,
        cache_write_5m=written,
        audio_in=audio_in,
        image_in=image_in,
        output=max(0, completion - reasoning - audio_out - image_out),
        reasoning=reasoning,
        audio_out=audio_out,
        image_out=image_out,
    )
