"""What the machine around the gateway does to it: clocks that jump, name servers that die."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.customers import INPUT, OUTPUT, REQUEST, STREAMED, Customer
from tests.api.whole_gateway import CONFIG, Gateway, running
from tests.fakes import FakeUpstream, body, chat_chunks, chat_completion, events, stream
from tokligenced.clock import SystemClock

# Of the fake upstream's answers.
PRICE = 10 * INPUT + 5 * OUTPUT
DAY_MS = 86_400_000
NAMED = """
[providers.named]
type = "openai"
base_url = "http://provider.example:{port}/named"
[models.named]
context_window = 128_000
max_output_tokens = 4096
price = {{ input = "2.50", output = "10.00" }}
deployments = [{{ provider = "named", model = "m" }}]
[models.either]
context_window = 128_000
max_output_tokens = 4096
price = {{ input = "2.50", output = "10.00" }}
deployments = [{{ provider = "named", model = "m" }}, {{ provider = "fake", model = "m", priority = 2 }}]
"""


class Names:
    """A name server that knows one host, and may be dead."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.dead = False
        self._real = loop.getaddrinfo

    async def ask(self, host: str, port: int, **options: Any) -> list[Any]:
        if host != "provider.example":
            return await self._real(host, port, **options)
        if self.dead:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return await self._real("127.0.0.1", port, **options)


@pytest.fixture
async def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """The only name server there is."""
    loop = asyncio.get_running_loop()
    names = Names(loop)
    monkeypatch.setattr(loop, "getaddrinfo", names.ask)
    return names


@pytest.fixture
async def named(upstream: FakeUpstream, tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway with one provider that has a name."""
    port = upstream.url.rpartition(":")[2]
    settings = (CONFIG + NAMED).format(folder=tmp_path, url=upstream.url, port=port)
    async with running(upstream, tmp_path, settings=settings) as gateway:
        yield gateway


@pytest.mark.parametrize("jump_ms", [-DAY_MS, 400 * DAY_MS])
@pytest.mark.usefixtures("in_order")
async def test_the_wall_clock_jumps_amid_calls(
    gateway: Gateway, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch, jump_ms: int
) -> None:
    """Calls before, across and after a jump are served, timed and paid like any other."""
    who = await Customer.with_balance(gateway, 10**12)
    gate = asyncio.Event()
    first, *rest = events(*chat_chunks())
    upstream.serve(
        body(chat_completion()),
        stream(first, gate, *rest),
        body(chat_completion()),
    )
    assert await who.told(REQUEST) == (200, "")
    async with who.call(STREAMED) as response:
        await response.content.readany()
        real = SystemClock.wall_ms
        monkeypatch.setattr(SystemClock, "wall_ms", lambda clock: real(clock) + jump_ms)
        gate.set()
        assert (await response.read()).endswith(b"data: [DONE]\n\n")
    assert await who.told(REQUEST) == (200, "")
    assert await who.paid() == 3 * PRICE
    durations = await gateway.assembly.database.read("SELECT duration_us FROM calls")
    assert all(0 <= duration < 60_000_000 for (duration,) in durations)


async def test_a_dead_name_server(names: Names, named: Gateway, upstream: FakeUpstream) -> None:
    """Without names the next deployment answers, or the call is refused for nothing; it passes by itself."""
    who = await Customer.with_balance(named, 10**12)
    names.dead = True
    upstream.serve(body(chat_completion()))
    async with who.call({**REQUEST, "model": "either"}) as response:
        assert response.status == 200
        assert response.headers["x-tokligence-provider"] == "fake"
        assert response.headers["x-tokligence-attempts"] == "2"
    paid = await who.paid()
    assert paid == PRICE
    assert await who.told({**REQUEST, "model": "named"}) == (503, "upstream_error")
    assert await who.paid() == paid
    names.dead = False
    upstream.serve(body(chat_completion()))
    assert await who.told({**REQUEST, "model": "named"}) == (200, "")
    assert await who.paid() == 2 * PRICE


async def test_open_connections_need_no_names(names: Names, named: Gateway, upstream: FakeUpstream) -> None:
    """A provider that is connected is called on though its name is known to nobody any more."""
    who = await Customer.with_balance(named, 10**12)
    for dead in (False, True):
        names.dead = dead
        upstream.serve(body(chat_completion()))
        assert await who.told({**REQUEST, "model": "named"}) == (200, "")
