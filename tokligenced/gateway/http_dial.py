"""New connections: names, TCP, TLS. Whatever fails here, the upstream has not seen a request."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import TypeVar

from aiohappyeyeballs import AddrInfoType, start_connection

from tokligenced.errors import UpstreamFailed
from tokligenced.gateway.http_request import Address

# Seconds for which the answer to a name is believed.
_NAME_KEPT = 60.0
# Seconds after which the next of several addresses is tried beside the one before: RFC 8305, section 5.
_NEXT_ADDRESS = 0.25

_P = TypeVar("_P", bound=asyncio.BaseProtocol)


class Dialer:
    """Makes connections. `tls` None means: the machine's own certificate authorities."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tls: ssl.SSLContext | None) -> None:
        self._loop = loop
        self._tls = tls
        self._names: dict[tuple[str, int], tuple[float, asyncio.Task[Sequence[AddrInfoType]]]] = {}

    async def dial(self, address: Address, protocol: Callable[[], _P], within: float) -> _P:
        """Connect within so many seconds in all. Raises `UpstreamFailed`, always safe to retry."""
        try:
            async with asyncio.timeout(within):
                return await self._dial(address, protocol)
        except TimeoutError as error:
            raise UpstreamFailed("upstream_timeout", "The provider could not be reached in time.") from error
        except ssl.SSLError as error:
            raise _failed("The provider's certificate or TLS set-up is not acceptable.", error) from error
        except (OSError, RuntimeError, ValueError) as error:
            # uvloop raises RuntimeError for some sockets, and a name that is none is a ValueError.
            raise _failed("The provider could not be reached.", error) from error

    async def _dial(self, address: Address, protocol: Callable[[], _P]) -> _P:
        addresses = await self._look_up(address)
        try:
            sock = await start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS, loop=self._loop)
        except BaseException:
            # The name may lead elsewhere by now.
            self._names.pop((address.host, address.port), None)
            raise
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _, made = await self._loop.create_connection(
            protocol,
            sock=sock,
            ssl=self._context() if address.tls else None,
            server_hostname=address.host if address.tls else None,
        )
        return made

    async def _look_up(self, address: Address) -> Sequence[AddrInfoType]:
        """Who connects to the same host at the same time waits for the same answer."""
        name = (address.host, address.port)
        expires, task = self._names.get(name, (0.0, None))
        now = self._loop.time()
        if task is None or expires <= now:
            task = self._loop.create_task(self._ask(*name))
            self._names[name] = now + _NAME_KEPT, task
        try:
            return await asyncio.shield(task)
        except (OSError, ValueError):
            self._names.pop(name, None)
            raise

    async def _ask(self, host: str, port: int) -> Sequence[AddrInfoType]:
        return await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    async def close(self) -> None:
        """Ask for no more names."""
        tasks = [task for _, task in self._names.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _failed(message: str, error: Exception) -> UpstreamFailed:
    return UpstreamFailed("upstream_error", message, detail=f"{type(error).__name__}: {error}")
