"""For those who run the gateway and for their machines: /metrics and /readyz.

The metrics are for who asks on the machine itself, and for an administrator's key; to anybody else there is
nothing here.
"""

import ipaddress

from aiohttp import web

from tokligenced.api.front import SERVER, Front
from tokligenced.domain import Account
from tokligenced.errors import Unauthenticated
from tokligenced.gateway.exposition import CONTENT_TYPE, exposition

_RETRY_AFTER = 5
# What proxies add: one on this machine speaks for clients elsewhere.
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")


def metrics(front: Front, request: web.Request) -> web.Response | None:
    """All metrics in Prometheus' text format; None for who may not see them."""
    if not (is_local(request) or is_administrator(front, request)):
        return None
    headers = {"Content-Type": CONTENT_TYPE, "Server": SERVER}
    return web.Response(body=exposition(front.vitals), headers=headers)


async def readyz(front: Front, _request: web.Request) -> web.Response:
    """Whether new calls may come: 200, or 503 with the reasons why not."""
    reasons = front.vitals.not_ready()
    if not reasons:
        return web.json_response({"status": "ready"}, headers={"Server": SERVER})
    return web.json_response(
        {"status": "not_ready", "reasons": reasons},
        status=503,
        headers={"Server": SERVER, "Retry-After": str(_RETRY_AFTER)},
    )


def is_local(request: web.Request) -> bool:
    """Whether the request comes by TCP from this machine, and not by way of a proxy on it."""
    if request.transport is None or any(name in request.headers for name in _FORWARDED):
        return False
    peer = request.transport.get_extra_info("peername")
    if not isinstance(peer, tuple):
        return False  # a Unix socket is a proxy's, usually
    address = ipaddress.ip_address(str(peer[0]).partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def is_administrator(front: Front, request: web.Request) -> bool:
    """Whether the request has a key that an administrator's account pays for."""
    try:
        principal = front.authenticator.authenticate(request.headers.get("Authorization"), None)
    except Unauthenticated:
        return False
    return isinstance(principal.payer, Account) and principal.payer.admin
