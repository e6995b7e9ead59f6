"""All connections to upstreams: which are free, which have been silent for too long."""

import asyncio
import ssl

from tokligenced.errors import UpstreamFailed
from tokligenced.gateway.http_connection import Connection
from tokligenced.gateway.http_dial import Dialer
from tokligenced.gateway.http_request import Address

# Seconds between two looks at all connections, unless some time-out is so short that it needs more.
_LOOK = 1.0
_SHORTEST_LOOK = 0.01
_READ_AT_ONCE = 64 * 1024


class Origin:
    """The connections to one address; it is each one's keeper."""

    __slots__ = ("_address", "_free", "_pool")

    def __init__(self, pool: "Pool", address: Address) -> None:
        self._pool = pool
        self._address = address
        # A dict for its order: what was used last is taken first, so that the others can grow old.
        self._free: dict[Connection, None] = {}

    def take(self) -> Connection | None:
        """The free connection that was used last; None when there is none."""
        while self._free:
            connection, _ = self._free.popitem()
            if not connection.closing:
                return connection
        return None

    async def connect(self, within: float) -> Connection:
        """A new connection, within so many seconds. Raises `UpstreamFailed`, always safe to retry."""
        connection = await self._pool.dialer.dial(self._address, self._new, within)
        if connection.closing:
            raise UpstreamFailed("upstream_error", "The provider could not be reached.", detail="hung up")
        # Not before: when dialling is cancelled uvloop drops a connection without a word to its protocol.
        self._pool.watch(connection)
        return connection

    def _new(self) -> Connection:
        return Connection(self._pool.loop, self, self._pool.buffer)

    def free(self, connection: Connection) -> None:
        """It can take another request."""
        self._free[connection] = None

    def gone(self, connection: Connection) -> None:
        """It is closed."""
        self._free.pop(connection, None)
        self._pool.forget(connection)


class Pool:
    """The connections to all addresses, without a limit on their number.

    A time-out has no timer of its own: a look at all connections every so often closes those that have
    been silent for too long, a second late at most, and a quarter of the time-out if that is less.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, tls: ssl.SSLContext | None) -> None:
        self.loop = loop
        self.dialer = Dialer(loop, tls)
        self.buffer = memoryview(bytearray(_READ_AT_ONCE))
        self._origins: dict[Address, Origin] = {}
        self._open: set[Connection] = set()
        self._look_every = _LOOK
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._empty = asyncio.Event()
        self._empty.set()

    def origin(self, address: Address) -> Origin:
        """The one origin of all that goes to an address."""
        origin = self._origins.get(address)
        if origin is None:
            origin = self._origins[address] = Origin(self, address)
        return origin

    def heed(self, timeout: float) -> None:
        """Look often enough for a time-out of so many seconds."""
        often = max(timeout / 4, _SHORTEST_LOOK)
        if often < self._look_every:
            self._look_every = often
            if self._timer is not None:
                self._timer.cancel()
                self._timer = self.loop.call_later(often, self._look)

    def watch(self, connection: Connection) -> None:
        """A connection was opened. Raises `UpstreamFailed` when that is too late."""
        if self._closed:
            connection.abort()
            raise _closed(safe=True)
        self._open.add(connection)
        self._empty.clear()
        if self._timer is None:
            self._timer = self.loop.call_later(self._look_every, self._look)

    def forget(self, connection: Connection) -> None:
        """A connection was closed."""
        self._open.discard(connection)
        if not self._open:
            self._empty.set()

    def _look(self) -> None:
        now = self.loop.time()
        for connection in tuple(self._open):
            connection.check(now)
        self._timer = self.loop.call_later(self._look_every, self._look) if self._open else None

    async def close(self) -> None:
        """Close all connections, those in use too, and open no more; safe to call again."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self.dialer.close()
        for connection in tuple(self._open):
            connection.give_up(_closed(safe=False))
        await self._empty.wait()


def _closed(*, safe: bool) -> UpstreamFailed:
    return UpstreamFailed("upstream_error", "The provider's connections are closed.", safe_to_retry=safe)
