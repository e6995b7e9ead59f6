"""Time, identifiers and background tasks: all that is not a function of its arguments.

Everything that needs the time, a fresh id or a task of its own gets it from here, so that tests
can put their own in its place and a stop leaves nothing running.
"""

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Coroutine
from typing import Protocol


class Clock(Protocol):
    """Where time comes from: wall time for people and files, monotonic time for everything inside."""

    def wall_ms(self) -> int:
        """Unix milliseconds."""

    def monotonic(self) -> float:
        """Seconds that never go backwards."""


class SystemClock:
    """The machine's own clocks."""

    def wall_ms(self) -> int:
        """Unix milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        return time.monotonic()


class IdSource(Protocol):
    """Where identifiers come from."""

    def new(self, prefix: str) -> str:
        """`prefix` and 32 hexadecimal digits that sort by time of making."""


class RandomIds:
    """Identifiers of 48 bits of time and 80 of chance.

    They are unique but no secrets, so chance need not be asked of the kernel each time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._bits = random.Random(secrets.randbits(256)).getrandbits  # noqa: S311 - see above

    def new(self, prefix: str) -> str:
        """`prefix` and 32 hexadecimal digits that sort by time of making."""
        return f"{prefix}{self._clock.wall_ms() << 80 | self._bits(80):032x}"


class Tasks:
    """Owner of background tasks: each has a name, none outlives `close`, none fails unseen.

    `on_crash(name, error)` is called when a task ends by an exception.
    """

    def __init__(self, on_crash: Callable[[str, BaseException], None]) -> None:
        self._on_crash = on_crash
        self._running: set[asyncio.Task[None]] = set()

    def spawn(
        self, name: str, work: Coroutine[None, None, None], at_end: Callable[[], None] | None = None
    ) -> None:
        """Start `work`; it runs until it ends or `close` cancels it.

        `at_end` is called in any case, also when `work` was cancelled before its first step.
        """
        task = asyncio.get_running_loop().create_task(work, name=name)
        if at_end is not None:
            task.add_done_callback(lambda _: at_end())
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_crash(task.get_name(), error)

    async def close(self) -> None:
        """Cancel what still runs and wait for it."""
        running = tuple(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
