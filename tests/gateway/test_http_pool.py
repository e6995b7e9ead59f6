"""The pool: what it hands out, and how often it looks."""

from collections.abc import Callable
from typing import Any

from tests.gateway.raw_server import failing
from tests.gateway.wire import Wire
from tokligenced.gateway.http_pool import Pool
from tokligenced.gateway.http_request import Address

ADDRESS = Address("name.example", 80, False)


class Timer:
    """One `call_later`."""

    def __init__(self, delay: float, call: Callable[[], None]) -> None:
        self.delay = delay
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop(Wire):
    """A loop whose timers go off when a test says so, and everything else a connection needs."""

    def __init__(self) -> None:
        super().__init__()
        self.timers: list[Timer] = []

    def call_later(self, delay: float, call: Callable[[], None]) -> Timer:
        self.timers.append(Timer(delay, call))
        return self.timers[-1]

    @property
    def running(self) -> list[float]:
        """The delays of the timers that will go off."""
        return [timer.delay for timer in self.timers if not timer.cancelled]

    def go_off(self) -> None:
        """The one timer that runs."""
        (timer,) = [timer for timer in self.timers if not timer.cancelled]
        self.timers.remove(timer)
        timer.call()


async def test_a_dying_connection_is_not_handed_out() -> None:
    """One that is being closed is passed over, also when it has just been opened."""
    loop: Any = Loop()
    pool = Pool(loop, None)
    origin = pool.origin(ADDRESS)
    good, bad = Wire(), Wire()
    for wire in (good, bad):
        origin.free(wire.connection)
    bad.abort()
    assert origin.take() is good.connection
    assert origin.take() is None

    class Dialer:
        async def dial(self, *_: object) -> object:
            return bad.connection

    dialer: Any = Dialer()
    pool.dialer = dialer
    await failing(origin.connect(1.0), safe=True)
    bad.closing = False
    assert await origin.connect(1.0) is bad.connection
    bad.connection.connection_lost(None)
    await failing(origin.connect(1.0), safe=True)


def test_one_timer_runs_while_there_are_connections() -> None:
    """It goes off each second, or as often as the shortest time-out needs, and stops with the last one."""
    loop: Any = Loop()
    pool = Pool(loop, None)
    pool.heed(300.0)
    assert loop.running == []
    wires = [Wire(), Wire()]
    for wire in wires:
        pool.watch(wire.connection)
    assert loop.running == [1.0]
    loop.go_off()
    assert loop.running == [1.0]
    pool.heed(0.4)
    assert loop.running == [0.1]
    pool.heed(2.0)
    loop.go_off()
    assert loop.running == [0.1]
    for wire in wires:
        pool.forget(wire.connection)
    loop.go_off()
    assert loop.running == []
    pool.watch(wires[0].connection)
    pool.heed(0.000_001)
    assert loop.running == [0.01]


async def test_a_closed_pool_opens_nothing() -> None:
    """Who was still on the way when it closed is turned away, and no name is asked any more."""
    loop: Any = Loop()
    pool = Pool(loop, None)
    late = Wire()
    closed = []

    class Dialer:
        async def dial(self, *_: object) -> object:
            await pool.close()
            return late.connection

        async def close(self) -> None:
            closed.append(True)

    dialer: Any = Dialer()
    pool.dialer = dialer
    early = Wire()
    pool.watch(early.connection)
    pool.forget(early.connection)
    await failing(pool.origin(ADDRESS).connect(1.0), safe=True)
    assert late.closing
    assert closed == [True]
    assert loop.running == []
