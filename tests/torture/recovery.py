"""A restart that finds ten thousand calls cut off: it resolves each and is ready in two seconds."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.torture.audit import broken
from tests.torture.client import call, chat
from tests.torture.report import Part, milliseconds
from tests.torture.victim import Died, Victim, load_average

READY_WITHIN = 2.0
_AMOUNT, _PROGRESS = 1_000_000, 400_000


async def run(folder: Path, *, holds: int = 10_000) -> Part:
    """Start on a database with so many open holds, every other one with progress."""
    part = Part(name="recovery")
    victim = Victim(folder)
    try:
        await victim.start()
        key = await victim.new_key("ann", "1000")
        await asyncio.to_thread(victim.stop)
        await victim.start()
        await asyncio.to_thread(victim.stop)
        empty = await victim.start()
        await asyncio.to_thread(victim.stop)
        open_holds(victim.database, holds)
        part.violations += broken(victim.database)
        seconds = await victim.start()
        part.violations += await victim.verify()
        answer = await call(victim.port, key, chat("demo", "hi", max_tokens=5))
        part.expect(answer.status == 200, f"the first call after it is answered with {answer.status}")
        await asyncio.to_thread(victim.stop)
    except Died as died:
        part.violations.append(str(died))
        return part
    finally:
        victim.kill()
    part.violations += broken(victim.database)
    charged, voided = _resolved(victim.database)
    part.expect((charged, voided) == (holds // 2, holds - holds // 2), f"{charged} charged, {voided} voided")
    part.expect(seconds <= READY_WITHIN, f"ready after {seconds:.2f} s")
    part.show(
        open_holds=holds,
        charged=charged,
        voided=voided,
        ready_with_none_after=milliseconds(empty),
        ready_after=milliseconds(seconds),
        load_average=load_average(),
    )
    return part


def open_holds(database: Path, count: int) -> None:
    """Holds as a process that died under load leaves them."""
    with closing(sqlite3.connect(database)) as books, books:
        ((payer,),) = books.execute("SELECT owner FROM balances WHERE owner NOT LIKE 'operator:%'")
        ((key,),) = books.execute("SELECT id FROM keys")
        ((before,),) = books.execute("SELECT count(*) FROM calls")
        rows = [
            (f"req_cut{before + number:023d}", payer, key, _AMOUNT, _PROGRESS if number % 2 else None)
            for number in range(count)
        ]
        books.executemany(
            "INSERT INTO holds (call_id, payer_id, key_id, amount, unlimited, progress, opened_at, endpoint,"
            " model, stream, price_id, price_millionths)"
            " VALUES (?, ?, ?, ?, 0, ?, 1700000000000, 'chat', 'demo', 1, NULL, 1000000)",
            rows,
        )
        books.execute("UPDATE balances SET held = held + ? WHERE owner = ?", (count * _AMOUNT, payer))


def _resolved(database: Path) -> tuple[int, int]:
    with closing(sqlite3.connect(database)) as books:
        ((charged, voided),) = books.execute(
            "SELECT sum(cost_nano = ?), sum(cost_nano = 0) FROM calls WHERE error = 'interrupted'",
            (_PROGRESS,),
        )
    return charged, voided
