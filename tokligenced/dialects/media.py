"""Files inside requests: data URIs taken apart, base64 and media types checked.

https://www.rfc-editor.org/rfc/rfc2397
"""

import binascii
import mimetypes
import re
from typing import NoReturn

from tokligenced.dialects.conversation import MediaKind
from tokligenced.errors import invalid_value

# Sound and pictures take many more bytes for a token than text does.
BASE64_PER_BYTE = 300

_DATA_URI = re.compile(r"data:(?P<type>[^;,]*)(?:;[^;,]+)*?;base64,", re.IGNORECASE)
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")
_URL_SAFE = str.maketrans("-_", "+/")


def data_uri(uri: str, param: str) -> tuple[str, str]:
    """Media type and base64 of a data URI. Raises `InvalidRequest` for one that can't be read."""
    head = _DATA_URI.match(uri)
    if head is None:
        _refuse("is no data URI in base64", param)
    return media_type(head["type"], param), base64_text(uri[head.end() :], param)


def media_type(name: str, param: str) -> str:
    """The name in small letters. Raises `InvalidRequest` for what is no media type."""
    name = name.strip().lower()
    if _MEDIA_TYPE.fullmatch(name) is None:
        _refuse("has no media type", param)
    return {"image/jpg": "image/jpeg", "audio/mp3": "audio/mpeg", "audio/x-wav": "audio/wav"}.get(name, name)


def base64_text(text: str, param: str) -> str:
    """The base64 as all providers take it. Raises `InvalidRequest` for what can't be decoded or is empty."""
    if "-" in text or "_" in text:
        text = text.translate(_URL_SAFE)
    if missing := -len(text) % 4:
        text += "=" * missing
    try:
        empty = not binascii.a2b_base64(text, strict_mode=True)
    except ValueError:  # also for what is not ASCII
        empty = True
    if empty:
        _refuse("holds no valid base64", param)
    return text


def kind_of(name: str) -> MediaKind:
    """What sort of thing a media type is."""
    match name.partition("/")[0]:
        case "image":
            return "image"
        case "audio":
            return "audio"
        case "video":
            return "video"
        case _:
            return "document"


def type_of_file(name: str | None) -> str | None:
    """The media type that a file's name suggests."""
    return mimetypes.guess_type(name)[0] if name else None


def _refuse(reason: str, param: str) -> NoReturn:
    raise invalid_value(param, f"it {reason}")
