"""Rows of keys."""

from msgspec import json

from tokligenced.domain import Key, Limits
from tokligenced.errors import Conflict, NotFound
from tokligenced.store.database import Database, Transaction


async def insert(tx: Transaction, key: Key) -> None:
    """Add `key`; raises `Conflict` when its id or digest is there, `StoreError` when its payer isn't."""
    added = await tx.execute(
        """
        INSERT INTO keys (
            id, digest, prefix, name, payer_kind, payer_id, requests_per_minute, tokens_per_minute,
            concurrency, models, spend_cap_nano, created_at, expires_at, revoked_at
        ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT DO NOTHING RETURNING id
        """,
        (
            key.id,
            key.digest,
            key.prefix,
            key.name,
            key.payer_kind,
            key.payer_id,
            key.limits.requests_per_minute,
            key.limits.tokens_per_minute,
            key.limits.concurrency,
            _models_text(key.models),
            key.spend_cap_nano,
            key.created_at,
            key.expires_at,
            key.revoked_at,
        ),
    )
    if not added:
        raise Conflict(f"there is already a key {key.id!r}")


async def update(tx: Transaction, key: Key) -> None:
    """Make the row of `key` like it in what may change: all but id, digest, prefix, payer and time of making.

    Raises `NotFound`.
    """
    changed = await tx.execute(
        """
        UPDATE keys SET
            name = ?, requests_per_minute = ?, tokens_per_minute = ?, concurrency = ?, models = ?,
            spend_cap_nano = ?, expires_at = ?, revoked_at = ?
        WHERE id = ? RETURNING id
        """,
        (
            key.name,
            key.limits.requests_per_minute,
            key.limits.tokens_per_minute,
            key.limits.concurrency,
            _models_text(key.models),
            key.spend_cap_nano,
            key.expires_at,
            key.revoked_at,
            key.id,
        ),
    )
    if not changed:
        raise NotFound(f"there is no key {key.id!r}")


async def load(database: Database) -> list[Key]:
    """All keys, expired and revoked ones too, oldest first."""
    rows = await database.read(
        """
        SELECT id, digest, prefix, name, payer_kind, payer_id, requests_per_minute, tokens_per_minute,
               concurrency, models, spend_cap_nano, created_at, expires_at, revoked_at
        FROM keys ORDER BY created_at, id
        """
    )
    return [
        Key(
            id=id_,
            digest=digest,
            prefix=prefix,
            name=name,
            payer_kind=payer_kind,
            payer_id=payer_id,
            limits=Limits(requests_per_minute=requests, tokens_per_minute=tokens, concurrency=concurrency),
            models=None if models is None else json.decode(models, type=frozenset[str]),
            spend_cap_nano=spend_cap_nano,
            created_at=created_at,
            expires_at=expires_at,
            revoked_at=revoked_at,
        )
        for (
            id_,
            digest,
            prefix,
            name,
            payer_kind,
            payer_id,
            requests,
            tokens,
            concurrency,
            models,
            spend_cap_nano,
            created_at,
            expires_at,
            revoked_at,
        ) in rows
    ]


def _models_text(models: frozenset[str] | None) -> str | None:
    return None if models is None else json.encode(sorted(models)).decode()
