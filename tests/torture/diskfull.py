"""A disk that fills up while calls run: those are charged, new ones told at once, and it passes."""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.torture.audit import broken
from tests.torture.client import Answer, call, chat
from tests.torture.report import Part, milliseconds
from tests.torture.victim import Died, Victim, load_average

REFUSED_WITHIN = 1.0
RECOVERED_WITHIN = 10.0
_SIZE = "24m"
_STREAMS = 20
_PAGE = 4_096
_PATIENCE = 3.0
_WHOLE = chat("demo", "hi", max_tokens=5)
_LONG = chat("slow-50", "Tell me something long. " * 10, max_tokens=60, stream=True)


async def run(folder: Path) -> Part:
    """Fill the small disk that the database is on, and make room again."""
    part = Part(name="diskfull")
    disk = folder / "disk"
    disk.mkdir()
    refused = _mount(disk)
    if refused:
        part.skipped = refused
        return part
    with _mounted(disk):
        victim = Victim(folder, models=("demo", "slow-50"), disk=disk)
        try:
            await victim.start()
            await _fill_and_free(part, victim, disk)
            part.violations += await victim.verify()
            await asyncio.to_thread(victim.stop)
        except Died as died:
            part.violations.append(str(died))
        finally:
            victim.kill()
        part.violations += broken(victim.database)
        part.expect("store.lost" not in victim.log, "the daemon says that writes are lost")
    return part


async def _fill_and_free(part: Part, victim: Victim, disk: Path) -> None:
    key = await victim.new_key("ann", "1000")
    filler = disk / "filler"
    running = [asyncio.create_task(call(victim.port, key, _LONG)) for _ in range(_STREAMS)]
    await asyncio.sleep(0.5)
    await asyncio.to_thread(_fill, filler)
    served = 0
    while (answer := await _told(part, victim, key)).status == 200:
        served += 1
    part.expect(answer.status == 503 and b"ledger_unavailable" in answer.body, f"told {answer.body[:200]!r}")
    refusals = 1
    while not all(task.done() for task in running):
        answer = await _told(part, victim, key)
        part.expect(answer.status == 503, f"a call is answered with {answer.status} on a full disk")
        refusals += 1
        await asyncio.sleep(0.05)
    streams = [await task for task in running]
    whole = sum(b"[DONE]" in stream.body for stream in streams)
    part.expect(whole == _STREAMS, f"only {whole} of {_STREAMS} running streams came to their end")
    settled = await _settled(victim)
    part.expect(settled == _STREAMS, f"only {settled} of {_STREAMS} streams were settled on the full disk")
    part.violations += await victim.verify()
    filler.unlink()
    began = time.monotonic()
    while (await call(victim.port, key, _WHOLE)).status != 200:
        if time.monotonic() - began > RECOVERED_WITHIN:
            part.violations.append(f"no call is served {RECOVERED_WITHIN:.0f} s after room was made")
            return
        await asyncio.sleep(0.02)
    recovered = time.monotonic() - began
    usage = await victim.ask("usage", by="model")
    counted = {group["model"]: group["calls"] for group in usage["groups"]}
    part.expect(counted.get("slow-50") == _STREAMS, f"rows of the running streams: {counted}")
    verdict = await victim.ask("ledger.verify")
    part.expect(verdict["open_holds"] == 0, f"{verdict['open_holds']} holds are left open")
    part.show(
        running_streams=_STREAMS,
        settled_while_it_was_full=settled,
        calls_served_from_the_last_pages=served,
        calls_refused=refusals,
        slowest_refusal=part.figures.pop("slowest"),
        serves_again_after=milliseconds(recovered),
        load_average=load_average(),
    )


async def _settled(victim: Victim) -> int:
    """How many of the streams are settled in the file, when all are or nothing more happens."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        left = int((await victim.ask("ledger.verify"))["open_holds"])
        if not left or time.monotonic() > deadline:
            return _STREAMS - left
        await asyncio.sleep(0.05)


async def _told(part: Part, victim: Victim, key: str) -> Answer:
    """A call, which must be answered in time one way or the other."""
    began = time.monotonic()
    answer = await call(victim.port, key, _WHOLE)
    seconds = time.monotonic() - began
    part.expect(seconds < REFUSED_WITHIN, f"a call on the full disk was answered after {seconds:.2f} s")
    slowest = max(seconds, float(part.figures.get("slowest", "0 ms").split()[0]) / 1_000)
    part.figures["slowest"] = milliseconds(slowest)
    return answer


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(_PAGE))
        except OSError:
            return


def _mount(disk: Path) -> str:
    """Why no disk of its own can be had; empty when it is there."""
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "torture", str(disk)],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return "there is no mount"
    return mounted.stderr.strip() if mounted.returncode else ""


@contextmanager
def _mounted(disk: Path) -> Iterator[None]:
    try:
        yield
    finally:
        subprocess.run(["umount", str(disk)], check=True)
