"""Commands on who may call, and on what terms: accounts, organizations, keys."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from tokligenced import show
from tokligenced.cli.command import performs
from tokligenced.show import Object

F = TypeVar("F", bound=Callable[..., Any])


def _limit(text: str) -> int | str:
    """A number, or `none`."""
    try:
        return text if text == "none" else int(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither a number nor none.") from None


def _limits(rpm: object, tpm: object, concurrency: object) -> Object:
    """What was said of limits, by their names in the API; `none` is null there."""
    said = {"requests_per_minute": rpm, "tokens_per_minute": tpm, "concurrency": concurrency}
    return {name: None if limit == "none" else limit for name, limit in said.items() if limit is not None}


def _limit_options(otherwise: str, kind: Callable[[str], int | str] = int) -> Callable[[F], F]:
    metavar = "N" if kind is int else "N|none"

    def decorate(function: F) -> F:
        for option, meaning in (
            ("--concurrency", "Calls at once"),
            ("--tpm", "Tokens per minute"),
            ("--rpm", "Requests per minute"),
        ):
            function = click.option(option, type=kind, metavar=metavar, help=f"{meaning} [{otherwise}].")(
                function
            )
        return function

    return decorate


def _terms_options(function: F) -> F:
    function = click.option(
        "--price-factor", metavar="X", help="What part of the list price is paid, such as 0.8."
    )(function)
    return click.option(
        "--unlimited/--limited",
        "unlimited",
        default=None,
        help="Whether calls need no balance, and are only recorded.",
    )(function)


@click.group(no_args_is_help=False)
def accounts() -> None:
    """People who sign in and pay."""


@accounts.command("create")
@click.argument("email")
@click.option("--admin", is_flag=True, help="May do everything in the dashboard.")
@performs("accounts.create", show.line("account {email} created: {id}"))
def _create_account(**parameters: object) -> Object:
    """Create an account."""
    return parameters


@accounts.command("list")
@performs("accounts.list", show.table("id", "email", "admin", "unlimited", "price_factor", "created_at"))
def _list_accounts() -> Object:
    """List all accounts."""
    return {}


@accounts.command("set")
@click.argument("email")
@_terms_options
@performs("accounts.set", show.terms)
def _set_account(**parameters: object) -> Object:
    """Change on what terms an account is served; what is not named stays as it is."""
    return parameters


@accounts.command("invite")
@click.argument("email", required=False)
@performs("accounts.invite", show.line("{link}"))
def _invite(**parameters: object) -> Object:
    """Print a link by which to sign up, good once and for a week; with EMAIL only for that address."""
    return parameters


@accounts.command("reset")
@click.argument("email")
@performs("accounts.reset", show.line("{link}"))
def _reset(**parameters: object) -> Object:
    """Print a link by which to choose a new password, good once and for an hour."""
    return parameters


@click.group(no_args_is_help=False)
def orgs() -> None:
    """Organizations: several people who share keys and a balance."""


@orgs.command("create")
@click.argument("slug")
@click.option("--owner", required=True, metavar="EMAIL", help="The account it belongs to.")
@_limit_options("none")
@performs("orgs.create", show.line("organization {slug} created: {id}"))
def _create_organization(
    *, rpm: int | None, tpm: int | None, concurrency: int | None, **same: object
) -> Object:
    """Create an organization; SLUG is made of a-z, 0-9 and -. Its limits are for all its keys together."""
    return {**same, "limits": _limits(rpm, tpm, concurrency)}


@orgs.command("list")
@performs("orgs.list", show.table("id", "slug", "owner", "unlimited", "price_factor", "limits", "created_at"))
def _list_organizations() -> Object:
    """List all organizations."""
    return {}


@orgs.command("set")
@click.argument("slug")
@_terms_options
@_limit_options("as it is", _limit)
@performs("orgs.set", show.terms)
def _set_organization(*, rpm: object, tpm: object, concurrency: object, **same: object) -> Object:
    """Change on what terms an organization is served; what is not named stays as it is."""
    return {**same, "limits": _limits(rpm, tpm, concurrency)}


@orgs.command("members")
@click.argument("slug")
@performs("orgs.members", show.table("email", "role"))
def _list_members(**parameters: object) -> Object:
    """List who is in an organization."""
    return parameters


@orgs.command("admit")
@click.argument("slug")
@click.argument("email")
@click.option("--role", type=click.Choice(["owner", "admin", "member"]), default="member", help="[member]")
@performs("orgs.members.put", show.line("{email}: {role}"))
def _put_member(**parameters: object) -> Object:
    """Make an account a member of an organization, or give a member another role."""
    return parameters


@orgs.command("dismiss")
@click.argument("slug")
@click.argument("email")
@performs("orgs.members.remove", show.line("{email} is no member any more"))
def _remove_member(**parameters: object) -> Object:
    """End a membership; the last owner stays."""
    return parameters


@click.group(no_args_is_help=False)
def keys() -> None:
    """API keys."""


@keys.command("create")
@click.option("--account", metavar="EMAIL", help="The account that pays.")
@click.option("--org", metavar="SLUG", help="The organization that pays; either this or --account.")
@click.option("--name", required=True, help="What people call it.")
@_limit_options("the configured default")
@click.option("--models", metavar="A,B", help="The only models it may use [all].")
@click.option("--expires", metavar="DATE", help="2030-01-31 (as it begins, UTC) or 2030-01-31T12:00:00Z.")
@click.option("--spend-cap", metavar="USD", help="The most it may ever cost.")
@performs("keys.create", show.plain_key)
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
        "limits": _limits(rpm, tpm, concurrency),
        "models": None if models is None else [name.strip() for name in models.split(",")],
        "expires_at": expires,
    }


@keys.command("list")
@performs("keys.list", show.table("id", "prefix", "name", "payer", "limits", "expires_at", "status"))
def _list_keys() -> Object:
    """List all keys, never what their owners send."""
    return {}


@keys.command("revoke")
@click.argument("id")
@performs("keys.revoke", show.line("key {id} ({name}) is revoked"))
def _revoke_key(**parameters: object) -> Object:
    """Make a key useless at once."""
    return parameters


@keys.command("rotate")
@click.argument("id")
@click.option("--overlap", default="0s", metavar="24h", help="How long the old key goes on working [0s].")
@performs("keys.rotate", show.plain_key)
def _rotate_key(**parameters: object) -> Object:
    """Replace a key by a new one with the same settings, and print that, once."""
    return parameters


COMMANDS = (accounts, orgs, keys)
