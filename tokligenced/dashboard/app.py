"""The dashboard's routes: who may see what, what a refusal looks like, and the frame around each page."""

import asyncio

from aiohttp import web
from aiohttp.typedefs import Handler
from multidict import MultiDict

from tokligenced.dashboard import (
    account,
    admin,
    admin_accounts,
    admin_models,
    admin_records,
    admin_serving,
    billing,
    entry,
    keys,
    organization_books,
    organization_keys,
    organizations,
    public,
    settings,
    usage,
)
from tokligenced.dashboard import requests as calls
from tokligenced.dashboard.desk import Answer, Desk, Route, Visit, redirect
from tokligenced.dashboard.pages import NAVIGATION, NOTICES, Frame, Page, Refusal
from tokligenced.dashboard.rendering import Look
from tokligenced.dashboard.security import HEADERS, cookie_name, same_origin
from tokligenced.errors import CallError, Conflict, InvalidInput, NotAllowed, NotFound, StoreError

_BODY_TIMEOUT = 10.0
ROUTES: tuple[Route, ...] = (
    *public.ROUTES,
    *entry.ROUTES,
    *account.ROUTES,
    *keys.ROUTES,
    *usage.ROUTES,
    *calls.ROUTES,
    *billing.ROUTES,
    *organizations.ROUTES,
    *organization_keys.ROUTES,
    *organization_books.ROUTES,
    *settings.ROUTES,
    *admin.ROUTES,
    *admin_accounts.ROUTES,
    *admin_models.ROUTES,
    *admin_serving.ROUTES,
    *admin_records.ROUTES,
)


def add(app: web.Application, desk: Desk) -> None:
    """Give an application the dashboard's routes."""
    look = Look()
    for route in ROUTES:
        handler = _handler(desk, look, route)
        app.router.add_route(route.method, route.path, handler)
        if route.method == "GET":
            app.router.add_route("HEAD", route.path, handler)
    app.router.add_get("/static/{name}", look.file)


def _handler(desk: Desk, look: Look, route: Route) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        token = request.cookies.get(cookie_name(desk.public_url), "")
        viewer = await desk.people.viewer(token) if token else None
        if request.method == "POST" and not same_origin(request, desk.public_url):
            answer: Answer = Refusal(
                status=403, title="Not from here", text="This form was sent by another site."
            )
        elif viewer is None and route.who != "anybody":
            answer = redirect(f"/sign-in?next={request.rel_url.raw_path}")
        elif route.who == "admin" and not (viewer and viewer.account.admin):
            answer = _refusal(NotFound("to others the page is not there"))
        else:
            try:
                form = await _form(request)
                answer = await route.view(desk, Visit(request=request, viewer=viewer, form=form))
            except Exception as error:
                answer = _refusal(error)
        if isinstance(answer, Page):
            person = viewer.account if viewer else None
            frame = Frame(
                email=person.email if person else None,
                admin=bool(person and person.admin),
                path=request.path,
                notice=NOTICES.get(request.query.get("said", ""), ""),
                navigation=NAVIGATION,
            )
            return look.answer(frame, answer)
        for name, value in HEADERS.items():
            answer.headers.setdefault(name, value)
        return answer

    return handle


async def _form(request: web.Request) -> MultiDict[str]:
    if request.method != "POST":
        return MultiDict()
    try:
        async with asyncio.timeout(_BODY_TIMEOUT):
            fields = await request.post()
    except (ValueError, LookupError) as error:
        raise InvalidInput("the form can't be read") from error
    return MultiDict((name, value) for name, value in fields.items() if isinstance(value, str))


def _refusal(error: Exception) -> Refusal:
    """The page that tells of an error; raises again what nobody foresaw."""
    if isinstance(error, NotFound):
        return Refusal(status=404, title="Nothing here", text="There is no such thing, or it is not yours.")
    if isinstance(error, NotAllowed):
        return Refusal(status=403, title="Not yours to do", text="Your role does not allow that.")
    if isinstance(error, InvalidInput | Conflict):
        return Refusal(status=400, title="That can't be", text=f"{error}.")
    if isinstance(error, TimeoutError):
        return Refusal(status=408, title="Too slow", text="The form took too long to arrive.")
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return Refusal(status=413, title="Too large", text="The form is too large.")
    if isinstance(error, StoreError | CallError):
        return Refusal(
            status=503, title="Not now", text="The books can't be read now. Try again in a moment."
        )
    raise error
