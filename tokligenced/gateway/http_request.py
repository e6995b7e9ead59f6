"""Requests as they are written: all of a head that does not change from call to call, made once."""

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from tokligenced.errors import UpstreamFailed

# Everything else could end a line early, and what follows would be read as another header or request.
_LINE = re.compile(r"[\t\x20-\x7e\x80-\xff]+")
_WORD = re.compile(r"[\x21-\x7e]+")


class Address(NamedTuple):
    """Where connections lead; `host` is a name or an IP address without brackets."""

    host: str
    port: int
    tls: bool


def prepare(method: str, url: str, headers: Mapping[str, str]) -> tuple[Address, bytes]:
    """Where a request goes, and its head up to the number that ends it: the body's length.

    Raises `UpstreamFailed` when the URL or a header can't be sent.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if host is None or parts.scheme not in {"http", "https"} or "@" in parts.netloc:
        raise _not_sendable("the URL")
    tls = parts.scheme == "https"
    usual_port = 443 if tls else 80
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    named = f"[{host}]" if ":" in host else host
    if port not in {None, usual_port}:
        named = f"{named}:{port}"
    if not all(_WORD.fullmatch(part) for part in (method, target, named)):
        raise _not_sendable("the URL")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {named}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if not all(_LINE.fullmatch(line) for line in lines):
        raise _not_sendable("a header")
    head = "\r\n".join([*lines, "Content-Length: "]).encode("latin-1")
    return Address(host, port or usual_port, tls), head


def _not_sendable(what: str) -> UpstreamFailed:
    # Neither is shown: both may hold credentials.
    return UpstreamFailed(
        "upstream_error",
        "The provider's address or headers are not fit to be sent.",
        operator_fault=True,
        detail=f"{what} can't be sent",
    )
