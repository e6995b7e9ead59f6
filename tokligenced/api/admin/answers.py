"""What administrators' endpoints answer with: `gateway.operations` makes it, these describe it.

Points in time are RFC 3339 strings in UTC, money is decimal USD strings, null means: none set.
"""

from typing import Any, Generic, Literal, TypeVar

from msgspec import UNSET, Struct, UnsetType

from tokligenced.domain import Limits, Usage

T = TypeVar("T")

State = Literal["closed", "half_open", "open"]


class Page(Struct, Generic[T], kw_only=True):
    """A part of a list; while `has_more`, `after` with what names the last one gives the next."""

    object: Literal["list"]
    data: list[T]
    has_more: bool


class Account(Struct, kw_only=True):
    """A person who signs in and pays."""

    id: str
    email: str
    admin: bool
    unlimited: bool
    price_factor: str
    created_at: str


class Organization(Struct, kw_only=True):
    """Several people who share keys, a balance and limits."""

    id: str
    slug: str
    owner: str | None
    unlimited: bool
    price_factor: str
    limits: Limits
    created_at: str


class Member(Struct, kw_only=True):
    """An account in an organization."""

    email: str
    role: Literal["owner", "admin", "member"]


class Removed(Struct, kw_only=True):
    """Who is no longer in it."""

    email: str
    removed: bool


class AccountBalance(Account, kw_only=True):
    """An account with its money."""

    balance: str
    held: str
    available: str


class OrganizationBalance(Organization, kw_only=True):
    """An organization with its money."""

    balance: str
    held: str
    available: str


class Payer(Struct, kw_only=True):
    """Who pays: an account by its address, or an organization by its slug."""

    account: str | UnsetType = UNSET
    org: str | UnsetType = UNSET


class Key(Payer, kw_only=True):
    """A key, without what its owner sends."""

    id: str
    name: str
    prefix: str
    limits: Limits
    models: list[str] | None
    expires_at: str | None
    spend_cap: str | None
    created_at: str
    revoked_at: str | None
    status: Literal["active", "expired", "revoked"]


class SpentKey(Key, kw_only=True):
    """A key with what it has spent so far."""

    spent: str


class NewKey(Key, kw_only=True):
    """A new key; `key` is what its owner sends, told here and never again."""

    key: str


class RotatedKey(NewKey, kw_only=True):
    """A new key in place of the one with the id `replaces`."""

    replaces: str


class Credited(Payer, kw_only=True):
    """A credit and the balance after it."""

    amount: str
    reference: str
    balance: str
    held: str
    available: str


class UsageReport(Struct, kw_only=True):
    """What was used since a time: a group has its names, and counts as `total` has."""

    since: str
    by: str
    groups: list[dict[str, Any]]
    total: "Counts"


class Counts(Struct, kw_only=True):
    """Sums over calls."""

    calls: int
    errors: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cost: str


class Request(Payer, kw_only=True):
    """A call as it was booked; durations in milliseconds."""

    id: str
    created_at: str
    key: str
    endpoint: str
    model: str
    provider: str | None
    upstream_model: str | None
    stream: bool
    status: int
    error: str | None
    attempts: int
    usage: Usage
    cost: str
    held: str
    shortfall: str
    price_factor: str
    first_byte_ms: float | None
    duration_ms: float


class Line(Struct, kw_only=True):
    """So many of a part at so much each."""

    part: str
    count: int
    rate: str
    amount: str


class CalculatedRequest(Request, kw_only=True):
    """A call with its arithmetic."""

    lines: list[Line]


class Head(Struct, kw_only=True):
    """The last entry of the ledger."""

    seq: int
    hash: str


class Verdict(Struct, kw_only=True):
    """Whether the books are right; `broken` says what is not."""

    ok: bool
    broken: list[str]
    entries: int
    payers: int
    open_holds: int
    head: Head


class Entry(Struct, kw_only=True):
    """A movement of money from `source` to `target`."""

    seq: int
    at: str
    kind: str
    source: str
    source_name: str | None
    target: str
    target_name: str | None
    amount: str
    call_id: str | None
    reference: str | None
    note: str | None
    hash: str


class AuditRecord(Struct, kw_only=True):
    """Who did what to what."""

    id: int
    at: str
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]


class ProviderDeployment(Struct, kw_only=True):
    """A model that a provider serves, and whether calls pass to it."""

    model: str
    upstream_model: str
    state: State
    weight: int
    priority: int


class Provider(Struct, kw_only=True):
    """A provider with the worst state of its deployments; never its secrets."""

    id: str
    type: str
    base_url: str
    has_key: bool
    state: State
    deployments: list[ProviderDeployment]


class Trial(Struct, kw_only=True):
    """What came of one tiny call."""

    provider: str
    model: str
    upstream_model: str
    ok: bool
    error: str | None
    duration_ms: float


class Deployment(Struct, kw_only=True):
    """One way to serve a model."""

    provider: str
    model: str
    weight: int
    priority: int


class Tier(Struct, kw_only=True):
    """Rates for prompts of more than `above` tokens."""

    above: int
    rates: dict[str, str]


class Price(Struct, kw_only=True):
    """USD per token or unit from a time on; what costs nothing is left out."""

    effective_at: str
    current: bool
    rates: dict[str, str]
    tiers: list[Tier]


class Model(Struct, kw_only=True):
    """A model with all its prices and deployments."""

    id: str
    name: str
    aliases: list[str]
    free: bool
    context_window: int
    max_output_tokens: int
    deployments: list[Deployment]
    prices: list[Price]


class Calculated(Struct, kw_only=True):
    """What a call would cost."""

    model: str
    at: str
    price_factor: str
    lines: list[Line]
    cost: str


class OrganizationLimits(Struct, kw_only=True):
    """An organization's own limits."""

    org: str
    limits: Limits


class KeyLimits(Payer, kw_only=True):
    """A key's own limits."""

    id: str
    name: str
    limits: Limits


class AllLimits(Struct, kw_only=True):
    """The configured defaults, and whoever has limits of their own."""

    defaults: Limits
    orgs: list[OrganizationLimits]
    keys: list[KeyLimits]


class Source(Struct, kw_only=True):
    """Which file owns a value of the configuration."""

    path: str
    file: str


class Configuration(Struct, kw_only=True):
    """Where the configuration comes from; a value that is not listed is at its default."""

    sources: list[Source]
    warnings: list[str]
    needs_restart: list[str]


class Reloaded(Struct, kw_only=True):
    """The configuration is in place, but for the values that need a restart."""

    reloaded: bool
    needs_restart: list[str]


class Error(Struct, kw_only=True):
    """A refusal."""

    error: "ErrorDetail"


class ErrorDetail(Struct, kw_only=True):
    """Why; `code` is for programs, `message` for people."""

    message: str
    type: str
    param: str | None
    code: str | None
