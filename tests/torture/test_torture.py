"""The torture of the books, each part for a short while; `make torture` takes its time."""

from collections.abc import Awaitable
from pathlib import Path

import pytest

from tests.torture import crowd, diskfull, duplicates, hangups, kill9, recovery
from tests.torture.report import Part, table


async def without_violation(running: Awaitable[Part]) -> None:
    """Show the figures, and fail with what was broken."""
    part = await running
    print(table([part]))  # noqa: T201 - shown with the failure
    if part.skipped:
        pytest.skip(part.skipped)
    assert part.violations == []


@pytest.mark.e2e
async def test_kill9(tmp_path: Path) -> None:
    """A daemon killed 25 times under load loses nothing acknowledged and charges nothing twice."""
    await without_violation(kill9.run(tmp_path, cycles=25))


@pytest.mark.e2e
async def test_hangups(tmp_path: Path) -> None:
    """Who hangs up at any moment leaves no hold, pays for what came, and frees the upstream in time."""
    await without_violation(hangups.run(tmp_path, clients=400))


@pytest.mark.e2e
async def test_recovery(tmp_path: Path) -> None:
    """A restart that finds ten thousand open holds is ready in two seconds."""
    await without_violation(recovery.run(tmp_path))


@pytest.mark.e2e
async def test_diskfull(tmp_path: Path) -> None:
    """On a full disk running calls are settled, new ones refused in time, and it passes by itself."""
    await without_violation(diskfull.run(tmp_path))


async def test_duplicates(tmp_path: Path) -> None:
    """The same credits and settles over and over count once."""
    await without_violation(duplicates.run(tmp_path, duplicates=3_000))


async def test_crowd(tmp_path: Path) -> None:
    """In every round exactly those pass whom the balance and the limit allow."""
    await without_violation(crowd.run(tmp_path, rounds=1, limit_rounds=2))
