"""What administrators do, by name: typed parameters in, JSON out.

The command line, the control socket and the HTTP API for administrators all end here, so that each
operation exists once. The field names are the HTTP API's; points in time are RFC 3339 strings in UTC,
money is decimal USD strings, and null means: none set.

The daemon adds its own: `Operations(services, {**OPERATIONS, "status": Operation(Nothing, status)})`.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec
from msgspec import Struct, structs

from tokligenced.clock import Clock
from tokligenced.config import values
from tokligenced.domain import Account, Key, Limits, Organization, decimal_usd
from tokligenced.errors import InvalidInput
from tokligenced.gateway import auth
from tokligenced.gateway.directory import Directory

Object: TypeAlias = dict[str, Any]
Result: TypeAlias = Object | list[Object]
P = TypeVar("P")
T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Services(Struct, frozen=True, kw_only=True):
    """What operations work on."""

    directory: Directory
    clock: Clock


class Caller(Struct, frozen=True, kw_only=True):
    """Who asks, and how to tell them how far a long operation is: `progress` takes JSON objects.

    `actor` is what the audit writes: an account's id, or `cli` for who may use the control socket.
    """

    actor: str
    progress: Callable[[Object], None]


class Operation(Struct, Generic[P], frozen=True):
    """A function and the type of its parameters, which is also what they are checked against."""

    parameters: type[P]
    run: Callable[[Services, P, Caller], Awaitable[Result]]


class Operations:
    """Operations by name over the same services."""

    def __init__(self, services: Services, operations: Mapping[str, Operation[Any]]) -> None:
        self._services = services
        self._operations = operations

    async def perform(self, name: str, parameters: Object, caller: Caller) -> Result:
        """Do it; raises `InvalidInput`, `NotFound`, `Conflict`, or what else the operation raises."""
        operation = self._operations.get(name)
        if operation is None:
            raise InvalidInput(f"there is no operation {name!r}")
        try:
            checked = msgspec.convert(parameters, operation.parameters)
        except msgspec.ValidationError as error:
            raise InvalidInput(f"{name}: {error}") from error
        return await operation.run(self._services, checked, caller)


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


class NewAccount(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `accounts.create`."""

    email: str
    admin: bool = False


class NewOrganization(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `orgs.create`; `owner` is an account's e-mail address."""

    slug: str
    owner: str


class NewLimits(Limits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`Limits` as a parameter: a misspelt name is an error, not a limit that isn't there."""


class NewKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `keys.create`: who pays is either an account's address or an organization's slug."""

    name: str
    account: str | None = None
    org: str | None = None
    limits: NewLimits = NewLimits()
    models: list[str] | None = None
    expires_at: str | None = None
    spend_cap: str | None = None


class KeyId(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `keys.revoke`."""

    id: str


class Rotation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `keys.rotate`: for `overlap`, a duration such as `24h`, both keys work."""

    id: str
    overlap: str = "0s"


async def _create_account(services: Services, parameters: NewAccount, caller: Caller) -> Result:
    created = await services.directory.create_account(
        parameters.email, admin=parameters.admin, actor=caller.actor
    )
    return account_object(created)


async def _list_accounts(services: Services, _parameters: Nothing, _caller: Caller) -> Result:
    return [account_object(account) for account in services.directory.list_accounts()]


async def _create_organization(services: Services, parameters: NewOrganization, caller: Caller) -> Result:
    directory = services.directory
    created = await directory.create_organization(
        parameters.slug, owner_email=parameters.owner, actor=caller.actor
    )
    return organization_object(created, directory)


async def _list_organizations(services: Services, _parameters: Nothing, _caller: Caller) -> Result:
    directory = services.directory
    return [organization_object(organization, directory) for organization in directory.list_organizations()]


async def _create_key(services: Services, parameters: NewKey, caller: Caller) -> Result:
    directory = services.directory
    key, plain = await directory.create_key(
        payer_of(parameters.account, parameters.org, directory),
        name=parameters.name,
        limits=Limits(**structs.asdict(parameters.limits)),
        models=None if parameters.models is None else frozenset(parameters.models),
        expires_at=_read("expires_at", instant, parameters.expires_at),
        spend_cap_nano=_read("spend_cap", values.usd, parameters.spend_cap),
        actor=caller.actor,
    )
    return _shown_once(key, plain, services)


async def _list_keys(services: Services, _parameters: Nothing, _caller: Caller) -> Result:
    return [_shown(key, services) for key in services.directory.list_keys()]


async def _revoke_key(services: Services, parameters: KeyId, caller: Caller) -> Result:
    return _shown(await services.directory.revoke_key(parameters.id, actor=caller.actor), services)


async def _rotate_key(services: Services, parameters: Rotation, caller: Caller) -> Result:
    overlap = _read("overlap", values.duration, parameters.overlap) or 0.0
    key, plain = await services.directory.rotate_key(parameters.id, overlap=overlap, actor=caller.actor)
    return {**_shown_once(key, plain, services), "replaces": parameters.id}


# What needs nothing but the database, so also when no daemon runs.
OPERATIONS: Mapping[str, Operation[Any]] = {
    "accounts.create": Operation(NewAccount, _create_account),
    "accounts.list": Operation(Nothing, _list_accounts),
    "orgs.create": Operation(NewOrganization, _create_organization),
    "orgs.list": Operation(Nothing, _list_organizations),
    "keys.create": Operation(NewKey, _create_key),
    "keys.list": Operation(Nothing, _list_keys),
    "keys.revoke": Operation(KeyId, _revoke_key),
    "keys.rotate": Operation(Rotation, _rotate_key),
}


def _read(name: str, reader: Callable[[str], T], text: str | None) -> T | None:
    """What `reader` makes of a parameter; None stays None. Raises `InvalidInput` with its name."""
    if text is None:
        return None
    try:
        return reader(text)
    except values.Invalid as error:
        raise InvalidInput(f"{name} {error}") from error


def payer_of(account: str | None, org: str | None, directory: Directory) -> Account | Organization:
    """Who is named by an address or a slug. Raises `InvalidInput` unless it is one of both, `NotFound`."""
    if account is not None and org is None:
        return directory.account(account)
    if org is not None and account is None:
        return directory.organization(org)
    raise InvalidInput("exactly one of account and org is needed")


def account_object(account: Account) -> Object:
    """An account as the HTTP API shows it."""
    return {
        "id": account.id,
        "email": account.email,
        "admin": account.admin,
        "unlimited": account.unlimited,
        "created_at": timestamp(account.created_at),
    }


def organization_object(organization: Organization, directory: Directory) -> Object:
    """An organization as the HTTP API shows it; its owner by e-mail address."""
    owner = directory.payer(organization.owner_id)
    return {
        "id": organization.id,
        "slug": organization.slug,
        "owner": owner.email if isinstance(owner, Account) else None,
        "unlimited": organization.unlimited,
        "created_at": timestamp(organization.created_at),
    }


def key_object(key: Key, payer: Account | Organization, now: int) -> Object:
    """A key as the HTTP API shows it at `now`, never with what its owner sends."""
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        **({"account": payer.email} if isinstance(payer, Account) else {"org": payer.slug}),
        "limits": structs.asdict(key.limits),
        "models": None if key.models is None else sorted(key.models),
        "expires_at": None if key.expires_at is None else timestamp(key.expires_at),
        "spend_cap": None if key.spend_cap_nano is None else decimal_usd(key.spend_cap_nano, places=2),
        "created_at": timestamp(key.created_at),
        "revoked_at": None if key.revoked_at is None else timestamp(key.revoked_at),
        "status": auth.status(key, now),
    }


def _shown(key: Key, services: Services) -> Object:
    return key_object(key, services.directory.payer(key.payer_id), services.clock.wall_ms())


def _shown_once(key: Key, plain: str, services: Services) -> Object:
    return {"id": key.id, "key": plain, **_shown(key, services)}


def timestamp(at: int) -> str:
    """Unix milliseconds as RFC 3339 in UTC, such as `2026-01-31T12:00:00.000Z`."""
    moment = _EPOCH + timedelta(milliseconds=at)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def instant(text: str) -> int:
    """Unix milliseconds of an RFC 3339 date-time, or of a date's first moment in UTC.

    Raises `values.Invalid`, also for a date-time that does not say its offset from UTC.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        shown = values.shown(text)
        raise values.Invalid(f"must be a date, or a time like 2030-01-31T12:00:00Z, not {shown}") from error
    if len(text) == len("2030-01-31"):
        moment = moment.replace(tzinfo=UTC)
    if moment.tzinfo is None:
        raise values.Invalid(
            f"must say its offset from UTC, such as Z or +02:00, unlike {values.shown(text)}"
        )
    return (moment - _EPOCH) // timedelta(milliseconds=1)
