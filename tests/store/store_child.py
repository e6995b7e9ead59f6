"""A process of its own that uses a database until something happens to it.

`store_child.py commit PATH` commits without end and prints each number once it is acknowledged.
`store_child.py fill PATH` fills the disk PATH is on, makes room again, and prints what it saw.
"""

import asyncio
import itertools
import sys
import time
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.store.conftest import Owner, item
from tokligenced.errors import StoreError

AT_ONCE = 16
BALLAST = 512 * 1024
SETTLES = 50


async def commit(path: Path) -> None:
    """Commit and acknowledge until killed."""
    database = await Owner(path).open(durability="full")
    numbers = itertools.count()

    async def caller() -> None:
        for n in numbers:
            await database.commit(*item(n))
            sys.stdout.write(f"{n}\n")
            sys.stdout.flush()

    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))


async def fill(path: Path) -> None:
    """Fill the disk, settle, make room, go on."""
    owner = Owner(path)
    database = await owner.open(durability="full", ballast_bytes=BALLAST)
    ballast = path.with_name(path.name + ".ballast")
    filler = path.with_name("filler")
    numbers = itertools.count()
    held, enqueued = [next(numbers)], []
    await database.commit(*item(held[0]))
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    refusal = ""
    while not refusal:
        n = next(numbers)
        began = time.monotonic()
        try:
            await database.commit(*item(n))
        except StoreError as error:
            refusal = str(error)
        else:
            held.append(n)
    seconds = time.monotonic() - began
    for _ in range(SETTLES):
        enqueued.append(next(numbers))
        database.enqueue(*item(enqueued[-1]))
        await database.flush()
    when_full = {
        "accepting_when_full": database.accepting,
        "ballast_when_full": ballast.exists(),
        "settled_when_full": [n for (n,) in await database.read("SELECT n FROM items") if n in enqueued],
    }
    filler.unlink()
    async with asyncio.timeout(10):
        while not database.accepting:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.01)
    held.append(next(numbers))
    await database.commit(*item(held[-1]))
    ballast_at_last = ballast.stat().st_size == BALLAST
    found = {n for (n,) in await database.read("SELECT n FROM items")}
    ((integrity,),) = await database.read("PRAGMA integrity_check")
    await owner.close()
    seen = when_full | {
        "refusal": refusal,
        "seconds": seconds,
        "enqueued": enqueued,
        "ballast_at_last": ballast_at_last,
        "unexpected": sorted(found ^ {*held, *enqueued}),
        "lost": database.lost,
        "integrity": integrity,
    }
    sys.stdout.buffer.write(msgspec.json.encode(seen))


if __name__ == "__main__":
    asyncio.run({"commit": commit, "fill": fill}[sys.argv[1]](Path(sys.argv[2])))
