"""Copies of the database made under load, and what it takes to go on from one."""

import asyncio
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.daemon_process import Daemon, free_port
from tests.torture.client import call, chat

CALLERS = 8
LITESTREAM = shutil.which("litestream", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")


@pytest.fixture
def own(tmp_path: Path) -> Daemon:
    made = Daemon(tmp_path, port=free_port())
    text = made.config.read_text().replace("requests_per_minute = 1000", "requests_per_minute = 1000000")
    made.config.write_text(
        text.replace("tokens_per_minute = 10_000_000", "tokens_per_minute = 10_000_000_000")
    )
    return made


@asynccontextmanager
async def load(own: Daemon, key: str) -> AsyncIterator[list[int]]:
    """Priced calls for as long as the block lasts; their statuses."""
    statuses: list[int] = []

    async def caller() -> None:
        while True:
            statuses.append((await call(own.port, key, chat("claude-3-5-sonnet", "hi", max_tokens=9))).status)

    callers = [asyncio.create_task(caller()) for _ in range(CALLERS)]
    try:
        yield statuses
    finally:
        for each in callers:
            each.cancel()
        await asyncio.gather(*callers, return_exceptions=True)


async def some(statuses: list[int], more: int) -> None:
    """Wait for so many more calls."""
    wanted = len(statuses) + more
    async with asyncio.timeout(60):
        while len(statuses) < wanted:  # noqa: ASYNC110 - it is other tasks that fill it
            await asyncio.sleep(0.02)


async def answers(own: Daemon, key: str) -> int:
    return (await call(own.port, key, chat("claude-3-5-sonnet", "hi", max_tokens=9))).status


def put_back(copy: Path, database: Path) -> None:
    """What README has an operator do, but for the witness."""
    for name in ("", "-wal", "-shm"):
        database.with_name(database.name + name).unlink(missing_ok=True)
    shutil.copy(copy, database)


async def test_going_on_from_a_backup(own: Daemon, tmp_path: Path) -> None:
    """A copy made under load is whole; the witness keeps it from use by mistake, and goes on purpose."""
    copy, database = tmp_path / "copy.db", tmp_path / "tokligenced.db"
    with own:
        key = await asyncio.to_thread(own.new_key)
        async with load(own, key) as statuses:
            await some(statuses, 50)
            await asyncio.to_thread(own.command, "backup", str(copy))
            await some(statuses, 50)
        assert set(statuses) == {200}
        entries = own.command("ledger", "verify")["entries"]
    put_back(copy, database)
    refused = own.run("ledger", "verify")
    assert refused.returncode == 1
    assert "older" in refused.stdout or "entry" in refused.stdout
    with own:
        assert await answers(own, key) == 503
    database.with_name(database.name + ".head").unlink()
    with own:
        assert await answers(own, key) == 200
        books = own.command("ledger", "verify")
    assert (books["ok"], books["open_holds"]) == (True, 0)
    assert 50 <= books["entries"] < entries


@pytest.mark.skipif(LITESTREAM is None, reason="litestream is not installed")
async def test_litestream_follows(own: Daemon, tmp_path: Path) -> None:
    """Beside a Litestream that replicates it no call fails, and what it restores are whole books."""
    assert LITESTREAM is not None
    database, replica = tmp_path / "tokligenced.db", tmp_path / "replica"
    config = tmp_path / "litestream.yml"
    config.write_text(
        f"dbs:\n  - path: {database}\n    checkpoint-interval: 2s\n    min-checkpoint-page-count: 100\n"
        f"    replica:\n      type: file\n      path: {replica}\n      sync-interval: 100ms\n"
    )
    with own:
        key = await asyncio.to_thread(own.new_key)
        with (tmp_path / "litestream.log").open("wb") as log:
            follower = subprocess.Popen(  # noqa: ASYNC220 - started at once, and watched from here
                [LITESTREAM, "replicate", "-config", str(config)], stdout=log, stderr=log
            )
        try:
            async with load(own, key) as statuses:
                await some(statuses, 4_000)
            assert set(statuses) == {200}
            entries = own.command("ledger", "verify")["entries"]
            await asyncio.sleep(1)
            follower.send_signal(signal.SIGTERM)
            assert follower.wait(20) == 0
        finally:
            follower.kill()
            follower.wait()
    told = (tmp_path / "litestream.log").read_text()
    database.unlink()
    restore = [LITESTREAM, "restore", "-config", str(config), str(database)]
    await asyncio.to_thread(subprocess.run, restore, check=True, timeout=60)
    books = own.command("ledger", "verify")
    assert (books["ok"], books["entries"], books["open_holds"]) == (True, entries, 0), told
    with own:
        assert await answers(own, key) == 200
