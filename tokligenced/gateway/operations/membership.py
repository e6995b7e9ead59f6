"""Operations on who is in an organization."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from tokligenced.domain import Account, Organization
from tokligenced.gateway.operations.base import Caller, Object, Operation, Result, Services
from tokligenced.gateway.organizations import Organizations
from tokligenced.store.members import Role


class MembersQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `orgs.members`."""

    slug: str


class NewMember(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `orgs.members.put`: `email` names an account that is there."""

    slug: str
    email: str
    role: Role = "member"


class LeavingMember(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `orgs.members.remove`."""

    slug: str
    email: str


async def _list(services: Services, parameters: MembersQuery, _caller: Caller) -> Result:
    return await _members(services, services.directory.organization(parameters.slug))


async def _put(services: Services, parameters: NewMember, caller: Caller) -> Result:
    org = services.directory.organization(parameters.slug)
    account = services.directory.account(parameters.email)
    await _organizations(services).put(org, account, parameters.role, by=None, actor=caller.actor)
    return {"email": account.email, "role": parameters.role}


async def _remove(services: Services, parameters: LeavingMember, caller: Caller) -> Result:
    org = services.directory.organization(parameters.slug)
    account = services.directory.account(parameters.email)
    await _organizations(services).remove(org, account, by=None, actor=caller.actor)
    return {"email": account.email, "removed": True}


def _organizations(services: Services) -> Organizations:
    return Organizations(services.database, services.clock, services.audited)


async def _members(services: Services, org: Organization) -> list[Object]:
    people = [
        (services.directory.payer(member.account_id), member.role)
        for member in await _organizations(services).members(org)
    ]
    return [{"email": who.email, "role": role} for who, role in people if isinstance(who, Account)]


MEMBERSHIP: Mapping[str, Operation[Any]] = {
    "orgs.members": Operation(MembersQuery, _list),
    "orgs.members.put": Operation(NewMember, _put),
    "orgs.members.remove": Operation(LeavingMember, _remove),
}
