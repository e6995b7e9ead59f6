"""Where people prove who they are in tests: the service on a real database, with cheap hashes and a clock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from argon2 import PasswordHasher
from msgspec import Struct

from tests.fakes import FakeClock, FixedIds
from tests.gateway.office import Office, opened_office
from tokligenced.config import AccountSettings
from tokligenced.domain import Account
from tokligenced.gateway.directory import Directory
from tokligenced.gateway.people import People
from tokligenced.gateway.people.passwords import Passwords
from tokligenced.store.database import Row

PASSWORD = "correct horse battery"
NEW_PASSWORD = "staple and so on"
ADDRESS = "192.0.2.7"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class TownHall(Struct, kw_only=True):
    """The service, on top of an office; `settings` is what the configuration says now."""

    office: Office
    people: People
    clock: FakeClock
    directory: Directory
    settings: AccountSettings = AccountSettings()

    async def bob(self) -> Account:
        """A person with a password."""
        return await self.people.sign_up("bob@example.com", PASSWORD, address=ADDRESS)

    async def sign_in(self, password: str = PASSWORD, *, code: str | None = None, **more: Any) -> str:
        """Bob's new session, from an address of his."""
        email, address = more.get("email", "bob@example.com"), more.get("address", ADDRESS)
        return await self.people.sign_in(email, password, address=address, code=code)

    async def filed(self, sql: str) -> list[Row]:
        """Rows of the file once all is written."""
        await self.office.services.database.flush()
        return await self.office.services.database.read(sql)

    async def audited(self, action: str) -> list[Row]:
        """Actors, subjects and details of an action's rows in the audit."""
        rows = await self.filed("SELECT action, actor, subject, detail FROM audit ORDER BY id")
        return [row[1:] for row in rows if row[0] == action]

    async def reopened(self) -> People:
        """The service as the next process would find it."""
        return await _load(self)


async def _load(hall: TownHall) -> People:
    services = hall.office.services
    return await People.load(
        services.directory,
        services.database,
        clock=services.clock,
        ids=FixedIds(),
        ledger=services.ledger,
        settings=lambda: hall.settings,
        public_url="https://gateway.example/",
        audited=lambda actor, action, subject: hall.office.heard.append((actor, action, subject)),
        passwords=Passwords(CHEAP),
    )


@asynccontextmanager
async def opened_hall(path: Path) -> AsyncIterator[TownHall]:
    """The service over an office, which has Ann, who has no password, and her organization."""
    async with opened_office(path) as office:
        clock = office.services.clock
        assert isinstance(clock, FakeClock)
        hall = TownHall(
            office=office,
            people=None,  # type: ignore[arg-type]  # made of the hall itself
            clock=clock,
            directory=office.services.directory,
        )
        hall.people = await _load(hall)
        yield hall
        hall.people.close()


def token_of(link: str | None) -> str:
    """What a link proves itself by."""
    assert link is not None
    ((token,),) = parse_qs(urlsplit(link).query).values()
    return token
