"""The proof of the books: right ones pass, and every way of being wrong is named."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.gateway.books import Books, opened, principal
from tokligenced.store import verify
from tokligenced.store.chain import COLUMNS, link
from tokligenced.store.ledger import Head
from tokligenced.store.verify import Claim, Verdict

ANN, BOB, EVE = principal(1), principal(2), principal(3, unlimited=True)

Tamper = Callable[[sqlite3.Connection], object]


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    """Credits, charges, a shortfall, a call of the house's, one that was free, and an open hold.

    Entries: 1 and 2 credit Ann and Bob, 3 charges req_1 to Ann, 4 is its shortfall, 5 charges req_2 to
    Bob, 6 charges req_3 to the house. req_4 cost nothing; req_5 of Ann's is on its way.
    """
    async with opened(tmp_path / "books.db") as books:
        await books.credit(ANN.payer, 1_000, "first")
        await books.credit(BOB.payer, 1_000, "first")
        for who, held, cost in ((ANN, 100, 150), (BOB, 100, 50), (EVE, 100, 70), (BOB, 100, 0)):
            books.settle(await books.secured(who, held), cost)
            await books.database.flush()
        running = await books.secured(ANN, 300)
        yield books
        books.settle(running, 0)


def examined(path: Path, *claims: Claim) -> Verdict:
    """The verdict on the file at `path`."""
    with closing(sqlite3.connect(path)) as connection:
        return verify.examine(connection, claims)


def copied(books: Books) -> Path:
    """A copy of the file as it is."""
    path = books.path.with_name("copy.db")
    with closing(sqlite3.connect(books.path)) as source, closing(sqlite3.connect(path)) as copy:
        source.backup(copy)
    return path


def tampered(books: Books, tamper: Tamper) -> Path:
    """A copy in which somebody has changed something behind the ledger's back."""
    path = copied(books)
    with closing(sqlite3.connect(path)) as connection:
        for (trigger,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
        ).fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute("PRAGMA ignore_check_constraints = ON")
        tamper(connection)
        connection.commit()
    return path


def sql(*statements: str) -> Tamper:
    """Somebody who runs these."""

    def run(connection: sqlite3.Connection) -> None:
        for statement in statements:
            connection.execute(statement)

    return run


def with_new_hashes(*statements: str) -> Tamper:
    """Somebody who runs these and knows how to make the chain fit again."""

    def run(connection: sqlite3.Connection) -> None:
        sql(*statements)(connection)
        previous = b""
        for seq, *values in connection.execute(
            f"SELECT seq, {', '.join(COLUMNS)} FROM entries ORDER BY seq"
        ).fetchall():
            previous = link(previous, *values)
            connection.execute("UPDATE entries SET hash = ? WHERE seq = ?", (previous, seq))

    return run


ANOTHER_CHARGE = (
    "INSERT INTO entries (at, kind, source, target, amount, call_id, hash)"
    " VALUES (1, 'charge', 'acct_1', 'operator:revenue', 100, '{call}', zeroblob(32))"
)
ANOTHER_HOLD = (
    "INSERT INTO holds SELECT '{call}', payer_id, key_id, 0, 0, NULL, 1, 'chat', 'm', 0, price_id, 1000000"
    " FROM holds"
)
NO_INDEX = "DROP INDEX entries_once_a_call"


def test_books_that_are_right_pass(books: Books) -> None:
    """What the ledger wrote is right, and the verdict says how much was looked at and what the head is."""
    verdict = examined(books.path)
    assert verdict.broken == ()
    assert (verdict.entries, verdict.payers, verdict.open_holds) == (6, 2, 1)
    assert (verdict.head.seq, len(verdict.head.hash)) == (6, 64)


async def test_empty_books_are_right(tmp_path: Path) -> None:
    """Where nothing has happened yet there is nothing wrong."""
    async with opened(tmp_path / "empty.db") as empty:
        assert examined(empty.path) == Verdict(broken=(), entries=0, payers=0, open_holds=0, head=Head(0, ""))


@pytest.mark.parametrize(
    ("tamper", "invariants"),
    [
        (sql("UPDATE entries SET note = 'x' WHERE seq = 1"), ["chain"]),
        (sql("UPDATE entries SET at = at + 1 WHERE seq = 6"), ["chain"]),
        (sql("UPDATE entries SET hash = zeroblob(32) WHERE seq = 6"), ["chain"]),
        (sql("UPDATE entries SET hash = zeroblob(32) WHERE seq = 3"), ["chain", "chain"]),
        (sql("UPDATE entries SET seq = 9 WHERE seq = 6"), ["chain"]),
        (sql("DELETE FROM entries WHERE seq = 1"), ["chain", "chain", "balance", "balance"]),
        (sql("DELETE FROM entries WHERE seq = 6"), ["chain", "charge", "balance", "balance", "key_spend"]),
        (sql("UPDATE entries SET amount = 2000 WHERE seq = 1"), ["chain", "balance", "balance"]),
        (with_new_hashes("UPDATE entries SET amount = 2000 WHERE seq = 1"), ["balance", "balance"]),
        (
            with_new_hashes("UPDATE entries SET source = 'acct_2' WHERE seq = 1"),
            ["credit", "balance", "balance"],
        ),
        (
            with_new_hashes("UPDATE entries SET source = 'acct_2' WHERE seq = 3"),
            ["charge", "balance", "balance"],
        ),
        (
            with_new_hashes("UPDATE entries SET source = 'acct_1' WHERE seq = 4"),
            ["shortfall", "balance", "balance"],
        ),
        (
            with_new_hashes("UPDATE entries SET amount = 40 WHERE seq = 5"),
            ["charge", "balance", "balance", "key_spend"],
        ),
        (
            with_new_hashes("UPDATE entries SET amount = 51 WHERE seq = 4"),
            ["shortfall", "balance", "balance"],
        ),
        (
            with_new_hashes(NO_INDEX, ANOTHER_CHARGE.format(call="req_1")),
            ["charge", "balance", "balance", "key_spend"],
        ),
        (with_new_hashes(ANOTHER_CHARGE.format(call="req_0")), ["charge", "balance", "balance"]),
        (sql("UPDATE balances SET balance = balance + 1 WHERE owner = 'acct_1'"), ["balance", "sum"]),
        (sql("UPDATE balances SET balance = balance - 1 WHERE owner = 'operator:house'"), ["balance", "sum"]),
        (sql("DELETE FROM balances WHERE owner = 'operator:shortfall'"), ["balance", "sum"]),
        (sql("INSERT INTO balances VALUES ('acct_7', 1, 0)"), ["balance", "sum"]),
        (
            sql(
                "UPDATE balances SET balance = balance + 1 WHERE owner = 'acct_1'",
                "UPDATE balances SET balance = balance - 1 WHERE owner = 'acct_2'",
            ),
            ["balance", "balance"],
        ),
        (sql("UPDATE balances SET held = held + 1 WHERE owner = 'acct_1'"), ["held"]),
        (sql("UPDATE balances SET held = 1 WHERE owner = 'operator:house'"), ["held"]),
        (sql("UPDATE balances SET held = 901 WHERE owner = 'acct_1'"), ["file", "held", "available"]),
        (sql("UPDATE balances SET held = -1 WHERE owner = 'acct_2'"), ["file", "held", "available"]),
        (sql("UPDATE holds SET amount = 299"), ["held"]),
        (sql("DELETE FROM holds"), ["held"]),
        (sql("UPDATE holds SET unlimited = 1"), ["held"]),
        (sql(ANOTHER_HOLD.format(call="req_2")), ["hold"]),
        (sql("UPDATE calls SET cost_nano = 99 WHERE id = 'req_1'"), ["charge"]),
        (sql("UPDATE calls SET cost_nano = 1 WHERE id = 'req_4'"), ["charge"]),
        (sql("UPDATE calls SET cost_nano = 0 WHERE id = 'req_2'"), ["charge"]),
        (sql("DELETE FROM calls WHERE id = 'req_2'"), ["charge", "key_spend"]),
        (sql("UPDATE calls SET shortfall_nano = 49 WHERE id = 'req_1'"), ["shortfall"]),
        (sql("UPDATE calls SET shortfall_nano = 1 WHERE id = 'req_4'"), ["shortfall"]),
        (sql("UPDATE calls SET price_id = 'p' WHERE id = 'req_1'"), ["price"]),
        (sql("UPDATE holds SET price_id = 'p'"), ["price"]),
        (sql("UPDATE key_spend SET spent = spent + 1 WHERE key_id = 'key_1_1'"), ["key_spend"]),
        (sql("DELETE FROM key_spend WHERE key_id = 'key_1_1'"), ["key_spend"]),
        (sql("INSERT INTO key_spend VALUES ('key_7', 1)"), ["key_spend"]),
    ],
)
def test_whatever_is_wrong_is_named(books: Books, tamper: Tamper, invariants: list[str]) -> None:
    """Each invariant that somebody breaks, by whatever means, is a line of its own, and only those."""
    broken = examined(tampered(books, tamper)).broken
    assert sorted(line.split(":")[0] for line in broken) == sorted(invariants), broken


def test_what_is_wrong_is_told_exactly(books: Books) -> None:
    """A line says which entry, call or payer it is about, what was found and what should be there."""
    changes = sql(
        "UPDATE balances SET balance = 8000000000 WHERE owner = 'acct_1'",
        "UPDATE calls SET cost_nano = 99 WHERE id = 'req_1'",
    )
    assert examined(tampered(books, changes)).broken == (
        "charge: entry 3 for call req_1 is 0.0000001 USD, the call says 0.000000099",
        "balance: acct_1 has 8 USD, its entries make 0.0000009",
        "sum: all balances together make 7.9999991 USD, not 0",
    )


def test_many_of_a_kind_are_counted(books: Books) -> None:
    """Of what is wrong a thousand times, twenty cases are shown, and how many more there are."""

    def tamper(connection: sqlite3.Connection) -> None:
        connection.executemany("INSERT INTO key_spend VALUES (?, 1)", [(f"key_{n}",) for n in range(1_020)])

    broken = examined(tampered(books, tamper)).broken
    assert len(broken) == 21
    assert broken[-1] == "key_spend: and 1,000 more"


def test_an_old_file_is_noticed(books: Books) -> None:
    """An entry that was seen once must be there, under its number and with its hash."""
    head = examined(books.path).head
    seen = Claim(seq=head.seq, hash=head.hash, source="a witness")
    assert examined(books.path, seen).broken == ()
    assert examined(books.path, Claim(seq=6, hash=head.hash[:8], source="a log")).broken == ()
    assert examined(books.path, Claim(seq=0, hash="", source="a witness")).broken == ()
    later = Claim(seq=7, hash=head.hash, source="a witness")
    assert examined(books.path, later).broken == (
        "the file went back in time: entry 7, seen by a witness, is not there",
    )
    rewritten = tampered(books, with_new_hashes("UPDATE entries SET note = 'x' WHERE seq = 2"))
    assert examined(rewritten).broken == ()
    assert examined(rewritten, seen).broken == (
        "the file went back in time: entry 6, seen by a witness, is another one now",
    )


def test_sums_beyond_what_sqlite_can_add(books: Books) -> None:
    """Amounts near the greatest that there is are added up all the same."""
    greatest = 2**63 - 1
    insert = (
        "INSERT INTO entries (at, kind, source, target, amount, reference, hash)"
        f" VALUES (1, 'credit', 'operator:funding', '{{owner}}', {greatest}, 'r', zeroblob(32))"
    )
    balance = f"INSERT INTO balances VALUES ('{{owner}}', {greatest}, 0)"
    owners = ("acct_7", "acct_8", "acct_9")
    changes = [text.format(owner=owner) for owner in owners for text in (insert, balance)]
    broken = examined(tampered(books, with_new_hashes(*changes))).broken
    assert [line.split(":")[0] for line in broken] == ["balance", "sum"]
    assert "operator:funding" in broken[0]


def test_a_damaged_file_is_named(books: Books) -> None:
    """Where pages are overwritten there is a line on the file, and no error."""
    path = copied(books)
    with closing(sqlite3.connect(path)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'entries'").fetchone()
    with path.open("r+b") as file:
        file.seek(size * (root - 1))
        file.write(b"\xff" * size)
    broken = examined(path).broken
    assert broken
    assert all(line.startswith("file: ") for line in broken)


@pytest.mark.parametrize("statement", ["UPDATE entries SET note = 'x'", "DELETE FROM entries"])
def test_entries_are_for_good(books: Books, statement: str) -> None:
    """No SQL changes or removes an entry, whoever runs it."""
    copy = copied(books)
    with closing(sqlite3.connect(copy)) as connection:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
        connection.rollback()
    assert examined(copy).broken == ()
