"""How the daemon is: what it is ready for, what it is doing, and how it has fared in the last minute.

Everything is read from its objects when somebody asks. What can't be, how late the event loop is and how
things stood a minute ago, one task notes.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from tokligenced import __version__
from tokligenced.domain import decimal_usd
from tokligenced.gateway.breaker import State
from tokligenced.gateway.metrics import Histogram, Metrics, Totals
from tokligenced.gateway.operations import Object, timestamp
from tokligenced.gateway.relay import Relay
from tokligenced.store import reports
from tokligenced.store.database import Database

LAG = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)

_TICK = 0.1
_TICKS_A_SAMPLE = 10
_MINUTE = 60.0
_DAY_MS = 86_400_000
_STALE = 5.0  # seconds after which what was used today is summed up anew
_PROC = Path("/proc/self")
# From the best to the worst.
_STATES: tuple[State, ...] = ("closed", "half_open", "open")


class Sample(Struct, frozen=True):
    """How things stood at a monotonic moment; `lag` is the loop's worst since the sample before."""

    at: float
    totals: Totals
    lag: float


class Vitals:
    """Reads the daemon's objects. `open_streams` tells how many streams clients are reading."""

    def __init__(
        self, *, metrics: Metrics, relay: Relay, database: Database, open_streams: Callable[[], int]
    ) -> None:
        self.metrics = metrics
        self.relay = relay
        self.database = database
        self.open_streams = open_streams
        self.lag = Histogram(LAG)
        self.started_at = relay.clock.wall_ms()
        self.last_commit_at: int | None = None
        self._samples = deque([Sample(relay.clock.monotonic(), Totals(), 0.0)], int(_MINUTE) + 1)
        self._today: tuple[float, list[reports.Group]] | None = None
        self._summing = asyncio.Lock()

    async def watch(self) -> None:
        """Go round for ever, noting how late the loop is, when it last committed, and what has added up."""
        loop, clock = asyncio.get_running_loop(), self.relay.clock
        commits = self.database.commits
        while True:
            worst = 0.0
            for _ in range(_TICKS_A_SAMPLE):
                due = loop.time() + _TICK
                await asyncio.sleep(_TICK)
                late = max(0.0, loop.time() - due)
                self.lag.observe(late)
                worst = max(worst, late)
                if self.database.commits != commits:
                    commits = self.database.commits
                    self.last_commit_at = clock.wall_ms()
            self.sample(worst)

    def sample(self, lag: float) -> None:
        """Note how things stand, and how late the loop was at worst since the sample before."""
        self._samples.append(Sample(self.relay.clock.monotonic(), self.metrics.totals(), lag))

    def not_ready(self) -> list[str]:
        """Why new calls should go elsewhere; empty when they may come."""
        reasons = {
            "draining": self.relay.lifecycle.draining,
            "ledger_unavailable": not self.database.accepting,
            "ledger_broken": bool(self.relay.ledger.broken),
        }
        return [reason for reason, holds in reasons.items() if holds]

    def last_minute(self) -> Totals:
        """What has come in the last minute, or since the start where that is less."""
        start = self.relay.clock.monotonic() - _MINUTE
        before = next((sample for sample in self._samples if sample.at >= start), self._samples[-1])
        return self.metrics.totals().since(before.totals)

    def breakers(self) -> Mapping[tuple[str, str], State]:
        """The state of each deployment of the catalog, by provider and its model's name there."""
        now = self.relay.clock.monotonic()
        breakers = self.relay.failover.breakers
        return {
            (deployment.provider, deployment.model): breakers.of(deployment).state(now)
            for model in self.relay.router.catalog.models
            for deployment in model.deployments
        }

    async def today(self) -> list[reports.Group]:
        """What each provider's calls have used since midnight (UTC), a few seconds old at most."""
        clock = self.relay.clock
        async with self._summing:
            if self._today is None or clock.monotonic() - self._today[0] >= _STALE:
                midnight = clock.wall_ms() // _DAY_MS * _DAY_MS
                groups = await reports.usage(self.database, since=midnight, by="provider")
                self._today = clock.monotonic(), groups
            return self._today[1]

    async def status(self) -> Object:
        """What an operator wants to know at a glance; money in decimal USD strings."""
        relay, database = self.relay, self.database
        groups = {group.label["provider"]: group for group in await self.today()}
        committed = self.last_commit_at
        return {
            "version": __version__,
            "pid": os.getpid(),
            "started_at": timestamp(self.started_at),
            "uptime": max(0, relay.clock.wall_ms() - self.started_at) // 1000,
            "state": "draining" if relay.lifecycle.draining else "running",
            "not_ready": self.not_ready(),
            "calls_running": relay.lifecycle.running,
            "streams_open": self.open_streams(),
            "last_minute": _totals(self.last_minute()),
            "today": _sum(list(groups.values())),
            "holds_open": relay.ledger.holds_open,
            "held": decimal_usd(relay.ledger.held_nano),
            "ledger": {
                "queue": database.queued,
                "commits": database.commits,
                "last_commit_at": None if committed is None else timestamp(committed),
                "lost": database.lost,
            },
            "providers": self._providers(groups),
            "models": len(relay.router.catalog.models),
            "database": database.problem or "ok",
            "loop_lag_ms": round(max(sample.lag for sample in self._samples) * 1000, 1),
            "memory_mb": None if (size := resident_bytes()) is None else round(size / 2**20, 1),
            "open_files": open_files(),
        }

    def _providers(self, groups: Mapping[str | None, reports.Group]) -> list[Object]:
        """Each provider of the catalog with the worst state of its deployments and what it served today."""
        worst: dict[str, State] = dict.fromkeys(self.relay.router.catalog.providers, _STATES[0])
        for (provider, _), state in self.breakers().items():
            worst[provider] = max(worst[provider], state, key=_STATES.index)
        return [
            {
                "provider": name,
                "type": settings.type,
                "state": worst[name],
                "today": _sum([groups[name]] if name in groups else []),
            }
            for name, settings in self.relay.router.catalog.providers.items()
        ]

    def running(self, most: int) -> list[Object]:
        """The calls on their way, the oldest first, at most so many; times in seconds."""
        now = self.relay.clock.monotonic()
        glimpses = [passage.glimpse() for passage in self.relay.calls]
        glimpses.sort(key=lambda glimpse: glimpse.trail.started)
        return [
            {
                "id": glimpse.trail.id,
                "key": glimpse.principal.key.prefix,
                "endpoint": glimpse.trail.endpoint,
                "model": glimpse.model,
                "provider": glimpse.trail.provider,
                "stream": glimpse.trail.stream,
                "attempts": glimpse.trail.attempts,
                "age": round(now - glimpse.trail.started, 1),
                "tokens": glimpse.usage.completion_tokens,
            }
            for glimpse in glimpses[:most]
        ]


def _totals(totals: Totals) -> Object:
    return {
        "calls": totals.calls,
        "errors": totals.errors,
        "tokens": totals.tokens,
        "cost": decimal_usd(totals.cost_nano),
    }


def _sum(groups: list[reports.Group]) -> Object:
    return {
        "calls": sum(group.calls for group in groups),
        "errors": sum(group.errors for group in groups),
        "tokens": sum(group.prompt_tokens + group.completion_tokens for group in groups),
        "cost": decimal_usd(sum(group.cost_nano for group in groups)),
    }


def resident_bytes() -> int | None:
    """The memory that the process has; None where the system does not tell. See proc_pid_statm(5)."""
    try:
        return int((_PROC / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def open_files() -> int | None:
    """The file descriptors that the process has; None where the system does not tell."""
    try:
        return sum(1 for _ in (_PROC / "fd").iterdir())
    except OSError:
        return None
