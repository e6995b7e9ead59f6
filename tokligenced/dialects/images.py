"""OpenAI's image generation: requests read, answers checked and counted while they pass.

https://platform.openai.com/docs/api-reference/images
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct, structs

from tokligenced.dialects import body as json_body
from tokligenced.dialects.chat_answers import read_error
from tokligenced.dialects.media import BASE64_PER_BYTE
from tokligenced.dialects.openai_usage import ABSURD
from tokligenced.dialects.tasks import Answer, Name, Text, check_name, size_of
from tokligenced.dialects.wire_error import UNREADABLE, ErrorInside, not_the_dialect
from tokligenced.domain import Call, Usage
from tokligenced.errors import InvalidRequest


class Request(Struct, frozen=True, kw_only=True):
    """What to draw. Values that differ from vendor to vendor (`size`, `quality`, …) are left to them."""

    model: Name
    prompt: Text
    n: Annotated[int, Meta(ge=1, le=10)] | None = None
    size: str | None = None
    quality: str | None = None
    style: str | None = None
    background: str | None = None
    moderation: str | None = None
    output_format: str | None = None
    output_compression: Annotated[int, Meta(ge=0, le=100)] | None = None
    response_format: Literal["url", "b64_json"] | None = None
    user: str | None = None
    stream: bool | None = None


_read_request = msgspec.json.Decoder(Request)


def parse(body: bytes, *, call_id: str = "", at: int = 0) -> Call:
    """Read a request, which came at a Unix millisecond. Raises `InvalidRequest` naming the field at fault."""
    members = json_body.members(body)
    request = json_body.decode(_read_request, body)
    check_name(request.model)
    if request.stream:
        raise InvalidRequest("unsupported_parameter", "Images can't be streamed here.", param="stream")
    return Call(
        dialect="images",
        model=request.model,
        body=body,
        id=call_id,
        at=at,
        members=members,
        choices=request.n or 1,
        text_bytes=size_of(request.prompt),
        draws=True,
    )


def read(call: Call) -> Request:
    """The request of a call, which `parse` has read before."""
    return _read_request.decode(call.body)


class _Details(Struct):
    """Parts of a number of tokens; those of a prompt may have been in a cache."""

    text_tokens: float | None = None
    image_tokens: float | None = None
    cached_tokens: float | None = None


class _WireUsage(Struct):
    """What the upstream counted: not by the image but in tokens, as GPT Image does."""

    input_tokens: float | None = None
    output_tokens: float | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None

    @property
    def silent(self) -> bool:
        """Whether it says nothing."""
        return self.input_tokens is None and self.output_tokens is None


class _Image(Struct):
    url: str | None = None
    b64_json: Raw = Raw(b"null")


class _Images(Struct):
    data: list[_Image] | None = None
    usage: Any = None
    error: Any = None


_read_images = msgspec.json.Decoder(_Images)


def read_answer(data: bytes) -> Answer:
    """The answer of an upstream of this dialect, which passes byte for byte. Raises `UpstreamFailed`."""
    try:
        answer = _read_images.decode(data)
    except UNREADABLE:
        raise not_the_dialect("a list of images") from None
    if answer.error is not None:
        raise ErrorInside(read_error(data))
    size = 0
    for image in answer.data or ():
        picture = bytes(image.b64_json)
        if picture.startswith(b'"') and picture != b'""':
            size += len(picture)
        elif not image.url:
            raise not_the_dialect("an image")
    if not answer.data:
        raise not_the_dialect("an image")
    told: Usage | None = None
    disbelieved = False
    if answer.usage is not None:
        try:
            wire = msgspec.convert(answer.usage, _WireUsage)
        except msgspec.ValidationError:
            disbelieved = True
        else:
            told = _usage_of(wire, len(answer.data))
            disbelieved = told is None and not wire.silent
    return _counted(data, len(answer.data), size, told, disbelieved=disbelieved)


def _counted(body: bytes, images: int, size: int, told: Usage | None, *, disbelieved: bool) -> Answer:
    """`body` with what was counted: so many images, and tokens as told or by their `size` in base64."""
    return Answer(
        body=body,
        usage=told or Usage(images=images, estimated=True),
        disbelieved=disbelieved,
        delivered=size // BASE64_PER_BYTE,
    )


def written(
    call: Call, pictures: Sequence[str], media_type: str | None, told: Usage | None, *, disbelieved: bool
) -> Answer:
    """The answer, written in this dialect: pictures in base64, which are of `media_type`."""
    answer: dict[str, Any] = {
        "created": call.at // 1000,
        "data": [{"b64_json": picture} for picture in pictures],
    }
    if media_type is not None:
        answer["output_format"] = media_type.removeprefix("image/")
    if told is not None:
        answer["usage"] = {
            "total_tokens": told.total_tokens,
            "input_tokens": told.prompt_tokens,
            "output_tokens": told.completion_tokens,
            "input_tokens_details": {
                "text_tokens": told.prompt_tokens - told.image_in,
                "image_tokens": told.image_in,
            },
        }
        told = structs.replace(told, images=len(pictures))
    size = sum(map(len, pictures))
    return _counted(msgspec.json.encode(answer), len(pictures), size, told, disbelieved=disbelieved)


def _usage_of(wire: _WireUsage, images: int) -> Usage | None:
    """The disjoint parts of what the upstream counted; None when it counted nothing believable.

    What comes out is pictures, unless the upstream says that some of it was text.
    """
    if wire.silent:
        return None
    taken, made = wire.input_tokens_details or _Details(), wire.output_tokens_details or _Details()
    numbers = (
        wire.input_tokens or 0,
        wire.output_tokens or 0,
        taken.image_tokens or 0,
        taken.cached_tokens or 0,
        made.text_tokens or 0,
    )
    if min(numbers) < 0 or max(numbers) > ABSURD:
        return None
    prompt, completion, image_in, cached, text = map(int, numbers)
    cached = min(cached, prompt)
    image_in = min(image_in, prompt - cached)
    text = min(text, completion)
    return Usage(
        input=prompt - cached - image_in,
        cached_input=cached,
        image_in=image_in,
        output=text,
        image_out=completion - text,
        images=images,
    )
