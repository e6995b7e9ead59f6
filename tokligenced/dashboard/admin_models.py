"""Models before administrators: every price with its date, and what a usage would cost."""

from decimal import Decimal

from tokligenced.dashboard import admin_pages
from tokligenced.dashboard.admin import charges_nothing, many, one
from tokligenced.dashboard.desk import Answer, Desk, Route, Visit
from tokligenced.dashboard.entry import sentence
from tokligenced.errors import InvalidInput, NotFound
from tokligenced.gateway.operations import Object
from tokligenced.gateway.serving import Tokens

_MILLION = 1_000_000
_LONGEST = 100  # characters of a name or a time
_DIGITS = 15


async def models(desk: Desk, visit: Visit) -> Answer:
    """All models; with a model and counts in the address, what those would cost."""
    found = await many(desk, visit, "models.list")
    parts = Tokens.__struct_fields__
    values = {name: visit.query(name)[:_LONGEST] for name in ("model", "price_factor", "at", *parts)}
    cost, error = None, ""
    if values["model"]:
        try:
            cost = await _cost(desk, visit, values)
        except (InvalidInput, NotFound) as refused:
            error = sentence(refused)
    return admin_pages.Prices(
        status=400 if error else 200,
        rows=[{**model, "prices": [_readable(price) for price in model["prices"]]} for model in found],
        unpriced=[model["id"] for model in found if charges_nothing(model)],
        parts=parts,
        cost=cost,
        error=error,
        values=values,
    )


async def _cost(desk: Desk, visit: Visit, values: dict[str, str]) -> Object:
    return await one(
        desk,
        visit,
        "models.cost",
        model=values["model"],
        usage={name: _count(name, values[name]) for name in Tokens.__struct_fields__ if values[name]},
        price_factor=values["price_factor"] or "1",
        at=values["at"] or None,
    )


def _count(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise InvalidInput(f"{name.replace('_', ' ')} must be a whole number of at most {_DIGITS} digits")
    return int(text)


def _readable(price: Object) -> Object:
    """A price with its rates as people compare them."""
    tiers = [{**tier, "rates": _rates(tier["rates"])} for tier in price["tiers"]]
    return {**price, "rates": _rates(price["rates"]), "tiers": tiers}


def _rates(rates: dict[str, str]) -> list[str]:
    """Rates in words: tokens by the million, calls and the like by the piece."""
    return [
        f"{name.replace('_', ' ')} ${rate}"
        if name.startswith("per_")
        else f"{name.replace('_', ' ')} ${(Decimal(rate) * _MILLION).normalize():f}"
        for name, rate in rates.items()
    ]


ROUTES = (Route("GET", "/admin/models", models, "admin"),)
