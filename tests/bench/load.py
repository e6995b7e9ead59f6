"""The load generator: a keep-alive HTTP client of raw protocols that checks every answer it gets.

`python -m tests.bench.load JOB` runs one job, given as JSON, and prints one `Result` as JSON. Without a
rate the load is closed: each connection asks again as soon as it was answered. With one it is open:
requests leave on the clock, and one that finds no free connection waits with its time running.
"""

import asyncio
import math
import os
import sys
from array import array
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from time import perf_counter
from typing import cast

import msgspec
import uvloop

from tests.bench import wire
from tests.bench.process import cpu_seconds, crowded_seconds, resident_mb

_PATIENCE = 15.0
_ERRORS_TOLD = 5


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to send where; times in seconds. `pid` names the process to watch, or whoever asks."""

    port: int
    key: str = "none"
    model: str = wire.MODEL
    concurrency: int = 1
    rate: float = 0.0
    chunks: int = 0
    interval_ms: int = 0
    warm_up: float = 0.3
    seconds: float = 1.0
    pid: int = msgspec.field(default_factory=os.getpid)


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """The value that half, and that 99 of 100, don't exceed; zero where there was none."""

    p50: float
    p99: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What the measured window held, the warm-up left out; times in seconds.

    `latency` and `first_byte` are over the calls that ended in the window, `first_byte` being the
    first of an answer's body. `cpu`, `memory_mb` and `crowded` are the watched process's, the last
    being how long other programs kept it from its core.
    """

    seconds: float
    calls: int
    events: int
    latency: Percentiles
    first_byte: Percentiles
    cpu: float
    crowded: float
    memory_mb: float
    errors: list[str]


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, run: "Run") -> None:
        self._run = run
        self._received = bytearray()
        self._busy = self._over = False
        self._asked_at = self._first_at = 0.0
        self._body_at = self._needed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def ask(self, asked_at: float) -> None:
        """Send the request; its time runs from `asked_at`."""
        self._busy = True
        self._asked_at = asked_at
        self._body_at = self._needed = 0
        self._received.clear()
        self._transport.write(self._run.request)

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        if not self._body_at and not self._read_head():
            return
        if self._run.streams:
            self._run.saw_events(data)
        if not self._first_at and len(received) > self._body_at:
            self._first_at = perf_counter()
        if len(received) >= self._needed if self._needed else received.endswith(wire.END_OF_CHUNKS):
            self._answered()

    def _read_head(self) -> bool:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        self._body_at, self._first_at = end + 4, 0.0
        _, named, rest = bytes(self._received[:end]).lower().partition(b"\r\ncontent-length:")
        if named:
            self._needed = self._body_at + int(rest.partition(b"\r\n")[0])
        return True

    def _answered(self) -> None:
        now = perf_counter()
        fault = self._run.fault(self._received, self._body_at, chunked=not self._needed)
        if fault:
            self.give_up(fault)
        else:
            self._busy = False
            self._run.answered(self, now - self._asked_at, self._first_at - self._asked_at)

    def give_up(self, why: str) -> None:
        """Report an error once and never ask again."""
        self._busy, self._over = False, True
        self._run.failed(self, why)
        self._transport.abort()

    def end(self) -> None:
        """Hang up at the end of a run; who still waits has waited in vain."""
        if self._busy:
            self.give_up(f"no complete answer within {_PATIENCE:.0f} s")
        self._over = True
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._over:
            self.give_up(f"connection lost after {len(self._received)} bytes: {exc or 'closed'}")


class Run:
    """One job under way: who may ask, what was counted, what went wrong."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.request = wire.request(
            port=job.port, key=job.key, chunks=job.chunks, interval_ms=job.interval_ms, model=job.model
        )
        self.streams = job.chunks > 0
        self._measuring = self._ending = False
        self._calls = self._events = 0
        self._latencies, self._first_bytes = array("d"), array("d")
        self._errors: list[str] = []
        self._busy: set[Connection] = set()
        self._quiet = asyncio.Event()
        self._free: list[Connection] = []
        self._late: deque[float] = deque()

    async def __call__(self) -> Result:
        """Connect, warm up, measure, wait for the last answers."""
        connections = await self._connect()
        asking = asyncio.create_task(self._ask_on_the_clock()) if self._job.rate else None
        await asyncio.sleep(self._job.warm_up)
        pid = self._job.pid
        began, cpu, crowded = perf_counter(), cpu_seconds(pid), crowded_seconds(pid)
        self._measuring = True
        await asyncio.sleep(self._job.seconds)
        self._measuring = False
        seconds, cpu, crowded = perf_counter() - began, cpu_seconds(pid) - cpu, crowded_seconds(pid) - crowded
        memory = resident_mb(pid)
        self._ending = True
        if asking:
            await asking
        await self._last_answers()
        for connection in connections:
            connection.end()
        return Result(
            seconds=seconds,
            calls=self._calls,
            events=self._events,
            latency=percentiles(self._latencies),
            first_byte=percentiles(self._first_bytes),
            cpu=cpu,
            crowded=crowded,
            memory_mb=memory,
            errors=self._errors,
        )

    async def _connect(self) -> list[Connection]:
        """Open the connections a little apart, so that streams don't march in step."""
        loop, connections = asyncio.get_running_loop(), []
        for number in range(self._job.concurrency):
            _, connection = await loop.create_connection(
                lambda: Connection(self), "127.0.0.1", self._job.port
            )
            connections.append(connection)
            if self._job.rate:
                self._free.append(connection)
            else:
                self._ask(connection, perf_counter())
            if number % 2:
                await asyncio.sleep(0.001)
        return connections

    async def _last_answers(self) -> None:
        self._quiet.clear()
        if self._busy:
            with suppress(TimeoutError):  # `Connection.end` reports who is still busy then
                await asyncio.wait_for(self._quiet.wait(), _PATIENCE)

    async def _ask_on_the_clock(self) -> None:
        began, asked = perf_counter(), 0
        while not self._ending:
            due = int((perf_counter() - began) * self._job.rate)
            for _ in range(due - asked):
                if self._free:
                    self._ask(self._free.pop(), perf_counter())
                else:
                    self._late.append(perf_counter())
            asked = due
            await asyncio.sleep(1 / self._job.rate)

    def _ask(self, connection: Connection, asked_at: float) -> None:
        self._busy.add(connection)
        connection.ask(asked_at)

    def _idle(self, connection: Connection) -> None:
        self._busy.discard(connection)
        if not self._busy:
            self._quiet.set()

    def saw_events(self, data: bytes) -> None:
        """Count events while they arrive, for the rate; `fault` counts exactly, for the truth."""
        if self._measuring:
            self._events += data.count(b"\n\n")

    def answered(self, connection: Connection, latency: float, first_byte: float) -> None:
        """One good answer; the connection goes on if there is more to do."""
        if self._measuring:
            self._calls += 1
            self._latencies.append(latency)
            self._first_bytes.append(first_byte)
        if self._late:
            self._ask(connection, self._late.popleft())
        elif self._ending or self._job.rate:
            self._idle(connection)
            self._free.append(connection)
        else:
            self._ask(connection, perf_counter())

    def failed(self, connection: Connection, why: str) -> None:
        """One connection that is of no use any more."""
        self._idle(connection)
        if len(self._errors) < _ERRORS_TOLD:
            self._errors.append(why)

    def fault(self, answer: bytearray, body_at: int, *, chunked: bool) -> str:
        """What is wrong with a complete answer, empty when nothing is."""
        body = bytes(answer[body_at:])
        if answer[9:12] != b"200":
            return f"status {answer[9:12].decode()}: {body[:300].decode(errors='replace')}"
        if chunked:
            body = dechunked(body)
        if not self.streams:
            good = wire.ANSWER_MARK in body and body.endswith(b"}")
            return "" if good else f"a damaged body: {body[:300]!r}"
        if not body.endswith(wire.DONE):
            return f"a stream without [DONE], ending {body[-100:]!r}"
        events, expected = body.count(b"data: "), self._job.chunks + 2
        return "" if events == expected else f"a stream of {events} events instead of {expected}"


def percentiles(values: Iterable[float]) -> Percentiles:
    """Of values in any order, each percentile being one of them."""
    ordered = sorted(values) or [0.0]
    p50, p99 = (ordered[math.ceil(len(ordered) * percent / 100) - 1] for percent in (50, 99))
    return Percentiles(p50=p50, p99=p99)


def dechunked(body: bytes) -> bytes:
    """The content of a complete chunked body."""
    parts: list[bytes] = []
    at = 0
    while True:
        line_end = body.index(b"\r\n", at)
        size = int(body[at:line_end].partition(b";")[0], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(body[line_end + 2 : line_end + 2 + size])
        at = line_end + 4 + size


def main(job: str) -> None:
    """Run one job and print its result."""
    result = uvloop.run(Run(msgspec.json.decode(job, type=Job))())
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main(sys.argv[1])
