"""A small whole answer that leaves in one piece, head and body made here.

aiohttp builds, checks and serializes the headers of each answer in several steps, which for a small answer
costs more than all else the gateway does with it.
"""

from collections.abc import Mapping

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time

# A larger answer is written by aiohttp, which waits while the client does not read.
_LARGEST = 64 * 1024


def whole(request: web.Request, body: bytes, headers: Mapping[str, str]) -> web.Response:
    """An answer with status 200, made as fast as this request and this body allow.

    A client that does not read what it got is left to aiohttp, which waits for it.
    """
    plain = request.version == HttpVersion11 and request.keep_alive and request.method != "HEAD"
    if plain and len(body) <= _LARGEST and not request.protocol.writing_paused:
        return _Ready(body, headers)
    return web.Response(body=body, headers=headers)


class _Ready(web.Response):
    """Sent by `prepare`, and then over."""

    def __init__(self, body: bytes, headers: Mapping[str, str]) -> None:
        super().__init__()
        lines = ["HTTP/1.1 200 OK", *[f"{name}: {value}" for name, value in headers.items()]]
        lines.append(f"Content-Length: {len(body)}\r\nDate: {rfc822_formatted_time()}\r\n\r\n")
        head = "\r\n".join(lines)
        if head.count("\n") != len(lines) + 2:
            raise ValueError("a header's value holds a line end")
        self._bytes = head.encode() + body

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send it. Raises `ConnectionError` when the client has left."""
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has left")
        self._keep_alive = True
        transport.write(self._bytes)
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to be sent."""
