"""Idempotency keys against a model of a few lines: any order of calls, ends, days and kills."""

import asyncio
import itertools
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
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
from tests.gateway.books import Books, full_disk, opened, outcome, principal, remains
from tests.store.test_writer import until
from tests.torture.audit import broken
from tokligenced.dialects import chat
from tokligenced.domain import Call, Principal
from tokligenced.errors import CallError, InvalidRequest, Unavailable
from tokligenced.gateway import idempotency
from tokligenced.gateway.idempotency import Claim, Idempotency
from tokligenced.gateway.kept import Kept
from tokligenced.gateway.ledger import Hold
from tokligenced.store import idempotency as rows

ANN, BOB = principal(1), principal(2)
COST = 7
DAY = 24 * 3600
Place = tuple[str, str]


def asking(content: str, *, stream: bool = False) -> Call:
    """A call that asks this."""
    request = {"model": "m", "messages": [{"role": "user", "content": content}], "stream": stream}
    return chat.parse(json.dumps(request).encode())


class Running(Struct, kw_only=True):
    """A call under way."""

    who: Principal
    asked: str
    claim: Claim
    hold: Hold


class KeptAnswer(Struct, kw_only=True):
    """What the model expects under a key; `sure` says that no kill can take it any more."""

    asked: str
    body: bytes
    at: int
    sure: bool = False


class IdempotencyMachine(RuleBasedStateMachine):
    """Sends calls under a few keys, ends them in every way, and kills the process."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.resources = AsyncExitStack()
        self.files = itertools.count()
        self.running: dict[Place, Running] = {}
        self.kept: dict[Place, KeptAnswer] = {}
        self.charged: set[str] = set()
        self.clock = FakeClock()

    def run(self, work: Any) -> Any:
        """Run a coroutine to its end."""
        return self.loop.run_until_complete(work)

    def start(self, path: Path, calls: int = 0) -> None:
        self.books: Books = self.run(self.resources.enter_async_context(opened(path, calls=calls)))
        self.keys = Idempotency(self.books.database, self.clock)

    def new_path(self) -> Path:
        return Path(self.folder.name) / f"{next(self.files)}.db"

    @initialize()
    def begin(self) -> None:
        self.start(self.new_path())
        for who in (ANN, BOB):
            self.run(self.books.credit(who.payer, 10**6, "first"))

    def expected(self, place: Place, asked: str) -> int | bytes | None:
        """What a call under this key meets: a refusal's status, the kept answer, or nothing."""
        if (call := self.running.get(place)) is not None:
            return 409 if call.asked == asked else 422
        answer = self.kept.get(place)
        if answer is None or answer.at + DAY * 1_000 <= self.clock.wall_ms():
            return None
        return answer.body if answer.asked == asked else 422

    @rule(who=st.sampled_from([ANN, BOB]), name=st.sampled_from("xy"), asked=st.sampled_from("pq"))
    def call(self, who: Principal, name: str, asked: str) -> None:
        """The first under a key runs, the same again gets its answer, all else is refused."""
        place = (who.key.id, name)
        met: int | bytes | None
        expected = self.expected(place, asked)
        try:
            claim = self.run(self.keys.claim(asking(asked), who.key, name))
        except CallError as error:
            met = error.status
        else:
            met = claim.kept.body if claim.kept else None
            if claim.kept:
                claim.release()
            else:
                hold = self.run(self.books.secured(who, 100))
                self.running[place] = Running(who=who, asked=asked, claim=claim, hold=hold)
        assert met == expected

    @precondition(lambda self: self.running)
    @rule(data=st.data(), wait=st.booleans())
    def answered(self, data: st.DataObject, wait: bool) -> None:
        """A call has its answer, which is its id: it is charged and kept in one step."""
        place = data.draw(st.sampled_from(sorted(self.running)))
        call = self.running.pop(place)
        call_id = call.hold.call_id
        also = call.claim.writes(call_id.encode(), "application/json")
        call.claim.release()

        async def settle() -> None:
            ledger = self.books.ledger
            ledger.settle(call.hold, outcome(call_id, call.who, COST), call.who, also)
            if wait:
                await call.claim.landed()

        self.run(settle())
        self.charged.add(call_id)
        self.kept[place] = KeptAnswer(
            asked=call.asked, body=call_id.encode(), at=self.clock.wall_ms(), sure=wait
        )

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def failed(self, data: st.DataObject) -> None:
        """A call fails or is left: it costs nothing, and its key is free."""
        call = self.running.pop(data.draw(st.sampled_from(sorted(self.running))))
        call.claim.release()
        self.books.settle(call.hold, 0)

    @rule(seconds=st.sampled_from([1, DAY - 1, DAY]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def swept(self) -> None:
        """Sweeping changes nothing that anybody can see."""
        self.books.ledger.note((rows.EXPIRE, (self.clock.wall_ms(),)), (rows.TRIM, (10**6,)))

    @rule()
    def kill(self) -> None:
        """The process dies; what ran is free again, what was kept is there with its charge, or neither is."""
        copy = remains(self.books.path, self.new_path())
        made = self.books.calls
        for call in self.running.values():
            call.claim.release()
            self.books.settle(call.hold, 0)
        self.run(self.resources.aclose())
        self.start(copy, made)
        there = {body for (body,) in self.run(self.books.filed("SELECT body FROM idempotent_answers"))}
        charges = "SELECT call_id FROM entries WHERE kind = 'charge'"
        paid = {call_id for (call_id,) in self.run(self.books.filed(charges))}
        assert {body.decode() for body in there} <= paid <= self.charged
        self.charged = paid
        self.running.clear()
        for place, answer in list(self.kept.items()):
            if answer.body.decode() not in paid:
                assert not answer.sure
                del self.kept[place]
            elif self.expected(place, answer.asked) is not None:
                answer.sure = True
                assert answer.body in there

    @invariant()
    def charged_once(self) -> None:
        """Each answer was charged for once, whoever got it again."""
        if hasattr(self, "books"):
            paid = sum(10**6 - self.books.of(who)[0] for who in (ANN, BOB))
            assert paid == COST * len(self.charged)
            assert broken(self.books.path) == []
            assert self.books.lost == []

    def teardown(self) -> None:
        for call in self.running.values():
            self.books.settle(call.hold, 0)
        self.run(self.resources.aclose())
        self.loop.close()
        self.folder.cleanup()


def test_idempotency_is_its_model() -> None:
    """Whatever happens in whatever order, one call runs, one is charged, others get its answer."""
    run_state_machine_as_test(
        IdempotencyMachine,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    """A ledger in which Ann can pay."""
    async with opened(tmp_path / "t.db") as books:
        await books.credit(ANN.payer, 10**6, "first")
        yield books


async def answer(
    books: Books, keys: Idempotency, name: str, body: bytes, kind: str = "application/json"
) -> None:
    """A call under this key that got this answer."""
    claim = await keys.claim(asking("hi"), ANN.key, name)
    assert claim is not None
    hold = await books.secured(ANN, 100)
    books.ledger.settle(hold, outcome(hold.call_id, ANN, COST), ANN, claim.writes(body, kind))
    claim.release()


async def kept(keys: Idempotency, name: str) -> Kept | None:
    """What the same call gets under this key."""
    claim = await keys.claim(asking("hi"), ANN.key, name)
    assert claim is not None
    claim.release()
    return claim.kept


@pytest.mark.parametrize("name", ["", "x" * 256, "caf\u00e9", "a\tb", "a\x7fb"])
async def test_a_key_that_can_not_be_one(books: Books, name: str) -> None:
    """1 to 255 printable characters of ASCII; else 400, naming the header."""
    with pytest.raises(InvalidRequest) as refused:
        await Idempotency(books.database, books.clock).claim(asking("hi"), ANN.key, name)
    assert (refused.value.status, refused.value.code) == (400, "invalid_value")
    assert refused.value.param == "Idempotency-Key"


@pytest.mark.parametrize("name", ["x", "x" * 255, "{a b}~ !", '"quoted"'])
async def test_a_key_that_can(books: Books, name: str) -> None:
    """Any such text is a key of its own, quotes included."""
    keys = Idempotency(books.database, books.clock)
    await answer(books, keys, name, b"1")
    assert await kept(keys, name) == Kept(body=b"1", content_type="application/json")
    assert await kept(keys, name + "." if len(name) < 255 else "y") is None


async def test_an_answer_that_came_during_the_look_up_is_found(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that saw nothing, while another came, was answered and went, gets that answer all the same."""
    keys = Idempotency(books.database, books.clock)
    find, found, go = rows.find, asyncio.Event(), asyncio.Event()

    async def slowly(*place: Any) -> rows.Answer | None:
        seen = await find(*place)
        if not found.is_set():
            found.set()
            await go.wait()
        return seen

    monkeypatch.setattr(rows, "find", slowly)
    late = asyncio.ensure_future(kept(keys, "x"))
    await found.wait()
    await answer(books, keys, "x", b"1")
    go.set()
    assert await late == Kept(body=b"1", content_type="application/json")
    assert not keys.running


@pytest.mark.parametrize("name", ["fine", "", "x" * 256])
async def test_streams_take_no_part(books: Books, name: str) -> None:
    """A stream never fails for its idempotency key, whatever that is."""
    keys = Idempotency(books.database, books.clock)
    assert await keys.claim(asking("hi", stream=True), ANN.key, name) is None
    assert not keys.running


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"x" * (idempotency.LARGEST_ANSWER + 1), "application/json"), (b"x", "application/json; x=\udcff")],
)
async def test_what_can_not_be_kept_is_charged_all_the_same(books: Books, body: bytes, kind: str) -> None:
    """An answer too large, or not fit for the file, leaves its key free and its charge in place."""
    keys = Idempotency(books.database, books.clock)
    await answer(books, keys, "x", body, kind)
    assert await kept(keys, "x") is None
    assert await books.filed("SELECT count(*) FROM entries WHERE kind = 'charge'") == [(1,)]
    assert books.lost == []


async def test_the_largest_answer_is_kept(books: Books) -> None:
    """At the bound, not one byte below it."""
    keys = Idempotency(books.database, books.clock)
    await answer(books, keys, "x", b"x" * idempotency.LARGEST_ANSWER)
    found = await kept(keys, "x")
    assert found is not None
    assert len(found.body) == idempotency.LARGEST_ANSWER


async def test_sweeping_removes_the_old_and_the_too_many(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has had its day is gone from the file, and of a key that keeps too much the oldest."""
    monkeypatch.setattr(idempotency, "MOST_BYTES", 25)
    keys = Idempotency(books.database, books.clock)
    await answer(books, keys, "old", b"x")
    books.clock.advance(DAY)
    for name in "abc":
        await answer(books, keys, name, b"0123456789")
        books.clock.advance(1)
    sweeping = asyncio.ensure_future(keys.sweep())
    await asyncio.sleep(0)
    assert await books.filed("SELECT name FROM idempotent_answers ORDER BY name") == [("b",), ("c",)]
    sweeping.cancel()


async def test_a_full_disk_is_told_at_once(books: Books) -> None:
    """Where the file can't be asked, the call is refused and its key is free; a settled one need not wait."""
    keys = Idempotency(books.database, books.clock)
    claim = await keys.claim(asking("hi"), ANN.key, "x")
    assert claim is not None
    hold = await books.secured(ANN, 100)
    with full_disk(books.path):
        books.ledger.settle(hold, outcome(hold.call_id, ANN, COST), ANN, claim.writes(b"1", "text/plain"))
        claim.release()
        await claim.landed()
        with pytest.raises(Unavailable):
            await keys.claim(asking("hi"), ANN.key, "y")
        assert not keys.running
    await until(lambda: books.database.accepting)
    assert await kept(keys, "x") == Kept(body=b"1", content_type="text/plain")
