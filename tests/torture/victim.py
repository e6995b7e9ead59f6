"""The daemon under torture: a process that is started, killed and started again over one database."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import tomli_w

from tests.e2e.daemon_process import environment, free_port
from tests.torture.client import get

ROOT = Path(__file__).parents[2]
PRICE = {"input": "3.00", "output": "15.00"}
INPUT, OUTPUT = 3_000, 15_000  # the same in nano-USD a token
_START = 20.0
_STOP = 20.0
_LOOK_AGAIN = 0.005
_NO_LIMIT = 10**9


class Died(Exception):
    """The daemon ended where it should have run."""


class Victim:
    """`python -m tokligenced` with its files in `folder`; the database is in `disk`, else there too.

    `models` are served by the demo provider under their own names there, all at one price; those in
    `elsewhere` by the upstream at `upstream`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        models: tuple[str, ...] = ("demo",),
        upstream: str = "",
        elsewhere: tuple[str, ...] = (),
        delays: tuple[str, str] = ("0s", "0s"),
        disk: Path | None = None,
    ) -> None:
        self.port = free_port()
        self.database = (disk or folder) / "torture.db"
        self._folder = folder
        self._config = folder / "config.toml"
        self._log = folder / "daemon.log"
        self._process: subprocess.Popen[bytes] | None = None
        first, between = delays
        providers: dict[str, Any] = {
            "demo": {"type": "demo", "demo": {"first_byte": first, "between_chunks": between}}
        }
        if upstream:
            providers["elsewhere"] = {"type": "openai", "base_url": f"{upstream}/v1"}
        served = dict.fromkeys(models, "demo") | dict.fromkeys(elsewhere, "elsewhere")
        settings = {
            "server": {"listen": f"127.0.0.1:{self.port}"},
            "database": {"path": str(self.database)},
            "limits": {
                "requests_per_minute": _NO_LIMIT,
                "tokens_per_minute": 10**12,
                "concurrency": 100_000,
            },
            "log": {"format": "json", "level": "info"},
            "providers": providers,
            "models": {
                name: {
                    "context_window": 128_000,
                    "max_output_tokens": 4_096,
                    "price": PRICE,
                    "deployments": [{"provider": provider, "model": name}],
                }
                for name, provider in served.items()
            },
        }
        self._config.write_text(tomli_w.dumps(settings))

    @property
    def log(self) -> str:
        """What the daemon has written since it was last started."""
        return self._log.read_text(errors="replace")

    def _last_words(self) -> str:
        return " | ".join(self.log.splitlines()[-3:])[-600:]

    def launch(self) -> None:
        """Start it without waiting for anything."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tokligenced", "--config", str(self._config)],
                cwd=self._folder,
                env=environment() | {"PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )

    async def ready(self) -> None:
        """Wait until it answers; raises `Died`."""
        assert self._process is not None
        deadline = time.monotonic() + _START
        while await get(self.port, "/healthz") != 200:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise Died(f"the daemon did not start: {self._last_words()}")
            await asyncio.sleep(_LOOK_AGAIN)

    async def start(self) -> float:
        """Start it and wait until it answers: how long that took. Raises `Died`."""
        began = time.monotonic()
        self.launch()
        await self.ready()
        return time.monotonic() - began

    def kill(self) -> None:
        """End it as nothing can be prepared for."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Ask it to end, and wait; raises `Died` when it takes too long or does not end well."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Died(f"the daemon did not stop: {self._last_words()}") from None
        if code != 0:
            raise Died(f"the daemon ended with {code}: {self._last_words()}")

    async def ask(self, operation: str, **parameters: object) -> Any:
        """What the daemon answers on its control socket; raises `ConnectionError` when it is gone."""
        reader, writer = await asyncio.open_unix_connection(f"{self.database}.sock", limit=2**24)
        try:
            request = {"operation": operation, "parameters": parameters}
            writer.write(json.dumps(request).encode() + b"\n")
            while line := await reader.readline():
                answer = json.loads(line) if line.endswith(b"\n") else {}
                if "error" in answer:
                    raise AssertionError(f"{operation}: {answer['error']['message']}")
                if "result" in answer:
                    return answer["result"]
        finally:
            writer.close()
        raise ConnectionResetError(operation)

    def command(self, *words: str) -> str:
        """What a command prints; raises `AssertionError` with its last words when it says no."""
        ran = subprocess.run(
            [sys.executable, "-m", "tokligenced", *words, "--config", str(self._config)],
            cwd=self._folder,
            env=environment() | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if ran.returncode:
            raise AssertionError(f"{' '.join(words)}: {ran.returncode}: {ran.stdout}{ran.stderr}")
        return ran.stdout

    async def new_key(self, name: str, usd: str | None, *, unlimited: bool = False, **limits: int) -> str:
        """A key of a fresh account with so much balance."""
        email = f"{name}@example.com"
        await self.ask("accounts.create", email=email)
        if usd is not None:
            await self.ask("credit", account=email, amount=usd, reference="first")
        if unlimited:
            await self.ask("accounts.set", email=email, unlimited=True)
        created = await self.ask("keys.create", account=email, name=name, limits=limits)
        return str(created["key"])

    async def verify(self) -> list[str]:
        """What `ledger verify` finds broken, and what it counts as open that should not be."""
        verdict = await self.ask("ledger.verify")
        return [f"ledger verify: {line}" for line in verdict["broken"]]


def load_average() -> str:
    """How busy the machine was, for the figures."""
    return f"{os.getloadavg()[0]:.1f}"
