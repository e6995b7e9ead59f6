"""Answers of Anthropic's Messages, whole and streamed, read into the hub's events.

https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

from tokligenced.dialects import messages_usage
from tokligenced.dialects.conversation import AnswerReader, Began, Counted, Ended, Event, Finish, Refused
from tokligenced.dialects.messages_blocks import Block, Delta, Progress, Tools, block_of
from tokligenced.dialects.messages_usage import WireUsage
from tokligenced.dialects.wire_error import UNREADABLE, ErrorInside, WireError, incomplete, not_the_dialect

# What Anthropic's reasons to stop mean. One that is not known is an end like any other; the word goes along.
# https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
FINISHES: Mapping[str, Finish] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}


class _StopDetails(Struct):
    explanation: str | None = None


class _EventDelta(Delta):
    """What an event brings: a piece of a block, or how the message ends."""

    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: _StopDetails | None = None


class _Message(Struct):
    id: str | None = None
    model: str | None = None
    usage: Raw = Raw()


class _Event(Struct):
    """One event of a stream, as far as it is read."""

    type: str = ""
    index: int = -1
    delta: _EventDelta | None = None
    content_block: Raw = Raw()
    message: _Message | None = None
    usage: Raw = Raw()
    error: WireError | str | None = None


class _Whole(_Message):
    type: str = ""
    content: list[Raw] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: _StopDetails | None = None
    error: WireError | str | None = None


class _ErrorBody(Struct):
    error: WireError | str | None = None
    message: str | None = None


_read_event = msgspec.json.Decoder(_Event)
_read_whole = msgspec.json.Decoder(_Whole)
_read_error_body = msgspec.json.Decoder(_ErrorBody)
_WHAT = "an Anthropic message"


def read_error(body: bytes) -> WireError:
    """Read an error body; empty where it can't be read."""
    try:
        read = _read_error_body.decode(body)
    except UNREADABLE:
        return WireError()
    return _error(read.error or read.message)


def _error(error: WireError | str | None) -> WireError:
    return error if isinstance(error, WireError) else WireError(message=error or "")


class Reader(AnswerReader):
    """Reads one answer; not shared."""

    def __init__(self, tools: Tools | None = None) -> None:
        self.disbelieved = False
        self._tools = tools or Tools()
        self._open: dict[int, Block] = {}
        self._progress = Progress()
        self._usage: WireUsage | None = None
        self._ended = False

    def event(self, data: bytes) -> list[Event]:
        """The events of one event; raises `UpstreamFailed` for an error or for what is not the dialect."""
        try:
            event = _read_event.decode(data)
            if event.type == "content_block_delta":
                block = self._open.get(event.index)
                if block is None or event.delta is None:
                    raise not_the_dialect(_WHAT)
                return block.grow(event.delta)
            return self._rare(event)
        except UNREADABLE:
            raise not_the_dialect(_WHAT) from None

    def whole(self, body: bytes) -> list[Event]:
        """The events of a whole answer; raises `UpstreamFailed` where it is none."""
        try:
            answer = _read_whole.decode(body)
            if answer.type == "error" or answer.error is not None:
                raise ErrorInside(_error(answer.error))
            if answer.content is None:
                raise not_the_dialect(_WHAT)
            events: list[Event] = [Began(id=answer.id or "", model=answer.model or "")]
            for index, block in enumerate(answer.content):
                events += self._begin(index, block)
                events += self._close(index)
        except UNREADABLE:
            raise not_the_dialect(_WHAT) from None
        if answer.stop_reason is None:
            raise incomplete()
        return events + self._over(answer, answer.usage)

    def end(self) -> list[Event]:
        """The stream is over; raises `UpstreamFailed` when the answer is not complete."""
        if not self._ended:
            raise incomplete()
        return []

    def _rare(self, event: _Event) -> list[Event]:
        """Events that come once a block or once a message."""
        match event.type:
            case "message_start":
                message = event.message or _Message()
                return [Began(id=message.id or "", model=message.model or ""), *self._count(message.usage)]
            case "content_block_start":
                return self._begin(event.index, event.content_block)
            case "content_block_stop":
                return self._close(event.index)
            case "message_delta":
                return self._over(event.delta, event.usage)
            case "message_stop":
                return self._end(_EventDelta())
            case "error":
                raise ErrorInside(_error(event.error))
            case _:
                return []  # `ping`, and what may yet come: new types may be added at any time

    def _begin(self, index: int, raw: Raw) -> list[Event]:
        if index in self._open:
            raise not_the_dialect(_WHAT)
        block = self._open[index] = block_of(raw, self._tools, self._progress)
        return block.begin()

    def _close(self, index: int) -> list[Event]:
        block = self._open.pop(index, None)
        if block is None:
            raise not_the_dialect(_WHAT)
        return block.close()

    def _over(self, stop: _EventDelta | _Whole | None, usage: Raw) -> list[Event]:
        """What is counted, and how the message ends; a refusal's words come first: the count covers them."""
        events = self._end(stop) if stop and stop.stop_reason else []
        return [*events[:-1], *self._count(usage), *events[-1:]]

    def _count(self, raw: Raw) -> list[Event]:
        try:
            told = messages_usage.read(raw)
        except UNREADABLE:
            self.disbelieved = True
            return []
        if told is None or told.silent:
            return []
        self._usage = messages_usage.later(self._usage, told)
        usage = messages_usage.usage_of(self._usage)
        self.disbelieved = usage is None
        return [] if usage is None else [Counted(usage)]

    def _end(self, stop: _EventDelta | _Whole) -> list[Event]:
        if self._ended:
            return []
        self._ended = True
        events: list[Event] = []
        for index in list(self._open):
            events += self._close(index)
        finish = FINISHES.get(stop.stop_reason or "", "stop")
        if finish == "tool_calls" and self._tools.format and not self._progress.calls:
            finish = "stop"
        if finish == "content_filter" and stop.stop_details and stop.stop_details.explanation:
            events.append(Refused(0, stop.stop_details.explanation))
        ended = Ended(choice=0, finish=finish, stop_sequence=stop.stop_sequence, native=stop.stop_reason)
        return [*events, ended]
