"""Clients that read slowly or not at all, and what breaks while they are being answered."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from tests.api.conftest import Gateway
from tests.api.test_chat_calls import REQUEST, STREAMED
from tests.fakes import STALL, FakeUpstream, body, chat_chunks, chat_completion, events, stream
from tokligenced.api.live import LiveStream, LiveStreams, Outlet
from tokligenced.gateway.relay import Passage

# More than the kernel keeps for a client that does not read.
LARGE = "x" * 8_000_000

Send = Callable[..., Awaitable[socket.socket]]


class Counting(LiveStreams):
    """A watch in a hurry that tells how many streams it looks after."""

    def __init__(self) -> None:
        super().__init__(keep_alive_after=0.05, write_timeout=0.3, interval=0.01)
        self.streams = 0
        self.outlets: asyncio.Queue[Outlet] = asyncio.Queue()
        self.gone = asyncio.Event()

    def connected(self, transport: asyncio.Transport) -> Outlet:
        outlet = super().connected(transport)
        self.outlets.put_nowait(outlet)
        return outlet

    def disconnected(self, outlet: Outlet) -> None:
        super().disconnected(outlet)
        self.gone.set()

    def open(self, request: web.Request, response: web.StreamResponse, keep_alive: bytes) -> LiveStream:
        self.streams += 1
        return super().open(request, response, keep_alive)

    def close(self, stream: LiveStream) -> None:
        self.streams -= 1
        super().close(stream)


@pytest.fixture
def live() -> Counting:
    """A watch in a hurry."""
    return Counting()


@pytest.fixture
async def send(gateway: Gateway) -> AsyncIterator[Send]:
    """Sends a call, or any bytes, over a connection of its own; nothing is read unless a test reads it."""
    opened = []

    async def sent(call: object) -> socket.socket:
        client = socket.socket()
        opened.append(client)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", int(gateway.url.rpartition(":")[2])))
        if not isinstance(call, bytes):
            data = json.dumps(call).encode()
            call = (
                f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.key}\r\n"
                f"Content-Length: {len(data)}\r\n\r\n"
            ).encode() + data
        await loop.sock_sendall(client, call)
        return client

    yield sent
    for client in opened:
        client.close()


async def read(client: socket.socket) -> bytes:
    """Everything until the connection is closed."""
    received = bytearray()
    while chunk := await asyncio.get_running_loop().sock_recv(client, 1 << 20):
        received += chunk
    return bytes(received)


async def read_past(client: socket.socket, text: bytes) -> bytes:
    """What came until `text` was among it."""
    received = bytearray()
    while received.find(text, -100_000) < 0:
        received += await asyncio.get_running_loop().sock_recv(client, 65_536) or pytest.fail("closed")
    return bytes(received)


@pytest.mark.parametrize("streamed", [False, True])
async def test_who_reads_nothing_is_cut(
    gateway: Gateway, upstream: FakeUpstream, send: Send, streamed: bool
) -> None:
    """A client that stops reading is cut off after the write time-out, in a stream or a whole answer."""
    if streamed:
        upstream.serve(stream(*events(*chat_chunks([LARGE])), STALL))
    else:
        upstream.serve(body(chat_completion(LARGE)))
    client = await send(STREAMED if streamed else REQUEST)
    received = await upstream.arrived()
    if streamed:
        await received.gone.wait()
    await gateway.assembly.live.idle()
    assert len(await read(client)) < len(LARGE)
    ((status, *_),) = await gateway.rows()
    assert status == (499 if streamed else 200)


async def test_who_reads_nothing_is_cut_without_a_key(gateway: Gateway, send: Send) -> None:
    """Requests by the hundred whose answers nobody reads hold their connection no longer than others."""
    path = "x" * 8000
    client = await send(b"")
    asked = f"GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * 600
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        while True:
            await asyncio.get_running_loop().sock_sendall(client, asked)
    await gateway.assembly.live.idle()


async def test_a_slow_reader_gets_its_whole_answer_in_a_drain(
    gateway: Gateway, upstream: FakeUpstream, send: Send
) -> None:
    """An answer counts as running until it has been sent, although its call was settled long before."""
    reply = body(chat_completion(LARGE))
    upstream.serve(reply)
    client = await send(REQUEST)
    head = await read_past(client, b"\r\n\r\n")
    gateway.assembly.lifecycle.drain()
    await gateway.assembly.lifecycle.idle()
    idle = asyncio.ensure_future(gateway.assembly.live.idle())
    await asyncio.sleep(0)
    assert not idle.done()
    rest = await read_past(client, b'"prompt_tokens"')
    await idle
    assert len(head + rest) > len(LARGE)


async def test_a_silent_stream_is_kept_alive(upstream: FakeUpstream, send: Send, live: Counting) -> None:
    """While the upstream says nothing comments go out; none comes after the end."""
    first, *rest = events(*chat_chunks())
    gate = asyncio.Event()
    upstream.serve(stream(first, gate, *rest))
    client = await send(STREAMED)
    await read_past(client, b": keep-alive\n\n\r\ne\r\n: keep-alive\n\n")
    gate.set()
    assert (await read_past(client, b"\r\n0\r\n\r\n")).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    await live.idle()
    assert live.streams == 0


@pytest.mark.parametrize("fault", [ZeroDivisionError("a secret"), RuntimeError()])
async def test_a_fault_in_mid_stream_is_one_error_event(
    gateway: Gateway,
    upstream: FakeUpstream,
    send: Send,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    fault: Exception,
) -> None:
    """A bug that shows after the head is one opaque event in the stream, and no second answer within it."""

    async def broken(_passage: Passage) -> AsyncIterator[bytes]:
        yield b"data: {}\n\n"
        raise fault

    monkeypatch.setattr(Passage, "chunks", broken)
    upstream.serve(stream(*events(*chat_chunks())))
    received = await read(await send(STREAMED))
    assert received.count(b"HTTP/1.1 ") == 1
    assert received.endswith(b"\n\n\r\n0\r\n\r\n")
    (event,) = [line for line in received.split(b"\n") if b'"error"' in line]
    found = json.loads(event.removeprefix(b"data: "))["error"]
    ((status, code, *_),) = await gateway.rows()
    assert (status, code, found["code"]) == (500, "internal_error", "internal_error")
    logged = "".join(capfd.readouterr())
    assert "call.crashed" in logged
    assert found["message"].split()[-1].rstrip(".") in logged
    assert "secret" not in found["message"]


async def test_a_hang_up_noticed_in_writing_is_no_fault(
    gateway: Gateway,
    upstream: FakeUpstream,
    send: Send,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A client that is found gone is booked as such, and nothing is logged as if it were our doing."""

    async def broken(_passage: Passage) -> AsyncIterator[bytes]:
        yield b"data: {}\n\n"
        raise ConnectionResetError

    monkeypatch.setattr(Passage, "chunks", broken)
    upstream.serve(stream(*events(*chat_chunks())))
    received = await read(await send(STREAMED))
    assert received.endswith(b"data: {}\n\n\r\n")
    ((status, code, *_),) = await gateway.rows()
    assert (status, code) == (499, "client_left")
    assert "crashed" not in "".join(capfd.readouterr())


async def test_a_cut_after_the_end_adds_nothing(
    gateway: Gateway, upstream: FakeUpstream, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The final cut of a stream whose end waits to be read neither repeats the end nor answers again."""
    written, forever = asyncio.Event(), asyncio.Event()
    finish = LiveStream.finish

    async def finish_and_wait(stream: LiveStream, chunk: bytes = b"") -> None:
        await finish(stream, chunk)
        written.set()
        await forever.wait()

    monkeypatch.setattr(LiveStream, "finish", finish_and_wait)
    upstream.serve(stream(*events(*chat_chunks())))
    client = await send(STREAMED)
    await written.wait()
    gateway.assembly.live.cut()
    received = await read(client)
    assert received.count(b"HTTP/1.1 ") == 1
    assert received.count(b"data: [DONE]") == received.count(b"\r\n0\r\n\r\n") == 1
    assert received.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


async def test_small_answers_nobody_reads_do_not_pile_up(
    gateway: Gateway, send: Send, live: Counting
) -> None:
    """A client that asks on and on without reading is answered no further than the socket's buffers hold."""
    request = f"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.key}\r\n\r\n".encode()
    asking = asyncio.ensure_future(send(request * 20_000))
    outlet = await live.outlets.get()
    most = 0
    while not live.gone.is_set():
        most = max(most, outlet.unsent())
        await asyncio.sleep(0)
    assert 0 < most < 256 * 1024
    await asyncio.wait([asking])
    assert asking.exception() is None or isinstance(asking.exception(), ConnectionError)
