"""Signing up and signing in: who gets in, who waits, and what either costs the others."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from tests.fakes import FakeClock
from tests.gateway.townhall import ADDRESS, NEW_PASSWORD, PASSWORD, TownHall, opened_hall, token_of
from tokligenced.config import AccountSettings
from tokligenced.errors import Conflict, InvalidInput, NotFound
from tokligenced.gateway.people import SignInRefused
from tokligenced.gateway.people.passwords import Passwords
from tokligenced.gateway.people.slowdown import SlowDown


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[TownHall]:
    """The service, on a database of its own."""
    async with opened_hall(tmp_path / "t.db") as hall:
        yield hall


# Signing up.


async def test_who_signs_up_has_an_account(hall: TownHall) -> None:
    """The address is kept trimmed and in lower case, the password only as an argon2id hash."""
    account = await hall.people.sign_up("  Bob@Example.COM ", PASSWORD, address=ADDRESS)
    assert (account.email, account.admin) == ("bob@example.com", False)
    assert hall.directory.account("bob@example.com") == account
    ((kept,),) = await hall.filed("SELECT hash FROM passwords")
    assert kept.startswith("$argon2id$")
    assert await hall.audited("account.created") != []
    for file in hall.office.services.database.path.parent.iterdir():
        assert PASSWORD.encode() not in file.read_bytes(), file


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("", "at least 10"),
        ("ninechars", "at least 10"),
        ("x" * 1_001, "at most 1000"),
        ("Bob@example.com", "must not be the e-mail address"),
        ("Password123", "one of the first that are tried"),
    ],
)
async def test_a_password_must_be_hard_to_guess(hall: TownHall, password: str, why: str) -> None:
    """Too short, too long, the address itself or one of the commonest: refused, and no account is left."""
    with pytest.raises(InvalidInput, match=why):
        await hall.people.sign_up("bob@example.com", password, address=ADDRESS)
    with pytest.raises(NotFound):
        hall.directory.account("bob@example.com")


@pytest.mark.parametrize("password", ["x" * 1_000, "ten chars!", "🔑" * 10, "<script>\0\n", "\ud800" * 10])
async def test_a_password_may_be_anything_else(hall: TownHall, password: str) -> None:
    """From ten to a thousand characters of any kind, and it is the same password again at sign-in."""
    await hall.people.sign_up("bob@example.com", password, address=ADDRESS)
    assert await hall.sign_in(password)
    with pytest.raises(SignInRefused):
        await hall.sign_in(password + "x")


@pytest.mark.parametrize(
    "email",
    ["", "bob", "@example.com", "bob@", "a b@example.com", "<b>@example.com", "b@e..com", "x" * 10_000],
)
async def test_an_address_must_be_one(hall: TownHall, email: str) -> None:
    """What is no e-mail address makes no account, and the message stays short."""
    with pytest.raises(InvalidInput, match="is not an e-mail address") as refused:
        await hall.people.sign_up(email, PASSWORD, address=ADDRESS)
    assert len(str(refused.value)) < 200


async def test_an_address_is_one_persons(hall: TownHall) -> None:
    """However many sign up with an address at once, one of them has it."""
    await hall.bob()
    with pytest.raises(Conflict, match="already an account"):
        await hall.people.sign_up("BOB@example.com", NEW_PASSWORD, address=ADDRESS)
    tries = [hall.people.sign_up("eve@example.com", PASSWORD, address=f"198.51.100.{n}") for n in range(10)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(not isinstance(result, BaseException) for result in results) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 9


async def test_the_welcome_credit_is_given_once(hall: TownHall) -> None:
    """Who signs up finds what the configuration gives, and the ledger says why."""
    hall.settings = AccountSettings(welcome_credit_nano=5_000_000_000)
    account = await hall.bob()
    assert hall.office.services.ledger.balance(account).balance == 5_000_000_000
    assert await hall.filed("SELECT target, reference, amount FROM entries") == [
        (account.id, "welcome", 5_000_000_000)
    ]
    assert (await hall.office.do("ledger.verify"))["ok"]


async def test_closed_is_closed(hall: TownHall) -> None:
    """Where sign-up is closed there is no account to be had, nor an invitation, old ones included."""
    ann = hall.directory.account("ann@example.com")
    token = token_of(await hall.people.invite_link(None, by=ann))
    hall.settings = AccountSettings(signup="closed")
    for invite in (None, token):
        with pytest.raises(Conflict, match="nobody can sign up"):
            await hall.people.sign_up("bob@example.com", PASSWORD, address=ADDRESS, invite=invite)
    with pytest.raises(Conflict):
        await hall.people.invite_link(None, by=ann)


async def test_accounts_are_not_made_by_the_dozen(hall: TownHall) -> None:
    """After twenty sign-ups from an address the next has to wait; other addresses don't."""
    for number in range(20):
        await hall.people.sign_up(f"p{number}@example.com", PASSWORD, address=ADDRESS)
    with pytest.raises(Conflict, match="try again in"):
        await hall.bob()
    await hall.people.sign_up("else@example.com", PASSWORD, address="192.0.2.8")
    hall.clock.advance(2)
    await hall.bob()


# Signing in.


async def test_the_right_password_signs_in(hall: TownHall) -> None:
    """A session proves the account, each is another one, and nobody else's password makes one."""
    account = await hall.bob()
    first, second = await hall.sign_in(), await hall.sign_in(email=" BOB@EXAMPLE.COM ")
    assert first != second
    for token in (first, second):
        viewer = await hall.people.viewer(token)
        assert viewer is not None
        assert viewer.account == account
    began = await hall.audited("session.began")
    assert [actor for actor, _, _ in began] == [account.id] * 2


async def test_unknown_wrong_and_without_password_are_alike(hall: TownHall) -> None:
    """Who guesses learns neither which addresses have accounts nor which of those have passwords."""
    await hall.bob()
    said = set()
    for email in ("bob@example.com", "nobody@example.com", "ann@example.com", "", "x" * 100_000, "\0\ud800"):
        with pytest.raises(SignInRefused) as refused:
            await hall.sign_in("not the password", email=email)
        said.add((refused.value.reason, refused.value.wait, str(refused.value)))
    assert said == {("wrong", 0.0, "The e-mail address or the password is wrong.")}


async def test_as_much_is_computed_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For an unknown address a hash of the same cost is verified, so that time tells nothing."""
    async with opened_hall(tmp_path / "t.db") as hall:
        await hall.bob()
        verified: list[str] = []
        verify = PasswordHasher.verify

        def counted(self: PasswordHasher, kept: str, password: bytes) -> bool:
            verified.append(kept.rsplit("$", 2)[0])
            return verify(self, kept, password)

        monkeypatch.setattr(PasswordHasher, "verify", counted)
        for email in ("bob@example.com", "nobody@example.com", "ann@example.com"):
            with pytest.raises(SignInRefused):
                await hall.sign_in("not the password", email=email)
        assert len(verified) == 3
        assert len(set(verified)) == 1


async def test_guessing_an_account_is_slowed(hall: TownHall) -> None:
    """After five failures comes a second of waiting, then two, four, and never more than five minutes."""
    await hall.bob()
    for number in range(5):
        with pytest.raises(SignInRefused, match="wrong"):
            await hall.sign_in("not the password", address=f"198.51.100.{number}")
    waits = []
    for number in range(12):
        with pytest.raises(SignInRefused) as slowed:
            await hall.sign_in(address=f"203.0.113.{number}")  # though it is right
        assert slowed.value.reason == "slow_down"
        waits.append(slowed.value.wait)
        hall.clock.advance(slowed.value.wait)
        with pytest.raises(SignInRefused) as refused:
            await hall.sign_in("not the password", address=f"203.0.113.{number}")
        assert refused.value.reason == "wrong"
    assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300])
    hall.clock.advance(300)
    assert await hall.sign_in(address="203.0.113.99")
    with pytest.raises(SignInRefused, match="wrong"):  # a success clears the account
        await hall.sign_in("not the password", address="203.0.113.100")


async def test_parallel_guesses_get_no_further(hall: TownHall) -> None:
    """Of a hundred guesses at once as many are looked at as of a hundred one after another: five."""
    await hall.bob()
    guesses = [hall.sign_in(f"guess number {n}", address=f"198.51.100.{n}") for n in range(100)]
    results = await asyncio.gather(*guesses, return_exceptions=True)
    reasons = [result.reason for result in results if isinstance(result, SignInRefused)]
    assert (reasons.count("wrong"), reasons.count("slow_down")) == (5, 95)


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::{:x}", "::ffff:192.0.2.7", "some proxy"])
async def test_guessing_from_an_address_is_slowed(hall: TownHall, address: str) -> None:
    """One password on many accounts: after twenty the address waits, of IPv6 the whole network."""
    for number in range(20):
        where = address.format(number)
        with pytest.raises(SignInRefused, match="wrong"):
            await hall.sign_in("not the password", email=f"p{number}@example.com", address=where)
    with pytest.raises(SignInRefused) as slowed:
        await hall.sign_in("not the password", email="last@example.com", address=where)
    assert (slowed.value.reason, slowed.value.wait) == ("slow_down", pytest.approx(1))
    await hall.bob()
    assert await hall.sign_in(address="2001:db8:1::1")


def test_what_is_remembered_of_guesses_is_bounded() -> None:
    """Of too many names the longest untouched is forgotten, and all are after a quarter of an hour."""
    clock = FakeClock()
    slow = SlowDown(clock, free=1, most=100)
    for number in range(1_000):
        slow.count(f"name {number}")
    assert len(slow._failures) == 100  # noqa: SLF001 - memory is what this is about
    assert (slow.wait("name 0"), slow.wait("name 999")) == (0.0, 1.0)
    clock.advance(900)
    assert slow.wait("name 999") == 0.0


async def test_a_crowd_at_the_door_stops_nobody_else(hall: TownHall) -> None:
    """While a hundred sign in at once, at the real cost of a hash, the loop turns as if nothing were."""
    heavy = Passwords()
    hall.people.close()
    hall.people._credentials._passwords = hall.people._passwords = heavy  # noqa: SLF001
    await hall.bob()
    threads: set[int] = set()
    verify = heavy._verify  # noqa: SLF001

    def watched(kept: str, password: bytes) -> bool:
        threads.add(threading.get_ident())
        return verify(kept, password)

    heavy._verify = watched  # type: ignore[method-assign]  # noqa: SLF001
    crowd = asyncio.gather(
        *[
            hall.sign_in("not it at all", email=f"p{n}@example.com", address=f"198.51.100.{n}")
            for n in range(100)
        ],
        return_exceptions=True,
    )
    lags = []
    while not crowd.done():
        before = time.perf_counter()
        await asyncio.sleep(0)
        lags.append(time.perf_counter() - before)
    assert {type(each) for each in await crowd} == {SignInRefused}
    assert len(threads) <= 2
    # Other processes may have the machine for a moment; a loop that hashed would lag each time.
    assert sorted(lags)[len(lags) * 99 // 100] < 0.02
    assert threading.get_ident() not in threads
