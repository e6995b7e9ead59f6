"""All that is served over HTTP: what machines ask for, and the pages for people."""

from functools import partial
from typing import Protocol

from aiohttp import web

from tokligenced import logs
from tokligenced.api import app as api
from tokligenced.api.front import Front
from tokligenced.dashboard import app as dashboard
from tokligenced.dashboard.desk import Desk
from tokligenced.gateway.books import Books
from tokligenced.gateway.directory import Directory
from tokligenced.gateway.organizations import Organizations
from tokligenced.gateway.people import People
from tokligenced.store.database import Database


class Gateway(Protocol):
    """What of a gateway put together is needed here."""

    @property
    def front(self) -> Front:
        """The services of the API."""

    @property
    def directory(self) -> Directory:
        """Who exists."""

    @property
    def people(self) -> People:
        """Who signs in."""

    @property
    def database(self) -> Database:
        """Where the books are."""


def application(gateway: Gateway, public_url: str) -> web.Application:
    """The application for machines and people; it owns nothing and closes nothing."""
    front = gateway.front
    desk = Desk(
        people=gateway.people,
        directory=gateway.directory,
        organizations=Organizations(gateway.database, front.clock, logs.audited),
        ledger=front.ledger,
        books=Books(gateway.database),
        reports=front.reports,
        operations=front.operations,
        router=front.router,
        relay=front.relay,
        clock=front.clock,
        public_url=public_url.rstrip("/"),
    )
    return api.build(front, partial(dashboard.add, desk=desk))
