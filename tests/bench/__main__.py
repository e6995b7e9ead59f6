"""`python -m tests.bench`: the gateway against a bare relay, in one run on one machine.

Prints one table and writes it as JSON. It fails if any request did; a missed target is only printed.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from tests.bench import report
from tests.bench.sections import SECTIONS, Bench
from tests.bench.servers import PINNED, ROOT, BareRelay, BenchFailed, Gateway, MockUpstream, use_own_core

_RUN_DIRECTORY = ROOT / ".run"


@click.command()
@click.option("--json", "path", type=click.Path(path_type=Path), default=_RUN_DIRECTORY / "bench.json")
@click.option("--quick", is_flag=True, help="Fewer and shorter rounds: about half a minute, for a look.")
@click.option("--only", multiple=True, type=click.Choice(list(SECTIONS)), help="This section; repeatable.")
@click.option(
    "--noise", is_flag=True, help="A second bare relay in the gateway's place: every ratio is noise."
)
def main(path: Path, *, quick: bool, only: tuple[str, ...], noise: bool) -> None:
    """Measure the gateway against a bare relay."""
    _RUN_DIRECTORY.mkdir(exist_ok=True)
    use_own_core()
    try:
        # On the disk the project is on: a temporary file system would make durable writes cost nothing.
        with TemporaryDirectory(prefix="bench-", dir=_RUN_DIRECTORY) as home:
            figures, notes = _measure(Path(home), only or tuple(SECTIONS), quick=quick, noise=noise)
    except BenchFailed as failed:
        click.echo(f"bench: {failed}", err=True)
        sys.exit(1)
    click.echo(report.table(figures, notes))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(report.document(figures, notes))


def _measure(
    home: Path, names: tuple[str, ...], *, quick: bool, noise: bool
) -> tuple[list[report.Figure], list[str]]:
    notes = (
        [] if PINNED else ["only one core: nothing is pinned, and the generator shares it with the servers"]
    )
    if quick:
        notes.append("quick: one or two short rounds, for a look; no ground for a comparison")
    if noise:
        notes.append("noise: the gateway's column is a second bare relay")
    upstream = MockUpstream(home)
    with upstream.running():
        bench = Bench(
            gateway=BareRelay(home, upstream, "second-relay") if noise else Gateway(home, upstream),
            yardstick=BareRelay(home, upstream),
            upstream=upstream,
            rounds=2 if quick else 5,
            seconds=0.5 if quick else 2.0,
            notes=notes,
        )
        figures: list[report.Figure] = []
        for name in names:
            click.echo(f"measuring {name} ...", err=True)
            figures += SECTIONS[name](bench)
    return figures, notes


if __name__ == "__main__":
    main()
