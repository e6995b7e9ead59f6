"""The processes of a benchmark: who runs where, how they start, how they are asked and stopped.

Server under test on the first core; upstream, load generator and this process on the second.
"""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from tests.bench import wire
from tests.bench.load import Job, Result

ROOT = Path(__file__).parents[2]

_CORES = sorted(os.sched_getaffinity(0))
PINNED = len(_CORES) >= 2
_START_TIMEOUT = 20.0
_STOP_TIMEOUT = 15.0
_FILES_NEEDED = 8192


class BenchFailed(Exception):
    """A figure would not be worth printing: a request failed, or a process did not do its part."""


def use_own_core() -> None:
    """Leave the first core to the servers under test, and allow them thousands of connections."""
    if PINNED:
        os.sched_setaffinity(0, {_CORES[1]})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _FILES_NEEDED:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(_FILES_NEEDED, hard), hard))


def python(*arguments: str) -> list[str]:
    """The command line of one of our modules under this interpreter."""
    return [sys.executable, "-m", *arguments]


def generate(job: Job) -> Result:
    """Run one job in a load generator of its own; raises `BenchFailed` if any answer was wrong."""
    done = subprocess.run(
        python("tests.bench.load", msgspec.json.encode(job).decode()),
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        raise BenchFailed(f"the load generator ended with {done.returncode}: {done.stderr.decode()[-2000:]}")
    try:
        result = msgspec.json.decode(done.stdout, type=Result)
    except msgspec.DecodeError as error:
        raise BenchFailed(f"the load generator's result can't be read: {error}: {done.stdout!r}") from error
    if result.errors:
        raise BenchFailed("wrong answers: " + "; ".join(result.errors))
    if not result.calls and not result.events:
        raise BenchFailed("nothing was answered within the measured time")
    return result


class Process:
    """A server as a subprocess on a port of its own; it can be started again after it was stopped."""

    key = "none"

    def __init__(self, name: str, home: Path, *, own_core: bool) -> None:
        self.name = name
        self.port = _free_port()
        self._own_core = own_core
        self._log = home / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """The command line that starts it."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """Its process id while it runs."""
        if self._process is None:
            raise BenchFailed(f"{self.name} does not run")
        return self._process.pid

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start it, wait until it answers calls, and stop it in the end."""
        self.launch()
        try:
            self.wait_until_ready()
            yield
        finally:
            self.stop()

    def launch(self) -> None:
        """Start it without waiting for anything."""
        with self._log.open("wb") as log, on_server_core() if self._own_core else nullcontext():
            self._process = subprocess.Popen(
                self.command(),
                cwd=ROOT,
                env=os.environ | {"BENCH_UPSTREAM_KEY": "sk-bench"},
                stdout=log,
                stderr=log,
            )

    def wait_until_healthy(self) -> None:
        """Return as soon as `/healthz` is answered 200."""
        self._wait_for(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")

    def wait_until_ready(self) -> None:
        """Return as soon as a call is answered: what a client means by ready."""
        self._wait_for(wire.request(port=self.port, key=self.key, chunks=0, interval_ms=0))

    def _wait_for(self, request: bytes) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        while not (answer := _exchange(self.port, request)).startswith(b"HTTP/1.1 200 "):
            if self._process is not None and self._process.poll() is not None:
                raise BenchFailed(f"{self.name} ended at once: {self._last_words()}")
            if time.monotonic() > deadline:
                told = answer.decode(errors="replace")
                raise BenchFailed(f"{self.name} does not answer with 200 but {told!r}; {self._last_words()}")
            time.sleep(0.002)

    def stop(self) -> None:
        """Ask it to end and wait; one that doesn't is killed, and the benchmark has failed."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise BenchFailed(f"{self.name} did not stop within {_STOP_TIMEOUT:.0f} s") from None
        if process.returncode not in (0, -signal.SIGTERM):
            raise BenchFailed(f"{self.name} ended with {process.returncode}: {self._last_words()}")

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace")[-2000:] or "(it said nothing)"


class MockUpstream(Process):
    """The upstream of both sides."""

    def __init__(self, home: Path) -> None:
        super().__init__("upstream", home, own_core=False)

    def command(self) -> list[str]:
        """The command line that starts it."""
        return python("tests.bench.mock_upstream", str(self.port))


class BareRelay(Process):
    """The yardstick."""

    def __init__(self, home: Path, upstream: MockUpstream, name: str = "relay") -> None:
        super().__init__(name, home, own_core=True)
        self._upstream = upstream

    def command(self) -> list[str]:
        """The command line that starts it."""
        return python("tests.bench.bare_relay", str(self.port), f"http://127.0.0.1:{self._upstream.port}")


class Gateway(Process):
    """The daemon itself: a configuration, a database file made durable, an account with credit, a key."""

    def __init__(self, home: Path, upstream: MockUpstream) -> None:
        super().__init__("gateway", home, own_core=True)
        self._config = home / "config.toml"
        self._config.write_text(tomli_w.dumps(self._settings(home / "bench.db", upstream.port)))
        account = ("--account", "bench@example.com")
        self._cli("accounts", "create", account[1])
        if (
            subprocess.run(
                python("tokligenced", "credit", "--help"), cwd=ROOT, capture_output=True, check=False
            ).returncode
            == 0
        ):
            self._cli("credit", *account, "1000000", "--reference", "bench")
        limits = ("--rpm", "100000000", "--tpm", "1000000000000", "--concurrency", "100000")
        self.key = self._cli("keys", "create", *account, "--name", "bench", *limits)["key"]

    def command(self) -> list[str]:
        """The command line that starts it."""
        return python("tokligenced", "--config", str(self._config))

    def _settings(self, database: Path, upstream_port: int) -> dict[str, Any]:
        return {
            "server": {"listen": f"127.0.0.1:{self.port}"},
            "database": {"path": str(database), "durability": "full"},
            "providers": {
                "chat": self._provider("openai", f"http://127.0.0.1:{upstream_port}/v1"),
                "anthropic": self._provider("anthropic", f"http://127.0.0.1:{upstream_port}"),
                "gemini": self._provider("gemini", f"http://127.0.0.1:{upstream_port}"),
            },
            "models": {
                name: {
                    "context_window": 200_000,
                    "max_output_tokens": 8192,
                    "price": {"input": "3.00", "cached_input": "0.30", "output": "15.00"},
                    "deployments": [{"provider": provider, "model": "bench-upstream"}],
                }
                for provider, name in wire.MODELS.items()
            },
        }

    def _provider(self, kind: str, base_url: str) -> dict[str, Any]:
        return {"type": kind, "base_url": base_url, "api_key": {"env": "BENCH_UPSTREAM_KEY"}}

    def _cli(self, *arguments: str) -> dict[str, Any]:
        command = python("tokligenced", *arguments, "--config", str(self._config), "--json")
        environment = os.environ | {"BENCH_UPSTREAM_KEY": "sk-bench"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
        if done.returncode != 0:
            raise BenchFailed(f"tokligenced {' '.join(arguments)}: {done.stderr.decode()[-2000:]}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _exchange(port: int, request: bytes) -> bytes:
    """The beginning of the answer to one request, empty when nobody listens."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(request)
            return connection.recv(1000)
    except (ConnectionError, TimeoutError):
        return b""


@contextmanager
def on_server_core() -> Iterator[None]:
    """What is started within starts on the core of the servers under test."""
    if not PINNED:
        yield
        return
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {_CORES[0]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)
