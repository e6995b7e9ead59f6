"""Clients that hang up at any moment of a stream: each is settled, pays, and frees the upstream."""

import asyncio
import math
import random
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

from tests.torture.audit import broken
from tests.torture.client import Answer, call, chat
from tests.torture.report import Part, milliseconds, percentile
from tests.torture.victim import Died, Victim, load_average

CLOSED_WITHIN = 0.1
_AT_ONCE = 60
_WORDS = 100
_WORD = "word "
_INTERVAL = 0.003
_LONGEST_STAY = 0.36  # seconds; the whole stream takes some 300 ms
_STAY_TO_THE_END = 0.05
_PATIENCE = 5.0
_TAG = re.compile(rb"client (\d+);")
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_CHUNK = (
    '{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
    '"delta":{"content":"%s"},"finish_reason":%s}]}'
)
_USAGE = '{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":%s}'


class Known:
    """What the upstream knows of its clients by number: when it lost each, when all was sent."""

    def __init__(self) -> None:
        self.asked: set[int] = set()
        self.closed: dict[int, float] = {}
        self.complete: dict[int, float] = {}


class Upstream(asyncio.Protocol):
    """Streams words slowly; one of it a connection."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._tag: int | None = None

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        if not found or length is None or len(body) < int(length[1]):
            return
        tag = _TAG.search(body)
        assert tag is not None
        self._tag = int(tag[1])
        self._known.asked.add(self._tag)
        self._received = b""
        self._loop.call_later(random.uniform(0, 0.01), self._begin)

    def connection_lost(self, _error: Exception | None) -> None:
        if self._tag is not None:
            self._known.closed.setdefault(self._tag, time.monotonic())

    def _begin(self) -> None:
        self._transport.write(_HEAD)
        self._word(_WORDS)

    def _word(self, left: int) -> None:
        if self._transport.is_closing():
            return
        if left:
            self._event(_CHUNK % (_WORD, "null"))
            self._loop.call_later(_INTERVAL, self._word, left - 1)
            return
        assert self._tag is not None
        self._known.complete[self._tag] = time.monotonic()
        self._tag = None
        self._event(_CHUNK % ("", '"stop"'))
        self._event(_USAGE % '{"prompt_tokens":50,"completion_tokens":%d}' % (2 * _WORDS))
        self._event("[DONE]")
        self._transport.write(b"0\r\n\r\n")

    def _event(self, data: str) -> None:
        event = f"data: {data}\n\n".encode()
        self._transport.write(b"%x\r\n%b\r\n" % (len(event), event))


class _Torture:
    def __init__(self) -> None:
        self.part = Part(name="hangups")
        self._left: dict[int, float] = {}
        self._answers: dict[int, Answer] = {}
        self._known = Known()

    async def run(self, folder: Path, clients: int) -> Part:
        server = await asyncio.get_running_loop().create_server(lambda: Upstream(self._known), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        victim = Victim(folder, models=(), upstream=f"http://127.0.0.1:{port}", elsewhere=("m",))
        try:
            await victim.start()
            key = await victim.new_key("ann", "1000000")
            numbers = iter(range(clients))
            began = time.monotonic()
            await asyncio.gather(*[self._clients(victim.port, key, numbers) for _ in range(_AT_ONCE)])
            seconds = time.monotonic() - began
            await self._all_over(victim)
            self.part.violations += await victim.verify()
            await asyncio.to_thread(victim.stop)
        except Died as died:
            self.part.violations.append(str(died))
        finally:
            victim.kill()
            server.close()
        self.part.violations += broken(victim.database)
        self._check(victim.database)
        self.part.show(hang_ups_a_second=round(clients / seconds), load_average=load_average())
        return self.part

    async def _clients(self, port: int, key: str, numbers: Iterator[int]) -> None:
        for number in numbers:
            body = chat("m", f"client {number}; Tell me something. " * 4, max_tokens=200, stream=True)

            def left(number: int = number) -> None:
                self._left[number] = time.monotonic()

            stay = None if random.random() < _STAY_TO_THE_END else random.uniform(0, _LONGEST_STAY)
            self._answers[number] = await call(port, key, body, leave=stay, left=left)

    async def _all_over(self, victim: Victim) -> None:
        """Wait until no call is on its way and all is written; a hold that is open then is one for ever."""
        left = -1
        deadline = time.monotonic() + _PATIENCE
        while left and time.monotonic() < deadline:
            running = (await victim.ask("status"))["calls_running"]
            left = running + (await victim.ask("ledger.verify"))["open_holds"]
            await asyncio.sleep(0.05)
        self.part.expect(
            left == 0, f"{left} calls or holds are open {_PATIENCE:.0f} s after the last client left"
        )

    def _check(self, database: Path) -> None:
        with closing(sqlite3.connect(database)) as books:
            rows = {
                name: values
                for name, *values in books.execute(
                    "SELECT id, error, output, estimated, cost_nano, held_nano, input FROM calls"
                )
            }
        known = self._known
        delays = [
            known.closed[number] - at
            for number, at in self._left.items()
            if number in known.asked and known.closed.get(number, 0.0) > at
        ]
        never = known.asked & self._left.keys() - known.closed.keys() - known.complete.keys()
        self.part.expect(not never, f"{len(never)} upstream connections were never closed")
        on = [n for n, at in self._left.items() if known.complete.get(n, 0.0) > at + CLOSED_WITHIN]
        self.part.expect(not on, f"{len(on)} upstreams streamed on to the end though nobody listened")
        # All clients and the upstream share a process with each other, which may itself be late at times.
        usual = percentile(delays, 99)
        self.part.expect(usual < CLOSED_WITHIN, f"upstream connections were closed after {usual:.3f} s")
        words = charged = 0
        for number, answer in self._answers.items():
            row = rows.get(answer.id)
            if row is None:
                self.part.expect(not answer.id, f"client {number}: its call left no row")
                continue
            _, output, estimated, cost, held, _ = row
            got = len(answer.text)
            words += got
            charged += output
            owed = math.ceil(got / 3) if estimated else 2 * got // len(_WORD)
            self.part.expect(output >= owed, f"client {number}: got {got} bytes, charged {output} tokens")
            self.part.expect(cost <= held, f"client {number}: charged above its hold")
            self.part.expect(cost > 0 or not got, f"client {number}: got {got} bytes for nothing")
        expected = len(self._answers)
        self.part.expect(len(rows) <= expected, f"{len(rows)} calls of {expected} clients")
        self.part.show(
            clients=expected,
            of_these_hung_up=len(self._left),
            while_the_upstream_was_streaming=len(delays),
            bytes_delivered=words,
            output_tokens_charged=charged,
            upstream_closed_after_p50=milliseconds(percentile(delays, 50)),
            upstream_closed_after_p99=milliseconds(percentile(delays, 99)),
            upstream_closed_after_max=milliseconds(max(delays, default=0.0)),
            later_than_100_ms=sum(delay > CLOSED_WITHIN for delay in delays),
        )


async def run(folder: Path, *, clients: int = 10_000) -> Part:
    """Have so many clients leave."""
    return await _Torture().run(folder, clients)
