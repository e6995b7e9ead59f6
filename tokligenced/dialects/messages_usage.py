"""Usage as Anthropic's Messages spell it: the one place where it is read and written.

https://platform.claude.com/docs/en/api/messages
"""

import msgspec
from msgspec import Raw, Struct, structs

from tokligenced.dialects.openai_usage import ABSURD
from tokligenced.domain import Usage

# Passes over the model that the totals leave out: https://platform.claude.com/docs/en/build-with-claude/compaction
_BESIDES = frozenset({"compaction", "advisor_message"})


class _Written(Struct):
    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class _Details(Struct):
    thinking_tokens: int | None = None


class _Server(Struct):
    web_search_requests: int | None = None


class _Tokens(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation: _Written | None = None


class _Pass(_Tokens):
    type: str | None = None


class WireUsage(_Tokens):
    """What the upstream sent, or all it sent in one stream so far."""

    output_tokens_details: _Details | None = None
    server_tool_use: _Server | None = None
    iterations: list[_Pass] | None = None

    @property
    def silent(self) -> bool:
        """Whether it says nothing."""
        return self.input_tokens is None and self.output_tokens is None


_read = msgspec.json.Decoder(WireUsage | None)
_INPUT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


def read(raw: Raw) -> WireUsage | None:
    """What an upstream's `usage` member says; None when it says nothing. Raises `msgspec.DecodeError`."""
    return _read.decode(raw) if bytes(raw) else None


def later(before: WireUsage | None, now: WireUsage) -> WireUsage:
    """What is known after a stream told `now`: its figures are totals, they replace and are never added.

    Some upstreams tell what went in only at the beginning and fill a later event with zeros.
    """
    if before is None:
        return now
    told = {
        name: value
        for name in now.__struct_fields__
        if (value := getattr(now, name)) is not None
        and not (name in _INPUT and value == 0 and getattr(before, name))
    }
    return structs.replace(before, **told)


def usage_of(wire: WireUsage) -> Usage | None:
    """The disjoint parts of what the upstream counted; None when it counted nothing believable.

    An explicit zero is zero. Anthropic counts cached tokens beside the input, and thinking within the output.
    """
    if wire.silent:
        return None
    fresh = cached = written_5m = written_1h = output = 0
    numbers = []
    parts: list[_Tokens] = [wire, *(one for one in wire.iterations or () if one.type in _BESIDES)]
    for part in parts:
        by_time = part.cache_creation or _Written()
        hour = by_time.ephemeral_1h_input_tokens or 0
        five = by_time.ephemeral_5m_input_tokens or 0
        written = part.cache_creation_input_tokens
        if written is None:
            written = five + hour
        numbers += [hour, five, written]
        numbers += [part.input_tokens or 0, part.output_tokens or 0, part.cache_read_input_tokens or 0]
        # The total may have grown since the split was told; only an hour's part is known to be one.
        hour = min(hour, written)
        fresh += part.input_tokens or 0
        cached += part.cache_read_input_tokens or 0
        written_5m += written - hour
        written_1h += hour
        output += part.output_tokens or 0
    thought = (wire.output_tokens_details or _Details()).thinking_tokens or 0
    searches = (wire.server_tool_use or _Server()).web_search_requests or 0
    if min(*numbers, thought, searches) < 0 or max(*numbers, thought, searches) > ABSURD:
        return None
    reasoning = min(thought, output)
    return Usage(
        input=fresh,
        cached_input=cached,
        cache_write_5m=written_5m,
        cache_write_1h=written_1h,
        output=output - reasoning,
        reasoning=reasoning,
        searches=searches,
    )


def wire_of(usage: Usage) -> dict[str, object]:
    """The `usage` member of a Messages answer; sounds and pictures are input and output like any."""
    wire: dict[str, object] = {
        "input_tokens": usage.input + usage.audio_in + usage.image_in,
        "cache_creation_input_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "cache_read_input_tokens": usage.cached_input,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.completion_tokens,
    }
    if usage.reasoning:
        wire["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    if usage.searches:
        wire["server_tool_use"] = {"web_search_requests": usage.searches}
    return wire
