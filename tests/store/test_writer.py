"""The writer: what is acknowledged is there, what is refused is not, and trouble passes."""

import asyncio
import resource
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from tests.store.conftest import ITEM, NOTE, Owner, item
from tokligenced.errors import StoreError
from tokligenced.store.database import Database, Statement, Transaction, Write

UNBINDABLE = [2**70, "\ud800", object()]


@contextmanager
def foreign_lock(path: Path) -> Iterator[None]:
    """Another program has begun to write."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond `size`: to SQLite an I/O error, like an exhausted quota."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def until(condition: Callable[[], bool], *, within: float = 5.0) -> None:
    """Wait for what the writer does by itself, by its own clock."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.005)


def size(path: Path, suffix: str) -> int | None:
    """Bytes of a file beside the database; None when it isn't there."""
    file = path.with_name(path.name + suffix)
    return file.stat().st_size if file.exists() else None


async def numbers(database: Database) -> list[int]:
    """What is in the items' table."""
    return [n for (n,) in await database.read("SELECT n FROM items ORDER BY n")]


async def test_kinds_run_in_their_order_and_rows_in_theirs(owner: Owner) -> None:
    """In one commit a lower kind comes first, whatever came first; within a kind, first in first out."""
    database = await owner.open()
    order = [5, 3, 9, 1]
    for n in order:
        database.enqueue(*item(n))
    await database.flush()
    assert await database.read("SELECT n FROM notes ORDER BY place") == [(n,) for n in order]


async def test_groups_are_one_commit(owner: Owner) -> None:
    """What queues together is committed together: one commit mark in the log for a hundred calls."""
    database = await owner.open()
    await database.commit(*item(0))
    before = commits_in_log(owner.path)
    await asyncio.gather(*(database.commit(*item(n)) for n in range(1, 101)))
    assert commits_in_log(owner.path) == before + 1


async def test_transaction_finds_what_was_enqueued_before_it(owner: Owner) -> None:
    """A transaction comes after all that was enqueued before it, also while a group is being written."""
    database = await owner.open()
    for n in range(30):
        database.enqueue(*item(2 * n))
        await asyncio.sleep(0)  # the writer takes the group
        database.enqueue(*item(2 * n + 1))
        found = await database.transact(lambda tx: tx.execute("SELECT count(*) FROM items"))
        assert found == [(2 * n + 2,)]


def commits_in_log(path: Path) -> int:
    """Count the frames of the write-ahead log that end a commit.

    https://sqlite.org/fileformat2.html#walformat
    """
    log = Path(f"{path}-wal").read_bytes()
    page_size = int.from_bytes(log[8:12], "big")
    frames = range(32, len(log), 24 + page_size)
    return sum(log[at + 4 : at + 8] != bytes(4) for at in frames if log[at + 8 : at + 16] == log[16:24])


@pytest.mark.parametrize("value", UNBINDABLE)
async def test_bad_write_harms_nobody_else(owner: Owner, value: int) -> None:
    """An operation that can't be written fails alone; all others of its group land."""
    database = await owner.open()
    waiters = [database.commit(*item(n)) for n in range(10)]
    bad = database.commit(*item(10), (ITEM, (value,)))
    database.enqueue(*item(11), (ITEM, (value,)))
    database.enqueue(*item(12))
    await asyncio.gather(*waiters, database.flush())
    with pytest.raises(StoreError):
        await bad
    assert await numbers(database) == [*range(10), 12]
    assert [writes for writes, _ in owner.lost] == [(*item(11), (ITEM, (value,)))]
    assert (database.lost, database.accepting) == (1, True)


class Step(Struct, frozen=True, kw_only=True):
    """One call of the property test."""

    way: Literal["enqueue", "commit", "transact"]
    good: bool
    patience: int | None  # turns of the loop after which the caller leaves
    pause: int  # turns of the loop before the next call

    def writes(self, n: int) -> tuple[Write, ...]:
        """What it writes; its last write is impossible unless it is good."""
        return item(n) if self.good else (*item(n), (ITEM, (-1,)))


class Callers:
    """Those who call, and what they were told."""

    def __init__(self, database: Database) -> None:
        self.told_yes: set[int] = set()
        self.left: set[int] = set()
        self._database = database

    async def call(self, n: int, step: Step) -> None:
        """Make the call and remember its end."""
        try:
            if step.way == "commit":
                await self._database.commit(*step.writes(n))
            else:
                await self._database.transact(lambda tx: self._work(tx, step.writes(n)))
        except asyncio.CancelledError:
            self.left.add(n)
        except StoreError:
            assert not step.good
        else:
            self.told_yes.add(n)

    async def _work(self, tx: Transaction, writes: tuple[Write, ...]) -> None:
        for statement, params in sorted(writes, key=lambda write: write[0].order):
            await tx.execute(statement.sql, params)


async def interleave(owner: Owner, steps: list[Step]) -> Callers:
    """Do `steps` on a fresh database, and close it."""
    database = await owner.open()
    callers = Callers(database)
    tasks = []
    for n, step in enumerate(steps):
        if step.way == "enqueue":
            database.enqueue(*step.writes(n))
        else:
            task = asyncio.create_task(callers.call(n, step))
            tasks.append(task)
            if step.patience is not None:
                await pass_turns(step.patience)
                task.cancel()
        await pass_turns(step.pause)
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        assert outcome is None or isinstance(outcome, asyncio.CancelledError)
    await owner.close()
    return callers


async def pass_turns(turns: int) -> None:
    """Let everybody else have their turn."""
    for _ in range(turns):
        await asyncio.sleep(0)


@settings(max_examples=50, deadline=None)
@given(
    steps=st.lists(
        st.builds(
            Step,
            way=st.sampled_from(["enqueue", "commit", "transact"]),
            good=st.booleans(),
            patience=st.sampled_from([None, None, 0, 1, 3, 8]),
            pause=st.integers(0, 3),
        ),
        max_size=40,
    )
)
def test_any_interleaving(steps: list[Step]) -> None:
    """However calls interleave and leave, the file ends with what was acknowledged, and nothing by halves."""
    with tempfile.TemporaryDirectory() as folder:
        owner = Owner(Path(folder) / "test.db")
        callers = asyncio.run(interleave(owner, steps))
        with closing(sqlite3.connect(owner.path)) as connection:
            found = {n for (n,) in connection.execute("SELECT n FROM items")}
            noted = {n for (n,) in connection.execute("SELECT n FROM notes")}
    enqueued = {n: step.good for n, step in enumerate(steps) if step.way == "enqueue"}
    acknowledged = callers.told_yes | {n for n, good in enqueued.items() if good}
    assert found == noted
    assert acknowledged <= found <= acknowledged | {n for n in callers.left if steps[n].good}
    assert [writes[0][1][0] for writes, _ in owner.lost] == [n for n, good in enqueued.items() if not good]
    assert owner.crashes == []


async def test_locked_out(owner: Owner) -> None:
    """When a commit fails who waits is told, later holds are refused at once, and settles land in order."""
    database = await owner.open()
    with foreign_lock(owner.path):
        database.enqueue(*item(1))
        hold = database.commit(*item(2))
        database.enqueue(*item(3))
        changing = asyncio.create_task(database.transact(lambda tx: tx.execute("SELECT 1")))
        with pytest.raises(StoreError, match="database is locked"):
            await hold
        with pytest.raises(StoreError, match="database is locked"):
            await changing
        assert not database.accepting
        assert database.problem == f"{owner.path}: database is locked"
        refused = database.commit(*item(4))
        assert refused.done()
        with pytest.raises(StoreError, match="database is locked"):
            await refused
        with pytest.raises(StoreError, match="database is locked"):
            await database.transact(lambda tx: tx.execute("SELECT 1"))
        database.enqueue(*item(5))
    await database.flush()
    await until(lambda: database.accepting)
    await database.commit(*item(6))
    assert await database.read("SELECT n FROM notes ORDER BY place") == [(1,), (3,), (5,), (6,)]
    assert database.problem is None
    assert owner.lost == []


async def test_recovers_with_nothing_to_write(owner: Owner) -> None:
    """When nothing is queued, the writer finds out by itself that commits work again, and not before."""
    database = await owner.open()
    with foreign_lock(owner.path):
        with pytest.raises(StoreError):
            await database.commit(*item(1))
        with pytest.raises(TimeoutError):
            await until(lambda: database.accepting, within=0.3)
        flushing = asyncio.create_task(database.flush())
        with pytest.raises(TimeoutError):
            await until(lambda: database.accepting or flushing.done(), within=0.7)
    await flushing
    await until(lambda: database.accepting)
    assert await database.read("PRAGMA user_version") == [(1,)]


async def test_disk_refuses(owner: Owner) -> None:
    """On an I/O error the ballast goes, holds are refused, settles are kept; then everything comes back."""
    database = await owner.open()
    await database.commit(*item(0))
    with largest_file(size(owner.path, "-wal") or 0):
        hold = database.commit(*item(1))
        database.enqueue(*item(2))
        with pytest.raises(StoreError, match="disk I/O error"):
            await hold
        await until(lambda: size(owner.path, ".ballast") is None)
        assert not database.accepting
    await database.flush()
    await until(lambda: database.accepting)
    assert size(owner.path, ".ballast") == 65_536
    assert await numbers(database) == [0, 2]


async def test_no_room_for_the_ballast(owner: Owner) -> None:
    """Where there is no room for the ballast, reading and settling work but no hold is taken."""
    database = await owner.open(ballast_bytes=2**60)
    assert database.problem == f"{owner.path}: the disk is nearly full"
    database.enqueue(*item(1))
    await database.flush()
    with pytest.raises(StoreError, match="nearly full"):
        await database.commit(*item(2))
    assert await numbers(database) == [1]
    assert size(owner.path, ".ballast") is None


async def test_close_gives_up_on_a_refusing_disk(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A close waits only so long for a disk that refuses; what could not land is reported, one by one."""
    monkeypatch.setattr("tokligenced.store.writer._CLOSE_PATIENCE", 0.2)
    database = await owner.open()
    with foreign_lock(owner.path):
        database.enqueue(*item(1))
        database.enqueue(*item(2))
        flushing = asyncio.create_task(database.flush())
        await database.close()
        with pytest.raises(StoreError, match="database is locked"):
            await flushing
    assert [writes for writes, _ in owner.lost] == [item(1), item(2)]
    assert database.lost == 2
    await owner.open()


async def test_dead_writer_leaves_nobody_waiting(owner: Owner) -> None:
    """If the writer itself dies, all who wait and all who come are told, and the lock is free."""

    def die(_writes: object, _error: StoreError) -> None:
        raise RuntimeError("nobody listens")

    database = await owner.open(on_lost=die)
    database.enqueue((ITEM, (-1,)))
    outcomes = await asyncio.gather(
        database.commit(*item(1)),
        database.transact(lambda tx: tx.execute("SELECT 1")),
        database.flush(),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [StoreError] * 3
    assert [str(outcome) for outcome in outcomes] == [database.problem] * 3
    assert database.problem == f"{owner.path}: the writer stopped: RuntimeError('nobody listens')"
    assert not database.accepting
    await database.close()
    await until(lambda: bool(owner.crashes))
    assert [(name, type(error)) for name, error in owner.crashes] == [("store.writer", RuntimeError)]
    await owner.open()


async def test_cancelled_writer_leaves_nobody_waiting(owner: Owner) -> None:
    """If the writer is cancelled in the midst of a transaction it is rolled back, and its caller told."""
    database = await owner.open()
    begun = asyncio.Event()

    async def endless(tx: Transaction) -> None:
        await tx.execute("INSERT INTO items (n) VALUES (1)")
        begun.set()
        await asyncio.Event().wait()

    caller = asyncio.create_task(database.transact(endless))
    await begun.wait()
    hold = database.commit(*item(2))
    await owner.tasks.close()
    with pytest.raises(StoreError, match="the writer stopped"):
        await caller
    with pytest.raises(StoreError, match="the writer stopped"):
        await hold
    again = await owner.open()
    assert await numbers(again) == []


async def test_checkpoints(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is carried into the database now and then, so that it does not grow for ever."""
    monkeypatch.setattr("tokligenced.store.writer._CHECKPOINT_AFTER", 50)
    database = await owner.open()
    sizes = []
    for n in range(400):
        await database.commit((ITEM, (n,)))
        sizes.append(size(owner.path, "-wal"))
    assert sizes[-1] == sizes[100]
    assert await numbers(database) == list(range(400))


async def test_equal_statements_are_one_kind() -> None:
    """A kind is what it says, not which object says it."""
    assert {NOTE: 1}[Statement(NOTE.sql, order=NOTE.order)] == 1
