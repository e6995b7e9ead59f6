"""The books as one payer sees them on their pages, with what is still on its way to the file."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tokligenced.domain import Outcome
from tokligenced.errors import NotFound
from tokligenced.store import books as rows
from tokligenced.store import calls
from tokligenced.store.books import By, OpenHold, Used
from tokligenced.store.database import Database
from tokligenced.store.reports import Entry

T = TypeVar("T")


class Books:
    """Reads a payer's books, and nobody else's; raises `StoreError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def used(self, payer_id: str, *, since: int, until: int, by: By) -> list[Used]:
        """Use between two Unix milliseconds by day, model or key."""
        return await self._now(lambda: rows.used(self._database, payer_id, since=since, until=until, by=by))

    async def calls(
        self, wanted: calls.Filter, *, before: str | None = None, limit: int
    ) -> tuple[list[Outcome], bool]:
        """The newest calls that are wanted, and whether there are more.

        Raises `NotFound` where `before` is no call of the payer that is asked for.
        """
        if before is not None:
            last = await calls.find(self._database, before)
            if last is None or last.payer_id != wanted.payer_id:
                raise NotFound(f"there is no call {before!r}")
        found = await self._now(lambda: calls.page(self._database, wanted, before=before, limit=limit + 1))
        return found[:limit], len(found) > limit

    async def movements(
        self, payer_id: str, *, since: int, until: int, before: int | None = None, limit: int
    ) -> tuple[list[Entry], bool]:
        """The newest entries between two Unix milliseconds, and whether there are more."""
        found = await self._now(
            lambda: rows.movements(
                self._database, payer_id, since=since, until=until, before=before, limit=limit + 1
            )
        )
        return found[:limit], len(found) > limit

    async def credits(self, payer_id: str, *, since: int, until: int, limit: int) -> list[Entry]:
        """The newest credits between two Unix milliseconds."""
        return await self._now(
            lambda: rows.credits_of(self._database, payer_id, since=since, until=until, limit=limit)
        )

    async def open_holds(self, payer_id: str) -> list[OpenHold]:
        """What is set aside for calls that run."""
        return await self._now(lambda: rows.open_holds(self._database, payer_id))

    async def last_used(self, payer_id: str) -> dict[str, int]:
        """When each key was last used, by its id."""
        return await self._now(lambda: rows.last_used(self._database, payer_id))

    async def _now(self, read: Callable[[], Awaitable[T]]) -> T:
        await self._database.flush()
        return await read()
