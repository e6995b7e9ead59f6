"""What has been recorded, before administrators: everybody's calls, and who did what."""

from msgspec import json

from tokligenced.dashboard import admin_pages
from tokligenced.dashboard.admin import one
from tokligenced.dashboard.desk import Answer, Desk, Route, Visit
from tokligenced.dashboard.entry import sentence
from tokligenced.dashboard.usage import address
from tokligenced.errors import InvalidInput, NotFound
from tokligenced.gateway.operations import Object

_PAGE = 50
_LONGEST = 200  # characters of an id, an address or a name
_DIGITS = 15
_FILTERS = ("account", "org", "key", "model", "provider", "status")
_NONE: Object = {"data": [], "has_more": False}


async def requests(desk: Desk, visit: Visit) -> Answer:
    """Calls, the newest first, by who paid, key, model, provider and status."""
    values = {name: visit.query(name)[:_LONGEST] for name in (*_FILTERS, "after")}
    wanted: Object = {name: value for name, value in values.items() if value}
    found, error = _NONE, ""
    try:
        if "status" in wanted:
            wanted["status"] = _number("status", wanted["status"])
        found = await one(desk, visit, "requests.list", limit=_PAGE, **wanted)
    except (InvalidInput, NotFound) as refused:
        error = sentence(refused)
    more = ""
    if found["has_more"]:
        more = address("/admin/requests", **{**values, "after": found["data"][-1]["id"]})
    return admin_pages.AllCalls(
        status=400 if error else 200, rows=found["data"], values=values, error=error, more=more
    )


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise InvalidInput(f"{name} must be a number")
    return int(text)


async def request(desk: Desk, visit: Visit) -> Answer:
    """One call."""
    call_id = visit.request.match_info["id"][:_LONGEST]
    return admin_pages.AnyCall(call=await one(desk, visit, "requests.get", id=call_id))


async def audit(desk: Desk, visit: Visit) -> Answer:
    """The audit trail, of all or of one subject."""
    subject, after = visit.query("subject")[:_LONGEST], visit.query("after")
    found = await one(
        desk,
        visit,
        "audit.list",
        subject=subject or None,
        after=_number("after", after) if after else None,
        limit=_PAGE,
    )
    rows = found["data"]
    more = address("/admin/audit", subject=subject, after=str(rows[-1]["id"])) if found["has_more"] else ""
    named = {each.id: each.email for each in desk.directory.list_accounts()}
    named |= {each.id: each.slug for each in desk.directory.list_organizations()}
    return admin_pages.Trail(
        rows=[(row, _words(row["detail"])) for row in rows],
        names=named,
        subject=subject,
        more=more,
    )


def _words(detail: Object) -> str:
    """What is noted of a deed, with spaces at which it may be broken."""
    return json.format(json.encode(detail), indent=0).decode() if detail else ""


ROUTES = (
    Route("GET", "/admin/requests", requests, "admin"),
    Route("GET", "/admin/requests/{id}", request, "admin"),
    Route("GET", "/admin/audit", audit, "admin"),
)
