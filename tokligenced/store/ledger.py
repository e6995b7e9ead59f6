"""Rows of the ledger: the writes of its steps, what it starts from, and how it recovers."""

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from tokligenced.domain import Price
from tokligenced.store.chain import COLUMNS
from tokligenced.store.database import Database, Params, Statement, Transaction

FUNDING = "operator:funding"
REVENUE = "operator:revenue"
HOUSE = "operator:house"
SHORTFALL = "operator:shortfall"

_LAST_HASH = "coalesce((SELECT hash FROM entries ORDER BY seq DESC LIMIT 1), x'')"
_NUMBERED = ", ".join(f"?{number}" for number in range(1, len(COLUMNS) + 1))


def _summed_moves(rows: list[Any]) -> Iterable[Params]:
    """Moves of one owner as one."""
    sums: dict[str, tuple[int, int]] = {}
    for balance, held, owner in rows:
        so_far = sums.get(owner, (0, 0))
        sums[owner] = (so_far[0] + balance, so_far[1] + held)
    return [(balance, held, owner) for owner, (balance, held) in sums.items()]


def _summed_spend(rows: list[Any]) -> Iterable[Params]:
    sums: dict[str, int] = {}
    for key_id, spent in rows:
        sums[key_id] = sums.get(key_id, 0) + spent
    return list(sums.items())


# In one commit these run in this order, whatever calls they belong to. `MOVE` never makes a balance
# smaller than what is held of it, because admission in memory came before it in the same order.
MOVE = Statement(
    "UPDATE balances SET balance = balance + ?, held = held + ? WHERE owner = ?", order=10, fold=_summed_moves
)
PRICE = Statement("INSERT OR IGNORE INTO prices (id, snapshot) VALUES (?, ?)", order=15)
HOLD = Statement(
    """
    INSERT INTO holds (call_id, payer_id, key_id, amount, unlimited, opened_at, endpoint, model, stream,
                       price_id, price_millionths)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    """,
    order=20,
)
PROGRESS = Statement("UPDATE holds SET progress = ? WHERE call_id = ?", order=25)
ENTRY = Statement(
    f"INSERT INTO entries ({', '.join(COLUMNS)}, hash)"  # noqa: S608 - constants
    f" VALUES ({_NUMBERED}, entry_hash({_LAST_HASH}, {_NUMBERED}))",
    order=30,
)
RELEASE = Statement("DELETE FROM holds WHERE call_id = ?", order=40)
SPEND = Statement(
    "INSERT INTO key_spend (key_id, spent) VALUES (?, ?)"
    " ON CONFLICT DO UPDATE SET spent = spent + excluded.spent",
    order=50,
    fold=_summed_spend,
)


class Books(Struct, frozen=True):
    """What the ledger starts from: (balance, held) of each owner, what each key has spent."""

    balances: dict[str, tuple[int, int]]
    spent: dict[str, int]


class Recovery(Struct, frozen=True):
    """What became of the holds that an earlier process left: how many were voided, how many charged."""

    voided: int = 0
    charged: int = 0


class Head(Struct, frozen=True):
    """The last entry: its number, 0 when there is none, and its hash in hexadecimal."""

    seq: int
    hash: str


async def load(database: Database) -> Books:
    """What is in the books now."""
    return Books(
        {
            owner: (balance, held)
            for owner, balance, held in await database.read("SELECT owner, balance, held FROM balances")
        },
        dict(await database.read("SELECT key_id, spent FROM key_spend")),
    )


async def head(database: Database) -> Head:
    """The last entry that is durable."""
    rows = await database.read("SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1")
    return Head(rows[0][0], rows[0][1].hex()) if rows else Head(0, "")


async def doubts(database: Database, witnessed: Head | None) -> list[str]:
    """What is wrong with the books at first sight, a line each; `ledger verify` looks at everything.

    `witnessed` is an entry that was there once. Quick, because it comes before the daemon listens.
    """
    found = []
    ((total, held),) = await database.read("SELECT sum(balance), sum(held) FROM balances")
    ((holds,),) = await database.read("SELECT coalesce(sum(amount), 0) FROM holds")
    if total != 0:
        found.append(f"all balances sum to {total} nano-USD, not to zero")
    if held != holds:
        found.append(f"{held} nano-USD are held of balances, but the open holds come to {holds}")
    if witnessed is not None and witnessed.seq > 0:
        rows = await database.read("SELECT hash FROM entries WHERE seq = ?", (witnessed.seq,))
        if not rows or rows[0][0].hex() != witnessed.hash:
            found.append(f"the file went back in time: entry {witnessed.seq} is not what it was")
    return found


async def price_of(database: Database, price_id: str) -> Price:
    """The price kept under this id."""
    rows = await database.read("SELECT snapshot FROM prices WHERE id = ?", (price_id,))
    return msgspec.json.decode(rows[0][0], type=Price)


def price_row(price: Price) -> tuple[str, str]:
    """What `PRICE` writes: the id that the content gives, and the content."""
    snapshot = msgspec.json.encode(price)
    return hashlib.sha256(snapshot).hexdigest()[:32], snapshot.decode()


async def credit_of(tx: Transaction, payer_id: str, reference: str) -> int | None:
    """The amount that this reference credited to the payer; None when it did not."""
    rows = await tx.execute(
        "SELECT amount FROM entries WHERE target = ? AND reference = ?", (payer_id, reference)
    )
    return rows[0][0] if rows else None


async def credit(
    tx: Transaction, *, at: int, payer_id: str, amount: int, reference: str, note: str | None
) -> None:
    """Move `amount` from the operator's funding to the payer."""
    await tx.execute(ENTRY.sql, (at, "credit", FUNDING, payer_id, amount, None, reference, note))
    await tx.execute(
        "INSERT INTO balances (owner, balance, held) VALUES (?, ?, 0)"
        " ON CONFLICT DO UPDATE SET balance = balance + excluded.balance",
        (payer_id, amount),
    )
    await tx.execute(MOVE.sql, (-amount, 0, FUNDING))


async def recover(tx: Transaction, at: int) -> Recovery:
    """Resolve the holds of a process that died: charge what had been delivered, release the rest.

    One transaction, so that dying in it changes nothing; without open holds it does nothing.
    """
    # A hold whose call is booked already has been settled, and is only to be released.
    rows = await tx.execute(
        "SELECT call_id, holds.payer_id, holds.key_id, amount, unlimited,"
        " iif(calls.id IS NULL, progress, 0) FROM holds LEFT JOIN calls ON calls.id = call_id"
    )
    if not rows:
        return Recovery()
    await tx.execute(
        """
        INSERT OR IGNORE INTO calls (id, started_at, key_id, payer_id, endpoint, model, stream, status, error,
            attempts,
            input, cached_input, cache_write_5m, cache_write_1h, audio_in, image_in, output, reasoning,
            audio_out, image_out, images, searches, estimated, cost_nano, duration_us,
            shortfall_nano, price_id, price_millionths, held_nano)
        SELECT call_id, opened_at, key_id, payer_id, endpoint, model, stream, 503, 'interrupted', 1,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
            iif(unlimited, coalesce(progress, 0), min(coalesce(progress, 0), amount)), 0,
            0, price_id, price_millionths, amount
        FROM holds
        """
    )
    moves: list[Params] = []
    entries: list[Params] = []
    spent: list[Params] = []
    for call_id, payer_id, key_id, amount, unlimited, progress in rows:
        charge = (progress or 0) if unlimited else min(progress or 0, amount)
        source = HOUSE if unlimited else payer_id
        moves.append((-charge, -amount, source))
        if charge:
            moves.append((charge, 0, REVENUE))
            entries.append((at, "charge", source, REVENUE, charge, call_id, None, None))
            spent.append((key_id, charge))
    await tx.executemany(MOVE.sql, moves)
    await tx.executemany(ENTRY.sql, entries)
    await tx.executemany(SPEND.sql, spent)
    await tx.execute("DELETE FROM holds")
    return Recovery(voided=len(rows) - len(entries), charged=len(entries))
