"""The HTTP client over TLS, with certificates made for the occasion."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateway.raw_server import (
    HELLO,
    Asker,
    RawServer,
    failing,
    forever,
    saying,
    turns,
    until,
    until_left,
)
from tokligenced.gateway.upstream import HttpUpstream

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="there is no openssl to make a certificate with"
)

NOT_ACCEPTED = "The provider's certificate or TLS set-up is not acceptable."


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 and its key, in one file."""
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-days", "2", "-subj", "/CN=fake", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", str(file), "-out", str(file.with_suffix(".crt")),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    file.write_bytes(file.read_bytes() + file.with_suffix(".crt").read_bytes())
    return file


@pytest.fixture
def server_side(certificate: Path) -> ssl.SSLContext:
    """What a server needs to show that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
async def trusting(certificate: Path) -> AsyncIterator[Asker]:
    """A client that trusts that certificate and no other."""
    http = HttpUpstream(tls=ssl.create_default_context(cafile=str(certificate)))
    yield Asker(http)
    await http.close()


async def test_a_trusted_certificate(trusting: Asker, server_side: ssl.SSLContext) -> None:
    """Calls in a row use one encrypted connection, also for large requests and answers."""
    async with RawServer(forever, tls=server_side) as server:
        for size in (0, 2, 1_000_000):
            assert await (await trusting(server.url, bytes(size))).read() == b"hello"
        assert server.connections == 1
    large = bytes(range(256)) * 20_000
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(large), large)
    async with RawServer(saying(answer, then=until_left), tls=server_side) as server:
        assert await trusting.whole(server.url) == large


async def test_an_answer_that_ends_with_its_encrypted_connection(
    trusting: Asker, server_side: ssl.SSLContext
) -> None:
    """Without a length the end of the connection is the end of the answer, with TLS too."""
    async with RawServer(saying(b"HTTP/1.1 200 OK\r\n\r\nhello"), tls=server_side) as server:
        assert await trusting.whole(server.url) == b"hello"
        assert await trusting.whole(server.url) == b"hello"


async def test_an_unknown_certificate(ask: Asker, server_side: ssl.SSLContext) -> None:
    """A certificate that no authority vouches for is refused before anything is sent."""
    async with RawServer(forever, tls=server_side) as server:
        failure = await failing(ask(server.url), safe=True)
        assert failure.message == NOT_ACCEPTED
        assert "CERTIFICATE_VERIFY_FAILED" in failure.detail


async def test_somebody_else_s_certificate(trusting: Asker, server_side: ssl.SSLContext) -> None:
    """A trusted certificate for another host is refused."""
    async with RawServer(forever, tls=server_side) as server:
        failure = await failing(trusting(server.url.replace("127.0.0.1", "localhost")), safe=True)
        assert failure.message == NOT_ACCEPTED


async def test_no_tls_at_all(trusting: Asker) -> None:
    """A server that answers the greeting with something else is refused."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await until_left(reader, writer)

    async with RawServer(serve) as server:
        failure = await failing(trusting(server.url.replace("http:", "https:")), safe=True)
        assert failure.message == NOT_ACCEPTED


async def test_a_greeting_without_an_answer(trusting: Asker) -> None:
    """The connect time-out covers TLS, and the connection is closed."""
    async with RawServer(until_left) as server:
        url = server.url.replace("http:", "https:")
        failure = await failing(trusting(url, connect=0.25), "upstream_timeout", safe=True)
        assert failure.message == "The provider could not be reached in time."
        await server.left.wait()


async def test_who_leaves_during_the_greeting_closes_the_connection(trusting: Asker) -> None:
    """A cancelled call leaves no half-made connection."""
    greeted = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        greeted.set()
        await until_left(reader, writer)

    async with RawServer(serve) as server:
        call = asyncio.ensure_future(trusting(server.url.replace("http:", "https:")))
        await greeted.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await server.left.wait()


async def test_who_leaves_at_any_moment_leaves_nothing_behind(
    trusting: Asker, server_side: ssl.SSLContext
) -> None:
    """A call may be cancelled wherever it stands, and its connection goes at once."""
    answer = HELLO.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    async with RawServer(saying(answer, then=until_left), tls=server_side) as server:
        for steps in range(40):
            call = asyncio.ensure_future(trusting.whole(server.url))
            await turns(steps)
            call.cancel()
            await asyncio.wait([call])
        assert await trusting.whole(server.url) == b"hello"
        await until(lambda: server.serving == 0)


async def test_encrypted_faults(trusting: Asker, server_side: ssl.SSLContext) -> None:
    """Cuts, silence and closing are seen through TLS as they are without it."""
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"
    async with RawServer(saying(half), tls=server_side) as server:
        await failing(trusting.whole(server.url), safe=False)
    async with RawServer(saying(half, then=until_left), tls=server_side) as server:
        response = await trusting(server.url, idle=0.05)
        await failing(response.read(), "upstream_timeout", safe=False)
        await server.left.wait()
        server.left.clear()
        response = await trusting(server.url)
        response.close()
        await server.left.wait()


async def test_an_encrypted_connection_closed_by_the_server_is_not_used(
    trusting: Asker, server_side: ssl.SSLContext
) -> None:
    """Hanging up politely or not, between two calls it goes unnoticed."""

    async def rudely(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    for then in (None, rudely):
        async with RawServer(saying(HELLO, then=then), tls=server_side) as server:
            for _ in range(2):
                assert await trusting.whole(server.url) == b"hello"
                await server.left.wait()
                server.left.clear()
                await asyncio.sleep(0.01)
            assert server.connections == 2


async def test_a_request_that_gets_stuck_in_tls(trusting: Asker, server_side: ssl.SSLContext) -> None:
    """A server that stops reading is silent."""
    stuck = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await stuck.wait()

    async with RawServer(serve, tls=server_side) as server:
        await failing(trusting(server.url, bytes(20_000_000), idle=0.05), "upstream_timeout", safe=False)
        stuck.set()
