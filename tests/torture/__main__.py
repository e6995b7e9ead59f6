"""`python -m tests.torture`: every way in which money could go wrong, over and over; figures in a table.

It exits with 1 if any promise was broken. All of it takes about half an hour, most of that the kills.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from tests.torture import crowd, diskfull, duplicates, hangups, kill9, recovery, report
from tests.torture.victim import ROOT
from tokligenced import logs

_RUN_DIRECTORY = ROOT / ".run"
_Run = Callable[[Path, int, int | None], Awaitable[report.Part]]

_PARTS: dict[str, _Run] = {
    "duplicates": lambda home, _cycles, _seed: duplicates.run(home),
    "parallel": lambda home, _cycles, _seed: crowd.run(home),
    "recovery": lambda home, _cycles, _seed: recovery.run(home),
    "diskfull": lambda home, _cycles, _seed: diskfull.run(home),
    "hangups": lambda home, _cycles, _seed: hangups.run(home),
    "kill9": lambda home, cycles, seed: kill9.run(home, cycles=cycles, seed=seed),
}


@click.command
@click.option("--cycles", default=1_000, show_default=True, help="How often the daemon is killed.")
@click.option("--only", multiple=True, type=click.Choice(list(_PARTS)), help="This part; repeatable.")
@click.option("--seed", type=int, help="Of the kills' moments; an earlier run's table tells its own.")
def main(cycles: int, only: tuple[str, ...], seed: int | None) -> None:
    """Torture the gateway's books."""
    logs.configure("critical", "json")
    _RUN_DIRECTORY.mkdir(exist_ok=True)
    parts = []
    # On the disk the project is on: a temporary file system would make durable writes cost nothing.
    for name in only or tuple(_PARTS):
        click.echo(f"torturing: {name} ...", err=True)
        with TemporaryDirectory(prefix="torture-", dir=_RUN_DIRECTORY) as home:
            parts.append(asyncio.run(_PARTS[name](Path(home), cycles, seed)))
    click.echo(report.table(parts))
    sys.exit(any(part.violations for part in parts))


if __name__ == "__main__":
    main()
