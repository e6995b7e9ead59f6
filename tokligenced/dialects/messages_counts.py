"""Anthropic's counting of tokens: its answers, which pass as they are.

https://platform.claude.com/docs/en/api/messages-count-tokens
"""

from typing import Annotated, NoReturn

import msgspec
from msgspec import Meta, Struct

from tokligenced.dialects.conversation import AnswerReader, Counted, Event
from tokligenced.dialects.wire_error import UNREADABLE, not_the_dialect
from tokligenced.domain import Usage


class _Count(Struct):
    input_tokens: Annotated[int, Meta(ge=0)]


_read = msgspec.json.Decoder(_Count)
_WHAT = "a count of tokens"


class Reader(AnswerReader):
    """Reads one answer; not shared. Counting uses nothing up."""

    disbelieved = False

    def event(self, _data: bytes) -> NoReturn:
        """A count is never streamed."""
        raise not_the_dialect(_WHAT)

    def whole(self, body: bytes) -> list[Event]:
        """The whole answer."""
        try:
            _read.decode(body)
        except UNREADABLE:
            raise not_the_dialect(_WHAT) from None
        return [Counted(Usage())]

    def end(self) -> NoReturn:
        """A count is never streamed."""
        raise not_the_dialect(_WHAT)
