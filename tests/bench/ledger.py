"""The ledger by itself and in the gateway's path: what keeping the books durably costs a call.

In these lines the second column is not the bare relay but the same without what is measured: without
waiting for the disk (durability "normal"), without a price, without open holds.
"""

import subprocess
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

from tests.bench.ledger_load import Job, Result
from tests.bench.report import Figure, Target, figure
from tests.bench.servers import (
    ROOT,
    BenchFailed,
    Gateway,
    MockUpstream,
    Process,
    on_server_core,
    python,
)
from tests.torture.recovery import open_holds

_AT_ONCE = (64, 256)
_RATE = 1_000
_OPEN_HOLDS = 10_000
_CALL = Target(of="gateway", bound="below", value=100)
_P50, _P99 = (Target(of="gateway", bound="below", value=value) for value in (1, 8))
ON_OVER_OFF = Target(of="ratio", bound="at least", value=0.8)
_RESTART = Target(of="gateway", bound="below", value=2)


class FreeGateway(Gateway):
    """The same gateway with a model that costs nothing, so that its ledger has nothing to hold."""

    def __init__(self, home: Path, upstream: MockUpstream) -> None:
        home.mkdir()
        super().__init__(home, upstream)
        self.name = "gateway without prices"

    def _settings(self, database: Path, upstream_port: int) -> dict[str, Any]:
        settings = super()._settings(database, upstream_port)
        for model in settings["models"].values():
            del model["price"]
            model["free"] = True
        return settings


def by_itself(home: Path, rounds: int, seconds: float) -> list[Figure]:
    """Hold and settle as fast as it goes, and holds at a steady rate."""

    def run(durability: str, number: int, **job: float) -> Result:
        path = home / f"{durability}-{number}-{'-'.join(map(str, job.values()))}.db"
        return _run(Job(path=str(path), durability=durability, seconds=seconds, **job))  # type: ignore[arg-type]

    figures = []
    for at_once in _AT_ONCE:
        pairs = [
            (run("full", number, at_once=at_once), run("normal", number, at_once=at_once))
            for number in range(rounds)
        ]
        name = f"hold + settle, {at_once} at once"
        walls = [(full.wall_us, normal.wall_us) for full, normal in pairs]
        figures.append(figure(f"{name}, wall", "us/call", walls, _CALL if at_once == _AT_ONCE[0] else None))
        figures.append(
            figure(f"{name}, CPU", "us/call", [(full.cpu_us, normal.cpu_us) for full, normal in pairs])
        )
    pairs = [(run("full", number, rate=_RATE), run("normal", number, rate=_RATE)) for number in range(rounds)]
    name = f"hold, {_RATE:,} calls/s"
    figures.append(
        figure(f"{name}, p50", "ms", [(full.p50_ms, normal.p50_ms) for full, normal in pairs], _P50)
    )
    figures.append(
        figure(f"{name}, p99", "ms", [(full.p99_ms, normal.p99_ms) for full, normal in pairs], _P99)
    )
    return figures


def _run(job: Job) -> Result:
    with on_server_core():
        done = subprocess.run(
            python("tests.bench.ledger_load", msgspec.json.encode(job).decode()),
            cwd=ROOT,
            capture_output=True,
            check=False,
        )
    if done.returncode != 0:
        raise BenchFailed(f"the ledger's load ended with {done.returncode}: {done.stderr.decode()[-2000:]}")
    return msgspec.json.decode(done.stdout, type=Result)


def restart(home: Path, upstream: MockUpstream, rounds: int) -> Figure:
    """From spawning to the first answered call, with ten thousand open holds and with none."""
    home.mkdir()
    gateway = Gateway(home, upstream)
    pairs = []
    for _ in range(rounds):
        without = _ready(gateway)
        open_holds(home / "bench.db", _OPEN_HOLDS)
        pairs.append((_ready(gateway), without))
    return figure(f"restart, {_OPEN_HOLDS:,} open holds", "s", pairs, _RESTART)


def _ready(side: Process) -> float:
    began = perf_counter()
    side.launch()
    try:
        side.wait_until_ready()
        return perf_counter() - began
    finally:
        side.stop()
