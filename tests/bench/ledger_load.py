"""Holds and settles straight on the ledger: `python -m tests.bench.ledger_load JOB` prints one `Result`.

Both are JSON. Without a rate each of so many callers holds, waits until that is durable, settles, and
begins again; with one, holds begin on the clock.
"""

import asyncio
import itertools
import sys
from array import array
from pathlib import Path
from time import perf_counter, process_time
from typing import Literal

import msgspec
import uvloop

from tests.bench.load import percentiles
from tokligenced.clock import SystemClock, Tasks
from tokligenced.domain import LIST_PRICE, Account, Key, Outcome, Price, Principal, Rates
from tokligenced.gateway.ledger import Ledger
from tokligenced.gateway.quotes import Quote
from tokligenced.store.database import Database

_WARM_UP = 0.2
_ANN = Account(id="acct_bench", email="bench@example.com", created_at=0)
_WHO = Principal(
    key=Key(
        id="key_bench",
        digest=b"",
        prefix="tk-abcdef",
        name="bench",
        payer_kind="account",
        payer_id=_ANN.id,
        created_at=0,
    ),
    payer=_ANN,
)
_QUOTE = Quote(amount=10_000_000, price=Price(rates=Rates(input=3_000)), price_millionths=LIST_PRICE)


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to do to the database at `path`, which is new; times in seconds."""

    path: str
    durability: Literal["full", "normal"] = "full"
    at_once: int = 64
    rate: float = 0.0
    seconds: float = 1.0


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Wall and CPU time a call, of all threads, and how long holds took until they were durable."""

    calls: int
    wall_us: float
    cpu_us: float
    p50_ms: float
    p99_ms: float


class _Load:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._numbers = itertools.count()
        self.calls = 0
        self.waits = array("d")

    async def call(self) -> None:
        """One call from its hold to its settle."""
        call_id = f"req_{next(self._numbers)}"
        began = perf_counter()
        hold = self._ledger.hold(call_id, _WHO, _QUOTE, endpoint="chat", model="bench", stream=False)
        await self._ledger.secured(hold)
        self.waits.append(perf_counter() - began)
        outcome = Outcome(
            id=call_id,
            started_at=0,
            key_id=_WHO.key.id,
            payer_id=_ANN.id,
            endpoint="chat",
            model="bench",
            stream=False,
            status=200,
            cost_nano=3_000_000,
        )
        self._ledger.settle(hold, outcome, _WHO)
        self.calls += 1

    async def closed(self, at_once: int, seconds: float) -> None:
        """So many callers, each beginning again at once."""
        until = perf_counter() + seconds

        async def caller() -> None:
            while perf_counter() < until:
                await self.call()

        await asyncio.gather(*[caller() for _ in range(at_once)])

    async def paced(self, rate: float, seconds: float) -> None:
        """Calls that begin on the clock."""
        running: set[asyncio.Task[None]] = set()
        began, made = perf_counter(), 0
        while (now := perf_counter() - began) < seconds:
            for _ in range(int(now * rate) - made):
                task = asyncio.ensure_future(self.call())
                running.add(task)
                task.add_done_callback(running.discard)
                made += 1
            await asyncio.sleep(1 / rate)
        await asyncio.gather(*running)


async def run(job: Job) -> Result:
    """Do it; raises when a hold is refused or a write is lost."""
    tasks = Tasks(_fail)
    database = await Database.open(
        Path(job.path),
        durability=job.durability,
        tasks=tasks,
        on_lost=lambda _writes, error: _fail("", error),
    )
    try:
        ledger = await Ledger.open(database, clock=SystemClock(), report=lambda _outcome, _who: None)
        await ledger.credit(_ANN, 10**18, reference="bench", note=None, actor="bench")
        load = _Load(ledger)
        work = (
            (lambda seconds: load.paced(job.rate, seconds))
            if job.rate
            else lambda seconds: load.closed(job.at_once, seconds)
        )
        await work(_WARM_UP)
        await database.flush()
        load.calls = 0
        load.waits = array("d")
        began, cpu = perf_counter(), process_time()
        await work(job.seconds)
        await database.flush()
        seconds, cpu = perf_counter() - began, process_time() - cpu
    finally:
        await database.close()
        await tasks.close()
    waits = percentiles(load.waits)
    return Result(
        calls=load.calls,
        wall_us=seconds / load.calls * 1e6,
        cpu_us=cpu / load.calls * 1e6,
        p50_ms=waits.p50 * 1e3,
        p99_ms=waits.p99 * 1e3,
    )


def _fail(_name: str, error: BaseException) -> None:
    raise error


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(run(msgspec.json.decode(sys.argv[1], type=Job)))))
