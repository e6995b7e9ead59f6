"""Errors as Google's APIs tell them.

https://cloud.google.com/apis/design/errors
"""

import math

import msgspec
from msgspec import Raw, Struct

from tokligenced.dialects.wire_error import NOTHING_SAID, UNREADABLE, WireError


class _Detail(Struct, rename="camel", gc=False):
    reason: str | None = None
    retry_delay: str | None = None


class _Error(Struct):
    message: str = ""
    status: str | None = None
    code: int | str | None = None
    details: list[_Detail] | None = None


class _ErrorBody(Struct):
    error: _Error | str


_read_error_body = msgspec.json.Decoder(_ErrorBody | list[_ErrorBody]).decode
_read_error = msgspec.json.Decoder(_Error | str | None).decode


def read_error(body: bytes) -> WireError:
    """Read an error body, which may stand in an array. Empty where it can't be read."""
    try:
        read = _read_error_body(body)
    except UNREADABLE:
        return NOTHING_SAID
    if isinstance(read, list):
        return _wire_error(read[0].error) if read else NOTHING_SAID
    return _wire_error(read.error)


def read_inside(error: Raw) -> WireError | None:
    """Read an error inside an answer; None for null. Raises `msgspec.DecodeError` for what is none."""
    read = _read_error(error)
    return None if read is None else _wire_error(read)


def _wire_error(error: _Error | str) -> WireError:
    """The code is Google's reason where it gives one, else its status."""
    if isinstance(error, str):
        return WireError(message=error)
    details = error.details or ()
    code = next((each.reason for each in details if each.reason), None) or error.status or error.code
    delay = next((each.retry_delay for each in details if each.retry_delay), "")
    return WireError(
        message=error.message,
        type=error.status,
        code=code,
        retry_after=_seconds(delay),
    )


def _seconds(duration: str) -> float | None:
    """The seconds of a Protobuf duration such as `34.4s`."""
    try:
        seconds = float(duration.removesuffix("s"))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
