"""OpenAI Responses: requests as far as the gateway needs them, and sent on to upstreams of this dialect.

https://platform.openai.com/docs/api-reference/responses/create
"""

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from tokligenced.dialects import body as json_body
from tokligenced.domain import Call
from tokligenced.errors import InvalidRequest

_Count = Annotated[int, Meta(ge=1, le=2**31)]


class _Part(Struct, gc=False):
    type: str = "input_text"


class _InnerTool(Struct, gc=False):
    type: str = "function"


class _Tool(Struct):
    """A tool, or a namespace of them."""

    type: str = "function"
    tools: list[_InnerTool] | None = None


class _Item(Struct):
    content: str | list[_Part | str] | None = None
    output: str | list[_Part] | _Part | None = None
    tools: list[_Tool] | None = None


class _Request(Struct):
    model: Annotated[str, Meta(min_length=1, max_length=256)]
    input: str | Annotated[list[_Item], Meta(max_length=100_000)] | None = None
    tools: list[_Tool] | None = None
    stream: bool | None = None
    max_output_tokens: _Count | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: str | dict[str, Raw] | None = None
    prompt: dict[str, Raw] | None = None


_read_request = msgspec.json.Decoder(_Request)

# Kinds of content parts. One that is not known may stand for anything, as a file does.
_IMAGES = frozenset({"input_image", "computer_screenshot"})
_TEXTS = frozenset({"input_text", "output_text", "text", "refusal", "summary_text", "reasoning_text"})
_NO_FILES = _IMAGES | _TEXTS | {"input_audio"}


def parse(body: bytes, *, call_id: str = "", at: int = 0) -> Call:
    """Read a request, which came at a Unix millisecond. Raises `InvalidRequest` naming the field at fault."""
    members = json_body.members(body)
    request = json_body.decode(_read_request, body)
    if not request.model.isprintable():
        # It goes to logs and terminals.
        raise InvalidRequest("invalid_value", "Invalid value for 'model': not printable.", param="model")
    if request.background:
        raise InvalidRequest(
            "unsupported_parameter",
            "'background' is not supported: answers are given on the connection that asked for them.",
            param="background",
        )
    if request.input is None and not (request.previous_response_id or request.conversation or request.prompt):
        raise InvalidRequest(
            "missing_required_parameter", "Missing required parameter: 'input'.", param="input"
        )
    items = request.input if isinstance(request.input, list) else []
    kinds = [part.type for item in items for part in _parts(item)]
    tools = list(_tool_types(request.tools))
    for item in items:
        tools += _tool_types(item.tools)
    return Call(
        dialect="responses",
        model=request.model,
        body=body,
        id=call_id,
        at=at,
        members=members,
        stream=bool(request.stream),
        max_output_tokens=request.max_output_tokens,
        text_bytes=len(body) - (json_body.inline_bytes(body) if kinds else 0),
        images=sum([kind in _IMAGES for kind in kinds]),
        files=sum([kind not in _NO_FILES for kind in kinds]),
        audio="input_audio" in kinds,
        draws="image_generation" in tools,
        searches=any(kind.startswith(("web_search", "file_search")) for kind in tools),
    )


def _parts(item: _Item) -> Iterator[_Part]:
    for content in (item.content, item.output):
        if isinstance(content, _Part):
            yield content
        elif isinstance(content, list):
            yield from (part for part in content if isinstance(part, _Part))


def _tool_types(tools: list[_Tool] | None) -> Iterator[str]:
    for tool in tools or ():
        yield tool.type
        yield from (inner.type for inner in tool.tools or ())


def request_for(call: Call, upstream_model: str) -> bytes:
    """The same request for an upstream of this dialect: its name for the model, and a limit if one is due."""
    wanted: dict[str, bytes] = {}
    if call.imposed_output_tokens is not None:
        wanted["max_output_tokens"] = b"%d" % call.imposed_output_tokens
    if upstream_model != call.model:
        wanted["model"] = msgspec.json.encode(upstream_model)
    return json_body.changed(call.body, call.members, wanted) if wanted else call.body


def wants_storing(call: Call) -> bool | None:
    """Whether the answer shall be kept for later, None where the client does not say.

    OpenAI takes that for a yes; most clients mean nothing by it.
    """
    asked = call.member("store")
    return asked == b"true" if asked else None


def previous_response(call: Call) -> str | None:
    """The id of the stored response that this one goes on from."""
    named = call.member("previous_response_id")
    return msgspec.json.decode(named, type=str) if named else None


def following(call: Call, earlier_input: bytes, earlier_output: bytes) -> Call:
    """The call with its whole conversation in it instead of the id of the stored response it goes on from.

    `earlier_input` is that response's own input (a JSON text or list), `earlier_output` the list of its
    items. Instructions are not handed down. Raises `InvalidRequest` as `parse` does.
    https://platform.openai.com/docs/guides/conversation-state
    """
    items = [*_items(earlier_input), *_items(earlier_output), *_items(call.member("input"))]
    changes = {"input": msgspec.json.encode(items), "previous_response_id": b"null"}
    return parse(json_body.changed(call.body, call.members, changes), call_id=call.id, at=call.at)


_read_items = msgspec.json.Decoder(str | list[Raw])


def _items(value: bytes) -> list[Raw]:
    items = _read_items.decode(value) if value else []
    if isinstance(items, str):
        return [Raw(msgspec.json.encode({"type": "message", "role": "user", "content": items}))]
    return items
