"""An attempt at an upstream that speaks another dialect than the client: its answer goes through the hub."""

from collections.abc import Callable, Mapping

from tokligenced.config import ProviderSettings
from tokligenced.dialects import sse
from tokligenced.dialects.conversation import AnswerReader, AnswerWriter, Event
from tokligenced.dialects.wire_error import ErrorInside, WireError, utf8
from tokligenced.errors import CallError
from tokligenced.providers.base import UpstreamRequest
from tokligenced.providers.metering import Metered
from tokligenced.providers.rejections import error_inside, rejection


class Translated(Metered):
    """One attempt; not shared. `read_error` reads the upstream's body of an answer that is not a success."""

    def __init__(
        self,
        request: UpstreamRequest,
        settings: ProviderSettings,
        *,
        stream: bool,
        reader: AnswerReader,
        writer: AnswerWriter,
        read_error: Callable[[bytes], WireError],
    ) -> None:
        super().__init__(reader)
        self.request = request
        self.complete = False
        self.content_type: str | None = "text/event-stream; charset=utf-8" if stream else "application/json"
        self._settings = settings
        self._writer = writer
        self._read_error = read_error
        self._splitter = sse.Splitter() if stream else None
        self._whole: list[bytes] = []

    def feed(self, chunk: bytes) -> bytes:
        """Take what the upstream sent, give what the client gets."""
        if self._splitter is None:
            self._whole.append(chunk)
            return b""
        whole = self._splitter.feed(chunk)
        return self._pass(whole) if whole else b""

    def finish(self) -> bytes:
        """Give what is left; raises `UpstreamFailed` when the answer ended too early."""
        try:
            if self._splitter is None:
                events = self._reader.whole(utf8(b"".join(self._whole)))
                self._meter.note(events)
                return self._writer.whole(events)
            # Providers' last event comes without its closing empty line at times.
            out = self._pass(rest + b"\n\n") if (rest := self._splitter.flush()) else b""
            events = self._reader.end()
        except ErrorInside as inside:
            raise error_inside(inside.error, self._settings) from None
        self._meter.note(events)
        self.complete = True
        return out + self._writer.stream(events) + self._writer.end()

    def fail(self, error: CallError) -> bytes:
        """What tells the client of a stream that it broke off."""
        return self._writer.fail(error)

    def reject(self, status: int, headers: Mapping[str, str], body: bytes) -> CallError:
        """What an answer that is not a success means."""
        return rejection(status, headers, self._read_error(body), self._settings)

    def _pass(self, whole: bytes) -> bytes:
        events: list[Event] = []
        try:
            for data in sse.data_in(utf8(whole)):
                events += self._reader.event(data)
        except ErrorInside as inside:
            raise error_inside(inside.error, self._settings) from None
        self._meter.note(events)
        return self._writer.stream(events)
