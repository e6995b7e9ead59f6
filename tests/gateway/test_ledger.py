"""The ledger on a real file: what is in memory is what is in the file, whatever goes wrong in between."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.gateway.books import PRICE, Books, full_disk, opened, outcome, principal, remains
from tests.store.test_writer import foreign_lock, until
from tests.torture.audit import broken
from tokligenced.domain import Price, Rates
from tokligenced.errors import CallError, Conflict, InvalidInput, PaymentRequired, Unavailable
from tokligenced.store import buckets, statements
from tokligenced.store import ledger as rows
from tokligenced.store.database import Write

ANN = principal(1)
REVENUE, SHORTFALL, HOUSE, FUNDING = rows.REVENUE, rows.SHORTFALL, rows.HOUSE, rows.FUNDING
GREATEST = 2**63 - 1


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    """A ledger in which Ann has 1,000; it must be in order when the test ends."""
    async with opened(tmp_path / "t.db") as books:
        await books.credit(ANN.payer, 1_000, "first")
        yield books
        await books.database.flush()
        assert broken(books.path) == []
        assert books.lost == []


async def entries(books: Books) -> list[tuple[str, str, str, int, str | None]]:
    """(kind, source, target, amount, call) of each entry but the first credit."""
    found = await books.filed("SELECT kind, source, target, amount, call_id FROM entries ORDER BY seq")
    return found[1:]


def refusal(hold: Callable[[], object]) -> CallError:
    """The refusal that a hold meets."""
    with pytest.raises(CallError) as refused:
        hold()
    return refused.value


# Hold and settle.


async def test_a_hold_is_taken_at_once_and_durable_once_secured(books: Books, tmp_path: Path) -> None:
    """What is held is no more available the moment it is held, and a killed process has it once secured."""
    hold = books.hold(ANN, 400)
    assert books.of(ANN) == (1_000, 400)
    assert books.ledger.spendable(ANN) == 600
    await books.ledger.secured(hold)
    async with opened(remains(books.path, tmp_path / "after.db")) as after:
        assert after.ledger.recovery == rows.Recovery(voided=1)
        assert after.of(ANN) == (1_000, 0)
    books.settle(hold, 0)


async def test_settling_charges_the_cost_and_releases_the_rest(books: Books) -> None:
    """A call pays what it cost, once; its row tells cost, hold and price."""
    hold = await books.secured(ANN, 400)
    booked = books.settle(hold, 150)
    assert (booked.cost_nano, booked.shortfall_nano, booked.held_nano) == (150, 0, 400)
    assert books.of(ANN) == (850, 0)
    assert await entries(books) == [("charge", ANN.payer.id, REVENUE, 150, "req_1")]
    assert (await books.filed_balances())[ANN.payer.id] == (850, 0)
    row = await books.filed("SELECT cost_nano, shortfall_nano, held_nano, price_id FROM calls")
    assert row == [(150, 0, 400, hold.price_id)]
    assert books.reports == [booked]
    assert await books.filed("SELECT count(*) FROM holds") == [(0,)]


@pytest.mark.parametrize("held", [True, False])
async def test_what_belongs_to_a_charge_lands_with_it(
    books: Books, monkeypatch: pytest.MonkeyPatch, held: bool
) -> None:
    """What is given along is one operation with the charge, or with the row of a call that was free."""
    operations: list[set[str]] = []
    enqueue = books.database.enqueue

    def watched(*writes: Write) -> None:
        operations.append({statement.sql.split("(")[0].strip() for statement, _ in writes})
        enqueue(*writes)

    hold = await books.secured(ANN, 400) if held else None
    monkeypatch.setattr(books.database, "enqueue", watched)
    books.ledger.settle(
        hold, outcome("req_1", ANN, 150 if held else 0), ANN, [(buckets.BUCKETS, ("x", 1.0, 1.0, 0))]
    )
    (landing,) = operations
    assert {"INSERT INTO calls", buckets.BUCKETS.sql.split("(")[0].strip()} <= landing
    assert ("INSERT INTO entries" in landing) == held
    assert await books.filed("SELECT owner FROM buckets") == [("x",)]


async def test_what_costs_nothing_leaves_no_entry(books: Books) -> None:
    """A call that failed before any output gets its whole hold back and is only a row."""
    books.settle(await books.secured(ANN, 400), 0)
    assert books.of(ANN) == (1_000, 0)
    assert await entries(books) == []
    assert await books.filed("SELECT cost_nano, held_nano FROM calls") == [(0, 400)]


async def test_beyond_the_hold_the_operator_pays(books: Books) -> None:
    """Never more than the hold is charged; the rest is the operator's shortfall, and revenue all the same."""
    booked = books.settle(await books.secured(ANN, 400), 1_500)
    assert (booked.cost_nano, booked.shortfall_nano) == (400, 1_100)
    assert await entries(books) == [
        ("charge", ANN.payer.id, REVENUE, 400, "req_1"),
        ("shortfall", SHORTFALL, REVENUE, 1_100, "req_1"),
    ]
    balances = await books.filed_balances()
    assert balances[ANN.payer.id] == (600, 0)
    assert (balances[REVENUE], balances[SHORTFALL]) == ((1_500, 0), (-1_100, 0))


async def test_the_whole_balance_can_be_held_and_not_one_nano_more(books: Books) -> None:
    """Available is balance less held: the last nano-USD can be held, the next is refused."""
    books.settle(await books.secured(ANN, 1_000), 0)
    assert refusal(lambda: books.hold(ANN, 1_001)).code == "insufficient_balance"
    first = books.hold(ANN, 999)
    assert refusal(lambda: books.hold(ANN, 2)).code == "insufficient_balance"
    last = books.hold(ANN, 1)
    assert books.ledger.spendable(ANN) == 0
    for hold in (first, last):
        await books.ledger.secured(hold)
        books.settle(hold, 0)


async def test_a_refusal_names_what_is_missing(books: Books) -> None:
    """402 says what the call may cost, what there is, and the difference, in exact USD."""
    error = refusal(lambda: books.hold(ANN, 1_000_000_001))
    assert (error.status, error.type, error.code) == (402, "insufficient_quota", "insufficient_balance")
    assert isinstance(error, PaymentRequired)
    for amount in ("up to 1.000000001 USD", "balance is 0.000001 USD", "so 0.999999001 USD are missing"):
        assert amount in error.message
    assert books.of(ANN) == (1_000, 0)
    assert await books.filed("SELECT count(*) FROM holds") == [(0,)]


async def test_nobody_else_s_money_is_touched(books: Books) -> None:
    """Each payer has a balance of its own, and one without any can only make calls that cost nothing."""
    bob = principal(2)
    assert refusal(lambda: books.hold(bob, 1)).code == "insufficient_balance"
    free = await books.secured(bob, 0)
    books.settle(free, 0)
    await books.credit(bob.payer, 50, "first")
    books.settle(await books.secured(bob, 50), 20)
    assert (books.of(ANN), books.of(bob)) == ((1_000, 0), (30, 0))
    assert (await books.filed_balances())[bob.payer.id] == (30, 0)


async def test_a_call_without_a_hold_leaves_only_its_row(books: Books) -> None:
    """Free and refused calls are booked and move nothing."""
    books.settle(None, 0, ANN)
    assert await entries(books) == []
    assert await books.filed("SELECT cost_nano, price_id FROM calls") == [(0, None)]


async def test_settling_twice_charges_once(books: Books) -> None:
    """A hold is given back once: what settles it a second time neither charges nor frees anything."""
    others = await books.secured(ANN, 300)
    hold = await books.secured(ANN, 400)
    books.settle(hold, 150)
    with suppress(AssertionError, RuntimeError):  # to refuse it aloud is as good
        books.settle(hold, 150)
    await books.database.flush()
    books.lost.clear()  # nor does it matter whether the file or the ledger refuses
    assert books.of(ANN) == (850, 300)
    assert (await books.filed_balances())[ANN.payer.id] == (850, 300)
    books.settle(others, 0)


# Unlimited payers and spend caps.


async def test_an_unlimited_payer_is_recorded_and_not_held(books: Books) -> None:
    """The house pays for whom nothing is held, whatever it costs; balances of payers stay as they are."""
    who = principal(3, unlimited=True)
    assert books.ledger.spendable(who) is None
    hold = books.hold(who, 10**15)
    await books.ledger.secured(hold)
    assert await books.filed("SELECT amount, unlimited FROM holds") == [(0, 1)]
    booked = books.settle(hold, 2_000)
    assert (booked.cost_nano, booked.shortfall_nano, booked.held_nano) == (2_000, 0, 0)
    assert await entries(books) == [("charge", HOUSE, REVENUE, 2_000, "req_1")]
    assert (await books.filed_balances())[HOUSE] == (-2_000, 0)


async def test_a_spend_cap_bounds_what_a_key_spends_and_holds(books: Books) -> None:
    """Spent and held together stay within the key's cap, while another key of the payer goes on."""
    capped, free = principal(1, cap=500, key=2), principal(1, key=3)
    books.settle(await books.secured(capped, 300), 100)
    running = await books.secured(capped, 250)
    assert books.ledger.spendable(capped) == 150
    error = refusal(lambda: books.hold(capped, 151))
    assert (error.status, error.code) == (402, "key_spend_cap_reached")
    assert "spend cap is 0.00000015 USD, so 0.000000001 USD are missing" in error.message
    books.settle(running, 0)
    books.settle(await books.secured(capped, 400), 400)
    assert books.ledger.spendable(capped) == 0
    assert refusal(lambda: books.hold(capped, 1)).code == "key_spend_cap_reached"
    books.settle(await books.secured(free, 400), 0)


async def test_a_spend_cap_outlives_the_process(books: Books, tmp_path: Path) -> None:
    """What a key has spent is known after a restart, and what a dead process held of it is free again."""
    capped = principal(1, cap=500, key=2)
    books.settle(await books.secured(capped, 300), 300)
    running = await books.secured(capped, 200)
    await books.database.flush()
    async with opened(remains(books.path, tmp_path / "after.db"), calls=10) as after:
        assert after.ledger.spendable(capped) == 200
    books.settle(running, 0)


async def test_a_spend_cap_bounds_an_unlimited_payer_s_key_too(books: Books) -> None:
    """Calls that run at the same time can't pass a cap together, though nothing is held for them."""
    who = principal(3, unlimited=True, cap=500)
    first = books.hold(who, 300)
    assert refusal(lambda: books.hold(who, 300)).code == "key_spend_cap_reached"
    books.settle(first, 200)
    assert books.ledger.spendable(who) == 300
    books.settle(books.hold(who, 300), 300)
    assert books.ledger.spendable(who) == 0


# The caller leaves, the disk refuses.


async def leave_while_it_is_written(books: Books, amount: int) -> None:
    """Hold, and settle as the relay does when its client leaves before the hold is durable."""
    hold = books.hold(ANN, amount)
    waiting = asyncio.create_task(books.ledger.secured(hold))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert hold.durable is not None
    assert not hold.durable.done()
    booked = books.settle(hold, 0)
    assert booked.cost_nano == 0
    assert books.of(ANN) == (1_000, amount)
    await asyncio.wait([hold.durable])
    await asyncio.sleep(0)
    assert books.of(ANN) == (1_000, 0)


async def test_a_caller_who_leaves_before_the_hold_lands_frees_it(books: Books) -> None:
    """Nothing was sent, so nothing is charged, and what landed after all is released."""
    await leave_while_it_is_written(books, 400)
    assert await books.filed("SELECT count(*) FROM holds") == [(0,)]
    assert (await books.filed_balances())[ANN.payer.id] == (1_000, 0)
    assert await books.filed("SELECT cost_nano FROM calls") == [(0,)]


async def test_a_caller_who_leaves_a_hold_that_fails_frees_it(books: Books) -> None:
    """Where the hold never lands only memory has to give it back."""
    with foreign_lock(books.path):
        await leave_while_it_is_written(books, 400)
    await until(lambda: books.database.accepting)
    assert await books.filed("SELECT count(*) FROM holds") == [(0,)]
    assert (await books.filed_balances())[ANN.payer.id] == (1_000, 0)


async def test_a_kill_after_any_commit_of_a_call_that_was_left(
    books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each commit of a call whose caller left, the file is one that the next process can start with."""
    copies: list[Path] = []

    def write_group(connection: object, operations: object) -> None:
        written(connection, operations)
        copies.append(remains(books.path, tmp_path / f"after{len(copies)}.db"))

    written = statements.write_group  # the moment between two commits can't be met from outside
    monkeypatch.setattr(statements, "write_group", write_group)
    await leave_while_it_is_written(books, 400)
    await books.database.flush()
    assert len(copies) >= 2
    for copy in copies:
        async with opened(copy) as after:
            assert after.of(ANN) == (1_000, 0)
        assert broken(copy) == []


async def test_a_failing_disk_refuses_holds_and_keeps_memory_true(books: Books) -> None:
    """A hold that can't be written is 503 and gives back what it took; settles land when the disk works."""
    running = await books.secured(ANN, 300)
    with full_disk(books.path):
        failing = books.hold(ANN, 400)
        with pytest.raises(Unavailable) as refused:
            await books.ledger.secured(failing)
        assert (refused.value.status, refused.value.code) == (503, "ledger_unavailable")
        books.settle(failing, 0)
        await asyncio.sleep(0)
        assert books.of(ANN) == (1_000, 300)
        assert refusal(lambda: books.hold(ANN, 1)).code == "ledger_unavailable"
        assert books.of(ANN) == (1_000, 300)
        books.settle(running, 250)
        assert books.of(ANN) == (750, 0)
    await books.database.flush()
    await until(lambda: books.database.accepting)
    assert (await books.filed_balances())[ANN.payer.id] == (750, 0)
    books.settle(await books.secured(ANN, 750), 750)
    assert await books.filed("SELECT cost_nano FROM calls ORDER BY id") == [(250,), (0,), (750,)]


async def test_a_locked_file_refuses_holds_and_recovers(books: Books) -> None:
    """While another program writes holds are 503; when it has gone nothing is left of that."""
    with foreign_lock(books.path):
        failing = books.hold(ANN, 400)
        with pytest.raises(Unavailable):
            await books.ledger.secured(failing)
        books.settle(failing, 0)
        assert refusal(lambda: books.hold(ANN, 1)).retry_after is not None
    await until(lambda: books.database.accepting)
    assert books.of(ANN) == (1_000, 0)
    books.settle(await books.secured(ANN, 1_000), 10)


# Credits and entries.


async def test_a_reference_credits_once(books: Books) -> None:
    """The same reference again changes nothing; with another amount it is refused, naming both."""
    await books.credit(ANN.payer, 1_000, "first")
    assert books.of(ANN) == (1_000, 0)
    with pytest.raises(Conflict, match=r"'first' already credited 0.000001 USD, not 0.000001001"):
        await books.credit(ANN.payer, 1_001, "first")
    await books.credit(principal(2).payer, 7, "first")
    assert await entries(books) == [("credit", FUNDING, "acct_2", 7, None)]


async def test_many_at_once_credit_once(books: Books) -> None:
    """A hundred credits of one reference at the same time are one."""
    await asyncio.gather(*[books.credit(ANN.payer, 5, "again") for _ in range(100)])
    assert books.of(ANN) == (1_005, 0)
    assert (await books.filed_balances())[ANN.payer.id] == (1_005, 0)


@pytest.mark.parametrize("amount", [0, -1, GREATEST + 1, 2**64])
async def test_impossible_amounts_are_refused(books: Books, amount: int) -> None:
    """Nothing, less than nothing and more than an integer holds is no credit."""
    with pytest.raises(InvalidInput, match="amount"):
        await books.credit(ANN.payer, amount, "x")
    assert books.of(ANN) == (1_000, 0)


async def test_a_balance_can_t_pass_what_an_integer_holds(books: Books) -> None:
    """The sum of credits is bounded too, and a refused one leaves its reference free."""
    with pytest.raises(InvalidInput, match="balance"):
        await books.credit(ANN.payer, GREATEST, "x")
    await books.credit(ANN.payer, 1, "x")
    assert books.of(ANN) == (1_001, 0)


@pytest.mark.parametrize("reference", ["", "   ", "a\nb", "x" * 201, "\x00"])
async def test_impossible_references_are_refused(books: Books, reference: str) -> None:
    """A reference is something a person can read and type again."""
    with pytest.raises(InvalidInput, match="reference"):
        await books.credit(ANN.payer, 1, reference)


async def test_a_cancelled_credit_is_whole_or_not_at_all(books: Books) -> None:
    """Who leaves while a credit is written leaves memory and file of one mind."""
    for number in range(12):
        crediting = asyncio.create_task(books.credit(ANN.payer, 1, f"left {number}"))
        for _ in range(number):
            await asyncio.sleep(0)
        crediting.cancel()
        await asyncio.wait([crediting])
    await books.credit(ANN.payer, 1, "last")
    assert books.of(ANN) == (await books.filed_balances())[ANN.payer.id]


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE entries SET amount = 1",
        "UPDATE entries SET note = 'x' WHERE seq = 1",
        "DELETE FROM entries",
        "INSERT OR REPLACE INTO entries SELECT * FROM entries",
        "UPDATE balances SET held = balance + 1 WHERE owner = 'acct_1'",
        "UPDATE balances SET balance = -1 WHERE owner = 'acct_1'",
    ],
)
async def test_no_sql_changes_an_entry(books: Books, sql: str) -> None:
    """Entries are append-only for whoever writes to the file, and no payer goes below zero."""
    await books.database.flush()
    with closing(sqlite3.connect(books.path)) as stranger:
        with pytest.raises(sqlite3.IntegrityError):
            stranger.execute(sql)
        stranger.rollback()


# Recovery.


async def test_recovery_charges_what_was_delivered(books: Books, tmp_path: Path) -> None:
    """Holds of a dead process: without progress voided, with it charged, never above the hold."""
    unlimited = principal(3, unlimited=True)
    silent = await books.secured(ANN, 100)
    some = await books.secured(ANN, 200)
    too_much = await books.secured(ANN, 300)
    house = books.hold(unlimited, 100)
    house_silent = books.hold(unlimited, 100)
    for hold, progress in ((some, 5), (some, 50), (too_much, 5_000), (house, 70)):
        books.ledger.progress(hold, progress)
    await books.database.flush()
    async with opened(remains(books.path, tmp_path / "after.db")) as after:
        assert after.ledger.recovery == rows.Recovery(voided=2, charged=3)
        assert after.of(ANN) == (1_000 - 50 - 300, 0)
        assert await entries(after) == [
            ("charge", ANN.payer.id, REVENUE, 50, "req_2"),
            ("charge", ANN.payer.id, REVENUE, 300, "req_3"),
            ("charge", HOUSE, REVENUE, 70, "req_4"),
        ]
        found = await after.filed("SELECT status, error, cost_nano, held_nano FROM calls ORDER BY id")
        assert [(cost, held) for *_, cost, held in found] == [
            (0, 100),
            (50, 200),
            (300, 300),
            (70, 0),
            (0, 0),
        ]
        assert {(status, error) for status, error, *_ in found} == {(503, "interrupted")}
        assert after.ledger.spendable(principal(1, cap=500)) == 150
    assert broken(after.path) == []
    for hold in (silent, some, too_much, house, house_silent):
        books.settle(hold, 0)


async def test_recovery_ends_the_same_when_it_is_repeated(books: Books, tmp_path: Path) -> None:
    """A recovery that was itself interrupted starts over; one that was finished does nothing more."""
    hold = await books.secured(ANN, 200)
    books.ledger.progress(hold, 50)
    await books.database.flush()
    copy = remains(books.path, tmp_path / "after.db")
    books.settle(hold, 50)
    async with opened(copy, calls=10) as after:
        again = remains(after.path, tmp_path / "again.db")
        running = await after.secured(ANN, 10)
        after.settle(running, 10)
    for path, balance in ((copy, 940), (copy, 940), (again, 950)):
        async with opened(path) as later:
            assert later.ledger.recovery == rows.Recovery()
            assert later.of(ANN) == (balance, 0)
        assert broken(path) == []


async def test_a_recovery_that_dies_changes_nothing(books: Books, tmp_path: Path) -> None:
    """Recovery is one transaction: cut off before its end it has not been, and the next one does it all."""
    hold = await books.secured(ANN, 200)
    books.ledger.progress(hold, 50)
    await books.database.flush()
    copy = remains(books.path, tmp_path / "after.db")

    class Cut(Exception):
        pass

    async def die(tx: object) -> None:
        await rows.recover(tx, 1)  # type: ignore[arg-type]
        raise Cut

    with pytest.raises(Cut):
        await books.database.transact(die)
    assert await books.filed("SELECT count(*) FROM holds") == [(1,)]
    assert len(await entries(books)) == 0
    async with opened(copy) as after:
        assert after.ledger.recovery == rows.Recovery(charged=1)
    books.settle(hold, 50)


async def test_a_settle_of_before_the_kill_is_not_repeated(books: Books, tmp_path: Path) -> None:
    """What was settled durably is over for the next process."""
    hold = await books.secured(ANN, 200)
    books.ledger.progress(hold, 50)
    books.settle(hold, 80)
    await books.database.flush()
    async with opened(remains(books.path, tmp_path / "after.db")) as after:
        assert after.ledger.recovery == rows.Recovery()
        assert after.of(ANN) == (920, 0)


# Prices.


async def test_each_call_keeps_the_price_it_was_held_with(books: Books) -> None:
    """A price is kept once under its own hash, and every call says which was its own."""
    dearer = Price(rates=Rates(input=1_001, output=2_000), tiers=((5, Rates(input=9)),), effective_at=7)
    for price in (PRICE, dearer, PRICE):
        books.settle(await books.secured(ANN, 10, price=price), 1)
    ids = [price_id for (price_id,) in await books.filed("SELECT price_id FROM calls ORDER BY id")]
    assert ids[0] == ids[2] != ids[1]
    assert await rows.price_of(books.database, ids[0]) == PRICE
    assert await rows.price_of(books.database, ids[1]) == dearer
    assert await books.filed("SELECT count(*) FROM prices") == [(2,)]


async def test_the_price_of_a_hold_that_failed_is_kept_all_the_same(books: Books) -> None:
    """The first call of a price may fail to be held; the next one finds its price in the file."""
    with foreign_lock(books.path):
        failing = books.hold(ANN, 10)
        with pytest.raises(Unavailable):
            await books.ledger.secured(failing)
        books.settle(failing, 0)
    await until(lambda: books.database.accepting)
    hold = await books.secured(ANN, 10)
    books.settle(hold, 1)
    assert await books.filed("SELECT id FROM prices") == [(hold.price_id,)]
