"""A whole gateway for each test, and somebody who can afford everything there."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from tests.api.customers import Customer
from tests.api.whole_gateway import Gateway, running
from tests.fakes import FakeUpstream
from tests.torture.audit import broken
from tokligenced.api.live import LiveStreams

Loops = Mapping[str, Callable[[], asyncio.AbstractEventLoop]]


def pytest_asyncio_loop_factories(item: pytest.Item) -> Loops:
    """What depends on how sockets are written to is tried on the daemon's loop and on Python's own."""
    own = {"asyncio": asyncio.new_event_loop}
    both = own | {"uvloop": uvloop.new_event_loop}
    return both if item.path.name in {"test_live.py", "test_slow_clients.py"} else own


@pytest.fixture
def live() -> LiveStreams:
    """The watch over the gateway's connections, at its own pace."""
    return LiveStreams()


@pytest.fixture
async def gateway(upstream: FakeUpstream, tmp_path: Path, live: LiveStreams) -> AsyncIterator[Gateway]:
    """A gateway in front of the fake upstream."""
    async with running(upstream, tmp_path, live=live) as gateway:
        yield gateway


@pytest.fixture
async def rich(gateway: Gateway) -> Customer:
    """Somebody who can afford everything here."""
    return await Customer.with_balance(gateway, 10**12, "rich")


@pytest.fixture
async def in_order(gateway: Gateway) -> AsyncIterator[None]:
    """When a test is over nothing is held, nothing is open, and the books are in order."""
    yield
    database = gateway.assembly.database
    await asyncio.wait_for(gateway.assembly.lifecycle.idle(), 5)
    await database.flush()
    assert broken(database.path) == []
    assert await database.read("SELECT call_id FROM holds") == []
    assert await database.read("SELECT owner FROM balances WHERE held <> 0") == []
    assert database.lost == 0
