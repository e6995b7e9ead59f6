"""Reports: what was used, by whatever one groups it, and the entries of the ledger in order."""

import sqlite3
from typing import Literal, get_args

from msgspec import Struct

from tokligenced.store.database import Database

Grouping = Literal["model", "key", "account", "org", "provider", "day"]
GROUPINGS: tuple[Grouping, ...] = get_args(Grouping)

# How a group is named: its fields, what they are in SQL, and what must be joined for it.
_GROUPS: dict[Grouping, tuple[dict[str, str], str]] = {
    "model": ({"model": "calls.model"}, ""),
    "key": (
        {"key": "calls.key_id", "prefix": "keys.prefix", "name": "keys.name"},
        "LEFT JOIN keys ON keys.id = calls.key_id",
    ),
    "account": ({"account": "accounts.email"}, "JOIN accounts ON accounts.id = calls.payer_id"),
    "org": ({"org": "organizations.slug"}, "JOIN organizations ON organizations.id = calls.payer_id"),
    "provider": ({"provider": "calls.provider"}, ""),
    "day": ({"day": "date(calls.started_at / 1000, 'unixepoch')"}, ""),
}
_SUMS = """
    count(*), count(calls.error),
    sum(input + cached_input + cache_write_5m + cache_write_1h + audio_in + image_in),
    sum(cached_input),
    sum(output + reasoning + audio_out + image_out),
    sum(reasoning),
    sum(cost_nano)
"""


class Group(Struct, frozen=True, kw_only=True):
    """What the calls of one group used. `label` has the fields that name it, in order."""

    label: dict[str, str | None]
    calls: int
    errors: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cost_nano: int


class Entry(Struct, frozen=True, kw_only=True):
    """An entry of the ledger; its hash in hexadecimal."""

    seq: int
    at: int
    kind: str
    source: str
    target: str
    amount: int
    call_id: str | None
    reference: str | None
    note: str | None
    hash: str


async def usage(database: Database, *, since: int, by: Grouping) -> list[Group]:
    """What the calls since a Unix millisecond used: the dearest groups first, days in their order (UTC).

    Raises `StoreError`.
    """
    fields, join = _GROUPS[by]
    label = ", ".join(fields.values())
    order = "1" if by == "day" else f"{len(fields) + 7} DESC, {len(fields) + 1} DESC, 1"
    sql = (
        f"SELECT {label}, {_SUMS} FROM calls {join}"  # noqa: S608 - constants
        f" WHERE calls.started_at >= ? GROUP BY {label} ORDER BY {order}"
    )

    def read(connection: sqlite3.Connection) -> list[Group]:
        return [_group(tuple(fields), row) for row in connection.execute(sql, (since,))]

    # Such a query may take long, and others wait for the reader that is shared.
    return await database.inspect(read)


def _group(fields: tuple[str, ...], row: tuple[str | int | None, ...]) -> Group:
    sums = dict(zip(Group.__struct_fields__[1:], row[len(fields) :], strict=True))
    return Group(label=dict(zip(fields, row, strict=False)), **sums)  # type: ignore[arg-type]


async def entries(database: Database, *, after: int, limit: int) -> list[Entry]:
    """The next entries after number `after`, at most `limit`; raises `StoreError`."""
    rows = await database.read(
        "SELECT seq, at, kind, source, target, amount, call_id, reference, note, lower(hex(hash))"
        " FROM entries WHERE seq > ? ORDER BY seq LIMIT ?",
        (after, limit),
    )
    return [Entry(**dict(zip(Entry.__struct_fields__, row, strict=True))) for row in rows]


async def spent(database: Database, key_id: str) -> int:
    """What a key has spent, in nano-USD, as far as it is durable; raises `StoreError`."""
    rows = await database.read("SELECT spent FROM key_spend WHERE key_id = ?", (key_id,))
    return int(rows[0][0]) if rows else 0
