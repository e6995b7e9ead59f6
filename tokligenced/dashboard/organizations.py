"""Organizations: which there are, who is in them as what, and taking people in and out."""

from typing import get_args

from aiohttp import web

from tokligenced.dashboard import organization_pages as pages
from tokligenced.dashboard.desk import Answer, Desk, Route, Visit, redirect
from tokligenced.dashboard.entry import sentence
from tokligenced.domain import Account, Organization
from tokligenced.errors import Conflict, InvalidInput, NotFound
from tokligenced.gateway.organizations import may_change
from tokligenced.store.members import Role

_ROLES: tuple[Role, ...] = get_args(Role)


async def organizations(desk: Desk, visit: Visit) -> Answer:
    """Those to which the viewer belongs."""
    return await _list(desk, visit)


async def _list(desk: Desk, visit: Visit, error: str = "") -> pages.Organizations:
    roles = await desk.organizations.of(visit.account)
    rows = [
        pages.OrganizationRow(
            id=org.id, slug=org.slug, role=roles[org.id], balance=desk.ledger.balance(org).balance
        )
        for org in desk.directory.list_organizations()
        if org.id in roles
    ]
    return pages.Organizations(status=400 if error else 200, rows=rows, slug=visit.field("slug"), error=error)


async def create(desk: Desk, visit: Visit) -> Answer:
    """A new organization whose owner is the viewer, or the form again with what is wrong."""
    account = visit.account
    try:
        org = await desk.directory.create_organization(
            visit.field("slug"), owner_email=account.email, actor=account.id
        )
    except (InvalidInput, Conflict) as error:
        return await _list(desk, visit, sentence(error))
    return redirect(f"/organizations/{org.id}?said=organization")


def named(desk: Desk, visit: Visit) -> Organization:
    """The organization in the address, be the viewer in it or not. Raises `NotFound`."""
    org = desk.directory.payer(visit.request.match_info["id"])
    if not isinstance(org, Organization):
        raise NotFound("there is no such organization")
    return org


async def members(desk: Desk, visit: Visit) -> Answer:
    """Who is in it."""
    org = named(desk, visit)
    return await _members(desk, visit, org, await desk.organizations.role(org, visit.account))


async def _members(desk: Desk, visit: Visit, org: Organization, own: Role, error: str = "") -> pages.Members:
    rows = [
        pages.MemberRow(
            id=account.id,
            email=account.email,
            role=member.role,
            roles=[role for role in _ROLES if may_change(own, member.role, role)],
            oneself=account.id == visit.account.id,
        )
        for member in await desk.organizations.members(org)
        if isinstance(account := desk.directory.payer(member.account_id), Account)
    ]
    return pages.Members(
        status=400 if error else 200,
        id=org.id,
        slug=org.slug,
        rows=rows,
        roles=[role for role in reversed(_ROLES) if may_change(own, role)],
        email=visit.field("email"),
        chosen=visit.field("role") or "member",
        error=error,
    )


async def add(desk: Desk, visit: Visit) -> Answer:
    """Take in who has an account already, or the form again with what is wrong."""
    org = named(desk, visit)
    account = visit.account
    own = await desk.organizations.role(org, account, "change_members")
    try:
        role = _role(visit)
        somebody = await _newcomer(desk, org, visit.field("email"))
        await desk.organizations.put(org, somebody, role, by=account, actor=account.id)
    except (InvalidInput, Conflict) as error:
        return await _members(desk, visit, org, own, sentence(error))
    return redirect(f"/organizations/{org.id}?said=added")


def _role(visit: Visit) -> Role:
    for role in _ROLES:
        if role == visit.field("role"):
            return role
    raise InvalidInput("choose a role")


async def _newcomer(desk: Desk, org: Organization, email: str) -> Account:
    try:
        somebody = desk.directory.account(email)
    except NotFound as error:
        raise InvalidInput("there is no account with this address: they have to sign up first") from error
    if org.id in await desk.organizations.of(somebody):
        raise Conflict(f"{somebody.email} belongs to {org.slug} already")
    return somebody


async def change(desk: Desk, visit: Visit) -> Answer:
    """Give a member another role."""
    org, somebody, own = await _member(desk, visit)
    account = visit.account
    try:
        await desk.organizations.put(org, somebody, _role(visit), by=account, actor=account.id)
    except (InvalidInput, Conflict) as error:
        return await _members(desk, visit, org, own, sentence(error))
    return redirect(f"/organizations/{org.id}?said=role")


async def remove(desk: Desk, visit: Visit) -> Answer:
    """Take a member out, or leave."""
    org, somebody, own = await _member(desk, visit)
    account = visit.account
    try:
        await desk.organizations.remove(org, somebody, by=account, actor=account.id)
    except Conflict as error:
        return await _members(desk, visit, org, own, sentence(error))
    return _after_removal(org, left=somebody.id == account.id)


def _after_removal(org: Organization, *, left: bool) -> web.Response:
    return redirect("/organizations?said=left" if left else f"/organizations/{org.id}?said=removed")


async def _member(desk: Desk, visit: Visit) -> tuple[Organization, Account, Role]:
    """The organization and the member in the address, and the viewer's role. Raises `NotFound`."""
    org = named(desk, visit)
    own = await desk.organizations.role(org, visit.account)
    wanted = visit.request.match_info["account"]
    for member in await desk.organizations.members(org):
        somebody = desk.directory.payer(member.account_id)
        if somebody.id == wanted and isinstance(somebody, Account):
            return org, somebody, own
    raise NotFound("there is no such member")


ROUTES = (
    Route("GET", "/organizations", organizations),
    Route("POST", "/organizations", create),
    Route("GET", "/organizations/{id}", members),
    Route("POST", "/organizations/{id}/members", add),
    Route("POST", "/organizations/{id}/members/{account}/role", change),
    Route("POST", "/organizations/{id}/members/{account}/remove", remove),
)
