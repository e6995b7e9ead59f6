"""What the tests of the way to an upstream need: both event loops, and a client."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import pytest
import uvloop

from tests.gateway.raw_server import Asker
from tokligenced.gateway.upstream import HttpUpstream

Loops = Mapping[str, Callable[[], asyncio.AbstractEventLoop]]


def pytest_asyncio_loop_factories(item: pytest.Item) -> Loops:
    """The HTTP client is tried on the daemon's loop and on Python's own; all else needs no such care."""
    own = {"asyncio": asyncio.new_event_loop}
    return own | {"uvloop": uvloop.new_event_loop} if item.path.name.startswith("test_http") else own


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing went wrong in a callback, where no test would see it."""
    yield
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


@pytest.fixture
async def http() -> AsyncIterator[HttpUpstream]:
    """A client, closed in the end."""
    client = HttpUpstream()
    yield client
    await client.close()


@pytest.fixture
def ask(http: HttpUpstream) -> Asker:
    """Sends requests with that client."""
    return Asker(http)
