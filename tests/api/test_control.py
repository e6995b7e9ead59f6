"""The control socket: a line in, lines out, for its owner alone."""

import asyncio
import json
import socket
import stat
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from msgspec import Struct

from tokligenced.api import control
from tokligenced.clock import SystemClock
from tokligenced.errors import (
    ConfigError,
    Conflict,
    InvalidInput,
    NotFound,
    StoreError,
    StoreLocked,
    TokligencedError,
    Unreachable,
)
from tokligenced.gateway.operations import Caller, Nothing, Object, Operation, Operations, Result, Services

ERRORS: dict[str, Callable[[], Exception]] = {
    "NotFound": lambda: NotFound("there is no key 'k'"),
    "Conflict": lambda: Conflict("it is there"),
    "InvalidInput": lambda: InvalidInput("what?"),
    "ConfigError": lambda: ConfigError("c.toml", "server.listen", "why"),
    "StoreError": lambda: StoreError("disk full"),
    "StoreLocked": lambda: StoreLocked("in use"),
    "TokligencedError": lambda: TokligencedError("no"),
    "KeyError": lambda: KeyError("secret"),
}


class Text(Struct, frozen=True):
    """One parameter."""

    text: str


class Desk:
    """A control server with operations made for tests, and what it was told of."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failures: list[tuple[str, str]] = []
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.ended = 0
        self.told = 0
        operations = {
            "echo": Operation(Text, self._echo),
            "raise": Operation(Text, self._raise),
            "count": Operation(Nothing, self._count),
            "wait": Operation(Nothing, self._wait),
            "garble": Operation(Nothing, self._garble),
            "flood": Operation(Nothing, self._flood),
        }
        self.server = control.ControlServer(
            path,
            Operations(
                Services(directory=None, ledger=None, database=None, clock=SystemClock()),  # type: ignore[arg-type]
                operations,
            ),
            on_failure=lambda name, error: self.failures.append((name, repr(error))),
        )

    async def _echo(self, _services: Services, parameters: Text, caller: Caller) -> Result:
        return {"text": parameters.text, "actor": caller.actor}

    async def _raise(self, _services: Services, parameters: Text, _caller: Caller) -> Result:
        error = ERRORS[parameters.text]()
        raise error

    async def _count(self, _services: Services, _parameters: Nothing, caller: Caller) -> Result:
        for number in range(3):
            caller.progress({"done": number})
            await asyncio.sleep(0)
        return [{"n": 1}]

    async def _wait(self, _services: Services, _parameters: Nothing, _caller: Caller) -> Result:
        self.begun.set()
        await self.may_end.wait()
        self.ended += 1
        return {}

    async def _garble(self, _services: Services, _parameters: Nothing, _caller: Caller) -> Result:
        return {"what no JSON has": object()}

    async def _flood(self, _services: Services, _parameters: Nothing, caller: Caller) -> Result:
        self.begun.set()
        try:
            for self.told in range(1_000):
                caller.progress({"much": "x" * 100_000})
                await caller.taken()
        finally:
            self.ended += 1
        return {}

    async def ask(self, operation: str, **parameters: object) -> Result:
        """What the blocking client gets."""
        return await asyncio.to_thread(self.ask_blocking, operation, parameters, lambda _progress: None)

    def ask_blocking(
        self, operation: str, parameters: Object, on_progress: Callable[[Object], None]
    ) -> Result:
        return control.ask(control.connect(self.path), operation, parameters, on_progress)

    async def raw(self, sent: bytes) -> list[Any]:
        """The lines that come back when exactly this is sent."""
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        writer.write(sent)
        writer.write_eof()
        lines = (await reader.read()).splitlines()
        writer.close()
        await writer.wait_closed()
        return [json.loads(line) for line in lines]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A desk that is open."""
    desk = Desk(tmp_path / "t.db.sock")
    await desk.server.start()
    yield desk
    desk.may_end.set()
    await desk.server.close()


async def test_what_is_asked_is_answered(desk: Desk) -> None:
    """The result of an operation comes back as it is, whatever characters are in it."""
    text = 'line one\nline two \u2028 "quoted" ☂'
    assert await desk.ask("echo", text=text) == {"text": text, "actor": "cli"}


async def test_progress_comes_before_the_result(desk: Desk) -> None:
    """A long operation says how far it is, in order, then gives its result."""
    seen: list[Object] = []
    result = await asyncio.to_thread(desk.ask_blocking, "count", {}, seen.append)
    assert seen == [{"done": 0}, {"done": 1}, {"done": 2}]
    assert result == [{"n": 1}]


@pytest.mark.parametrize("name", [name for name in ERRORS if name != "KeyError"])
async def test_errors_keep_their_kind_and_words(desk: Desk, name: str) -> None:
    """What an operation raises is raised at the client, as the kind that decides about its exit code."""
    original = ERRORS[name]()
    expected = StoreError if isinstance(original, StoreError) else type(original)
    with pytest.raises(TokligencedError) as caught:
        await desk.ask("raise", text=name)
    assert type(caught.value) is expected
    assert str(caught.value) == str(original)
    assert desk.failures == []


async def test_the_unexpected_is_reported_to_the_daemon_alone(desk: Desk) -> None:
    """A bug's words stay in the daemon's log, and the socket goes on serving."""
    with pytest.raises(TokligencedError) as caught:
        await desk.ask("raise", text="KeyError")
    assert "secret" not in str(caught.value)
    assert desk.failures == [("raise", "KeyError('secret')")]
    with pytest.raises(TokligencedError, match="its log says why"):
        await desk.ask("garble")
    assert len(desk.failures) == 2
    assert await desk.ask("echo", text="x")


async def test_unknown_operations_are_refused(desk: Desk) -> None:
    """An operation or parameter the daemon does not know is the client's mistake."""
    with pytest.raises(InvalidInput, match="no operation 'dance'"):
        await desk.ask("dance")
    with pytest.raises(InvalidInput, match="`text`"):
        await desk.ask("echo", txt="x")


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"{}\n",
        b"[]\n",
        b"null\n",
        b"{\n",
        b"\xff\n",
        b"[" * 100_000 + b"\n",
        b'{"parameters":' + b'{"a":' * 100_000 + b"\n",
        b'{"operation":1}\n',
        b'{"operation":"echo","more":1}\n',
        b'{"operation":"echo","parameters":[]}\n',
    ],
)
async def test_what_is_no_request_is_refused(desk: Desk, line: bytes) -> None:
    """A line that is no JSON or no request gets one error and nothing else happens."""
    (answer,) = await desk.raw(line)
    assert answer["error"]["kind"] == "invalid_input"
    assert desk.failures == []


async def test_a_line_without_end_is_cut(desk: Desk) -> None:
    """Who sends more than a request can be is let go before it is all read."""
    _, writer = await asyncio.open_unix_connection(str(desk.path))
    with pytest.raises(ConnectionError):
        for _ in range(1000):
            writer.write(b"x" * 100_000)
            await writer.drain()
    writer.close()
    assert await desk.ask("echo", text="x")
    assert desk.failures == []


async def test_only_the_owner_may_connect(desk: Desk) -> None:
    """The socket has mode 0600 from the moment it exists."""
    mode = desk.path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


async def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    """What a killed daemon left behind does not keep the next one from listening."""
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "t.db.sock"))
    left.close()
    with pytest.raises(Unreachable, match="Connection refused"):
        control.connect(tmp_path / "t.db.sock")
    desk = Desk(tmp_path / "t.db.sock")
    await desk.server.start()
    assert await desk.ask("echo", text="x")
    await desk.server.close()


async def test_a_long_path_is_reached(tmp_path: Path) -> None:
    """A database below a path longer than the kernel's 107 bytes for sockets has its control socket too."""
    folder = tmp_path / ("deep" * 30) / ("deeper" * 20)
    folder.mkdir(parents=True)
    desk = Desk(control.socket_path(folder / "tokligenced.db"))
    await desk.server.start()
    assert desk.path.name == "tokligenced.db.sock"
    assert stat.S_IMODE(desk.path.stat().st_mode) == 0o600
    assert (await desk.ask("echo", text="far"))["text"] == "far"
    await desk.server.close()
    assert not desk.path.exists()


async def test_a_socket_that_can_not_be_made_is_an_error_of_the_store(tmp_path: Path) -> None:
    """A folder that is not there, or a name no socket can have, is said in one line."""
    for path in (tmp_path / "gone" / "t.sock", tmp_path / ("x" * 250)):
        with pytest.raises(StoreError, match=str(path)):
            await Desk(path).server.start()
        with pytest.raises(Unreachable, match="no daemon answers"):
            control.connect(path)


async def test_one_database_has_one_socket(tmp_path: Path) -> None:
    """Whichever of its names a database is called by, its socket is the same."""
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert control.socket_path(tmp_path / "link" / "t.db") == control.socket_path(tmp_path / "data" / "t.db")


async def test_closing_lets_what_was_begun_end(desk: Desk) -> None:
    """A request that is being done when the daemon stops gets its answer; nobody new gets in."""
    asked = asyncio.ensure_future(desk.ask("wait"))
    await desk.begun.wait()
    closing = asyncio.ensure_future(desk.server.close())
    await asyncio.sleep(0)
    with pytest.raises(Unreachable):
        control.connect(desk.path)
    desk.may_end.set()
    await closing
    assert await asked == {}


async def test_a_silent_client_does_not_delay_the_end(desk: Desk) -> None:
    """Who has connected and said nothing is let go at once when the daemon stops."""
    reader, writer = await asyncio.open_unix_connection(str(desk.path))
    await desk.ask("echo", text="x")
    await asyncio.wait_for(desk.server.close(), timeout=2)
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_what_does_not_end_is_cut(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What outlives the daemon's patience is cancelled, and its client learns that it may be undone."""
    monkeypatch.setattr(control, "_GRACE", 0.01)
    asked = asyncio.ensure_future(desk.ask("wait"))
    await desk.begun.wait()
    await desk.server.close()
    with pytest.raises(Unreachable, match="may or may not be done"):
        await asked
    assert desk.ended == 0


async def test_a_client_that_leaves_harms_nobody(desk: Desk) -> None:
    """What was asked by someone who left is done all the same, and others are served meanwhile."""
    _, writer = await asyncio.open_unix_connection(str(desk.path))
    writer.write(b'{"operation":"wait"}\n')
    await desk.begun.wait()
    writer.transport.abort()
    assert await desk.ask("echo", text="x")
    desk.may_end.set()
    await desk.server.close()
    assert desk.ended == 1
    assert desk.failures == []


async def test_what_is_not_taken_does_not_pile_up(desk: Desk) -> None:
    """Who has much to tell waits for a slow client, and stops telling one that has left."""
    _, writer = await asyncio.open_unix_connection(str(desk.path), limit=1)
    writer.write(b'{"operation":"flood"}\n')
    await desk.begun.wait()
    assert await desk.ask("echo", text="x")
    assert desk.told < 100
    writer.transport.abort()
    await desk.server.close()
    assert (desk.ended, desk.told < 100) == (1, True)
    assert desk.failures == []


async def test_what_takes_long_gives_signs_of_life(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client hears from time to time that it is being worked on, before it gives up, and tells nobody."""
    monkeypatch.setattr(control, "_SIGN_OF_LIFE", 0.01)
    reader, writer = await asyncio.open_unix_connection(str(desk.path))
    writer.write(b'{"operation":"wait"}\n')
    for _ in range(3):
        assert await reader.readline() == b'{"progress":{}}\n'
    seen: list[Object] = []
    asked = asyncio.create_task(asyncio.to_thread(desk.ask_blocking, "wait", {}, seen.append))
    await reader.readline()
    desk.may_end.set()
    assert await asked == {}
    assert seen == []
    writer.close()


async def test_many_are_served_at_once(desk: Desk) -> None:
    """A long operation keeps nobody else waiting."""
    waiting = [asyncio.ensure_future(desk.raw(b'{"operation":"wait"}\n')) for _ in range(20)]
    await desk.begun.wait()
    answers = await asyncio.gather(*[desk.ask("echo", text=str(number)) for number in range(20)])
    assert [answer["text"] for answer in answers] == [str(number) for number in range(20)]
    desk.may_end.set()
    assert await asyncio.gather(*waiting) == [[{"result": {}}]] * 20


def test_a_server_that_dies_in_its_answer_is_unreachable(tmp_path: Path) -> None:
    """Half a line is no answer."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()

    def answer_half() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b'{"result": {"id"')

    thread = threading.Thread(target=answer_half)
    thread.start()
    with pytest.raises(Unreachable, match="went away"):
        control.ask(control.connect(tmp_path / "s"), "echo", {}, lambda _progress: None)
    thread.join()
    listener.close()


def test_it_works_on_the_daemon_s_own_loop(tmp_path: Path) -> None:
    """The daemon runs on uvloop: mode, requests and a clean end are the same there."""

    async def serve() -> None:
        desk = Desk(tmp_path / "t.db.sock")
        await desk.server.start()
        assert stat.S_IMODE(desk.path.stat().st_mode) == 0o600
        assert (await desk.ask("echo", text="x"))["text"] == "x"
        reader, writer = await asyncio.open_unix_connection(str(desk.path))
        await desk.ask("echo", text="x")
        await asyncio.wait_for(desk.server.close(), timeout=2)
        assert await reader.read() == b""
        writer.close()
        assert not desk.path.exists()

    uvloop.run(serve())
