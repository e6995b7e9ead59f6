"""Accounts, organizations and keys: what is in memory is what is in the file."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from tokligenced.clock import RandomIds, Tasks
from tokligenced.domain import Account, Limits
from tokligenced.errors import Conflict, InvalidInput, NotFound, StoreError, Unauthenticated
from tokligenced.gateway import auth
from tokligenced.gateway.directory import Directory
from tokligenced.gateway.ledger import Ledger
from tokligenced.gateway.operations import (
    OPERATIONS,
    Caller,
    Object,
    Operations,
    Result,
    Services,
    instant,
    timestamp,
)
from tokligenced.store.database import Database

NOW = 1_800_000_000_000
DAY = 86_400_000


class SetClock:
    """A clock that goes where it is put."""

    def __init__(self) -> None:
        self.now = NOW

    def wall_ms(self) -> int:
        return self.now

    def monotonic(self) -> float:
        return self.now / 1000


class House(Struct, kw_only=True):
    """An open database with its directory."""

    clock: SetClock
    database: Database
    directory: Directory

    async def reloaded(self) -> Directory:
        """The directory as a restart would find it."""
        return await Directory.load(self.database, clock=self.clock, ids=RandomIds(self.clock))

    async def audit(self) -> list[tuple[str, str, str, Object]]:
        """(actor, action, subject, detail) of all that was recorded."""
        rows = await self.database.read("SELECT actor, action, subject, detail FROM audit ORDER BY id")
        return [(actor, action, subject, json.loads(detail)) for actor, action, subject, detail in rows]

    async def do(self, operation: str, **parameters: object) -> Result:
        """Perform an operation as an administrator would."""
        ledger = await Ledger.open(self.database, clock=self.clock, report=lambda _outcome, _principal: None)
        services = Services(directory=self.directory, ledger=ledger, database=self.database, clock=self.clock)
        caller = Caller(actor="cli", progress=lambda _progress: None)
        return await Operations(services, OPERATIONS).perform(operation, parameters, caller)

    def authenticate(self, plain: str) -> Account | object:
        """Who pays for a call with this key."""
        return auth.Authenticator(self.directory, self.clock).authenticate(f"Bearer {plain}").payer

    def refusal(self, plain: str) -> str | None:
        """The code with which a key is refused."""
        with pytest.raises(Unauthenticated) as caught:
            self.authenticate(plain)
        return caught.value.code


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[House]:
    """A house whose database is at `path`."""
    clock = SetClock()
    crashes: list[BaseException] = []
    tasks = Tasks(lambda _name, error: crashes.append(error))
    database = await Database.open(
        path, durability="normal", tasks=tasks, on_lost=lambda _writes, _error: None
    )
    try:
        directory = await Directory.load(database, clock=clock, ids=RandomIds(clock))
        yield House(clock=clock, database=database, directory=directory)
    finally:
        await database.close()
        await tasks.close()
    assert not crashes


def files_in(folder: Path) -> list[Path]:
    """The database and all that is beside it."""
    return list(folder.iterdir())


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """An empty house."""
    async with opened(tmp_path / "t.db") as house:
        yield house


async def test_what_was_created_is_there_after_a_restart(house: House) -> None:
    """Accounts, organizations and keys with all their settings survive in the file."""
    directory = house.directory
    ann = await directory.create_account("Ann@Example.com", admin=True, actor="cli")
    acme = await directory.create_organization("acme", owner_email="ann@example.com", actor="cli")
    mine, _ = await directory.create_key(ann, name="mine", actor="cli")
    ours, plain = await directory.create_key(
        acme,
        name="ours ☂",
        limits=Limits(requests_per_minute=1, tokens_per_minute=2, concurrency=3),
        models=frozenset({"b", "a/b"}),
        expires_at=NOW + DAY,
        spend_cap_nano=10**9,
        actor="cli",
    )
    again = await house.reloaded()
    assert again.list_accounts() == [ann] == directory.list_accounts()
    assert again.list_organizations() == [acme] == directory.list_organizations()
    assert sorted(again.list_keys(), key=lambda key: key.id) == sorted([mine, ours], key=lambda key: key.id)
    assert again.principal(auth.digest(plain)) == directory.principal(auth.digest(plain))
    assert again.payer(acme.id) == acme
    assert again.account("ANN@example.com") == ann
    assert again.organization("acme").owner_id == ann.id
    assert again.key(ours.id) == ours


async def test_a_key_is_kept_only_as_its_hash(house: House, tmp_path: Path) -> None:
    """What the owner sends is nowhere in the files, only its SHA-256 and its public beginning."""
    ann = await house.directory.create_account("ann@example.com", actor="cli")
    key, plain = await house.directory.create_key(ann, name="mine", actor="cli")
    written = b"".join([path.read_bytes() for path in files_in(tmp_path)])
    assert key.digest in written
    assert key.prefix.encode() in written
    assert plain[9:].encode() not in written
    assert plain not in repr(key)


async def test_every_change_leaves_its_audit_row(house: House) -> None:
    """Who did what to what is recorded with the change, and no secret with it."""
    directory = house.directory
    ann = await directory.create_account("ann@example.com", actor="cli")
    acme = await directory.create_organization("acme", owner_email=ann.email, actor=ann.id)
    old, plain = await directory.create_key(acme, name="ours", actor=ann.id)
    new, second = await directory.rotate_key(old.id, overlap=60, actor="cli")
    await directory.revoke_key(new.id, actor=ann.id)
    rows = await house.audit()
    assert [row[:3] for row in rows] == [
        ("cli", "account.created", ann.id),
        (ann.id, "organization.created", acme.id),
        (ann.id, "key.created", old.id),
        ("cli", "key.rotated", old.id),
        (ann.id, "key.revoked", new.id),
    ]
    assert rows[0][3] == {"email": "ann@example.com", "admin": False}
    assert rows[3][3]["successor_id"] == new.id
    assert not any(secret in str(rows) for secret in (plain[9:], second[9:]))


async def test_of_many_creations_of_one_account_one_wins(house: House) -> None:
    """The same address at the same time, in whatever case, makes exactly one account."""
    emails = ["ann@example.com", "ANN@example.com", "Ann@Example.COM"] * 10
    outcomes = await asyncio.gather(
        *[house.directory.create_account(email, actor="cli") for email in emails], return_exceptions=True
    )
    assert len([one for one in outcomes if isinstance(one, Account)]) == 1
    assert len([one for one in outcomes if isinstance(one, Conflict)]) == len(emails) - 1
    assert len((await house.reloaded()).list_accounts()) == len(await house.audit()) == 1


async def test_of_many_creations_of_one_organization_one_wins(house: House) -> None:
    """The same slug at the same time makes exactly one organization."""
    await house.directory.create_account("ann@example.com", actor="cli")
    creations = [
        house.directory.create_organization("acme", owner_email="ann@example.com", actor="cli")
        for _ in range(20)
    ]
    outcomes = await asyncio.gather(*creations, return_exceptions=True)
    assert len([one for one in outcomes if not isinstance(one, Conflict)]) == 1


async def test_a_key_is_rotated_once_at_a_time(house: House) -> None:
    """Two rotations of a key at the same time leave one successor."""
    ann = await house.directory.create_account("ann@example.com", actor="cli")
    old, _ = await house.directory.create_key(ann, name="mine", actor="cli")
    outcomes = await asyncio.gather(
        *[house.directory.rotate_key(old.id, actor="cli") for _ in range(5)], return_exceptions=True
    )
    assert len([one for one in outcomes if isinstance(one, Conflict)]) == 4
    assert len(house.directory.list_keys()) == 2


async def test_a_caller_who_leaves_does_not_split_a_change(house: House) -> None:
    """Cancelled at whatever moment, a change is in the file and in memory, or in neither."""
    for number in range(30):
        creation = asyncio.ensure_future(
            house.directory.create_account(f"a{number}@example.com", actor="cli")
        )
        for _ in range(number):
            await asyncio.sleep(0)
        creation.cancel()
        await asyncio.gather(creation, return_exceptions=True)
    last = await house.directory.create_account("last@example.com", actor="cli")
    assert house.directory.list_accounts()[-1] == last
    in_file = {account.email for account in (await house.reloaded()).list_accounts()}
    assert {account.email for account in house.directory.list_accounts()} == in_file


async def test_what_can_not_be_written_did_not_happen(tmp_path: Path) -> None:
    """When the file refuses, the caller is told, and memory knows nothing of the change."""
    async with opened(tmp_path / "t.db") as house:
        await house.database.close()
        with pytest.raises(StoreError):
            await house.directory.create_account("ann@example.com", actor="cli")
        assert house.directory.list_accounts() == []


async def test_revocation_is_immediate_and_final(house: House) -> None:
    """A revoked key is refused from the next call on, and revoking it again changes nothing."""
    ann = await house.directory.create_account("ann@example.com", actor="cli")
    key, plain = await house.directory.create_key(ann, name="mine", actor="cli")
    assert house.authenticate(plain) == ann
    revoked = await house.directory.revoke_key(key.id, actor="cli")
    assert revoked.revoked_at == NOW
    assert house.refusal(plain) == "key_revoked"
    house.clock.now += 1000
    assert await house.directory.revoke_key(key.id, actor="cli") == revoked
    assert [row[1] for row in await house.audit()].count("key.revoked") == 1
    with pytest.raises(Conflict, match="is revoked"):
        await house.directory.rotate_key(key.id, actor="cli")
    assert (await house.reloaded()).key(key.id) == revoked


async def test_rotation_keeps_the_settings(house: House) -> None:
    """The new key may do what the old one might; without an overlap the old one is useless at once."""
    ann = await house.directory.create_account("ann@example.com", actor="cli")
    old, first = await house.directory.create_key(
        ann,
        name="mine",
        limits=Limits(concurrency=1),
        models=frozenset({"m"}),
        expires_at=NOW + DAY,
        spend_cap_nano=5,
        actor="cli",
    )
    new, second = await house.directory.rotate_key(old.id, actor="cli")
    assert (new.name, new.limits, new.models, new.spend_cap_nano) == ("mine", old.limits, old.models, 5)
    assert (new.payer_id, new.expires_at, new.created_at) == (ann.id, NOW + DAY, NOW)
    assert new.id != old.id
    assert house.refusal(first) == "key_expired"
    assert house.authenticate(second) == ann


async def test_during_an_overlap_both_keys_work(house: House) -> None:
    """The old key works until the overlap is over, not longer, and never longer than it would have."""
    ann = await house.directory.create_account("ann@example.com", actor="cli")
    old, first = await house.directory.create_key(ann, name="mine", expires_at=NOW + DAY, actor="cli")
    _, second = await house.directory.rotate_key(old.id, overlap=3600.0, actor="cli")
    house.clock.now += 3_599_999
    assert house.authenticate(first) == house.authenticate(second) == ann
    house.clock.now += 1
    assert house.refusal(first) == "key_expired"
    assert (await house.reloaded()).key(old.id).expires_at == NOW + 3_600_000
    short, _ = await house.directory.create_key(
        ann, name="short", expires_at=house.clock.now + 5, actor="cli"
    )
    await house.directory.rotate_key(short.id, overlap=3600.0, actor="cli")
    assert house.directory.key(short.id).expires_at == house.clock.now + 5


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ann",
        "@",
        "ann@",
        "@x.org",
        "a b@x.org",
        "ann@x org",
        "ann@x.org\n",
        "a\0@x.org",
        "<a>@x.org",
        "ann@@x.org",
        "ann@-x.org",
        "ann@x..org",
        "ann@x.org.",
        "änn@x.org",
        "a" * 65 + "@x.org",
        "a@" + "x" * 200,
    ],
)
async def test_what_is_no_address_makes_no_account(house: House, email: str) -> None:
    """An account's address is one that could be written to."""
    with pytest.raises(InvalidInput, match="not an e-mail address"):
        await house.directory.create_account(email, actor="cli")


@pytest.mark.parametrize("slug", ["", "Acme", "a b", "-a", "a-", "a_b", "a/b", "ä", "a" * 64, "a\n"])
async def test_what_is_no_slug_makes_no_organization(house: House, slug: str) -> None:
    """A slug is fit for an address and for a command line."""
    await house.directory.create_account("ann@example.com", actor="cli")
    with pytest.raises(InvalidInput, match="slug"):
        await house.directory.create_organization(slug, owner_email="ann@example.com", actor="cli")


@pytest.mark.parametrize(
    "settings",
    [
        {"name": ""},
        {"name": "  "},
        {"name": "x" * 101},
        {"name": "a\nb"},
        {"name": "a\x1b[31mb"},
        {"name": "a\u202eb"},
        {"name": "a\udc80"},
        {"limits": Limits(requests_per_minute=-1)},
        {"limits": Limits(tokens_per_minute=0)},
        {"limits": Limits(concurrency=10**13)},
        {"models": frozenset()},
        {"models": frozenset({""})},
        {"models": frozenset({"a\n"})},
        {"models": frozenset({"x" * 201})},
        {"expires_at": NOW},
        {"expires_at": NOW - DAY},
        {"expires_at": 10**18},
        {"spend_cap_nano": -1},
        {"spend_cap_nano": 2**63},
    ],
)
async def test_impossible_settings_make_no_key(house: House, settings: dict[str, object]) -> None:
    """Each setting of a key is checked before anything is written."""
    ann = await house.directory.create_account("ann@example.com", actor="cli")
    with pytest.raises(InvalidInput):
        await house.directory.create_key(ann, **{"name": "mine", "actor": "cli", **settings})
    assert house.directory.list_keys() == []
    assert len(await house.audit()) == 1


async def test_what_is_not_there_is_said_not_to_be(house: House) -> None:
    """Each look-up by a name that nobody has raises NotFound with that name."""
    for look_up in (house.directory.account, house.directory.organization, house.directory.key):
        with pytest.raises(NotFound, match="'nobody'"):
            look_up("nobody")
    with pytest.raises(NotFound):
        house.directory.payer("acct_0")
    with pytest.raises(NotFound):
        await house.directory.create_organization("acme", owner_email="ann@example.com", actor="cli")
    with pytest.raises(NotFound):
        await house.directory.revoke_key("key_0", actor="cli")
    with pytest.raises(NotFound):
        await house.directory.rotate_key("key_0", actor="cli")
    for overlap in (-1.0, 1e15):
        ann = await house.directory.create_account(f"ann{overlap}@example.com".replace("+", ""), actor="cli")
        key, _ = await house.directory.create_key(ann, name="mine", actor="cli")
        with pytest.raises(InvalidInput, match="overlap"):
            await house.directory.rotate_key(key.id, overlap=overlap, actor="cli")


async def test_operations_speak_the_api_s_names(house: House) -> None:
    """What operations give is what the HTTP API shows: times as RFC 3339, money as decimal strings."""
    account = await house.do("accounts.create", email="ann@example.com", admin=True)
    assert account == {
        "id": house.directory.account("ann@example.com").id,
        "email": "ann@example.com",
        "admin": True,
        "unlimited": False,
        "price_factor": "1",
        "created_at": "2027-01-15T08:00:00.000Z",
    }
    organization = await house.do("orgs.create", slug="acme", owner="ANN@example.com")
    assert organization["owner"] == "ann@example.com"
    key = await house.do(
        "keys.create",
        org="acme",
        name="ours",
        limits={"requests_per_minute": 5},
        models=["b", "a"],
        expires_at="2030-01-31",
        spend_cap="12.5",
    )
    assert auth.well_formed(key["key"])
    assert list(key)[:2] == ["id", "key"]
    shown = {
        "id": key["id"],
        "name": "ours",
        "prefix": key["key"][:9],
        "org": "acme",
        "limits": {"requests_per_minute": 5, "tokens_per_minute": None, "concurrency": None},
        "models": ["a", "b"],
        "expires_at": "2030-01-31T00:00:00.000Z",
        "spend_cap": "12.50",
        "created_at": "2027-01-15T08:00:00.000Z",
        "revoked_at": None,
        "status": "active",
    }
    assert key == {**shown, "key": key["key"]}
    assert await house.do("keys.list") == [shown]
    assert await house.do("accounts.list") == [account]
    assert await house.do("orgs.list") == [organization]
    rotated = await house.do("keys.rotate", id=key["id"], overlap="24h")
    assert rotated["replaces"] == key["id"]
    assert house.directory.key(key["id"]).expires_at == NOW + DAY
    assert (await house.do("keys.revoke", id=rotated["id"]))["status"] == "revoked"
    house.clock.now += DAY
    assert [one["status"] for one in await house.do("keys.list")] == ["expired", "revoked"]


@pytest.mark.parametrize(
    ("operation", "parameters", "message"),
    [
        ("keys.crate", {}, "there is no operation 'keys.crate'"),
        ("keys.create", {}, "required field `name`"),
        ("keys.create", {"name": 1}, "Expected `str`"),
        ("keys.create", {"name": "n", "account": "a@x.org", "rpm": 1}, "unknown field `rpm`"),
        ("keys.create", {"name": "n", "account": "a@x.org", "limits": {"rpm": 1}}, "unknown field `rpm`"),
        ("keys.create", {"name": "n"}, "exactly one of account and org"),
        ("keys.create", {"name": "n", "account": "a@x.org", "org": "acme"}, "exactly one of account and org"),
        (
            "keys.create",
            {"name": "n", "account": "a@x.org", "expires_at": "soon"},
            "expires_at must be a date",
        ),
        (
            "keys.create",
            {"name": "n", "account": "a@x.org", "expires_at": "2030-01-31T12:00"},
            "offset from UTC",
        ),
        ("keys.create", {"name": "n", "account": "a@x.org", "expires_at": "2020-01-01"}, "in the future"),
        ("keys.create", {"name": "n", "account": "a@x.org", "spend_cap": "-1"}, "spend_cap"),
        ("keys.create", {"name": "n", "account": "a@x.org", "spend_cap": "1e3"}, "spend_cap"),
        ("keys.create", {"name": "n", "account": "a@x.org", "spend_cap": "0.0000000001"}, "spend_cap"),
        ("keys.rotate", {"id": "key_0", "overlap": "soon"}, "overlap must be a duration"),
        ("accounts.list", {"x": 1}, "unknown field `x`"),
    ],
)
async def test_parameters_are_checked(
    house: House, operation: str, parameters: dict[str, object], message: str
) -> None:
    """A parameter that is missing, misspelt or impossible is named."""
    await house.directory.create_account("a@x.org", actor="cli")
    with pytest.raises(InvalidInput, match=message):
        await house.do(operation, **parameters)


@given(st.integers(0, 253_402_300_799_999))
def test_a_point_in_time_survives_its_text(at: int) -> None:
    """What is shown as a time is read back as the same millisecond."""
    assert instant(timestamp(at)) == at


def test_times_with_an_offset_are_the_same_moment() -> None:
    """An offset from UTC is taken into account; a date means its first moment in UTC."""
    assert instant("2030-01-31T12:00:00+02:00") == instant("2030-01-31T10:00:00Z")
    assert timestamp(instant("2030-01-31")) == "2030-01-31T00:00:00.000Z"
