"""Numbered steps that bring a database file up to what this version expects."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from importlib import resources
from pathlib import Path

from msgspec import Struct

from tokligenced.errors import StoreError
from tokligenced.store.files import create_private, make_durable

APPLICATION_ID = 0x746B6C67


class Migration(Struct, frozen=True, kw_only=True):
    """One step: its place in the order, its file's name, its statements."""

    number: int
    name: str
    sql: str


def known() -> tuple[Migration, ...]:
    """The steps this version knows, in order: `migrations/NNNN_what_it_does.sql`."""
    files = resources.files("tokligenced.store").joinpath("migrations").iterdir()
    steps = [
        Migration(number=int(file.name[:4]), name=file.name, sql=file.read_text("utf-8"))
        for file in files
        if file.name.endswith(".sql")
    ]
    return tuple(sorted(steps, key=lambda step: step.number))


def migrate(connection: sqlite3.Connection, path: Path, steps: Sequence[Migration]) -> None:
    """Apply to the database at `path` the steps it lacks, each in one transaction.

    A file that holds something is copied first, to `PATH.before-NNNN.bak`, named for the first step.
    Raises `StoreError` when the file is of another program or a newer version, or when a step fails;
    then the file is as the last good step left it.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    empty = connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is None
    if not empty and connection.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
        raise StoreError(f"{path}: holds another program's data")
    if version > steps[-1].number:
        raise StoreError(
            f"{path}: written by a newer version of tokligenced"
            f" (schema {version}, this one knows up to {steps[-1].number})"
        )
    pending = [step for step in steps if step.number > version]
    if pending and not empty:
        copy = path.with_name(f"{path.name}.before-{pending[0].number:04}.bak")
        try:
            _copy(connection, copy)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{copy}: no copy could be made before migrating: {error}") from error
    for step in pending:
        try:
            _apply(connection, step)
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise StoreError(f"{path}: migration {step.name} failed: {error}") from error


def _copy(connection: sqlite3.Connection, target: Path) -> None:
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    create_private(partial)
    with closing(sqlite3.connect(partial)) as copy:
        connection.backup(copy)
    partial.replace(target)
    make_durable(target)


def _apply(connection: sqlite3.Connection, step: Migration) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in _statements(step.sql):
            connection.execute(statement)
        if broken := connection.execute("PRAGMA foreign_key_check").fetchone():
            raise sqlite3.IntegrityError(f"a row of {broken[0]} refers to a missing row of {broken[2]}")
        connection.execute(f"PRAGMA user_version = {step.number}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _statements(sql: str) -> Iterator[str]:
    """Split at the semicolons that end a statement.

    Not `executescript`, which would commit first; and triggers hold semicolons of their own.
    """
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
