"""One dataclass for each page of administrators.

Objects are those that the operations give, as `/api/admin` describes them.
"""

from dataclasses import dataclass

from tokligenced.dashboard.pages import Page
from tokligenced.gateway.operations import Object


@dataclass(frozen=True, kw_only=True)
class Standing(Page):
    """How the gateway is: its vital signs, providers, use of thirty days, and models that charge nothing."""

    template = "admin-overview.html"
    vitals: Object
    providers: list[Object]
    models: list[Object]
    total: Object
    unpriced: list[str]


@dataclass(frozen=True, kw_only=True)
class Ledger(Page):
    """Whether the books are right."""

    template = "admin-ledger.html"
    verdict: Object


@dataclass(frozen=True, kw_only=True)
class Accounts(Page):
    """Accounts with their balances; `more` is the address of the next page, empty on the last."""

    template = "admin-accounts.html"
    search: str
    rows: list[Object]
    more: str


@dataclass(frozen=True, kw_only=True)
class AccountPage(Page):
    """One account and its keys; `values` is what the refused form held."""

    template = "admin-account.html"
    account: Object
    keys: list[Object]
    error: str = ""
    values: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Prices(Page):
    """Models with all their prices, and what a usage would cost; `values` is what was asked."""

    template = "admin-models.html"
    rows: list[Object]
    unpriced: list[str]
    parts: tuple[str, ...]
    cost: Object | None
    error: str
    values: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Providers(Page):
    """Providers and their state; `trials` is what came of the last trial of each, by name."""

    template = "admin-providers.html"
    rows: list[Object]
    trials: dict[str, Object]
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class AllCalls(Page):
    """Everybody's calls; `values` is what was asked for, `more` the address of the next page."""

    template = "admin-requests.html"
    rows: list[Object]
    values: dict[str, str]
    error: str
    more: str


@dataclass(frozen=True, kw_only=True)
class AnyCall(Page):
    """One call, whoever paid for it, with its arithmetic."""

    template = "admin-request.html"
    call: Object


@dataclass(frozen=True, kw_only=True)
class Trail(Page):
    """Who did what, the newest first; `names` tells addresses and slugs by their ids."""

    template = "admin-audit.html"
    rows: list[tuple[Object, str]]
    names: dict[str, str]
    subject: str
    more: str


@dataclass(frozen=True, kw_only=True)
class Configuration(Page):
    """Which file owns each value, never the values."""

    template = "admin-config.html"
    config: Object
    error: str = ""
