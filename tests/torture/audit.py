"""The books read back from the file by plain SQL: a second opinion that shares no code with the ledger.

The one thing it takes from there is the hash function of the entries' chain.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from tokligenced.store.chain import COLUMNS, link

_BROKEN = {
    "a balance is not the sum of its entries": """
        WITH moves (owner, amount) AS (
            SELECT target, amount FROM entries UNION ALL SELECT source, -amount FROM entries
        ),
        sums (owner, total) AS (SELECT owner, sum(amount) FROM moves GROUP BY owner)
        SELECT coalesce(balances.owner, sums.owner), balance, total
        FROM balances FULL JOIN sums USING (owner)
        WHERE coalesce(balance, 0) <> coalesce(total, 0)
    """,
    "what is held is not the sum of the open holds": """
        WITH sums (owner, total) AS (SELECT payer_id, sum(amount) FROM holds GROUP BY payer_id)
        SELECT coalesce(balances.owner, sums.owner), held, total
        FROM balances FULL JOIN sums USING (owner)
        WHERE coalesce(held, 0) <> coalesce(total, 0)
    """,
    "held is not between zero and the balance": """
        SELECT owner, held, balance FROM balances
        WHERE owner NOT LIKE 'operator:%' AND NOT (0 <= held AND held <= balance)
    """,
    "all balances don't sum to zero": "SELECT sum(balance) FROM balances HAVING sum(balance) <> 0",
    "a call's charge is not what its row says": """
        WITH charges AS (SELECT call_id, amount FROM entries WHERE kind = 'charge')
        SELECT coalesce(calls.id, call_id), cost_nano, amount
        FROM calls FULL JOIN charges ON calls.id = call_id
        WHERE coalesce(cost_nano, 0) <> coalesce(amount, 0) OR calls.id IS NULL
    """,
    "a call's shortfall is not what its row says": """
        WITH shortfalls AS (SELECT call_id, amount FROM entries WHERE kind = 'shortfall')
        SELECT coalesce(calls.id, call_id), shortfall_nano, amount
        FROM calls FULL JOIN shortfalls ON calls.id = call_id
        WHERE coalesce(shortfall_nano, 0) <> coalesce(amount, 0) OR calls.id IS NULL
    """,
    "a call has more than one charge": """
        SELECT call_id, count(*) FROM entries WHERE kind = 'charge' GROUP BY call_id HAVING count(*) > 1
    """,
    "a call is open and over": "SELECT call_id FROM holds JOIN calls ON calls.id = call_id",
    "a key's spending is not the sum of its charges": """
        WITH sums (key_id, total) AS (SELECT key_id, sum(cost_nano) FROM calls GROUP BY key_id)
        SELECT coalesce(key_spend.key_id, sums.key_id), spent, total
        FROM key_spend FULL JOIN sums USING (key_id)
        WHERE coalesce(spent, 0) <> coalesce(total, 0)
    """,
    "a hold or call has a price that nobody kept": """
        SELECT price_id FROM (SELECT price_id FROM holds UNION ALL SELECT price_id FROM calls)
        WHERE price_id IS NOT NULL AND price_id NOT IN (SELECT id FROM prices)
    """,
}
_FULL_JOIN_SINCE = (3, 39)


def broken(path: Path) -> list[str]:
    """Each broken invariant of the books at `path` as one line; reads one moment of a file in use."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as books:
        books.execute("BEGIN")
        found = [f"{what}: {row}" for what, sql in _queries().items() for row in books.execute(sql)]
        return [*found, *_chain(books), *_integrity(books)]


def _queries() -> dict[str, str]:
    if sqlite3.sqlite_version_info >= _FULL_JOIN_SINCE:
        return _BROKEN
    # Seen from the left side alone, which misses a row that only the right side has.
    return {what: sql.replace("FULL JOIN", "LEFT JOIN") for what, sql in _BROKEN.items()}


def _chain(books: sqlite3.Connection) -> list[str]:
    previous, expected, found = b"", 1, []
    for seq, stored, *values in books.execute(
        f"SELECT seq, hash, {', '.join(COLUMNS)} FROM entries ORDER BY seq"
    ):
        if seq != expected:
            found.append(f"entries are missing before {seq}")
        if stored != link(previous, *values):
            found.append(f"entry {seq} is not the one its hash was made of")
        previous, expected = stored, seq + 1
    return found


def _integrity(books: sqlite3.Connection) -> list[str]:
    ((told,),) = books.execute("PRAGMA integrity_check(1)").fetchall()
    return [] if told == "ok" else [f"the file is damaged: {told}"]
