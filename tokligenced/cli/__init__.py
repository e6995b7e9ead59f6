"""The command line: each command is a few lines over the operations that the daemon performs too.

command   how a command gets its configuration and has its operation performed
access    accounts, organizations, keys
money     credits, usage, the ledger, backups
records   calls and the audit trail
watch     how the running daemon is: status, top; and a dashboard for Grafana

Exit codes: 0 done; 1 the answer is no, or something unexpected; 2 wrong use or a bad configuration;
3 the daemon or the database could not be reached; 130 interrupted. An error is one line on stderr;
with TOKLIGENCED_DEBUG=1 the traceback precedes it.

What a command needs is imported when it runs: `--help` must not wait for a web server to load.
"""

import os
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from tokligenced import __version__, show
from tokligenced.cli import access, money, records, watch
from tokligenced.cli.command import config_option, config_path, performs
from tokligenced.errors import ConfigError, Conflict, InvalidInput, StoreError, TokligencedError
from tokligenced.show import Object

_EXIT_CODES = ((ConfigError, 2), (InvalidInput, 2), (StoreError, 3), (TokligencedError, 1))
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, by default that of the process; gives its exit code."""
    try:
        code: int | None = root.main(arguments, prog_name="tokligenced", standalone_mode=False)
    except click.Abort:
        return _INTERRUPTED
    except click.ClickException as error:
        return _fail(error.format_message(), 2)
    except TokligencedError as error:
        return _fail(str(error), next(code for kind, code in _EXIT_CODES if isinstance(error, kind)))
    except Exception as error:
        return _fail(f"unexpected {type(error).__name__}: {error} (TOKLIGENCED_DEBUG=1 shows where)", 1)
    return code or 0


def _fail(message: str, code: int) -> int:
    if os.environ.get("TOKLIGENCED_DEBUG") == "1":
        traceback.print_exc()
    click.echo(f"tokligenced: {' '.join(message.split())}", err=True)
    return code


@click.group(invoke_without_command=True)
@click.version_option(__version__, message="%(prog)s %(version)s")
@config_option
@click.pass_context
def root(context: click.Context) -> None:
    """A self-hosted gateway to language models. Without a command: run the daemon in the foreground."""
    if context.invoked_subcommand is None:
        from tokligenced import daemon  # noqa: PLC0415 - see the module's docstring

        daemon.run(config_path())


for command in (*access.COMMANDS, *money.COMMANDS, *records.COMMANDS, *watch.COMMANDS):
    root.add_command(command)


@root.command
def demo() -> None:
    """Run the daemon with a demo provider, an account with credit and a fresh key."""
    from tokligenced import daemon  # noqa: PLC0415

    daemon.demo()


@root.command
@click.argument("path", type=click.Path(path_type=Path))
def init(path: Path) -> None:
    """Write a commented starter configuration to PATH, which must not exist."""
    from tokligenced import config  # noqa: PLC0415

    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(config.starter(path))
    except FileExistsError as error:
        raise Conflict(f"{path}: exists already") from error
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror or error}") from error
    click.echo(f"{path}: written; next: tokligenced check --config {path}")


@root.command
@config_option
def check() -> int:
    """Validate the configuration: exit 0, or 2 with a line for each error."""
    from tokligenced import config  # noqa: PLC0415

    path = config_path()
    try:
        checked = config.load(path, os.environ)
    except config.ConfigErrors as error:
        for each in error.errors:
            click.echo(each, err=True)
        return 2
    counts = [
        show.counted(len(checked.providers), "provider"),
        show.counted(len(checked.models), "model"),
    ]
    click.echo(f"{path}: ok, {', '.join(counts)}")
    for warning in checked.warnings:
        click.echo(f"warning: {warning}", err=True)
    return 0


@root.command("reload")
@performs("reload", show.facts)
def _reload() -> Object:
    """Have the running daemon read its configuration again."""
    return {}
