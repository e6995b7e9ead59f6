"""The same credit and the same settle again and again, at once and through every door: none counts twice."""

import asyncio
import time
from pathlib import Path

from tests.gateway.books import Books, opened, principal
from tests.torture.audit import broken
from tests.torture.report import Part
from tests.torture.victim import load_average
from tokligenced.store import calls
from tokligenced.store.statements import Write

_ANN = principal(1)
_AT_ONCE = 500
_REFERENCES = 100
_CREDIT = 1_000
_COST = 7
_SETTLES_EACH = 100


async def run(folder: Path, *, duplicates: int = 100_000) -> Part:
    """So many duplicates, a third of each kind: credits, settles, and a settle's own writes."""
    part = Part(name="duplicates")
    path = folder / "duplicates.db"
    began = time.monotonic()
    async with opened(path, durability="full") as books:
        credited = await _credits(books, duplicates // 3)
        settled, settles, refused = await _settles(books, duplicates // 3)
        writes = await _writes(books, duplicates // 3)
        balance = _REFERENCES * _CREDIT - settled * _COST - _COST
        part.expect(books.of(_ANN) == (balance, 0), f"memory has {books.of(_ANN)}, not {balance}")
        filed = (await books.filed_balances())[_ANN.payer.id]
        part.expect(filed == (balance, 0), f"the file has {filed}, not {balance}")
        part.expect(refused == settles, f"{settles - refused} second settles were not refused")
        part.expect(len(books.lost) == writes, f"{writes - len(books.lost)} repeated writes landed")
    part.violations += broken(path)
    part.show(
        duplicate_credits=credited,
        duplicate_settles=settles,
        duplicate_writes_of_a_settle=writes,
        seconds=f"{time.monotonic() - began:.1f}",
        load_average=load_average(),
    )
    return part


async def _credits(books: Books, count: int) -> int:
    """Each reference again and again, many at once."""
    asked = 0
    while asked < count + _REFERENCES:
        await asyncio.gather(
            *[
                books.credit(_ANN.payer, _CREDIT, f"ref {(asked + number) % _REFERENCES}")
                for number in range(_AT_ONCE)
            ]
        )
        asked += _AT_ONCE
    return asked - _REFERENCES


async def _settles(books: Books, count: int) -> tuple[int, int, int]:
    """How many calls, how often they were settled a second time, how often that was refused."""
    holds = max(1, count // _SETTLES_EACH)
    refused = 0
    for _ in range(holds):
        hold = await books.secured(_ANN, 2 * _COST)
        books.settle(hold, _COST)
        for _ in range(_SETTLES_EACH):
            try:
                books.settle(hold, _COST)
            except RuntimeError:
                refused += 1
    return holds, holds * _SETTLES_EACH, refused


async def _writes(books: Books, count: int) -> int:
    """What a settle writes, once more behind the ledger's back: the file itself refuses it."""
    settled: list[tuple[Write, ...]] = []
    enqueue = books.database.enqueue

    def listen(*writes: Write) -> None:
        settled.append(writes)
        enqueue(*writes)

    hold = await books.secured(_ANN, 2 * _COST)
    books.database.enqueue = listen  # type: ignore[method-assign]
    books.settle(hold, _COST)
    books.database.enqueue = enqueue  # type: ignore[method-assign]
    await books.database.flush()
    whole = settled[0]
    entries_alone = tuple(write for write in whole if write[0] is not calls.RECORD)
    for first in range(0, count, _AT_ONCE):
        for number in range(min(_AT_ONCE, count - first)):
            enqueue(*(entries_alone if number % 2 else whole))
        await books.database.flush()
    return count
