"""An account's keys: make, list, rotate, revoke. What a key is, is shown once, and kept nowhere."""

from collections.abc import Callable
from typing import TypeVar

from aiohttp import web

from tokligenced.dashboard import pages
from tokligenced.dashboard.desk import Answer, Desk, Route, Visit, redirect
from tokligenced.dashboard.entry import sentence
from tokligenced.dashboard.public import example_model
from tokligenced.domain import Account, Key, Organization
from tokligenced.errors import Conflict, InvalidInput, NotFound
from tokligenced.gateway import auth
from tokligenced.gateway.operations.base import payer_name

K = TypeVar("K", bound=pages.Keys)

_PLACE = "/account/keys"
_NUMBERS = ("requests_per_minute", "tokens_per_minute", "concurrency")
_OVERLAPS = {"0s", "1h", "24h", "168h"}


async def keys(desk: Desk, visit: Visit) -> Answer:
    """All keys of the account, the working ones first."""
    return await page(desk, visit, visit.account, pages.Keys)


async def page(
    desk: Desk, visit: Visit, payer: Account | Organization, make: Callable[..., K], *, error: str = ""
) -> K:
    """A payer's keys as the page that `make` makes of them."""
    used = await desk.books.last_used(payer.id)
    now = desk.clock.wall_ms()
    mine = [key for key in desk.directory.list_keys() if key.payer_id == payer.id]
    rows = [_row(key, now, used.get(key.id)) for key in reversed(mine)]
    rows.sort(key=lambda row: row.status != "active")
    return make(
        status=400 if error else 200,
        rows=rows,
        models=[model.id for model in desk.router.catalog.models],
        error=error,
        values={name: visit.field(name) for name in ("name", *_NUMBERS, "expires_at", "spend_cap")},
        chosen=visit.form.getall("models", []),
    )


def _row(key: Key, now: int, last_used: int | None) -> pages.KeyRow:
    return pages.KeyRow(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        status=auth.status(key, now),
        models=sorted(key.models) if key.models is not None else [],
        requests=key.limits.requests_per_minute,
        tokens=key.limits.tokens_per_minute,
        concurrency=key.limits.concurrency,
        cap=key.spend_cap_nano,
        expires_at=key.expires_at,
        last_used=last_used,
    )


async def create(desk: Desk, visit: Visit) -> Answer:
    """A new key, shown once, or the form again with what is wrong."""
    try:
        return await made(desk, visit, visit.account, _PLACE)
    except (InvalidInput, Conflict) as error:
        return await page(desk, visit, visit.account, pages.Keys, error=sentence(error))


async def made(desk: Desk, visit: Visit, payer: Account | Organization, place: str) -> pages.NewKey:
    """A payer's new key, as the form asks for it. Raises `InvalidInput`, `Conflict`."""
    chosen = [value for value in visit.form.getall("models", []) if value]
    key = await desk.operations.perform(
        "keys.create",
        {
            **payer_name(payer),
            "name": visit.field("name"),
            "limits": {name: _number(visit, name) for name in _NUMBERS},
            "models": chosen or None,
            "expires_at": visit.field("expires_at") or None,
            "spend_cap": visit.field("spend_cap") or None,
        },
        visit.caller,
    )
    return _shown(desk, key, chosen, place)


def _number(visit: Visit, name: str) -> int | None:
    text = visit.field(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise InvalidInput(f"{name.replace('_', ' ')} must be a whole number")
    return int(text)


def _shown(desk: Desk, made: object, chosen: list[str], place: str) -> pages.NewKey:
    assert isinstance(made, dict)  # noqa: S101 - it is what the operation is declared to give
    model = chosen[0] if chosen else example_model(desk.router.catalog)
    return pages.NewKey(
        name=made["name"], key=made["key"], base_url=desk.public_url, model=model, place=place
    )


async def rotate(desk: Desk, visit: Visit) -> Answer:
    """A new key in the place of an old one, which works a while longer."""
    return await rotated(desk, visit, key_of(desk, visit.account, visit.request.match_info["id"]), _PLACE)


async def rotated(desk: Desk, visit: Visit, key: Key, place: str) -> pages.NewKey:
    """What follows a key, as the form asks for it. Raises `InvalidInput`, `Conflict`."""
    overlap = visit.field("overlap")
    if overlap not in _OVERLAPS:
        raise InvalidInput("choose for how long the old key still works")
    new = await desk.operations.perform("keys.rotate", {"id": key.id, "overlap": overlap}, visit.caller)
    return _shown(desk, new, sorted(key.models or ()), place)


async def revoke(desk: Desk, visit: Visit) -> web.Response:
    """Make a key useless at once."""
    key = key_of(desk, visit.account, visit.request.match_info["id"])
    await desk.directory.revoke_key(key.id, actor=visit.account.id)
    return redirect(f"{_PLACE}?said=revoked")


def key_of(desk: Desk, payer: Account | Organization, key_id: str) -> Key:
    """The payer's key with this id. Raises `NotFound`, for others' too."""
    key = desk.directory.key(key_id)
    if key.payer_id != payer.id:
        raise NotFound("there is no such key")
    return key


ROUTES = (
    Route("GET", "/account/keys", keys),
    Route("POST", "/account/keys", create),
    Route("POST", "/account/keys/{id}/rotate", rotate),
    Route("POST", "/account/keys/{id}/revoke", revoke),
)
