"""The way to an upstream: a seam two methods wide, and the one that goes over HTTP.

What the HTTP client reports in calls is collected here for whoever pulls it.
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Protocol

from tokligenced.errors import UpstreamFailed
from tokligenced.gateway.http_connection import Connection, Headers
from tokligenced.gateway.http_pool import Origin, Pool
from tokligenced.gateway.http_request import prepare
from tokligenced.providers.base import UpstreamRequest

# A whole answer larger than this is not kept in memory.
MAX_ANSWER = 64 * 1024 * 1024
# With more than this waiting to be pulled, the upstream has to wait too.
_MOST_QUEUED = 64 * 1024
_MOST_REMEMBERED = 1024


class UpstreamResponse(Protocol):
    """An upstream's answer, its head read and its body still coming."""

    status: int
    headers: Mapping[str, str]

    async def next(self) -> bytes:
        """What has arrived since the last time, empty at the end. Raises `UpstreamFailed`."""

    async def read(self, limit: int = MAX_ANSWER) -> bytes:
        """Everything that is left. Raises `UpstreamFailed`, also when it is more than `limit` bytes."""

    def close(self) -> None:
        """Be done with it; what has not been read is given up with its connection."""


class Upstream(Protocol):
    """Something that takes requests to where their URL points."""

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send, and wait for the head of the answer. Raises `UpstreamFailed`."""

    async def close(self) -> None:
        """Close all connections."""


class HttpUpstream:
    """Upstreams over HTTP/1.1, with one pool of connections for all. Make it inside a running loop.

    It follows no redirect, keeps no cookie, decompresses nothing and asks no proxy. It never sends a
    request twice: a connection that is known to be closed is not used, and when one turns out to be
    closed only after the request left, nobody can tell whether the upstream has begun to work on it.

    `tls` None means: certificates of the machine's own authorities.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._pool = Pool(self._loop, tls)
        # Headers are known by their identity: a provider sends the same object with every request.
        self._prepared: dict[tuple[str, str, int], tuple[Mapping[str, str], Origin, bytes]] = {}

    async def send(self, request: UpstreamRequest) -> "HttpResponse":
        """Send, and wait for the head of the answer."""
        key = (request.method, request.url, id(request.headers))
        _, origin, head = self._prepared.get(key) or self._prepare(key, request)
        connection = origin.take() or await origin.connect(request.connect_timeout)
        self._pool.heed(request.idle_timeout)
        response = HttpResponse(self._loop, connection)
        connection.ask(head, request.body, response, request.idle_timeout)
        await response.begun()
        return response

    def _prepare(
        self, key: tuple[str, str, int], request: UpstreamRequest
    ) -> tuple[Mapping[str, str], Origin, bytes]:
        address, head = prepare(request.method, request.url, request.headers)
        if len(self._prepared) >= _MOST_REMEMBERED:
            self._prepared.clear()
        # The headers are kept with it, so that no other object can come to have their identity.
        prepared = self._prepared[key] = (request.headers, self._pool.origin(address), head)
        return prepared

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()


class HttpResponse:
    """An answer over HTTP: receives it from the connection, and keeps it until it is pulled."""

    __slots__ = (
        "_chunks",
        "_connection",
        "_failure",
        "_loop",
        "_paused",
        "_queued",
        "_waiter",
        "headers",
        "status",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: Connection) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self._loop = loop
        # None as soon as the answer is complete or given up: the connection may serve another by then.
        self._connection: Connection | None = connection
        self._chunks: list[bytes] = []
        self._queued = 0
        self._paused = False
        self._failure: UpstreamFailed | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def begun(self) -> None:
        """Wait for the head. Raises `UpstreamFailed`; who is cancelled here has given the answer up."""
        try:
            while not self.status:
                if self._failure is not None:
                    raise self._failure
                await self._news()
        except asyncio.CancelledError:
            self.close()
            raise

    async def next(self) -> bytes:
        """What has arrived since the last time, empty at the end."""
        while not self._chunks:
            if self._failure is not None:
                raise self._failure
            if self._connection is None:
                return b""
            await self._news()
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._queued = 0
        if self._paused and self._connection is not None:
            self._paused = False
            self._connection.resume()
        return data

    async def read(self, limit: int = MAX_ANSWER) -> bytes:
        """Everything that is left, `limit` bytes at most."""
        chunks = []
        size = 0
        while chunk := await self.next():
            size += len(chunk)
            if size > limit:
                self.close()
                raise UpstreamFailed("upstream_error", "The provider's answer is beyond all size.")
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def close(self) -> None:
        """Be done with it. A connection whose answer is complete went back to the pool by itself."""
        if self._connection is not None:
            self._connection.abort()
            self._chunks.clear()
            self.failed(UpstreamFailed("upstream_error", "The answer was given up.", safe_to_retry=False))

    async def _news(self) -> None:
        self._waiter = self._loop.create_future()
        await self._waiter

    # What the connection reports.

    def head(self, status: int, headers: Headers) -> None:
        """The final status and its headers."""
        self.status = status
        self.headers = headers
        self._wake()

    def chunk(self, data: bytes) -> None:
        """Bytes of the body."""
        self._chunks.append(data)
        self._queued += len(data)
        if self._queued > _MOST_QUEUED and not self._paused and self._connection is not None:
            self._paused = True
            self._connection.pause()
        self._wake()

    def end(self) -> None:
        """The answer is complete."""
        self._connection = None
        self._wake()

    def failed(self, error: UpstreamFailed) -> None:
        """Nothing more comes."""
        self._connection = None
        self._failure = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
