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
