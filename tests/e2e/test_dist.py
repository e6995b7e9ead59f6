"""`make dist`: the one file, copied alone into an empty folder, run without any environment."""

import re
import shlex
import shutil
import signal
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.e2e.daemon_process import CONFIG, environment, free_port

ROOT = Path(__file__).parents[2]
READY = 2.0
# What may be mapped to be executed: the file, what it holds in memory, the C library that any Debian has.
SELF_CONTAINED = re.compile(
    r"/memfd:|\[|.*/tokligenced$|/(usr/)?lib(64)?/([\w-]+/)?(ld-linux|lib(c|m|dl|pthread|rt|util|resolv)[.-])"
)

pytestmark = pytest.mark.skipif(
    None in (shutil.which("cc"), shutil.which("strip"))
    or not (Path(sysconfig.get_path("include")) / "Python.h").exists()
    or not sysconfig.get_config_var("Py_ENABLE_SHARED"),
    reason="it takes a C compiler, strip, and a Python with a shared library and headers",
)


@pytest.fixture(scope="module")
def built() -> Path:
    """The file as `make dist` makes it."""
    subprocess.run(["make", "--silent", "dist"], cwd=ROOT, env=environment(), check=True, timeout=115)
    return ROOT / "dist" / "tokligenced"


@pytest.fixture
def alone(built: Path, tmp_path: Path) -> Path:
    """A copy of it, and nothing beside it but a configuration."""
    shutil.copy(built, tmp_path / "tokligenced")
    (tmp_path / "config.toml").write_text(
        CONFIG.format(port=free_port(), folder=tmp_path, closed=free_port())
    )
    return tmp_path


def url(folder: Path) -> str:
    found = re.search(r'"(http://localhost:\d+)"', (folder / "config.toml").read_text())
    assert found is not None
    return found[1]


def command(folder: Path, line: str) -> str:
    told = subprocess.run(
        ["./tokligenced", *shlex.split(line)],
        cwd=folder,
        env={},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (told.returncode, told.stderr) == (0, ""), told.stderr
    return told.stdout


@contextmanager
def running(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """The daemon out of the file, and how long it took until it answered."""
    with (folder / "log").open("wb") as log:
        began = time.monotonic()
        process = subprocess.Popen(
            ["./tokligenced", "--config", "config.toml"],
            cwd=folder,
            env={"NOBODYS_KEY": "sk-nobody", "PATH": ""},
            stdout=log,
            stderr=log,
        )
    try:
        while not healthy(folder):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() - began < 30
            time.sleep(0.02)
        yield process, time.monotonic() - began
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def healthy(folder: Path) -> bool:
    try:
        return bool(httpx.get(f"{url(folder)}/healthz").status_code == 200)
    except httpx.TransportError:
        return False


def test_smoke(alone: Path) -> None:
    """It makes keys, answers, streams, proves its books; nothing is unpacked, no second process runs."""
    with running(alone) as (process, _):
        command(alone, "accounts create ann@example.com --config config.toml")
        command(alone, "credit --account ann@example.com 5 --reference r --config config.toml")
        made = command(alone, "keys create --account ann@example.com --name n --json --config config.toml")
        found = re.search(r"tk-\w{36}", made)
        assert found is not None
        headers = {"Authorization": f"Bearer {found[0]}"}
        body = {"model": "claude-3-5-sonnet", "messages": [{"role": "user", "content": "hi"}]}
        with httpx.Client(base_url=url(alone), headers=headers) as client:
            assert client.post("/v1/chat/completions", json=body).json()["usage"]["completion_tokens"] > 0
            streamed = client.post("/v1/chat/completions", json=body | {"stream": True})
            assert streamed.text.endswith("[DONE]\n\n")
            assert len(client.get("/v1/models").json()["data"]) > 1
        assert command(alone, "ledger verify --config config.toml").startswith("ok")
        maps = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
        mapped = {
            line.split(maxsplit=5)[5] for line in maps if "x" in line.split()[1] and line.count(" ") > 5
        }
        foreign = {path for path in mapped if not SELF_CONTAINED.match(path)}
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    assert (foreign, children) == (set(), "")
    left = {path.name for path in alone.iterdir() if not path.name.startswith("tokligenced.db")}
    assert left == {"tokligenced", "config.toml", "log"}


def test_ready_in_time(alone: Path) -> None:
    """It serves within two seconds of being started, the database's making included."""
    tries = []
    for _ in range(3):  # another program may have had the machine
        with running(alone) as (_, seconds):
            tries.append(seconds)
        for path in alone.glob("tokligenced.db*"):
            path.unlink()
    print(f"ready after {min(tries):.2f} s, {(alone / 'tokligenced').stat().st_size / 2**20:.0f} MiB")  # noqa: T201
    assert min(tries) < READY


def test_it_may_be_replaced_while_it_runs(alone: Path) -> None:
    """An upgrade puts another file in its place; the running daemon goes on with what it was started from."""
    with running(alone):
        fresh = alone / "fresh"
        fresh.write_bytes(b"#!/bin/false\n")
        fresh.rename(alone / "tokligenced")
        assert httpx.get(f"{url(alone)}/v1/models").status_code == 401
        assert httpx.post(f"{url(alone)}/v1/responses", json={}).status_code == 401


def test_a_mistake_is_a_line(alone: Path) -> None:
    """A configuration with a mistake ends it with 2 and a line in plain words, whatever the locale."""
    (alone / "config.toml").write_text('[models."größer"]\nprise = 1\n')
    told = subprocess.run(
        ["./tokligenced", "check", "--config", "config.toml"],
        cwd=alone,
        env={},
        capture_output=True,
        check=False,
    )
    assert told.returncode == 2
    assert "größer" in told.stderr.decode()
    assert b"Traceback" not in told.stderr
