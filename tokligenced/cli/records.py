"""Commands on what has been recorded: calls and the audit trail."""

import click

from tokligenced import show
from tokligenced.cli.command import performs
from tokligenced.show import Object


@click.group(no_args_is_help=False)
def requests() -> None:
    """Calls that have been made, and what each cost."""


@requests.command("list")
@click.option("--account", metavar="EMAIL", help="Only what this account pays.")
@click.option("--org", metavar="SLUG", help="Only what this organization pays.")
@click.option("--key", metavar="ID", help="Only calls with this key.")
@click.option("--model", metavar="NAME", help="Only calls of this model.")
@click.option("--provider", metavar="NAME", help="Only what this provider answered.")
@click.option("--status", type=int, metavar="N", help="Only answers with this status.")
@click.option("--after", metavar="ID", help="Those before the call that a list ended with.")
@click.option("--limit", default=100, show_default=True, metavar="N", help="At most so many.")
@performs(
    "requests.list",
    show.page("id", "created_at", "payer", "model", "provider", "status", "error", "duration_ms", "cost"),
)
def _list_requests(**parameters: object) -> Object:
    """List calls, the newest first."""
    return parameters


@requests.command("show")
@click.argument("id")
@performs("requests.get", show.request)
def _show_request(**parameters: object) -> Object:
    """Show a call and how its price was made."""
    return parameters


@click.command
@click.option("--subject", metavar="ID", help="Only what was done to this account, organization or key.")
@click.option("--after", type=int, metavar="N", help="Those before the entry that a list ended with.")
@click.option("--limit", default=100, show_default=True, metavar="N", help="At most so many.")
@performs("audit.list", show.page("id", "at", "actor", "action", "subject", "detail"))
def audit(**parameters: object) -> Object:
    """List who changed what, the newest first."""
    return parameters


COMMANDS = (requests, audit)
