"""The answers being sent: keep-alives where one is silent, an end to those nobody reads, the final cut.

One task looks after all connections once a second, so that none needs a timer of its own. It waits for no
client: one that does not read can't hold it up.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from tokligenced.errors import CallError, RateLimited, Unavailable

_RETRY_AFTER = 5
_LOOK_AGAIN = 0.05

# What may wait in the socket of a client that reads slowly.
_WRITE_BUFFER = 32 * 1024


class Outlet:
    """A connection's way out: what waits there unsent, and how long nothing of it has left.

    Time is counted in looks, so that a loop that stood still blames no client. `moved` says that bytes
    left since the last look, where more that came after may hide it.
    """

    __slots__ = ("_still", "_transport", "_unsent", "moved")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._unsent = 0
        self._still = 0
        self.moved = False

    def unsent(self) -> int:
        """Bytes that wait for the client to read others."""
        return self._transport.get_write_buffer_size()

    def look(self, patience: int) -> None:
        """Abort the connection when bytes have waited and none has left for so many looks in a row."""
        unsent = self.unsent()
        if not unsent or unsent < self._unsent or self.moved:
            self._still = 0
        elif (still := self._still + 1) < patience:
            self._still = still
        else:
            self._transport.abort()
        self._unsent = unsent
        self.moved = False


class LiveStream:
    """One event stream on its way to a client."""

    __slots__ = ("_keep_alive", "_loop", "_request", "_response", "_since", "ended")

    def __init__(self, request: web.Request, response: web.StreamResponse, keep_alive: bytes) -> None:
        self._request = request
        self._response = response
        self._keep_alive = keep_alive
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self.ended = False

    async def write(self, chunk: bytes) -> None:
        """Send a chunk; waits while the client does not read. Raises `ConnectionError` when it left."""
        self._since = self._loop.time()
        await self._response.write(chunk)

    async def finish(self, chunk: bytes = b"") -> None:
        """Send a last chunk and the end, after which nothing may follow; waits and raises as `write` does."""
        self.ended = True
        await self._response.write_eof(chunk)

    async def look(self, now: float, keep_alive_after: float) -> None:
        """Send a keep-alive when there was nothing to send for so long."""
        transport = self._request.transport
        if self.ended or now - self._since < keep_alive_after or transport is None or transport.is_closing():
            return
        # Where nothing waits in the socket, writing is not paused, and so this write waits for nobody.
        if not transport.get_write_buffer_size():
            await self.write(self._keep_alive)


class LiveStreams:
    """All connections, all calls being served, and of these the streams. Times are in seconds.

    A stream that is silent for `keep_alive_after` gets a keep-alive; a connection whose client reads nothing
    for `write_timeout` is cut; both are noticed within `interval`.
    """

    def __init__(
        self, *, keep_alive_after: float = 10.0, write_timeout: float = 60.0, interval: float = 1.0
    ) -> None:
        self._keep_alive_after = keep_alive_after
        self._patience = math.ceil(write_timeout / interval)
        self._interval = interval
        self._outlets: set[Outlet] = set()
        self._streams: set[LiveStream] = set()
        self._calls: set[asyncio.Task[None]] = set()
        self._bodies: Counter[str] = Counter()
        self.leaving = False

    def connected(self, transport: asyncio.Transport) -> Outlet:
        """Begin to look after a connection."""
        transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        outlet = Outlet(transport)
        self._outlets.add(outlet)
        return outlet

    def open_streams(self) -> int:
        """The streams that are being sent."""
        return len(self._streams)

    def disconnected(self, outlet: Outlet) -> None:
        """Stop looking after a connection."""
        self._outlets.discard(outlet)

    def started(self, request: web.Request) -> None:
        """Note that a call is being served."""
        self._calls.add(request.task)

    def ended(self, request: web.Request) -> None:
        """Note that a call has been served."""
        self._calls.discard(request.task)

    @contextmanager
    def reading(self, key_id: str, limit: int) -> Iterator[None]:
        """Count a body that is still arriving; raises `RateLimited` when the key has `limit` of them."""
        if self._bodies[key_id] >= limit:
            raise RateLimited(
                "concurrency",
                f"Rate limit reached: {limit} calls at a time. Try again in 1 s.",
                wait=1.0,
            )
        self._bodies[key_id] += 1
        try:
            yield
        finally:
            self._bodies[key_id] -= 1
            if not self._bodies[key_id]:
                del self._bodies[key_id]

    def open(self, request: web.Request, response: web.StreamResponse, keep_alive: bytes) -> LiveStream:
        """Begin to look after a stream whose head has been sent."""
        stream = LiveStream(request, response, keep_alive)
        self._streams.add(stream)
        return stream

    def close(self, stream: LiveStream) -> None:
        """Stop looking after a stream."""
        self._streams.discard(stream)

    async def watch(self) -> None:
        """Go round for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._interval)
            now = loop.time()
            for outlet in tuple(self._outlets):
                outlet.look(self._patience)
            for stream in tuple(self._streams):
                await stream.look(now, self._keep_alive_after)

    async def idle(self) -> None:
        """Wait until all calls have been served and every byte of their answers has left."""
        # Nobody tells when the last byte leaves, so this has to look.
        while self._calls or any(outlet.unsent() for outlet in self._outlets):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_AGAIN)

    def leave(self) -> None:
        """Close each connection after the answer to its next request, and say so in that answer's head."""
        self.leaving = True

    async def left(self) -> None:
        """Wait until no connection is open."""
        while self._outlets:  # noqa: ASYNC110 - as in `idle`
            await asyncio.sleep(_LOOK_AGAIN)

    def cut(self) -> None:
        """End every call now; each tells its client why."""
        for task in self._calls:
            task.cancel(
                Unavailable("shutting_down", "The gateway is shutting down.", retry_after=_RETRY_AFTER)
            )


def cut_off(error: asyncio.CancelledError) -> CallError | None:
    """What `LiveStreams.cut` wants the client to hear, taking the cancellation back; None for any other."""
    reason = error.args[0] if error.args else None
    task = asyncio.current_task()
    if not isinstance(reason, CallError) or task is None:
        return None
    task.uncancel()
    return reason
