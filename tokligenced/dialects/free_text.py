"""Tools that take free text, offered to providers whose tools all take JSON: the text is one member of it."""

import re
from typing import Any

import msgspec
from msgspec import Struct

from tokligenced.dialects.conversation import Tool

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}

# A string that was cut off may end in the midst of an escape.
_HALF_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*(\\(?:u[0-9a-fA-F]{0,3})?)$")


class _Input(Struct):
    input: str


_read = msgspec.json.Decoder(_Input)


def description(tool: Tool) -> str | None:
    """What the model is told of such a tool, its grammar included."""
    grammar = ""
    if tool.format and tool.format.get("type") != "text":
        grammar = f"The input must follow this grammar:\n{msgspec.json.encode(tool.format).decode()}"
    return "\n\n".join(part for part in (tool.description, grammar) if part) or None


def wrapped(text: str) -> bytes:
    """The arguments that hold the text."""
    return msgspec.json.encode({"input": text})


def unwrapped(arguments: str) -> str:
    """The text within the arguments; as far as it goes where the answer was cut off."""
    closed = _HALF_ESCAPE.sub(lambda half: half[0][: -len(half[1])], arguments) + '"}'
    for written in (arguments, closed):
        try:
            return _read.decode(written).input
        except (msgspec.DecodeError, RecursionError):
            continue
    return arguments
