"""Money: the balance, what is held, movements, and a month on paper."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from tokligenced.dashboard import pages, periods
from tokligenced.dashboard.desk import Answer, Desk, Route, Visit
from tokligenced.dashboard.usage import address
from tokligenced.domain import Account, Organization

B = TypeVar("B", bound=pages.Billing)

_PLACE = "/account/billing"
_PAGE = 50
_MOST_CREDITS = 500
_LONGEST = 18  # digits of an entry's number


async def billing(desk: Desk, visit: Visit) -> Answer:
    """The balance, open holds and the newest movements."""
    account = visit.account
    months = periods.months(account.created_at, desk.clock.wall_ms())
    return await movements(desk, visit, account, partial(pages.Billing, months=months))


async def movements(
    desk: Desk, visit: Visit, payer: Account | Organization, make: Callable[..., B], place: str = _PLACE
) -> B:
    """A payer's balance, open holds and newest movements as the page that `make` makes of them."""
    now = desk.clock.wall_ms()
    text = visit.query("before")
    before = int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST else None
    rows, more = await desk.books.movements(payer.id, since=0, until=now + 1, before=before, limit=_PAGE)
    there = desk.ledger.balance(payer)
    return make(
        account=payer.id,
        balance=there.balance,
        held=there.held,
        available=there.available,
        unlimited=payer.unlimited,
        holds=await desk.books.open_holds(payer.id),
        rows=rows,
        more=address(place, before=str(rows[-1].seq)) if more else "",
    )


async def statement(desk: Desk, visit: Visit) -> Answer:
    """A month: what was credited, what was charged by model."""
    account = visit.account
    month = visit.request.match_info["month"]
    since, until = periods.month_bounds(month)
    models = await desk.books.used(account.id, since=since, until=until, by="model")
    credits_ = await desk.books.credits(account.id, since=since, until=until, limit=_MOST_CREDITS)
    return pages.Statement(
        email=account.email,
        month=month,
        credited=sum(entry.amount for entry in credits_),
        charged=sum(each.cost_nano for each in models),
        credits=credits_,
        models=[each for each in models if each.cost_nano],
    )


ROUTES = (
    Route("GET", "/account/billing", billing),
    Route("GET", "/account/billing/{month}", statement),
)
