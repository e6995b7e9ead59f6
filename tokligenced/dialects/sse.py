r"""Server-sent events: an incremental splitter that keeps the bytes as they came.

An event ends with an empty line; a line ends with `\n`, `\r\n` or `\r`.
https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

import re

from tokligenced.errors import UpstreamFailed

KEEP_ALIVE = b": keep-alive\n\n"
MAX_EVENT = 16 * 1024 * 1024

_BOUNDARY = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
_LINE = re.compile(rb"\r\n|\n|\r")


class Splitter:
    """Cuts a byte stream into whole events wherever the network cut it; not shared between streams."""

    def __init__(self, max_event: int = MAX_EVENT) -> None:
        self._rest = bytearray()
        self._scanned = 0
        self._max_event = max_event

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that `chunk` completes, each with its closing empty line.

        Raises `UpstreamFailed` when one event outgrows `max_event`.
        """
        # Nearly always a chunk is exactly one event, or several, and nothing is left over.
        if not self._rest and chunk.endswith(b"\n\n") and b"\r" not in chunk:
            if chunk.find(b"\n\n") == len(chunk) - 2:
                return [chunk]
            return _cut(chunk)
        self._rest += chunk
        # A closing "\r" may be the first half of "\r\n": it waits for what follows.
        end = len(self._rest) - self._rest.endswith(b"\r")
        events: list[bytes] = []
        start = 0
        for match in _BOUNDARY.finditer(self._rest, self._scanned, end):
            events.append(bytes(self._rest[start : match.end()]))
            start = match.end()
        if start:
            del self._rest[:start]
            end -= start
        # The longest beginning of a boundary is "\r\n\r"; what stands before it need not be looked at again.
        self._scanned = max(0, end - 3)
        if len(self._rest) > self._max_event:
            raise UpstreamFailed("upstream_error", "The provider sent an event beyond all size.")
        return events

    def flush(self) -> bytes:
        """What came after the last whole event."""
        rest = bytes(self._rest)
        self._rest.clear()
        self._scanned = 0
        return rest


def _cut(chunk: bytes) -> list[bytes]:
    events = []
    start = 0
    while start < len(chunk):
        end = chunk.index(b"\n\n", start) + 2
        events.append(chunk[start:end])
        start = end
    return events


def data_of(event: bytes) -> bytes | None:
    """The event's data, its lines joined by line feeds; None when it has none (comments, names only)."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and b"\r" not in event:
        return event[6:-2]
    found = []
    for line in _LINE.split(event):
        if line.startswith(b"data:"):
            value = line[5:]
            found.append(value[1:] if value.startswith(b" ") else value)
    return b"\n".join(found) if found else None
