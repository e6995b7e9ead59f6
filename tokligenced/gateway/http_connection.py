"""One connection to an upstream: writes a request, reads an answer, one after the other.

httptools knows the bytes of HTTP; this file knows what an answer may be. What it gets goes to a
`Receiver` at once, in synchronous calls: no task and no timer belongs to a connection.
"""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Protocol, cast

import httptools

from tokligenced.errors import UpstreamFailed

# A head larger than this is refused, and so is as much of anything else that is not body: chunk
# extensions, trailers, interim answers.
MAX_HEAD = 64 * 1024
# Seconds for which a connection that nobody uses is kept; servers close theirs later than that.
KEEP_ALIVE = 15.0
_MOST_INTERIM = 16
# Up to this size a body is copied behind its head, so that both leave in one packet.
_COPIED_BODY = 64 * 1024
_NO_HTTP = "The provider does not speak HTTP as it should."
_CUT = "The provider cut the connection."


class Headers(Mapping[str, str]):
    """An answer's headers, names in any case; one that came several times is joined by commas."""

    __slots__ = ("_raw",)

    def __init__(self, raw: Mapping[bytes, bytes]) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> str:
        return self._raw[name.lower().encode()].decode("latin-1").strip()

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._raw)

    def __len__(self) -> int:
        return len(self._raw)


class Receiver(Protocol):
    """Takes one answer: a head, then chunks, then an end; `failed` may come instead of any of them."""

    def head(self, status: int, headers: Headers) -> None:
        """The final status, 200 or above, and its headers."""

    def chunk(self, data: bytes) -> None:
        """Bytes of the body."""

    def end(self) -> None:
        """The answer is complete; the connection is not the receiver's any more."""

    def failed(self, error: UpstreamFailed) -> None:
        """Nothing more comes; neither is the connection the receiver's any more."""


class Keeper(Protocol):
    """Whoever keeps connections."""

    def free(self, connection: "Connection") -> None:
        """Its answer is complete, and it can take another request."""

    def gone(self, connection: "Connection") -> None:
        """It is closed."""


class Connection(asyncio.BufferedProtocol):
    """One connection with at most one request under way.

    `buffer` is where the socket is read to. All connections may share it, as what is in it is taken out
    before anything else happens; its size is the most that can come at once.
    """

    __slots__ = (
        "_buffer",
        "_complete",
        "_head_size",
        "_headers",
        "_heard",
        "_idle_timeout",
        "_interim",
        "_keeper",
        "_loop",
        "_lost",
        "_parser",
        "_paused",
        "_receiver",
        "_reusable",
        "_silent_bytes",
        "_transport",
        "_unsent",
        "_until_eof",
        "_without_body",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, keeper: Keeper, buffer: memoryview) -> None:
        self._loop = loop
        self._keeper = keeper
        self._buffer = buffer
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        # Servers that write bare line feeds or pad their chunk sizes exist, and can fool nobody but us.
        self._parser.set_dangerous_leniencies(
            lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._receiver: Receiver | None = None
        self._headers: dict[bytes, bytes] | None = None
        self._heard = self._idle_timeout = 0.0
        self._head_size = self._silent_bytes = self._interim = self._unsent = 0
        self._complete = self._reusable = self._until_eof = self._without_body = False
        self._paused = self._lost = False

    # What the user does with it.

    def ask(self, head: bytes, body: bytes, receiver: Receiver, idle_timeout: float) -> None:
        """Send a request; `head` is without the body's length, `idle_timeout` in seconds of silence."""
        self._receiver = receiver
        self._idle_timeout = idle_timeout
        self._heard = self._loop.time()
        self._silent_bytes = self._interim = self._unsent = 0
        self._complete = self._until_eof = False
        self._without_body = head.startswith(b"HEAD ")
        if len(body) <= _COPIED_BODY:
            self._transport.write(b"%b%d\r\n\r\n%b" % (head, len(body), body))
        else:
            self._transport.write(b"%b%d\r\n\r\n" % (head, len(body)))
            self._transport.write(body)

    def pause(self) -> None:
        """Read no more, so that the upstream has to wait."""
        self._paused = True
        self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        self._paused = False
        self._heard = self._loop.time()
        self._transport.resume_reading()

    def abort(self) -> None:
        """Close it at once; an answer under way is given up, and its receiver hears no more."""
        self._receiver = None
        self._transport.abort()

    def give_up(self, error: UpstreamFailed) -> None:
        """Close it at once; the receiver of an answer under way is told why."""
        receiver, self._receiver = self._receiver, None
        self._transport.abort()
        if receiver is not None:
            receiver.failed(error)

    # What its keeper asks of it.

    @property
    def closing(self) -> bool:
        """Whether it is of no use any more."""
        return self._lost or self._transport.is_closing()

    def check(self, now: float) -> None:
        """Close it if it has been silent for too long by the loop's clock."""
        if self.closing:
            return
        if self._receiver is None:
            if now - self._heard >= KEEP_ALIVE:
                self.abort()
            return
        unsent = self._transport.get_write_buffer_size()
        if self._paused or unsent != self._unsent:
            # It is we who don't listen, or the upstream is still taking in the request.
            self._unsent = unsent
            self._heard = now
        elif now - self._heard >= self._idle_timeout:
            self.give_up(UpstreamFailed("upstream_timeout", "The provider fell silent.", safe_to_retry=False))

    # What the transport reports.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands, TLS included."""
        self._transport = cast("asyncio.Transport", transport)
        self._heard = self._loop.time()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the transport takes any size
        """Where the next bytes go."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes are in the buffer."""
        if self._receiver is None:
            # Nobody asked anything.
            self.abort()
            return
        self._heard = self._loop.time()
        self._silent_bytes += nbytes
        try:
            self._parser.feed_data(self._buffer[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._complete:
                # What a method below raised is more telling than that the parser stopped for it.
                self.give_up(_failed(_NO_HTTP, error.__context__ or error))
                return
            # What came behind the answer does not harm it, but the connection can't be trusted.
            self._reusable = False
        if self._complete:
            self._finish()
        elif self._silent_bytes > MAX_HEAD:
            self.give_up(_failed(_NO_HTTP, _Refused("no end of a head or trailer")))

    def eof_received(self) -> None:
        """The upstream sends no more; that is how some answers end."""
        if self._until_eof and self._receiver is not None:
            self._finish()
        else:
            self.give_up(_failed(_CUT, EOFError("closed by the upstream")))

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed, by whomever."""
        self._lost = True
        self._keeper.gone(self)
        # The parser holds this object's methods; without it the two need no garbage collector.
        del self._parser
        if self._receiver is not None:
            self.give_up(_failed(_CUT, exc or EOFError("connection lost")))

    # What the parser finds.

    def on_message_begin(self) -> None:
        """The first byte of an answer, final or not."""
        if self._complete:
            raise _Refused("bytes behind the answer")
        self._headers = {}
        self._head_size = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer behind the body."""
        headers = self._headers
        if headers is None:
            return  # a trailer, of which nobody asked for any
        self._head_size += len(name) + len(value) + 4
        if self._head_size > MAX_HEAD:
            raise _Refused("head too large")
        name = name.lower()
        headers[name] = headers[name] + b", " + value if name in headers else value

    def on_headers_complete(self) -> None:
        """The head is complete: refuse what could not be read as it was meant."""
        status, headers = self._parser.get_status_code(), self._headers
        if self._receiver is None or headers is None:
            raise _Refused("an answer to nothing")
        self._headers = None
        if status < 200:
            self._interim += 1
            if status < 100 or self._interim > _MOST_INTERIM:
                raise _Refused(f"status {status}, {self._interim} before the final one")
            return
        self._interim = 0
        coding = headers.get(b"transfer-encoding")
        if coding is not None and coding.strip().lower() != b"chunked":
            raise _Refused("a transfer coding that nobody asked for")
        self._until_eof = coding is None and b"content-length" not in headers
        self._reusable = self._parser.should_keep_alive()
        self._receiver.head(status, Headers(headers))
        if self._without_body:
            self._complete = True
            raise _Refused("the parser does not know that this answer has no body")

    def on_body(self, data: bytes) -> None:
        """Bytes of the body, without their framing."""
        self._silent_bytes = 0
        if self._receiver is not None:
            self._receiver.chunk(data)

    def on_message_complete(self) -> None:
        """The end of an answer; an interim one is followed by another."""
        self._complete = not self._interim

    def _finish(self) -> None:
        receiver, self._receiver = self._receiver, None
        transport = self._transport
        if self._paused:
            self._paused = False
            transport.resume_reading()
        # An answer that came before its request was sent leaves the rest of that in the way.
        if self._reusable and not transport.is_closing() and not transport.get_write_buffer_size():
            self._keeper.free(self)
        else:
            transport.abort()
        if receiver is not None:
            receiver.end()


class _Refused(Exception):
    """Raised to the parser, which then stops."""


def _failed(message: str, cause: BaseException) -> UpstreamFailed:
    return UpstreamFailed(
        "upstream_error", message, safe_to_retry=False, detail=f"{type(cause).__name__}: {cause}"
    )
