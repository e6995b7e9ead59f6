"""Faults no library can feign: a process killed with its database open, a disk that is really full."""

import asyncio
import shutil
import subprocess
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import msgspec
import pytest

from tests.store.conftest import Owner

CHILD = Path(__file__).with_name("store_child.py")
ROOT = Path(__file__).parents[2]
ACKNOWLEDGED = 300


async def test_killed_process_loses_nothing_acknowledged(owner: Owner) -> None:
    """Whatever a process had acknowledged when it was killed is there, nothing by halves."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, CHILD, "commit", owner.path, stdout=PIPE, cwd=ROOT
    )
    assert child.stdout is not None
    acknowledged = [int(await child.stdout.readline()) for _ in range(ACKNOWLEDGED)]
    child.kill()
    acknowledged += [int(line) for line in (await child.stdout.read()).splitlines(keepends=True)[:-1]]
    await child.wait()
    database = await owner.open()
    found = {n for (n,) in await database.read("SELECT n FROM items")}
    assert set(acknowledged) <= found
    assert await database.read("SELECT n FROM items EXCEPT SELECT n FROM notes") == []
    assert await database.read("PRAGMA integrity_check") == [("ok",)]


def own_disk(folder: Path, size: str) -> list[str]:
    """What to put before a command to have a small disk of its own at `folder`; skips where that can't be."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    prefix = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount = f'mount -t tmpfs -o size={size} none "$0" && exec "$@"'
    if subprocess.run([*prefix, mount, folder, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system in a namespace")
    return [*prefix, mount, str(folder)]


def test_full_disk(tmp_path: Path) -> None:
    """On a full disk holds are refused at once, settles land on the ballast's room, and all recovers."""
    command = [*own_disk(tmp_path, "4m"), sys.executable, str(CHILD), "fill", str(tmp_path / "test.db")]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=30)
    assert child.stderr == b""
    seen = msgspec.json.decode(child.stdout)
    assert seen["refusal"].endswith("test.db: database or disk is full")
    assert seen["seconds"] < 1.0
    assert not seen["accepting_when_full"]
    assert not seen["ballast_when_full"]
    assert seen["settled_when_full"] == seen["enqueued"]
    assert seen["ballast_at_last"]
    assert seen["unexpected"] == []
    assert seen["lost"] == 0
    assert seen["integrity"] == "ok"
