"""What people prove themselves with: what is written comes back, and what is taken away is gone."""

from collections.abc import AsyncIterator

import pytest

from tests.store.conftest import Owner
from tokligenced.domain import Account, Key
from tokligenced.errors import StoreError
from tokligenced.store import accounts, keys, people, responses
from tokligenced.store.database import Database, Transaction
from tokligenced.store.people import Factor, Link, Session

ANN = Account(id="acct_1", email="ann@example.com", created_at=1)
BOB = Account(id="acct_2", email="bob@example.com", created_at=2)
SESSION = Session(
    id="sess_1", digest=b"\x01" * 32, account_id="acct_1", created_at=3, seen_at=4, address="192.0.2.7"
)
RESET = Link(digest=b"\x02" * 32, kind="reset", account_id="acct_1", made_at=5, expires_at=10)
CODES = [b"\x03" * 32, b"\x04" * 32]


@pytest.fixture
async def database(owner: Owner) -> AsyncIterator[Database]:
    """A database in which Ann has one of everything, and Bob nothing."""
    database = await owner.open(migrations=None)

    async def populate(tx: Transaction) -> None:
        for account in (ANN, BOB):
            await accounts.insert_account(tx, account)
        await people.set_password(tx, "acct_1", "a hash", 3)
        await people.insert_factor(tx, "acct_1", Factor(secret=b"s" * 20, last_step=7), CODES, 3)
        await people.insert_session(tx, SESSION)
        await people.insert_link(tx, RESET)

    await database.transact(populate)
    yield database
    assert owner.lost == []


async def test_everything_comes_back(database: Database) -> None:
    """Each row is what was written, and who has nothing has None."""
    read = database.read
    assert await people.password(read, "acct_1") == "a hash"
    assert await people.factor(read, "acct_1") == Factor(secret=b"s" * 20, last_step=7)
    assert await people.load_sessions(database) == [SESSION]
    assert await people.link(read, RESET.digest, "reset", 9) == RESET
    assert (await people.password(read, "acct_2"), await people.factor(read, "acct_2")) == (None, None)


async def test_a_password_replaces_another(database: Database) -> None:
    """An account has one at a time."""
    await database.transact(lambda tx: people.set_password(tx, "acct_1", "another", 9))
    assert await database.read("SELECT * FROM passwords") == [("acct_1", "another", 9)]


async def test_codes_are_used_up(database: Database) -> None:
    """A recovery code is there once and for its account; a step that was noted stays so."""

    async def use(tx: Transaction) -> list[bool]:
        await people.note_step(tx, "acct_1", 8)
        tries = (("acct_2", CODES[0]), ("acct_1", CODES[0]), ("acct_1", CODES[0]), ("acct_1", b"\x09" * 32))
        return [await people.use_recovery_code(tx, account_id, digest) for account_id, digest in tries]

    assert await database.transact(use) == [False, True, False, False]
    assert await people.factor(database.read, "acct_1") == Factor(secret=b"s" * 20, last_step=8)
    await database.transact(lambda tx: people.delete_factor(tx, "acct_1"))
    assert await database.read("SELECT * FROM recovery_codes") == []


async def test_a_link_is_of_a_kind_and_of_a_time(database: Database) -> None:
    """Neither as another kind nor at its end is there one; a new reset goes in the place of the old."""
    assert await people.link(database.read, RESET.digest, "invite", 9) is None
    assert await people.link(database.read, RESET.digest, "reset", 10) is None
    newer = Link(digest=b"\x05" * 32, kind="reset", account_id="acct_1", made_at=6, expires_at=11)
    bobs = Link(digest=b"\x06" * 32, kind="reset", account_id="acct_2", made_at=6, expires_at=11)
    invites = [
        Link(digest=bytes([n]) * 32, kind="invite", email=None, made_at=6, expires_at=99) for n in (7, 8)
    ]
    for each in (newer, bobs, *invites):
        await database.transact(lambda tx, each=each: people.insert_link(tx, each))
    assert await people.link(database.read, RESET.digest, "reset", 9) is None
    assert await database.read("SELECT count(*) FROM links") == [(4,)]
    last = Link(digest=b"\x09" * 32, kind="setup", made_at=11, expires_at=12)
    await database.transact(lambda tx: people.insert_link(tx, last))
    assert await database.read("SELECT kind FROM links ORDER BY digest") == [
        ("invite",), ("invite",), ("setup",),
    ]  # fmt: skip
    await database.transact(lambda tx: people.delete_link(tx, last.digest))
    assert await database.read("SELECT count(*) FROM links") == [(2,)]


async def test_a_session_is_seen_and_ended(database: Database) -> None:
    """In one commit an end wins over a sight; both of what is not there change nothing."""
    database.enqueue((people.SEEN, (9, "sess_1")), (people.SEEN, (9, "sess_none")))
    await database.flush()
    assert [session.seen_at for session in await people.load_sessions(database)] == [9]
    database.enqueue((people.END, ("sess_1",)), (people.SEEN, (10, "sess_1")), (people.END, ("sess_none",)))
    await database.flush()
    assert await people.load_sessions(database) == []


async def test_who_is_forgotten_leaves_nothing(database: Database) -> None:
    """All that an account proved itself with goes; another's stays."""

    async def forget(tx: Transaction) -> None:
        await people.set_password(tx, "acct_2", "bob's", 3)
        await people.forget(tx, "acct_1")

    await database.transact(forget)
    for table in ("sessions", "second_factors", "recovery_codes", "links"):
        assert await database.read(f"SELECT * FROM {table}") == [], table
    assert await database.read("SELECT account_id FROM passwords") == [("acct_2",)]


async def test_nobody_proves_an_account_that_is_not_there(database: Database) -> None:
    """A password or a session of no account is refused."""
    stray = Session(
        id="sess_2", digest=b"\x0a" * 32, account_id="acct_9", created_at=1, seen_at=1, address=""
    )
    with pytest.raises(StoreError):
        await database.transact(lambda tx: people.set_password(tx, "acct_9", "a hash", 3))
    with pytest.raises(StoreError):
        await database.transact(lambda tx: people.insert_session(tx, stray))


async def test_answers_of_who_is_forgotten_go(database: Database) -> None:
    """What was kept of conversations under the account's keys goes with it; what is another's stays."""

    async def forget(tx: Transaction) -> None:
        for number, account in ((1, ANN), (2, BOB)):
            key = Key(
                id=f"key_{number}",
                digest=bytes([number]) * 32,
                prefix="tk-abcdef",
                name="n",
                payer_kind="account",
                payer_id=account.id,
                created_at=4,
            )
            await keys.insert(tx, key)
            await tx.execute(responses.SAVE.sql, (f"resp_{number}", key.id, 1, 9, b"{}", b"[]"))
            await tx.execute(
                "INSERT INTO idempotent_answers (key_id, name, fingerprint, expires_at, size, content_type,"
                " body) VALUES (?, 'a', ?, 9, 2, 'application/json', ?)",
                (key.id, b"\x05" * 32, b"{}"),
            )
        await people.forget(tx, ANN.id)

    await database.transact(forget)
    for table in ("responses", "idempotent_answers"):
        assert await database.read(f"SELECT key_id FROM {table}") == [("key_2",)], table
