"""A client on bare sockets: it keeps what it got, however the answer ended, and can leave at any moment."""

import asyncio
import json
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from msgspec import Struct

_PATIENCE = 30.0
_LARGEST_READ = 65_536


class Answer(Struct, kw_only=True):
    """What came of a request; `whole` says that nothing was missing, `at` when the last of it came.

    `asked` is when it was asked for, `began` when the first of it came.
    """

    status: int = 0
    headers: dict[str, str]
    body: bytes = b""
    whole: bool = False
    asked: float = 0.0
    began: float = 0.0
    at: float = 0.0

    @property
    def id(self) -> str:
        """The call's id; empty when not even the head came."""
        return self.headers.get("x-request-id", "")

    @property
    def cost_nano(self) -> int | None:
        """What the head says the call cost."""
        told = self.headers.get("x-tokligence-cost")
        return None if told is None else int(Decimal(told) * 10**9)

    @property
    def text(self) -> str:
        """The words that came, of a stream's whole events."""
        found = []
        for event in self.body.split(b"\n\n")[:-1]:
            data = event.rpartition(b"data: ")[2]
            if data.startswith(b"{"):
                choices = json.loads(data).get("choices") or [{}]
                found.append(choices[0].get("delta", {}).get("content") or "")
        return "".join(found)


def request(key: str, body: bytes) -> bytes:
    """A chat request as it goes over the wire; the connection is for it alone."""
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def chat(model: str, text: str, **members: Any) -> bytes:
    """The body of a chat request."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": text}], **members}).encode()


async def call(
    port: int, key: str, body: bytes, *, leave: float | None = None, left: Callable[[], None] = lambda: None
) -> Answer:
    """Make a call and take what comes, until its end, the connection's, or `leave` seconds are over.

    `left` is called at the moment of leaving. A daemon that is not there gives an empty answer.
    """
    answer = Answer(headers={}, asked=time.monotonic())
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return answer
    received = bytearray()
    try:
        writer.write(request(key, body))
        async with asyncio.timeout(_PATIENCE if leave is None else leave):
            while chunk := await reader.read(_LARGEST_READ):
                received += chunk
                answer.at = time.monotonic()
                answer.began = answer.began or answer.at
    except TimeoutError:
        if leave is None:
            raise
        left()
    except OSError:
        pass  # killed: what came before is what counts
    finally:
        writer.transport.abort()
    _read(answer, bytes(received))
    return answer


def _read(answer: Answer, received: bytes) -> None:
    head, found, rest = received.partition(b"\r\n\r\n")
    if not found:
        return
    first, *lines = head.decode("latin-1").split("\r\n")
    answer.status = int(first.split()[1])
    answer.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    if "content-length" in answer.headers:
        answer.body = rest
        answer.whole = len(rest) == int(answer.headers["content-length"])
    else:
        answer.body, answer.whole = _dechunked(rest)


def _dechunked(rest: bytes) -> tuple[bytes, bool]:
    """What there is of a chunked body, and whether that is all."""
    parts = []
    while True:
        size, found, rest = rest.partition(b"\r\n")
        if not found:
            return b"".join(parts), False
        length = int(size, 16)
        if length == 0:
            return b"".join(parts), rest == b"\r\n"
        parts.append(rest[:length])
        if len(rest) < length + 2:
            return b"".join(parts), False
        rest = rest[length + 2 :]


async def get(port: int, path: str) -> int:
    """The status of a GET; 0 when nobody answers."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        head = await reader.read(100)
        writer.close()
        return int(head.split()[1]) if head else 0
    except OSError:
        return 0
