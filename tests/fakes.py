"""Stand-ins for what tests can't have for real: a remote service that misbehaves on order, time, chance."""

import asyncio
import itertools
import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from gzip import compress
from typing import Any, Literal, Self

import msgspec
from aiohttp import web
from multidict import CIMultiDictProxy

_NO_LINGER = struct.pack("ii", 1, 0)
_ENDLESS_PIECE = b"x" * 65_536
_LARGEST_REQUEST = 64 * 1024 * 1024


class FakeClock:
    """A clock that stands still until it is told to go on."""

    def __init__(self, wall_ms: int = 1_700_000_000_000, monotonic: float = 1_000.0) -> None:
        self._wall_ms = wall_ms
        self._monotonic = monotonic

    def wall_ms(self) -> int:
        """Unix milliseconds."""
        return self._wall_ms

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self._wall_ms += round(seconds * 1_000)
        self._monotonic += seconds


class FixedIds:
    """Identifiers that count: the first is `prefix` and 00000000000000000000000001."""

    def __init__(self) -> None:
        self._made = 0

    def new(self, prefix: str) -> str:
        """`prefix` and 26 characters that sort by time of making."""
        self._made += 1
        return f"{prefix}{self._made:026d}"


class Trouble(Enum):
    """What may stand among a reply's parts besides bytes and gates."""

    CUT = "the connection is reset"
    STALL = "nothing more comes, and the connection stays"
    ENDLESS = "bytes without a line end, until the client has had enough; only when chunked"


CUT, STALL, ENDLESS = Trouble

Part = bytes | asyncio.Event | Trouble
Framing = Literal["length", "chunked", "close", "raw"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """How the fake upstream answers one request.

    `parts` are written one by one. An `asyncio.Event` among them is a gate: what follows waits until
    the test sets it. Bytes without a gate between them may reach the client together.
    `before` is awaited or suffered before the head is sent: gates and troubles only.
    `framing`: `length` announces the bytes of all parts, also of those after a trouble; `chunked`;
    `close` ends the body with the connection and announces nothing; `raw` sends no head of its own,
    so that `parts` can be any bytes at all, and closes.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    before: tuple[asyncio.Event | Trouble, ...] = ()
    framing: Framing = "length"


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """A request as it came; `gone` is set when its client left before the reply was over."""

    method: str
    path: str
    headers: CIMultiDictProxy[str]
    body: bytes
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)


def body(data: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """A whole JSON answer."""
    return Reply(
        status=status,
        headers={"Content-Type": "application/json", **(headers or {})},
        parts=(msgspec.json.encode(data),),
    )


def error(status: int, message: str = "no", *, code: str | None = None, **headers: str) -> Reply:
    """An error in OpenAI's shape; `retry_after="2"` becomes the header Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    kind = "invalid_request_error" if status < 500 else "server_error"
    detail = {"message": message, "type": kind, "param": None, "code": code}
    return body({"error": detail}, status=status, headers=named)


def stream(*parts: Part, framing: Framing = "chunked") -> Reply:
    """An event stream; see `events` for good parts, and put gates and troubles between them."""
    return Reply(headers={"Content-Type": "text/event-stream"}, parts=parts, framing=framing)


def events(*data: object, done: bool = True) -> list[bytes]:
    """Each object as an event of a stream, `[DONE]` last."""
    encoded = [b"data: " + msgspec.json.encode(item) + b"\n\n" for item in data]
    return [*encoded, b"data: [DONE]\n\n"] if done else encoded


def redirect(location: str, status: int = 302) -> Reply:
    """Sends the client elsewhere."""
    return Reply(status=status, headers={"Location": location})


def gzipped(reply: Reply) -> Reply:
    """The same reply compressed, whether the client likes it or not."""
    whole = b"".join([part for part in reply.parts if isinstance(part, bytes)])
    headers = {**reply.headers, "Content-Encoding": "gzip"}
    return Reply(status=reply.status, headers=headers, parts=(compress(whole),))


def split(whole: bytes, *places: int) -> list[bytes]:
    """The bytes cut at these places."""
    edges = [0, *places, len(whole)]
    return [whole[start:end] for start, end in itertools.pairwise(edges)]


def chat_completion(
    content: str = "Hello", *, prompt_tokens: int = 10, completion_tokens: int = 5, **members: object
) -> dict[str, object]:
    """A whole chat answer as OpenAI would give it."""
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "fake-model",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": _usage(prompt_tokens, completion_tokens),
        **members,
    }


def chat_chunks(
    pieces: Iterable[str] = ("Hel", "lo"), *, prompt_tokens: int = 10, completion_tokens: int = 5
) -> list[dict[str, object]]:
    """The same as a stream's chunks, the one with the usage last."""
    deltas = [{"role": "assistant", "content": ""}, *[{"content": piece} for piece in pieces]]
    chunks = [_chunk([_choice(delta, None)], None) for delta in deltas]
    return [
        *chunks,
        _chunk([_choice({}, "stop")], None),
        _chunk([], _usage(prompt_tokens, completion_tokens)),
    ]


def _choice(delta: object, finish: str | None) -> dict[str, object]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _chunk(choices: list[dict[str, object]], usage: object) -> dict[str, object]:
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "fake-model",
        "choices": choices,
        "usage": usage,
    }


def _usage(prompt: int, completion: int) -> dict[str, object]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


class _Broken(ConnectionResetError):
    """Our own doing, not the client's."""


class FakeUpstream:
    """A server on a port of its own that answers as told and keeps what it received.

        async with FakeUpstream() as upstream:
            upstream.serve(error(429), body(chat_completion()))

    Replies are used in order, the last one again and again; without any, the answer is 501.
    """

    def __init__(self) -> None:
        self.received: list[Received] = []
        self._replies: list[Reply] = [error(501, "the test has not said what to answer")]
        self._arrival = asyncio.Condition()
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, without a slash at its end."""
        return f"http://127.0.0.1:{self._port}"

    def serve(self, *replies: Reply) -> None:
        """From now on, answer with these."""
        self._replies = list(replies)

    async def arrived(self, count: int = 1) -> Received:
        """Wait until so many requests have been received; the last of them."""
        async with self._arrival:
            await self._arrival.wait_for(lambda: len(self.received) >= count)
        return self.received[count - 1]

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=_LARGEST_REQUEST)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        received = Received(
            method=request.method, path=request.path_qs, headers=request.headers, body=await request.read()
        )
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        async with self._arrival:
            self.received.append(received)
            self._arrival.notify_all()
        try:
            return await self._play(request, reply)
        except _Broken:
            raise
        except (asyncio.CancelledError, ConnectionError):
            received.gone.set()
            raise

    async def _play(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        for trouble in reply.before:
            await self._suffer(trouble, transport)
        if reply.framing in {"close", "raw"}:
            return await self._play_bare(transport, reply)
        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        if reply.framing == "length":
            response.content_length = sum(len(part) for part in reply.parts if isinstance(part, bytes))
        await response.prepare(request)
        for part in reply.parts:
            if isinstance(part, bytes):
                await response.write(part)
            elif part is ENDLESS:
                while True:
                    await response.write(_ENDLESS_PIECE)
            else:
                await self._suffer(part, transport)
        await response.write_eof()
        return response

    async def _play_bare(self, transport: asyncio.Transport, reply: Reply) -> web.StreamResponse:
        """Write past aiohttp, which would always announce where a body ends."""
        if reply.framing == "close":
            lines = [f"HTTP/1.1 {reply.status} Fake", "Connection: close"]
            lines += [f"{name}: {value}" for name, value in reply.headers.items()]
            transport.write("\r\n".join([*lines, "", ""]).encode())
        for part in reply.parts:
            if isinstance(part, bytes):
                transport.write(part)
            else:
                await self._suffer(part, transport)
        transport.close()
        return web.Response()

    async def _suffer(self, part: asyncio.Event | Trouble, transport: asyncio.Transport) -> None:
        if isinstance(part, asyncio.Event):
            await part.wait()
        elif part is STALL:
            await self._closing.wait()
            raise _Broken
        else:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            transport.abort()
            raise _Broken
