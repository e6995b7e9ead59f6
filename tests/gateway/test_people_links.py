"""One-time links: each opens one door, once, for a while, and nobody can tell why one does not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.gateway.townhall import ADDRESS, NEW_PASSWORD, PASSWORD, TownHall, opened_hall, token_of
from tokligenced.config import AccountSettings
from tokligenced.errors import Conflict, InvalidInput, NotFound
from tokligenced.gateway.operations import Caller, Operations
from tokligenced.gateway.operations.links import link_operations
from tokligenced.gateway.people import SignInRefused

HOUR = 3_600


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[TownHall]:
    """The service, on a database of its own."""
    async with opened_hall(tmp_path / "t.db") as hall:
        yield hall


async def use_reset(hall: TownHall, token: str) -> object:
    """Choose a new password."""
    await hall.people.reset_password(token, NEW_PASSWORD)
    return None


async def use_invite(hall: TownHall, token: str) -> object:
    """Sign up."""
    return await hall.people.sign_up("eve@example.com", PASSWORD, address=ADDRESS, invite=token)


async def use_setup(hall: TownHall, token: str) -> object:
    """Become the administrator."""
    return await hall.people.set_up(token, "root@example.com", PASSWORD)


USES = [(use_reset, HOUR), (use_invite, 7 * 24 * HOUR), (use_setup, 24 * HOUR)]


async def links(hall: TownHall) -> list[str]:
    """A token of each kind, in the order of `USES`."""
    bob = await hall.bob()
    made = (
        await hall.people.reset_link(bob),
        await hall.people.invite_link(None, by=bob),
        await hall.people.setup_link(),
    )
    return [token_of(link) for link in made]


async def test_links_lead_to_their_pages(hall: TownHall) -> None:
    """Each begins with the public address; none of their tokens is in a file."""
    bob = await hall.bob()
    made = [
        await hall.people.reset_link(bob),
        await hall.people.invite_link(None, by=bob),
        await hall.people.setup_link(),
    ]
    assert [urlsplit(link or "")[:3] for link in made] == [
        ("https", "gateway.example", path) for path in ("/reset", "/signup", "/setup")
    ]
    for file in hall.office.services.database.path.parent.iterdir():
        content = file.read_bytes()
        assert not any(token_of(link).encode() in content for link in made), file


@pytest.mark.parametrize(("number", "use", "seconds"), [(n, *use) for n, use in enumerate(USES)])
async def test_a_link_is_good_once_and_for_a_while(
    hall: TownHall, number: int, use: Callable[[TownHall, str], Awaitable[object]], seconds: int
) -> None:
    """To its last second, for one of those who use it at once, and never for another kind of door."""
    tokens = await links(hall)
    for other, token in enumerate(tokens):
        if other != number:
            with pytest.raises(NotFound):
                await use(hall, token)
    hall.clock.advance(seconds - 1)
    results = await asyncio.gather(*[use(hall, tokens[number]) for _ in range(3)], return_exceptions=True)
    refusals = [result for result in results if isinstance(result, BaseException)]
    assert len(refusals) == 2
    assert {type(refusal) for refusal in refusals} <= {NotFound, Conflict}
    with pytest.raises((NotFound, Conflict)):
        await use(hall, tokens[number])


@pytest.mark.parametrize(("number", "use", "seconds"), [(n, *use) for n, use in enumerate(USES)])
async def test_a_link_ends_by_itself(
    hall: TownHall, number: int, use: Callable[[TownHall, str], Awaitable[object]], seconds: int
) -> None:
    """When its time is over it is like one that there never was, and so is any other text."""
    token = (await links(hall))[number]
    hall.clock.advance(seconds)
    said = set()
    for wrong in (token, token[:-1], "", "\0", "\ud800", "x" * 100_000):
        if not wrong and use is use_invite:
            continue  # who has no invitation signs up without
        with pytest.raises(NotFound) as refused:
            await use(hall, wrong)
        said.add(str(refused.value))
    assert said == {"this link was used already, or is too old"}


# Passwords.


async def test_a_reset_gives_a_new_password(hall: TownHall) -> None:
    """All sessions end, the new password signs in, a second factor stays; who asked is in the audit."""
    account = await hall.bob()
    token = await hall.sign_in()
    link = await hall.people.reset_link(account, actor="cli")
    with pytest.raises(InvalidInput, match="at least 10"):
        await hall.people.reset_password(token_of(link), "short")
    assert await hall.people.viewer(token) is not None
    await hall.people.reset_password(token_of(link), NEW_PASSWORD)
    assert await hall.people.viewer(token) is None
    with pytest.raises(SignInRefused, match="wrong"):
        await hall.sign_in()
    assert await hall.sign_in(NEW_PASSWORD)
    assert [row[:2] for row in await hall.audited("reset_link.made")] == [("cli", account.id)]
    assert [row[:2] for row in await hall.audited("password.reset")] == [(account.id, account.id)]


async def test_the_latest_reset_is_the_good_one(hall: TownHall) -> None:
    """A newer link for the same account makes the older one useless, and not another's."""
    bob = await hall.bob()
    ann = hall.directory.account("ann@example.com")
    anns = await hall.people.reset_link(ann)
    first, second = [await hall.people.reset_link(bob) for _ in range(2)]
    with pytest.raises(NotFound):
        await hall.people.reset_password(token_of(first), NEW_PASSWORD)
    await hall.people.reset_password(token_of(second), NEW_PASSWORD)
    await hall.people.reset_password(token_of(anns), PASSWORD)  # who never had one gets one
    assert await hall.sign_in(email="ann@example.com")


# Invitations.


async def test_an_invitation_opens_what_is_not_open(hall: TownHall) -> None:
    """Where invitations are needed nobody gets in without; an attempt that fails uses none up."""
    hall.settings = AccountSettings(signup="invite")
    with pytest.raises(InvalidInput, match="an invitation is needed"):
        await hall.bob()
    ann = hall.directory.account("ann@example.com")
    token = token_of(await hall.people.invite_link(None, by=ann))
    for email, password in (("ann@example.com", PASSWORD), ("eve@example.com", "short"), ("", PASSWORD)):
        with pytest.raises((Conflict, InvalidInput)):
            await hall.people.sign_up(email, password, address=ADDRESS, invite=token)
    assert (await use_invite(hall, token)) == hall.directory.account("eve@example.com")
    assert [row[0] for row in await hall.audited("invite_link.made")] == [ann.id]


async def test_an_invitation_may_be_somebodys(hall: TownHall) -> None:
    """What was made for an address is good for that one; who has an account needs none."""
    ann = hall.directory.account("ann@example.com")
    token = token_of(await hall.people.invite_link(" EVE@example.com ", by=ann))
    with pytest.raises(InvalidInput, match="for another e-mail address"):
        await hall.people.sign_up("bob@example.com", PASSWORD, address=ADDRESS, invite=token)
    await use_invite(hall, token)
    with pytest.raises(Conflict, match="already an account"):
        await hall.people.invite_link("ann@example.com", by=ann)
    with pytest.raises(InvalidInput, match="not an e-mail address"):
        await hall.people.invite_link("eve", by=ann)


# Setting up.


async def test_the_first_administrator(hall: TownHall) -> None:
    """Without one each start makes a new link and the old one useless; with one there is none any more."""
    old, link = await hall.people.setup_link(), await (await hall.reopened()).setup_link()
    with pytest.raises(NotFound):
        await hall.people.set_up(token_of(old), "root@example.com", PASSWORD)
    with pytest.raises(InvalidInput):
        await hall.people.set_up(token_of(link), "root@example.com", "short")
    account = await hall.people.set_up(token_of(link), " Root@example.com", PASSWORD)
    assert account.admin
    assert await hall.sign_in(email="root@example.com")
    assert await hall.people.setup_link() is None


async def test_an_administrator_who_came_by_another_way(hall: TownHall) -> None:
    """Where one was made by a command meanwhile, the link makes no second."""
    link = await hall.people.setup_link()
    await hall.office.do("accounts.create", email="root@example.com", admin=True)
    with pytest.raises(Conflict, match="an administrator already"):
        await hall.people.set_up(token_of(link), "eve@example.com", PASSWORD)
    assert await hall.people.setup_link() is None


# Commands.


async def test_commands_make_links(hall: TownHall) -> None:
    """Who runs the daemon can invite and reset without mail; what is wrong is said by name."""
    account = await hall.bob()
    operations = Operations(hall.office.services, link_operations(hall.people))
    caller = Caller(actor="cli", progress=hall.office.told.append)
    reset = await operations.perform("accounts.reset", {"email": "BOB@example.com"}, caller)
    assert isinstance(reset, dict)
    assert reset["email"] == account.email
    await hall.people.reset_password(token_of(reset["link"]), NEW_PASSWORD)
    hall.settings = AccountSettings(signup="invite")
    invited = await operations.perform("accounts.invite", {}, caller)
    assert isinstance(invited, dict)
    assert invited["email"] is None
    await use_invite(hall, token_of(invited["link"]))
    with pytest.raises(NotFound, match=r"no account 'nobody@example\.com'"):
        await operations.perform("accounts.reset", {"email": "nobody@example.com"}, caller)
    with pytest.raises(Conflict):
        await operations.perform("accounts.invite", {"email": "bob@example.com"}, caller)
    assert [row[0] for row in await hall.audited("invite_link.made")] == ["cli"]
