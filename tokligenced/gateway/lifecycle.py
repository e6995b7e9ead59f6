"""Whether calls may come in, how many are on their way, and when the last one has left."""

import asyncio

from tokligenced.errors import Unavailable

_RETRY_AFTER = 5


class Lifecycle:
    """Counts calls. Once `drain` was called new ones are refused, if so wished, and running ones go on."""

    def __init__(self) -> None:
        self.draining = False
        self._refusing = False
        self.running = 0
        self._idle: asyncio.Event = asyncio.Event()
        self._idle.set()

    def enter(self) -> None:
        """Let a call in; raises `Unavailable` (`shutting_down`) when draining refuses it."""
        if self._refusing:
            raise Unavailable(
                "shutting_down", "The gateway is shutting down; try again shortly.", retry_after=_RETRY_AFTER
            )
        self.running += 1
        self._idle.clear()

    def leave(self) -> None:
        """One call less."""
        self.running -= 1
        if not self.running:
            self._idle.set()

    def drain(self, *, refuse: bool = True) -> None:
        """Begin to end. Not to `refuse` new calls is for when only open connections can bring any."""
        self.draining = True
        self._refusing = refuse

    async def idle(self) -> None:
        """Wait until no call is on its way."""
        await self._idle.wait()
