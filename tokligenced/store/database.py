"""The database file: opened by one process, written by one task, read on the side."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, closing
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import aiosqlite

from tokligenced.clock import Tasks
from tokligenced.errors import StoreError
from tokligenced.store import chain
from tokligenced.store.files import Ballast, Lock, create_private, make_durable, reserve_private
from tokligenced.store.migrate import Migration, known, migrate
from tokligenced.store.statements import Params, Row, SqlValue, Statement, Write, fetch
from tokligenced.store.writer import BadWrite, OnLost, Refused, Transaction, Writer

__all__ = ["Database", "OnLost", "Params", "Row", "SqlValue", "Statement", "Transaction", "Write"]

T = TypeVar("T")

_OLDEST_SQLITE = (3, 37)  # the first with STRICT tables
_BUSY_TIMEOUT = 0.5  # seconds; our own lock leaves only foreign programs to wait for
_BACKUP_PAGES = 256
_LOOK_UP = 10_000  # steps of SQLite's machine, some tenths of a millisecond

# What a write itself can be guilty of. With every other code it is kept and tried again.
_GUILT = {
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_MISUSE,
    sqlite3.SQLITE_RANGE,
    sqlite3.SQLITE_TOOBIG,
}
_NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}  # an exhausted quota is an I/O error to SQLite

# One connection writes and checkpoints, when the writer says so.
# https://sqlite.org/pragma.html
_PRAGMAS = (
    "foreign_keys = ON",
    "trusted_schema = OFF",
    "wal_autocheckpoint = 0",
    "journal_size_limit = 67108864",
    "cache_size = -16384",
)


class _Connection(aiosqlite.Connection):
    """An SQLite connection with a thread of its own, to which a whole function travels in one hop."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        uri = f"{path.as_uri()}?mode={'ro' if read_only else 'rw'}"
        connect = partial(sqlite3.connect, uri, uri=True, isolation_level=None, timeout=_BUSY_TIMEOUT)
        super().__init__(connect, iter_chunk_size=64)
        self._path = path

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Call `function(connection, *args)` in the thread; here SQLite's errors are translated."""
        try:
            return await self._execute(function, self._conn, *args)  # type: ignore[no-any-return,no-untyped-call]
        except sqlite3.Error as error:
            # Without a code it is Python's own module that complains, about the values it was given.
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF
            if code in _GUILT:
                raise BadWrite(f"{self._path}: {error}") from error
            raise Refused(f"{self._path}: {error}", no_room=code in _NO_ROOM) from error
        except MemoryError as error:
            raise Refused(f"{self._path}: out of memory") from error
        except (sqlite3.Warning, OverflowError, TypeError, ValueError) as error:
            raise BadWrite(f"{self._path}: {error}") from error


class Database(Writer):
    """One open database file and its writer; made by `open`."""

    def __init__(
        self,
        *,
        path: Path,
        writer: _Connection,
        reader: _Connection,
        ballast: Ballast,
        on_lost: OnLost,
        resources: AsyncExitStack,
    ) -> None:
        super().__init__(str(path), writer, ballast, on_lost, resources)
        self.path = path
        self._reader = reader

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        durability: Literal["full", "normal"],
        tasks: Tasks,
        on_lost: OnLost,
        ballast_bytes: int = 8 * 1024 * 1024,
        migrations: Sequence[Migration] | None = None,
    ) -> "Database":
        """Lock the file, open it, bring it up to date, and start its writer in `tasks`.

        Raises `StoreLocked` when another process has it, `StoreError` when it can't be made, read
        or understood. `close` it before `tasks`. `migrations` None means: all that are known.
        """
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise StoreError(f"SQLite {sqlite3.sqlite_version} is too old: 3.37 or newer is needed")
        async with AsyncExitStack() as resources:
            path = _claim(path, resources)
            writer = await _connect(path, resources)
            await writer.run(_prepare, path, durability, known() if migrations is None else migrations)
            reader = await _connect(path, resources, read_only=True)
            ballast = Ballast(path.with_name(path.name + ".ballast"), ballast_bytes)
            ballast.load()
            database = cls(
                path=path,
                writer=writer,
                reader=reader,
                ballast=ballast,
                on_lost=on_lost,
                resources=resources.pop_all(),
            )
        tasks.spawn("store.writer", database.write())
        return database

    @property
    def queued(self) -> int:
        """The operations that wait for the next commit."""
        return len(self._queue)

    async def read(self, sql: str, params: Params = ()) -> list[Row]:
        """All rows of one query on what is committed; raises `StoreError`."""
        return await self._reader.run(fetch, sql, params)

    async def inspect(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """What `function` makes of the database as it is at this moment, while writing goes on.

        It has a thread and a read-only connection of its own, so it may take its time; as long as it
        does, though, the write-ahead log only grows. Raises `StoreError`.
        """
        abandoned = False

        def look(connection: sqlite3.Connection) -> T:
            connection.set_progress_handler(lambda: abandoned, _LOOK_UP)
            return _at_one_moment(connection, function)

        async with AsyncExitStack() as resources:
            connection = await _connect(self.path, resources, read_only=True)
            try:
                return await connection.run(look)
            finally:
                abandoned = True  # else closing would wait for the end of it

    async def backup(self, target: Path, progress: Callable[[int, int], None]) -> None:
        """Write the database as it is at this moment to `target`, while writing goes on.

        `progress(done, total)` is called on the loop, in pages. Raises `Conflict` when `target`
        exists, `StoreError` when it can't be written; then nothing is left there.
        """
        loop = asyncio.get_running_loop()
        abandoned = False

        def report(_status: int, remaining: int, total: int) -> None:
            if abandoned:
                raise StoreError(f"{target}: abandoned")
            loop.call_soon_threadsafe(progress, total - remaining, total)

        reserve_private(target)
        async with AsyncExitStack() as undo:
            undo.callback(target.unlink, missing_ok=True)
            async with AsyncExitStack() as resources:
                source = await _connect(self.path, resources, read_only=True)
                try:
                    # Of one moment, that is: else each commit would begin the copy anew.
                    await source.run(_at_one_moment, partial(_copy, target=target, report=report))
                finally:
                    abandoned = True
            undo.pop_all()


def _claim(path: Path, resources: AsyncExitStack) -> Path:
    """Lock the database, make its file unless it is there, and return its one true path."""
    path = path.resolve()
    lock = Lock(path.with_name(path.name + ".lock"))
    resources.callback(lock.release)
    create_private(path)
    return path


async def _connect(path: Path, resources: AsyncExitStack, *, read_only: bool = False) -> _Connection:
    connection = _Connection(path, read_only=read_only)
    try:
        await connection
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
    resources.push_async_callback(connection.close)
    return connection


# What follows runs in a connection's thread.


def _prepare(connection: sqlite3.Connection, path: Path, durability: str, steps: Sequence[Migration]) -> None:
    chain.install(connection)
    migrate(connection, path, steps)
    if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
        raise StoreError(f"{path}: its file system can't hold a write-ahead log")
    for pragma in (f"synchronous = {durability}", *_PRAGMAS):
        connection.execute(f"PRAGMA {pragma}")


def _at_one_moment(connection: sqlite3.Connection, function: Callable[[sqlite3.Connection], T]) -> T:
    connection.execute("BEGIN")
    connection.execute("SELECT 1 FROM sqlite_schema").fetchone()  # only now the moment is fixed
    return function(connection)


def _copy(connection: sqlite3.Connection, target: Path, report: Callable[[int, int, int], None]) -> None:
    try:
        with closing(sqlite3.connect(target)) as copy:
            connection.backup(copy, pages=_BACKUP_PAGES, progress=report)
        make_durable(target)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{target}: {error}") from error
