"""Usage as OpenAI Responses spells it: the one place where it is read and written.

https://platform.openai.com/docs/api-reference/responses/object#responses/object-usage
"""

from msgspec import Struct

from tokligenced.dialects.openai_usage import ABSURD
from tokligenced.domain import Usage


class _InputDetails(Struct):
    cached_tokens: float | None = None
    cache_write_tokens: float | None = None


class _OutputDetails(Struct):
    reasoning_tokens: float | None = None


_NO_INPUT_DETAILS = _InputDetails()
_NO_OUTPUT_DETAILS = _OutputDetails()


class WireUsage(Struct):
    """What the upstream sent. Numbers are read as floats because some vendors write `12.0`."""

    input_tokens: float | None = None
    output_tokens: float | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None

    @property
    def silent(self) -> bool:
        """Whether it says nothing."""
        return self.input_tokens is None and self.output_tokens is None


def usage_of(wire: WireUsage, searches: int = 0) -> Usage | None:
    """The disjoint parts of what the upstream counted; None when it counted nothing believable.

    Cached tokens are within the input, reasoning within the output. An explicit zero is zero.
    """
    if wire.silent:
        return None
    into = wire.input_tokens_details or _NO_INPUT_DETAILS
    out = wire.output_tokens_details or _NO_OUTPUT_DETAILS
    numbers = (
        wire.input_tokens or 0,
        wire.output_tokens or 0,
        into.cached_tokens or 0,
        into.cache_write_tokens or 0,
        out.reasoning_tokens or 0,
        searches,
    )
    if min(numbers) < 0 or max(numbers) > ABSURD:
        return None
    prompt, completion, cached, written, reasoning, _ = map(int, numbers)
    cached = min(cached, prompt)
    written = min(written, prompt - cached)
    reasoning = min(reasoning, completion)
    return Usage(
        input=prompt - cached - written,
        cached_input=cached,
        cache_write_5m=written,
        output=completion - reasoning,
        reasoning=reasoning,
        searches=searches,
    )


def wire_of(usage: Usage) -> dict[str, object]:
    """The usage as a client of Responses reads it; sounds and pictures are told apart where there are any."""
    into = {
        "cached_tokens": usage.cached_input,
        "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
    }
    out = {"reasoning_tokens": usage.reasoning}
    rare = (
        (into, "cache_write_1h_tokens", usage.cache_write_1h),
        (into, "audio_tokens", usage.audio_in),
        (into, "image_tokens", usage.image_in),
        (out, "audio_tokens", usage.audio_out),
        (out, "image_tokens", usage.image_out),
    )
    for details, name, number in rare:
        if number:
            details[name] = number
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": into,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": out,
        "total_tokens": usage.total_tokens,
    }
