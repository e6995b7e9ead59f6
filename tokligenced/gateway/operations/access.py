"""Operations on who may call, and on what terms: accounts, organizations, keys."""

import re
from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, Struct, UnsetType, structs

from tokligenced.config import values
from tokligenced.domain import LIST_PRICE, Account, Key, Limits, Organization, decimal_usd
from tokligenced.gateway import auth
from tokligenced.gateway.directory import Directory
from tokligenced.gateway.operations.base import (
    Caller,
    Nothing,
    Object,
    Operation,
    Result,
    Services,
    instant,
    payer_name,
    payer_of,
    read,
    timestamp,
)

_FACTOR = re.compile(r"([0-9]{1,4})(?:\.([0-9]{1,6}))?").fullmatch


class NewAccount(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `accounts.create`."""

    email: str
    admin: bool = False


class NewLimits(Limits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`Limits` as a parameter: a misspelt name is an error, not a limit that isn't there."""


class NewOrganization(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `orgs.create`; `owner` is an account's e-mail address."""

    slug: str
    owner: str
    limits: NewLimits = NewLimits()


class ChangedLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits to change: null takes one away, and what isn't there stays as it is."""

    requests_per_minute: int | UnsetType | None = UNSET
    tokens_per_minute: int | UnsetType | None = UNSET
    concurrency: int | UnsetType | None = UNSET


class AccountTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `accounts.set`: what is null stays as it is. `price_factor` is like `0.8`."""

    email: str
    unlimited: bool | None = None
    price_factor: str | None = None


class OrganizationTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `orgs.set`: what is null stays as it is. `price_factor` is like `0.8`."""

    slug: str
    unlimited: bool | None = None
    price_factor: str | None = None
    limits: ChangedLimits = ChangedLimits()


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


async def _set_account(services: Services, parameters: AccountTerms, caller: Caller) -> Result:
    directory = services.directory
    await directory.change_terms(
        directory.account(parameters.email),
        unlimited=parameters.unlimited,
        price_millionths=_factor(parameters.price_factor),
        actor=caller.actor,
    )
    return account_object(directory.account(parameters.email))


async def _create_organization(services: Services, parameters: NewOrganization, caller: Caller) -> Result:
    directory = services.directory
    created = await directory.create_organization(
        parameters.slug, owner_email=parameters.owner, limits=_limits(parameters.limits), actor=caller.actor
    )
    return organization_object(created, directory)


async def _list_organizations(services: Services, _parameters: Nothing, _caller: Caller) -> Result:
    directory = services.directory
    return [organization_object(organization, directory) for organization in directory.list_organizations()]


async def _set_organization(services: Services, parameters: OrganizationTerms, caller: Caller) -> Result:
    directory = services.directory
    limits = structs.asdict(parameters.limits)
    await directory.change_terms(
        directory.organization(parameters.slug),
        unlimited=parameters.unlimited,
        price_millionths=_factor(parameters.price_factor),
        limits={name: limit for name, limit in limits.items() if limit is not UNSET},
        actor=caller.actor,
    )
    return organization_object(directory.organization(parameters.slug), directory)


async def _create_key(services: Services, parameters: NewKey, caller: Caller) -> Result:
    directory = services.directory
    expires_at, spend_cap = parameters.expires_at, parameters.spend_cap
    key, plain = await directory.create_key(
        payer_of(parameters.account, parameters.org, directory),
        name=parameters.name,
        limits=_limits(parameters.limits),
        models=None if parameters.models is None else frozenset(parameters.models),
        expires_at=None if expires_at is None else read("expires_at", instant, expires_at),
        spend_cap_nano=None if spend_cap is None else read("spend_cap", values.usd, spend_cap),
        actor=caller.actor,
    )
    return _shown_once(key, plain, services)


async def _list_keys(services: Services, _parameters: Nothing, _caller: Caller) -> Result:
    return [_shown(key, services) for key in services.directory.list_keys()]


async def _revoke_key(services: Services, parameters: KeyId, caller: Caller) -> Result:
    return _shown(await services.directory.revoke_key(parameters.id, actor=caller.actor), services)


async def _rotate_key(services: Services, parameters: Rotation, caller: Caller) -> Result:
    overlap = read("overlap", values.duration, parameters.overlap)
    key, plain = await services.directory.rotate_key(parameters.id, overlap=overlap, actor=caller.actor)
    return {**_shown_once(key, plain, services), "replaces": parameters.id}


ACCESS: Mapping[str, Operation[Any]] = {
    "accounts.create": Operation(NewAccount, _create_account),
    "accounts.list": Operation(Nothing, _list_accounts),
    "accounts.set": Operation(AccountTerms, _set_account),
    "orgs.create": Operation(NewOrganization, _create_organization),
    "orgs.list": Operation(Nothing, _list_organizations),
    "orgs.set": Operation(OrganizationTerms, _set_organization),
    "keys.create": Operation(NewKey, _create_key),
    "keys.list": Operation(Nothing, _list_keys),
    "keys.revoke": Operation(KeyId, _revoke_key),
    "keys.rotate": Operation(Rotation, _rotate_key),
}


def _limits(parameters: NewLimits) -> Limits:
    return Limits(**structs.asdict(parameters))


def _factor(text: str | None) -> int | None:
    return None if text is None else read("price_factor", price_millionths, text)


def price_millionths(text: str) -> int:
    """A part of the list price, such as `0.8`, in millionths. Raises `values.Invalid`."""
    written = _FACTOR(text)
    if written is None:
        raise values.Invalid(
            f'must be a part of the price like "0.8", of at most 6 decimal places, not {values.shown(text)}'
        )
    return int(written[1]) * LIST_PRICE + int((written[2] or "").ljust(6, "0"))


def account_object(account: Account) -> Object:
    """An account as the HTTP API shows it."""
    return {
        "id": account.id,
        "email": account.email,
        "admin": account.admin,
        "unlimited": account.unlimited,
        "price_factor": decimal_usd(account.price_millionths, LIST_PRICE),
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
        "price_factor": decimal_usd(organization.price_millionths, LIST_PRICE),
        "limits": structs.asdict(organization.limits),
        "created_at": timestamp(organization.created_at),
    }


def key_object(key: Key, payer: Account | Organization, now: int) -> Object:
    """A key as the HTTP API shows it at `now`, never with what its owner sends."""
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        **payer_name(payer),
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
