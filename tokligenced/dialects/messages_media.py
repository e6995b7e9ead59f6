"""Pictures and documents as Anthropic's Messages take them.

https://platform.claude.com/docs/en/build-with-claude/vision
https://platform.claude.com/docs/en/build-with-claude/pdf-support
"""

import base64
import binascii
import string
from collections.abc import Mapping

from msgspec import Struct

from tokligenced.dialects.conversation import Cache, Media, Target
from tokligenced.errors import invalid_value


class CacheControl(Struct, frozen=True, tag_field="type", tag="ephemeral", omit_defaults=True):
    """Keep the prompt up to here; five minutes where `ttl` is None."""

    ttl: Cache | None = None


CACHES: Mapping[Cache | None, CacheControl | None] = {
    None: None,
    "5m": CacheControl(),
    "1h": CacheControl(ttl="1h"),
}


class Source(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the bytes are: `type` is `base64`, `text`, `url` or `file`."""

    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None


class ImageBlock(Struct, frozen=True, tag_field="type", tag="image", omit_defaults=True):
    """A picture."""

    source: Source
    cache_control: CacheControl | None = None


class DocumentBlock(Struct, frozen=True, tag_field="type", tag="document", omit_defaults=True):
    """A document."""

    source: Source
    title: str | None = None
    cache_control: CacheControl | None = None


_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
# How the base64 of a file begins tells what it is, whatever its sender says it is; Anthropic looks too.
_BEGINNINGS = (
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
    ("JVBERi0", "application/pdf"),
)
_TEXTS = frozenset({"application/json", "application/xml", "application/yaml", "application/x-yaml"})
_BASE64 = (string.ascii_letters + string.digits + "+/").encode()


def block_of(media: Media, param: str, target: Target) -> ImageBlock | DocumentBlock:
    """The block for a medium. Raises `InvalidRequest` naming `param` for one that is not taken."""
    cache = CACHES[media.cache]
    match media.kind:
        case "image":
            return ImageBlock(_image(media, param), cache)
        case "document":
            return DocumentBlock(_document(media, param, target), media.name, cache)
        case _:
            raise target.cannot(param, f"{media.kind} input is not supported")


def _image(media: Media, param: str) -> Source:
    if media.data is None:
        return _elsewhere(media)
    declared = (media.media_type or "").replace("image/jpg", "image/jpeg")
    kind = _looks_like(media.data) or declared
    if kind not in _IMAGES:
        raise invalid_value(param, f"images are JPEG, PNG, GIF or WebP, not '{kind or 'unknown'}'")
    return Source(type="base64", media_type=kind, data=_base64(media.data, param))


def _document(media: Media, param: str, target: Target) -> Source:
    if media.data is None:
        return _elsewhere(media)
    kind = _looks_like(media.data) or (media.media_type or "").partition(";")[0].strip()
    data = _base64(media.data, param)
    if kind == "application/pdf":
        return Source(type="base64", media_type=kind, data=data)
    if not kind.startswith("text/") and kind not in _TEXTS:
        raise target.cannot(param, f"documents of the type '{kind or 'unknown'}' are not supported")
    try:
        text = base64.b64decode(data).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise invalid_value(param, "the document is not UTF-8 text") from None
    return Source(type="text", media_type="text/plain", data=text)


def _elsewhere(media: Media) -> Source:
    if media.url is not None:
        return Source(type="url", url=media.url)
    return Source(type="file", file_id=media.file_id)


def _looks_like(data: str) -> str | None:
    return next((kind for beginning, kind in _BEGINNINGS if data.startswith(beginning)), None)


def _base64(data: str, param: str) -> str:
    """The data with its padding; only what can be base64 passes, without being decoded here."""
    digits = data.rstrip("=")
    if not digits.isascii() or digits.encode().translate(None, _BASE64) or len(digits) % 4 == 1:
        raise invalid_value(param, "the data is not base64")
    return digits + "=" * (-len(digits) % 4)
