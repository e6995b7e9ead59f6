"""One dataclass for each page: exactly what its template may show."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from markupsafe import Markup

from tokligenced.domain import Outcome
from tokligenced.gateway.people import SessionRow, TotpOffer
from tokligenced.gateway.pricing import Line
from tokligenced.store.books import OpenHold, Used
from tokligenced.store.reports import Entry

# What a page says on top after something was done, by the word in its address: never text from there.
NOTICES = {
    "welcome": "Welcome. Your account is ready: sign in.",
    "out": "You are signed out.",
    "password": "The password is changed. Sign in with the new one.",
    "revoked": "The key is revoked.",
    "ended": "The session is ended.",
    "totp-off": "Signing in needs no code any more.",
    "deleted": "The account is deleted.",
    "organization": "The organization is made.",
    "added": "They belong to the organization now.",
    "role": "The role is changed.",
    "removed": "They don't belong to the organization any more.",
    "left": "You have left the organization.",
    "credited": "The credit is in the books, once for its reference.",
    "terms": "The terms are changed.",
    "tried": "The provider was tried.",
    "reloaded": "The configuration is in use.",
}


@dataclass(frozen=True, slots=True)
class Entrance:
    """A link of the navigation, shown on pages of its kind to those it is for."""

    path: str
    label: str
    who: Literal["person", "admin"] = "person"


NAVIGATION = (
    Entrance("/account", "Overview"),
    Entrance("/account/keys", "Keys"),
    Entrance("/account/usage", "Usage"),
    Entrance("/account/requests", "Requests"),
    Entrance("/account/billing", "Billing"),
    Entrance("/organizations", "Organizations"),
    Entrance("/account/settings", "Settings"),
    Entrance("/admin", "Overview", "admin"),
    Entrance("/admin/accounts", "Accounts", "admin"),
    Entrance("/admin/models", "Models", "admin"),
    Entrance("/admin/providers", "Providers", "admin"),
    Entrance("/admin/requests", "Requests", "admin"),
    Entrance("/admin/audit", "Audit", "admin"),
    Entrance("/admin/config", "Configuration", "admin"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What surrounds every page: who looks, where they are, what was just done."""

    email: str | None
    admin: bool
    path: str
    notice: str
    navigation: tuple[Entrance, ...]


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page; `template` renders its fields."""

    template: ClassVar[str]
    status: int = 200


@dataclass(frozen=True, kw_only=True)
class Refusal(Page):
    """Why there is nothing else to see."""

    template = "refusal.html"
    title: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Start(Page):
    """What this is, for who has just arrived."""

    template = "start.html"
    base_url: str
    models: int


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    """A model in the list; prices in pico-USD per token, None where it is free."""

    id: str
    name: str
    aliases: tuple[str, ...]
    context: int
    most_output: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    input_price: int | None
    cached_price: int | None
    output_price: int | None


@dataclass(frozen=True, kw_only=True)
class Models(Page):
    """The public price list."""

    template = "models.html"
    search: str
    rows: list[ModelRow]


@dataclass(frozen=True, kw_only=True)
class Docs(Page):
    """How to call the gateway."""

    template = "docs.html"
    base_url: str
    model: str
    requests: int | None
    tokens: int | None
    concurrency: int | None
    clients: list[str]
    names: list[str]


@dataclass(frozen=True, kw_only=True)
class ClientDocs(Page):
    """How one client is pointed at the gateway."""

    template = "client.html"
    name: str
    title: str
    steps: list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Status(Page):
    """How the providers are: (name, available, recovering or failing, models served)."""

    template = "status.html"
    healthy: bool
    providers: list[tuple[str, str, int]]


@dataclass(frozen=True, kw_only=True)
class SignIn(Page):
    """Who are you; `step` code asks for the authenticator's code as well."""

    template = "sign-in.html"
    next: str = "/account"
    email: str = ""
    asks_code: bool = False
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class SignUp(Page):
    """A new account; the same page makes the first administrator, at another path."""

    template = "sign-up.html"
    action: str
    title: str
    token: str = ""
    email: str = ""
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Reset(Page):
    """A new password by a link; without its token, how to get one."""

    template = "reset.html"
    token: str
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Overview(Page):
    """How things stand; money in nano-USD."""

    template = "overview.html"
    balance: int
    held: int
    unlimited: bool
    today: int
    month: int
    calls: int
    error_share: float
    chart: Markup
    recent: list[Outcome]
    keys: int


@dataclass(frozen=True, kw_only=True)
class KeyRow:
    """A key in the list; times are Unix milliseconds, the cap nano-USD."""

    id: str
    name: str
    prefix: str
    status: str
    models: list[str]
    requests: int | None
    tokens: int | None
    concurrency: int | None
    cap: int | None
    expires_at: int | None
    last_used: int | None


@dataclass(frozen=True, kw_only=True)
class Keys(Page):
    """A payer's keys, and the form for another; `values` is what was typed when it was refused.

    `place` is the page's address; who is not `changing` only looks.
    """

    template = "keys.html"
    place: str = "/account/keys"
    changing: bool = True
    rows: list[KeyRow]
    models: list[str]
    error: str = ""
    values: dict[str, str] = field(default_factory=dict)
    chosen: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class NewKey(Page):
    """A new key, shown this once, with snippets that hold it; `place` is the address of all keys."""

    template = "new-key.html"
    place: str
    name: str
    key: str
    base_url: str
    model: str


@dataclass(frozen=True, kw_only=True)
class UsageReport(Page):
    """What was used: a chart by day, a table by `by`; `place` is the page's address."""

    template = "usage.html"
    place: str = "/account/usage"
    metric: str
    by: str
    days: int
    metrics: dict[str, str]
    groupings: tuple[str, ...]
    ranges: tuple[int, ...]
    chart: Markup
    rows: list[Used]
    total: Used
    names: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Calls(Page):
    """The request log; `more` is the address of the next page, empty on the last."""

    template = "requests.html"
    rows: list[Outcome]
    model: str
    status_code: str
    key: str
    keys: dict[str, str]
    more: str


@dataclass(frozen=True, kw_only=True)
class CallPage(Page):
    """One call with its arithmetic; `amounts` are its lines' sums as decimal USD."""

    template = "request.html"
    call: Outcome
    lines: list[tuple[Line, str, str]]
    key: str
    factor: str


@dataclass(frozen=True, kw_only=True)
class Billing(Page):
    """Balance, what is held, and movements; `account` tells which way money went.

    `calls` is the address below which the calls are, empty where there are no pages of them.
    """

    template = "billing.html"
    calls: str = "/account/requests"
    account: str
    balance: int
    held: int
    available: int
    unlimited: bool
    holds: list[OpenHold]
    rows: list[Entry]
    more: str
    months: list[str]


@dataclass(frozen=True, kw_only=True)
class Statement(Page):
    """A month on paper."""

    template = "statement.html"
    email: str
    month: str
    credited: int
    charged: int
    credits: list[Entry]
    models: list[Used]


@dataclass(frozen=True, kw_only=True)
class Settings(Page):
    """Password, second factor, sessions, leaving."""

    template = "settings.html"
    totp: bool
    current: str
    sessions: list[SessionRow]
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class TotpSetup(Page):
    """A second factor to be scanned and proved."""

    template = "totp.html"
    offer: TotpOffer
    picture: Markup
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class RecoveryCodes(Page):
    """The recovery codes, shown this once."""

    template = "recovery.html"
    codes: list[str]
