"""Rows of stored responses: written when an answer is complete, gone when their time is over."""

from msgspec import Struct

from tokligenced.store.database import Database, Statement

SAVE = Statement(
    "INSERT OR REPLACE INTO responses (id, key_id, created_at, expires_at, response, input)"
    " VALUES (?, ?, ?, ?, ?, ?)",
    order=200,
)
DELETE = Statement("DELETE FROM responses WHERE id = ? AND key_id = ?", order=210)
EXPIRE = Statement("DELETE FROM responses WHERE expires_at <= ?", order=220)


class Stored(Struct, frozen=True, kw_only=True):
    """A stored response: JSON as the client got it, and a JSON array of all items that led to it."""

    id: str
    response: bytes
    input: bytes


async def find(database: Database, response_id: str, key_id: str, now: int) -> Stored | None:
    """The response with this id that this key may read at a Unix millisecond; None where there is none."""
    rows = await database.read(
        "SELECT response, input FROM responses WHERE id = ? AND key_id = ? AND expires_at > ?",
        (response_id, key_id, now),
    )
    return Stored(id=response_id, response=rows[0][0], input=rows[0][1]) if rows else None
