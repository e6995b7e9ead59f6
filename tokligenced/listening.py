"""Where the daemon listens: at addresses of its own, and on sockets that the service manager holds.

A socket that was handed over outlives this process: who connects while nobody accepts waits in it for the
next process, so a restart refuses nobody.
https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html
"""

import os
import socket
from collections.abc import Mapping, Sequence

import structlog
from aiohttp import web
from msgspec import Struct

from tokligenced import config
from tokligenced.errors import ConfigError, StoreError

_BACKLOG = 4096
_FIRST = 3


class Sites(Struct, frozen=True):
    """Where it listens: on sockets of its `own`, and on those `handed` over."""

    own: list[web.BaseSite]
    handed: list[web.BaseSite]

    @property
    def outlived(self) -> bool:
        """Whether every socket will still be there when this process is not."""
        return not self.own

    async def leave(self) -> None:
        """Take no more connections from the sockets that were handed over; their next owner will."""
        for site in self.handed:
            await site.stop()


def handed_over(environment: Mapping[str, str]) -> list[socket.socket]:
    """The listening sockets that came with this process; raises `StoreError` where they are none."""
    count = environment.get("LISTEN_FDS", "")
    if environment.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal():
        return []
    try:
        sockets = [socket.socket(fileno=_FIRST + number) for number in range(int(count))]
        for each in sockets:
            each.set_inheritable(False)
            if each.type != socket.SOCK_STREAM or not each.getsockopt(
                socket.SOL_SOCKET, socket.SO_ACCEPTCONN
            ):
                raise StoreError(f"LISTEN_FDS: {each.getsockname()} is no listening stream socket")
    except OSError as error:
        raise StoreError(f"LISTEN_FDS: {error.strerror or error}") from error
    return sockets


async def listen(runner: web.AppRunner, where: Sequence[str], handed: list[socket.socket]) -> Sites:
    """Listen at each `host:port` or `unix:/path` of `where`, at `systemd` on all sockets handed over.

    An address that one of those is bound to is served on it, so one configuration does with and without.
    Raises `StoreError` where an address can't be had, `ConfigError` for `systemd` without any socket.
    """
    sites = Sites([], [])
    left = list(handed)
    for address in where:
        try:
            found = left if address == "systemd" else _bound_to(address, left)
            left = [each for each in left if each not in found]
            for each in found:
                sites.handed.append(web.SockSite(runner, each, backlog=_BACKLOG))
                await sites.handed[-1].start()
            if address == "systemd" and not found:
                raise ConfigError(
                    "", "server.listen", '"systemd" needs socket activation, and no socket was handed over'
                )
            if not found:
                sites.own.append(_site(runner, address))
                await sites.own[-1].start()
        except OSError as error:
            raise StoreError(f"server.listen: {address}: {error.strerror or error}") from error
    for each in left:
        structlog.get_logger().warning("listen.unused", socket=str(each.getsockname()))
    return sites


def _bound_to(address: str, sockets: Sequence[socket.socket]) -> list[socket.socket]:
    if not sockets:
        return []
    names: set[object] = {address.removeprefix("unix:")}
    if not address.startswith("unix:"):
        host, port = config.host_and_port(address)
        names = {found[4][:2] for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    return [each for each in sockets if _name(each) in names]


def _name(bound: socket.socket) -> object:
    name = bound.getsockname()
    return name[:2] if isinstance(name, tuple) else name


def _site(runner: web.AppRunner, address: str) -> web.BaseSite:
    if address.startswith("unix:"):
        return web.UnixSite(runner, address.removeprefix("unix:"), backlog=_BACKLOG)
    host, port = config.host_and_port(address)
    return web.TCPSite(runner, host, port, backlog=_BACKLOG)
