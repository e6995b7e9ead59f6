"""An organization's keys: whoever is in it sees them, and its owners and admins change them."""

from functools import partial

from tokligenced.dashboard import keys
from tokligenced.dashboard.desk import Answer, Desk, Route, Visit, redirect
from tokligenced.dashboard.entry import sentence
from tokligenced.dashboard.organization_pages import OrganizationKeys
from tokligenced.dashboard.organizations import named
from tokligenced.domain import Key, Organization
from tokligenced.errors import Conflict, InvalidInput
from tokligenced.gateway.organizations import RIGHTS
from tokligenced.store.members import Role


async def organization_keys(desk: Desk, visit: Visit) -> Answer:
    """All keys of the organization, the working ones first."""
    org = named(desk, visit)
    return await _page(desk, visit, org, await desk.organizations.role(org, visit.account))


async def _page(desk: Desk, visit: Visit, org: Organization, own: Role, error: str = "") -> OrganizationKeys:
    make = partial(
        OrganizationKeys, id=org.id, slug=org.slug, place=_place(org), changing="change_keys" in RIGHTS[own]
    )
    return await keys.page(desk, visit, org, make, error=error)


def _place(org: Organization) -> str:
    return f"/organizations/{org.id}/keys"


async def create(desk: Desk, visit: Visit) -> Answer:
    """A new key, shown once, or the form again with what is wrong."""
    org = named(desk, visit)
    own = await desk.organizations.role(org, visit.account, "change_keys")
    try:
        return await keys.made(desk, visit, org, _place(org))
    except (InvalidInput, Conflict) as error:
        return await _page(desk, visit, org, own, sentence(error))


async def rotate(desk: Desk, visit: Visit) -> Answer:
    """A new key in the place of an old one, which works a while longer."""
    org, key, own = await _key(desk, visit)
    try:
        return await keys.rotated(desk, visit, key, _place(org))
    except (InvalidInput, Conflict) as error:
        return await _page(desk, visit, org, own, sentence(error))


async def revoke(desk: Desk, visit: Visit) -> Answer:
    """Make a key useless at once."""
    org, key, _ = await _key(desk, visit)
    await desk.directory.revoke_key(key.id, actor=visit.account.id)
    return redirect(f"{_place(org)}?said=revoked")


async def _key(desk: Desk, visit: Visit) -> tuple[Organization, Key, Role]:
    """The organization and its key in the address, for who may change it."""
    org = named(desk, visit)
    own = await desk.organizations.role(org, visit.account, "change_keys")
    return org, keys.key_of(desk, org, visit.request.match_info["key"]), own


ROUTES = (
    Route("GET", "/organizations/{id}/keys", organization_keys),
    Route("POST", "/organizations/{id}/keys", create),
    Route("POST", "/organizations/{id}/keys/{key}/rotate", rotate),
    Route("POST", "/organizations/{id}/keys/{key}/revoke", revoke),
)
