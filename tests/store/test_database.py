"""The database file: who may open it, what is seen in it, how it is copied and closed."""

import asyncio
import sqlite3
import stat
import sys
from asyncio.subprocess import PIPE
from contextlib import closing
from pathlib import Path

import pytest

from tests.store.conftest import ITEMS, Owner, item
from tokligenced.errors import Conflict, NotFound, StoreError, StoreLocked
from tokligenced.store.database import Transaction
from tokligenced.store.migrate import APPLICATION_ID

HOLD_LOCK = """
import sys
from pathlib import Path
from tokligenced.store.files import Lock
lock = Lock(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def rows_of(path: Path, sql: str) -> list[tuple[object, ...]]:
    """What another program sees in the file."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


PAGES = 4_000


async def fill(tx: Transaction) -> None:
    """Make the database so large that a copy, page by page, takes its time."""
    await tx.execute("CREATE TABLE bulk (content BLOB)")
    await tx.executemany("INSERT INTO bulk VALUES (zeroblob(4000))", [()] * PAGES)


def names(folder: Path) -> set[str]:
    """What is in the folder."""
    return {file.name for file in folder.iterdir()}


async def test_files_are_private(owner: Owner) -> None:
    """Nobody but their owner can read the database and the files beside it."""
    database = await owner.open()
    await database.commit(*item(1))
    files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in owner.path.parent.iterdir()}
    assert set(files) == {"test.db", "test.db-wal", "test.db-shm", "test.db.lock", "test.db.ballast"}
    assert set(files.values()) == {0o600}


async def test_second_process_is_refused(owner: Owner) -> None:
    """While another process has the database it can't be opened, and its pid is told; afterwards it can."""
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD_LOCK, f"{owner.path}.lock", stdin=PIPE, stdout=PIPE
    )
    assert other.stdout is not None
    assert await other.stdout.readline() == b"locked\n"
    with pytest.raises(StoreLocked, match=f"in use by process {other.pid}$"):
        await owner.open()
    other.kill()
    await other.wait()
    await owner.open()


async def test_other_name_is_the_same_lock(owner: Owner, tmp_path: Path) -> None:
    """A link to an open database is that database."""
    await owner.open()
    link = tmp_path / "link.db"
    link.symlink_to(owner.path)
    with pytest.raises(StoreLocked):
        await Owner(link).open()


async def test_lock_is_free_after_a_failed_open(owner: Owner) -> None:
    """An open that fails leaves nothing locked."""
    owner.path.mkdir()
    with pytest.raises(StoreError, match=r"test\.db: Is a directory$"):
        await owner.open()
    owner.path.rmdir()
    await owner.open()


@pytest.mark.parametrize("content", [b"x" * 5000, b"SQLite format 3\0" + b"\xff" * 5000])
async def test_not_a_database(owner: Owner, content: bytes) -> None:
    """A file that is no database is refused in one line and left alone."""
    owner.path.write_bytes(content)
    with pytest.raises(StoreError, match=r"test\.db: file is not a database$"):
        await owner.open()
    assert owner.path.read_bytes() == content


async def test_another_programs_database(owner: Owner) -> None:
    """A database that another program made is refused and left alone."""
    with closing(sqlite3.connect(owner.path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    before = owner.path.read_bytes()
    with pytest.raises(StoreError, match=r"test\.db: holds another program's data$"):
        await owner.open()
    assert owner.path.read_bytes() == before


async def test_newer_database(owner: Owner) -> None:
    """A file of a newer version is refused, telling both versions, and left alone."""
    with closing(sqlite3.connect(owner.path)) as connection:
        connection.execute("CREATE TABLE items (x)")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 7")
    before = owner.path.read_bytes()
    with pytest.raises(StoreError, match=r"newer version .*schema 7, this one knows up to 1"):
        await owner.open()
    assert owner.path.read_bytes() == before


async def test_no_folder(tmp_path: Path) -> None:
    """A folder that is not there is named."""
    with pytest.raises(StoreError, match=r"missing/test\.db\.lock: No such file or directory$"):
        await Owner(tmp_path / "missing" / "test.db").open()


async def test_folder_not_writable() -> None:
    """A folder that can't be written to is named; `/proc` is one even for root."""
    with pytest.raises(StoreError, match=r"^/proc/test\.db\.lock: "):
        await Owner(Path("/proc/test.db")).open()


async def test_odd_names(tmp_path: Path) -> None:
    """A path is a path, whatever characters are in it."""
    owner = Owner(tmp_path / "a?mode=ro&b#c%20 é.db")
    database = await owner.open()
    await database.commit(*item(1))
    assert await database.read("SELECT n FROM items") == [(1,)]
    await owner.close()
    assert owner.path.stat().st_size > 0


@pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("normal", 1)])
async def test_durability(owner: Owner, durability: str, synchronous: int) -> None:
    """The setting is SQLite's `synchronous`; the log is a WAL; references are checked."""
    database = await owner.open(durability=durability)

    async def pragmas(tx: Transaction) -> list[object]:
        names = ("synchronous", "journal_mode", "foreign_keys", "wal_autocheckpoint")
        return [(await tx.execute(f"PRAGMA {name}"))[0][0] for name in names]

    assert await database.transact(pragmas) == [synchronous, "wal", 1, 0]


async def test_readers_see_commits_and_cannot_write(owner: Owner) -> None:
    """A read sees what is committed, all of it, and can change nothing."""
    database = await owner.open()
    await asyncio.gather(*(database.commit(*item(n)) for n in range(10)))
    assert await database.read("SELECT count(*), sum(n) FROM items WHERE n > ?", (4,)) == [(5, 35)]
    with pytest.raises(StoreError, match="readonly"):
        await database.read("DELETE FROM items")
    with pytest.raises(StoreError, match="no such table: nowhere"):
        await database.read("SELECT 1 FROM nowhere")


async def test_transaction_returns_and_sees_what_was_enqueued(owner: Owner) -> None:
    """A transaction reads what was enqueued before it and its own writes, and its result comes back."""
    database = await owner.open()
    database.enqueue(*item(1))

    async def add(tx: Transaction) -> list[tuple[int]]:
        await tx.executemany("INSERT INTO items (n) VALUES (?)", [(2,), (3,)])
        return await tx.execute("SELECT n FROM items ORDER BY n")

    assert await database.transact(add) == [(1,), (2,), (3,)]
    assert await database.read("SELECT count(*) FROM items") == [(3,)]


async def test_failing_transaction_changes_nothing_else(owner: Owner) -> None:
    """What a transaction raises rolls back that one, reaches its caller as it is, and nobody else."""
    database = await owner.open()

    async def refuse(tx: Transaction) -> None:
        await tx.execute("INSERT INTO items (n) VALUES (1)")
        raise NotFound("no such thing")

    async def break_rule(tx: Transaction) -> None:
        await tx.execute("INSERT INTO items (n) VALUES (2)")
        await tx.execute("INSERT INTO items (n) VALUES (-1)")

    async def add(tx: Transaction) -> None:
        await tx.execute("INSERT INTO items (n) VALUES (3)")

    database.enqueue(*item(4))
    outcomes = await asyncio.gather(
        database.transact(refuse),
        database.transact(break_rule),
        database.transact(add),
        database.commit(*item(5)),
        return_exceptions=True,
    )
    assert isinstance(outcomes[0], NotFound)
    assert isinstance(outcomes[1], StoreError)
    assert "CHECK constraint failed" in str(outcomes[1])
    assert (outcomes[2], outcomes[3]) == (None, None)
    assert await database.read("SELECT n FROM items") == [(3,), (4,), (5,)]
    assert (database.accepting, database.lost) == (True, 0)


async def test_transaction_that_was_rolled_back_by_sqlite(owner: Owner) -> None:
    """After SQLite itself rolled a transaction back, nothing more can be written in its name."""
    database = await owner.open()

    async def carry_on(tx: Transaction) -> None:
        await tx.execute("INSERT INTO items (n) VALUES (1)")
        with pytest.raises(StoreError):
            await tx.execute("INSERT OR ROLLBACK INTO items (n) VALUES (1)")
        await tx.execute("INSERT INTO items (n) VALUES (2)")

    with pytest.raises(StoreError, match="rolled back"):
        await database.transact(carry_on)
    assert await database.read("SELECT n FROM items") == []


async def test_transaction_is_over_when_it_is_over(owner: Owner) -> None:
    """A transaction kept for later writes nothing into the next one."""
    database = await owner.open()

    async def leak(tx: Transaction) -> Transaction:
        return tx

    transaction = await database.transact(leak)
    with pytest.raises(StoreError, match="over"):
        await transaction.execute("INSERT INTO items (n) VALUES (1)")


async def test_cancelled_caller_leaves_a_whole_transaction(owner: Owner) -> None:
    """A caller who leaves in the midst of a transaction neither breaks it nor the writer."""
    database = await owner.open()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(tx: Transaction) -> None:
        await tx.execute("INSERT INTO items (n) VALUES (1)")
        begun.set()
        await go_on.wait()
        await tx.execute("INSERT INTO items (n) VALUES (2)")

    async def never(tx: Transaction) -> None:
        await tx.execute("INSERT INTO items (n) VALUES (3)")

    caller = asyncio.create_task(database.transact(slow))
    await begun.wait()
    next_caller = asyncio.create_task(database.transact(never))
    await asyncio.sleep(0)
    caller.cancel()
    next_caller.cancel()
    await asyncio.gather(caller, next_caller, return_exceptions=True)
    go_on.set()
    await database.commit(*item(4))
    await database.transact(lambda tx: tx.execute("SELECT 1"))
    assert await database.read("SELECT n FROM items") == [(1,), (2,), (4,)]


async def test_backup_is_one_moment(owner: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy holds what was committed when it began, though commits go on in the midst of it."""
    monkeypatch.setattr("tokligenced.store.database._BACKUP_PAGES", 1)
    database = await owner.open()
    await database.transact(fill)
    await database.commit(*item(0))
    target = tmp_path / "copy.db"
    steps: list[tuple[int, int]] = []
    holds: list[asyncio.Future[None]] = []

    def progress(done: int, total: int) -> None:
        steps.append((done, total))
        if not holds or holds[-1].done():
            holds.append(database.commit(*item(len(holds) + 1)))

    await database.backup(target, progress)
    assert sum(hold.done() for hold in holds) > 1
    assert [done for done, _ in steps] == list(range(1, steps[-1][1] + 1))
    assert {total for _, total in steps} == {len(steps)}
    await asyncio.gather(*holds)
    assert rows_of(target, "SELECT n FROM items") == [(0,)]
    assert rows_of(target, "SELECT count(*) FROM bulk") == [(PAGES,)]
    assert rows_of(target, "PRAGMA integrity_check") == [("ok",)]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


async def test_backup_overwrites_nothing(owner: Owner, tmp_path: Path) -> None:
    """A copy is refused where something is, and where it can't be written; nothing is left there."""
    database = await owner.open()
    target = tmp_path / "precious"
    target.write_text("precious")
    with pytest.raises(Conflict, match="precious: exists already"):
        await database.backup(target, lambda _done, _total: None)
    assert target.read_text() == "precious"
    with pytest.raises(StoreError, match="missing/copy: No such file"):
        await database.backup(tmp_path / "missing" / "copy", lambda _done, _total: None)


async def test_abandoned_backup(owner: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy whose caller leaves is given up, and nothing of it is left."""
    monkeypatch.setattr("tokligenced.store.database._BACKUP_PAGES", 1)
    database = await owner.open()
    await database.transact(fill)
    steps: list[tuple[int, int]] = []

    def leave(done: int, total: int) -> None:
        steps.append((done, total))
        copying.cancel()

    copying = asyncio.create_task(database.backup(tmp_path / "copy.db", leave))
    with pytest.raises(asyncio.CancelledError):
        await copying
    assert steps[-1][0] < steps[-1][1]
    assert not [name for name in names(tmp_path) if name.startswith("copy")]


async def test_close_writes_what_is_queued(owner: Owner) -> None:
    """A close, or two at once, leaves everything in the one file, and the lock free."""
    database = await owner.open()
    for n in range(100):
        database.enqueue(*item(n))
    waiter = database.commit(*item(100))
    await asyncio.gather(database.close(), database.close())
    await waiter
    await database.close()
    assert names(owner.path.parent) == {"test.db", "test.db.lock", "test.db.ballast"}
    assert rows_of(owner.path, "SELECT count(*) FROM items") == [(101,)]
    assert owner.crashes == []
    await owner.open()


async def test_close_empties_the_log(owner: Owner) -> None:
    """After a close the database file alone holds everything, though another program looks at it."""
    database = await owner.open()
    await database.commit(*item(1))
    with closing(sqlite3.connect(owner.path)) as other:
        assert other.execute("SELECT n FROM items").fetchall() == [(1,)]
        await database.close()
        assert owner.path.with_name("test.db-wal").stat().st_size == 0


async def test_closed_is_closed(owner: Owner) -> None:
    """After a close every way in says so; what can't fail is reported as lost."""
    database = await owner.open()
    await database.close()
    for attempt in (
        database.commit(*item(1)),
        database.flush(),
        database.transact(lambda tx: tx.execute("SELECT 1")),
        database.read("SELECT 1"),
    ):
        with pytest.raises(StoreError):
            await attempt
    database.enqueue(*item(2))
    assert [writes for writes, _ in owner.lost] == [item(2)]
    assert database.lost == 1
    assert not database.accepting
    assert database.problem == f"{owner.path}: closed"


async def test_killed_tables_come_back(owner: Owner) -> None:
    """Opening again finds what was committed, and migrates nothing twice."""
    database = await owner.open()
    await database.commit(*item(1))
    await database.close()
    again = await owner.open(migrations=[ITEMS])
    assert await again.read("SELECT n FROM items") == [(1,)]
    assert not [name for name in names(owner.path.parent) if name.endswith(".bak")]
