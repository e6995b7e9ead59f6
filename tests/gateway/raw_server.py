"""A server that says exactly what a test wants said, and a short way to ask it."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Self

import pytest

from tokligenced.errors import UpstreamFailed
from tokligenced.gateway.upstream import HttpResponse, HttpUpstream
from tokligenced.providers.base import UpstreamRequest

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
_HEADERS = {"Content-Type": "application/json"}


class Asker:
    """Sends requests that differ only where a test cares."""

    def __init__(self, http: HttpUpstream) -> None:
        self._http = http

    async def __call__(
        self,
        url: str,
        body: bytes = b"{}",
        *,
        method: str = "POST",
        headers: Mapping[str, str] = _HEADERS,
        connect: float = 100.0,
        idle: float = 100.0,
    ) -> HttpResponse:
        """Send one, and wait for the answer's head."""
        return await self._http.send(
            UpstreamRequest(
                method=method, url=url, headers=headers, body=body, connect_timeout=connect, idle_timeout=idle
            )
        )

    async def whole(self, url: str) -> bytes:
        """The body of one answer."""
        return await (await self(url)).read()


class RawServer:
    """Hands each connection to `serve`, a coroutine function of reader and writer, on a port of its own.

    `connections` counts those that came; `left` is set once a `serve` has ended, and its connection
    with it.
    """

    def __init__(self, serve: Serve, *, tls: ssl.SSLContext | None = None) -> None:
        self._serve = serve
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.connections = 0
        self.left = asyncio.Event()
        self.port = 0

    @property
    def serving(self) -> int:
        """How many connections are open."""
        return len(self._tasks)

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_exception: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.ensure_future(self._run(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client's good right
        finally:
            writer.transport.abort()
            self.left.set()


def saying(*answers: bytes, then: Serve | None = None) -> Serve:
    """Answer a request with each in turn, then do what `then` does, or hang up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await read_request(reader)
            writer.write(answer)
            await writer.drain()
        if then is not None:
            await then(reader, writer)
        else:
            writer.close()
            await writer.wait_closed()

    return serve


async def forever(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer all requests alike until the client leaves."""
    while True:
        await read_request(reader)
        writer.write(HELLO)


async def until_left(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # noqa: ARG001
    """Say nothing, and wait for the client to leave."""
    while await reader.read(65_536):
        pass


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """One request, head and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    return head + await reader.readexactly(length)


async def turns(count: int = 10) -> None:
    """Let the loop look at its sockets a few times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until it is so."""
    while not condition():
        await turns(1)


async def failing(
    awaitable: Awaitable[object], code: str = "upstream_error", *, safe: bool
) -> UpstreamFailed:
    """How it failed, with this code; `safe` as in `UpstreamFailed.safe_to_retry`."""
    with pytest.raises(UpstreamFailed) as caught:
        await awaitable
    assert (caught.value.code, caught.value.safe_to_retry) == (code, safe)
    return caught.value
