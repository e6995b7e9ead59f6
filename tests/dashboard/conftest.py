from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.dashboard.building import Building, opened


@pytest.fixture
async def building(tmp_path: Path) -> AsyncIterator[Building]:
    async with opened(tmp_path) as building:
        yield building
