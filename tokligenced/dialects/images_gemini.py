"""Images of Google's models: Imagen's by `:predict`, Gemini's own as parts of a `:generateContent`.

https://ai.google.dev/gemini-api/docs/imagen, https://ai.google.dev/gemini-api/docs/image-generation
"""

import re
from typing import Any

import msgspec
from msgspec import Struct

from tokligenced.dialects import images
from tokligenced.dialects.conversation import Target
from tokligenced.dialects.gemini_errors import read_error
from tokligenced.dialects.gemini_usage import WireUsage, usage_of
from tokligenced.dialects.images import Request
from tokligenced.dialects.tasks import Answer
from tokligenced.dialects.wire_error import UNREADABLE, ErrorInside, not_the_dialect
from tokligenced.domain import Call, Usage
from tokligenced.errors import InvalidRequest

_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")
_IMAGEN_RATIOS = ("1:1", "3:4", "4:3", "9:16", "16:9")
_GEMINI_RATIOS = (*_IMAGEN_RATIOS, "2:3", "3:2", "4:5", "5:4", "21:9")
# So far a shape may be from the one asked for: OpenAI's 1792x1024 is almost 16:9.
_TOLERANCE = 0.02
_LARGE = 2048
_MOST_IMAGES = 4
_FORMATS = {"png": "image/png", "jpeg": "image/jpeg"}


def is_imagen(model: str) -> bool:
    """Whether a model of Google's is one that only draws."""
    return model.removeprefix("models/").startswith("imagen")


def imagen_request(call: Call, target: Target) -> bytes:
    """The request for `:predict`. Raises `InvalidRequest` for what Imagen has nothing like."""
    request = images.read(call)
    _refuse(request, target)
    if call.choices > _MOST_IMAGES:
        raise target.cannot("n", f"'n' must not be more than {_MOST_IMAGES}")
    parameters: dict[str, Any] = {"sampleCount": call.choices}
    if shape := _shape(request, target, _IMAGEN_RATIOS):
        parameters["aspectRatio"], large = shape
        if large:
            parameters["sampleImageSize"] = "2K"
    output: dict[str, Any] = {}
    if request.output_format is not None:
        if request.output_format not in _FORMATS:
            raise target.cannot("output_format", f"'output_format' must be one of {', '.join(_FORMATS)}")
        output["mimeType"] = _FORMATS[request.output_format]
    if request.output_compression is not None:
        output["compressionQuality"] = request.output_compression
    if output:
        parameters["outputOptions"] = output
    return msgspec.json.encode({"instances": [{"prompt": request.prompt}], "parameters": parameters})


def gemini_request(call: Call, target: Target) -> bytes:
    """The request for `:generateContent`. Raises `InvalidRequest` for what Gemini has nothing like."""
    request = images.read(call)
    _refuse(request, target)
    if call.choices > 1:
        raise target.cannot("n", "'n' must be 1")
    if request.output_format not in {None, "png"}:
        raise target.cannot("output_format")
    if request.output_compression not in {None, 100}:
        raise target.cannot("output_compression")
    config: dict[str, Any] = {"responseModalities": ["TEXT", "IMAGE"]}
    if shape := _shape(request, target, _GEMINI_RATIOS):
        ratio, large = shape
        config["imageConfig"] = {"aspectRatio": ratio} | ({"imageSize": "2K"} if large else {})
    contents = [{"role": "user", "parts": [{"text": request.prompt}]}]
    return msgspec.json.encode({"contents": contents, "generationConfig": config})


def _refuse(request: Request, target: Target) -> None:
    if request.response_format == "url":
        raise target.cannot("response_format", "images come as 'b64_json' only")
    for name, value, usual in (
        ("quality", request.quality, {"auto", "standard", "medium"}),
        ("style", request.style, set[str]()),
        ("background", request.background, {"auto", "opaque"}),
    ):
        if value is not None and value not in usual:
            raise target.cannot(name, f"'{name}' can't be {value!r}")


def _shape(request: Request, target: Target, ratios: tuple[str, ...]) -> tuple[str, bool] | None:
    """The aspect ratio, and whether it shall be larger than usual; None where the model may choose."""
    if request.size in {None, "auto"}:
        return None
    found = _SIZE.fullmatch(request.size or "")
    if found is None:
        raise InvalidRequest(
            "invalid_value", "Invalid value for 'size': it must be WIDTHxHEIGHT.", param="size"
        )
    width, height = map(int, found.groups())
    for ratio in ratios:
        across, down = map(int, ratio.split(":"))
        if abs(width * down / (height * across) - 1) <= _TOLERANCE:
            return ratio, max(width, height) >= _LARGE
    raise target.cannot("size", f"'size' must have one of the shapes {', '.join(ratios)}")


class _Prediction(Struct, rename="camel"):
    bytes_base64_encoded: str | None = None
    mime_type: str | None = None
    rai_filtered_reason: str | None = None


class _Predictions(Struct):
    predictions: list[_Prediction] | None = None
    error: Any = None


class _Blob(Struct, rename="camel"):
    data: str
    mime_type: str | None = None


class _Part(Struct, rename="camel"):
    inline_data: _Blob | None = None
    thought: bool | None = None


class _Content(Struct):
    parts: list[_Part] = []


class _Candidate(Struct, rename="camel"):
    content: _Content | None = None
    finish_reason: str | None = None


class _Feedback(Struct, rename="camel"):
    block_reason: str | None = None


class _Generated(Struct, rename="camel"):
    candidates: list[_Candidate] = []
    prompt_feedback: _Feedback | None = None
    usage_metadata: Any = None
    error: Any = None


_read_predictions = msgspec.json.Decoder(_Predictions)
_read_generated = msgspec.json.Decoder(_Generated)


def read_predictions(data: bytes, call: Call) -> Answer:
    """Imagen's answer. Raises `UpstreamFailed`, or `InvalidRequest` (`content_filter`)."""
    try:
        answer = _read_predictions.decode(data)
    except UNREADABLE:
        raise not_the_dialect("a list of images") from None
    if answer.error is not None:
        raise ErrorInside(read_error(data))
    # Imagen leaves out what its filters caught, and says so only when asked to; of nothing `{}` is left.
    if answer.predictions is None and data.strip(b" \t\r\n{}"):
        raise not_the_dialect("a list of images")
    predictions = answer.predictions or []
    drawn = [each for each in predictions if each.bytes_base64_encoded]
    if not drawn:
        reasons = [each.rai_filtered_reason for each in predictions if each.rai_filtered_reason]
        raise _filtered(reasons[0] if reasons else "")
    pictures = [each.bytes_base64_encoded or "" for each in drawn]
    return images.written(call, pictures, drawn[0].mime_type, None, disbelieved=False)


def read_generated(data: bytes, call: Call) -> Answer:
    """Gemini's answer. Raises `UpstreamFailed`, or `InvalidRequest` (`content_filter`)."""
    try:
        answer = _read_generated.decode(data)
    except UNREADABLE:
        raise not_the_dialect("an answer with an image") from None
    if answer.error is not None:
        raise ErrorInside(read_error(data))
    parts = [part for each in answer.candidates if each.content for part in each.content.parts]
    # A model that thinks in pictures shows drafts, which are not what was asked for.
    drawn = [part.inline_data for part in parts if part.inline_data and not part.thought]
    if not drawn or not all(blob.data for blob in drawn):
        blocked = answer.prompt_feedback.block_reason if answer.prompt_feedback else None
        stopped = [each.finish_reason for each in answer.candidates if each.finish_reason != "STOP"]
        if reason := blocked or next(filter(None, stopped), None):
            raise _filtered(reason)
        raise not_the_dialect("an answer with an image")
    told: Usage | None = None
    disbelieved = False
    if answer.usage_metadata is not None:
        try:
            wire = msgspec.convert(answer.usage_metadata, WireUsage)
        except msgspec.ValidationError:
            disbelieved = True
        else:
            told = usage_of(wire)
            disbelieved = told is None and not wire.silent
    pictures = [blob.data for blob in drawn]
    return images.written(call, pictures, drawn[0].mime_type, told, disbelieved=disbelieved)


def _filtered(reason: str) -> InvalidRequest:
    because = f": {reason}" if reason else ""
    return InvalidRequest("content_filter", f"The provider's filters let no image pass{because}.")
