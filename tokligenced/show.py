"""How the command line prints what operations gave, for people; for programs there is `--json`."""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import Any

import click

Object = dict[str, Any]

ENTRY = (
    "seq",
    "at",
    "kind",
    "source",
    "source_name",
    "target",
    "target_name",
    "amount",
    "call_id",
    "reference",
    "note",
    "hash",
)
_USED = (
    "calls",
    "errors",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "cost",
)
_NUMBERS = {*_USED, "tokens"}
UNFOLDED = 10_000  # columns
_NAMES = {"id", "status"}  # digits, but nothing that is counted
_WHOLE = {"id", "prefix", "status", "created_at", "expires_at"}
_LIMITS = {"requests_per_minute": "rpm", "tokens_per_minute": "tpm", "concurrency": "concurrency"}


def table(*columns: str) -> Callable[[list[Object]], None]:
    """A printer of the named fields of each object, one line each, in columns; `payer` is either field."""
    return lambda rows: _print_table(columns, rows)


def page(*columns: str) -> Callable[[Object], None]:
    """The same of a page of a list, which ends with a word on whether there is more."""

    def print_page(page: Object) -> None:
        _print_table(columns, page["data"])
        if page["has_more"]:
            click.echo(f"There are more: --after {page['data'][-1]['id']}", err=True)

    return print_page


def _print_table(columns: Sequence[str], rows: Sequence[Object], total: Object | None = None) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=total is not None)
    for column in columns:
        table.add_column(
            column.removesuffix("_at").removesuffix("_tokens"),
            Text("" if total is None else _cell(column, {columns[0]: "total", **total})),
            no_wrap=column in _WHOLE,
            overflow="fold",
            justify="right" if column in _NUMBERS else "left",
        )
    for row in rows:
        table.add_row(*[Text(_cell(column, row)) for column in columns])
    # What is piped is not folded: a line stays a line.
    Console(width=None if sys.stdout.isatty() else UNFOLDED, highlight=False).print(table)


def _cell(column: str, row: Object) -> str:
    if column == "payer":
        return str(row["account"]) if "account" in row else f"org {row['org']}"
    value = row.get(column, "")
    if column == "limits":
        return _limits(value) or ("none" if "slug" in row else "default")
    if value is None:
        return "-"
    if column == "at" or column.endswith("_at"):
        return f"{value[:16]}Z"  # to the minute: nobody reads the rest
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(part)}" for name, part in value.items())
    counted = isinstance(value, int) and not isinstance(value, bool) and column not in _NAMES
    return f"{value:,}" if counted else _plain(value)


def _limits(limits: Object) -> str:
    return ", ".join(f"{_LIMITS[name]} {limit}" for name, limit in limits.items() if limit is not None)


def counted(number: int, noun: str, nouns: str | None = None) -> str:
    """So many of a thing, in words: `1,234 models`."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def line(template: str) -> Callable[[Object], None]:
    """A printer of one line made of an object's fields."""
    return lambda row: click.echo(template.format(**row))


def facts(row: Object) -> None:
    """A line for each field."""
    for name, value in row.items():
        click.echo(f"{name.replace('_', ' ')}: {_plain(value)}")


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def request(row: Object) -> None:
    """What is known of a call, and the lines that its price is the sum of."""
    facts(
        {name: value for name, value in row.items() if name not in {"lines", "usage"} and value is not None}
    )
    if row["lines"]:
        click.echo()
        table(*row["lines"][0])(row["lines"])


def status(said: Object) -> None:
    """What the daemon is doing, in a few lines, and a line for each provider."""
    for each in status_lines(said):
        click.echo(each)
    click.echo()
    table("provider", "type", "state", "calls", "errors", "tokens", "cost")(
        [{**provider, **provider["today"]} for provider in said["providers"]]
    )


def status_lines(said: Object) -> list[str]:
    """The same without the providers, as lines of plain text."""
    minute, today, ledger = said["last_minute"], said["today"], said["ledger"]
    doubts = [reason for reason in said["not_ready"] if reason != "draining"]
    calls, streams = counted(said["calls_running"], "call"), counted(said["streams_open"], "stream")
    holds = counted(said["holds_open"], "hold")
    size, files, lag = said["memory_mb"], said["open_files"], said["loop_lag_ms"]
    book = [said["database"], f"{ledger['queue']} queued"]
    if ledger["lost"]:
        book.append(f"{ledger['lost']:,} LOST")
    return [
        f"tokligenced {said['version']}, {said['state']}, up {_span(said['uptime'])}, pid {said['pid']}"
        + "".join(f", {reason}" for reason in doubts),
        f"now          {calls}, {streams}, {holds} of {said['held']} USD",
        f"last minute  {_used(minute)}",
        f"today (UTC)  {_used(today)}",
        f"ledger       {', '.join(book)}, last commit {_moment(ledger['last_commit_at'])}",
        f"process      {size} MB, {files} files, event loop at most {lag} ms late",
    ]


def _used(sums: Object) -> str:
    return (
        f"{counted(sums['calls'], 'call')}, {counted(sums['errors'], 'error')},"
        f" {counted(sums['tokens'], 'token')}, {sums['cost']} USD"
    )


def _moment(at: str | None) -> str:
    return "-" if at is None else f"{at[:19]}Z"


def _span(seconds: int) -> str:
    minutes, hours = seconds // 60, seconds // 3600
    if hours >= 48:
        return f"{hours // 24} days"
    return f"{hours} h {minutes % 60:02} min" if hours else f"{minutes} min" if minutes else f"{seconds} s"


def plain_key(row: Object) -> None:
    """The key alone on stdout, for whatever takes it from there; what a person should know on stderr."""
    click.echo(row["key"])
    if sys.stderr.isatty():
        click.echo(f"This is the only time the key is shown. Its id is {row['id']}.", err=True)


def terms(row: Object) -> None:
    """On what terms an account or an organization is served, in a line."""
    said = ["unlimited" if row["unlimited"] else "limited", f"price factor {row['price_factor']}"]
    if limits := _limits(row.get("limits", {})):
        said.append(limits)
    click.echo(f"{row.get('email') or row['slug']}: {', '.join(said)}")


def credit(row: Object) -> None:
    """What the payer has now, and by which reference."""
    click.echo(
        f"{row.get('account') or row['org']}: balance {row['balance']} USD, held {row['held']},"
        f" available {row['available']} (reference {row['reference']}: {row['amount']})"
    )


def verdict(row: Object) -> None:
    """One line when the ledger is right, else one for each thing that is wrong."""
    if not row["ok"]:
        for broken in row["broken"]:
            click.echo(" ".join(broken.split()))
        return
    sizes = [
        counted(row["entries"], "entry", "entries"),
        counted(row["payers"], "payer"),
        counted(row["open_holds"], "open hold"),
    ]
    head = row["head"]
    click.echo(f"ok: {', '.join(sizes)}, head {head['seq']} {head['hash'][:16] or '-'}")


def backup(row: Object) -> None:
    """Where the copy is, how large it is, how long it took."""
    click.echo(f"{row['path']}: {row['bytes']:,} bytes in {row['seconds']:.1f} s")


def usage_columns(by: str) -> tuple[str, ...]:
    """The fields of a group of `usage`, in their order."""
    return (*(("key", "prefix", "name") if by == "key" else (by,)), *_USED)


def usage(used: Object) -> None:
    """What each group used, and all together."""
    columns = usage_columns(used["by"])
    _print_table(columns, used["groups"], used["total"])


class Csv:
    """Prints objects as comma-separated values, as they come; the names of the fields first."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._print([columns])

    def __call__(self, rows: Sequence[Object]) -> None:
        """Some more of them."""
        self._print([[row[column] for column in self._columns] for row in rows])

    def close(self) -> None:
        """Nothing more comes."""

    @staticmethod
    def _print(rows: Sequence[Sequence[object]]) -> None:
        text = StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        click.echo(text.getvalue(), nl=False)


class JsonArray:
    """Prints objects as one JSON array, as they come, each in a line."""

    def __init__(self) -> None:
        self._between = "[\n"

    def __call__(self, rows: Sequence[Object]) -> None:
        """Some more of them."""
        for row in rows:
            click.echo(self._between + json.dumps(row, ensure_ascii=False), nl=False)
            self._between = ",\n"

    def close(self) -> None:
        """Nothing more comes."""
        click.echo("\n]" if self._between == ",\n" else "[]")


@contextmanager
def progress() -> Iterator[Callable[[Object], None]]:
    """A bar on a terminal, which is moved by objects with `done` and `total`; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield lambda _said: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("copying", total=None)
        yield lambda said: bar.update(task, completed=said["done"], total=said["total"])
