"""JSON request bodies: checked once, read selectively, changed in place.

A body is never built anew: a changed member's bytes are put where the old ones were, all others stay as
the client sent them, order and white space included. https://www.rfc-editor.org/rfc/rfc8259
"""

import re
from collections.abc import Mapping
from typing import NoReturn, TypeVar

import msgspec

from tokligenced.errors import InvalidRequest

Members = Mapping[str, tuple[int, int]]
T = TypeVar("T")

# Smaller members are decoded whole, which finds what skipping does not (numbers beyond a double);
# larger ones, the conversation itself, are checked for syntax and left as bytes.
_SMALL = 4096
# Far more than any API has; walking millions would hold everybody up.
_MOST_MEMBERS = 1000

# Possessive, so that a name of many megabytes is walked without a memory of each step.
_NAME = re.compile(rb'[ \t\r\n]*"[^"\\]*+(?:\\.[^"\\]*+)*+"[ \t\r\n]*:[ \t\r\n]*')
_COMMA = re.compile(rb"[ \t\r\n]*,")
_OPEN = re.compile(rb"[ \t\r\n]*\{")
_CLOSE = re.compile(rb"[ \t\r\n]*\}[ \t\r\n]*\Z")

_raw_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_anything = msgspec.json.Decoder()


def members(body: bytes) -> dict[str, tuple[int, int]]:
    """Where each top-level member's value begins and ends in `body`.

    Raises `InvalidRequest` (`invalid_json`) when the body is not one JSON object in UTF-8, nests too
    deeply, names a member twice, or holds a number that no double can.
    """
    try:
        if not body.isascii():
            body.decode()
        raws = _raw_members.decode(body)
        if len(raws) > _MOST_MEMBERS:
            _refuse("it has too many members")
        found: dict[str, tuple[int, int]] = {}
        at = _end(_OPEN, body, 0)
        for name, raw in raws.items():
            if found:
                at = _end(_COMMA, body, at)
            start = _end(_NAME, body, at)
            value = bytes(raw)
            at = start + len(value)
            if body[start:at] != value:
                _refuse("a member is named twice")
            if len(value) <= _SMALL:
                _anything.decode(value)
            found[name] = (start, at)
        _end(_CLOSE, body, at)
    except RecursionError:
        _refuse("it nests too deeply")
    except UnicodeDecodeError:
        _refuse("it is not UTF-8")
    except msgspec.DecodeError as error:
        _refuse(str(error))
    return found


def _end(pattern: re.Pattern[bytes], body: bytes, at: int) -> int:
    # Members are walked in the order they were decoded in; where the text goes on differently, the
    # decoder folded two members of one name into one.
    match = pattern.match(body, at)
    if match is None:
        _refuse("a member is named twice")
    return match.end()


def _refuse(reason: str) -> NoReturn:
    raise InvalidRequest("invalid_json", f"The request body is not a JSON object: {reason}.")


def changed(body: bytes, where: Members, changes: Mapping[str, bytes]) -> bytes:
    """The body with the members in `changes` (JSON values) put in place, or at the end where they are new."""
    if len(changes) == 1:
        ((name, value),) = changes.items()
        if (span := where.get(name)) is not None:
            return b"".join((body[: span[0]], value, body[span[1] :]))
    pieces: list[bytes] = []
    at = 0
    added = [name for name in changes if name not in where]
    for (start, end), value in sorted((where[name], changes[name]) for name in changes if name in where):
        pieces += body[at:start], value
        at = end
    if added:
        last = max((end for _, end in where.values()), default=body.index(b"{") + 1)
        pieces.append(body[at:last])
        at = last
        for position, name in enumerate(added):
            comma = b"," if where or position else b""
            pieces += comma, msgspec.json.encode(name), b":", changes[name]
    pieces.append(body[at:])
    return b"".join(pieces)


def inline_bytes(body: bytes) -> int:
    """How many of the body's bytes are base64 in data URIs.

    https://www.rfc-editor.org/rfc/rfc2397
    """
    total = 0
    at = body.find(_INLINE)
    while at >= 0:
        end = body.find(b'"', at)
        total += end - at
        at = body.find(_INLINE, end)
    return total


_INLINE = b";base64,"

_MISSING = re.compile(r"missing required field `([^`]+)`(?: - at `\$\.?([^`]*)`)?")
_WRONG = re.compile(r" - at `\$\.?([^`]*)`$")


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Read `body` by a typed decoder.

    Raises `InvalidRequest` (`missing_required_parameter` or `invalid_value`) naming the field at fault.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        text = str(error)
        if missing := _MISSING.search(text):
            param = ".".join(part for part in (missing[2], missing[1]) if part)
            raise InvalidRequest(
                "missing_required_parameter", f"Missing required parameter: '{param}'.", param=param
            ) from None
        wrong = _WRONG.search(text)
        param = wrong[1] if wrong else ""
        reason = _WRONG.sub("", text)
        raise InvalidRequest(
            "invalid_value", f"Invalid value for '{param}': {reason}.", param=param or None
        ) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidRequest("invalid_json", f"The request body is not a JSON object: {error}.") from None
