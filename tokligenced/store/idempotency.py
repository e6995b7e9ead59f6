"""Rows of answers kept under idempotency keys: written with the charge of their call, gone after a day."""

from msgspec import Struct

from tokligenced.store.database import Database, Statement

# Nobody saves under a name that is taken, but where an answer has had its time a new one may come.
SAVE = Statement(
    "INSERT OR REPLACE INTO idempotent_answers"
    " (key_id, name, fingerprint, expires_at, size, content_type, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
    order=230,
)
EXPIRE = Statement("DELETE FROM idempotent_answers WHERE expires_at <= ?", order=240)
# Of each API key the newest stay that come to so many bytes together.
TRIM = Statement(
    """
    DELETE FROM idempotent_answers WHERE rowid IN (
        SELECT rowid FROM (
            SELECT rowid, sum(size) OVER (PARTITION BY key_id ORDER BY expires_at DESC, rowid DESC) AS total
            FROM idempotent_answers
        ) WHERE total > ?
    )
    """,
    order=250,
)


class Answer(Struct, frozen=True, kw_only=True):
    """A kept answer, and the fingerprint of the call that it was given to."""

    fingerprint: bytes
    content_type: str
    body: bytes


async def find(database: Database, key_id: str, name: str, now: int) -> Answer | None:
    """What is kept at a Unix millisecond under this name for this API key; None where nothing is."""
    rows = await database.read(
        "SELECT fingerprint, content_type, body FROM idempotent_answers"
        " WHERE key_id = ? AND name = ? AND expires_at > ?",
        (key_id, name, now),
    )
    if not rows:
        return None
    fingerprint, content_type, body = rows[0]
    return Answer(fingerprint=fingerprint, content_type=content_type, body=body)
