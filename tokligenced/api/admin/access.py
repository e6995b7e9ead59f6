"""Who may ask as an administrator: with an administrator's key, or on the machine itself.

Who shows a key is judged by it, wherever he is. Without one, a request must come from this machine, and no
web page must have sent it: a browser there would send what any page in the world tells it to.
"""

from aiohttp import web

from tokligenced.api.front import Front
from tokligenced.api.metrics import is_local
from tokligenced.domain import Account
from tokligenced.errors import CallError, Unauthenticated

LOCAL = "local"
_OURS = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})


class Forbidden(CallError):
    """Somebody known, who may not do this."""

    status = 403
    type = "permission_error"


def actor(front: Front, request: web.Request) -> str:
    """Whom the audit shall name: an account's id, or `local`. Raises `Unauthenticated`, `Forbidden`."""
    shown = request.headers.get("Authorization")
    if shown is None:
        if not is_local(request):
            raise Unauthenticated("missing_api_key", "This is for administrators: send a key of one.")
        _not_a_page(request)
        return LOCAL
    payer = front.authenticator.authenticate(shown).payer
    if not (isinstance(payer, Account) and payer.admin):
        raise Forbidden("not_an_administrator", "This is for administrators, whose key this is not.")
    return payer.id


def _not_a_page(request: web.Request) -> None:
    """Refuse what a web page sent, or what reached this machine by a name that is not its own."""
    foreign = "Origin" in request.headers or request.headers.get("Sec-Fetch-Site", "none") != "none"
    # A page may have its own name point here: then the browser holds us for its origin.
    host = request.headers.get("Host", "").rpartition(":")[0] or request.headers.get("Host", "")
    if foreign or host not in _OURS:
        raise Forbidden("foreign_origin", "Without a key, only programs on this machine may ask.")
