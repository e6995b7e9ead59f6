"""An account's keys: make, list, rotate, revoke. What a key is, is shown once, and kept nowhere."""

from aiohttp import web

from tokligenced.dashboard import pages
from tokligenced.dashboard.desk import Answer, Desk, Route, Visit, redirect
from tokligenced.dashboard.entry import sentence
from tokligenced.dashboard.public import example_model
from tokligenced.domain import Key
from tokligenced.errors import Conflict, InvalidInput, NotFound
from tokligenced.gateway import auth

_NUMBERS = ("requests_per_minute", "tokens_per_minute", "concurrency")
_OVERLAPS = {"0s", "1h", "24h", "168h"}


async def keys(desk: Desk, visit: Visit) -> Answer:
    """All keys of the account, the working ones first."""
    return await _page(desk, visit)


async def _page(desk: Desk, visit: Visit, *, error: str = "") -> pages.Keys:
    account = visit.account
    used = await desk.books.last_used(account.id)
    now = desk.clock.wall_ms()
    mine = [key for key in desk.directory.list_keys() if key.payer_id == account.id]
    rows = [_row(key, now, used.get(key.id)) for key in reversed(mine)]
    rows.sort(key=lambda row: row.status != "active")
    return pages.Keys(
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
    chosen = [value for value in visit.form.getall("models", []) if value]
    try:
        made = await desk.operations.perform(
            "keys.create",
            {
                "account": visit.account.email,
                "name": visit.field("name"),
                "limits": {name: _number(visit, name) for name in _NUMBERS},
                "models": chosen or None,
                "expires_at": visit.field("expires_at") or None,
                "spend_cap": visit.field("spend_cap") or None,
            },
            visit.caller,
        )
    except (InvalidInput, Conflict) as error:
        return await _page(desk, visit, error=sentence(error))
    return _shown(desk, made, chosen)


def _number(visit: Visit, name: str) -> int | None:
    text = visit.field(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise InvalidInput(f"{name.replace('_', ' ')} must be a whole number")
    return int(text)


def _shown(desk: Desk, made: object, chosen: list[str]) -> pages.NewKey:
    assert isinstance(made, dict)  # noqa: S101 - it is what the operation is declared to give
    model = chosen[0] if chosen else example_model(desk.router.catalog)
    return pages.NewKey(name=made["name"], key=made["key"], base_url=desk.public_url, model=model)


async def rotate(desk: Desk, visit: Visit) -> Answer:
    """A new key in the place of an old one, which works a while longer."""
    key = _mine(desk, visit)
    overlap = visit.field("overlap")
    if overlap not in _OVERLAPS:
        raise InvalidInput("choose for how long the old key still works")
    made = await desk.operations.perform("keys.rotate", {"id": key.id, "overlap": overlap}, visit.caller)
    return _shown(desk, made, sorted(key.models or ()))


async def revoke(desk: Desk, visit: Visit) -> web.Response:
    """Make a key useless at once."""
    key = _mine(desk, visit)
    await desk.directory.revoke_key(key.id, actor=visit.account.id)
    return redirect("/account/keys?said=revoked")


def _mine(desk: Desk, visit: Visit) -> Key:
    key = desk.directory.key(visit.request.match_info["id"])
    if key.payer_id != visit.account.id:
        raise NotFound("there is no such key")
    return key


ROUTES = (
    Route("GET", "/account/keys", keys),
    Route("POST", "/account/keys", create),
    Route("POST", "/account/keys/{id}/rotate", rotate),
    Route("POST", "/account/keys/{id}/revoke", revoke),
)
