"""Commands on money: credits, usage, the ledger's proof and its entries, and a copy of it all."""

import time
from pathlib import Path

import click

from tokligenced import show
from tokligenced.cli.command import config_option, have_done, json_option, performs, print_json
from tokligenced.errors import StoreError
from tokligenced.show import Object

_COPIES = "tokligenced-????????T??????Z.db"

GROUPINGS = ("model", "key", "account", "org", "provider", "day")


@click.command
@click.option("--account", metavar="EMAIL", help="The account to credit.")
@click.option("--org", metavar="SLUG", help="The organization to credit; either this or --account.")
@click.argument("amount", metavar="AMOUNT")
@click.option(
    "--reference",
    required=True,
    metavar="REF",
    help="What pays for it, such as an invoice; each credits once.",
)
@click.option("--note", metavar="TEXT", help="Whatever else should be remembered.")
@performs("credit", show.credit)
def credit(**parameters: object) -> Object:
    """Add AMOUNT of USD to a prepaid balance; the same reference again changes nothing."""
    return parameters


@click.command
@click.option("--since", metavar="DATE", help="2030-01-31 (as it begins, UTC) or a time [30 days ago].")
@click.option("--by", type=click.Choice(GROUPINGS), default="model", help="What to group by [model].")
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", help="[table]"
)
@json_option
@config_option
def usage(*, since: str | None, by: str, form: str, as_json: bool) -> None:
    """Show what was called, how many tokens that took, and what it cost."""
    used = have_done("usage", {"since": since, "by": by})
    if as_json or form == "json":
        print_json(used)
    elif form == "csv":
        show.Csv(show.usage_columns(by))(used["groups"])
    else:
        show.usage(used)


@click.group(no_args_is_help=False)
def ledger() -> None:
    """The books: every movement of money, for good."""


@ledger.command("verify")
@click.option("--head", metavar="SEQ:HASH", help="An entry that must be there, as a log or an answer had it.")
@json_option
@config_option
def _verify(*, head: str | None, as_json: bool) -> int:
    """Prove that the books are right: one line, or 1 and a line for each thing that is wrong."""
    verdict = have_done("ledger.verify", {"head": head})
    (print_json if as_json else show.verdict)(verdict)
    if not verdict["ok"]:
        click.echo(f"tokligenced: {show.counted(len(verdict['broken']), 'finding')}", err=True)
    return 0 if verdict["ok"] else 1


@ledger.command("export")
@click.option("--format", "form", type=click.Choice(["csv", "json"]), default="csv", help="[csv]")
@json_option
@config_option
def _export(*, form: str, as_json: bool) -> None:
    """Print all entries in their order."""
    printer = show.JsonArray() if as_json or form == "json" else show.Csv(show.ENTRY)
    have_done("ledger.export", {}, lambda page: printer(page["entries"]))
    printer.close()


@click.command
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    metavar="N",
    help="PATH is a folder: the copy is named after the time, and only the newest N are left there.",
)
@click.argument("path", type=click.Path(path_type=Path))
@json_option
@config_option
def backup(*, path: Path, keep: int | None, as_json: bool) -> None:
    """Write a consistent copy of the database to PATH, which must not exist, while the daemon runs."""
    # The daemon works elsewhere, and would take a relative path for one of its own.
    folder = path.absolute()
    target = (
        folder if keep is None else folder / time.strftime("tokligenced-%Y%m%dT%H%M%SZ.db", time.gmtime())
    )
    with show.progress() as on_progress:
        done = have_done("backup", {"path": str(target)}, on_progress)
    (print_json if as_json else show.backup)(done)
    if keep is not None:
        for old in sorted(folder.glob(_COPIES))[:-keep]:
            try:
                old.unlink()
            except OSError as error:
                raise StoreError(f"{old}: {error.strerror or error}") from error


COMMANDS = (credit, usage, ledger, backup)
