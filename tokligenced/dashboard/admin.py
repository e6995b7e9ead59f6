"""Administrators' overview and the proof of the books, and how their pages ask for operations."""

from tokligenced.dashboard import admin_pages
from tokligenced.dashboard.desk import Answer, Desk, Route, Visit
from tokligenced.gateway.operations import Object


async def one(desk: Desk, visit: Visit, operation: str, **parameters: object) -> Object:
    """What an operation gives that gives an object; whoever looks is its caller."""
    result = await desk.operations.perform(operation, parameters, visit.caller)
    assert isinstance(result, dict)  # noqa: S101 - it is what the operation is declared to give
    return result


async def many(desk: Desk, visit: Visit, operation: str) -> list[Object]:
    """What an operation gives that gives a whole list."""
    result = await desk.operations.perform(operation, {}, visit.caller)
    assert isinstance(result, list)  # noqa: S101 - it is what the operation is declared to give
    return result


def charges_nothing(model: Object) -> bool:
    """Whether a model's price of now is nothing, though nobody said that the model is free."""
    priced = any(price["current"] and (price["rates"] or price["tiers"]) for price in model["prices"])
    return not model["free"] and not priced


async def overview(desk: Desk, visit: Visit) -> Answer:
    """Health, calls, spend and errors at a glance."""
    usage = await one(desk, visit, "usage")
    models = await many(desk, visit, "models.list")
    return admin_pages.Standing(
        vitals=await one(desk, visit, "status"),
        providers=await many(desk, visit, "providers.list"),
        models=usage["groups"],
        total=usage["total"],
        unpriced=[model["id"] for model in models if charges_nothing(model)],
    )


async def ledger(desk: Desk, visit: Visit) -> Answer:
    """The books, examined now; nothing is changed by it, so it is asked for by GET."""
    return admin_pages.Ledger(verdict=await one(desk, visit, "ledger.verify"))


ROUTES = (
    Route("GET", "/admin", overview, "admin"),
    Route("GET", "/admin/ledger", ledger, "admin"),
)
