import asyncio
import gzip
import json

import aiohttp
import pytest

from tests.fakes import (
    CUT,
    ENDLESS,
    STALL,
    FakeClock,
    FakeUpstream,
    FixedIds,
    Reply,
    body,
    chat_chunks,
    chat_completion,
    error,
    events,
    gzipped,
    redirect,
    split,
    stream,
)


async def test_requests_are_recorded_as_they_came(upstream: FakeUpstream) -> None:
    """Method, path with query, headers and the very bytes are there to be looked at."""
    upstream.serve(body({"ok": True}))
    async with (
        aiohttp.ClientSession() as session,
        session.put(f"{upstream.url}/a/b?c=%20d", data=b'{"x": 1 }', headers={"X-Mark": "m"}) as response,
    ):
        assert (response.status, await response.json()) == (200, {"ok": True})
    received = await upstream.arrived()
    assert (received.method, received.path, received.body) == ("PUT", "/a/b?c=%20d", b'{"x": 1 }')
    assert received.headers["x-mark"] == "m"
    assert received.json == {"x": 1}
    assert not received.gone.is_set()


async def test_replies_come_in_order_and_the_last_one_stays(upstream: FakeUpstream) -> None:
    """Several replies serve a test of fail-over; without any, the answer says so."""
    seen = []
    async with aiohttp.ClientSession() as session:
        for step in range(5):
            async with session.post(upstream.url, allow_redirects=False) as response:
                seen.append((response.status, response.headers.get("Retry-After")))
            if not step:
                upstream.serve(error(429, retry_after="2"), redirect("http://elsewhere.example/"), error(599))
    assert seen == [(501, None), (429, "2"), (302, None), (599, None), (599, None)]


async def test_a_gate_holds_the_stream_until_it_is_opened(upstream: FakeUpstream) -> None:
    """What stands before a gate arrives, what stands behind it only afterwards."""
    first, *rest = events(*chat_chunks())
    gate = asyncio.Event()
    upstream.serve(stream(first, gate, *rest))
    async with aiohttp.ClientSession() as session, session.post(upstream.url) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        assert await response.content.readany() == first
        gate.set()
        assert await response.content.read() == b"".join(rest)


async def test_a_client_that_leaves_is_noticed(upstream: FakeUpstream) -> None:
    """A test can wait for the moment in which the gateway gives an exchange up."""
    upstream.serve(stream(b"data: {}\n\n", STALL))
    async with aiohttp.ClientSession() as session, session.post(upstream.url) as response:
        await response.content.readany()
        response.close()
        await (await upstream.arrived()).gone.wait()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(before=(CUT,)),
        Reply(parts=(b"half of it", CUT, b" and the rest")),
        stream(b"data: {}\n\n", CUT),
        Reply(framing="raw", parts=(b"HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\n",)),
    ],
)
async def test_broken_replies_break_the_client(upstream: FakeUpstream, reply: Reply) -> None:
    """Resets before the head and in the body, and heads that are none, are errors at the other end."""
    upstream.serve(reply)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            async with session.post(upstream.url) as response:
                await response.read()
    assert not (await upstream.arrived()).gone.is_set()


async def test_silence_lasts_until_the_upstream_closes(upstream: FakeUpstream) -> None:
    """A stall before the head runs into the client's own time-out."""
    upstream.serve(Reply(before=(STALL,)))
    timeout = aiohttp.ClientTimeout(sock_read=0.05)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        with pytest.raises(aiohttp.ServerTimeoutError):
            await session.post(upstream.url)


async def test_a_body_may_end_with_the_connection(upstream: FakeUpstream) -> None:
    """Without length or chunks, the end looks like an end, wherever it comes."""
    upstream.serve(stream(b"data: {}\n\n", b"data: {", framing="close"))
    async with aiohttp.ClientSession() as session, session.post(upstream.url) as response:
        assert "Content-Length" not in response.headers
        assert "Transfer-Encoding" not in response.headers
        assert await response.read() == b"data: {}\n\ndata: {"


async def test_an_endless_line_ends_when_the_client_leaves(upstream: FakeUpstream) -> None:
    """Megabytes without a line end come as long as somebody takes them."""
    upstream.serve(stream(b"data: ", ENDLESS))
    async with aiohttp.ClientSession() as session, session.post(upstream.url) as response:
        assert len(await response.content.readexactly(2_000_000)) == 2_000_000
        response.close()
        await (await upstream.arrived()).gone.wait()


async def test_gzip_comes_unasked(upstream: FakeUpstream) -> None:
    """A compressed body says that it is one."""
    upstream.serve(gzipped(body(chat_completion("Hi"))))
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.post(upstream.url) as response,
    ):
        assert response.headers["Content-Encoding"] == "gzip"
        whole = json.loads(gzip.decompress(await response.read()))
    assert whole["choices"][0]["message"]["content"] == "Hi"


def test_split_cuts_where_it_is_told() -> None:
    """The parts are the whole again."""
    assert split(b"abcdef", 1, 4) == [b"a", b"bcd", b"ef"]


def test_time_and_ids_are_what_the_test_says() -> None:
    """Both clocks go on together; ids count and sort."""
    clock, ids = FakeClock(wall_ms=5_000, monotonic=1.0), FixedIds()
    clock.advance(1.5)
    assert (clock.wall_ms(), clock.monotonic()) == (6_500, 2.5)
    assert ids.new("call_") == "call_00000000000000000000000001"
    assert ids.new("call_") > "call_00000000000000000000000001"
