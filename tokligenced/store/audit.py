"""Rows of the audit trail: who did what to what; written with the change itself, never altered."""

from collections.abc import Mapping

from msgspec import json

from tokligenced.store.database import Transaction


async def record(
    tx: Transaction, *, at: int, actor: str, action: str, subject: str, detail: Mapping[str, object]
) -> None:
    """Add an entry: `actor` is an account's id or `cli`, `action` like `key.revoked`, `subject` an id.

    `detail` must become a JSON object; it holds no secret.
    """
    await tx.execute(
        "INSERT INTO audit (at, actor, action, subject, detail) VALUES (?, ?, ?, ?, ?)",
        (at, actor, action, subject, json.encode(detail).decode()),
    )
