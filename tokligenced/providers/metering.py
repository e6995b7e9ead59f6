"""How much of an answer was delivered, and what its upstream counted, by the hub's events."""

from collections.abc import Iterable

from tokligenced.dialects import sse
from tokligenced.dialects.conversation import (
    AnswerReader,
    CallBegan,
    CallGrew,
    Carried,
    Counted,
    Drew,
    Ended,
    Event,
    Refused,
    Said,
    Thought,
)
from tokligenced.dialects.media import BASE64_PER_BYTE
from tokligenced.dialects.wire_error import utf8
from tokligenced.domain import Usage
from tokligenced.errors import UpstreamFailed

_TEXTS = (Said, Thought, CallGrew, Refused)


class Meter:
    """Meters one answer; not shared. Its members are as an exchange's."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.told_at = 0
        self.delivered = 0
        self.ended = False

    def note(self, events: Iterable[Event]) -> None:
        """Count what is delivered, and keep what the upstream counted."""
        for event in events:
            # Nearly all events are pieces of text, so these are told apart from the rest first and fast.
            if isinstance(event, _TEXTS):
                text = event.text
                self.delivered += len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
                continue
            match event:
                case CallBegan():
                    self.delivered += len(event.name)
                case Drew():
                    self.delivered += len(event.media.data or "") // BASE64_PER_BYTE
                case Carried():
                    self.delivered += len(bytes(event.block.block))
                case Counted():
                    self.usage = event.usage
                    self.told_at = self.delivered
                case Ended():
                    self.ended = True
                case _:
                    pass


class Metered:
    """What an exchange tells of itself, by what its reader finds."""

    def __init__(self, reader: AnswerReader) -> None:
        self._reader = reader
        self._meter = Meter()

    @property
    def usage(self) -> Usage | None:
        """What the upstream counted."""
        self._meter.note(self._reader.late())
        return self._meter.usage

    @property
    def told_at(self) -> int:
        """How much was delivered when the upstream last told its usage."""
        self._meter.note(self._reader.late())
        return self._meter.told_at

    @property
    def delivered(self) -> int:
        """UTF-8 bytes of generated output that passed so far."""
        return self._meter.delivered

    @property
    def disbelieved(self) -> bool:
        """Whether the upstream told a usage that can't be."""
        return self._reader.disbelieved


class ReadingTap(Metered):
    """Lets an answer pass as it is, and meters what a reader of its dialect makes of it.

    `hide_usage` withholds the events that hold a usage alone, which the client did not ask for.
    """

    def __init__(self, reader: AnswerReader, *, stream: bool, hide_usage: bool = False) -> None:
        super().__init__(reader)
        self._hide_usage = hide_usage
        self._splitter = sse.Splitter() if stream else None
        self._whole: list[bytes] = []

    @property
    def complete(self) -> bool:
        """Whether the answer is over by its own word."""
        return self._meter.ended

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes of the answer, give those that go on: whole events, none of a piece with an error."""
        if self._splitter is None:
            self._whole.append(chunk)
            return b""
        whole = self._splitter.feed(chunk)
        before = self._meter.delivered
        try:
            return self._passed(whole)
        except UpstreamFailed:
            self._meter.delivered = before
            raise

    def _passed(self, whole: bytes) -> bytes:
        hidden: set[int] = set()
        pieces = sse.events(utf8(whole))
        for at, piece in enumerate(pieces):
            if data := sse.data_of(piece):
                events = self._reader.event(data)
                self._meter.note(events)
                if self._hide_usage and len(events) == 1 and isinstance(events[0], Counted):
                    hidden.add(at)
        if not hidden:
            return whole
        return b"".join([piece for at, piece in enumerate(pieces) if at not in hidden])

    def finish(self) -> bytes:
        """What is left at the end. Raises `UpstreamFailed` when the answer is not whole."""
        if self._splitter is None:
            whole = utf8(b"".join(self._whole))
            self._meter.note(self._reader.whole(whole))
            return whole
        rest = self._splitter.flush()
        # Providers' last event comes without its closing empty line at times.
        if rest:
            self._passed(rest + b"\n\n")
        self._meter.note(self._reader.end())
        return rest
