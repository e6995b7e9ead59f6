"""Identifiers and owned tasks."""

import asyncio

from tests.fakes import FakeClock
from tokligenced.clock import RandomIds, Tasks


def test_identifiers_sort_by_time_and_never_repeat(clock: FakeClock) -> None:
    """Later ones are greater, ones of the same moment differ, all have one length."""
    ids = RandomIds(clock)
    same_moment = {ids.new("req_") for _ in range(1000)}
    clock.advance(0.001)
    later = ids.new("req_")
    assert len(same_moment) == 1000
    assert max(same_moment) < later
    assert {len(each) for each in same_moment | {later}} == {36}


async def test_a_task_that_fails_is_heard_of() -> None:
    """Who owns the tasks is told of each that ends by an exception, with its name."""
    crashed: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()
    tasks = Tasks(lambda name, error: crashed.set_result((name, str(error))))

    async def fail() -> None:
        raise ValueError("oops")

    tasks.spawn("careless", fail())
    assert await crashed == ("careless", "oops")


async def test_no_task_outlives_its_owner() -> None:
    """Closing cancels what still runs and waits until it has ended."""
    ended = asyncio.Event()
    begun = asyncio.Event()
    tasks = Tasks(lambda _name, _error: None)

    async def endless() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    tasks.spawn("endless", endless())
    await begun.wait()
    await tasks.close()
    assert ended.is_set()
