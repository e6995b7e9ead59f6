"""Anthropic Messages: requests read as far as the gateway itself needs them.

https://platform.claude.com/docs/en/api/messages
"""

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from tokligenced.dialects import body as json_body
from tokligenced.dialects.tasks import check_name
from tokligenced.domain import Call
from tokligenced.errors import InvalidRequest

_Count = Annotated[int, Meta(ge=1, le=2**31)]
_NOTHING = Raw(b"")


class _Source(Struct, gc=False):
    type: str = ""
    data: Raw = _NOTHING


class _Block(Struct, gc=False):
    type: str = "text"
    source: _Source | str | None = None
    content: "str | list[_Block] | dict[str, Raw] | None" = None


class _Message(Struct, gc=False):
    content: str | list[_Block]


class _Tool(Struct, gc=False):
    type: str | None = None


class _Request(Struct):
    model: Annotated[str, Meta(min_length=1, max_length=256)]
    messages: Annotated[list[_Message], Meta(min_length=1, max_length=100_000)]
    system: str | list[_Block] | None = None
    max_tokens: _Count | None = None
    tools: list[_Tool] | None = None
    stream: bool | None = None


_read_request = msgspec.json.Decoder(_Request)

# Kinds of blocks whose tokens have to do with their bytes. Others may stand for anything, as a file does.
_TEXTS = frozenset(
    {"text", "tool_use", "tool_result", "thinking", "redacted_thinking", "server_tool_use", "search_result"}
)


def parse(body: bytes, *, call_id: str, at: int) -> Call:
    """Read a request. Raises `InvalidRequest` naming the field at fault."""
    call = parse_counting(body, call_id=call_id, at=at, counting=False)
    if call.max_output_tokens is None:
        raise InvalidRequest(
            "missing_required_parameter", "Missing required parameter: 'max_tokens'.", param="max_tokens"
        )
    return call


def parse_counting(body: bytes, *, call_id: str, at: int, counting: bool = True) -> Call:
    """Read a request whose tokens shall be counted. Raises `InvalidRequest` naming the field at fault."""
    members = json_body.members(body)
    request = json_body.decode(_read_request, body)
    check_name(request.model)
    blocks = [block for message in request.messages for block in _all_blocks(message.content)]
    images = sum(block.type == "image" for block in blocks)
    # Every way there is to show a file: as a document, in a container, by a block that is yet to be invented.
    files = sum(block.type not in _TEXTS for block in blocks) - images
    return Call(
        dialect="messages",
        model=request.model,
        body=body,
        id=call_id,
        at=at,
        counting=counting,
        members=members,
        stream=bool(request.stream) and not counting,
        include_usage=True,
        max_output_tokens=request.max_tokens,
        text_bytes=len(body) - sum(_encoded(block) for block in blocks),
        images=images,
        files=files,
        searches=any(
            "search" in (tool.type or "") or "fetch" in (tool.type or "") for tool in request.tools or ()
        ),
    )


def _all_blocks(content: str | list[_Block]) -> Iterator[_Block]:
    """The blocks of a message, and those within results."""
    for block in content if isinstance(content, list) else ():
        yield block
        if isinstance(block.content, list):
            yield from _all_blocks(block.content)


def _encoded(block: _Block) -> int:
    """The bytes that a block has in base64."""
    source = block.source
    return len(bytes(source.data)) if isinstance(source, _Source) and source.type == "base64" else 0
