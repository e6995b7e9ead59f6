"""What OpenAI Chat messages hold, read into the hub's parts.

https://platform.openai.com/docs/api-reference/chat/create#chat-create-messages
"""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

from tokligenced.dialects import media
from tokligenced.dialects.chat_extensions import GoogleExtra, ProviderBlock, ThinkingBlock, in_their_places
from tokligenced.dialects.conversation import (
    Cache,
    Foreign,
    Media,
    MediaKind,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from tokligenced.errors import InvalidRequest, invalid_value


class CacheControl(Struct):
    """Anthropic's mark that the prompt up to here shall be kept."""

    type: str = "ephemeral"
    ttl: str | None = None


class _Url(Struct):
    url: str
    detail: str | None = None


class _Audio(Struct):
    data: str
    format: Annotated[str, Meta(min_length=1, max_length=20)]


class _File(Struct):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class _ThinkingPart(Struct):
    text: str = ""


class _Part(Struct):
    """A content part; Mistral's of type `thinking` among them."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: _Url | str | None = None
    video_url: _Url | None = None
    input_audio: _Audio | None = None
    file: _File | None = None
    thinking: list[_ThinkingPart] | str | None = None
    cache_control: CacheControl | None = None


class _Function(Struct):
    name: Annotated[str, Meta(min_length=1)]
    arguments: str | None = None


class _Custom(Struct):
    name: Annotated[str, Meta(min_length=1)]
    input: str = ""


class _ToolCall(Struct):
    id: str | None = None
    function: _Function | None = None
    custom: _Custom | None = None
    extra_content: GoogleExtra | None = None
    cache_control: CacheControl | None = None


class _PastAudio(Struct):
    id: str


class Message(Struct):
    """A message as clients send it."""

    role: str
    content: str | list[_Part | str] | None = None
    name: str | None = None
    refusal: str | None = None
    audio: _PastAudio | None = None
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: str | None = None
    function_call: _Function | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    thinking_blocks: list[ThinkingBlock] | None = None
    provider_blocks: list[ProviderBlock] | None = None
    extra_content: GoogleExtra | None = None
    cache_control: CacheControl | None = None


def cache(control: CacheControl | None, where: str) -> Cache | None:
    """How long to keep the prompt up to here. Raises `InvalidRequest` for a time that does not exist."""
    if control is None:
        return None
    match control.ttl:
        case None | "5m":
            return "5m"
        case "1h":
            return "1h"
        case _:
            raise invalid_value(f"{where}.cache_control.ttl", "it is 5m or 1h")


def parts(message: Message, where: str) -> list[Part]:
    """What a message of any side says."""
    found: list[Part] = []
    content = message.content
    if isinstance(content, str):
        found.append(Text(text=content, cache=cache(message.cache_control, where)))
        return found
    last = len(content or ()) - 1
    for at, part in enumerate(content or ()):
        place = f"{where}.content[{at}]"
        if isinstance(part, str):
            found.append(Text(text=part))
            continue
        control = part.cache_control or (message.cache_control if at == last else None)
        found.append(_part(part, place, cache(control, place)))
    return found


def result_parts(message: Message, where: str) -> Iterator[Text | Media | Foreign]:
    """What a tool gave."""
    for part in parts(message, where):
        if not isinstance(part, Text | Media):
            raise invalid_value(f"{where}.content", "a tool's result is text, pictures or files")
        yield part


def assistant_parts(message: Message, where: str, *, legacy_id: str) -> list[Part]:
    """What a model said, in the order in which it said it."""
    if message.audio is not None:
        raise invalid_value(f"{where}.audio", "sound that a model made is known only to OpenAI")
    said = [part for part in parts(message, where) if not (isinstance(part, Text) and not part.text)]
    if message.refusal:
        said.append(Refusal(text=message.refusal))
    if (extra := message.extra_content) is not None and (signature := extra.signature) is not None:
        said = _signed(said, signature)
    calls = [
        _tool_call(call, f"{where}.tool_calls[{at}]") for at, call in enumerate(message.tool_calls or ())
    ]
    if (function := message.function_call) is not None:
        calls.append(ToolCall(id=legacy_id, name=function.name, arguments=function.arguments or ""))
    blocks = [block.placed() for block in message.thinking_blocks or ()]
    blocks += [block.placed() for block in message.provider_blocks or ()]
    if not message.thinking_blocks and (reasoning := message.reasoning_content or message.reasoning):
        said.insert(0, Thinking(text=reasoning))
    return in_their_places(blocks, said, calls)


def _signed(said: list[Part], signature: str) -> list[Part]:
    for at in range(len(said) - 1, -1, -1):
        if isinstance(part := said[at], Text):
            said[at] = Text(text=part.text, cache=part.cache, signature=signature)
            return said
    return [*said, Text(text="", signature=signature)]


def _tool_call(call: _ToolCall, where: str) -> ToolCall:
    extra = call.extra_content
    signature = extra.signature if extra else None
    control = cache(call.cache_control, where)
    if call.custom is not None:
        name, arguments = call.custom.name, call.custom.input
    elif call.function is not None:
        name, arguments = call.function.name, call.function.arguments or ""
    else:
        raise invalid_value(where, "it calls nothing")
    if not call.id:
        raise InvalidRequest(
            "missing_required_parameter", f"Missing required parameter: '{where}.id'.", param=f"{where}.id"
        )
    return ToolCall(
        id=call.id,
        name=name,
        arguments=arguments,
        kind="function" if call.custom is None else "custom",
        signature=signature,
        cache=control,
    )


def _part(part: _Part, where: str, kept: Cache | None) -> Part:
    match part:
        case _Part(type="text" | "input_text" | "output_text", text=str(text)):
            return Text(text=text, cache=kept)
        case _Part(type="refusal", refusal=str(text)):
            return Refusal(text=text)
        case _Part(type="thinking", thinking=list() | str() as thought):
            return Thinking(text=thought if isinstance(thought, str) else "".join(t.text for t in thought))
        case _:
            return _media(part, where, kept)


def _media(part: _Part, where: str, kept: Cache | None) -> Media:
    match part:
        case _Part(type="image_url", image_url=_Url() | str() as image):
            image = _Url(image) if isinstance(image, str) else image
            return _linked(image, "image", f"{where}.image_url.url", kept)
        case _Part(type="video_url", video_url=_Url() as video):
            return _linked(video, "video", f"{where}.video_url.url", kept)
        case _Part(type="input_audio", input_audio=_Audio() as audio):
            place = f"{where}.input_audio"
            kind = media.media_type(f"audio/{audio.format}", f"{place}.format")
            data = media.base64_text(audio.data, f"{place}.data")
            return Media(kind="audio", media_type=kind, data=data, cache=kept)
        case _Part(type="file", file=_File() as file):
            return _file(file, f"{where}.file", kept)
        case _:
            raise invalid_value(where, f"it is no whole content part of a known type, but '{part.type}'")


def _linked(link: _Url, kind: MediaKind, where: str, kept: Cache | None) -> Media:
    if link.url[:5].lower() != "data:":
        return Media(kind=kind, url=link.url, detail=link.detail, cache=kept)
    media_type, data = media.data_uri(link.url, where)
    return Media(
        kind=media.kind_of(media_type), media_type=media_type, data=data, detail=link.detail, cache=kept
    )


def _file(file: _File, where: str, kept: Cache | None) -> Media:
    if file.file_data is None:
        if file.file_id is None:
            raise invalid_value(where, "it has neither file_data nor file_id")
        return Media(kind="document", file_id=file.file_id, name=file.filename, cache=kept)
    place = f"{where}.file_data"
    if file.file_data[:5].lower() == "data:":
        media_type, data = media.data_uri(file.file_data, place)
    else:
        media_type = media.media_type(media.type_of_file(file.filename) or "", place)
        data = media.base64_text(file.file_data, place)
    return Media(
        kind=media.kind_of(media_type), media_type=media_type, data=data, name=file.filename, cache=kept
    )
