"""Accounts before administrators: find one, give it credit, serve it on other terms, revoke its keys."""

from tokligenced.dashboard import admin_pages
from tokligenced.dashboard.admin import many, one
from tokligenced.dashboard.desk import Answer, Desk, Route, Visit, redirect
from tokligenced.dashboard.entry import sentence
from tokligenced.dashboard.usage import address
from tokligenced.domain import Account
from tokligenced.errors import Conflict, InvalidInput, NotFound

_PAGE = 50
_LONGEST = 100  # characters of an id or of what is searched for
_LONGEST_NOTE = 500
_UNLIMITED = {"yes": True, "no": False}


async def accounts(desk: Desk, visit: Visit) -> Answer:
    """All accounts, oldest first, or those whose address has what is searched for."""
    search, after = visit.query("q")[:_LONGEST], visit.query("after")[:_LONGEST]
    found = [
        each for each in await many(desk, visit, "accounts.list") if search.lower() in each["email"].lower()
    ]
    if after:
        ids = [each["id"] for each in found]
        if after not in ids:
            raise NotFound("the list has no such account")
        found = found[ids.index(after) + 1 :]
    rows = [await one(desk, visit, "accounts.get", email=each["email"]) for each in found[:_PAGE]]
    more = address("/admin/accounts", q=search, after=rows[-1]["id"]) if len(found) > _PAGE else ""
    return admin_pages.Accounts(search=search, rows=rows, more=more)


async def account(desk: Desk, visit: Visit) -> Answer:
    """One account."""
    return await _page(desk, visit)


async def _page(desk: Desk, visit: Visit, *, error: str = "") -> admin_pages.AccountPage:
    email = _account(desk, visit).email
    keys = [key for key in await many(desk, visit, "keys.list") if key.get("account") == email]
    keys.sort(key=lambda key: (key["status"] == "active", key["created_at"]), reverse=True)
    shown = await one(desk, visit, "accounts.get", email=email)
    values = {name: visit.field(name) for name in ("amount", "reference", "note")}
    values["price_factor"] = visit.field("price_factor") or shown["price_factor"]
    # Made with the form, so that a form that is sent twice counts once.
    values["reference"] = values["reference"] or f"dashboard-{desk.clock.wall_ms()}"
    return admin_pages.AccountPage(
        status=400 if error else 200,
        account=shown,
        keys=keys,
        error=error,
        values=values,
    )


def _account(desk: Desk, visit: Visit) -> Account:
    found = desk.directory.payer(visit.request.match_info["id"])
    if not isinstance(found, Account):
        raise NotFound("it is an organization")
    return found


async def credit(desk: Desk, visit: Visit) -> Answer:
    """Add prepaid balance, once for each reference."""
    to = _account(desk, visit)
    note = visit.field("note")
    if len(note) > _LONGEST_NOTE:
        error = f"The note must be at most {_LONGEST_NOTE} characters."
        return await _page(desk, visit, error=error)
    try:
        await one(
            desk,
            visit,
            "credit",
            account=to.email,
            amount=visit.field("amount"),
            reference=visit.field("reference"),
            note=note or None,
        )
    except (InvalidInput, Conflict) as refused:
        return await _page(desk, visit, error=sentence(refused))
    return redirect(f"/admin/accounts/{to.id}?said=credited")


async def terms(desk: Desk, visit: Visit) -> Answer:
    """Whether the balance limits it, and which part of the list price it pays."""
    of = _account(desk, visit)
    try:
        unlimited = _UNLIMITED.get(visit.field("unlimited"))
        factor = visit.field("price_factor")
        await one(desk, visit, "accounts.set", email=of.email, unlimited=unlimited, price_factor=factor)
    except (InvalidInput, Conflict) as error:
        return await _page(desk, visit, error=sentence(error))
    return redirect(f"/admin/accounts/{of.id}?said=terms")


async def revoke(desk: Desk, visit: Visit) -> Answer:
    """Make a key of the account useless at once."""
    of = _account(desk, visit)
    key = desk.directory.key(visit.request.match_info["key"])
    if key.payer_id != of.id:
        raise NotFound("the account has no such key")
    try:
        await one(desk, visit, "keys.revoke", id=key.id)
    except Conflict as error:
        return await _page(desk, visit, error=sentence(error))
    return redirect(f"/admin/accounts/{of.id}?said=revoked")


ROUTES = (
    Route("GET", "/admin/accounts", accounts, "admin"),
    Route("GET", "/admin/accounts/{id}", account, "admin"),
    Route("POST", "/admin/accounts/{id}/credit", credit, "admin"),
    Route("POST", "/admin/accounts/{id}/terms", terms, "admin"),
    Route("POST", "/admin/accounts/{id}/keys/{key}/revoke", revoke, "admin"),
)
