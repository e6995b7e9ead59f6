"""Names: how often they are asked, and when an answer is forgotten."""

import asyncio
import socket
from typing import Any

from tests.gateway.raw_server import RawServer, failing, turns, until_left
from tokligenced.gateway.http_dial import Dialer
from tokligenced.gateway.http_request import Address


class Names:
    """The running loop, with another opinion on where names lead."""

    def __init__(self, *hosts: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._hosts = hosts
        self.asked: list[str] = []
        self.ahead = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def time(self) -> float:
        return self._loop.time() + self.ahead

    async def getaddrinfo(self, host: str, port: int, **_options: int) -> list[Any]:
        self.asked.append(host)
        await asyncio.sleep(0)
        found = [await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM) for host in self._hosts]
        return [item for items in found for item in items]


async def dial(dialer: Dialer, port: int) -> None:
    """Connect and hang up."""

    class Caller(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            self.lost = asyncio.Event()

        def connection_lost(self, _error: Exception | None) -> None:
            self.lost.set()

    made = await dialer.dial(Address("name.example", port, False), Caller, 5.0)
    made.transport.abort()
    await made.lost.wait()


async def test_a_name_is_asked_once() -> None:
    """Calls at once share one answer, and later ones remember it for a minute."""
    names: Any = Names("127.0.0.1")
    dialer = Dialer(names, None)
    async with RawServer(until_left) as server:
        await asyncio.gather(*[dial(dialer, server.port) for _ in range(5)])
        names.ahead += 59
        await dial(dialer, server.port)
        assert names.asked == ["name.example"]
        names.ahead += 2
        await dial(dialer, server.port)
        assert names.asked == ["name.example"] * 2
    await dialer.close()


async def test_a_name_that_led_nowhere_is_asked_again() -> None:
    """After a failure the host may be elsewhere."""
    names: Any = Names("127.0.0.1")
    dialer = Dialer(names, None)
    async with RawServer(until_left) as server:
        await dial(dialer, server.port)
    for count in (1, 2, 3):
        await failing(dial(dialer, server.port), safe=True)
        assert len(names.asked) == count
    await dialer.close()


async def test_a_name_that_was_not_found_is_asked_again() -> None:
    """A name server's bad moment is not remembered."""

    class Unsure(Names):
        async def getaddrinfo(self, *arguments: Any, **options: Any) -> list[Any]:
            if len(self.asked) == 1:
                return await super().getaddrinfo(*arguments, **options)
            self.asked.append("nobody knows")
            raise socket.gaierror(socket.EAI_AGAIN, "try again")

    names: Any = Unsure("127.0.0.1")
    dialer = Dialer(names, None)
    async with RawServer(until_left) as server:
        await failing(dial(dialer, server.port), safe=True)
        await dial(dialer, server.port)
    await dialer.close()


async def test_the_next_address_is_tried() -> None:
    """A host with several addresses is reached when one of them answers."""
    names: Any = Names("127.0.0.2", "::1", "127.0.0.1")
    dialer = Dialer(names, None)
    async with RawServer(until_left) as server:
        await dial(dialer, server.port)
        assert server.connections == 1
    await dialer.close()


async def test_who_leaves_does_not_take_the_answer_along() -> None:
    """A caller that is cancelled while a name is asked leaves the answer to the others."""
    names: Any = Names("127.0.0.1")
    dialer = Dialer(names, None)
    async with RawServer(until_left) as server:
        leaver, other = (asyncio.ensure_future(dial(dialer, server.port)) for _ in range(2))
        await asyncio.sleep(0)
        leaver.cancel()
        await other
        assert leaver.cancelled()
        assert names.asked == ["name.example"]
        await turns()
    await dialer.close()


async def test_a_client_that_closes_waits_for_no_name() -> None:
    """A name server that does not answer holds up nobody's end."""
    forever = asyncio.Event()

    class Silent(Names):
        async def getaddrinfo(self, *_: Any, **__: Any) -> list[Any]:
            await forever.wait()
            return []

    names: Any = Silent()
    dialer = Dialer(names, None)
    address = Address("name.example", 1, False)
    await failing(dialer.dial(address, asyncio.Protocol, 0.02), "upstream_timeout", safe=True)
    await dialer.close()
    assert len(asyncio.all_tasks()) == 1
