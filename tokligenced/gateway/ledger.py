"""Prepaid balances: hold before a call, settle after it, exactly once, whatever happens in between.

Truth is here, in memory on the loop, where admission is one synchronous step and so can't race; the
database is its journal. A hold is durable before anything is sent upstream. Settling is a synchronous
enqueue, so that no cancellation can come between a call's end and its charge.
"""

import asyncio
from collections.abc import Callable, Iterable

from msgspec import Struct, structs

from tokligenced.clock import Clock
from tokligenced.domain import Account, Organization, Outcome, Price, Principal, decimal_usd
from tokligenced.errors import Conflict, InvalidInput, PaymentRequired, StoreError, Unavailable
from tokligenced.gateway.quotes import Quote
from tokligenced.store import audit, calls, witness
from tokligenced.store import ledger as rows
from tokligenced.store.database import Database, Transaction
from tokligenced.store.statements import Write

_GREATEST = 2**63 - 1
_RETRY_AFTER = 5


class Balance(Struct):
    """What a payer has, and how much of it is held; nano-USD."""

    balance: int = 0
    held: int = 0

    @property
    def available(self) -> int:
        """What a new hold may take."""
        return self.balance - self.held


class Hold:
    """Money set aside for one call; given back by `Ledger.settle`, once.

    `durable` is done when the hold is in the file, None for an unlimited payer's, which sets nothing aside
    and is written only so that a crash does not lose the call. `reserved` is what it takes of the key's cap
    meanwhile, also where nothing is set aside.
    """

    __slots__ = (
        "amount",
        "call_id",
        "durable",
        "price_id",
        "price_millionths",
        "principal",
        "reserved",
        "settled",
        "unlimited",
    )

    def __init__(
        self, call_id: str, principal: Principal, amount: int, price_id: str, price_millionths: int
    ) -> None:
        self.call_id = call_id
        self.principal = principal
        self.unlimited = principal.payer.unlimited
        self.amount = 0 if self.unlimited else amount
        self.reserved = amount
        self.price_id = price_id
        self.price_millionths = price_millionths
        self.durable: asyncio.Future[None] | None = None
        self.settled = False


class Ledger:
    """The books of all payers. `report(outcome, principal)` makes the canonical log line.

    `broken` says what is wrong with them: then no call that costs is served. `recovery` is what became of the
    holds that an earlier process left. `holds_open` and `held_nano` are of this process. `audited` is told of
    each credit.
    """

    def __init__(
        self,
        database: Database,
        books: rows.Books,
        *,
        clock: Clock,
        report: Callable[[Outcome, Principal], None],
        audited: audit.Audited = audit.unheard,
    ) -> None:
        self._database = database
        self._clock = clock
        self._report = report
        self._audited = audited
        self._balances = {
            owner: Balance(balance=balance, held=held) for owner, (balance, held) in books.balances.items()
        }
        self._spent = dict(books.spent)
        self._held_by_key: dict[str, int] = {}
        self._known_prices: dict[Price, str] = {}
        self._changing = asyncio.Lock()
        self.holds_open = self.held_nano = 0
        self.broken: tuple[str, ...] = ()
        self.recovery = rows.Recovery()

    @classmethod
    async def open(
        cls,
        database: Database,
        *,
        clock: Clock,
        report: Callable[[Outcome, Principal], None],
        audited: audit.Audited = audit.unheard,
    ) -> "Ledger":
        """The books, after resolving what an earlier process left open; raises `StoreError`.

        Where they are wrong at first sight nothing is resolved or held: `broken` says why.
        """
        try:
            last = witness.read(witness.path_beside(database.path))
            broken = await rows.doubts(database, rows.Head(last.seq, last.hash) if last else None)
        except witness.Unreadable as error:
            broken = [str(error)]
        recovery = rows.Recovery()
        if not broken:
            recovery = await database.transact(lambda tx: rows.recover(tx, clock.wall_ms()))
        ledger = cls(database, await rows.load(database), clock=clock, report=report, audited=audited)
        ledger.broken = tuple(broken)
        ledger.recovery = recovery
        return ledger

    async def witness(self) -> rows.Head:
        """Write down the last entry beside the file, so that an older file in its place is noticed."""
        await self._database.flush()
        head = await rows.head(self._database)
        if not self.broken:
            path = witness.path_beside(self._database.path)
            await asyncio.to_thread(witness.write, path, head, self._clock.wall_ms())
        return head

    def balance(self, payer: Account | Organization) -> Balance:
        """What the payer has."""
        return self._balances.get(payer.id) or Balance()

    def spendable(self, principal: Principal) -> int | None:
        """The most that a call of this key may hold now; None when nothing bounds it."""
        bounds = []
        if not principal.payer.unlimited:
            bounds.append(self.balance(principal.payer).available)
        if (left := self._cap_left(principal)) is not None:
            bounds.append(left)
        return max(0, min(bounds)) if bounds else None

    def _cap_left(self, principal: Principal) -> int | None:
        key = principal.key
        if key.spend_cap_nano is None:
            return None
        return key.spend_cap_nano - self._spent.get(key.id, 0) - self._held_by_key.get(key.id, 0)

    def hold(
        self,
        call_id: str,
        principal: Principal,
        quote: Quote,
        *,
        endpoint: str,
        model: str,
        stream: bool,
        also: Iterable[Write] = (),
    ) -> Hold:
        """Set money aside, at once in memory and with the next commit in the file, together with `also`.

        Raises `PaymentRequired` naming what is missing, or `Unavailable` (`ledger_unavailable`); then
        nothing is held. Nothing may be sent upstream before `secured` returns.
        """
        if self.broken or not self._database.accepting:
            raise _unavailable()
        if (left := self._cap_left(principal)) is not None and left < quote.amount:
            raise _short("key_spend_cap_reached", "this key's spend cap", quote.amount, left)
        hold = Hold(call_id, principal, quote.amount, self._price(quote.price), quote.price_millionths)
        if not hold.unlimited:
            balance = self._balances.setdefault(principal.payer.id, Balance())
            if balance.available < hold.amount:
                raise _short("insufficient_balance", "the available balance", hold.amount, balance.available)
            balance.held += hold.amount
        self.holds_open += 1
        self.held_nano += hold.amount
        key_id, payer_id = principal.key.id, principal.payer.id
        self._held_by_key[key_id] = self._held_by_key.get(key_id, 0) + hold.reserved
        writes: list[Write] = [
            (
                rows.HOLD,
                (
                    call_id,
                    payer_id,
                    key_id,
                    hold.amount,
                    hold.unlimited,
                    self._clock.wall_ms(),
                    endpoint,
                    model,
                    stream,
                    hold.price_id,
                    hold.price_millionths,
                ),
            ),
            *also,
        ]
        if hold.unlimited:
            self._database.enqueue(*writes)
        else:
            hold.durable = self._database.commit(*writes, (rows.MOVE, (0, hold.amount, payer_id)))
        return hold

    def _price(self, price: Price) -> str:
        known = self._known_prices.get(price)
        if known is None:
            row = rows.price_row(price)
            known = self._known_prices[price] = row[0]
            # Enqueued apart from the hold, which may fail: this must land in any case.
            self._database.enqueue((rows.PRICE, row))
        return known

    async def secured(self, hold: Hold) -> None:
        """Wait until the hold is durable; raises `Unavailable` (`ledger_unavailable`) when it can't be."""
        if hold.durable is None:
            return
        try:
            # The commit belongs to the ledger, not to the call that may be cancelled while it waits.
            await asyncio.shield(hold.durable)
        except StoreError:
            raise _unavailable() from None

    def note(self, *writes: Write) -> None:
        """Have writes land that belong to no hold."""
        self._database.enqueue(*writes)

    def progress(self, hold: Hold, cost: int) -> None:
        """Note what the call would be charged if the process died now."""
        self._database.enqueue((rows.PROGRESS, (cost, hold.call_id)))

    def settle(
        self, hold: Hold | None, outcome: Outcome, principal: Principal, also: Iterable[Write] = ()
    ) -> Outcome:
        """Charge what the call cost, within its hold, and release the rest; the outcome as it is booked.

        Synchronous. Without a hold the call was free or refused, and only leaves its row. `also` lands
        together with the charge, or not at all.
        """
        if hold is None:
            return self._book(outcome, principal, [*also])
        if hold.settled:
            raise RuntimeError(f"call {hold.call_id} is settled already")
        hold.settled = True
        if hold.durable is not None and (not hold.durable.done() or hold.durable.exception() is not None):
            # It failed, or the caller left while it was being written: whether it lands shows in a moment.
            # What was never sent costs nothing either way. The row waits for that too: were it in the file
            # before the release, a process that died in between would leave a call both open and over.
            writes: list[Write] = [(calls.RECORD, calls.row(outcome))]
            hold.durable.add_done_callback(lambda durable: self._release(hold, durable, writes))
            self._report(outcome, principal)
            return outcome
        charge = outcome.cost_nano if hold.unlimited else min(outcome.cost_nano, hold.amount)
        booked = structs.replace(
            outcome,
            cost_nano=charge,
            shortfall_nano=outcome.cost_nano - charge,
            held_nano=hold.amount,
            price_id=hold.price_id,
            price_millionths=hold.price_millionths,
        )
        source = rows.HOUSE if hold.unlimited else principal.payer.id
        now = self._clock.wall_ms()
        self._move(hold, charge)
        writes = [(rows.RELEASE, (hold.call_id,)), *also]
        if charge or hold.amount:
            writes.append((rows.MOVE, (-charge, -hold.amount, source)))
        if charge:
            writes.append((rows.MOVE, (charge, 0, rows.REVENUE)))
            writes.append(
                (rows.ENTRY, (now, "charge", source, rows.REVENUE, charge, hold.call_id, None, None))
            )
            writes.append((rows.SPEND, (principal.key.id, charge)))
        if shortfall := booked.shortfall_nano:
            writes.append((rows.MOVE, (-shortfall, 0, rows.SHORTFALL)))
            writes.append((rows.MOVE, (shortfall, 0, rows.REVENUE)))
            entry = (now, "shortfall", rows.SHORTFALL, rows.REVENUE, shortfall, hold.call_id, None, None)
            writes.append((rows.ENTRY, entry))
        return self._book(booked, principal, writes)

    def _release(self, hold: Hold, durable: asyncio.Future[None], writes: list[Write]) -> None:
        """Undo a hold whose call was never sent, whether it is in the file or not, together with `writes`."""
        self._move(hold, 0)
        if durable.exception() is None:
            writes.append((rows.RELEASE, (hold.call_id,)))
            writes.append((rows.MOVE, (0, -hold.amount, hold.principal.payer.id)))
        self._database.enqueue(*writes)

    def _move(self, hold: Hold, charge: int) -> None:
        key_id = hold.principal.key.id
        self._held_by_key[key_id] -= hold.reserved
        self.holds_open -= 1
        self.held_nano -= hold.amount
        if charge:
            self._spent[key_id] = self._spent.get(key_id, 0) + charge
        if not hold.unlimited:
            balance = self._balances[hold.principal.payer.id]
            balance.held -= hold.amount
            balance.balance -= charge

    def _book(self, outcome: Outcome, principal: Principal, writes: list[Write]) -> Outcome:
        self._database.enqueue((calls.RECORD, calls.row(outcome)), *writes)
        self._report(outcome, principal)
        return outcome

    async def credit(
        self, payer: Account | Organization, amount: int, *, reference: str, note: str | None, actor: str
    ) -> Balance:
        """Add prepaid balance, once for each reference; the payer's balance after it.

        Raises `InvalidInput` for an amount or reference that can't be, `Conflict` when the reference
        credited another amount, `StoreError`.
        """
        if not 0 < amount <= _GREATEST:
            raise InvalidInput("the amount must be above 0 and below 9.2 billion USD")
        if not reference.strip() or len(reference) > 200 or not reference.isprintable():
            raise InvalidInput("the reference must be 1 to 200 printable characters")
        task = asyncio.ensure_future(self._credit(payer, amount, reference, note, actor))
        # Were it cut between the commit and memory, the file would know what the daemon does not.
        return await asyncio.shield(task)

    async def _credit(
        self, payer: Account | Organization, amount: int, reference: str, note: str | None, actor: str
    ) -> Balance:
        now = self._clock.wall_ms()

        async def write(tx: Transaction) -> bool:
            before = await rows.credit_of(tx, payer.id, reference)
            if before is None:
                await rows.credit(
                    tx, at=now, payer_id=payer.id, amount=amount, reference=reference, note=note
                )
                detail = {"amount": decimal_usd(amount), "reference": reference}
                await audit.record(
                    tx, at=now, actor=actor, action="payer.credited", subject=payer.id, detail=detail
                )
            elif before != amount:
                raise Conflict(
                    f"reference {reference!r} already credited {decimal_usd(before)} USD,"
                    f" not {decimal_usd(amount)}"
                )
            return before is None

        async with self._changing:
            balance = self._balances.setdefault(payer.id, Balance())
            funding = self._balances[rows.FUNDING]
            if amount - funding.balance > _GREATEST:
                raise InvalidInput("all balances together would pass 9.2 billion USD")
            if self.broken:
                raise StoreError(f"the ledger is broken: {self.broken[0]}")
            if await self._database.transact(write):
                balance.balance += amount
                funding.balance -= amount
                self._audited(actor, "payer.credited", payer.id)
            return balance


def _short(code: str, what: str, needed: int, there: int) -> PaymentRequired:
    missing = decimal_usd(needed - max(0, there))
    return PaymentRequired(
        code,
        f"This call may cost up to {decimal_usd(needed)} USD; {what} is {decimal_usd(max(0, there))} USD,"
        f" so {missing} USD are missing. A smaller limit on output tokens costs less.",
    )


def _unavailable() -> Unavailable:
    return Unavailable(
        "ledger_unavailable", "The ledger can't be written now; no call is served.", retry_after=_RETRY_AFTER
    )
