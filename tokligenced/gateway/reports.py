"""What payers may read of their own books: single calls with their arithmetic, and what a key has spent."""

from msgspec import Struct

from tokligenced.domain import Key, Outcome
from tokligenced.errors import StoreError, Unavailable
from tokligenced.gateway import pricing
from tokligenced.store import calls, reports
from tokligenced.store import ledger as rows
from tokligenced.store.database import Database


class BookedCall(Struct, frozen=True, kw_only=True):
    """A call as it was booked, and the lines of its arithmetic.

    Their sum, times the payer's part of the price, rounded up once, is what the caller paid and the
    operator's shortfall together. There are none where nothing was charged, nor where the gateway died
    before it knew the usage and charged what it had last noted.
    """

    outcome: Outcome
    lines: tuple[pricing.Line, ...]


class Reports:
    """Reads what is in the books once it is durable; raises `Unavailable` (`ledger_unavailable`)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def call(self, payer_id: str, call_id: str) -> BookedCall | None:
        """A payer's call; None when it is not over, or another's, or nobody's."""
        booked = await self.any_call(call_id)
        return booked if booked is not None and booked.outcome.payer_id == payer_id else None

    async def any_call(self, call_id: str) -> BookedCall | None:
        """A call, whoever paid for it; None when it is not over, or nobody's."""
        try:
            outcome = await calls.find(self._database, call_id)
            if outcome is None:
                await self._database.flush()  # it may be over and still on its way to the file
                outcome = await calls.find(self._database, call_id)
            if outcome is None:
                return None
            return BookedCall(outcome=outcome, lines=await self._lines(outcome))
        except StoreError as error:
            raise _unavailable() from error

    async def spent(self, key: Key) -> int:
        """What a key has spent of its cap, in nano-USD."""
        try:
            await self._database.flush()
            return await reports.spent(self._database, key.id)
        except StoreError as error:
            raise _unavailable() from error

    async def _lines(self, outcome: Outcome) -> tuple[pricing.Line, ...]:
        charged = outcome.cost_nano + outcome.shortfall_nano
        if outcome.price_id is None or not charged or outcome.error == "interrupted":
            return ()
        price = await rows.price_of(self._database, outcome.price_id)
        return tuple(pricing.lines(outcome.usage, price))


def _unavailable() -> Unavailable:
    return Unavailable("ledger_unavailable", "The ledger can't be read now.")
