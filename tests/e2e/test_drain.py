"""SIGTERM with a thousand streams open, a deadline that passes, and a table of descriptors that is full."""

import asyncio
import json
import resource
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.daemon_process import Daemon, free_port
from tests.torture.client import get

STREAMS = 1_000
STALLED = 20
ENDS_WITHIN = 2.0
DEADLINE = 2.0

# The paths of the three dialects: what a stream that was cut says, and one whose tokens came to an end.
CUT = {
    "/v1/chat/completions": b'"code":"shutting_down"',
    "/v1/messages": b"event: error\ndata: ",
    "/v1/responses": b"event: response.failed\ndata: ",
}
END = {
    "/v1/chat/completions": b"data: [DONE]\n\n",
    "/v1/messages": b'data: {"type":"message_stop"}\n\n',
    "/v1/responses": b"event: response.incomplete\n",
}
PATHS = list(CUT)

MODELS = """
[models.slow]
context_window = 8192
max_output_tokens = 1024
price = { input = "3.00", output = "15.00" }
deployments = [{ provider = "demo", model = "slow-300" }]

[models.endless]
context_window = 8192
max_output_tokens = 1024
price = { input = "3.00", output = "15.00" }
deployments = [{ provider = "demo", model = "slow-1000" }]
"""


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    """Room for a thousand connections in this process, which plays all the clients."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] < 3 * STREAMS:
        pytest.skip(f"only {before[1]} file descriptors may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def own(tmp_path: Path) -> Daemon:
    made = Daemon(tmp_path, port=free_port())
    text = made.config.read_text().replace("requests_per_minute = 1000", "requests_per_minute = 1000000")
    text = text.replace(
        "tokens_per_minute = 10_000_000", "tokens_per_minute = 10_000_000_000\nconcurrency = 9999"
    )
    made.config.write_text(text + MODELS)
    return made


class Stream:
    """One call, streamed, on a connection of its own."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.received = b""

    async def open(self, port: int, key: str, model: str, tokens: int) -> None:
        """Ask, and wait for the head and a first event."""
        body: dict[str, Any] = {"model": model, "stream": True}
        if self.path == "/v1/responses":
            body |= {"input": "hi", "max_output_tokens": tokens}
        else:
            body |= {"messages": [{"role": "user", "content": "hi"}], "max_tokens": tokens}
        text = json.dumps(body).encode()
        head = f"POST {self.path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.writer.write(head.encode() + text)
        while b"data: {" not in self.received and (chunk := await self.reader.read(65536)):
            self.received += chunk
        assert self.received.startswith(b"HTTP/1.1 200"), self.received

    async def rest(self) -> bytes:
        """All of it, once it has ended."""
        chunks = [self.received]
        async with asyncio.timeout(60):
            try:
                while chunk := await self.reader.read(65536):
                    chunks.append(chunk)
                    if b"\r\n0\r\n\r\n" in chunk:
                        break
            finally:
                self.writer.close()
        self.received = b"".join(chunks)
        return self.received


async def opened(own: Daemon, key: str, model: str, tokens: int) -> list[Stream]:
    """A thousand streams, of all dialects in turn."""
    streams = [Stream(PATHS[number % len(PATHS)]) for number in range(STREAMS)]
    for first in range(0, STREAMS, 100):
        await asyncio.gather(
            *[each.open(own.port, key, model, tokens) for each in streams[first : first + 100]]
        )
    return streams


async def refused(own: Daemon, key: str, path: str) -> bytes:
    """The answer to a new call."""
    call = Stream(path)
    with pytest.raises(AssertionError):
        await call.open(own.port, key, "slow", 50)
    call.writer.close()
    return call.received


async def draining(own: Daemon) -> None:
    async with asyncio.timeout(10):
        while "daemon.draining" not in own.log:  # noqa: ASYNC110 - it is another process that says so
            await asyncio.sleep(0.02)


def booked(own: Daemon) -> tuple[int, int, int]:
    """How many calls ended well, how many were cut and charged, and how many holds are open."""
    with closing(sqlite3.connect(own.folder / "tokligenced.db")) as books:
        (calls,) = books.execute("SELECT count(*) FROM calls WHERE status = 200").fetchone()
        (cut,) = books.execute(
            "SELECT count(*) FROM calls WHERE error = 'shutting_down' AND cost_nano > 0"
        ).fetchone()
        (holds,) = books.execute("SELECT count(*) FROM holds").fetchone()
    return calls, cut, holds


def rich_key(own: Daemon) -> str:
    key = own.new_key()
    own.command("credit", "--account", "user1@example.com", "100000", "--reference", "rich")
    return key


async def test_a_thousand_streams_come_to_their_end(own: Daemon) -> None:
    """After SIGTERM not one of a thousand streams is cut, while every new call hears 503 with Retry-After."""
    with own:
        key = await asyncio.to_thread(rich_key, own)
        streams = await opened(own, key, "slow", 30)
        own.signal(signal.SIGTERM)
        await draining(own)
        for path in PATHS * 10:
            answer = await refused(own, key, path)
            assert answer.startswith(b"HTTP/1.1 503"), answer
            assert b"\r\nRetry-After: 5\r\n" in answer
            assert b"\r\nConnection: close\r\n" in answer
        rests = await asyncio.gather(*[each.rest() for each in streams])
        cut = [rest for each, rest in zip(streams, rests, strict=True) if END[each.path] not in rest]
        assert (len(cut), cut[:1]) == (0, [])
        assert await asyncio.to_thread(own.wait) == 0
    books = await asyncio.to_thread(own.command, "ledger", "verify")
    assert (books["ok"], books["open_holds"]) == (True, 0)
    assert booked(own) == (STREAMS, 0, 0)


@pytest.mark.parametrize("by", ["deadline", "second signal"])
async def test_the_end_comes_in_time(own: Daemon, by: str) -> None:
    """At the deadline, or a second SIGTERM, each stream is told, settled, and the process gone in 2 s."""
    timeout = DEADLINE if by == "deadline" else 300
    own.config.write_text(
        own.config.read_text().replace("[server]", f'[server]\ndrain_timeout = "{timeout}s"')
    )
    with own:
        key = await asyncio.to_thread(rich_key, own)
        streams = await opened(own, key, "endless", 500)
        with closing(socket.create_connection(("127.0.0.1", own.port))) as silent:
            silent.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n")  # and never the rest
            began = time.monotonic()
            own.signal(signal.SIGTERM)
            if by != "deadline":
                await draining(own)
                began = time.monotonic() - timeout
                own.signal(signal.SIGTERM)
            reading = [
                asyncio.create_task(each.rest()) for each in streams[STALLED:]
            ]  # the others read no more
            assert await asyncio.to_thread(own.wait) == 0
            late = time.monotonic() - began - timeout
            rests = await asyncio.gather(*reading)
            for each in streams[:STALLED]:
                each.writer.close()
    print(f"{STREAMS} streams cut, told, settled; the process gone {late:.2f} s after the {by}")  # noqa: T201
    untold = [rest for each, rest in zip(streams[STALLED:], rests, strict=True) if CUT[each.path] not in rest]
    assert (len(untold), untold[:1]) == (0, [])
    assert late < ENDS_WITHIN
    books = await asyncio.to_thread(own.command, "ledger", "verify")
    assert (books["ok"], books["open_holds"]) == (True, 0)
    assert booked(own) == (0, STREAMS, 0)


async def test_a_full_table_of_descriptors_passes(own: Daemon) -> None:
    """With no descriptor left the daemon lives on, and serves again once connections have gone."""
    with own:
        key = await asyncio.to_thread(rich_key, own)
        pid = own.command("status")["pid"]
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        assert before[0] == before[1]  # it has taken all it may have
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (64, before[1]))
        crowd = [socket.create_connection(("127.0.0.1", own.port)) for _ in range(200)]
        async with asyncio.timeout(10):
            while await get(own.port, "/healthz") != 0:  # noqa: ASYNC110 - turned away
                await asyncio.sleep(0.02)
        for each in crowd:
            each.close()
        async with asyncio.timeout(10):
            while await get(own.port, "/healthz") != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        call = Stream("/v1/chat/completions")
        await call.open(own.port, key, "claude-3-5-sonnet", 20)
        assert END[call.path] in await call.rest()
