"""The way to an upstream: a seam two methods wide, and the one that goes over HTTP.

aiohttp's client stays in this file, and its exceptions end here.
"""

import ssl
from collections.abc import Mapping
from typing import Protocol

import aiohttp
from yarl import URL

from tokligenced.errors import UpstreamFailed
from tokligenced.providers.base import UpstreamRequest

# A whole answer larger than this is not kept in memory.
MAX_ANSWER = 64 * 1024 * 1024
_READ_BUFFER = 16 * 1024


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
    """Upstreams over HTTP, with one pool of connections for all. Make it inside a running loop."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=_READ_BUFFER,
            raise_for_status=False,
        )
        self._urls: dict[str, URL] = {}
        self._timeouts: dict[tuple[float, float], aiohttp.ClientTimeout] = {}

    async def send(self, request: UpstreamRequest) -> "HttpResponse":
        """Send, and wait for the head of the answer."""
        url = self._urls.get(request.url)
        if url is None:
            # The addresses come from the configuration alone, so there are not many of them.
            url = self._urls[request.url] = URL(request.url, encoded=True)
        try:
            response = await self._session.request(
                request.method,
                url,
                data=request.body,
                headers=request.headers,
                allow_redirects=False,
                timeout=self._timeout(request.connect_timeout, request.idle_timeout),
            )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise translated(error) from error
        return HttpResponse(response)

    def _timeout(self, connect: float, idle: float) -> aiohttp.ClientTimeout:
        timeout = self._timeouts.get((connect, idle))
        if timeout is None:
            timeout = self._timeouts[connect, idle] = aiohttp.ClientTimeout(
                total=None, sock_connect=connect, sock_read=idle
            )
        return timeout

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


class HttpResponse:
    """An answer over HTTP."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response

    async def next(self) -> bytes:
        """What has arrived since the last time, empty at the end."""
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise translated(error) from error

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
        """Be done with it. A connection whose answer was read to its end goes back to the pool by itself."""
        self._response.close()


def translated(error: Exception) -> UpstreamFailed:
    """What went wrong on the way, most specific first; none of it names an address to the client."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            return UpstreamFailed("upstream_timeout", "The provider could not be reached in time.")
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return _failed("The provider's certificate or TLS set-up is not acceptable.", error, safe=True)
        case aiohttp.ClientConnectorError():
            return _failed("The provider could not be reached.", error, safe=True)
        case TimeoutError():
            return UpstreamFailed("upstream_timeout", "The provider fell silent.", safe_to_retry=False)
        case aiohttp.ClientPayloadError() | aiohttp.ServerDisconnectedError() | OSError():
            return _failed("The provider cut the connection.", error, safe=False)
        case _:
            return _failed("The provider does not speak HTTP as it should.", error, safe=False)


def _failed(message: str, error: Exception, *, safe: bool) -> UpstreamFailed:
    return UpstreamFailed(
        "upstream_error", message, safe_to_retry=safe, detail=f"{type(error).__name__}: {error}"
    )
