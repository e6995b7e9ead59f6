"""An upstream that speaks out of prepared bytes, too fast to be what is measured.

`python -m tests.bench.mock_upstream PORT`. A GET is answered 200, so that a relay in front of it can
be asked whether it is up. Streams are in OpenAI's, Anthropic's or Gemini's dialect, as the path asks for;
whole answers in OpenAI's alone.
"""

import asyncio
import sys
from typing import cast

import uvloop

from tests.bench import wire

# At full speed chunks leave eight at a time: one by one, writing them would keep this process busier than
# relaying them keeps the server, and every server would seem as fast as the upstream.
_BURST = 8
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def _answer(status: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_HEALTHY = _answer(b"200 OK", b"{}")
_WHOLE = _answer(b"200 OK", wire.whole_answer())
_FIRST = {
    dialect: _STREAM_HEAD + (_chunk(first) if (first := wire.first_events(dialect)) else b"")
    for dialect in wire.MODELS
}
_CONTENT = {dialect: _chunk(wire.content_event(dialect)) for dialect in wire.MODELS}
_LAST = {
    (dialect, asked): _chunk(wire.last_events(usage=asked, dialect=dialect)) + b"0\r\n\r\n"
    for dialect in wire.MODELS
    for asked in (False, True)
}


class Upstream(asyncio.Protocol):
    """One connection: one request at a time, as clients without pipelining send them."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._left = 0
        self._interval = 0.0
        self._content = self._last = b""
        self._blocked = False
        self._waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        if self._received.startswith(b"GET "):
            self._received.clear()
            self.transport.write(_HEALTHY)
            return
        head = bytes(self._received[:end]).lower()
        _, named, rest = head.partition(b"content-length:")
        if not named:
            self.transport.write(_answer(b"411 Length Required", b"{}"))
            self.transport.close()
            return
        length = int(rest.partition(b"\r\n")[0])
        if len(self._received) >= end + 4 + length:
            dialect = wire.dialect_of(bytes(self._received[:end]).split(b" ", 2)[1])
            body = bytes(self._received[end + 4 :])
            self._received.clear()
            self._serve(dialect, body)

    def _serve(self, dialect: wire.Dialect, body: bytes) -> None:
        try:
            chunks, interval_ms = wire.order(body)
        except ValueError:
            self.transport.write(_answer(b"400 Bad Request", b'{"error":{"message":"no order"}}'))
            return
        if chunks == 0:
            self.transport.write(_WHOLE)
            return
        self._left, self._interval = chunks, interval_ms / 1000
        self._content = _CONTENT[dialect]
        self._last = _LAST[dialect, b'"include_usage":true' in body.replace(b" ", b"")]
        self.transport.write(_FIRST[dialect])
        self._next()

    def _next(self) -> None:
        """Write one chunk, or at full speed a few, and come back for the next."""
        if self.transport.is_closing():
            return
        if self._blocked:
            self._waiting = True
            return
        if self._left == 0:
            self.transport.write(self._last)
            return
        if self._interval:
            self._left -= 1
            self.transport.write(self._content)
            self._loop.call_later(self._interval, self._next)
        else:
            burst = min(self._left, _BURST)
            self._left -= burst
            self.transport.write(self._content * burst)
            self._loop.call_soon(self._next)

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        if self._waiting:
            self._waiting = False
            self._next()


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
