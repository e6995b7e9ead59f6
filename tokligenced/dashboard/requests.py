"""The request log, and single calls with their arithmetic."""

from tokligenced.dashboard import pages
from tokligenced.dashboard.desk import Answer, Desk, Route, Visit
from tokligenced.dashboard.usage import address, key_names
from tokligenced.domain import LIST_PRICE, PICO_PER_USD, decimal_usd
from tokligenced.errors import NotFound
from tokligenced.store.calls import Filter

_PAGE = 50
_STATUSES = range(100, 600)
_LONGEST = 100  # characters of an id or a name


async def requests(desk: Desk, visit: Visit) -> Answer:
    """The account's calls, the newest first, by model, status and key."""
    model, code, key = (visit.query(name)[:_LONGEST] for name in ("model", "status", "key"))
    status = int(code) if code.isascii() and code.isdigit() and int(code) in _STATUSES else None
    rows, more = await desk.books.calls(
        Filter(payer_id=visit.account.id, model=model or None, status=status, key_id=key or None),
        before=visit.query("before")[:_LONGEST] or None,
        limit=_PAGE,
    )
    place = ""
    if more:
        shown = "" if status is None else str(status)
        place = address("/account/requests", model=model, status=shown, key=key, before=rows[-1].id)
    return pages.Calls(
        rows=rows,
        model=model,
        status_code="" if status is None else str(status),
        key=key,
        keys=key_names(desk, visit),
        more=place,
    )


async def request(desk: Desk, visit: Visit) -> Answer:
    """One call of the account."""
    call_id = visit.request.match_info["id"]
    booked = await desk.reports.call(visit.account.id, call_id[:_LONGEST])
    if booked is None:
        raise NotFound("there is no such call")
    call = booked.outcome
    return pages.CallPage(
        call=call,
        lines=[
            (line, decimal_usd(line.rate, PICO_PER_USD), decimal_usd(line.pico, PICO_PER_USD))
            for line in booked.lines
        ],
        key=key_names(desk, visit).get(call.key_id, call.key_id),
        factor="" if call.price_millionths == LIST_PRICE else decimal_usd(call.price_millionths, LIST_PRICE),
    )


ROUTES = (
    Route("GET", "/account/requests", requests),
    Route("GET", "/account/requests/{id}", request),
)
