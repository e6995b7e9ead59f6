"""What an upstream said went wrong, in whatever dialect it spoke."""

import msgspec
from msgspec import Struct

from tokligenced.errors import UpstreamFailed

# What decoding bytes that are not what they should be raises.
UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


class WireError(Struct, frozen=True):
    """An upstream's own account of an error; `code` and `type` are its own words.

    `retry_after` is in seconds, None where the body does not tell.
    """

    message: str = ""
    type: str | None = None
    param: str | None = None
    code: str | int | None = None
    retry_after: float | None = None


NOTHING_SAID = WireError()


class ErrorInside(UpstreamFailed):
    """An error where an answer was due, after a status that promised one."""

    def __init__(self, error: WireError) -> None:
        super().__init__(
            "upstream_error", "The provider reported an error instead of an answer.", safe_to_retry=False
        )
        self.error = error


def not_the_dialect(what: str) -> UpstreamFailed:
    """The failure of an upstream that sent something which is not its own dialect."""
    return UpstreamFailed("upstream_error", f"The provider sent what is not {what}.", safe_to_retry=False)


def incomplete() -> UpstreamFailed:
    """The failure of an upstream whose answer ended too early."""
    return UpstreamFailed(
        "upstream_error", "The provider's answer ended before it was complete.", safe_to_retry=False
    )


def utf8(data: bytes) -> bytes:
    """The same bytes. Raises `UpstreamFailed` where they are not UTF-8, which all dialects are."""
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            raise not_the_dialect("UTF-8") from None
    return data
