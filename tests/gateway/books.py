"""A ledger over a database file of its own, and what tests put into it."""

import shutil
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from tests.fakes import FakeClock
from tests.store.test_writer import largest_file
from tokligenced.clock import Tasks
from tokligenced.domain import LIST_PRICE, Account, Key, Outcome, Price, Principal, Rates
from tokligenced.gateway.ledger import Hold, Ledger
from tokligenced.gateway.quotes import Quote
from tokligenced.store.database import Database, Row, Write

PRICE = Price(rates=Rates(input=1_000, output=2_000))


class Books(Struct, kw_only=True):
    """An open ledger; `lost` are the writes that could not land, `reports` the outcomes it told of."""

    path: Path
    clock: FakeClock
    database: Database
    ledger: Ledger
    lost: list[tuple[Write, ...]]
    reports: list[Outcome]
    calls: int = 0

    async def credit(self, payer: Account, amount: int, reference: str) -> None:
        """Add balance."""
        await self.ledger.credit(payer, amount, reference=reference, note=None, actor="test")

    def hold(self, who: Principal, amount: int, **more: Any) -> Hold:
        """Hold `amount` for the next call; its id is `req_` and a number."""
        self.calls += 1
        call_id = more.pop("call_id", f"req_{self.calls}")
        quote = Quote(amount=amount, price=more.pop("price", PRICE), price_millionths=LIST_PRICE)
        return self.ledger.hold(call_id, who, quote, endpoint="chat", model="m", stream=False, **more)

    async def secured(self, who: Principal, amount: int, **more: Any) -> Hold:
        """The same, durably."""
        hold = self.hold(who, amount, **more)
        await self.ledger.secured(hold)
        return hold

    def settle(self, hold: Hold | None, cost: int, who: Principal | None = None) -> Outcome:
        """End the call of `hold`, or one that never had any, at this cost."""
        principal = hold.principal if hold else who
        assert principal is not None
        self.calls += 0 if hold else 1
        call_id = hold.call_id if hold else f"req_{self.calls}"
        return self.ledger.settle(hold, outcome(call_id, principal, cost), principal)

    def of(self, who: Principal) -> tuple[int, int]:
        """(balance, held) in memory."""
        balance = self.ledger.balance(who.payer)
        return balance.balance, balance.held

    async def filed(self, sql: str) -> list[Row]:
        """Rows of the file once all is written."""
        await self.database.flush()
        return await self.database.read(sql)

    async def filed_balances(self) -> dict[str, tuple[int, int]]:
        """(balance, held) by owner in the file, once all is written."""
        rows = await self.filed("SELECT owner, balance, held FROM balances")
        return {owner: (balance, held) for owner, balance, held in rows}


def principal(number: int = 1, *, unlimited: bool = False, cap: int | None = None, key: int = 1) -> Principal:
    """A key of account `number`."""
    payer = Account(id=f"acct_{number}", email="a@example.com", unlimited=unlimited, created_at=0)
    return Principal(
        key=Key(
            id=f"key_{number}_{key}",
            digest=b"",
            prefix="tk-abcdef",
            name="n",
            payer_kind="account",
            payer_id=payer.id,
            spend_cap_nano=cap,
            created_at=0,
        ),
        payer=payer,
    )


def outcome(call_id: str, who: Principal, cost: int) -> Outcome:
    """What became of a call that cost so much."""
    return Outcome(
        id=call_id,
        started_at=1,
        key_id=who.key.id,
        payer_id=who.payer.id,
        endpoint="chat",
        model="m",
        stream=False,
        status=200,
        cost_nano=cost,
    )


@asynccontextmanager
async def opened(path: Path, *, calls: int = 0, durability: str = "normal") -> AsyncIterator[Books]:
    """The books at `path`, recovered; `calls` is where the numbers of the calls go on."""
    crashes: list[BaseException] = []
    lost: list[tuple[Write, ...]] = []
    reports: list[Outcome] = []
    clock = FakeClock()
    tasks = Tasks(lambda _name, error: crashes.append(error))
    database = await Database.open(
        path,
        durability=durability,  # type: ignore[arg-type]
        tasks=tasks,
        on_lost=lambda writes, _error: lost.append(writes),
        ballast_bytes=65_536,
    )
    try:
        ledger = await Ledger.open(
            database, clock=clock, report=lambda outcome, _principal: reports.append(outcome)
        )
        yield Books(
            path=path,
            clock=clock,
            database=database,
            ledger=ledger,
            lost=lost,
            reports=reports,
            calls=calls,
        )
    finally:
        await database.close()
        await tasks.close()
    assert not crashes


def remains(path: Path, copy: Path) -> Path:
    """A copy of what is on the disk now: what a process killed at this moment would leave.

    Without the index of the log, which is rebuilt from it.
    """
    for suffix in ("", "-wal"):
        if (source := Path(f"{path}{suffix}")).exists():
            shutil.copyfile(source, f"{copy}{suffix}")
    return copy


def full_disk(path: Path) -> AbstractContextManager[None]:
    """Let the database's log grow no further, as on a full disk."""
    return largest_file(Path(f"{path}-wal").stat().st_size)
