"""Who is in an organization, and what each role may do there."""

from collections.abc import Mapping
from typing import Literal

from tokligenced.clock import Clock
from tokligenced.domain import Account, Organization
from tokligenced.errors import Conflict, NotAllowed, NotFound
from tokligenced.store import audit, members
from tokligenced.store.database import Database, Transaction
from tokligenced.store.members import Member, Role

Right = Literal["change_members", "change_owners", "change_keys"]

# What a role may do beyond seeing the organization.
RIGHTS: Mapping[Role, frozenset[Right]] = {
    "member": frozenset(),
    "admin": frozenset({"change_members", "change_keys"}),
    "owner": frozenset({"change_members", "change_owners", "change_keys"}),
}


def may_change(own: Role, *roles: Role | None) -> bool:
    """Whether who has the role `own` may change somebody from, or to, one of `roles`."""
    needed: Right = "change_owners" if "owner" in roles else "change_members"
    return needed in RIGHTS[own]


class Organizations:
    """Changes who is in organizations; an organization always keeps an owner.

    `by` is the person who asks, None for an administrator of the gateway. To who is not a member the
    organization is not there: `NotFound`. Whose role does not allow it is told so: `NotAllowed`.
    """

    def __init__(self, database: Database, clock: Clock, audited: audit.Audited) -> None:
        self._database = database
        self._clock = clock
        self._audited = audited

    async def members(self, org: Organization) -> list[Member]:
        """Everyone in it."""
        return await members.load(self._database, org.id)

    async def of(self, account: Account) -> dict[str, Role]:
        """What an account is in each organization that it belongs to, by the organization's id."""
        return await members.roles(self._database, account.id)

    async def role(self, org: Organization, account: Account, *needs: Right) -> Role:
        """What an account is in an organization. Raises `NotAllowed` where it lacks one of the rights."""
        own = (await self.of(account)).get(org.id)
        if own is None:
            raise NotFound(f"there is no organization {org.slug!r}")
        if not RIGHTS[own].issuperset(needs):
            raise NotAllowed(f"that is not for who is {own} of {org.slug!r}")
        return own

    async def put(
        self, org: Organization, account: Account, role: Role, *, by: Account | None, actor: str
    ) -> None:
        """Take an account in, or give it another role. Raises `Conflict` for the last owner."""

        async def write(tx: Transaction) -> str | None:
            before = await members.role(tx, org.id, account.id)
            await _check(tx, org, by, {before, role})
            if before == role:
                return None
            await members.put(tx, org.id, Member(account_id=account.id, role=role))
            await _keeps_an_owner(tx, org)
            action = "member.added" if before is None else "member.role_changed"
            await self._record(tx, org, actor, action, {"account_id": account.id, "role": role})
            return action

        if action := await self._database.transact(write):
            self._audited(actor, action, org.id)

    async def remove(self, org: Organization, account: Account, *, by: Account | None, actor: str) -> None:
        """Take an account out; who leaves by himself needs no right. Raises `Conflict` for the last owner."""

        async def write(tx: Transaction) -> None:
            before = await members.role(tx, org.id, account.id)
            if by is None or by.id != account.id:
                await _check(tx, org, by, {before})
            if before is None:
                raise NotFound(f"{account.email!r} is not in {org.slug!r}")
            await members.remove(tx, org.id, account.id)
            await _keeps_an_owner(tx, org)
            await self._record(tx, org, actor, "member.removed", {"account_id": account.id, "role": before})

        await self._database.transact(write)
        self._audited(actor, "member.removed", org.id)

    async def _record(
        self, tx: Transaction, org: Organization, actor: str, action: str, detail: Mapping[str, object]
    ) -> None:
        at = self._clock.wall_ms()
        await audit.record(tx, at=at, actor=actor, action=action, subject=org.id, detail=detail)


async def _check(tx: Transaction, org: Organization, by: Account | None, roles: set[Role | None]) -> None:
    """Whether `by` may change somebody from, or to, one of `roles`."""
    if by is None:
        return
    own = await members.role(tx, org.id, by.id)
    if own is None:
        raise NotFound(f"there is no organization {org.slug!r}")
    if not may_change(own, *roles):
        raise NotAllowed(f"that is not for who is {own} of {org.slug!r}")


async def _keeps_an_owner(tx: Transaction, org: Organization) -> None:
    if not await members.owners(tx, org.id):
        raise Conflict(f"{org.slug!r} must keep an owner")
