"""The HTTP client over real sockets: what is sent, which connection takes it, when connections end."""

import asyncio
import gc

import pytest

from tests.fakes import STALL, FakeUpstream, Reply, body, gzipped, redirect
from tests.gateway.raw_server import (
    HELLO,
    Asker,
    RawServer,
    failing,
    forever,
    read_request,
    saying,
    turns,
    until,
    until_left,
)
from tokligenced.gateway import http_connection, http_pool
from tokligenced.gateway.http_connection import Connection
from tokligenced.gateway.upstream import HttpUpstream

HEAD = b"HTTP/1.1 200 OK\r\n"


async def test_a_request_is_sent_as_it_was_given(ask: Asker) -> None:
    """Method, path, query, headers and body arrive unchanged, with a host and a length, and nothing else."""
    received = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.set_result(await read_request(reader))
        writer.write(HELLO)

    async with RawServer(serve) as server:
        headers = {"Content-Type": "application/json", "Authorization": "Bearer sk-x"}
        await ask(server.url + "/v1/chat?x=%20", b'{"a":1}', headers=headers)
        assert await received == (
            b"POST /v1/chat?x=%%20 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
            b'Authorization: Bearer sk-x\r\nContent-Length: 7\r\n\r\n{"a":1}' % server.port
        )


@pytest.mark.parametrize("size", [0, 65_536, 65_537, 5_000_000])
async def test_a_body_of_any_size_arrives(ask: Asker, upstream: FakeUpstream, size: int) -> None:
    """Every byte of a small or a large body is there, each time."""
    upstream.serve(body({}))
    sent = bytes(range(251)) * (size // 251) + b"x" * (size % 251)
    for _ in range(2):
        assert await (await ask(upstream.url, sent)).read() == b"{}"
    assert [request.body for request in upstream.received] == [sent, sent]


async def test_what_is_remembered_of_a_request_is_not_mixed_up(ask: Asker, upstream: FakeUpstream) -> None:
    """Other headers, another path or another method are another request, however many there were."""
    upstream.serve(body({}))
    for number in range(1_100):
        # Most of these mappings are gone by now, and another one may have come to their place in memory.
        await (await ask(f"{upstream.url}/{number % 3}", headers={"X-Number": str(number)})).read()
    await (await ask(f"{upstream.url}/0", method="PUT", headers={"X-Number": "last"})).read()
    seen = [(r.method, r.path, r.headers["X-Number"]) for r in upstream.received]
    assert seen == [*[("POST", f"/{n % 3}", str(n)) for n in range(1_100)], ("PUT", "/0", "last")]


async def test_an_answer_is_given_as_it_came(ask: Asker, upstream: FakeUpstream) -> None:
    """Nothing is decompressed, no redirect followed, no cookie kept."""
    upstream.serve(gzipped(body({"a": 1}, headers={"Set-Cookie": "a=b"})), redirect("http://127.0.0.1:9/"))
    first = await ask(upstream.url)
    assert first.headers.get("content-encoding") == "gzip"
    assert (await first.read()).startswith(b"\x1f\x8b")
    second = await ask(upstream.url)
    assert (second.status, second.headers["LOCATION"]) == (302, "http://127.0.0.1:9/")
    assert await second.read() == b""
    assert len(upstream.received) == 2
    assert "Cookie" not in upstream.received[1].headers


async def test_pieces_come_when_they_come(ask: Asker, upstream: FakeUpstream) -> None:
    """A part of a stream is there before the next one is sent; what came together is given together."""
    gates = [asyncio.Event(), asyncio.Event()]
    upstream.serve(Reply(parts=(b"one", gates[0], b"two", gates[1], b"three"), framing="chunked"))
    response = await ask(upstream.url)
    assert await response.next() == b"one"
    gates[0].set()
    assert await response.next() == b"two"
    waiting = asyncio.ensure_future(response.next())
    await turns()
    waiting.cancel()
    gates[1].set()
    assert await response.next() == b"three"
    assert await response.next() == b""
    assert await response.next() == b""


async def test_an_answer_ends_with_its_connection(ask: Asker, upstream: FakeUpstream) -> None:
    """Without an announced length the end of the connection is the end of the answer."""
    upstream.serve(Reply(parts=(b"some", b"thing"), framing="close"))
    assert await ask.whole(upstream.url) == b"something"
    assert await ask.whole(upstream.url) == b"something"


async def test_calls_in_a_row_use_one_connection(ask: Asker) -> None:
    """A connection whose answer is complete serves the next request."""
    async with RawServer(forever) as server:
        for _ in range(5):
            response = await ask(server.url)
            assert await response.read() == b"hello"
            response.close()
        assert server.connections == 1


async def test_calls_at_once_use_a_connection_each(ask: Asker) -> None:
    """There is no limit on the number of connections, and all of them are used again."""
    gate = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            await gate.wait()
            writer.write(HELLO)

    async with RawServer(serve) as server:
        calls = [asyncio.ensure_future(ask.whole(server.url)) for _ in range(90)]
        await until(lambda: server.connections == 90)
        gate.set()
        assert await asyncio.gather(*calls) == [b"hello"] * 90
        assert await asyncio.gather(*[ask.whole(server.url) for _ in range(90)]) == [b"hello"] * 90
        assert server.connections == 90


async def test_the_connection_used_last_is_taken_first(ask: Asker) -> None:
    """Connections that a burst needed are left to grow old."""
    gates = [asyncio.Event(), asyncio.Event()]
    came = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal came
        mine, came = came, came + 1
        while True:
            await read_request(reader)
            await gates[mine].wait()
            writer.write(HEAD + b"Content-Length: 1\r\n\r\n%d" % mine)

    async with RawServer(serve) as server:
        calls = {asyncio.ensure_future(ask.whole(server.url)) for _ in range(2)}
        await until(lambda: came == 2)
        for mine in (1, 0):
            gates[mine].set()
            done, calls = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            assert [call.result() for call in done] == [b"%d" % mine]
        assert [await ask.whole(server.url) for _ in range(3)] == [b"0"] * 3


async def test_different_addresses_have_different_connections(ask: Asker) -> None:
    """A connection serves the host and port it leads to, whatever the path."""
    async with RawServer(forever) as one, RawServer(forever) as other:
        for url in (one.url + "/a", other.url + "/a", one.url + "/b", other.url + "/b"):
            assert await ask.whole(url) == b"hello"
        assert (one.connections, other.connections) == (1, 1)


async def test_a_connection_closed_by_the_server_is_not_used(ask: Asker) -> None:
    """When the upstream hangs up between two calls, the second has a new connection and sees nothing."""
    async with RawServer(saying(HELLO)) as server:
        for count in (1, 2, 3):
            assert await ask.whole(server.url) == b"hello"
            await server.left.wait()
            server.left.clear()
            await turns()
            assert server.connections == count


async def test_a_request_is_never_sent_twice(ask: Asker) -> None:
    """When the upstream hangs up after it got a request on a used connection, nobody tries again."""
    seen = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(HELLO)
        seen.append(await read_request(reader))

    async with RawServer(serve) as server:
        assert await ask.whole(server.url) == b"hello"
        failure = await failing(ask(server.url), safe=False)
        assert failure.message == "The provider cut the connection."
        assert len(seen) == 2
        assert server.connections == 1


async def test_what_is_not_wanted_any_more_is_closed(ask: Asker) -> None:
    """Closing an unfinished answer closes its connection at once, and who still waits is told."""
    async with RawServer(saying(HEAD + b"Content-Length: 9\r\n\r\nhi", then=until_left)) as server:
        response = await ask(server.url)
        assert await response.next() == b"hi"
        waiting = asyncio.ensure_future(response.next())
        await turns()
        response.close()
        await server.left.wait()
        await failing(waiting, safe=False)
        response.close()


async def test_closing_a_finished_answer_leaves_its_connection_alone(ask: Asker) -> None:
    """The connection may be another call's by then."""
    gate = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(HELLO)
        await read_request(reader)
        await gate.wait()
        writer.write(HELLO)

    async with RawServer(serve) as server:
        first = await ask(server.url)
        await first.read()
        second = asyncio.ensure_future(ask.whole(server.url))
        await turns()
        first.close()
        gate.set()
        assert await second == b"hello"


async def test_who_leaves_before_the_head_closes_the_connection(ask: Asker) -> None:
    """A cancelled call does not leave an upstream working for nobody."""
    async with RawServer(saying(then=until_left)) as server:
        call = asyncio.ensure_future(ask(server.url))
        await until(lambda: server.connections == 1)
        await turns()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await server.left.wait()


async def test_who_leaves_at_any_moment_leaves_nothing_behind(ask: Asker, http: HttpUpstream) -> None:
    """A call may be cancelled wherever it stands, and no connection is forgotten."""
    answer = HELLO.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    async with RawServer(saying(answer)) as server:
        for steps in range(40):
            call = asyncio.ensure_future(ask.whole(server.url))
            await turns(steps)
            call.cancel()
            await asyncio.wait([call])
        assert await ask.whole(server.url) == b"hello"
        await asyncio.wait_for(http.close(), 10)


async def test_a_slow_reader_slows_the_upstream(ask: Asker) -> None:
    """However fast the upstream is, only so much of its answer is kept; nothing of it is lost."""
    written = 0

    async def pour(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        while True:
            writer.write(b"".join([b"%08d" % number for number in range(written, written + 4_000)]))
            written += 4_000
            await writer.drain()

    async with RawServer(saying(HEAD + b"\r\n", then=pour)) as server:
        response = await ask(server.url)
        got = bytearray()
        for _ in range(10):
            before = -1
            while before != written:  # until the upstream is stuck
                before = written
                await turns(20)
            # What is queued when the reading stops, and one more reading of the socket.
            chunk = await response.next()
            assert 0 < len(chunk) <= 128 * 1024
            got += chunk
        numbers = [int(got[at : at + 8]) for at in range(0, len(got) - 7, 8)]
        assert numbers == list(range(len(numbers)))
        response.close()
        await server.left.wait()


async def test_a_whole_answer_has_a_limit(ask: Asker, upstream: FakeUpstream) -> None:
    """An answer beyond the limit is a failure, and is not read any further."""
    upstream.serve(Reply(parts=(b"x" * 1_000, STALL), framing="chunked"), Reply(parts=(b"x" * 1_000,)))
    await failing((await ask(upstream.url)).read(999), safe=True)
    await upstream.received[0].gone.wait()
    assert await (await ask(upstream.url)).read(1_000) == b"x" * 1_000


async def test_connections_that_nobody_uses_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while without a call a free connection is closed, and the next call opens another."""
    monkeypatch.setattr(http_connection, "KEEP_ALIVE", 0.02)
    monkeypatch.setattr(http_pool, "_LOOK", 0.01)
    http = HttpUpstream()
    ask = Asker(http)
    async with RawServer(forever) as server:
        assert await ask.whole(server.url) == b"hello"
        await server.left.wait()
        assert await ask.whole(server.url) == b"hello"
        assert server.connections == 2
        await http.close()


async def test_closing_the_client_closes_everything(http: HttpUpstream, ask: Asker) -> None:
    """Free connections and those in use are closed; calls that wait fail; closing twice is no harm."""
    answers = iter((HEAD + b"Content-Length: 9\r\n\r\nhi", HELLO))
    left = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        await read_request(reader)
        writer.write(next(answers))
        await until_left(reader, writer)
        left += 1

    async with RawServer(serve) as server:
        used = await ask(server.url)
        assert await used.next() == b"hi"
        free = await ask(server.url)
        waiting = asyncio.ensure_future(used.next())
        await turns()
        await http.close()
        await http.close()
        await failing(waiting, safe=False)
        assert await free.read() == b"hello"
        await until(lambda: left == 2)
        await failing(ask(server.url), safe=True)


async def test_nothing_is_left_running(ask: Asker, http: HttpUpstream) -> None:
    """A call needs no task of its own, and a closed client has none."""
    async with RawServer(forever) as server:
        await ask.whole(server.url)
        before = len(asyncio.all_tasks())
        response = await ask(server.url)
        assert len(asyncio.all_tasks()) == before
        await response.read()
        await http.close()
        await until(lambda: len(asyncio.all_tasks()) == 1)


async def test_a_closed_connection_leaves_nothing_behind(ask: Asker) -> None:
    """Connections that upstreams closed don't pile up, and need no garbage collector to go."""

    def connections() -> int:
        return sum(type(thing) is Connection for thing in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        async with RawServer(saying(HELLO)) as server:
            for count in range(1, 6):
                await asyncio.gather(ask.whole(server.url), ask.whole(server.url))
                await until(lambda: connections() == 0)
                assert server.connections == 2 * count
    finally:
        gc.enable()
