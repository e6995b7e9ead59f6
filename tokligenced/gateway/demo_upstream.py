"""Plays the demo provider's scripts in place of a connection."""

import asyncio
from collections.abc import Mapping

from tokligenced.errors import UpstreamFailed
from tokligenced.gateway.upstream import MAX_ANSWER, Upstream, UpstreamResponse
from tokligenced.providers import embedded
from tokligenced.providers.base import UpstreamRequest
from tokligenced.providers.demo import Script


class DemoUpstream:
    """Sends requests with a `demo:` address to the demo provider, all others to `elsewhere`."""

    def __init__(self, elsewhere: Upstream) -> None:
        self._elsewhere = elsewhere

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send, and wait for the head of the answer."""
        if not request.url.startswith(embedded.SCHEME):
            return await self._elsewhere.send(request)
        return DemoResponse(embedded.answer(request), request.idle_timeout)

    async def close(self) -> None:
        """Close all connections."""
        await self._elsewhere.close()


class DemoResponse:
    """A script being played."""

    def __init__(self, script: Script, idle_timeout: float) -> None:
        self.status = script.status
        self.headers: Mapping[str, str] = {name.title(): value for name, value in script.headers.items()}
        self._steps = iter(script.steps)
        self._step = next(self._steps, None)
        self._idle_timeout = idle_timeout

    async def next(self) -> bytes:
        """The next step's bytes, after its delay; empty at the end.

        A step is taken only when its delay is over: who gives up waiting and asks again misses nothing.
        """
        while self._step is not None:
            # Even without a delay the loop gets its turn, as it would between two packets.
            await asyncio.sleep(self._step.delay)
            step, self._step = self._step, next(self._steps, None)
            if step.fault == "stall":
                self._step = step
                await asyncio.sleep(self._idle_timeout)
                raise UpstreamFailed("upstream_timeout", "The provider fell silent.", safe_to_retry=False)
            if step.fault == "cut":
                raise UpstreamFailed(
                    "upstream_error", "The provider cut the connection.", safe_to_retry=False
                )
            if step.data:
                return step.data
        return b""

    async def read(self, limit: int = MAX_ANSWER) -> bytes:
        """Everything that is left."""
        whole = b""
        while chunk := await self.next():
            whole += chunk
        if len(whole) > limit:
            raise UpstreamFailed("upstream_error", "The provider's answer is beyond all size.")
        return whole

    def close(self) -> None:
        """Stop playing."""
        self._step = None
