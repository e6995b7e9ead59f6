"""A database on a real file, and what its owner is told about it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tokligenced.clock import Tasks
from tokligenced.errors import StoreError
from tokligenced.store.database import Database, Statement, Write
from tokligenced.store.migrate import APPLICATION_ID, Migration

# Two tables of which the second refers to the first: an operation writes to both.
ITEMS = Migration(
    number=1,
    name="0001_items.sql",
    sql=f"""
    PRAGMA application_id = {APPLICATION_ID};
    CREATE TABLE items (n INTEGER PRIMARY KEY CHECK (n >= 0), seen INTEGER) STRICT;
    CREATE TABLE notes (place INTEGER PRIMARY KEY, n INTEGER REFERENCES items (n)) STRICT;
    """,
)
ITEM = Statement("INSERT INTO items (n) VALUES (?)", order=1)
NOTE = Statement("INSERT INTO notes (n) VALUES (?)", order=2)


def item(n: int) -> tuple[Write, Write]:
    """The writes of one operation, the dependent one first; impossible when `n` is negative."""
    return (NOTE, (n,)), (ITEM, (n,))


class Owner:
    """Who opened databases: remembers what it was told, closes them all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lost: list[tuple[tuple[Write, ...], StoreError]] = []
        self.crashes: list[tuple[str, BaseException]] = []
        self.tasks = Tasks(lambda name, error: self.crashes.append((name, error)))
        self._opened: list[Database] = []

    async def open(self, **options: Any) -> Database:
        """Open the database with a small ballast and the items' tables, unless told otherwise."""
        settings: dict[str, Any] = {
            "durability": "normal",
            "ballast_bytes": 65_536,
            "migrations": [ITEMS],
            "tasks": self.tasks,
            "on_lost": lambda writes, error: self.lost.append((writes, error)),
        }
        database = await Database.open(self.path, **settings | options)
        self._opened.append(database)
        return database

    async def close(self) -> None:
        """Close what is open."""
        for database in self._opened:
            await database.close()
        await self.tasks.close()


@pytest.fixture
async def owner(tmp_path: Path) -> AsyncIterator[Owner]:
    """The owner of `tmp_path / "test.db"`."""
    owner = Owner(tmp_path / "test.db")
    yield owner
    await owner.close()
