"""What travels in OpenAI Chat messages beyond OpenAI's own members, so that a next turn loses nothing.

A client that hands a message back as it got it hands these back too:

    message.thinking_blocks     reasoning with its proof, as Anthropic writes it
    message.provider_blocks     blocks that only their own dialect understands
    tool_call.extra_content     and message.extra_content: Google's thought signatures, in Google's spelling
                                https://ai.google.dev/gemini-api/docs/thought-signatures

A block's `position` says after how many characters of text, tool calls and other such blocks it stood; it is
left out where it came first of all.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Raw, Struct

from tokligenced.dialects.conversation import Foreign, Part, Text, Thinking, ToolCall
from tokligenced.domain import Dialect

_Count = Annotated[int, Meta(ge=0)]


class Position(Struct, frozen=True, omit_defaults=True):
    """Where a block stood: after so many characters of text, tool calls, and blocks of these kinds."""

    text: _Count = 0
    tools: _Count = 0
    blocks: _Count = 0


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
    left, waiting = list(said), list(calls)
    characters = 0
    for position, block in sorted(blocks, key=_by_position):
        while left and characters < position.text:
            part = left.pop(0)
            if isinstance(part, Text):
                room = position.text - characters
                characters += min(room, len(part.text))
                if len(part.text) > room:
                    left.insert(0, Text(text=part.text[room:], cache=part.cache, signature=part.signature))
                    part = Text(text=part.text[:room])
            found.append(part)
        while waiting and len(calls) - len(waiting) < position.tools:
            found.append(waiting.pop(0))
        found.append(block)
    return found + left + waiting
