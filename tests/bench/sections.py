"""What is measured: each section starts both sides afresh and gives a few figures.

Within a section the sides take turns, each first in every other round, so that whatever else the
machine does falls on both.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from tests.bench import ledger, neighbours, translation, wire
from tests.bench.load import Job, Result
from tests.bench.process import resident_mb
from tests.bench.report import Figure, Target, figure
from tests.bench.servers import ROOT, Gateway, MockUpstream, Process, generate

_TO_OPEN_STREAMS = 2.0
_BUSY = 0.9
_CROWDED = 0.05
_RATE_TARGET = Target(of="ratio", bound="at least", value=0.7)


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """Both sides and their upstream, how often and how long (seconds) each is measured; `notes` grows."""

    gateway: Process
    yardstick: Process
    upstream: MockUpstream
    rounds: int
    seconds: float
    notes: list[str]

    def few(self) -> "Bench":
        """The same with about half the rounds, for what is measured three ways or takes long."""
        return msgspec.structs.replace(self, rounds=(self.rounds + 1) // 2)

    def rounds_of(self, job: Job, *, direct: bool = False) -> list[list[Result]]:
        """Results of gateway, yardstick and, if wanted, of no server between, round by round."""
        sides: list[Process] = [self.gateway, self.yardstick, *([self.upstream] if direct else [])]
        rounds = []
        with self.gateway.running(), self.yardstick.running():
            for number in range(self.rounds):
                turns = sides[::-1] if number % 2 else sides
                results = {side.name: self.ask(side, job) for side in turns}
                rounds.append([results[side.name] for side in sides])
        return rounds

    def ask(self, side: Process, job: Job) -> Result:
        """One round of one side."""
        return generate(msgspec.structs.replace(job, port=side.port, key=side.key, pid=side.pid))


def start(bench: Bench) -> list[Figure]:
    """From spawning to the first 200 at `/healthz` and the first answered call; the memory then used."""
    measured = [[_start(side) for side in (bench.gateway, bench.yardstick)] for _ in range(bench.rounds)]

    def of(part: int) -> list[tuple[float, float]]:
        return [(gateway[part], yardstick[part]) for gateway, yardstick in measured]

    return [
        figure("start to healthy", "s", of(0)),
        figure("start to ready", "s", of(1), Target(of="gateway", bound="below", value=1)),
        figure("memory, idle", "MB", of(2), Target(of="gateway", bound="below", value=80)),
    ]


def _start(side: Process) -> tuple[float, float, float]:
    began = time.perf_counter()
    side.launch()
    try:
        side.wait_until_healthy()
        healthy = time.perf_counter() - began
        side.wait_until_ready()
        ready = time.perf_counter() - began
        return healthy, ready, resident_mb(side.pid)
    finally:
        side.stop()


def calls(bench: Bench) -> list[Figure]:
    """Whole answers at saturation: 64 at once, each asked for as soon as the last has come."""
    job = Job(port=0, concurrency=64, seconds=bench.seconds)
    rounds = bench.rounds_of(job)
    sure = _undisturbed(bench, job, rounds, _call_rate, "calls/s")
    return [
        figure("calls", "1/s", _pairs(rounds, _call_rate), _RATE_TARGET, sure=sure),
        figure("calls, CPU", "us/call", _pairs(rounds, lambda result: result.cpu / result.calls * 1e6)),
    ]


def latency(bench: Bench) -> list[Figure]:
    """What a server adds to a call over asking the upstream directly: alone, and at 500 calls/s."""
    figures: list[Figure] = []
    for name, job in (
        ("1 at a time", Job(port=0, seconds=bench.seconds)),
        ("500 calls/s", Job(port=0, concurrency=64, rate=500, seconds=bench.seconds)),
    ):
        rounds = bench.few().rounds_of(job, direct=True)
        figures += [
            figure(f"latency added, p50, {name}", "ms", _added(rounds, lambda result: result.latency.p50)),
            figure(f"latency added, p99, {name}", "ms", _added(rounds, lambda result: result.latency.p99)),
        ]
    return figures


def streams(bench: Bench) -> list[Figure]:
    """Event streams at saturation: 32 at once, the upstream as fast as it is let."""
    job = Job(port=0, concurrency=32, chunks=200, seconds=bench.seconds)
    rounds = bench.rounds_of(job)
    sure = _undisturbed(bench, job, rounds, _event_rate, "chunks/s")
    return [
        figure("chunks", "1/s", _pairs(rounds, _event_rate), _RATE_TARGET, sure=sure),
        figure("chunks, CPU", "us/chunk", _pairs(rounds, _cpu_per_event)),
    ]


def first_byte(bench: Bench) -> list[Figure]:
    """What a server adds until a stream's first byte, one short stream at a time."""
    rounds = bench.few().rounds_of(Job(port=0, chunks=4, seconds=bench.seconds), direct=True)
    return [figure("first byte added, p50", "ms", _added(rounds, lambda result: result.first_byte.p50))]


def paced(bench: Bench) -> list[Figure]:
    """A thousand open streams of 5 events a second each: the memory, and what a single event costs."""
    seconds = max(1.0, bench.seconds)
    # Long enough that none ends between the first stream's beginning and the end of the window.
    chunks = int((_TO_OPEN_STREAMS + seconds) * 5)
    job = Job(port=0, concurrency=1000, chunks=chunks, interval_ms=200, seconds=seconds)
    rounds = bench.few().rounds_of(job)
    return [
        figure("memory, 1,000 streams", "MB", _pairs(rounds, lambda result: result.memory_mb)),
        figure("paced chunks, CPU", "us/chunk", _pairs(rounds, _cpu_per_event)),
    ]


def slow_provider(bench: Bench) -> list[Figure]:
    """Whether calls to one provider wait for those to another that is slow.

    Here the second column is the same without the slow ones.
    """
    if not isinstance(bench.gateway, Gateway):
        return []
    bench.notes.append("slow provider: the second column is the same without 500 open calls to one")
    with bench.gateway.running():
        return neighbours.beside_a_slow_one(bench.gateway, bench.rounds, bench.seconds * 2)


def books(bench: Bench) -> list[Figure]:
    """What keeping the ledger costs: by itself, in the gateway's path, and at a restart.

    Here the second column is the same without what is measured: without waiting for the disk, with a free
    model, without open holds.
    """
    if not isinstance(bench.gateway, Gateway):
        return []
    bench.notes.append("ledger: the second column is without fsync, without a price, without open holds")
    with TemporaryDirectory(prefix="ledger-", dir=ROOT / ".run") as folder:
        home = Path(folder)
        figures = ledger.by_itself(home, bench.rounds, bench.seconds)
        free = ledger.FreeGateway(home / "free", bench.upstream)
        job = Job(port=0, concurrency=64, seconds=bench.seconds)
        rounds = msgspec.structs.replace(bench, yardstick=free).rounds_of(job)
        figures.append(figure("calls, ledger on", "1/s", _pairs(rounds, _call_rate), ledger.ON_OVER_OFF))
        figures.append(ledger.restart(home / "restart", bench.upstream, (bench.rounds + 1) // 2))
    return figures


def translations(bench: Bench) -> list[Figure]:
    """What another dialect upstream costs over the client's own, and whether long answers cost more a piece.

    Here the second column is passing through, or the same piece in a short answer or conversation.
    """
    if not isinstance(bench.gateway, Gateway):
        return []
    bench.notes.append("translation: the second column is passing through, or the same among 10")
    figures = translation.by_itself(bench.few().rounds)
    seconds = max(1.0, bench.seconds)
    speeds = {
        "full speed": Job(port=0, concurrency=32, chunks=200, seconds=bench.seconds),
        "paced": Job(port=0, concurrency=200, chunks=int((_TO_OPEN_STREAMS + seconds) * 20), interval_ms=50),
    }
    with bench.gateway.running():
        for name, job in speeds.items():
            for dialect, turns in _in_turns(bench, msgspec.structs.replace(job, seconds=seconds)).items():
                title = f"{dialect.title()} to chat, {name}, CPU"
                figures.append(figure(title, "us/chunk", turns, translation.TARGET))
    return figures


def _in_turns(bench: Bench, job: Job) -> dict[wire.Dialect, list[tuple[float, float]]]:
    """CPU an event of each translated dialect, beside that of passing through in the same round."""
    pairs: dict[wire.Dialect, list[tuple[float, float]]] = {"anthropic": [], "gemini": []}
    for number in range(bench.few().rounds):
        names = [*wire.MODELS][::-1] if number % 2 else [*wire.MODELS]
        costs = {
            name: _cpu_per_event(
                bench.ask(bench.gateway, msgspec.structs.replace(job, model=wire.MODELS[name]))
            )
            for name in names
        }
        for name, found in pairs.items():
            found.append((costs[name], costs["chat"]))
    return pairs


SECTIONS: dict[str, Callable[[Bench], list[Figure]]] = {
    "start": start,
    "calls": calls,
    "latency": latency,
    "streams": streams,
    "first-byte": first_byte,
    "paced": paced,
    "slow-provider": slow_provider,
    "ledger": books,
    "translation": translations,
}


def _call_rate(result: Result) -> float:
    return result.calls / result.seconds


def _event_rate(result: Result) -> float:
    return result.events / result.seconds


def _cpu_per_event(result: Result) -> float:
    return result.cpu / result.events * 1e6


def _pairs(rounds: Sequence[Sequence[Result]], of: Callable[[Result], float]) -> list[tuple[float, float]]:
    return [(of(gateway), of(yardstick)) for gateway, yardstick, *_ in rounds]


def _added(rounds: Sequence[Sequence[Result]], of: Callable[[Result], float]) -> list[tuple[float, float]]:
    """Milliseconds beyond the direct way, of what is given in seconds."""
    return [
        ((of(gateway) - of(direct)) * 1e3, (of(yardstick) - of(direct)) * 1e3)
        for gateway, yardstick, direct in rounds
    ]


def _undisturbed(
    bench: Bench, job: Job, rounds: Sequence[Sequence[Result]], rate: Callable[[Result], float], unit: str
) -> bool:
    """Whether the servers had their core to themselves, so that their rates can be judged.

    What upstream and generator manage without a server is noted beside it: far above, or they are
    what was measured.
    """
    bench.notes.append(
        f"upstream and generator by themselves: {rate(bench.ask(bench.upstream, job)):,.0f} {unit}"
    )
    alone = True
    for side, results in zip((bench.gateway, bench.yardstick), zip(*rounds, strict=True), strict=True):
        crowded = statistics.median(result.crowded / result.seconds for result in results)
        if crowded > _CROWDED:
            bench.notes.append(
                f"{unit}: other programs kept {side.name} from its core {crowded:.0%} of the time"
            )
            alone = False
        busy = statistics.median(result.cpu / result.seconds for result in results)
        if busy + crowded < _BUSY:
            bench.notes.append(
                f"{unit}: {side.name} was waiting for something {1 - busy - crowded:.0%} of the time"
            )
    return alone
