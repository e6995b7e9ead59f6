"""Idempotency keys: a call that is sent again under the same key gets the answer it got, and pays once.

    free ──claim──▶ running ──answered──▶ kept ──a day──▶ free
                       └──failed, left, killed──▶ free

What runs is known in memory, for one process serves all calls; what is kept is in the file, and gets there
in the commit that charges for it. So after a crash a key is either kept, with its charge, or free, and then
the ledger's recovery has resolved the call that ran. Streams take no part: they are never given again.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

import asyncio
import contextlib

from tokligenced.clock import Clock
from tokligenced.domain import Call, Key
from tokligenced.errors import InvalidRequest, StoreError, Unavailable
from tokligenced.gateway.kept import Kept, fingerprint
from tokligenced.store import idempotency as rows
from tokligenced.store.database import Database, Write

LIFETIME = 24 * 3600.0
LONGEST_NAME = 255
LARGEST_ANSWER = 4 * 1024 * 1024
# The answers of one API key may come to more bytes than this between two sweeps alone.
MOST_BYTES = 256 * 1024 * 1024

_SWEEP_ROUND = 60.0
_RETRY_AFTER = 1

_Place = tuple[str, str]


class Claim:
    """An idempotency key as one call found it, to be released once.

    `kept` is the answer that was given under it; None for the call that is the first, and runs.
    """

    __slots__ = ("_fingerprint", "_keeper", "_place", "kept")

    def __init__(self, keeper: "Idempotency", place: _Place, asked: bytes, kept: Kept | None) -> None:
        self.kept = kept
        self._keeper = keeper
        self._place = place
        self._fingerprint = asked

    def writes(self, body: bytes, content_type: str) -> list[Write]:
        """What keeps the answer of a call that is the first; belongs in the commit of its charge."""
        if self.kept is not None or len(body) > LARGEST_ANSWER or not content_type.isascii():
            return []  # with a row that SQLite can't take the charge would be lost
        until = self._keeper.expiry()
        return [(rows.SAVE, (*self._place, self._fingerprint, until, len(body), content_type, body))]

    async def landed(self) -> None:
        """Wait until what was settled before is in the file, unless the file can't be written now."""
        await self._keeper.landed()

    def release(self) -> None:
        """Let others come under this key, if it was this call that ran."""
        if self.kept is None:
            self._keeper.running.pop(self._place, None)


class Idempotency:
    """All idempotency keys; each API key has its own. `running` has the fingerprints of calls under way."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.running: dict[_Place, bytes] = {}
        self._database = database
        self._clock = clock

    async def claim(self, call: Call, key: Key, name: str | None) -> Claim | None:
        """Take the idempotency key called `name` for a call; None where there is none, or none is due.

        Raises `InvalidRequest`: 400 for a name that can't be one, 409 (`idempotency_in_flight`) while another
        call runs under it, 422 (`idempotency_key_reused`) when it was another request's; `Unavailable`.
        """
        if name is None or call.stream or call.counting:
            return None
        if not (0 < len(name) <= LONGEST_NAME and name.isascii() and name.isprintable()):
            raise InvalidRequest(
                "invalid_value",
                f"Invalid value for 'Idempotency-Key': 1 to {LONGEST_NAME} printable ASCII characters.",
                param="Idempotency-Key",
            )
        place, asked = (key.id, name), fingerprint(call, call.model)
        self._refuse_while_running(place, asked)
        if (kept := await self._find(place, asked)) is not None:
            return Claim(self, place, asked, kept)
        self._refuse_while_running(place, asked)
        self.running[place] = asked
        try:
            # Another call may have come, been answered and gone while this one was looked up.
            kept = await self._find(place, asked)
        except BaseException:
            self.running.pop(place)
            raise
        if kept is not None:
            self.running.pop(place)
        return Claim(self, place, asked, kept)

    def expiry(self) -> int:
        """Until when an answer of this moment is kept, in Unix milliseconds."""
        return self._clock.wall_ms() + round(LIFETIME * 1_000)

    async def landed(self) -> None:
        """See `Claim.landed`."""
        # It is charged and lands as soon as the disk works again; its client need not wait for that.
        with contextlib.suppress(StoreError):
            await self._database.commit()

    async def sweep(self) -> None:
        """Go round for ever, removing what has had its time, and what is too much."""
        while True:
            self._database.enqueue((rows.EXPIRE, (self._clock.wall_ms(),)), (rows.TRIM, (MOST_BYTES,)))
            await asyncio.sleep(_SWEEP_ROUND)

    def _refuse_while_running(self, place: _Place, asked: bytes) -> None:
        other = self.running.get(place)
        if other is not None and other != asked:
            raise _reused()
        if other is not None:
            raise InvalidRequest(
                "idempotency_in_flight",
                "A call with this Idempotency-Key is still being answered; its answer can be had afterwards.",
                status=409,
                retry_after=_RETRY_AFTER,
            )

    async def _find(self, place: _Place, asked: bytes) -> Kept | None:
        try:
            # What was settled a moment ago may still be on its way into the file.
            await self._database.commit()
            answer = await rows.find(self._database, *place, self._clock.wall_ms())
        except StoreError:
            raise Unavailable(
                "ledger_unavailable", "What was answered before can't be looked up now.", retry_after=5
            ) from None
        if answer is None:
            return None
        if answer.fingerprint != asked:
            raise _reused()
        return Kept(body=answer.body, content_type=answer.content_type)


def _reused() -> InvalidRequest:
    return InvalidRequest(
        "idempotency_key_reused",
        "This Idempotency-Key was used with another request; a new request needs a new key.",
        status=422,
        param="Idempotency-Key",
    )
