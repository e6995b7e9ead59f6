"""Answers of OpenAI Responses, watched while they pass through untouched.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from tokligenced.dialects import sse
from tokligenced.dialects.responses_events import error_members, failure
from tokligenced.dialects.responses_events import event as written
from tokligenced.dialects.responses_usage import WireUsage, usage_of
from tokligenced.dialects.wire_error import ErrorInside, WireError, incomplete, not_the_dialect
from tokligenced.domain import Usage
from tokligenced.errors import CallError, UpstreamFailed

# Pictures take many more bytes for a token than text does.
_BASE64_PER_BYTE = 300
_LAST = frozenset({"response.completed", "response.incomplete", "response.failed"})
_UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


class _Event(Struct):
    """An event; which member is there depends on the type. An error is told flat or as `error`."""

    type: str = ""
    delta: Any = None
    response: Raw = Raw()
    sequence_number: int | None = None
    partial_image_b64: str | None = None
    error: WireError | str | None = None
    message: str | None = None
    code: str | int | None = None
    param: str | None = None


class _Part(Struct):
    text: str | None = None
    refusal: str | None = None


class _Item(Struct):
    type: str = ""
    content: list[_Part] | None = None
    summary: list[_Part] | None = None
    arguments: Any = None
    input: Any = None
    name: str | None = None
    result: Any = None


class _WebSearch(Struct):
    num_requests: int = 0


class _ToolUsage(Struct):
    web_search: _WebSearch | None = None


class _Response(Struct):
    """A whole answer, as far as it is watched; nonsense for usage does no harm."""

    output: list[_Item] | None = None
    status: str | None = None
    error: WireError | str | None = None
    usage: Any = None
    tool_usage: _ToolUsage | None = None


_read_event = msgspec.json.Decoder(_Event)
_read_response = msgspec.json.Decoder(_Response)
_read_object = msgspec.json.Decoder(dict[str, Raw])


class Watch:
    """Looks at an answer that passes through: usage, ends, errors, and how much was delivered.

    `disbelieved` says that the upstream told a usage that can't be, `complete` that the answer is over by its
    own word. One an exchange, not shared.
    """

    __slots__ = (
        "_next",
        "_response",
        "_splitter",
        "_whole",
        "complete",
        "delivered",
        "disbelieved",
        "told_at",
        "usage",
    )

    def __init__(self, *, stream: bool) -> None:
        self.usage: Usage | None = None
        self.delivered = 0
        self.disbelieved = False
        self.told_at = 0
        self.complete = False
        # What a failure of the gateway's own goes on from.
        self._next = 0
        self._response = b""
        self._splitter = sse.Splitter() if stream else None
        self._whole: list[bytes] = []

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes of the answer, give those that go on to the client.

        Raises `UpstreamFailed` on an error event or on what is not the dialect.
        """
        if self._splitter is None:
            self._whole.append(chunk)
            return b""
        if not (whole := self._splitter.feed(chunk)):
            return whole
        before = self.delivered
        try:
            for data in sse.data_in(whole):
                self._look(data)
        except UpstreamFailed:
            self.delivered = before  # nothing of this piece goes on
            raise
        return whole

    def finish(self) -> bytes:
        """What is left at the end. Raises `UpstreamFailed` when the answer is not whole."""
        if self._splitter is None:
            whole = b"".join(self._whole)
            response = self._read(whole)
            if response.output is None:
                if response.error is not None:
                    raise ErrorInside(_told(response.error))
                raise not_the_dialect("a response")
            self.delivered = sum(map(_size, response.output))
            self._book(response)
            return whole
        rest = self._splitter.flush()
        for data in sse.data_in(rest + b"\n\n") if rest else ():
            self._look(data)
        if not self.complete:
            raise incomplete()
        return rest

    def fail(self, error: CallError) -> bytes:
        """What ends a stream that broke off: the error, and the response as failed, as OpenAI ends one."""
        out = written("error", error_members(error), self._next)
        if not self._response:
            return out
        response = {**_read_object.decode(self._response), "status": "failed", "error": failure(error)}
        return out + written("response.failed", {"response": response}, self._next + 1)

    def _look(self, data: bytes) -> None:
        if data == b"[DONE]":
            return
        try:
            read = _read_event.decode(data)
        except _UNREADABLE:
            raise not_the_dialect("an event of a response") from None
        if read.type == "error" or (read.error is not None and not read.type):
            raise ErrorInside(
                _told(read.error)
                if read.error is not None
                else WireError(message=read.message or "", code=read.code, param=read.param)
            )
        if not read.type:
            raise not_the_dialect("an event of a response")
        if read.sequence_number is not None:
            self._next = read.sequence_number + 1
        if isinstance(read.delta, str):
            self.delivered += _length(read.delta)
        elif read.partial_image_b64 is not None:
            self.delivered += len(read.partial_image_b64) // _BASE64_PER_BYTE
        elif read.type in _LAST:
            self.complete = True
            self._book(self._read(bytes(read.response)))
        elif read.type == "response.created":
            self._response = bytes(read.response)

    def _read(self, response: bytes) -> _Response:
        try:
            return _read_response.decode(response)
        except _UNREADABLE:
            raise not_the_dialect("a response") from None

    def _book(self, response: _Response) -> None:
        if response.usage is None:
            return
        try:
            told = msgspec.convert(response.usage, WireUsage)
        except msgspec.ValidationError:
            self.disbelieved = True
            return
        if not told.silent:
            self.usage = usage_of(told, _searches(response))
            self.told_at = self.delivered
            self.disbelieved = self.usage is None


def _told(error: WireError | str) -> WireError:
    return WireError(message=error) if isinstance(error, str) else error


def _searches(response: _Response) -> int:
    """How many searches of the web there were."""
    if response.tool_usage is not None and response.tool_usage.web_search is not None:
        return response.tool_usage.web_search.num_requests
    return sum([item.type == "web_search_call" for item in response.output or ()])


def _size(item: _Item) -> int:
    """What is delivered in an item, in bytes of text that take as many tokens."""
    texts = [item.name, item.arguments, item.input]
    for part in (*(item.content or ()), *(item.summary or ())):
        texts += part.text, part.refusal
    drawn = len(item.result) // _BASE64_PER_BYTE if isinstance(item.result, str) else 0
    return drawn + sum([_length(text) for text in texts if isinstance(text, str)])


def _length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
