"""Callers that leave while their connection to an upstream is being made, on the loop of the daemon."""

import asyncio
from contextlib import suppress

import uvloop

from tokligenced.gateway.upstream import HttpUpstream
from tokligenced.providers.base import UpstreamRequest


async def leave_while_dialling(times: int) -> None:
    """Send requests and cancel each after some turns of the loop; then close."""
    taken: list[asyncio.BaseTransport] = []

    class Silent(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            taken.append(transport)

    server = await asyncio.get_running_loop().create_server(Silent, "127.0.0.1", 0)
    request = UpstreamRequest(
        url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1",
        headers={},
        body=b"{}",
        connect_timeout=5,
        idle_timeout=60,
    )
    upstream = HttpUpstream()
    for number in range(times):
        sending = asyncio.create_task(upstream.send(request))
        for _ in range(number % 20):
            await asyncio.sleep(0)
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
    try:
        await asyncio.wait_for(upstream.close(), 2)
    finally:
        server.close()
        for transport in taken:
            transport.close()


def test_closing_after_callers_left_while_dialling() -> None:
    """No connection is forgotten half made, so closing all of them, and so a stop, comes to an end."""
    uvloop.run(leave_while_dialling(300))
