"""Commands that show how the running daemon is: once, or over and over."""

import select
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import resources
from typing import TYPE_CHECKING

import click

from tokligenced import show
from tokligenced.cli.command import config_option, have_done, json_option, performs, print_json
from tokligenced.show import Object

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_MOST_CALLS = 500
_LEAST_ROWS = 3


@click.command("status")
@performs("status", show.status)
def _status() -> Object:
    """Ask the running daemon how it is."""
    return {}


@click.command("top")
@click.option(
    "--every", type=click.FloatRange(0.2, 60), default=1.0, metavar="SECONDS", help="How often to look [1]."
)
@json_option
@config_option
def _top(*, every: float, as_json: bool) -> None:
    """Watch the calls on their way, rates and spend; q ends it. Without a terminal: one look."""
    if as_json:
        print_json(_look())
    elif sys.stdout.isatty() and sys.stdin.isatty():
        with suppress(KeyboardInterrupt):
            _watch(every)
    else:
        from rich.console import Console  # noqa: PLC0415 - only here

        said = _look()
        # What is piped is neither folded nor cut.
        Console(width=show.UNFOLDED, highlight=False).print(frame(said, rows=len(said["calls"])))


def _look() -> Object:
    said: Object = have_done("top", {"calls": _MOST_CALLS})
    return said


def _watch(every: float) -> None:
    from rich.console import Console  # noqa: PLC0415 - only here
    from rich.live import Live  # noqa: PLC0415

    console = Console(highlight=False)
    with _single_keys(), Live(console=console, screen=True, auto_refresh=False) as live:
        due = time.monotonic()
        while True:
            said = _look()
            live.update(frame(said, rows=_room(console, said)), refresh=True)
            due = max(due + every, time.monotonic())
            if _quits(due - time.monotonic()):
                return


def _room(console: "Console", said: Object) -> int:
    """How many calls fit below the rest of a frame."""
    return max(_LEAST_ROWS, console.size.height - len(show.status_lines(said)) - 5)


def frame(said: Object, *, rows: int) -> "RenderableType":
    """One picture: the status in lines, and at most `rows` of the calls, the oldest first."""
    from rich.console import Group  # noqa: PLC0415 - only here
    from rich.text import Text  # noqa: PLC0415

    first, *lines = show.status_lines(said)
    providers = ", ".join(f"{each['provider']} {each['state']}" for each in said["providers"])
    calls = said["calls"][:rows]
    parts: list[RenderableType] = [
        Text(first, style="bold", no_wrap=True, overflow="ellipsis"),
        *(Text(line, no_wrap=True, overflow="ellipsis") for line in lines),
        Text(f"providers    {providers or '-'}", no_wrap=True, overflow="ellipsis"),
        Text(),
        _calls(calls),
    ]
    if more := said["calls_running"] - len(calls):
        parts.append(Text(f"and {show.counted(more, 'more call')}", style="dim"))
    return Group(*parts)


def _calls(calls: Sequence[Object]) -> "RenderableType":
    from rich.table import Table  # noqa: PLC0415 - only here
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    for name in ("id", "key", "endpoint", "model", "provider"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for name in ("attempts", "age", "tokens"):
        table.add_column(name, no_wrap=True, justify="right")
    for call in calls:
        cells = (
            call["id"],
            call["key"],
            call["endpoint"] + (" stream" if call["stream"] else ""),
            call["model"] or "-",
            call["provider"] or "-",
            str(call["attempts"]),
            f"{call['age']:.1f} s",
            f"{call['tokens']:,}",
        )
        table.add_row(*map(Text, cells))
    return table


@contextmanager
def _single_keys() -> Iterator[None]:
    """Have keys arrive as they are typed, and unseen."""
    import termios  # noqa: PLC0415 - not on every system
    import tty  # noqa: PLC0415

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _quits(patience: float) -> bool:
    """Wait so many seconds; whether somebody typed q meanwhile, or the terminal is gone."""
    deadline = time.monotonic() + patience
    while (left := deadline - time.monotonic()) > 0:
        if select.select([sys.stdin], [], [], left)[0]:
            key = sys.stdin.read(1)
            if key in {"q", "Q", ""}:
                return True
    return False


@click.command("grafana")
def _grafana() -> None:
    """Print a dashboard for Grafana over what /metrics has, to be imported there."""
    click.echo(resources.files("tokligenced").joinpath("grafana.json").read_text(encoding="utf-8"), nl=False)


COMMANDS = (_status, _top, _grafana)
