"""Anthropic Messages: how clients are told of errors.

https://platform.claude.com/docs/en/api/errors
"""

import msgspec

from tokligenced.errors import CallError

_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
}
# What passes by itself; Anthropic's own clients wait and try again.
_BUSY = frozenset({"upstream_rate_limited", "ledger_unavailable", "shutting_down"})

KEEP_ALIVE = b'event: ping\ndata: {"type":"ping"}\n\n'


def render_error(error: CallError, request_id: str) -> bytes:
    """The body of an error answer; the upstream's own where that is to stay as it is."""
    if error.body is not None:
        return error.body
    usual = "invalid_request_error" if error.status < 500 else "api_error"
    kind = "overloaded_error" if error.code in _BUSY else _TYPES.get(error.status, usual)
    told = {"type": kind, "message": error.message}
    return msgspec.json.encode({"type": "error", "error": told, "request_id": request_id})


def render_error_event(error: CallError, request_id: str) -> bytes:
    """The event that ends a stream which failed after its first byte."""
    return b"event: error\ndata: %b\n\n" % render_error(error, request_id)
