"""Accounts, organizations, keys, calls and the audit trail: what is written comes back as it was."""

from collections.abc import AsyncIterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tests.store.conftest import Owner
from tokligenced.domain import Account, Key, Limits, Organization, Outcome, Usage
from tokligenced.errors import Conflict, NotFound, StoreError
from tokligenced.store import accounts, audit, calls, keys
from tokligenced.store.database import Database, Transaction

ANN = Account(id="acct_1", email="ann@example.com", admin=True, created_at=1)
BOB = Account(id="acct_2", email="bob@example.com", unlimited=True, created_at=2)
CREW = Organization(id="org_1", slug="crew", owner_id="acct_1", created_at=3)
KEY = Key(
    id="key_1", digest=b"\x01" * 32, prefix="tk-abcdef", name="laptop", payer_kind="account",
    payer_id="acct_1", created_at=4,
)  # fmt: skip
OUTCOME = Outcome(
    id="call_1", started_at=5, key_id="key_1", payer_id="acct_1", endpoint="chat", model="m", stream=False,
    status=200,
)  # fmt: skip


@pytest.fixture
async def database(owner: Owner) -> AsyncIterator[Database]:
    """A database with two accounts and an organization."""
    database = await owner.open(migrations=None)

    async def populate(tx: Transaction) -> None:
        await accounts.insert_account(tx, BOB)
        await accounts.insert_account(tx, ANN)
        await accounts.insert_organization(tx, CREW)

    await database.transact(populate)
    yield database
    assert owner.lost == []


async def test_accounts_and_organizations_come_back(database: Database) -> None:
    """Accounts and organizations come back whole, oldest first, an organization's owner as its member."""
    assert await accounts.load_accounts(database) == [ANN, BOB]
    assert await accounts.load_organizations(database) == [CREW]
    assert await database.read("SELECT * FROM members") == [("org_1", "acct_1", "owner")]


async def test_taken_names(database: Database) -> None:
    """An e-mail address, in whatever case, and a slug belong to one; the refusal changes nothing."""
    twin = structs.replace(ANN, id="acct_9", email="ANN@example.com")
    with pytest.raises(Conflict, match=r"there is already an account 'ANN@example\.com'"):
        await database.transact(lambda tx: accounts.insert_account(tx, twin))
    crew = structs.replace(CREW, id="org_9", owner_id="acct_2")
    with pytest.raises(Conflict, match="there is already an organization 'crew'"):
        await database.transact(lambda tx: accounts.insert_organization(tx, crew))
    assert await accounts.load_accounts(database) == [ANN, BOB]
    assert await database.read("SELECT count(*) FROM members") == [(1,)]


async def test_keys_come_back(database: Database) -> None:
    """Keys come back whole, whatever they leave to the defaults."""
    full = Key(
        id="key_2", digest=b"\x02" * 32, prefix="tk-ghijkl", name="ci", payer_kind="org", payer_id="org_1",
        limits=Limits(requests_per_minute=1, tokens_per_minute=2, concurrency=3),
        models=frozenset({"b", "a/é"}), spend_cap_nano=4, created_at=5, expires_at=6, revoked_at=7,
    )  # fmt: skip
    none = structs.replace(KEY, id="key_3", digest=b"\x03" * 32, models=frozenset(), created_at=6)

    async def insert(tx: Transaction) -> None:
        for key in (none, full, KEY):
            await keys.insert(tx, key)

    await database.transact(insert)
    assert await keys.load(database) == [KEY, full, none]


async def test_keys_change_in_what_may_change(database: Database) -> None:
    """An update changes a key's name, rules and end, and never whose it is or what proves it."""
    await database.transact(lambda tx: keys.insert(tx, KEY))
    wanted = structs.replace(
        KEY, name="desk", limits=Limits(concurrency=1), models=frozenset({"m"}), spend_cap_nano=9,
        expires_at=8, revoked_at=7,
    )  # fmt: skip
    stranger = structs.replace(
        wanted, digest=b"\x09" * 32, prefix="tk-xxxxxx", payer_id="acct_2", created_at=0
    )
    await database.transact(lambda tx: keys.update(tx, stranger))
    assert await keys.load(database) == [wanted]
    with pytest.raises(NotFound, match="there is no key 'key_9'"):
        await database.transact(lambda tx: keys.update(tx, structs.replace(KEY, id="key_9")))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"payer_id": "acct_9"}, "FOREIGN KEY"),
        ({"payer_kind": "org"}, "FOREIGN KEY"),
        ({"payer_kind": "nobody"}, "CHECK"),
        ({"digest": b"short"}, "CHECK"),
        ({"spend_cap_nano": -1}, "CHECK"),
    ],
)
async def test_impossible_keys(database: Database, change: dict[str, object], reason: str) -> None:
    """A key whose payer does not exist, or that makes no sense, is not stored."""
    with pytest.raises(StoreError, match=f"{reason} constraint failed"):
        await database.transact(lambda tx: keys.insert(tx, structs.replace(KEY, **change)))
    assert await keys.load(database) == []


async def test_same_key_twice(database: Database) -> None:
    """A digest belongs to one key."""
    await database.transact(lambda tx: keys.insert(tx, KEY))
    with pytest.raises(Conflict, match="'key_2'"):
        await database.transact(lambda tx: keys.insert(tx, structs.replace(KEY, id="key_2")))


async def test_calls_come_back(database: Database) -> None:
    """A call's row holds all of its outcome, each count in its own place."""
    counts = {name: place + 1 for place, name in enumerate(Usage.__struct_fields__) if name != "estimated"}
    full = structs.replace(
        OUTCOME, id="call_2", started_at=6, stream=True, status=503, error="upstream_error", provider="p",
        upstream_model="n", attempts=2, usage=Usage(**counts, estimated=True), cost_nano=2**62,
        first_byte=0.25, duration=1.5,
    )  # fmt: skip
    for outcome in (OUTCOME, full, structs.replace(OUTCOME, id="call_3", payer_id="acct_2")):
        database.enqueue((calls.RECORD, calls.row(outcome)))
    await database.flush()
    assert await calls.recent(database, "acct_1") == [full, OUTCOME]
    assert await calls.recent(database, "acct_1", limit=1) == [full]
    assert await calls.find(database, "call_2") == full
    assert await calls.find(database, "call_9") is None


@given(st.floats(0, 1e6), st.none() | st.floats(0, 1e6))
def test_times_are_kept_to_the_microsecond(duration: float, first_byte: float | None) -> None:
    """Times become whole microseconds, the nearest; no first byte stays none."""
    *_, first_byte_us, duration_us = calls.row(
        structs.replace(OUTCOME, first_byte=first_byte, duration=duration)
    )
    assert (first_byte_us is None) == (first_byte is None)
    for stored, given_ in ((first_byte_us, first_byte), (duration_us, duration)):
        if given_ is not None:
            assert isinstance(stored, int)
            assert abs(stored / 1e6 - given_) <= 1e-6


async def test_audit_is_append_only(database: Database) -> None:
    """An entry holds who did what to what; nobody changes it or takes it away."""
    detail = {"name": "laptop", "old": None}
    await database.transact(
        lambda tx: audit.record(tx, at=1, actor="cli", action="key.revoked", subject="key_1", detail=detail)
    )
    assert await database.read("SELECT at, actor, action, subject, detail FROM audit") == [
        (1, "cli", "key.revoked", "key_1", '{"name":"laptop","old":null}')
    ]
    for attempt in ("UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"):
        with pytest.raises(StoreError, match="the audit trail is append-only"):
            await database.transact(partial(Transaction.execute, sql=attempt))


async def test_reports_find_their_rows_by_index(database: Database) -> None:
    """What reports ask for is found without reading every call."""
    for question in (
        "payer_id = 'a' AND started_at >= 1",
        "payer_id = 'a' AND started_at >= 1 AND key_id = 'k'",
        "started_at BETWEEN 1 AND 2",
        "id = 'call_1'",
    ):
        plan = await database.read(f"EXPLAIN QUERY PLAN SELECT sum(cost_nano) FROM calls WHERE {question}")
        assert ["SEARCH calls USING" in step for (*_, step) in plan] == [True]
