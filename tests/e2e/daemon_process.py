"""A daemon as users have it: a process of its own, a configuration file, and commands."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

_START = 30.0
_STOP = 30.0
_LOOK_AGAIN = 0.02
DOCUMENTED_PORT = 8081

CONFIG = """
[server]
listen = "127.0.0.1:{port}"
public_url = "http://localhost:{port}"

[database]
path = "{folder}/tokligenced.db"

[log]
format = "json"

[limits]
requests_per_minute = 1000
tokens_per_minute = 10_000_000

[endpoints]
embeddings = true
images = true
rerank = true

[providers.demo]
type = "demo"
demo = {{ first_byte = "0s", between_chunks = "0s" }}

[providers.nobody]
type = "openai"
base_url = "http://127.0.0.1:{closed}/v1"
api_key = {{ env = "NOBODYS_KEY" }}

[models."claude-3-5-sonnet"]
context_window = 200_000
max_output_tokens = 8192
price = {{ input = "3.00", cached_input = "0.30", cache_write = "3.75", output = "15.00" }}
deployments = [{{ provider = "demo", model = "demo" }}]

[models."text-embedding-3-small"]
context_window = 8192
max_output_tokens = 0
price = {{ input = "0.02", output = "0" }}
deployments = [{{ provider = "demo", model = "demo" }}]

[models."gpt-image-1"]
context_window = 32_768
max_output_tokens = 8192
output_modalities = ["image"]
price = {{ input = "5.00", output = "0", image_output = "40.00" }}
deployments = [{{ provider = "demo", model = "demo" }}]

[models."rerank-v3.5"]
context_window = 4096
max_output_tokens = 0
price = {{ search = "0.002" }}
deployments = [{{ provider = "demo", model = "demo" }}]

[models."vendor/with-a-slash"]
context_window = 8192
max_output_tokens = 1024
free = true
deployments = [{{ provider = "demo", model = "demo" }}]

[models.spare]
context_window = 8192
max_output_tokens = 1024
free = true
deployments = [
  {{ provider = "nobody", model = "unreachable", priority = 1 }},
  {{ provider = "demo", model = "demo", priority = 2 }},
]

[models.unreachable]
context_window = 8192
max_output_tokens = 1024
free = true
deployments = [{{ provider = "nobody", model = "unreachable" }}]

[models.cut]
context_window = 8192
max_output_tokens = 1024
free = true
deployments = [{{ provider = "demo", model = "cut-5" }}]

[models.refused]
context_window = 8192
max_output_tokens = 1024
free = true
deployments = [{{ provider = "demo", model = "error-400" }}]
"""


def environment() -> dict[str, str]:
    """This process's environment without what would lead clients or the daemon elsewhere."""
    strays = ("ANTHROPIC_", "OPENAI_", "TOKLIGENCED_", "NODE_OPTIONS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(strays)}
    return kept | {"NOBODYS_KEY": "sk-nobody"}


def free_port() -> int:
    """A port on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def documented_port() -> int:
    """The port of the documentation, another one where something answers there."""
    if os.environ.get("PYTEST_XDIST_WORKER", "gw0") != "gw0":
        return free_port()  # the first of several workers has the documented one
    try:
        with socket.create_connection(("localhost", DOCUMENTED_PORT), timeout=1):
            return free_port()
    except OSError:
        return DOCUMENTED_PORT


class Daemon:
    """`python -m tokligenced --config PATH` in a folder of its own; `with` starts and stops it."""

    def __init__(self, folder: Path, *, port: int) -> None:
        self.folder = folder
        self.port = port
        self.config = folder / "config.toml"
        self.config.write_text(CONFIG.format(port=port, folder=folder, closed=free_port()))
        self._log = folder / "daemon.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._accounts = 0

    @property
    def url(self) -> str:
        """The address as the documentation writes it, `/v1` included."""
        return f"http://localhost:{self.port}/v1"

    @property
    def log(self) -> str:
        """What the daemon has written so far."""
        return self._log.read_text(errors="replace")

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tokligenced", "--config", str(self.config)],
                cwd=self.folder,
                env=environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + _START
        while not self._healthy():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                raise AssertionError(f"the daemon did not start:\n{self.log}")
            time.sleep(_LOOK_AGAIN)
        return self

    def __exit__(self, *_exception: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        assert (code, "Traceback" in self.log) == (0, False), self.log

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for the process to end by itself; its exit code."""
        assert self._process is not None
        return self._process.wait(_STOP)

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command with `--json`, however it ends."""
        return subprocess.run(
            [sys.executable, "-m", "tokligenced", *words, "--config", str(self.config), "--json"],
            cwd=self.folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def command(self, *words: str) -> Any:
        """What a command prints that does what it should."""
        ran = self.run(*words)
        assert (ran.returncode, ran.stderr) == (0, ""), ran.stderr
        return json.loads(ran.stdout)

    def new_key(self, *options: str) -> str:
        """A key of a fresh account, made with the commands of the documentation."""
        self._accounts += 1
        email = f"user{self._accounts}@example.com"
        assert self.command("accounts", "create", email)["email"] == email
        self.command("credit", "--account", email, "10", "--reference", email)
        key: str = self.command("keys", "create", "--account", email, "--name", "tests", *options)["key"]
        return key
