"""How long one attempt may take, where the configuration limits more than its connection."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from tokligenced.domain import Timeouts
from tokligenced.errors import UpstreamFailed

T = TypeVar("T")


class Deadline:
    """The moments by which something must have come. Make it when the attempt begins, in a running loop."""

    __slots__ = ("_first", "_total")

    def __init__(self, timeouts: Timeouts) -> None:
        self._first: float | None = None
        self._total: float | None = None
        if timeouts.first_byte is not None or timeouts.total is not None:
            now = asyncio.get_running_loop().time()
            self._first = None if timeouts.first_byte is None else now + timeouts.first_byte
            self._total = None if timeouts.total is None else now + timeouts.total

    def first_byte_came(self) -> None:
        """From now on only the whole of it is limited."""
        self._first = None

    async def within(self, awaited: Awaitable[T]) -> T:
        """What is awaited. Raises `UpstreamFailed` when it is not there in time."""
        first, total = self._first, self._total
        if first is None and total is None:
            return await awaited
        when = min(moment for moment in (first, total) if moment is not None)
        try:
            async with asyncio.timeout_at(when):
                return await awaited
        except TimeoutError:
            # It had the request, and may be at work on it.
            raise UpstreamFailed(
                "upstream_timeout", "The provider took too long.", safe_to_retry=False
            ) from None


NO_DEADLINE = Deadline(Timeouts())
