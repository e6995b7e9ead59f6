"""What was used: metric by group over a range, as a chart, a table and CSV."""

import asyncio
import csv
import io
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlencode

from aiohttp import web

from tokligenced.dashboard import charts, pages, periods
from tokligenced.dashboard.desk import Answer, Desk, Route, Visit
from tokligenced.dashboard.rendering import number, usd
from tokligenced.domain import decimal_usd
from tokligenced.store.books import GROUPINGS, By, Used

R = TypeVar("R", bound=pages.UsageReport)

_METRICS = {
    "cost_nano": "Spend",
    "calls": "Calls",
    "prompt_tokens": "Input tokens",
    "completion_tokens": "Output tokens",
    "errors": "Errors",
}
_RANGES = (7, 30, 90, 365)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


async def usage(desk: Desk, visit: Visit) -> Answer:
    """The chart and the table."""
    return await report(desk, visit, visit.account.id, pages.UsageReport)


async def report(desk: Desk, visit: Visit, payer_id: str, make: Callable[..., R]) -> R:
    """A payer's use as the page that `make` makes of it."""
    metric = visit.query("metric") if visit.query("metric") in _METRICS else "cost_nano"
    by, days = _asked(visit)
    since, until = _range(desk, days)
    wanted = [desk.books.used(payer_id, since=since, until=until, by=each) for each in _both(by)]
    daily, *others = await asyncio.gather(*wanted)
    rows = others[0] if others else daily
    shown = usd if metric == "cost_nano" else number
    points = [
        (each.label, getattr(each, metric), shown(getattr(each, metric)))
        for each in periods.each_day(daily, since, until)
    ]
    return make(
        metric=metric,
        by=by,
        days=days,
        metrics=_METRICS,
        groupings=GROUPINGS,
        ranges=_RANGES,
        chart=charts.bars(points, f"{_METRICS[metric]} by day, last {days} days"),
        rows=rows[::-1] if by == "day" else rows,
        total=periods.total(rows),
        names=_names(desk, payer_id),
    )


def _both(by: By) -> tuple[By, ...]:
    """The chart is by day, whatever the table is by."""
    return ("day",) if by == "day" else ("day", by)


def _asked(visit: Visit) -> tuple[By, int]:
    by = next((each for each in GROUPINGS if each == visit.query("by")), GROUPINGS[0])
    days = next((each for each in _RANGES if str(each) == visit.query("days")), 30)
    return by, days


def _range(desk: Desk, days: int) -> tuple[int, int]:
    now = desk.clock.wall_ms()
    return periods.day_start(now, days - 1), now + 1


def key_names(desk: Desk, visit: Visit) -> dict[str, str]:
    """What the account's keys are called, by their ids."""
    return _names(desk, visit.account.id)


def _names(desk: Desk, payer_id: str) -> dict[str, str]:
    return {
        key.id: f"{key.name} ({key.prefix}…)"
        for key in desk.directory.list_keys()
        if key.payer_id == payer_id
    }


async def table(desk: Desk, visit: Visit) -> web.Response:
    """The table as CSV."""
    return await sheet(desk, visit, visit.account.id)


async def sheet(desk: Desk, visit: Visit, payer_id: str) -> web.Response:
    """A payer's table as CSV."""
    by, days = _asked(visit)
    since, until = _range(desk, days)
    rows: list[Used] = await desk.books.used(payer_id, since=since, until=until, by=by)
    names = _names(desk, payer_id)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([by, "calls", "errors", "prompt_tokens", "completion_tokens", "cost_usd"])
    for each in rows:
        label = _harmless(names.get(each.label, each.label))
        counts = (each.calls, each.errors, each.prompt_tokens, each.completion_tokens)
        writer.writerow([label, *counts, decimal_usd(each.cost_nano)])
    name = f"usage-by-{by}-{days}-days.csv"
    return web.Response(
        text=text.getvalue(),
        content_type="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _harmless(text: str) -> str:
    """A cell that spreadsheets don't take for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def address(path: str, **parameters: str) -> str:
    """A path with the parameters that are not empty."""
    said = urlencode({name: value for name, value in parameters.items() if value})
    return f"{path}?{said}" if said else path


ROUTES = (
    Route("GET", "/account/usage", usage),
    Route("GET", "/account/usage.csv", table),
)
