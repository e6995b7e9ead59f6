"""What the pages of one payer show of the books: usage, movements of money, open holds, last uses."""

import sqlite3
from datetime import date
from typing import Any, Literal, get_args

from msgspec import Struct

from tokligenced.store.database import Database
from tokligenced.store.reports import Entry

By = Literal["day", "model", "key"]
GROUPINGS: tuple[By, ...] = get_args(By)

_LABELS: dict[By, str] = {
    "day": "started_at / 86400000",  # several times as fast as date()
    "model": "model",
    "key": "key_id",
}

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_ENTRY = "seq, at, kind, source, target, amount, call_id, reference, note, lower(hex(hash))"


class Used(Struct, frozen=True, kw_only=True):
    """What the calls of one day, model or key used; `label` is a date, a name or a key's id."""

    label: str
    calls: int = 0
    errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_nano: int = 0


class OpenHold(Struct, frozen=True, kw_only=True):
    """What is set aside for a call that is not over."""

    call_id: str
    amount: int
    opened_at: int
    model: str


async def used(database: Database, payer_id: str, *, since: int, until: int, by: By) -> list[Used]:
    """A payer's use between two Unix milliseconds: days in their order (UTC), else the dearest first."""
    order = "1" if by == "day" else "6 DESC, 2 DESC, 1"
    sql = (
        f"SELECT {_LABELS[by]}, count(*), count(error),"  # noqa: S608 - constants
        " sum(input + cached_input + cache_write_5m + cache_write_1h + audio_in + image_in),"
        " sum(output + reasoning + audio_out + image_out), sum(cost_nano)"
        " FROM calls WHERE payer_id = ? AND started_at >= ? AND started_at < ?"
        f" GROUP BY 1 ORDER BY {order}"
    )

    def read(connection: sqlite3.Connection) -> list[Used]:
        rows = connection.execute(sql, (payer_id, since, until))
        return [_used(by, row) for row in rows]

    # Such a query may take long, and others wait for the reader that is shared.
    return await database.inspect(read)


def _used(by: By, row: tuple[Any, ...]) -> Used:
    label, *counts = row
    if by == "day":
        label = date.fromordinal(_EPOCH_DAY + label).isoformat()
    return Used(label=label, **dict(zip(Used.__struct_fields__[1:], counts, strict=True)))


async def movements(
    database: Database, payer_id: str, *, since: int, until: int, before: int | None, limit: int
) -> list[Entry]:
    """A payer's entries between two Unix milliseconds, the newest first, those before number `before`."""
    last = before if before is not None else 2**63 - 1
    rows = await database.read(
        f"SELECT * FROM (SELECT {_ENTRY} FROM entries WHERE source = ?1"  # noqa: S608 - constants
        " AND at >= ?2 AND at < ?3 AND seq < ?4 ORDER BY seq DESC LIMIT ?5)"
        f" UNION ALL SELECT * FROM (SELECT {_ENTRY} FROM entries WHERE target = ?1"
        " AND reference IS NOT NULL AND at >= ?2 AND at < ?3 AND seq < ?4 ORDER BY seq DESC LIMIT ?5)"
        " ORDER BY 1 DESC LIMIT ?5",
        (payer_id, since, until, last, limit),
    )
    return [Entry(**dict(zip(Entry.__struct_fields__, row, strict=True))) for row in rows]


async def credits_of(database: Database, payer_id: str, *, since: int, until: int, limit: int) -> list[Entry]:
    """A payer's credits between two Unix milliseconds, the newest first."""
    rows = await database.read(
        f"SELECT {_ENTRY} FROM entries WHERE target = ? AND reference IS NOT NULL"  # noqa: S608 - constants
        " AND at >= ? AND at < ? ORDER BY seq DESC LIMIT ?",
        (payer_id, since, until, limit),
    )
    return [Entry(**dict(zip(Entry.__struct_fields__, row, strict=True))) for row in rows]


async def open_holds(database: Database, payer_id: str) -> list[OpenHold]:
    """What is set aside for a payer's calls now, the oldest first."""
    rows = await database.read(
        "SELECT call_id, amount, opened_at, model FROM holds WHERE payer_id = ? ORDER BY opened_at",
        (payer_id,),
    )
    return [OpenHold(**dict(zip(OpenHold.__struct_fields__, row, strict=True))) for row in rows]


async def last_used(database: Database, payer_id: str) -> dict[str, int]:
    """When each of a payer's keys was last used, by its id."""
    rows = await database.read(
        "SELECT key_id, max(started_at) FROM calls WHERE payer_id = ? GROUP BY key_id", (payer_id,)
    )
    return {str(key_id): int(at) for key_id, at in rows}
