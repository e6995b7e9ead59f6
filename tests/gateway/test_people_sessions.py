"""Sessions: how long one lasts, who may end it, and that an end holds at once and for good."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateway.townhall import ADDRESS, NEW_PASSWORD, PASSWORD, TownHall, opened_hall
from tokligenced.domain import Account
from tokligenced.errors import Conflict, InvalidInput, NotFound
from tokligenced.gateway.people import SessionRow, SignInRefused

DAY = 86_400


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[TownHall]:
    """The service, on a database of its own."""
    async with opened_hall(tmp_path / "t.db") as hall:
        yield hall


async def test_a_session_outlives_the_process_but_no_token_is_kept(hall: TownHall) -> None:
    """What was signed in is so after a restart; the files hold a hash of the token only."""
    account = await hall.bob()
    token = await hall.sign_in()
    viewer = await hall.people.viewer(token)
    assert viewer is not None
    assert viewer == await (await hall.reopened()).viewer(token)
    assert (viewer.account, viewer.created_at) == (account, hall.clock.wall_ms())
    for file in hall.office.services.database.path.parent.iterdir():
        assert token.encode() not in file.read_bytes(), file


@pytest.mark.parametrize("token", ["", "x", "\0", "\ud800", "x" * 100_000, "' OR 1=1 --"])
async def test_what_is_no_token_proves_nobody(hall: TownHall, token: str) -> None:
    """Whatever is in a cookie, it is nobody's session, and signing out with it is no error."""
    await hall.bob()
    await hall.sign_in()
    assert await hall.people.viewer(token) is None
    await hall.people.sign_out(token)


async def test_a_session_is_over_when_it_is_not_used(hall: TownHall) -> None:
    """It lasts thirty days after it was last seen, in this process and in the next."""
    await hall.bob()
    token = await hall.sign_in()
    hall.clock.advance(30 * DAY - 1)
    assert await hall.people.viewer(token) is not None
    hall.clock.advance(30 * DAY - 1)
    await hall.office.services.database.flush()
    assert await (await hall.reopened()).viewer(token) is not None
    assert await hall.people.viewer(token) is not None
    hall.clock.advance(30 * DAY)
    assert await (await hall.reopened()).viewer(token) is None
    assert await hall.people.viewer(token) is None
    assert await hall.filed("SELECT * FROM sessions") == []


async def test_a_session_is_over_in_the_end(hall: TownHall) -> None:
    """However much it is used, it lasts no longer than ninety days."""
    await hall.bob()
    token = await hall.sign_in()
    for _ in range(89):
        hall.clock.advance(DAY)
        assert await hall.people.viewer(token) is not None
    hall.clock.advance(DAY)
    assert await hall.people.viewer(token) is None


async def test_looking_at_pages_writes_once_an_hour(hall: TownHall) -> None:
    """A thousand pages in an hour are one write at most, and a session's row says when it was seen."""
    account = await hall.bob()
    token = await hall.sign_in()
    began = hall.clock.wall_ms()
    before = hall.office.services.database.commits
    for _ in range(1_000):
        hall.clock.advance(3.6)
        assert await hall.people.viewer(token) is not None
    await hall.office.services.database.flush()
    assert hall.office.services.database.commits - before <= 2
    assert await hall.people.sessions(account.id) == [
        SessionRow(
            id="sess_00000000000000000000000001",
            created_at=began,
            seen_at=began + 3_600_000,
            address=ADDRESS,
        )
    ]


async def test_signing_out_ends_one_session(hall: TownHall) -> None:
    """What signed out proves nobody from then on, here and after a restart; others stay."""
    account = await hall.bob()
    token, other = await hall.sign_in(), await hall.sign_in()
    await hall.people.sign_out(token)
    for people in (hall.people, await hall.reopened()):
        assert await people.viewer(token) is None
        assert await people.viewer(other) is not None
    assert [row[0] for row in await hall.audited("session.ended")] == [account.id]
    assert (account.id, "session.ended") in {entry[:2] for entry in hall.office.heard}


async def test_a_session_is_ended_by_its_owner_only(hall: TownHall) -> None:
    """Another's session is not found, as one that there never was; one's own ends."""
    account = await hall.bob()
    token = await hall.sign_in()
    eve = await hall.people.sign_up("eve@example.com", PASSWORD, address=ADDRESS)
    (session,) = await hall.people.sessions(account.id)
    assert await hall.people.sessions(eve.id) == []
    for account_id, session_id in ((eve.id, session.id), (account.id, "sess_none"), (account.id, "")):
        with pytest.raises(NotFound, match="there is no such session"):
            await hall.people.end_session(account_id, session_id)
    assert await hall.people.viewer(token) is not None
    await hall.people.end_session(account.id, session.id)
    assert await hall.people.viewer(token) is None


async def test_an_account_has_so_many_sessions(hall: TownHall) -> None:
    """The fifty newest stay, in memory and in the file."""
    account = await hall.bob()
    tokens = []
    for _ in range(55):
        hall.clock.advance(1)
        tokens.append(await hall.sign_in())
    alive = [await hall.people.viewer(token) is not None for token in tokens]
    assert alive == [False] * 5 + [True] * 50
    assert len(await hall.people.sessions(account.id)) == 50
    assert await hall.filed("SELECT count(*) FROM sessions") == [(50,)]


# Passwords.


async def test_a_new_password_ends_all_sessions(hall: TownHall) -> None:
    """Every session ends, the old password is of no more use, and the new one is."""
    account = await hall.bob()
    tokens = [await hall.sign_in() for _ in range(3)]
    await hall.people.change_password(account, PASSWORD, NEW_PASSWORD)
    for people in (hall.people, await hall.reopened()):
        assert [await people.viewer(token) for token in tokens] == [None] * 3
    assert await hall.filed("SELECT * FROM sessions") == []
    with pytest.raises(SignInRefused, match="wrong"):
        await hall.sign_in()
    assert await hall.sign_in(NEW_PASSWORD)
    assert await hall.audited("password.changed") == [(account.id, account.id, "{}")]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("not the password", NEW_PASSWORD, "the password is wrong"),
        ("", NEW_PASSWORD, "the password is wrong"),
        (PASSWORD, "short", "at least 10"),
        (PASSWORD, "BOB@example.com", "must not be the e-mail"),
    ],
)
async def test_a_password_is_changed_by_who_knows_it(hall: TownHall, old: str, new: str, why: str) -> None:
    """Without the old password, or for one that may not be, nothing changes and no session ends."""
    account = await hall.bob()
    token = await hall.sign_in()
    with pytest.raises(InvalidInput, match=why):
        await hall.people.change_password(account, old, new)
    assert await hall.people.viewer(token) is not None
    assert await hall.sign_in()


async def test_who_has_a_session_may_not_guess_the_password(hall: TownHall) -> None:
    """Someone at another's screen gets five guesses, then has to wait."""
    account = await hall.bob()
    for _ in range(5):
        with pytest.raises(InvalidInput, match="is wrong"):
            await hall.people.change_password(account, "not the password", NEW_PASSWORD)
    with pytest.raises(InvalidInput, match="try again in 1 second"):
        await hall.people.change_password(account, PASSWORD, NEW_PASSWORD)


async def test_no_session_begins_behind_a_change_of_password(hall: TownHall) -> None:
    """Whatever signs in with the old password while it is changed, no session is left of it."""
    account = await hall.bob()
    sign_ins = [hall.sign_in(address=f"198.51.100.{n}") for n in range(4)]
    *results, changed = await asyncio.gather(
        *sign_ins, hall.people.change_password(account, PASSWORD, NEW_PASSWORD), return_exceptions=True
    )
    assert changed is None
    tokens = [result for result in results if isinstance(result, str)]
    assert len(tokens) + sum(isinstance(result, SignInRefused) for result in results) == 4
    for people in (hall.people, await hall.reopened()):
        assert [await people.viewer(token) for token in tokens] == [None] * len(tokens)


async def test_who_leaves_while_signing_in_leaves_no_half(hall: TownHall) -> None:
    """A request cancelled at any step leaves a session both in memory and in the file, or in neither."""
    account = await hall.bob()
    for steps in range(0, 60, 3):
        task = asyncio.ensure_future(hall.sign_in(address=f"198.51.100.{steps}"))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        hall.clock.advance(1_000)
    await hall.people.change_password(account, PASSWORD, NEW_PASSWORD)
    assert await hall.filed("SELECT * FROM sessions") == []
    assert await hall.people.sessions(account.id) == []


# The end of an account.


async def test_a_deleted_account_is_gone(hall: TownHall) -> None:
    """Its keys are revoked, its sessions over, its address free and in no row; its entries stay."""
    account = await hall.bob()
    key, _ = await hall.directory.create_key(account, name="laptop", actor="test")
    await hall.office.do("credit", account="bob@example.com", amount="3", reference="r")
    token = await hall.sign_in()
    await hall.people.reset_link(account)
    await hall.people.delete_account(account, PASSWORD)
    assert await hall.people.viewer(token) is None
    assert hall.directory.key(key.id).revoked_at is not None
    principal = hall.directory.principal(key.digest)
    assert principal is not None
    assert principal.key.revoked_at is not None
    with pytest.raises(SignInRefused, match="wrong"):
        await hall.sign_in()
    for table in ("passwords", "sessions", "links", "second_factors", "recovery_codes"):
        assert await hall.filed(f"SELECT count(*) FROM {table}") == [(0,)], table
    assert await hall.filed("SELECT count(*) FROM accounts WHERE email LIKE '%bob%'") == [(0,)]
    assert (await hall.filed("SELECT amount FROM entries")) == [(3_000_000_000,)]
    assert (await hall.office.do("ledger.verify"))["ok"]
    again = await hall.bob()
    assert again.id != account.id
    assert hall.office.services.ledger.balance(again).balance == 0


async def test_an_account_is_deleted_by_who_knows_its_password(hall: TownHall) -> None:
    """A wrong password deletes nothing, and counts as a guess."""
    account = await hall.bob()
    token = await hall.sign_in()
    with pytest.raises(InvalidInput, match="the password is wrong"):
        await hall.people.delete_account(account, "not the password")
    assert await hall.people.viewer(token) is not None


async def test_who_is_needed_stays(hall: TownHall) -> None:
    """Neither the last owner of an organization nor the last administrator can go, but one of several."""
    account = await hall.bob()
    organization = await hall.directory.create_organization("crew", owner_email=account.email, actor="test")
    with pytest.raises(Conflict, match=f"owns the organization '{organization.slug}'"):
        await hall.people.delete_account(account, PASSWORD)
    ann = hall.directory.account("ann@example.com")
    put = "INSERT INTO members (org_id, account_id, role) VALUES (?, ?, ?)"
    await hall.office.services.database.transact(
        lambda tx: tx.execute(put, (organization.id, ann.id, "owner"))
    )
    await hall.people.delete_account(account, PASSWORD)
    assert await hall.filed(f"SELECT account_id FROM members WHERE org_id = '{organization.id}'") == [
        (ann.id,)
    ]
    link = await hall.people.setup_link()
    assert link is not None
    admin: Account = await hall.people.set_up(link.partition("=")[2], "root@example.com", PASSWORD)
    with pytest.raises(Conflict, match="no other administrator"):
        await hall.people.delete_account(admin, PASSWORD)
    await hall.directory.create_account("second@example.com", admin=True, actor="test")
    await hall.people.delete_account(admin, PASSWORD)
