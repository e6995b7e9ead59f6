"""Coming in and going out: sign-up, sign-in, sign-out, a new password by link, the first administrator."""

from tokligenced.dashboard import pages, security
from tokligenced.dashboard.desk import Answer, Desk, Route, Visit, redirect
from tokligenced.errors import Conflict, InvalidInput, NotFound
from tokligenced.gateway.people import SignInRefused

_REFUSED = (InvalidInput, Conflict, NotFound)


def sentence(error: Exception) -> str:
    """An error's message as a sentence of a page."""
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


async def sign_up_form(_desk: Desk, visit: Visit) -> Answer:
    """The form for a new account."""
    return pages.SignUp(action="/sign-up", title="Create your account", token=visit.query("invite"))


async def sign_up_by_link(_desk: Desk, visit: Visit) -> Answer:
    """Where invitations lead."""
    query = visit.request.rel_url.raw_query_string
    return redirect(f"/sign-up?{query}" if query else "/sign-up")


async def sign_up(desk: Desk, visit: Visit) -> Answer:
    """Make the account and sign its owner in."""
    email, password, token = visit.field("email"), visit.secret("password"), visit.field("token")
    try:
        await desk.people.sign_up(email, password, address=visit.address, invite=token or None)
    except _REFUSED as error:
        return pages.SignUp(
            status=400,
            action="/sign-up",
            title="Create your account",
            token=token,
            email=email,
            error=sentence(error),
        )
    return await _first_time(desk, visit, email, password, "/account/keys")


async def sign_in_form(_desk: Desk, visit: Visit) -> Answer:
    """The form for who has an account."""
    return pages.SignIn(next=security.place_within(visit.query("next")))


async def sign_in(desk: Desk, visit: Visit) -> Answer:
    """A fresh session, or the form again with what is wrong or missing."""
    place = security.place_within(visit.field("next"))
    code = visit.field("code")
    email, password = visit.field("email"), visit.secret("password")
    try:
        return await _signed_in(desk, visit, email, password, place=place, code=code or None)
    except SignInRefused as error:
        asks_code = error.reason in {"code_needed", "wrong_code"} or "code" in visit.form
        text = str(error)
        if error.wait:
            text = f"{text} Try again in {error.wait:.0f} seconds."
        slow = error.reason == "slow_down"
        return pages.SignIn(
            status=429 if slow else 400, next=place, email=email, asks_code=asks_code, error=text
        )


async def _first_time(desk: Desk, visit: Visit, email: str, password: str, place: str) -> Answer:
    """Sign somebody in whose account was just made; who has to wait does it by the form later."""
    try:
        return await _signed_in(desk, visit, email, password, place=place)
    except SignInRefused:
        return redirect("/sign-in?said=welcome")


async def _signed_in(
    desk: Desk, visit: Visit, email: str, password: str, *, place: str, code: str | None = None
) -> Answer:
    token = await desk.people.sign_in(email, password, address=visit.address, code=code)
    before = visit.request.cookies.get(security.cookie_name(desk.public_url))
    if before:
        await desk.people.sign_out(before)
    response = redirect(place)
    security.remember(response, token, desk.public_url)
    return response


async def sign_out(desk: Desk, visit: Visit) -> Answer:
    """End the session this was sent with."""
    await desk.people.sign_out(visit.request.cookies.get(security.cookie_name(desk.public_url), ""))
    response = redirect("/sign-in?said=out")
    security.forget(response, desk.public_url)
    return response


async def reset_form(_desk: Desk, visit: Visit) -> Answer:
    """The form for a new password."""
    return pages.Reset(token=visit.query("token"))


async def reset(desk: Desk, visit: Visit) -> Answer:
    """Choose a new password by a link."""
    token = visit.field("token")
    try:
        await desk.people.reset_password(token, visit.secret("password"))
    except _REFUSED as error:
        return pages.Reset(status=400, token=token, error=sentence(error))
    return redirect("/sign-in?said=password")


async def set_up_form(_desk: Desk, visit: Visit) -> Answer:
    """The form for the first administrator."""
    return pages.SignUp(action="/setup", title="Make the first administrator", token=visit.query("token"))


async def set_up(desk: Desk, visit: Visit) -> Answer:
    """Make the first administrator."""
    token, email, password = visit.field("token"), visit.field("email"), visit.secret("password")
    try:
        await desk.people.set_up(token, email, password)
    except _REFUSED as error:
        return pages.SignUp(
            status=400,
            action="/setup",
            title="Make the first administrator",
            token=token,
            email=email,
            error=sentence(error),
        )
    return await _first_time(desk, visit, email, password, "/account")


ROUTES = (
    Route("GET", "/sign-up", sign_up_form, "anybody"),
    Route("POST", "/sign-up", sign_up, "anybody"),
    Route("GET", "/signup", sign_up_by_link, "anybody"),
    Route("GET", "/sign-in", sign_in_form, "anybody"),
    Route("POST", "/sign-in", sign_in, "anybody"),
    Route("POST", "/sign-out", sign_out, "anybody"),
    Route("GET", "/reset", reset_form, "anybody"),
    Route("POST", "/reset", reset, "anybody"),
    Route("GET", "/setup", set_up_form, "anybody"),
    Route("POST", "/setup", set_up, "anybody"),
)
