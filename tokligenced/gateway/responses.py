"""The gateway's own store of responses, for clients that refer to earlier ones by id; off unless wanted.

Only the key that asked for a response may read it; after the time that the configuration sets it is gone.
"""

import asyncio
from collections.abc import Callable

from tokligenced.clock import Clock
from tokligenced.config import ResponseSettings
from tokligenced.domain import Key
from tokligenced.errors import InvalidRequest
from tokligenced.store import responses as rows
from tokligenced.store.database import Database
from tokligenced.store.responses import Stored

_SWEEP_ROUND = 600.0


class ResponseStore:
    """Keeps responses. `settings` is asked each time, so that a reload takes effect at once."""

    def __init__(self, database: Database, clock: Clock, settings: Callable[[], ResponseSettings]) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings

    @property
    def keeps(self) -> bool:
        """Whether anything is kept."""
        return self._settings().store

    def save(self, key: Key, response_id: str, response: bytes, items: bytes) -> None:
        """Have a response kept, with a JSON array of all items that led to it; lands with the next commit."""
        now = self._clock.wall_ms()
        expires_at = now + round(self._settings().retention * 1_000)
        self._database.enqueue((rows.SAVE, (response_id, key.id, now, expires_at, response, items)))

    async def find(self, key: Key, response_id: str) -> Stored:
        """The response with this id. Raises `InvalidRequest` (404, `not_found`), also for another key's."""
        # What was saved a moment ago may still be on its way into the file.
        await self._database.flush()
        stored = None
        if self.keeps:
            stored = await rows.find(self._database, response_id, key.id, self._clock.wall_ms())
        if stored is None:
            raise InvalidRequest("not_found", f"There is no response '{response_id[:100]}'.", status=404)
        return stored

    async def delete(self, key: Key, response_id: str) -> None:
        """Forget a response. Raises `InvalidRequest` as `find` does."""
        await self.find(key, response_id)
        await self._database.commit((rows.DELETE, (response_id, key.id)))

    async def sweep(self) -> None:
        """Go round for ever, removing what has had its time."""
        while True:
            self._database.enqueue((rows.EXPIRE, (self._clock.wall_ms(),)))
            await asyncio.sleep(_SWEEP_ROUND)
