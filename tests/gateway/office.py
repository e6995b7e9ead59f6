"""Where administrators' operations are done in tests: a database, a directory and a ledger of their own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from tests.fakes import FakeClock, FixedIds
from tests.gateway.books import PRICE
from tokligenced.clock import Tasks
from tokligenced.domain import Outcome, Principal
from tokligenced.gateway.directory import Directory
from tokligenced.gateway.ledger import Ledger
from tokligenced.gateway.operations import OPERATIONS, Caller, Object, Operations, Services
from tokligenced.gateway.quotes import Quote
from tokligenced.store.database import Database


class Office(Struct, kw_only=True):
    """Where operations are done; `told` is what they told on the way, `heard` what the log has of changes."""

    services: Services
    told: list[Object]
    heard: list[tuple[str, str, str]]

    async def do(self, operation: str, **parameters: object) -> Any:
        """Perform an operation as an administrator would."""
        caller = Caller(actor="cli", progress=self.told.append)
        return await Operations(self.services, OPERATIONS).perform(operation, parameters, caller)

    async def call(self, number: int, who: Principal, cost: int) -> None:
        """A call of an hour ago that cost so many nano-USD."""
        ledger = self.services.ledger
        quote = Quote(amount=1_000, price=PRICE, price_millionths=1_000_000)
        call_id = f"req_{number:026d}"
        hold = ledger.hold(call_id, who, quote, endpoint="chat", model="m", stream=False)
        await ledger.secured(hold)
        outcome = Outcome(
            id=call_id,
            started_at=self.services.clock.wall_ms() - 3_600_000,
            key_id=who.key.id,
            payer_id=who.payer.id,
            endpoint="chat",
            model="m",
            stream=False,
            status=200,
            cost_nano=cost,
        )
        ledger.settle(hold, outcome, who)
        await self.services.database.flush()

    async def ann(self) -> Principal:
        """A new key of Ann's."""
        directory = self.services.directory
        account = directory.account("ann@example.com")
        key, _ = await directory.create_key(account, name="test", actor="cli")
        return Principal(key=key, payer=account)


@asynccontextmanager
async def opened_office(path: Path) -> AsyncIterator[Office]:
    """An office with an account and an organization."""
    clock = FakeClock()
    crashes: list[BaseException] = []
    tasks = Tasks(lambda _name, error: crashes.append(error))
    database = await Database.open(
        path,
        durability="normal",
        tasks=tasks,
        on_lost=lambda _writes, error: crashes.append(error),
        ballast_bytes=65_536,
    )
    try:
        heard: list[tuple[str, str, str]] = []

        def audited(actor: str, action: str, subject: str) -> None:
            heard.append((actor, action, subject))

        directory = await Directory.load(database, clock=clock, ids=FixedIds(), audited=audited)
        ledger = await Ledger.open(
            database, clock=clock, report=lambda _outcome, _principal: None, audited=audited
        )
        await directory.create_account("ann@example.com", actor="cli")
        await directory.create_organization("acme", owner_email="ann@example.com", actor="cli")
        services = Services(
            directory=directory, ledger=ledger, database=database, clock=clock, audited=audited
        )
        yield Office(services=services, told=[], heard=heard)
    finally:
        await database.close()
        await tasks.close()
    assert crashes == []
