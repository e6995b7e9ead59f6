"""How the command line prints what operations gave, for people; for programs there is `--json`."""

import sys
from collections.abc import Callable
from typing import Any

import click

Object = dict[str, Any]

_UNFOLDED = 10_000  # columns
_WHOLE = {"id", "prefix", "status", "created_at", "expires_at"}
_LIMITS = {"requests_per_minute": "rpm", "tokens_per_minute": "tpm", "concurrency": "concurrency"}


def table(*columns: str) -> Callable[[list[Object]], None]:
    """A printer of the named fields of each object, one line each, in columns; `payer` is either field."""

    def show(rows: list[Object]) -> None:
        from rich.console import Console  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column.removesuffix("_at"), no_wrap=column in _WHOLE, overflow="fold")
        for row in rows:
            table.add_row(*[Text(_cell(column, row)) for column in columns])
        # What is piped is not folded: a line stays a line.
        Console(width=None if sys.stdout.isatty() else _UNFOLDED, highlight=False).print(table)

    return show


def _cell(column: str, row: Object) -> str:
    if column == "payer":
        return str(row["account"]) if "account" in row else f"org {row['org']}"
    value = row[column]
    if column == "limits":
        said = [f"{_LIMITS[name]} {limit}" for name, limit in value.items() if limit is not None]
        return ", ".join(said) or "default"
    if value is None:
        return "-"
    if column.endswith("_at"):
        return f"{value[:16]}Z"  # to the minute: nobody reads the rest
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


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


def plain_key(row: Object) -> None:
    """The key alone on stdout, for whatever takes it from there; what a person should know on stderr."""
    click.echo(row["key"])
    if sys.stderr.isatty():
        click.echo(f"This is the only time the key is shown. Its id is {row['id']}.", err=True)
