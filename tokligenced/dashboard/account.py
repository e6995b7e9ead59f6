"""The overview: how the account stands."""

from tokligenced.dashboard import charts, pages, periods
from tokligenced.dashboard.desk import Answer, Desk, Route, Visit
from tokligenced.dashboard.rendering import usd
from tokligenced.store.calls import Filter

_DAYS = 30
_RECENT = 8


async def overview(desk: Desk, visit: Visit) -> Answer:
    """Balance, spend of today and of thirty days, the last calls."""
    account = visit.account
    now = desk.clock.wall_ms()
    since = periods.day_start(now, _DAYS - 1)
    used = await desk.books.used(account.id, since=since, until=now + 1, by="day")
    days = periods.each_day(used, since, now + 1)
    total = periods.total(days)
    recent, _ = await desk.books.calls(Filter(payer_id=account.id), limit=_RECENT)
    there = desk.ledger.balance(account)
    return pages.Overview(
        balance=there.balance,
        held=there.held,
        unlimited=account.unlimited,
        today=days[-1].cost_nano,
        month=total.cost_nano,
        calls=total.calls,
        error_share=total.errors / total.calls if total.calls else 0.0,
        chart=charts.bars(
            [(each.label, each.cost_nano, f"{usd(each.cost_nano)}, {each.calls} calls") for each in days],
            "Spend by day, last 30 days",
        ),
        recent=recent,
        keys=sum(key.payer_id == account.id for key in desk.directory.list_keys()),
    )


ROUTES = (Route("GET", "/account", overview),)
