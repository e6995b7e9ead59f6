"""The ledger against a model of a few lines: any order of steps, with leaving, failing and killing."""

import asyncio
import itertools
import sqlite3
import tempfile
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec import Struct

from tests.fakes import FakeClock
from tests.gateway.books import Books, full_disk, opened, principal, remains
from tests.store.test_writer import until
from tests.torture.audit import broken
from tokligenced.clock import Tasks
from tokligenced.domain import Principal
from tokligenced.errors import Conflict, PaymentRequired, Unavailable
from tokligenced.gateway.ledger import Hold, Ledger
from tokligenced.store.database import Database
from tokligenced.store.verify import examine

EXAMPLES, STEPS = 80, 40
CAP = 700

KEYS = (
    principal(1),
    principal(1, cap=CAP, key=2),
    principal(2),
    principal(3, unlimited=True),
    principal(3, unlimited=True, cap=CAP, key=2),
)
PAYERS = (KEYS[0], KEYS[2])

amounts = st.integers(0, 400)
costs = st.integers(0, 600)
turns = st.integers(0, 6)


class Call(Struct, kw_only=True):
    """What the model knows of one call.

    `charges` are those of which one must be found after a kill; `sure` says that the call must be found,
    `over` that it is settled, `leaving` that it was before its hold was known to be in the file.
    """

    who: Principal
    hold: Hold
    amount: int
    charges: list[int]
    sure: bool = False
    over: bool = False
    leaving: bool = False
    charge: int = 0

    def most(self, cost: int) -> int:
        """What of a cost is the caller's to pay."""
        return cost if self.who.payer.unlimited else min(cost, self.amount)


class LedgerMachine(RuleBasedStateMachine):
    """Does to a ledger what calls, administrators and the machine do, and keeps count beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.resources = AsyncExitStack()
        self.files = itertools.count()
        self.credited: dict[tuple[str, str], int] = {}
        self.calls: dict[str, Call] = {}

    def run(self, work: Any) -> Any:
        """Run a coroutine to its end; meanwhile everything else goes on too."""
        return self.loop.run_until_complete(work)

    def new_path(self) -> Path:
        """Where nothing is yet."""
        return Path(self.folder.name) / f"{next(self.files)}.db"

    # What the model says.

    def balance(self, payer_id: str) -> int:
        credited = sum(amount for (payer, _), amount in self.credited.items() if payer == payer_id)
        return credited - sum(call.charge for call in self.calls.values() if call.who.payer.id == payer_id)

    def held(self, payer_id: str, *, leaving: bool) -> int:
        return sum(
            call.hold.amount
            for call in self.calls.values()
            if call.who.payer.id == payer_id and (not call.over or (leaving and call.leaving))
        )

    def spendable(self, who: Principal, *, leaving: bool) -> int | None:
        """What a key may hold; with those that are leaving or as if they had left."""
        bounds = []
        if not who.payer.unlimited:
            bounds.append(self.balance(who.payer.id) - self.held(who.payer.id, leaving=leaving))
        if who.key.spend_cap_nano is not None:
            own = [call for call in self.calls.values() if call.who.key.id == who.key.id]
            held = sum(call.amount for call in own if not call.over or (leaving and call.leaving))
            bounds.append(who.key.spend_cap_nano - sum(call.charge for call in own) - held)
        return max(0, min(bounds)) if bounds else None

    def open_calls(self) -> list[Call]:
        return [call for call in self.calls.values() if not call.over]

    def known(self) -> list[Call]:
        """Open calls whose hold is known to be in the file, or that need none: they may have been sent."""
        return [call for call in self.open_calls() if call.sure or call.hold.durable is None]

    # Steps.

    @initialize()
    def begin(self) -> None:
        self.books: Books = self.run(self.resources.enter_async_context(opened(self.new_path())))
        for who in PAYERS:
            self.credit(who, 500, "first")

    @rule(who=st.sampled_from(PAYERS), amount=st.integers(1, 500), reference=st.sampled_from("abcd"))
    def credit(self, who: Principal, amount: int, reference: str) -> None:
        key = (who.payer.id, reference)
        if self.credited.setdefault(key, amount) == amount:
            self.run(self.books.credit(who.payer, amount, reference))
        else:
            with pytest.raises(Conflict):
                self.run(self.books.credit(who.payer, amount, reference))

    @rule(who=st.sampled_from(PAYERS), amount=st.integers(1, 500), patience=turns)
    def credit_and_leave(self, who: Principal, amount: int, patience: int) -> None:
        """Whether it lands shows afterwards; memory and file must agree about it."""
        reference = f"left {next(self.files)}"

        async def leave() -> bool:
            others = asyncio.all_tasks()
            crediting = asyncio.create_task(self.books.credit(who.payer, amount, reference))
            await _turns(patience)
            crediting.cancel()
            await asyncio.wait(asyncio.all_tasks() - others)
            sql = "SELECT 1 FROM entries WHERE reference = ?"
            return bool(await self.books.database.read(sql, (reference,)))

        if self.run(leave()):
            self.credited[who.payer.id, reference] = amount

    @rule(who=st.sampled_from(KEYS), amount=amounts, patience=turns, wait=st.booleans())
    def hold(self, who: Principal, amount: int, patience: int, wait: bool) -> None:
        async def taken() -> Hold | None:
            spendable = self.books.ledger.spendable(who)
            least, most = (self.spendable(who, leaving=leaving) for leaving in (True, False))
            assert spendable == most if most is None or least is None else least <= (spendable or 0) <= most
            if spendable is not None and spendable < amount:
                with pytest.raises(PaymentRequired):
                    self.books.hold(who, amount)
                return None
            hold = self.books.hold(who, amount)
            await _turns(patience)
            return hold

        if hold := self.run(taken()):
            call = self.calls[hold.call_id] = Call(who=who, hold=hold, amount=amount, charges=[0])
            if wait:
                self.secure(call)

    def secure(self, call: Call) -> None:
        self.run(self.books.ledger.secured(call.hold))
        call.sure = call.hold.durable is not None

    @precondition(lambda self: self.open_calls())
    @rule(data=st.data())
    def secure_any(self, data: st.DataObject) -> None:
        self.secure(data.draw(st.sampled_from(self.open_calls())))

    @precondition(lambda self: self.known())
    @rule(data=st.data(), cost=costs)
    def progress(self, data: st.DataObject, cost: int) -> None:
        call = data.draw(st.sampled_from(self.known()))
        self.books.ledger.progress(call.hold, cost)
        call.charges.append(call.most(cost))

    @precondition(lambda self: self.known())
    @rule(data=st.data(), cost=costs)
    def settle(self, data: st.DataObject, cost: int) -> None:
        self._settle(data.draw(st.sampled_from(self.known())), cost)

    def _settle(self, call: Call, cost: int) -> None:
        booked = self.books.settle(call.hold, cost)
        call.over = True
        call.charge = call.most(cost)
        call.charges.append(call.charge)
        assert (booked.cost_nano, booked.shortfall_nano) == (call.charge, cost - call.charge)

    @precondition(lambda self: self.open_calls())
    @rule(data=st.data(), patience=turns)
    def leave(self, data: st.DataObject, patience: int) -> None:
        """The caller goes: what was sent is settled at no cost, what was not yet secured frees itself."""
        call = data.draw(st.sampled_from(self.open_calls()))

        async def go() -> None:
            call.leaving = not call.sure and call.hold.durable is not None
            self._settle(call, 0)
            await _turns(patience)

        self.run(go())

    @rule(count=turns)
    def let_time_pass(self, count: int) -> None:
        self.run(_turns(count))

    @rule()
    def flush(self) -> None:
        """Everything is in the file now, and there it is as the model says."""
        filed = self.run(self.books.filed_balances())
        for call in self.calls.values():
            call.leaving = False
            call.sure = True
            call.charges = [call.charge] if call.over else call.charges[-1:]
        for who in PAYERS:
            payer_id = who.payer.id
            assert filed[payer_id] == (self.balance(payer_id), self.held(payer_id, leaving=False))
        rows = self.run(self.books.filed("SELECT id, cost_nano FROM calls"))
        assert dict(rows) == {name: call.charge for name, call in self.calls.items() if call.over}
        with closing(sqlite3.connect(self.books.path)) as connection:
            assert examine(connection).broken == ()

    @rule(who=st.sampled_from(KEYS), amount=amounts, data=st.data())
    def disk_fails(self, who: Principal, amount: int, data: st.DataObject) -> None:
        """A hold is refused, what is settled meanwhile waits, and then the disk works again."""
        self.flush()
        running = data.draw(st.lists(st.sampled_from(self.known()), unique_by=id)) if self.known() else []

        async def fail() -> None:
            with full_disk(self.books.path):
                spendable = self.books.ledger.spendable(who)
                if spendable is None or amount <= spendable:
                    failing = self.books.hold(who, amount)
                    with suppress(Unavailable):  # an unlimited payer's is not waited for
                        await self.books.ledger.secured(failing)
                    self.books.settle(failing, 0)
                    self.calls[failing.call_id] = Call(
                        who=who, hold=failing, amount=amount, charges=[0], over=True, leaving=True
                    )
                for call in running:
                    self._settle(call, 7)
                await _turns(3)
            await self.books.database.flush()
            await until(lambda: self.books.database.accepting)

        self.run(fail())
        self.flush()

    @rule(twice=st.booleans(), patience=turns)
    def kill(self, twice: bool, patience: int) -> None:
        """The process dies with all its memory, perhaps again while it recovers; another one starts."""
        copy = remains(self.books.path, self.new_path())
        if twice:
            copy = self.run(_recovered_halfway(copy, self.new_path(), patience))
        made = self.books.calls
        self.run(self.resources.aclose())
        self.books = self.run(self.resources.enter_async_context(opened(copy, calls=made)))
        found = dict(self.run(self.books.filed("SELECT id, cost_nano FROM calls")))
        assert self.run(self.books.filed("SELECT count(*) FROM holds")) == [(0,)]
        for name, call in list(self.calls.items()):
            if name not in found:
                assert not call.sure, f"{name} is lost"
                del self.calls[name]
                continue
            assert found[name] in call.charges
            call.charge, call.charges = found[name], [found[name]]
            call.sure = call.over = True
            call.leaving = False
        assert found.keys() == self.calls.keys()

    @invariant()
    def memory_is_the_model(self) -> None:
        if not hasattr(self, "books"):
            return
        for who in PAYERS:
            balance, held = self.books.of(who)
            assert balance == self.balance(who.payer.id)
            least, most = (self.held(who.payer.id, leaving=leaving) for leaving in (False, True))
            assert least <= held <= most
            assert 0 <= held <= balance

    @invariant()
    def the_file_is_in_order_at_any_moment(self) -> None:
        if hasattr(self, "books"):
            assert broken(self.books.path) == []
            assert self.books.lost == []

    def teardown(self) -> None:
        self.run(self.resources.aclose())
        self.loop.close()
        self.folder.cleanup()


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _recovered_halfway(path: Path, rest: Path, patience: int) -> Path:
    """What a process leaves at `rest` that is killed while it recovers the books at `path`."""
    tasks = Tasks(lambda _name, _error: None)
    database = await Database.open(
        path, durability="normal", tasks=tasks, on_lost=lambda _writes, _error: None, ballast_bytes=65_536
    )
    opening = asyncio.create_task(
        Ledger.open(database, clock=FakeClock(), report=lambda _outcome, _who: None)
    )
    await _turns(3 * patience)
    remains(path, rest)
    await opening
    await database.close()
    await tasks.close()
    return rest


def test_the_ledger_is_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happens in whatever order, memory, file and model agree, and no invariant ever breaks."""
    monkeypatch.setattr("tokligenced.store.writer._FIRST_DELAY", 0.001)
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            # No shrinking: the writer's thread makes each run a little different, so that it takes minutes
            # and finds little that the steps printed don't show.
            phases=(Phase.reuse, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )
