"""A change to what people prove themselves with: one at a time, whole, and with its rows of the audit."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from tokligenced.clock import Clock
from tokligenced.store import audit
from tokligenced.store.database import Database, Transaction

T = TypeVar("T")


class Change:
    """A change while it is made: its transaction, its moment (Unix milliseconds), and what the audit says."""

    def __init__(self, tx: Transaction, now: int) -> None:
        self.tx = tx
        self.now = now
        self.recorded: list[tuple[str, str, str]] = []

    async def record(self, actor: str, action: str, subject: str, **detail: object) -> None:
        """Leave a row of the audit with the change."""
        await audit.record(self.tx, at=self.now, actor=actor, action=action, subject=subject, detail=detail)
        self.recorded.append((actor, action, subject))


class Changes:
    """Makes changes: first in the file, and then in memory by `after`, with no other in between.

    Both happen even where who asked has left in the midst: else the file would know what memory doesn't.
    """

    def __init__(self, database: Database, clock: Clock, audited: audit.Audited) -> None:
        self._database = database
        self._clock = clock
        self._audited = audited
        self._one_at_a_time = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()

    async def make(
        self, work: Callable[[Change], Awaitable[T]], after: Callable[[], None] = lambda: None
    ) -> T:
        """What `work` returns, once it is durable and `after` has been called. Raises what `work` raises."""

        async def made() -> T:
            recorded: list[tuple[str, str, str]] = []

            async def write(tx: Transaction) -> T:
                change = Change(tx, self._clock.wall_ms())
                result = await work(change)
                recorded.extend(change.recorded)
                return result

            result = await self._database.transact(write)
            after()
            for entry in recorded:
                self.tell(*entry)
            return result

        return await self.alone(made)

    def tell(self, actor: str, action: str, subject: str) -> None:
        """Have the log say what is durable now."""
        self._audited(actor, action, subject)

    async def alone(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What `work` returns; while it runs no other change is made."""

        async def locked() -> T:
            async with self._one_at_a_time:
                return await work()

        task = asyncio.create_task(locked())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)
