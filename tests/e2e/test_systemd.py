"""The daemon under a service manager, which the test plays: notifications, watchdog, a socket handed over."""

import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx2 as httpx
import pytest

from tests.e2e.daemon_process import Daemon, environment

# What systemd does between fork and exec: the socket becomes descriptor 3, and the new process's id is told.
EXEC = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "tokligenced.socket"}
os.execv(sys.executable, [sys.executable, "-m", "tokligenced", *sys.argv[2:]])
"""
LOADERS = 16
RESTARTS = 3


class Manager:
    """A parent that holds the listening socket and hears what the daemon notifies."""

    def __init__(self, folder: Path) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.daemon = Daemon(folder, port=self.listener.getsockname()[1])
        self.ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ear.bind(f"\0tokligenced-test-{os.getpid()}")
        self.ear.settimeout(15)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, watchdog: float = 0.0) -> None:
        """Start the daemon and wait for READY=1."""
        told = environment() | {
            "NOTIFY_SOCKET": "@" + self.ear.getsockname()[1:].decode(),
            "WATCHDOG_USEC": str(int(watchdog * 1e6)),
        }
        fd = self.listener.fileno()
        with (self.daemon.folder / "daemon.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", EXEC, str(fd), "--config", str(self.daemon.config)],
                env=told,
                pass_fds=[fd],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.hear("READY=1")

    def next(self) -> list[str]:
        """The next notification's lines."""
        return self.ear.recv(65536).decode().splitlines()

    def hear(self, line: str) -> list[str]:
        """Wait for a notification with `line`; the whole of it."""
        while line not in (lines := self.next()):
            pass
        return lines

    def stop(self) -> int:
        """Ask the daemon to end, and wait for that; its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def close(self) -> None:
        """Leave nothing running and nothing open."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.ear.close()
        self.listener.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path)
    yield made
    made.close()


def test_the_manager_is_told(manager: Manager) -> None:
    """Ready, reloading, ready again, stopping: each is told when it is so, with a status people can read."""
    manager.start()
    assert manager.process is not None
    assert manager.next() == ["STATUS=serving; 0 calls running; ledger: ok"]
    manager.process.send_signal(signal.SIGHUP)
    (reloading, at) = manager.next()
    assert reloading == "RELOADING=1"
    microseconds = int(at.removeprefix("MONOTONIC_USEC="))
    assert abs(time.clock_gettime_ns(time.CLOCK_MONOTONIC) / 1000 - microseconds) < 5e6
    assert manager.next() == ["READY=1"]
    manager.process.send_signal(signal.SIGTERM)
    assert manager.next() == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=330000000"]
    assert manager.next() == ["STATUS=draining; 0 calls running; ledger: ok"]
    assert manager.process.wait(20) == 0


def test_a_refused_reload_ends_too(manager: Manager) -> None:
    """A reload of a broken file is over for the manager as well, and the daemon says READY."""
    manager.start()
    good = manager.daemon.config.read_text()
    manager.daemon.config.write_text("nonsense")
    assert manager.process is not None
    manager.process.send_signal(signal.SIGHUP)
    manager.hear("READY=1")
    manager.daemon.config.write_text(good)
    assert manager.stop() == 0


def test_the_watchdog_is_fed(manager: Manager) -> None:
    """The watchdog is pinged twice in the time it allows."""
    manager.start(watchdog=0.4)
    began = time.monotonic()
    for _ in range(5):
        manager.hear("WATCHDOG=1")
    assert time.monotonic() - began < 5 * 0.4
    assert manager.stop() == 0


def test_the_watchdog_goes_hungry_without_a_ledger(manager: Manager) -> None:
    """A daemon whose commits fail says why and pings no more; once they work again it does."""
    manager.start(watchdog=0.4)
    manager.hear("WATCHDOG=1")
    assert manager.process is not None
    before = resource.prlimit(manager.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(manager.process.pid, resource.RLIMIT_FSIZE, (1, before[1]))  # each write fails: EFBIG
    while not (lines := manager.next())[-1].startswith("STATUS=unwell: "):
        pass
    assert "WATCHDOG=1" not in lines
    resource.prlimit(manager.process.pid, resource.RLIMIT_FSIZE, before)
    manager.hear("WATCHDOG=1")
    assert manager.stop() == 0


def test_the_watchdog_goes_hungry_without_a_loop(manager: Manager) -> None:
    """A process that stands still pings nobody, and goes on pinging when it goes on."""
    manager.start(watchdog=0.4)
    manager.hear("WATCHDOG=1")
    assert manager.process is not None
    manager.process.send_signal(signal.SIGSTOP)
    manager.ear.settimeout(1.0)
    with pytest.raises(TimeoutError):
        for _ in range(4):  # what was on its way
            manager.next()
    manager.process.send_signal(signal.SIGCONT)
    manager.hear("WATCHDOG=1")
    assert manager.stop() == 0


async def load(session: aiohttp.ClientSession, url: str, key: str, over: asyncio.Event) -> list[Any]:
    """Call and call again, without a second try, until it is `over`; every status or error."""
    body = {"model": "claude-3-5-sonnet", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
    seen: list[Any] = []
    while not over.is_set():
        streamed = {"stream": True} if len(seen) % 2 else {}
        try:
            headers = {"Authorization": f"Bearer {key}"}
            async with session.post(url, json=body | streamed, headers=headers) as answer:
                text = await answer.text()
                seen.append(answer.status if "data: [DONE]" in text or not streamed else text)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            seen.append(repr(error))
    return seen


@pytest.mark.parametrize("keep_alive", [True, False])
async def test_a_restart_fails_no_call(manager: Manager, keep_alive: bool) -> None:
    """Restarted under load with its socket held by the manager, the daemon fails not one call."""
    text = manager.daemon.config.read_text()
    limits = "requests_per_minute = 1000000\nconcurrency = 1000"
    manager.daemon.config.write_text(text.replace("requests_per_minute = 1000", limits))
    await asyncio.to_thread(manager.start)
    key = await asyncio.to_thread(manager.daemon.new_key)
    over = asyncio.Event()
    connector = aiohttp.TCPConnector(limit=LOADERS, force_close=not keep_alive)
    gaps = []
    async with aiohttp.ClientSession(connector=connector) as session:
        url = f"http://127.0.0.1:{manager.daemon.port}/v1/chat/completions"
        loads = [asyncio.create_task(load(session, url, key, over)) for _ in range(LOADERS)]
        for _ in range(RESTARTS):
            await asyncio.sleep(0.5)
            began = time.monotonic()
            assert await asyncio.to_thread(manager.stop) == 0
            await asyncio.to_thread(manager.start)
            gaps.append(time.monotonic() - began)
        await asyncio.sleep(0.5)
        over.set()
        seen = [status for each in await asyncio.gather(*loads) for status in each]
    assert await asyncio.to_thread(manager.stop) == 0
    print(f"{len(seen)} calls over restarts of {[f'{gap:.2f} s' for gap in gaps]}")  # noqa: T201
    assert len(seen) > 10 * LOADERS
    assert [status for status in seen if status != 200] == []
    books = await asyncio.to_thread(manager.daemon.command, "ledger", "verify")
    assert (books["ok"], books["open_holds"]) == (True, 0)


def test_what_comes_in_between_waits(manager: Manager) -> None:
    """Who connects while no daemon runs is answered by the next one, on the very same connection."""
    manager.start()
    assert manager.stop() == 0
    with socket.create_connection(("127.0.0.1", manager.daemon.port)) as early:
        early.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        manager.start()
        early.settimeout(10)
        assert early.recv(100).startswith(b"HTTP/1.1 200 OK")
    assert manager.stop() == 0


def test_a_unix_socket_is_left_in_its_place(tmp_path: Path) -> None:
    """A Unix socket that was handed over serves, and its name is still there when the daemon has gone."""
    path = tmp_path / "http.sock"
    manager = Manager(tmp_path)
    manager.listener.close()
    manager.listener = socket.socket(socket.AF_UNIX)
    manager.listener.bind(str(path))
    manager.listener.listen()
    text = manager.daemon.config.read_text()
    manager.daemon.config.write_text(text.replace(f'"127.0.0.1:{manager.daemon.port}"', f'"unix:{path}"'))
    try:
        manager.start()
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            assert client.get("http://localhost/healthz").status_code == 200
        assert manager.stop() == 0
        assert path.is_socket()
    finally:
        manager.close()


def test_a_socket_nobody_configured_is_named(manager: Manager) -> None:
    """A socket that no `server.listen` asks for is not served, and the log says so: else it would hang."""
    other = socket.create_server(("127.0.0.1", 0))
    port = other.getsockname()[1]
    other.close()
    text = manager.daemon.config.read_text()
    manager.daemon.config.write_text(text.replace(f"127.0.0.1:{manager.daemon.port}", f"127.0.0.1:{port}"))
    manager.start()
    assert manager.stop() == 0
    events = [json.loads(line) for line in manager.daemon.log.splitlines()]
    (line,) = [line for line in events if line["event"] == "listen.unused"]
    assert str(manager.daemon.port) in line["socket"]
