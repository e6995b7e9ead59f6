"""What the service manager is told: ready, reloading, stopping, how it goes, and that all is well.

A datagram of `NAME=value` lines to the socket in $NOTIFY_SOCKET; where there is none, nothing is sent.
https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager

import structlog

from tokligenced.errors import StoreError

_STATUS_ROUND = 15.0
_PATIENCE = 1.0


class Notifier:
    """Tells the manager; `address` None: nobody. `watchdog` is in how many seconds it wants a ping, or None.

    A manager that does not listen is noted in the log and changes nothing.
    """

    def __init__(self, address: str | None, watchdog: float | None) -> None:
        self._address = address
        self._watchdog = watchdog

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Notifier":
        """The manager that started this process, as the process's environment tells of it."""
        microseconds = environment.get("WATCHDOG_USEC", "")
        meant = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        wanted = int(microseconds) / 1e6 if meant and microseconds.isdecimal() else 0.0
        return cls(environment.get("NOTIFY_SOCKET"), wanted or None)

    def ready(self) -> None:
        """Say that calls are served, and that it is this process that does."""
        self._tell("READY=1", f"MAINPID={os.getpid()}")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Say that the configuration is being read anew, and at the end, however it ends, that it was."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
        try:
            yield
        finally:
            self._tell("READY=1")

    def stopping(self, seconds: float) -> None:
        """Say that the end may take so long; a unit's own time-out may be shorter than `drain_timeout`."""
        self._tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def status(self, text: str) -> None:
        """Say in a line for people how it goes."""
        self._tell(f"STATUS={text}")

    async def watch(self, healthy: Callable[[], Awaitable[None]], status: Callable[[], str]) -> None:
        """Tell the status again and again, and ping the watchdog as often as `healthy` returns in time.

        `healthy` raises `StoreError` where it is not. That this task comes round is what says that the
        loop turns. Returns at once where there is nobody to tell.
        """
        if self._address is None:
            return
        interval = min(_STATUS_ROUND, (self._watchdog or 60.0) / 2)
        while True:
            try:
                async with asyncio.timeout(interval):
                    await healthy()
            except (TimeoutError, StoreError) as error:
                reason = str(error) or "the ledger did not commit in time"
                structlog.get_logger().error("watchdog.withheld", reason=reason)
                self.status(f"unwell: {reason}")
            else:
                self._tell(*(["WATCHDOG=1"] if self._watchdog else []), f"STATUS={status()}")
            await asyncio.sleep(interval)

    def _tell(self, *lines: str) -> None:
        if self._address is None:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        message = "\n".join(line.replace("\n", " ") for line in lines)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as way:
                way.settimeout(_PATIENCE)
                way.sendto(message.encode(), address)
        except OSError as error:
            structlog.get_logger().warning("notify.failed", error=str(error))
