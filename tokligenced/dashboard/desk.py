"""What every view works with: the services, the visit, and how a route says whom it is for."""

from collections.abc import Awaitable, Callable
from typing import Literal, TypeAlias

from aiohttp import web
from msgspec import Struct, field
from multidict import MultiMapping

from tokligenced.clock import Clock
from tokligenced.dashboard.pages import Page
from tokligenced.domain import Account
from tokligenced.gateway.books import Books
from tokligenced.gateway.directory import Directory
from tokligenced.gateway.ledger import Ledger
from tokligenced.gateway.operations import Caller, Object, Operations
from tokligenced.gateway.organizations import Organizations
from tokligenced.gateway.people import People, Viewer
from tokligenced.gateway.relay import Relay
from tokligenced.gateway.reports import Reports
from tokligenced.gateway.routing import Router


class Desk(Struct, frozen=True, kw_only=True):
    """The services behind the pages; `public_url` is where clients reach the gateway, without a slash.

    `trials` is what came of the last trial of each provider, by its name.
    """

    people: People
    directory: Directory
    organizations: Organizations
    ledger: Ledger
    books: Books
    reports: Reports
    operations: Operations
    router: Router
    relay: Relay
    clock: Clock
    public_url: str
    trials: dict[str, Object] = field(default_factory=dict)


class Visit(Struct, frozen=True, kw_only=True):
    """One request of somebody, who may be nobody; `form` is empty unless it is a POST."""

    request: web.Request
    viewer: Viewer | None
    form: MultiMapping[str]

    @property
    def account(self) -> Account:
        """Who is signed in; only in views of routes that are for those who are."""
        assert self.viewer is not None  # noqa: S101 - the route has seen to it
        return self.viewer.account

    @property
    def address(self) -> str:
        """The network address it came from."""
        return self.request.remote or "unix"

    @property
    def caller(self) -> Caller:
        """Who asks, for operations."""
        return Caller(actor=self.account.id, progress=lambda _: None)

    def field(self, name: str) -> str:
        """A field of the form as text, trimmed; empty where there is none."""
        return self.secret(name).strip()

    def secret(self, name: str) -> str:
        """A field of the form exactly as it was typed, such as a password."""
        return self.form.get(name, "")

    def query(self, name: str) -> str:
        """A parameter of the address, trimmed; empty where there is none."""
        return self.request.query.get(name, "").strip()


Answer: TypeAlias = Page | web.Response
View = Callable[[Desk, Visit], Awaitable[Answer]]


class Route(Struct, frozen=True):
    """A view at a path, for anybody, for who is signed in, or for administrators."""

    method: Literal["GET", "POST"]
    path: str
    view: View
    who: Literal["anybody", "person", "admin"] = "person"


def redirect(place: str) -> web.Response:
    """See another page, by GET."""
    return web.Response(status=303, headers={"Location": place})
