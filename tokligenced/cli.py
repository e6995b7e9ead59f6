"""The command line: each command is a few lines over the operations that the daemon performs too.

Exit codes: 0 done; 1 the answer is no, or something unexpected; 2 wrong use or a bad configuration;
3 the daemon or the database could not be reached; 130 interrupted. An error is one line on stderr;
with TOKLIGENCED_DEBUG=1 the traceback precedes it.

What a command needs is imported when it runs: `--help` must not wait for a web server to load.
"""

import functools
import json
import os
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from tokligenced import __version__, show
from tokligenced.errors import ConfigError, Conflict, InvalidInput, StoreError, TokligencedError
from tokligenced.show import Object

_DEFAULT_CONFIG = "/etc/tokligenced/config.toml"
_EXIT_CODES = ((ConfigError, 2), (InvalidInput, 2), (StoreError, 3), (TokligencedError, 1))
_INTERRUPTED = 130
_CONFIG = f"{__name__}.config"


def _remember_config(context: click.Context, _option: click.Parameter, path: Path | None) -> None:
    if path is not None:
        context.meta[_CONFIG] = path  # shared by a command and its groups; the command's own comes last


_config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help=f"The configuration file [$TOKLIGENCED_CONFIG, else {_DEFAULT_CONFIG}].",
    callback=_remember_config,
    expose_value=False,
)


def _config_path() -> Path:
    said = click.get_current_context().meta.get(_CONFIG)
    return Path(said or os.environ.get("TOKLIGENCED_CONFIG") or _DEFAULT_CONFIG)


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
@_config_option
@click.pass_context
def root(context: click.Context) -> None:
    """A self-hosted gateway to language models. Without a command: run the daemon in the foreground."""
    if context.invoked_subcommand is None:
        from tokligenced import daemon  # noqa: PLC0415 - see the module's docstring

        daemon.run(_config_path())


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
@_config_option
def check() -> int:
    """Validate the configuration: exit 0, or 2 with a line for each error."""
    from tokligenced import config  # noqa: PLC0415

    path = _config_path()
    try:
        checked = config.load(path, os.environ)
    except config.ConfigErrors as error:
        for each in error.errors:
            click.echo(each, err=True)
        return 2
    counts = [_counted(len(checked.providers), "provider"), _counted(len(checked.models), "model")]
    click.echo(f"{path}: ok, {', '.join(counts)}")
    for warning in checked.warnings:
        click.echo(f"warning: {warning}", err=True)
    return 0


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _silent(_progress: Object) -> None:
    """For operations that are over before anyone could ask how far they are."""


def _performs(
    operation: str,
    printer: Callable[[Any], None],
    on_progress: Callable[[Object], None] = _silent,
) -> Callable[[Callable[..., Object]], Callable[..., None]]:
    """Make a command of a function that turns options into parameters: `printer` prints the result.

    The command gets `--json` and `--config`.
    """

    def decorate(function: Callable[..., Object]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(*, as_json: bool, **options: object) -> None:
            from tokligenced.perform import perform  # noqa: PLC0415

            result = perform(_config_path(), operation, function(**options), on_progress)
            if as_json:
                click.echo(json.dumps(result, indent=2, ensure_ascii=False))
            else:
                printer(result)

        return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(_config_option(command))

    return decorate


@root.group(no_args_is_help=False)
def accounts() -> None:
    """People who sign in and pay."""


@accounts.command("create")
@click.argument("email")
@click.option("--admin", is_flag=True, help="May do everything in the dashboard.")
@_performs("accounts.create", show.line("account {email} created: {id}"))
def _create_account(**parameters: object) -> Object:
    """Create an account."""
    return parameters


@accounts.command("list")
@_performs("accounts.list", show.table("id", "email", "admin", "unlimited", "created_at"))
def _list_accounts() -> Object:
    """List all accounts."""
    return {}


@root.group(no_args_is_help=False)
def orgs() -> None:
    """Organizations: several people who share keys and a balance."""


@orgs.command("create")
@click.argument("slug")
@click.option("--owner", required=True, metavar="EMAIL", help="The account it belongs to.")
@_performs("orgs.create", show.line("organization {slug} created: {id}"))
def _create_organization(**parameters: object) -> Object:
    """Create an organization; SLUG is made of a-z, 0-9 and -."""
    return parameters


@orgs.command("list")
@_performs("orgs.list", show.table("id", "slug", "owner", "unlimited", "created_at"))
def _list_organizations() -> Object:
    """List all organizations."""
    return {}


@root.group(no_args_is_help=False)
def keys() -> None:
    """API keys."""


@keys.command("create")
@click.option("--account", metavar="EMAIL", help="The account that pays.")
@click.option("--org", metavar="SLUG", help="The organization that pays; either this or --account.")
@click.option("--name", required=True, help="What people call it.")
@click.option("--rpm", type=int, metavar="N", help="Requests per minute [the configured default].")
@click.option("--tpm", type=int, metavar="N", help="Tokens per minute [the configured default].")
@click.option("--concurrency", type=int, metavar="N", help="Calls at once [the configured default].")
@click.option("--models", metavar="A,B", help="The only models it may use [all].")
@click.option("--expires", metavar="DATE", help="2030-01-31 (as it begins, UTC) or 2030-01-31T12:00:00Z.")
@click.option("--spend-cap", metavar="USD", help="The most it may ever cost.")
@_performs("keys.create", show.plain_key)
def _create_key(
    *,
    rpm: int | None,
    tpm: int | None,
    concurrency: int | None,
    models: str | None,
    expires: str | None,
    **same: object,
) -> Object:
    """Create a key and print it, once."""
    return {
        **same,
        "limits": {"requests_per_minute": rpm, "tokens_per_minute": tpm, "concurrency": concurrency},
        "models": None if models is None else [name.strip() for name in models.split(",")],
        "expires_at": expires,
    }


@keys.command("list")
@_performs("keys.list", show.table("id", "prefix", "name", "payer", "limits", "expires_at", "status"))
def _list_keys() -> Object:
    """List all keys, never what their owners send."""
    return {}


@keys.command("revoke")
@click.argument("id")
@_performs("keys.revoke", show.line("key {id} ({name}) is revoked"))
def _revoke_key(**parameters: object) -> Object:
    """Make a key useless at once."""
    return parameters


@keys.command("rotate")
@click.argument("id")
@click.option("--overlap", default="0s", metavar="24h", help="How long the old key goes on working [0s].")
@_performs("keys.rotate", show.plain_key)
def _rotate_key(**parameters: object) -> Object:
    """Replace a key by a new one with the same settings, and print that, once."""
    return parameters


@root.command("reload")
@_performs("reload", show.facts)
def _reload() -> Object:
    """Have the running daemon read its configuration again."""
    return {}


@root.command("status")
@_performs("status", show.facts)
def _status() -> Object:
    """Ask the running daemon how it is."""
    return {}
