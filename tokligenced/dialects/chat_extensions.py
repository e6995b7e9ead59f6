"""What travels in OpenAI Chat messages beyond OpenAI's own members, so that a next turn loses nothing.

A client that hands a message back as it got it hands these back too:

    message.thinking_blocks     reasoning with its proof, as Anthropic writes it
    message.provider_blocks     blocks that only their own dialect understands
    tool_call.extra_content     and message.extra_content: Google's thought signatures, in Google's spelling
                                https://ai.google.dev/gemini-api/docs/thought-signatures

A block's `position` says after how many characters of text, tool calls and other such blocks it stood; it is
left out where it came first of all. OpenAI itself takes none of these members, nor visible reasoning.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from tokligenced.dialects.conversation import Foreign, Part, Text, Thinking, ToolCall
from tokligenced.domain import Dialect

_Count = Annotated[int, Meta(ge=0)]


class Position(Struct, frozen=True, omit_defaults=True):
    """Where a block stood: after so many characters of text, tool calls, and blocks of these kinds."""

    text: _Count = 0
    tools: _Count = 0
    blocks: _Count = 0


_MEMBERS = ("thinking_blocks", "provider_blocks", "extra_content", "reasoning_content")
_read_objects = msgspec.json.Decoder(list[dict[str, Raw]])

Placed = tuple[Position, Thinking | Foreign]
_FIRST = Position()


class ThinkingBlock(Struct, omit_defaults=True):
    """A block of reasoning, in Anthropic's words."""

    type: Literal["thinking", "redacted_thinking"]
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    position: Position | None = None

    def placed(self) -> Placed:
        """The block as a part, and where it stood."""
        block = Thinking(text=self.thinking or "", signature=self.signature, redacted=self.data)
        return self.position or _FIRST, block


class ProviderBlock(Struct, omit_defaults=True):
    """A block of another dialect, as it was."""

    dialect: Dialect
    block: Raw
    position: Position | None = None

    def placed(self) -> Placed:
        """The block as a part, and where it stood."""
        return self.position or _FIRST, Foreign(dialect=self.dialect, block=self.block)


class _Google(Struct):
    thought_signature: str | None = None


class GoogleExtra(Struct):
    """The member `extra_content`."""

    google: _Google | None = None

    @property
    def signature(self) -> str | None:
        """The signature in it."""
        return self.google.thought_signature if self.google else None


def google(signature: str) -> dict[str, Any]:
    """The member `extra_content` for a signature."""
    return {"google": {"thought_signature": signature}}


def thinking(block: Thinking, position: Position) -> ThinkingBlock:
    """A block of reasoning as the client gets it."""
    place = None if position == _FIRST else position
    if block.redacted is not None:
        return ThinkingBlock("redacted_thinking", data=block.redacted, position=place)
    return ThinkingBlock("thinking", block.text, block.signature, position=place)


def provider(block: Foreign, position: Position) -> ProviderBlock:
    """A block of another dialect as the client gets it."""
    return ProviderBlock(block.dialect, block.block, None if position == _FIRST else position)


def _by_position(placed: Placed) -> tuple[int, int, int]:
    position = placed[0]
    return position.text, position.tools, position.blocks


def in_their_places(blocks: Sequence[Placed], said: Sequence[Part], calls: Sequence[ToolCall]) -> list[Part]:
    """A model's turn in the order in which it came: `said`, then `calls`, each block where it stood."""
    if not blocks:
        return [*said, *calls]
    found: list[Part] = []
    # How far they are told: characters in all, parts, characters of the part that is next, and calls.
    characters = parts = begun = called = 0
    for position, block in sorted(blocks, key=_by_position):
        while parts < len(said) and characters < position.text:
            part = said[parts]
            end = begun + position.text - characters
            if isinstance(part, Text) and end < len(part.text):
                found.append(Text(text=part.text[begun:end]))
                characters, begun = position.text, end
                continue
            characters += len(part.text) - begun if isinstance(part, Text) else 0
            found.append(_from(part, begun))
            parts, begun = parts + 1, 0
        found += calls[called : position.tools]
        called = max(called, position.tools)
        found.append(block)
    return [
        *found,
        *(_from(part, begun) for part in said[parts : parts + 1]),
        *said[parts + 1 :],
        *calls[called:],
    ]


def _from(part: Part, begun: int) -> Part:
    """The part without what of its text is told already."""
    if not begun or not isinstance(part, Text):
        return part
    return Text(text=part.text[begun:], cache=part.cache, signature=part.signature)


def left_out(messages: bytes) -> bytes | None:
    """A request's messages for who knows OpenAI's own members alone; None where they hold no others."""
    if not any(b'"%b"' % name.encode() in messages for name in _MEMBERS):
        return None
    kept = [_known(message) for message in _read_objects.decode(messages)]
    for message in kept:
        try:
            calls = _read_objects.decode(message.get("tool_calls", Raw(b"[]")))
        except msgspec.ValidationError:
            continue  # the provider says what is wrong with them
        if calls:
            message["tool_calls"] = Raw(msgspec.json.encode([_known(call) for call in calls]))
    return msgspec.json.encode(kept)


def _known(members: dict[str, Raw]) -> dict[str, Raw]:
    return {name: value for name, value in members.items() if name not in _MEMBERS}
