"""An organization's usage and money, for whoever is in it."""

from functools import partial

from aiohttp import web

from tokligenced.dashboard import billing, usage
from tokligenced.dashboard.desk import Answer, Desk, Route, Visit
from tokligenced.dashboard.organization_pages import OrganizationBilling, OrganizationUsage
from tokligenced.dashboard.organizations import named
from tokligenced.domain import Organization


async def _seen(desk: Desk, visit: Visit) -> Organization:
    """The organization in the address, for who is in it. Raises `NotFound`."""
    org = named(desk, visit)
    await desk.organizations.role(org, visit.account)
    return org


async def organization_usage(desk: Desk, visit: Visit) -> Answer:
    """The chart and the table."""
    org = await _seen(desk, visit)
    place = f"/organizations/{org.id}/usage"
    make = partial(OrganizationUsage, id=org.id, slug=org.slug, place=place)
    return await usage.report(desk, visit, org.id, make)


async def table(desk: Desk, visit: Visit) -> web.Response:
    """The table as CSV."""
    return await usage.sheet(desk, visit, (await _seen(desk, visit)).id)


async def organization_billing(desk: Desk, visit: Visit) -> Answer:
    """The balance, open holds and the newest movements."""
    org = await _seen(desk, visit)
    make = partial(OrganizationBilling, id=org.id, slug=org.slug, calls="", months=[])
    return await billing.movements(desk, visit, org, make, f"/organizations/{org.id}/billing")


ROUTES = (
    Route("GET", "/organizations/{id}/usage", organization_usage),
    Route("GET", "/organizations/{id}/usage.csv", table),
    Route("GET", "/organizations/{id}/billing", organization_billing),
)
