"""OpenAI Chat Completions: requests read and sent on, errors told; answers are in `chat_answers`.

https://platform.openai.com/docs/api-reference/chat
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from tokligenced.dialects import body as json_body
from tokligenced.domain import Call
from tokligenced.errors import CallError, InvalidRequest

_Count = Annotated[int, Meta(ge=1, le=2**31)]


class _StreamOptions(Struct):
    include_usage: bool | None = None


class _Part(Struct, gc=False):
    type: str = "text"


class _Message(Struct, gc=False):
    content: str | list[_Part | str] | dict[str, Raw] | None = None


class _Tool(Struct, gc=False):
    type: str = "function"


class _Request(Struct):
    model: Annotated[str, Meta(min_length=1, max_length=256)]
    messages: Annotated[list[_Message], Meta(min_length=1, max_length=100_000)]
    tools: list[_Tool] | None = None
    modalities: list[str] | None = None
    web_search_options: dict[str, Raw] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: _Count | None = None
    max_completion_tokens: _Count | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None


_read_request = msgspec.json.Decoder(_Request)

# Kinds of content parts. One that is not known may stand for anything, as a file does.
_IMAGES = frozenset({"image_url", "image", "input_image"})
_NO_FILES = _IMAGES | {"text", "refusal", "thinking", "reasoning", "input_audio", "audio"}


def parse(body: bytes, *, call_id: str = "", at: int = 0) -> Call:
    """Read a request, which came at a Unix millisecond. Raises `InvalidRequest` naming the field at fault."""
    members = json_body.members(body)
    request = json_body.decode(_read_request, body)
    if not request.model.isprintable():
        # It goes to logs and terminals.
        raise InvalidRequest("invalid_value", "Invalid value for 'model': not printable.", param="model")
    options = request.stream_options
    kinds = [
        part.type
        for message in request.messages
        if type(message.content) is list
        for part in message.content
        if isinstance(part, _Part)
    ]
    modalities = request.modalities or ()
    return Call(
        dialect="chat",
        model=request.model,
        body=body,
        id=call_id,
        at=at,
        members=members,
        stream=bool(request.stream),
        include_usage=bool(options and options.include_usage),
        # An upstream may go by either name, so a small limit must not hide a large one.
        max_output_tokens=max(request.max_completion_tokens or 0, request.max_tokens or 0) or None,
        choices=request.n or 1,
        text_bytes=len(body) - (json_body.inline_bytes(body) if kinds else 0),
        images=sum([kind in _IMAGES for kind in kinds]),
        files=sum([kind not in _NO_FILES for kind in kinds]),
        audio="input_audio" in kinds or "audio" in modalities,
        draws="image" in modalities,
        searches=request.web_search_options is not None
        or any("search" in tool.type for tool in request.tools or ()),
    )


def request_for(
    call: Call,
    upstream_model: str,
    *,
    limit_field: str = "max_tokens",
    changes: Mapping[str, bytes] = MappingProxyType({}),
    ask_usage: bool = True,
) -> bytes:
    """The same request for an upstream of this dialect: its name for the model, and usage asked for.

    `limit_field` is what this upstream calls the limit on output, should one have to be imposed. `changes`
    are members that it wants otherwise.
    """
    wanted = dict(changes)
    if call.imposed_output_tokens is not None:
        wanted[limit_field] = b"%d" % call.imposed_output_tokens
    if upstream_model != call.model:
        wanted["model"] = msgspec.json.encode(upstream_model)
    if call.stream and ask_usage and not call.include_usage:
        written = call.member("stream_options")
        options = msgspec.json.decode(written, type=dict[str, Raw]) if written else {}
        options["include_usage"] = Raw(b"true")
        wanted["stream_options"] = msgspec.json.encode(options)
    return json_body.changed(call.body, call.members, wanted) if wanted else call.body


def render_error(error: CallError, request_id: str = "") -> bytes:  # noqa: ARG001 - it stands in a header
    """The body of an error answer."""
    return msgspec.json.encode(
        {
            "error": {
                "message": error.message,
                "type": error.type,
                "param": error.param,
                "code": error.code,
            }
        }
    )


def render_error_event(error: CallError) -> bytes:
    """The event that ends a stream which failed after its first byte; no `[DONE]` follows."""
    return b"data: " + render_error(error) + b"\n\n"
