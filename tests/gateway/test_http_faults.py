"""The HTTP client when something goes wrong on the way: code, message, and whether another try is safe."""

import asyncio
import socket

import pytest

from tests.fakes import CUT, FakeUpstream, Reply
from tests.gateway.raw_server import HELLO, Asker, RawServer, failing, read_request, saying, until, until_left

HEAD = b"HTTP/1.1 200 OK\r\n"
BROKEN = "The provider does not speak HTTP as it should."
CUT_OFF = "The provider cut the connection."
SILENT = "The provider fell silent."


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_nobody_listens(ask: Asker) -> None:
    """A refused connection is safe to retry; the address is for the log alone."""
    port = closed_port()
    failure = await failing(ask(f"http://127.0.0.1:{port}/"), safe=True)
    assert failure.message == "The provider could not be reached."
    assert failure.detail.startswith("ConnectionRefusedError: ")


@pytest.mark.parametrize("host", ["nonexistent.invalid", "a..b", "x" * 70 + ".invalid"])
async def test_a_name_that_leads_nowhere(ask: Asker, host: str) -> None:
    """A host that can't be found was not asked anything, each time anew."""
    for _ in range(2):
        failure = await failing(ask(f"http://{host}/"), safe=True)
        assert failure.message == "The provider could not be reached."


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param(b"", CUT_OFF, id="nothing"),
        pytest.param(HEAD, CUT_OFF, id="half a head"),
        pytest.param(b"nonsense\r\n\r\n", BROKEN, id="nonsense"),
        pytest.param(b"<html>hello</html>\n", BROKEN, id="HTTP/0.9"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 100, BROKEN, id="interim flood"),
        pytest.param(HEAD + b"X: 1\r\n" * 20_000, BROKEN, id="huge head"),
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x0a", BROKEN, id="TLS"),
    ],
)
async def test_no_head(ask: Asker, answer: bytes, message: str) -> None:
    """Without a good head the call fails, and is not safe to retry: the upstream has the request."""
    async with RawServer(saying(answer)) as server:
        failure = await failing(ask(server.url), safe=False)
        assert failure.message == message
        assert failure.detail
        await server.left.wait()


async def test_the_log_gets_the_reason(ask: Asker) -> None:
    """What is refused here is named in the detail, not only that the parser stopped."""
    async with RawServer(saying(HEAD + b"Transfer-Encoding: gzip\r\n\r\nhi")) as server:
        failure = await failing(ask(server.url), safe=False)
        assert "transfer coding" in failure.detail


async def test_a_reset_before_the_head(ask: Asker, upstream: FakeUpstream) -> None:
    """A reset is a cut."""
    upstream.serve(Reply(before=(CUT,)))
    assert (await failing(ask(upstream.url), safe=False)).message == CUT_OFF


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param(HEAD + b"Content-Length: 9\r\n\r\nhi", CUT_OFF, id="length"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", CUT_OFF, id="chunked"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n", CUT_OFF, id="last chunk"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\n", BROKEN, id="chunk size"),
    ],
)
async def test_a_body_that_breaks(ask: Asker, answer: bytes, message: str) -> None:
    """What came before the break is given; then comes the failure, again and again, and no end."""
    async with RawServer(saying(answer)) as server:
        response = await ask(server.url)
        assert await response.next() == b"hi"
        for _ in range(2):
            assert (await failing(response.next(), safe=False)).message == message
        assert (await failing(ask.whole(server.url), safe=False)).message == message


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_a_reset_in_the_body(ask: Asker, upstream: FakeUpstream, framing: str) -> None:
    """A reset is a failure even where the end of the connection would have been the end of the answer."""
    gate = asyncio.Event()
    upstream.serve(Reply(parts=(b"hi", gate, CUT, b"more"), framing=framing))  # type: ignore[arg-type]
    response = await ask(upstream.url)
    assert await response.next() == b"hi"
    gate.set()
    assert (await failing(response.next(), safe=False)).message == CUT_OFF


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="before the head"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", id="after an interim answer"),
        pytest.param(HEAD, id="in the head"),
        pytest.param(HEAD + b"Content-Length: 9\r\n\r\nhi", id="in the body"),
        pytest.param(HEAD + b"\r\nhi", id="in a body without length"),
    ],
)
async def test_an_upstream_that_falls_silent(ask: Asker, answer: bytes) -> None:
    """Silence beyond the idle time-out ends the call, wherever it falls, and its connection."""
    async with RawServer(saying(answer, then=until_left)) as server:

        async def call() -> None:
            await (await ask(server.url, idle=0.05)).read()

        failure = await failing(call(), "upstream_timeout", safe=False)
        assert failure.message == SILENT
        await server.left.wait()


async def test_an_upstream_that_does_not_take_the_request(ask: Asker) -> None:
    """A request that gets stuck on its way is silence too."""
    stuck = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        await stuck.wait()

    async with RawServer(serve) as server:
        failure = await failing(ask(server.url, bytes(50_000_000), idle=0.05), "upstream_timeout", safe=False)
        assert failure.message == SILENT
        stuck.set()


async def test_a_time_out_that_is_shorter_than_those_before(ask: Asker) -> None:
    """A short time-out strikes in time although long ones came first."""
    async with RawServer(saying(HELLO, then=until_left)) as server:
        assert await ask.whole(server.url) == b"hello"
        began = asyncio.get_running_loop().time()
        await failing(ask(server.url, idle=0.05), "upstream_timeout", safe=False)
        assert 0.05 <= asyncio.get_running_loop().time() - began < 0.9


async def test_an_early_answer_does_not_wait_for_the_request(ask: Asker) -> None:
    """A refusal that comes while the request is still leaving is given, and the rest stays unsent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await until_left(reader, writer)

    async with RawServer(serve) as server:
        response = await ask(server.url, bytes(50_000_000))
        assert (response.status, await response.read()) == (413, b"no")
        await server.left.wait()


async def test_one_call_s_failure_is_not_another_s(ask: Asker) -> None:
    """A cut connection takes down the call that used it and no other."""
    gate = asyncio.Event()
    first = True

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal first
        mine, first = first, False
        await read_request(reader)
        await gate.wait()
        if not mine:
            writer.write(HELLO)
            await until_left(reader, writer)

    async with RawServer(serve) as server:
        calls = [asyncio.ensure_future(ask.whole(server.url)) for _ in range(3)]
        await until(lambda: server.connections == 3)
        gate.set()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert results.count(b"hello") == 2
