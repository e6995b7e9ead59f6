"""What OpenAI Responses' messages and tool outputs hold, read into the hub's parts.

https://platform.openai.com/docs/api-reference/responses/create#responses-create-input
"""

from collections.abc import Iterator, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from tokligenced.dialects import media
from tokligenced.dialects.conversation import Media, MediaKind, Refusal, Text
from tokligenced.errors import InvalidRequest


class _Audio(Struct):
    data: str
    format: Annotated[str, Meta(min_length=1, max_length=20)]


class Part(Struct):
    """A content part as clients send it."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None
    input_audio: _Audio | None = None


Content = str | list[Part | str]


def parts(content: Content | None, where: str) -> Iterator[Text | Refusal | Media]:
    """What a message says. Raises `InvalidRequest` naming the part at fault."""
    if isinstance(content, str):
        yield Text(text=content)
        return
    for at, part in enumerate(content or ()):
        if isinstance(part, str):
            yield Text(text=part)
        else:
            yield _part(part, f"{where}[{at}]")


def result_parts(output: Content | None, where: str) -> Iterator[Text | Media]:
    """What a tool gave."""
    for part in parts(output, where):
        if isinstance(part, Refusal):
            raise invalid(where, "a tool's output is text, pictures or files")
        yield part


def reasoning(content: Sequence[Part | str] | str | None) -> str:
    """The text of a summary, or of the reasoning itself."""
    if isinstance(content, str):
        return content
    return "\n\n".join(part if isinstance(part, str) else part.text or "" for part in content or ())


def _part(part: Part, where: str) -> Text | Refusal | Media:
    match part:
        case Part(type="input_text" | "output_text" | "text" | "summary_text", text=str(text)):
            return Text(text=text)
        case Part(type="refusal", refusal=str(text)):
            return Refusal(text=text)
        case Part(type="input_image", image_url=str(url)):
            return _linked(url, f"{where}.image_url", "image", detail=part.detail)
        case Part(type="input_image", file_id=str(file_id)):
            return Media(kind="image", file_id=file_id, detail=part.detail)
        case Part(type="input_audio", input_audio=_Audio() as audio):
            return Media(
                kind="audio",
                media_type=media.media_type(f"audio/{audio.format}", f"{where}.input_audio.format"),
                data=media.base64_text(audio.data, f"{where}.input_audio.data"),
            )
        case Part(type="input_file"):
            return _file(part, where)
        case _:
            raise invalid(f"{where}.type", f"it is no whole content part of a known type, but '{part.type}'")


def _file(part: Part, where: str) -> Media:
    if part.file_data is not None:
        place = f"{where}.file_data"
        if part.file_data[:5].lower() == "data:":
            return _linked(part.file_data, place, "document", name=part.filename)
        media_type = media.media_type(media.type_of_file(part.filename) or "", f"{where}.filename")
        data = media.base64_text(part.file_data, place)
        return Media(kind=media.kind_of(media_type), media_type=media_type, data=data, name=part.filename)
    if part.file_url is not None:
        return _linked(part.file_url, f"{where}.file_url", "document", name=part.filename)
    if part.file_id is not None:
        return Media(kind="document", file_id=part.file_id, name=part.filename)
    raise invalid(where, "it has neither file_data nor file_url nor file_id")


def _linked(
    url: str, where: str, kind: MediaKind, *, name: str | None = None, detail: str | None = None
) -> Media:
    if url[:5].lower() != "data:":
        return Media(kind=kind, url=url, name=name, detail=detail)
    media_type, data = media.data_uri(url, where)
    return Media(kind=media.kind_of(media_type), media_type=media_type, data=data, name=name, detail=detail)


def invalid(param: str, reason: str) -> InvalidRequest:
    """The refusal of a value."""
    return InvalidRequest("invalid_value", f"Invalid value for '{param}': {reason}.", param=param)
