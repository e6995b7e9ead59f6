"""Rows of the audit trail: who did what to what; written with the change itself, never altered."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct, json

from tokligenced.store.database import Database, Params, Statement, Transaction

RECORD = Statement("INSERT INTO audit (at, actor, action, subject, detail) VALUES (?, ?, ?, ?, ?)", order=110)

# Who is told of an entry once it is durable: its actor, action and subject.
Audited = Callable[[str, str, str], None]


def unheard(_actor: str, _action: str, _subject: str) -> None:
    """For where nobody is told, as in a command that has the database for a moment."""


def row(*, at: int, actor: str, action: str, subject: str, detail: Mapping[str, object]) -> Params:
    """What `RECORD` writes: `actor` is an account's id, `cli`, `local` or `signal`.

    `action` is like `key.revoked`, `subject` is an id. `detail` must become a JSON object;
    it holds no secret.
    """
    return at, actor, action, subject, json.encode(detail).decode()


async def record(
    tx: Transaction, *, at: int, actor: str, action: str, subject: str, detail: Mapping[str, object]
) -> None:
    """Add an entry with the change that it tells of; the arguments are those of `row`."""
    await tx.execute(RECORD.sql, row(at=at, actor=actor, action=action, subject=subject, detail=detail))


class Record(Struct, frozen=True, kw_only=True):
    """An entry as it stands."""

    id: int
    at: int
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]


async def page(database: Database, *, subject: str | None, before: int | None, limit: int) -> list[Record]:
    """The next entries, the newest first: numbered below `before`, about `subject` where it is given."""
    rows = await database.read(
        "SELECT id, at, actor, action, subject, detail FROM audit"
        " WHERE (?1 IS NULL OR subject = ?1) AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?3",
        (subject, before, limit),
    )
    return [
        Record(id=id_, at=at, actor=actor, action=action, subject=about, detail=json.decode(detail))
        for id_, at, actor, action, about, detail in rows
    ]
