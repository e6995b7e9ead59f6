"""The answers being sent: keep-alives where one is silent, an end to those nobody reads, the final cut.

One task looks after all streams once a second, so that no stream needs a timer of its own.
"""

import asyncio

from aiohttp import web

from tokligenced.errors import CallError, Unavailable

KEEP_ALIVE_AFTER = 10.0
WRITE_TIMEOUT = 60.0
_ROUND = 1.0
_RETRY_AFTER = 5

# What may wait in the socket of a client that reads slowly.
_WRITE_BUFFER = 32 * 1024


class LiveStream:
    """One event stream on its way to a client; writes through it are known to the watch."""

    __slots__ = ("_loop", "keep_alive", "request", "response", "since", "writing")

    def __init__(self, request: web.Request, response: web.StreamResponse, keep_alive: bytes) -> None:
        self.request = request
        self.response = response
        self.keep_alive = keep_alive
        self.writing = False
        self._loop = asyncio.get_running_loop()
        self.since = self._loop.time()

    async def write(self, chunk: bytes) -> None:
        """Send a chunk; waits while the client does not read. Raises `ConnectionError` when it left."""
        self.writing = True
        self.since = self._loop.time()
        await self.response.write(chunk)
        self.writing = False


class LiveStreams:
    """All calls being served, and of these the streams."""

    def __init__(self) -> None:
        self._streams: set[LiveStream] = set()
        self._calls: set[asyncio.Task[None]] = set()

    def started(self, request: web.Request) -> None:
        """Note that a call is being served."""
        self._calls.add(request.task)

    def ended(self, request: web.Request) -> None:
        """Note that a call has been served."""
        self._calls.discard(request.task)

    def open(self, request: web.Request, response: web.StreamResponse, keep_alive: bytes) -> LiveStream:
        """Begin to look after a stream whose head has been sent."""
        if request.transport is not None:
            request.transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        stream = LiveStream(request, response, keep_alive)
        self._streams.add(stream)
        return stream

    def close(self, stream: LiveStream) -> None:
        """Stop looking after a stream."""
        self._streams.discard(stream)

    async def watch(self) -> None:
        """Go round for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_ROUND)
            now = loop.time()
            for stream in tuple(self._streams):
                silent = now - stream.since
                if stream.writing:
                    if silent >= WRITE_TIMEOUT and stream.request.transport is not None:
                        stream.request.transport.abort()
                elif silent >= KEEP_ALIVE_AFTER:
                    await self._keep_alive(stream)

    async def _keep_alive(self, stream: LiveStream) -> None:
        # After so long a silence nothing waits in the buffer, so this does not block the round.
        try:
            await stream.write(stream.keep_alive)
        except ConnectionError:
            self.close(stream)

    def cut(self) -> None:
        """End every call now; each tells its client why."""
        for task in self._calls:
            task.cancel(
                Unavailable("shutting_down", "The gateway is shutting down.", retry_after=_RETRY_AFTER)
            )


def cut_off(error: asyncio.CancelledError) -> CallError | None:
    """What `LiveStreams.cut` wants the client to hear, taking the cancellation back; None for any other."""
    reason = error.args[0] if error.args else None
    task = asyncio.current_task()
    if not isinstance(reason, CallError) or task is None:
        return None
    task.uncancel()
    return reason
