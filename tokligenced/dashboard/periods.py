"""Days and months in UTC, as Unix milliseconds."""

import re
from datetime import UTC, datetime, timedelta

from tokligenced.errors import NotFound
from tokligenced.store.books import Used

DAY = 86_400_000
_MONTH = re.compile(r"(20[0-9]{2})-(0[1-9]|1[0-2])").fullmatch


def day_start(now: int, back: int = 0) -> int:
    """When the day `back` days ago began."""
    return (now // DAY - back) * DAY


def each_day(used: list[Used], since: int, until: int) -> list[Used]:
    """One for every day in between, those without a call too."""
    known = {each.label: each for each in used}
    dates = [
        datetime.fromtimestamp(at / 1000, UTC).date().isoformat()
        for at in range(since - since % DAY, until, DAY)
    ]
    return [known.get(date) or Used(label=date) for date in dates]


def total(used: list[Used]) -> Used:
    """All of it together."""
    counted = Used.__struct_fields__[1:]
    return Used(label="total", **{name: sum(getattr(each, name) for each in used) for name in counted})


def month_bounds(month: str) -> tuple[int, int]:
    """When a month such as 2026-01 begins and ends. Raises `NotFound` for what is no month."""
    said = _MONTH(month)
    if said is None:
        raise NotFound(f"there is no month {month!r}")
    first = datetime(int(said[1]), int(said[2]), 1, tzinfo=UTC)
    after = (first + timedelta(days=31)).replace(day=1)
    return int(first.timestamp()) * 1000, int(after.timestamp()) * 1000


def months(since: int, now: int, most: int = 12) -> list[str]:
    """The months from `since` to now, the latest first."""
    moment = datetime.fromtimestamp(now / 1000, UTC)
    first = datetime.fromtimestamp(since / 1000, UTC).strftime("%Y-%m")
    found: list[str] = []
    while len(found) < most and moment.strftime("%Y-%m") >= first:
        found.append(moment.strftime("%Y-%m"))
        moment = moment.replace(day=1) - timedelta(days=1)
    return found
