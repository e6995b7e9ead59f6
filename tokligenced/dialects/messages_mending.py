"""Messages requests whose past answers another provider gave, made to fit what Anthropic takes back.

What its own answers hold stays as it is.
https://platform.claude.com/docs/en/build-with-claude/extended-thinking#preserving-thinking-blocks
"""

import re

import msgspec
from msgspec import Raw, Struct

# Marks of blocks that no Claude made: reasoning that nobody signed, and Google's signatures.
_UNSIGNED = re.compile(rb'"signature"\s*:\s*""')
_GOOGLES = b'"extra_content"'


class _Kind(Struct, gc=False):
    type: str = ""
    signature: str | None = None


_read_messages = msgspec.json.Decoder(list[dict[str, Raw]])
_read_blocks = msgspec.json.Decoder(list[Raw])
_read_kind = msgspec.json.Decoder(_Kind)
_read_members = msgspec.json.Decoder(dict[str, Raw])


def mended(messages: bytes) -> bytes | None:
    """The messages as Anthropic takes them; None where they are so already.

    Raises `msgspec.DecodeError` for what is no list of messages with blocks.
    """
    if _GOOGLES not in messages and not _UNSIGNED.search(messages):
        return None
    kept: list[dict[str, Raw]] = []
    for message in _read_messages.decode(messages):
        content = message["content"]
        if bytes(content).startswith(b"["):
            blocks = [block for raw in _read_blocks.decode(content) if (block := _block(raw)) is not None]
            if not blocks:
                continue  # a turn of nothing is refused
            message["content"] = Raw(msgspec.json.encode(blocks))
        kept.append(message)
    return msgspec.json.encode(kept)


def _block(raw: Raw) -> Raw | None:
    kind = _read_kind.decode(raw)
    if kind.type == "thinking" and kind.signature == "":
        return None
    if kind.type != "tool_use":
        return raw
    members = _read_members.decode(raw)
    members.pop("extra_content", None)
    return Raw(msgspec.json.encode(members))
