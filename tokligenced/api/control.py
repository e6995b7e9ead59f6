"""The control socket: how commands reach the daemon that has the database.

A Unix socket of mode 0600 beside the database. A client connects, sends one line, reads lines until
the last, and is done:

    → {"operation": "keys.revoke", "parameters": {"id": "key_…"}}
    ← {"progress": {…}}                                      any number of them; empty: it goes on
    ← {"result": …}   or   {"error": {"kind": "not_found", "message": "…"}}

Who may open the socket may do everything; there is no other check.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from tokligenced.errors import (
    ConfigError,
    Conflict,
    InvalidInput,
    NotFound,
    StoreError,
    TokligencedError,
    Unreachable,
)
from tokligenced.gateway.operations import Caller, Object, Operations, Result

_LONGEST_ADDRESS = 107  # bytes in sockaddr_un.sun_path, which ends with a zero byte: unix(7)
_LONGEST_REQUEST = 1024 * 1024
_REQUEST_TIMEOUT = 10.0
_ANSWER_TIMEOUT = 60.0
_SIGN_OF_LIFE = 15.0
_GRACE = 5.0

# An error keeps its kind on its way to the client, which exits by it; the first that fits is sent.
_KINDS: Mapping[str, type[TokligencedError]] = {
    "not_found": NotFound,
    "conflict": Conflict,
    "invalid_input": InvalidInput,
    "store": StoreError,
    "config": ConfigError,
    "failed": TokligencedError,
}


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The line a client sends."""

    operation: str
    parameters: Object = {}


_REQUEST = msgspec.json.Decoder(Request)


def socket_path(database: Path) -> Path:
    """Where the control socket of the daemon with this database file is."""
    path = database.resolve()  # as its lock is: one database has one socket, whatever its path is called
    return path.with_name(path.name + ".sock")


class ControlServer:
    """Listens on the control socket and performs what is asked, each request as it comes.

    It is started by who holds the database's lock, so that a socket found there is stale.
    `on_failure(operation, error)` is told of what no operation should raise; the client isn't.
    """

    def __init__(
        self, path: Path, operations: Operations, *, on_failure: Callable[[str, BaseException], None]
    ) -> None:
        self._path = path
        self._operations = operations
        self._on_failure = on_failure
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._silent: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen; raises `StoreError` when the socket can't be made."""
        listener = socket.socket(socket.AF_UNIX)
        previous = os.umask(0o177)  # so that there is no moment at which others could connect
        try:
            self._path.unlink(missing_ok=True)
            with _address(self._path) as address:
                listener.bind(address)
        except OSError as error:
            listener.close()
            raise StoreError(f"{self._path}: {error.strerror or error}") from error
        finally:
            os.umask(previous)
        self._server = await asyncio.start_unix_server(self._connected, sock=listener, limit=_LONGEST_REQUEST)

    async def close(self) -> None:
        """Stop listening; what is being done may end within a few seconds, then it is cancelled."""
        if self._server is None:
            return
        self._path.unlink(missing_ok=True)
        self._server.close()
        for writer in self._silent:
            writer.close()
        if self._connections:
            _, late = await asyncio.wait(self._connections, timeout=_GRACE)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def send(**answer: object) -> None:
            line = msgspec.json.encode(answer) + b"\n"
            if not writer.is_closing():  # who left is not told; what they asked for is done
                writer.write(line)

        try:
            self._silent.add(writer)
            line = await _read_line(reader)
            self._silent.discard(writer)
            try:
                request = _REQUEST.decode(line)
            except (msgspec.DecodeError, RecursionError) as error:
                send(error={"kind": "invalid_input", "message": f"control request: {error}"})
            else:
                alive = asyncio.get_running_loop().create_task(_signs_of_life(send))
                try:
                    await self._answer(request, send, writer.drain)
                finally:
                    alive.cancel()
        finally:
            self._silent.discard(writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(
        self, request: Request, send: Callable[..., None], taken: Callable[[], Awaitable[None]]
    ) -> None:
        try:
            caller = Caller(actor="cli", progress=lambda progress: send(progress=progress), taken=taken)
            send(result=await self._operations.perform(request.operation, request.parameters, caller))
        except ConnectionError:
            return  # who asked has left, and only telling the rest was left to do
        except TokligencedError as error:
            kind = next(kind for kind, error_type in _KINDS.items() if isinstance(error, error_type))
            send(error={"kind": kind, "message": str(error)})
        except Exception as error:
            self._on_failure(request.operation, error)
            send(error={"kind": "failed", "message": "the daemon failed; its log says why"})


async def _signs_of_life(send: Callable[..., None]) -> None:
    """Tell the client from time to time that what it asked for is being done, until cancelled."""
    while True:
        await asyncio.sleep(_SIGN_OF_LIFE)
        send(progress={})


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    """What came as one line: nothing, which no decoder takes, when it is too long or too slow."""
    try:
        async with asyncio.timeout(_REQUEST_TIMEOUT):
            return await reader.readline()
    except (ValueError, TimeoutError, ConnectionError):
        return b""


def connect(path: Path) -> socket.socket:
    """A connection to the daemon; raises `Unreachable`."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(_ANSWER_TIMEOUT)
    try:
        with _address(path) as address:
            connection.connect(address)
    except OSError as error:
        connection.close()
        raise Unreachable(f"{path}: no daemon answers: {error.strerror or error}") from error
    return connection


def ask(
    connection: socket.socket, operation: str, parameters: Object, on_progress: Callable[[Object], None]
) -> Result:
    """Have the daemon perform `operation`; the connection is used up.

    Raises what the operation raised, and `Unreachable` when no answer came: then nobody knows whether
    it was done.
    """
    with connection, connection.makefile("rb") as answers:
        _send(connection, {"operation": operation, "parameters": parameters})
        while "progress" in (answer := _receive(answers)):
            if answer["progress"]:
                on_progress(answer["progress"])
    if "error" in answer:
        raise _revived(**answer["error"])
    result: Result = answer["result"]
    return result


def _send(connection: socket.socket, request: Object) -> None:
    try:
        connection.sendall(msgspec.json.encode(request) + b"\n")
    except OSError as error:
        raise Unreachable(f"the daemon does not listen: {error.strerror or error}") from error


def _receive(answers: IO[bytes]) -> Object:
    try:
        line = answers.readline()
    except OSError as error:
        raise Unreachable(f"the daemon gave no answer: {error.strerror or error}") from error
    if not line.endswith(b"\n"):
        raise Unreachable("the daemon went away before it answered: what was asked may or may not be done")
    answer: Object = msgspec.json.decode(line)
    return answer


def _revived(kind: str, message: str) -> TokligencedError:
    error_type = _KINDS.get(kind, TokligencedError)
    return ConfigError("", "", message) if error_type is ConfigError else error_type(message)


@contextlib.contextmanager
def _address(path: Path) -> Iterator[str]:
    """A name for a socket that the kernel takes: a long path is shortened by way of its open directory."""
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
