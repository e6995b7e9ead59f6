"""kill -9 under load, at random moments, over and over: nothing acknowledged is lost, nothing charged twice.

A settle is enqueued the moment an answer is complete, and is durable a commit later, some milliseconds.
A kill within that window leaves an answered call that restart resolves from its hold: such calls are
counted. That they fell into the last window, however long the disk took, is certain: writes land in their
order, so no call or credit that was asked for after such an answer can have been acknowledged.
"""

import asyncio
import itertools
import random
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

from msgspec import Struct, field

from tests.torture.audit import broken
from tests.torture.client import Answer, call, chat
from tests.torture.report import Part, milliseconds, percentile
from tests.torture.victim import Died, Victim, load_average

_WORKERS = 10
_PAUSE = 0.02
_LONGEST_LOAD = 1.2
_NOTED_AFTER = 1.2  # seconds; the daemon notes each second what a running stream would be charged
_LONG_LOAD = 1.6  # each eighth load is so long that streams have been noted
_CYCLES_PER_DATABASE = 50
_KILLED_WHILE_STARTING = 0.25
_RPM = 3_000

_WHOLE = chat("demo", "Say something about ledgers. " * 10, max_tokens=60)
_STREAM = chat("demo", "Say something about ledgers. " * 10, max_tokens=60, stream=True)
_SLOW = chat("slow-40", "Say something at length. " * 10, max_tokens=200, stream=True)
_DEAR = chat("demo", "Say something at length. " * 10, max_tokens=4_000)


class Seen(Struct, kw_only=True):
    """What the clients know at the moment of the kill.

    What was asked for at `written_up_to` was acknowledged, so all that was answered before is written.
    """

    answers: list[tuple[str, Answer]] = field(default_factory=list)
    credits: dict[str, int] = field(default_factory=dict)
    unanswered: dict[str, int] = field(default_factory=dict)
    head: tuple[int, bytes] = (0, b"")
    written_up_to: float = 0.0
    remaining: int = _RPM
    remaining_at: float = 0.0
    killed_at: float = 0.0


class _Torture:
    def __init__(self, folder: Path, cycles: int, seed: int) -> None:
        self.part = Part(name="kill9")
        self.random = random.Random(seed)
        self._folder = folder
        self._cycles = cycles
        self._references = itertools.count()
        self._starts: list[float] = []
        self._windows: list[float] = []
        self._answered = self._streamed = self._credited = self._interrupted = self._progressed = 0
        self._unwritten = self._kills = self._kills_while_starting = self._entries = 0

    async def run(self) -> Part:
        for first in range(0, self._cycles, _CYCLES_PER_DATABASE):
            home = self._folder / f"kill9-{first}"
            home.mkdir()
            await self._one_database(home, min(_CYCLES_PER_DATABASE, self._cycles - first))
        self.part.show(
            kills=self._kills,
            kills_while_starting=self._kills_while_starting,
            whole_answers=self._answered,
            whole_streams=self._streamed,
            credits_acknowledged=self._credited,
            ledger_entries=self._entries,
            calls_cut_by_a_kill=self._interrupted,
            of_these_charged_by_progress=self._progressed,
            answered_within_the_last_commit_window=len(self._windows),
            unlimited_or_refused_and_unwritten=self._unwritten,
            the_longest_before_its_kill=milliseconds(max(self._windows, default=0.0)),
            restart_p50=milliseconds(percentile(self._starts, 50)),
            restart_max=milliseconds(max(self._starts, default=0.0)),
            load_average=load_average(),
        )
        return self.part

    async def _one_database(self, home: Path, cycles: int) -> None:
        victim = Victim(home, models=("demo", "slow-40"), delays=("3ms", "1ms"))
        seen: Seen | None = None
        try:
            await victim.start()
            self._keys = {
                "rich": await victim.new_key("rich", "100000"),
                "poor": await victim.new_key("poor", "0.15"),
                "house": await victim.new_key("house", None, unlimited=True),
                "capped": await victim.new_key("capped", "100000", requests_per_minute=_RPM),
            }
            for _ in range(cycles):
                seen = await self._load(victim, seen.unanswered if seen else {})
                await self._die_while_starting(victim)
                self._starts.append(await victim.start())
                await self._check(victim, seen)
            self.part.expect("ok" in victim.command("ledger", "verify"), "ledger verify does not say ok")
            victim.stop()
        except Died as died:
            self.part.violations.append(str(died))
            return
        finally:
            victim.kill()
        self.part.violations += await asyncio.to_thread(broken, victim.database)
        with closing(sqlite3.connect(victim.database)) as books:
            self._entries += books.execute("SELECT count(*) FROM entries").fetchone()[0]

    async def _load(self, victim: Victim, unanswered: dict[str, int]) -> Seen:
        """Put it under load and kill it in the midst."""
        seen = Seen()
        dead = asyncio.Event()

        async def clients(key: str, *bodies: bytes) -> None:
            while not dead.is_set():
                # Some leave before the end, at any moment.
                leave = self.random.uniform(0, 0.1) if self.random.random() < 0.15 else None
                answer = await call(victim.port, self._keys[key], self.random.choice(bodies), leave=leave)
                seen.answers.append((key, answer))
                if answer.status == 200 and key != "house":
                    seen.written_up_to = max(seen.written_up_to, answer.asked)
                if key == "capped" and (left := answer.headers.get("x-ratelimit-remaining")):
                    seen.remaining, seen.remaining_at = int(left), answer.at
                await asyncio.sleep(self.random.uniform(0, _PAUSE))

        async def credit() -> None:
            again = list(unanswered.items())
            while not dead.is_set():
                if again:
                    reference, cents = again.pop()
                else:
                    reference, cents = f"ref {next(self._references)}", self.random.randint(1, 100)
                seen.unanswered[reference] = cents
                amount = f"{cents // 100}.{cents % 100:02}"
                asked = time.monotonic()
                with suppress(OSError):
                    await victim.ask("credit", account="poor@example.com", amount=amount, reference=reference)
                    seen.credits[reference] = seen.unanswered.pop(reference)
                    seen.written_up_to = max(seen.written_up_to, asked)
                await asyncio.sleep(self.random.uniform(0, _PAUSE))
            seen.unanswered.update(again)

        async def watch() -> None:
            """What any reader of the file has seen of the ledger's end is there for good."""
            with closing(sqlite3.connect(f"{victim.database.as_uri()}?mode=ro", uri=True)) as reader:
                while not dead.is_set():
                    sql = "SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1"
                    seen.head = reader.execute(sql).fetchone() or (0, b"")
                    await asyncio.sleep(_PAUSE / 4)

        mixes = (
            ("rich", _WHOLE, _STREAM),
            ("rich", _SLOW),
            ("poor", _DEAR, _WHOLE),
            ("house", _WHOLE, _STREAM, _SLOW),
            ("capped", _WHOLE),
        )
        loads = [clients(*mixes[number % len(mixes)]) for number in range(_WORKERS)]
        running = asyncio.gather(*loads, credit(), watch())
        load = _LONGEST_LOAD * self.random.random() ** 2
        await asyncio.sleep(_LONG_LOAD if self._kills % 8 == 7 else load)
        victim.kill()
        seen.killed_at = time.monotonic()
        self._kills += 1
        dead.set()
        await running
        return seen

    async def _die_while_starting(self, victim: Victim) -> None:
        while self.random.random() < _KILLED_WHILE_STARTING:
            victim.launch()
            await asyncio.sleep(self.random.uniform(0, 0.7))
            victim.kill()
            self._kills_while_starting += 1

    async def _check(self, victim: Victim, seen: Seen) -> None:
        """After the restart everything that clients know must be in the file."""
        part = self.part
        part.violations += await victim.verify()
        part.violations += await asyncio.to_thread(broken, victim.database)
        with closing(sqlite3.connect(f"{victim.database.as_uri()}?mode=ro", uri=True)) as books:
            part.expect(books.execute("SELECT count(*) FROM holds").fetchone() == (0,), "holds are left open")
            calls = {
                row[0]: row[1:] for row in books.execute("SELECT id, cost_nano, held_nano, error FROM calls")
            }
            credited = dict(books.execute("SELECT reference, amount FROM entries WHERE kind = 'credit'"))
            hashes = dict(books.execute("SELECT seq, hash FROM entries WHERE seq = ?", seen.head[:1]))
        self._check_answers(seen, calls)
        for reference, cents in seen.credits.items():
            part.expect(credited.get(reference) == cents * 10**7, f"credit {reference!r} is lost")
        self._credited += len(seen.credits)
        seq, hash_ = seen.head
        part.expect(seq == 0 or hashes.get(seq) == hash_, f"entry {seq} was seen and is not there")
        await self._check_bucket(victim, seen)

    def _check_answers(self, seen: Seen, calls: dict[str, tuple[int, int, str | None]]) -> None:
        for key, answer in seen.answers:
            if not answer.id:
                continue
            before = seen.killed_at - answer.at
            in_window = answer.at >= seen.written_up_to
            row = calls.get(answer.id)
            if row is None:
                # A refusal leaves only a row, and nobody waits for an unlimited payer's hold: both may be
                # lost with the last commit.
                self._unwritten += 1
                may_be = in_window and (answer.status != 200 or key == "house")
                self.part.expect(may_be, f"call {answer.id} of {key} is lost, {before:.3f} s before the kill")
                continue
            cost, held, error = row
            if error == "interrupted":
                self._interrupted += 1
                self._progressed += cost > 0
                ran = seen.killed_at - answer.began
                self.part.expect(
                    cost > 0 or ran < _NOTED_AFTER or not answer.text,
                    f"stream {answer.id} ran {ran:.1f} s before the kill, for nothing",
                )
            if answer.status != 200 or not answer.whole:
                continue
            self._answered += answer.cost_nano is not None
            self._streamed += answer.cost_nano is None
            if error == "interrupted":
                self._windows.append(before)
                self.part.expect(
                    in_window,
                    f"call {answer.id} was answered {before:.3f} s before the kill, not charged",
                )
                self.part.expect(cost <= held or not held, f"call {answer.id} is charged above its hold")
            elif answer.cost_nano is not None:
                self.part.expect(
                    cost == answer.cost_nano > 0, f"call {answer.id}: told {answer.cost_nano}, charged {cost}"
                )
            else:
                self.part.expect(cost > 0, f"stream {answer.id} is not charged")

    async def _check_bucket(self, victim: Victim, seen: Seen) -> None:
        """What was used up of a rate limit is still used up."""
        if not seen.remaining_at:
            return
        answer = await call(victim.port, self._keys["capped"], _WHOLE)
        refilled = (time.monotonic() - seen.remaining_at) * _RPM / 60
        left = int(answer.headers.get("x-ratelimit-remaining", -1))
        self.part.expect(
            0 <= left <= min(_RPM, seen.remaining + refilled + 1), f"a bucket forgot: {left} left"
        )


async def run(folder: Path, *, cycles: int = 1_000, seed: int | None = None) -> Part:
    """Kill the daemon so often."""
    seed = random.randrange(2**32) if seed is None else seed
    part = await _Torture(folder, cycles, seed).run()
    part.show(seed=str(seed))
    return part
