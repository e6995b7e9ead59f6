"""A person's settings: password, second factor, sessions, their data, leaving."""

import io

import msgspec
import segno
from aiohttp import web
from markupsafe import Markup

from tokligenced.dashboard import pages, security
from tokligenced.dashboard.desk import Answer, Desk, Route, Visit, redirect
from tokligenced.dashboard.entry import sentence
from tokligenced.errors import Conflict, InvalidInput
from tokligenced.gateway.operations import account_object, key_object, timestamp
from tokligenced.gateway.people import TotpOffer
from tokligenced.store.calls import Filter

_REFUSED = (InvalidInput, Conflict)
_EXPORTED = 10_000  # calls


async def settings(desk: Desk, visit: Visit) -> Answer:
    """All of it."""
    return await _page(desk, visit)


async def _page(desk: Desk, visit: Visit, error: Exception | None = None) -> pages.Settings:
    assert visit.viewer is not None  # noqa: S101 - the route has seen to it
    return pages.Settings(
        status=200 if error is None else 400,
        totp=await desk.people.has_totp(visit.account),
        current=visit.viewer.session_id,
        sessions=await desk.people.sessions(visit.account.id),
        error="" if error is None else sentence(error),
    )


async def change_password(desk: Desk, visit: Visit) -> Answer:
    """Another password; everybody has to sign in again."""
    try:
        await desk.people.change_password(visit.account, visit.secret("old"), visit.secret("new"))
    except _REFUSED as error:
        return await _page(desk, visit, error)
    return _gone(desk, "password")


def _gone(desk: Desk, said: str) -> web.Response:
    response = redirect(f"/sign-in?said={said}")
    security.forget(response, desk.public_url)
    return response


async def begin_totp(desk: Desk, visit: Visit) -> Answer:
    """A secret to scan; it counts once a code proves that it was."""
    return _offer(await desk.people.begin_totp(visit.account))


def _offer(offer: TotpOffer, error: str = "") -> pages.TotpSetup:
    picture = io.BytesIO()
    segno.make(offer.uri, error="m").save(
        picture, kind="svg", scale=5, xmldecl=False, svgns=False, nl=False, omitsize=True, light="#fff"
    )
    return pages.TotpSetup(
        status=400 if error else 200,
        offer=offer,
        picture=Markup(picture.getvalue().decode()),  # noqa: S704 - drawn here, of squares alone
        error=error,
    )


async def confirm_totp(desk: Desk, visit: Visit) -> Answer:
    """From now on signing in needs a code; the recovery codes are shown once."""
    secret = visit.field("secret")
    try:
        codes = await desk.people.confirm_totp(visit.account, secret, visit.field("code"))
    except InvalidInput as error:
        # A fresh secret: what a form brings back is not drawn again.
        return _offer(await desk.people.begin_totp(visit.account), f"{sentence(error)} Scan this new one.")
    except Conflict as error:
        return await _page(desk, visit, error)
    return pages.RecoveryCodes(codes=codes)


async def end_totp(desk: Desk, visit: Visit) -> Answer:
    """Signing in needs no code any more."""
    try:
        await desk.people.end_totp(visit.account, visit.secret("password"))
    except _REFUSED as error:
        return await _page(desk, visit, error)
    return redirect("/account/settings?said=totp-off")


async def end_session(desk: Desk, visit: Visit) -> Answer:
    """End one of the account's sessions."""
    await desk.people.end_session(visit.account.id, visit.request.match_info["id"])
    return redirect("/account/settings?said=ended")


async def export(desk: Desk, visit: Visit) -> web.Response:
    """What is kept of the account, as JSON: itself, its keys, its sessions, its calls, at most 10,000."""
    account = visit.account
    now = desk.clock.wall_ms()
    calls, more = await desk.books.calls(Filter(payer_id=account.id), limit=_EXPORTED)
    sessions = await desk.people.sessions(account.id)
    mine = [key for key in desk.directory.list_keys() if key.payer_id == account.id]
    there = desk.ledger.balance(account)
    data = {
        "account": account_object(account),
        "balance_nano_usd": there.balance,
        "keys": [key_object(key, account, now) for key in mine],
        "sessions": [{"began": timestamp(each.created_at), "address": each.address} for each in sessions],
        "calls": calls,
        "more_calls": more,
    }
    return web.Response(
        body=msgspec.json.encode(data),
        content_type="application/json",
        headers={"Content-Disposition": 'attachment; filename="tokligence-account.json"'},
    )


async def delete(desk: Desk, visit: Visit) -> Answer:
    """Leave for good."""
    try:
        await desk.people.delete_account(visit.account, visit.secret("password"))
    except _REFUSED as error:
        return await _page(desk, visit, error)
    return _gone(desk, "deleted")


ROUTES = (
    Route("GET", "/account/settings", settings),
    Route("POST", "/account/settings/password", change_password),
    Route("POST", "/account/settings/totp", begin_totp),
    Route("POST", "/account/settings/totp/confirm", confirm_totp),
    Route("POST", "/account/settings/totp/end", end_totp),
    Route("POST", "/account/settings/sessions/{id}/end", end_session),
    Route("GET", "/account/settings/export", export),
    Route("POST", "/account/settings/delete", delete),
)
