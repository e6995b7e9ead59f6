"""Answers kept for another time: there for their time and their key."""

from collections.abc import AsyncIterator

import pytest

from tests.store.conftest import Owner
from tokligenced.domain import Account, Key
from tokligenced.store import accounts, idempotency, keys
from tokligenced.store.database import Database, Transaction
from tokligenced.store.idempotency import Answer

KEPT = Answer(fingerprint=b"\x05" * 32, content_type="application/json", body=b"{}")


@pytest.fixture
async def database(owner: Owner) -> AsyncIterator[Database]:
    """A database in which Ann and Bob have a key each, and each key an answer until 9."""
    database = await owner.open(migrations=None)

    async def populate(tx: Transaction) -> None:
        for number, name in enumerate(("ann", "bob")):
            await accounts.insert_account(tx, Account(id=name, email=f"{name}@example.com", created_at=1))
            key = Key(
                id=f"key_{name}",
                digest=bytes([number]) * 32,
                prefix="tk-abcdef",
                name="n",
                payer_kind="account",
                payer_id=name,
                created_at=1,
            )
            await keys.insert(tx, key)

    await database.transact(populate)
    for name in ("ann", "bob"):
        database.enqueue(
            (idempotency.SAVE, (f"key_{name}", "a", KEPT.fingerprint, 9, 2, KEPT.content_type, KEPT.body)),
        )
    await database.flush()
    yield database
    assert owner.lost == []


async def test_an_answer_is_there_until_its_time(database: Database) -> None:
    """It comes back for its key and name alone, up to the last millisecond, swept or not."""
    assert await idempotency.find(database, "key_ann", "a", 8) == KEPT
    assert await idempotency.find(database, "key_ann", "a", 9) is None
    assert await idempotency.find(database, "key_ann", "b", 8) is None
    assert await idempotency.find(database, "key_none", "a", 8) is None
