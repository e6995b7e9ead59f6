"""Roles hold: who may change whom in an organization, and that it never loses its last owner."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from tests.gateway.office import Office, opened_office
from tokligenced.domain import Account, Organization
from tokligenced.errors import Conflict, InvalidInput, NotAllowed, NotFound, TokligencedError
from tokligenced.gateway.organizations import Organizations


class Club(Struct, kw_only=True):
    """An organization whose people are called after their roles; `stranger` is in another one."""

    office: Office
    org: Organization
    people: dict[str, Account]
    organizations: Organizations

    async def roles(self) -> dict[str, str]:
        """Who is in it as what."""
        names = {account.id: name for name, account in self.people.items()}
        return {names[each.account_id]: each.role for each in await self.organizations.members(self.org)}


@pytest.fixture
async def club(tmp_path: Path) -> AsyncIterator[Club]:
    """A club with one of each."""
    async with opened_office(tmp_path / "t.db") as office:
        directory = office.services.directory
        people = {"owner": directory.account("ann@example.com")}
        for name in ("admin", "member", "stranger", "guest"):
            people[name] = await directory.create_account(f"{name}@example.com", actor="cli")
        await directory.create_organization("other", owner_email="stranger@example.com", actor="cli")
        for role in ("admin", "member"):
            await office.do("orgs.members.put", slug="acme", email=f"{role}@example.com", role=role)
        yield Club(
            office=office,
            org=directory.organization("acme"),
            people=people,
            organizations=Organizations(
                office.services.database, office.services.clock, office.services.audited
            ),
        )


async def test_an_organization_begins_with_its_owner(tmp_path: Path) -> None:
    """Whoever it was made for is its owner, and nobody else is in it."""
    async with opened_office(tmp_path / "t.db") as office:
        assert await office.do("orgs.members", slug="acme") == [{"email": "ann@example.com", "role": "owner"}]


FORBIDDEN: list[tuple[str, str, str, type[TokligencedError]]] = [
    ("member", "guest", "member", NotAllowed),
    ("member", "member", "owner", NotAllowed),
    ("member", "admin", "member", NotAllowed),
    ("admin", "guest", "owner", NotAllowed),
    ("admin", "admin", "owner", NotAllowed),
    ("admin", "owner", "member", NotAllowed),
    ("stranger", "stranger", "owner", NotFound),
    ("stranger", "member", "admin", NotFound),
    ("owner", "owner", "admin", Conflict),
]


@pytest.mark.parametrize(("by", "whom", "role", "error"), FORBIDDEN)
async def test_what_a_role_may_not(
    club: Club, by: str, whom: str, role: Any, error: type[TokligencedError]
) -> None:
    """Nobody raises himself or touches who is above him; to strangers the organization is not there."""
    before = await club.roles()
    with pytest.raises(error):
        await club.organizations.put(
            club.org, club.people[whom], role, by=club.people[by], actor=club.people[by].id
        )
    assert await club.roles() == before


@pytest.mark.parametrize(
    ("by", "whom", "role"),
    [
        ("admin", "guest", "member"),
        ("admin", "guest", "admin"),
        ("admin", "member", "admin"),
        ("owner", "guest", "owner"),
        ("owner", "admin", "member"),
        ("owner", "owner", "owner"),
    ],
)
async def test_what_a_role_may(club: Club, by: str, whom: str, role: Any) -> None:
    """Admins look after members and admins, owners after everyone."""
    before = await club.roles()
    actor = club.people[by]
    await club.organizations.put(club.org, club.people[whom], role, by=actor, actor=actor.id)
    assert await club.roles() == before | {whom: role}


@pytest.mark.parametrize(
    ("by", "whom", "error"),
    [
        ("member", "admin", NotAllowed),
        ("admin", "owner", NotAllowed),
        ("stranger", "member", NotFound),
        ("owner", "guest", NotFound),
        ("owner", "owner", Conflict),
    ],
)
async def test_who_may_not_be_sent_away(
    club: Club, by: str, whom: str, error: type[TokligencedError]
) -> None:
    """Nobody by who is below him, nor the last owner, even by himself."""
    before = await club.roles()
    with pytest.raises(error):
        await club.organizations.remove(
            club.org, club.people[whom], by=club.people[by], actor=club.people[by].id
        )
    assert await club.roles() == before


@pytest.mark.parametrize(("by", "whom"), [("member", "member"), ("admin", "member"), ("owner", "admin")])
async def test_who_leaves(club: Club, by: str, whom: str) -> None:
    """Everyone may leave, and be sent away by who may; the audit has it."""
    actor = club.people[by]
    await club.organizations.remove(club.org, club.people[whom], by=actor, actor=actor.id)
    assert whom not in await club.roles()
    (newest, *_) = (await club.office.do("audit.list", subject=club.org.id))["data"]
    assert (newest["actor"], newest["action"]) == (actor.id, "member.removed")
    assert newest["detail"] == {"account_id": club.people[whom].id, "role": whom}


async def test_administrators_put_things_right(club: Club) -> None:
    """An administrator of the gateway changes everyone, but for the last owner."""
    with pytest.raises(Conflict):
        await club.office.do("orgs.members.remove", slug="acme", email="ann@example.com")
    await club.office.do("orgs.members.put", slug="acme", email="guest@example.com", role="owner")
    await club.office.do("orgs.members.remove", slug="acme", email="ann@example.com")
    assert await club.roles() == {"admin": "admin", "member": "member", "guest": "owner"}
    with pytest.raises(InvalidInput):
        await club.office.do("orgs.members.put", slug="acme", email="guest@example.com", role="king")
    with pytest.raises(NotFound):
        await club.office.do("orgs.members.put", slug="acme", email="nobody@example.com")
