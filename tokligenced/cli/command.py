"""How a command gets its configuration and has its operation performed."""

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tokligenced.show import Object

_DEFAULT_CONFIG = "/etc/tokligenced/config.toml"
_CONFIG = f"{__name__}.config"


def _remember_config(context: click.Context, _option: click.Parameter, path: Path | None) -> None:
    if path is not None:
        context.meta[_CONFIG] = path  # shared by a command and its groups; the command's own comes last


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help=f"The configuration file [$TOKLIGENCED_CONFIG, else {_DEFAULT_CONFIG}].",
    callback=_remember_config,
    expose_value=False,
)


def config_path() -> Path:
    """The configuration file of the command that runs."""
    said = click.get_current_context().meta.get(_CONFIG)
    return Path(said or os.environ.get("TOKLIGENCED_CONFIG") or _DEFAULT_CONFIG)


def silent(_progress: Object) -> None:
    """For operations that are over before anyone could ask how far they are."""


def have_done(operation: str, parameters: Object, on_progress: Callable[[Object], None] = silent) -> Any:  # noqa: ANN401 - JSON
    """The result of an operation of `gateway.operations`, done by whoever has the database."""
    from tokligenced.perform import perform  # noqa: PLC0415 - `--help` must be quick

    return perform(config_path(), operation, parameters, on_progress)


def print_json(result: object) -> None:
    """For programs."""
    click.echo(json.dumps(result, indent=2, ensure_ascii=False))


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def performs(
    operation: str, printer: Callable[[Any], None]
) -> Callable[[Callable[..., Object]], Callable[..., None]]:
    """Make a command of a function that turns options into parameters: `printer` prints the result.

    The command gets `--json` and `--config`.
    """

    def decorate(function: Callable[..., Object]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(*, as_json: bool, **options: object) -> None:
            result = have_done(operation, function(**options))
            (print_json if as_json else printer)(result)

        return json_option(config_option(command))

    return decorate
