"""What every test may ask for."""

from collections.abc import AsyncIterator

import pytest

from tests.fakes import FakeClock, FakeUpstream, FixedIds


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture
def ids() -> FixedIds:
    """Identifiers that count."""
    return FixedIds()


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    """A remote service that answers as it is told."""
    async with FakeUpstream() as running:
        yield running
