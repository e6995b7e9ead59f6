r"""Server-sent events: an incremental splitter that keeps the bytes as they came.

An event ends with an empty line; a line ends with `\n`, `\r\n` or `\r`.
https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

import re
from codecs import BOM_UTF8

from tokligenced.errors import UpstreamFailed

KEEP_ALIVE = b": keep-alive\n\n"
MAX_EVENT = 16 * 1024 * 1024

_BOUNDARY = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
_LINE = re.compile(rb"\r\n|\n|\r")
# An event as providers write nearly all of them: a name at most, and one line of data.
_PLAIN = re.compile(rb"(?:event: [^\r\n]*+\r?\n)?data: ([^\r\n]*+)(?:\n\n|\r\n\r\n)")


class Splitter:
    """Keeps the beginning of an event until its end has come; not shared between streams."""

    def __init__(self, max_event: int = MAX_EVENT) -> None:
        self._rest = bytearray()
        self._scanned = 0
        self._max_event = max_event

    def feed(self, chunk: bytes) -> bytes:
        """All events that `chunk` completes, in one piece, each with its closing empty line.

        Raises `UpstreamFailed` when one event outgrows `max_event`.
        """
        if not self._rest and chunk.endswith((b"\n\n", b"\n\r\n")):
            return chunk
        self._rest += chunk
        end = _last_boundary(self._rest, self._scanned)
        whole = bytes(self._rest[:end])
        del self._rest[:end]
        # The longest beginning of a boundary is "\r\n\r"; what stands before it need not be looked at again.
        self._scanned = max(0, len(self._rest) - 3)
        if len(self._rest) > self._max_event:
            raise UpstreamFailed("upstream_error", "The provider sent an event beyond all size.")
        return whole

    def flush(self) -> bytes:
        """What came after the last whole event."""
        rest = bytes(self._rest)
        self._rest.clear()
        self._scanned = 0
        return rest


def _last_boundary(text: bytearray, start: int) -> int:
    """Where the last empty line that begins at or after `start` ends; 0 when there is none."""
    if text.find(b"\r", start) < 0:
        last = text.rfind(b"\n\n", start)
        return last + 2 if last >= 0 else 0
    # A closing "\r" may be the first half of "\r\n": it waits for what follows.
    last = 0
    for match in _BOUNDARY.finditer(text, start, len(text) - text.endswith(b"\r")):
        last = match.end()
    return last


def data_in(whole: bytes) -> list[bytes]:
    """The data of each event of a piece that `Splitter.feed` gave; what has none is left out."""
    # One plain event is what most pieces of a stream that is paced are.
    if whole.startswith(b"data: "):
        end = whole.find(b"\n")
        if end == len(whole) - 2:
            return [whole[6:-2]] if end > 6 else []
        if end == len(whole) - 3 and whole.endswith(b"\r\n\r\n"):
            return [whole[6:-4]] if end > 7 else []
    found: list[bytes] = []
    end = 0
    for match in _PLAIN.finditer(whole):
        if match.start() != end:
            break
        found.append(match[1])
        end = match.end()
    if end == len(whole):
        return [data for data in found if data]
    return [data for event in events(whole) if (data := data_of(event))]


def events(whole: bytes) -> list[bytes]:
    """The single events of a piece that `Splitter.feed` gave."""
    found = []
    start = 0
    for match in _BOUNDARY.finditer(whole):
        found.append(whole[start : match.end()])
        start = match.end()
    return found


def data_of(event: bytes) -> bytes | None:
    """The event's data, its lines joined by line feeds; None when it has none (comments, names only)."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and b"\r" not in event:
        return event[6:-2]
    found = []
    # A stream may begin with a byte order mark.
    for line in _LINE.split(event.removeprefix(BOM_UTF8)):
        if line.startswith(b"data:"):
            value = line[5:]
            found.append(value[1:] if value.startswith(b" ") else value)
    return b"\n".join(found) if found else None
