"""Migrations: all or nothing, each once, and a copy of what was there before."""

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.store.conftest import ITEMS
from tokligenced.errors import StoreError
from tokligenced.store.migrate import Migration, known, migrate

TITLES = Migration(
    number=2,
    name="0002_titles.sql",
    sql="""
    -- A trigger has semicolons of its own; so has this comment; and the last statement may lack one.
    ALTER TABLE items ADD COLUMN title TEXT;
    CREATE TRIGGER titled AFTER INSERT ON items
    BEGIN
        UPDATE items SET title = 'a; b' WHERE n = new.n;
        UPDATE items SET seen = 1 WHERE n = new.n;
    END;
    CREATE INDEX items_by_title ON items (title)
    """,
)
BROKEN = Migration(
    number=3,
    name="0003_broken.sql",
    sql="CREATE TABLE half (x);\nINSERT INTO items (n) VALUES (7);\nCREATE TABLE half (x);\n",
)
ORPHANS = Migration(number=3, name="0003_orphans.sql", sql="INSERT INTO notes (n) VALUES (99);\n")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is."""
    return tmp_path / "test.db"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a database that is not there yet."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def schema(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    """Everything the database says of itself."""
    return [
        *connection.execute("PRAGMA user_version"),
        *connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name"),
    ]


def test_known_migrations_are_numbered(connection: sqlite3.Connection, path: Path) -> None:
    """The steps are numbered from one without a gap, apply to a new file, and then never again."""
    steps = known()
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    migrate(connection, path, steps)
    before = schema(connection)
    migrate(connection, path, steps)
    assert schema(connection) == before
    assert list(path.parent.iterdir()) == [path]


def test_every_table_is_strict(connection: sqlite3.Connection, path: Path) -> None:
    """No column takes a value of another type than its own."""
    migrate(connection, path, known())
    tables = connection.execute(
        "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    assert tables
    assert [name for name, strict in tables if not strict] == []


def test_copy_before_migrating(connection: sqlite3.Connection, path: Path) -> None:
    """Before a file that holds something is changed, a private copy of it is kept."""
    migrate(connection, path, [ITEMS])
    connection.execute("INSERT INTO items (n) VALUES (1)")
    migrate(connection, path, [ITEMS, TITLES])
    connection.execute("INSERT INTO items (n) VALUES (2)")
    assert connection.execute("SELECT n, title, seen FROM items").fetchall() == [
        (1, None, None),
        (2, "a; b", 1),
    ]
    copy = path.with_name("test.db.before-0002.bak")
    assert set(path.parent.iterdir()) == {path, copy}
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with closing(sqlite3.connect(copy)) as before:
        assert before.execute("PRAGMA user_version").fetchone() == (1,)
        assert before.execute("SELECT * FROM items").fetchall() == [(1, None)]


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (BROKEN, "table half already exists"),
        (ORPHANS, "a row of notes refers to a missing row of items"),
        (Migration(number=3, name="0003_cut.sql", sql="CREATE TABLE cut (x"), "incomplete input"),
        (Migration(number=3, name="0003_two.sql", sql="SELECT 1; SELECT 2;"), "one statement at a time"),
    ],
)
def test_failing_migration(connection: sqlite3.Connection, path: Path, step: Migration, reason: str) -> None:
    """A step that fails is named with its reason and undone; the steps before it stay."""
    migrate(connection, path, [ITEMS, TITLES])
    connection.execute("INSERT INTO items (n) VALUES (1)")
    before = schema(connection), connection.execute("SELECT * FROM items").fetchall()
    with pytest.raises(StoreError, match=rf"^{path}: migration {step.name} failed: .*{reason}"):
        migrate(connection, path, [ITEMS, TITLES, step])
    assert (schema(connection), connection.execute("SELECT * FROM items").fetchall()) == before
    assert not connection.in_transaction


def test_no_copy_no_migration(connection: sqlite3.Connection, path: Path) -> None:
    """Where no copy can be made nothing is migrated."""
    migrate(connection, path, [ITEMS])
    path.with_name("test.db.before-0002.bak").mkdir()
    before = schema(connection)
    with pytest.raises(StoreError, match=r"before-0002\.bak: no copy could be made"):
        migrate(connection, path, [ITEMS, TITLES])
    assert schema(connection) == before
