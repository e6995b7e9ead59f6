"""What is written, and how: functions that run in the thread of a connection, each in one trip to it."""

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from msgspec import Struct

from tokligenced.errors import StoreError

T = TypeVar("T")

SqlValue = str | bytes | int | float | None
Params = tuple[SqlValue, ...]
Row = tuple[Any, ...]


class Statement(Struct, frozen=True):
    """A kind of write on the hot path.

    In one commit all writes of a kind run as one `executemany`, first in first out; kinds run in
    ascending `order`. `fold` may make fewer of them: sums of those that add up, the last of those that
    replace each other.
    """

    sql: str
    order: int
    fold: Callable[[list[Params]], Iterable[Params]] | None = None


Write = tuple[Statement, Params]


def fetch(connection: sqlite3.Connection, sql: str, params: Params = ()) -> list[Row]:
    """Run one statement and return its rows."""
    return connection.execute(sql, params).fetchall()


def execute_many(connection: sqlite3.Connection, sql: str, rows: Iterable[Params]) -> None:
    """Run one statement for each of `rows`."""
    connection.executemany(sql, rows)


def inside(connection: sqlite3.Connection, function: Callable[..., T], *args: object) -> T:
    """Call `function(connection, *args)`; raises `StoreError` outside of a transaction."""
    # Some errors make SQLite roll back by itself; what came after would be committed on its own.
    if not connection.in_transaction:
        raise StoreError("the transaction was rolled back")
    return function(connection, *args)


def write_group(connection: sqlite3.Connection, operations: Iterable[tuple[Write, ...]]) -> None:
    """Write all in one commit, or nothing."""
    rows: dict[Statement, list[Params]] = {}
    for writes in operations:
        for statement, params in writes:
            rows.setdefault(statement, []).append(params)
    if not rows:
        return
    begin(connection)
    try:
        for statement in sorted(rows, key=lambda statement: statement.order):
            folded = rows[statement] if statement.fold is None else statement.fold(rows[statement])
            connection.executemany(statement.sql, folded)
        connection.execute("COMMIT")
    finally:
        roll_back(connection)


def begin(connection: sqlite3.Connection) -> None:
    """Begin a transaction that may write."""
    roll_back(connection)  # what a failing disk may have left open
    connection.execute("BEGIN IMMEDIATE")


def roll_back(connection: sqlite3.Connection) -> None:
    """Undo what is not committed."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def probe(connection: sqlite3.Connection) -> None:
    """Commit something that changes nothing, to learn whether commits work."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {version}")
