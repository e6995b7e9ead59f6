"""Proof that the books are right: every invariant of the ledger, looked at in one moment.

Nothing here trusts what keeps the books: sums are made anew from the entries, and the chain of hashes
from the first of them on. A broken invariant is one line for people, and each kind of them says no more
than a few of its cases and how many more there are.
"""

import sqlite3
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from tokligenced.domain import decimal_usd
from tokligenced.store.chain import COLUMNS, link
from tokligenced.store.ledger import FUNDING, HOUSE, REVENUE, SHORTFALL, Head

_SHOWN = 20
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

_ENTRIES = f"""
    SELECT e.seq, e.hash, c.payer_id, c.key_id, c.cost_nano, c.shortfall_nano,
           {", ".join(f"e.{column}" for column in COLUMNS)}
    FROM entries AS e LEFT JOIN calls AS c ON c.id = e.call_id ORDER BY e.seq
"""  # noqa: S608 - constants
_LAST_GIVEN = "SELECT seq FROM sqlite_sequence WHERE name = 'entries'"
_TWICE = """
    SELECT kind, call_id, count(*) FROM entries WHERE call_id IS NOT NULL
    GROUP BY call_id, kind HAVING count(*) > 1
"""
_NEVER = """
    SELECT c.id, c.{amount} FROM calls AS c
    LEFT JOIN entries AS e ON e.call_id = c.id AND e.kind = '{kind}'
    WHERE c.{amount} > 0 AND e.seq IS NULL
"""
_NO_PRICE = """
    SELECT id, price_id FROM (SELECT id, price_id FROM calls UNION ALL SELECT call_id, price_id FROM holds)
    WHERE price_id IS NOT NULL AND price_id NOT IN (SELECT id FROM prices)
"""
_STILL_HELD = "SELECT holds.call_id FROM holds JOIN calls ON calls.id = holds.call_id"


class Claim(Struct, frozen=True, kw_only=True):
    """An entry's number, at least the beginning of its hash in hexadecimal, and who says that it was so."""

    seq: int
    hash: str
    source: str


class Verdict(Struct, frozen=True, kw_only=True):
    """What was found: a line for each broken invariant, and how much was looked at."""

    broken: tuple[str, ...]
    entries: int
    payers: int
    open_holds: int
    head: Head


class _Examination:
    def __init__(self, connection: sqlite3.Connection, claims: Sequence[Claim]) -> None:
        self._connection = connection
        self._claims = claims
        self._broken: list[str] = []
        self._found: Counter[str] = Counter()

    def verdict(self) -> Verdict:
        """All of it; where the file is too damaged to be read on, what was found until then."""
        try:
            for (told,) in self._connection.execute(f"PRAGMA integrity_check({_SHOWN})"):
                if told != "ok":
                    self._breaks("file", told)
            return self._books()
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
                raise
            self._breaks("file", str(error))
            return Verdict(broken=tuple(self._broken), entries=0, payers=0, open_holds=0, head=Head(0, ""))

    def _books(self) -> Verdict:
        sums: Counter[str] = Counter()
        spent: Counter[str] = Counter()
        entries, head = self._walk(sums, spent)
        self._calls()
        payers = self._balances(sums)
        open_holds = self._holds()
        self._key_spend(spent)
        more = [
            f"{invariant}: and {number - _SHOWN:,} more"
            for invariant, number in self._found.items()
            if number > _SHOWN
        ]
        return Verdict(
            broken=(*self._broken, *more), entries=entries, payers=payers, open_holds=open_holds, head=head
        )

    def _breaks(self, invariant: str, case: str) -> None:
        self._found[invariant] += 1
        if self._found[invariant] <= _SHOWN:
            self._broken.append(f"{invariant}: {case}")

    def _walk(self, sums: Counter[str], spent: Counter[str]) -> tuple[int, Head]:
        """Recompute the chain and the sums of owners and keys; how many entries there are, and the last."""
        claimed = {claim.seq: b"" for claim in self._claims}
        count = last = 0
        previous = b""
        for seq, stored, payer_id, key_id, cost, shortfall, *values in self._connection.execute(_ENTRIES):
            _, kind, source, target, amount, call_id, _, _ = values
            if seq != last + 1:
                self._missing(last + 1, seq - 1)
            if stored != link(previous, *values):
                self._breaks("chain", f"entry {seq} was changed, or does not follow the one before it")
            count, last, previous = count + 1, seq, stored
            if seq in claimed:
                claimed[seq] = stored
            # Integers of Python's: SQLite's own sums overflow.
            sums[source] -= amount
            sums[target] += amount
            if kind == "charge":
                spent[key_id] += amount
                self._entry(kind, f"entry {seq} for call {call_id}", amount, cost)
                self._way(kind, seq, target == REVENUE and (cost is None or source in {payer_id, HOUSE}))
            elif kind == "shortfall":
                self._entry(kind, f"entry {seq} for call {call_id}", amount, shortfall)
                self._way(kind, seq, target == REVENUE and source == SHORTFALL)
            else:
                self._way(kind, seq, source == FUNDING)
        given = self._connection.execute(_LAST_GIVEN).fetchone()
        if given is not None and given[0] > last:
            self._missing(last + 1, given[0])
        for claim in self._claims:
            self._check(claim, claimed[claim.seq].hex())
        return count, Head(last, previous.hex())

    def _missing(self, first: int, last: int) -> None:
        self._breaks("chain", f"entry {first} is missing" + (f", up to entry {last}" if last > first else ""))

    def _entry(self, kind: str, entry: str, amount: int, recorded: int | None) -> None:
        """A charge or a shortfall, and what the row of its call says."""
        if recorded is None:
            self._breaks(kind, f"{entry}: there is no such call")
        elif amount != recorded:
            self._breaks(kind, f"{entry} is {decimal_usd(amount)} USD, the call says {decimal_usd(recorded)}")

    def _way(self, kind: str, seq: int, right: bool) -> None:
        if not right:
            self._breaks(kind, f"entry {seq} goes between the wrong accounts")

    def _calls(self) -> None:
        for kind, call_id, number in self._connection.execute(_TWICE):
            self._breaks(kind, f"call {call_id} has {number} of them")
        for kind, amount in (("charge", "cost_nano"), ("shortfall", "shortfall_nano")):
            for call_id, nano in self._connection.execute(_NEVER.format(kind=kind, amount=amount)):
                self._breaks(kind, f"call {call_id} has none for its {decimal_usd(nano)} USD")
        for call_id, price_id in self._connection.execute(_NO_PRICE):
            self._breaks("price", f"call {call_id} was held with {price_id}, which is not kept")

    def _balances(self, sums: Counter[str]) -> int:
        """Look at what each owner has and what is held of it; how many payers there are."""
        held_by: Counter[str] = Counter()
        for payer_id, amount in self._connection.execute(
            "SELECT payer_id, amount FROM holds WHERE NOT unlimited"
        ):
            held_by[payer_id] += amount
        balances = {
            owner: (balance, held)
            for owner, balance, held in self._connection.execute("SELECT owner, balance, held FROM balances")
        }
        for owner in sorted({*balances, *sums, *held_by}):
            balance, held = balances.get(owner, (0, 0))
            if balance != sums[owner]:
                says = f"{decimal_usd(balance)} USD, its entries make {decimal_usd(sums[owner])}"
                self._breaks("balance", f"{owner} has {says}")
            if held != held_by[owner]:
                says = f"{decimal_usd(held)} USD held, its open holds make {decimal_usd(held_by[owner])}"
                self._breaks("held", f"{owner} has {says}")
            if not owner.startswith("operator:") and not 0 <= held <= balance:
                says = f"{decimal_usd(balance)} USD, of which {decimal_usd(held)} are held"
                self._breaks("available", f"{owner} has {says}")
        if total := sum(balance for balance, _ in balances.values()):
            self._breaks("sum", f"all balances together make {decimal_usd(total)} USD, not 0")
        return sum(not owner.startswith("operator:") for owner in balances)

    def _holds(self) -> int:
        for (call_id,) in self._connection.execute(_STILL_HELD):
            self._breaks("hold", f"call {call_id} is over, and its hold is still open")
        (number,) = self._connection.execute("SELECT count(*) FROM holds").fetchone()
        return int(number)

    def _key_spend(self, spent: Counter[str]) -> None:
        recorded = dict(self._connection.execute("SELECT key_id, spent FROM key_spend").fetchall())
        for key_id in sorted({*recorded, *filter(None, spent)}):
            if recorded.get(key_id, 0) != spent[key_id]:
                said = f"{decimal_usd(recorded.get(key_id, 0))} USD, its charges {decimal_usd(spent[key_id])}"
                self._breaks("key_spend", f"{key_id} is said to have spent {said}")

    def _check(self, claim: Claim, there: str) -> None:
        if claim.seq and not (there and there.startswith(claim.hash)):
            state = "is another one now" if there else "is not there"
            self._breaks("the file went back in time", f"entry {claim.seq}, seen by {claim.source}, {state}")


def examine(connection: sqlite3.Connection, claims: Sequence[Claim] = ()) -> Verdict:
    """Look at every invariant; the connection is in a read transaction. Raises `sqlite3.Error`."""
    return _Examination(connection, claims).verdict()
