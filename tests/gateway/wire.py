"""A connection without sockets, whose every neighbour is one object that records."""

from typing import Any

from tokligenced.errors import UpstreamFailed
from tokligenced.gateway.http_connection import Connection, Headers


class Wire:
    """A connection, and all that it needs around it: loop, transport, keeper and receiver in one."""

    def __init__(self, method: bytes = b"POST") -> None:
        self._buffer = bytearray(1_000_000)
        self.now = 100.0
        self.closing = self.freed = self.is_gone = False
        self.reading = True
        self.unsent = 0
        self.sent = b""
        self.status = 0
        self.headers: Headers | None = None
        self.body = b""
        self.ends = 0
        self.failures: list[UpstreamFailed] = []
        here: Any = self
        self.connection = Connection(here, here, memoryview(self._buffer))
        self.connection.connection_made(here)
        self.ask(method)

    def ask(self, method: bytes = b"POST") -> None:
        """Begin an exchange."""
        self.status, self.headers, self.body, self.ends, self.freed = 0, None, b"", 0, False
        self.connection.ask(method + b" / HTTP/1.1\r\nContent-Length: ", b"{}", self, 10.0)

    def hear(self, *pieces: bytes) -> None:
        """The upstream sends."""
        for piece in pieces:
            if not self.closing:
                self.connection.get_buffer(-1)[: len(piece)] = piece
                self.connection.buffer_updated(len(piece))

    @property
    def answer(self) -> tuple[int, dict[str, str] | None, bytes, int, int]:
        """All that was received."""
        return (
            self.status,
            None if self.headers is None else dict(self.headers),
            self.body,
            self.ends,
            len(self.failures),
        )

    # The loop.

    def time(self) -> float:
        return self.now

    # The transport.

    def write(self, data: bytes) -> None:
        self.sent += data

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    # The keeper.

    def free(self, _connection: Connection) -> None:
        self.freed = True

    def gone(self, _connection: Connection) -> None:
        self.is_gone = True

    # The receiver.

    def head(self, status: int, headers: Headers) -> None:
        assert not self.status
        self.status, self.headers = status, headers

    def chunk(self, data: bytes) -> None:
        assert self.status
        assert not self.ends
        assert not self.failures
        self.body += data

    def end(self) -> None:
        assert self.status
        assert not self.failures
        self.ends += 1

    def failed(self, error: UpstreamFailed) -> None:
        assert not self.ends
        self.failures.append(error)
