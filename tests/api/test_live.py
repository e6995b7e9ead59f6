"""The watch over connections: on real sockets, on both loops, with its times put in by the tests."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Self

import pytest
from aiohttp import web

from tokligenced.api.live import LiveStream, LiveStreams, Outlet
from tokligenced.api.server import Runner
from tokligenced.errors import RateLimited

# More than the kernel keeps for a client that does not read.
MUCH = b"x" * 8_000_000
KEEP_ALIVE = b": keep-alive\n\n"
CHUNK = b"e\r\n: keep-alive\n\n\r\n"

Respond = Callable[[web.Request, web.StreamResponse], Awaitable[None]]
Connect = Callable[[LiveStreams, Respond], Awaitable[socket.socket]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Connects a client to a server of its own that answers with a stream; it reads when it is told."""
    async with AsyncExitStack() as stack:

        async def connected(live: LiveStreams, respond: Respond) -> socket.socket:
            async def handle(request: web.Request) -> web.StreamResponse:
                response = web.StreamResponse()
                await response.prepare(request)
                await respond(request, response)
                return response

            app = web.Application()
            app.router.add_get("/", handle)
            runner = Runner(app, live, handler_cancellation=True, access_log=None, shutdown_timeout=0.0)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, runner.addresses[0])
            await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return client

        yield connected


async def receive(client: socket.socket, end: bytes) -> bytes:
    """All that comes until `end` has come."""
    loop = asyncio.get_running_loop()
    received = bytearray()
    while not received.endswith(end):
        received += await loop.sock_recv(client, 1 << 20) or pytest.fail(f"closed after {received[-80:]!r}")
    return bytes(received)


class Stuck:
    """An outlet whose client has stopped reading; `transport` is the server's end, `client` the other."""

    def __init__(self) -> None:
        server, self.client = socket.socketpair()
        self.server = server
        self.client.setblocking(False)

    async def __aenter__(self) -> Self:
        self.transport, _ = await asyncio.get_running_loop().create_connection(
            asyncio.Protocol, sock=self.server
        )
        self.outlet = Outlet(self.transport)
        self.transport.write(MUCH)
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self.transport.abort()
        self.client.close()

    async def read_some(self) -> None:
        """Read until some of what waited has left."""
        before = self.outlet.unsent()
        while self.outlet.unsent() == before:
            await asyncio.get_running_loop().sock_recv(self.client, 65536)


async def test_a_connection_from_which_nothing_leaves_is_cut() -> None:
    """Once bytes have waited for the whole time-out the connection is aborted, and not a look before."""
    async with Stuck() as stuck:
        for _ in range(3):
            assert not stuck.transport.is_closing()
            stuck.outlet.look(3)
        assert stuck.transport.is_closing()


async def test_a_connection_where_nothing_waits_is_never_cut() -> None:
    """Silence is no offence: only bytes that wait are counted against a client."""
    async with Stuck() as stuck:
        while stuck.outlet.unsent():
            await stuck.read_some()
        for _ in range(10):
            stuck.outlet.look(3)
        assert not stuck.transport.is_closing()


async def test_a_client_that_reads_slowly_is_not_cut() -> None:
    """The time-out starts anew each time that some bytes have left."""
    async with Stuck() as stuck:
        for _ in range(5):
            stuck.outlet.look(3)
            stuck.outlet.look(3)
            assert not stuck.transport.is_closing()
            await stuck.read_some()
        for _ in range(4):
            assert not stuck.transport.is_closing()
            stuck.outlet.look(3)
        assert stuck.transport.is_closing()


async def test_what_comes_after_does_not_hide_that_bytes_left() -> None:
    """A reader for whom more is written than it read is no reader that stopped."""
    async with Stuck() as stuck:
        stuck.outlet.look(2)
        await stuck.read_some()
        stuck.transport.write(MUCH)
        stuck.outlet.moved = True
        stuck.outlet.look(2)
        assert not stuck.transport.is_closing()


async def test_bytes_that_left_are_noticed_by_the_connection(connect: Connect) -> None:
    """When writing may go on its connection's outlet says so; it is forgotten with the connection."""
    outlets = []
    gone = asyncio.Event()

    class Noting(LiveStreams):
        def connected(self, transport: asyncio.Transport) -> Outlet:
            outlets.append(super().connected(transport))
            return outlets[0]

        def disconnected(self, outlet: Outlet) -> None:
            super().disconnected(outlet)
            gone.set()

    async def respond(_request: web.Request, response: web.StreamResponse) -> None:
        await response.write(MUCH)
        await response.write(b"end")

    client = await connect(Noting(), respond)
    await receive(client, b"end\r\n0\r\n\r\n")
    assert outlets[0].moved
    client.close()
    await gone.wait()


async def test_one_stopped_reader_leaves_the_others_their_keep_alives(connect: Connect) -> None:
    """The watch goes on, and skips a stream of which something waits, however many bytes are wanting."""
    live = LiveStreams(keep_alive_after=0.0, interval=0.001)
    stopped, hold = asyncio.Event(), asyncio.Event()

    async def stop(request: web.Request, response: web.StreamResponse) -> None:
        stream = live.open(request, response, KEEP_ALIVE)
        assert request.transport is not None
        request.transport.write(MUCH)
        # aiohttp takes so much without waiting; a few bytes more, and a write waits for the client.
        await stream.write(b"y" * (65_536 - request.writer.buffer_size - 16))
        stopped.set()
        await hold.wait()

    async def be_silent(request: web.Request, response: web.StreamResponse) -> None:
        live.open(request, response, KEEP_ALIVE)
        await hold.wait()

    await connect(live, stop)
    await stopped.wait()
    client = await connect(live, be_silent)
    watch = asyncio.ensure_future(live.watch())
    await receive(client, CHUNK * 20)
    watch.cancel()


async def test_nothing_follows_the_end(connect: Connect) -> None:
    """A stream that waits for its end to be read gets no keep-alive, neither then nor after."""
    streams: list[LiveStream] = []
    live = LiveStreams()
    begun = asyncio.Event()

    async def respond(request: web.Request, response: web.StreamResponse) -> None:
        streams.append(live.open(request, response, KEEP_ALIVE))
        begun.set()
        await streams[0].finish(MUCH)
        await streams[0].look(1e9, 0.0)

    client = await connect(live, respond)
    await begun.wait()
    await streams[0].look(1e9, 0.0)
    received = asyncio.ensure_future(receive(client, b"x\r\n0\r\n\r\n"))
    while not received.done():
        await streams[0].look(1e9, 0.0)
        await asyncio.sleep(0)
    assert KEEP_ALIVE not in received.result()


async def test_a_client_that_left_does_not_end_the_watch(connect: Connect) -> None:
    """No keep-alive is tried where the connection is closing already."""
    live = LiveStreams()
    looked = asyncio.Event()

    async def leave(request: web.Request, response: web.StreamResponse) -> None:
        stream = live.open(request, response, KEEP_ALIVE)
        assert request.transport is not None
        request.transport.close()
        await stream.look(1e9, 0.0)
        looked.set()

    await connect(live, leave)
    await looked.wait()


async def test_a_handler_that_fails_after_the_head_closes(
    connect: Connect, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever fails while an answer is under way, no other answer follows within it."""

    async def fail(_request: web.Request, _response: web.StreamResponse) -> None:
        raise ZeroDivisionError

    client = await connect(LiveStreams(), fail)
    received = bytearray()
    while chunk := await asyncio.get_running_loop().sock_recv(client, 1 << 20):
        received += chunk
    assert received.count(b"HTTP/1.1") == 1
    assert received.endswith(b"\r\n\r\n")
    assert "request.crashed" in "".join(capfd.readouterr())


async def test_idle_is_when_every_byte_has_left(connect: Connect) -> None:
    """A stop waits for the answer's last byte, not for the end of the work on it."""
    live = LiveStreams()
    begun = asyncio.Event()

    async def respond(request: web.Request, _response: web.StreamResponse) -> None:
        assert request.transport is not None
        request.transport.write(MUCH + b"end")
        begun.set()

    client = await connect(live, respond)
    await begun.wait()
    idle = asyncio.ensure_future(live.idle())
    await asyncio.sleep(0)
    assert not idle.done()
    await receive(client, b"end0\r\n\r\n")
    await idle


def test_bodies_are_counted_by_key() -> None:
    """A key may have so many bodies arriving, another key its own; whoever is done makes room."""
    live = LiveStreams()
    with live.reading("a", 2):
        with live.reading("a", 2), live.reading("b", 1), pytest.raises(RateLimited) as refused:
            live.reading("a", 2).__enter__()
        assert (refused.value.code, refused.value.retry_after) == ("concurrency", 1)
        with live.reading("a", 2):
            pass
