"""Looking at the whole database for long, while others write."""

import asyncio
import sqlite3
import threading

import pytest

from tests.store.conftest import Owner, item
from tokligenced.errors import StoreError

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


async def test_what_is_looked_at_is_one_moment(owner: Owner) -> None:
    """What is written meanwhile is not seen, and need not wait either."""
    database = await owner.open()
    database.enqueue(*item(1))
    await database.flush()
    begun, written = threading.Event(), threading.Event()

    def count_twice(connection: sqlite3.Connection) -> list[int]:
        counts = []
        for _ in range(2):
            counts.append(connection.execute("SELECT count(*) FROM items").fetchone()[0])
            begun.set()
            assert written.wait(10)
        return counts

    looking = asyncio.create_task(database.inspect(count_twice))
    await asyncio.to_thread(begun.wait)
    database.enqueue(*item(2))
    await database.flush()
    written.set()
    assert await looking == [1, 1]
    assert await database.inspect(count_twice) == [2, 2]


async def test_looking_changes_nothing(owner: Owner) -> None:
    """Who looks can't write, and gets SQLite's errors as the store's."""
    database = await owner.open()
    for statement in ("INSERT INTO items (n) VALUES (9)", "SELECT * FROM nowhere"):
        with pytest.raises(StoreError, match=r"test\.db: "):
            await database.inspect(lambda connection, sql=statement: connection.execute(sql))
    assert await database.read("SELECT * FROM items") == []


async def test_who_no_longer_waits_stops_it(owner: Owner) -> None:
    """A look that nobody waits for any more is broken off, however long it would take."""
    database = await owner.open()
    begun = threading.Event()

    def never_end(connection: sqlite3.Connection) -> None:
        begun.set()
        connection.execute(ENDLESS)

    looking = asyncio.create_task(database.inspect(never_end))
    await asyncio.to_thread(begun.wait)
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
