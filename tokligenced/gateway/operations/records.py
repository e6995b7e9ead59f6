"""Operations on what has been recorded: calls, entries of the ledger, the audit trail, single payers."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, structs

from tokligenced.domain import LIST_PRICE, Account, Organization, Outcome, decimal_usd
from tokligenced.errors import NotFound
from tokligenced.gateway import pricing
from tokligenced.gateway.operations.access import account_object, key_object, organization_object
from tokligenced.gateway.operations.base import (
    Caller,
    Number,
    Object,
    Operation,
    PageSize,
    Result,
    Services,
    paged,
    payer_name,
    payer_of,
    timestamp,
)
from tokligenced.gateway.operations.money import entry_object
from tokligenced.gateway.reports import Reports
from tokligenced.store import audit, calls, reports


class AccountName(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `accounts.get`."""

    email: str


class OrganizationName(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `orgs.get`."""

    slug: str


class RecordId(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `keys.get` and `requests.get`."""

    id: str


class RequestsQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `requests.list`: `after` is the last id of the page before; the newest come first."""

    account: str | None = None
    org: str | None = None
    key: str | None = None
    model: str | None = None
    provider: str | None = None
    status: Number | None = None
    after: str | None = None
    limit: PageSize = 100


class EntriesQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `ledger.entries`: those after the number `after`, in their order."""

    after: Number = 0
    limit: PageSize = 100


class AuditQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `audit.list`: those below the number `after`, the newest first, about an id."""

    subject: str | None = None
    after: Number | None = None
    limit: PageSize = 100


async def _account(services: Services, parameters: AccountName, _caller: Caller) -> Result:
    account = services.directory.account(parameters.email)
    return {**account_object(account), **_balance(account, services)}


async def _organization(services: Services, parameters: OrganizationName, _caller: Caller) -> Result:
    organization = services.directory.organization(parameters.slug)
    return {**organization_object(organization, services.directory), **_balance(organization, services)}


async def _key(services: Services, parameters: RecordId, _caller: Caller) -> Result:
    key = services.directory.key(parameters.id)
    shown = key_object(key, services.directory.payer(key.payer_id), services.clock.wall_ms())
    await services.database.flush()
    spent = await reports.spent(services.database, key.id)
    return {**shown, "spent": decimal_usd(spent, places=2)}


def _balance(payer: Account | Organization, services: Services) -> Object:
    there = services.ledger.balance(payer)
    return {
        "balance": decimal_usd(there.balance, places=2),
        "held": decimal_usd(there.held, places=2),
        "available": decimal_usd(there.available, places=2),
    }


async def _requests(services: Services, parameters: RequestsQuery, _caller: Caller) -> Result:
    payer_id = None
    if parameters.account is not None or parameters.org is not None:
        payer_id = payer_of(parameters.account, parameters.org, services.directory).id
    wanted = calls.Filter(
        payer_id=payer_id,
        key_id=parameters.key,
        model=parameters.model,
        provider=parameters.provider,
        status=parameters.status,
    )
    await services.database.flush()
    found = await calls.page(services.database, wanted, before=parameters.after, limit=parameters.limit + 1)
    return paged(found, parameters.limit, lambda outcome: request_object(outcome, services))


async def _request(services: Services, parameters: RecordId, _caller: Caller) -> Result:
    booked = await Reports(services.database).any_call(parameters.id)
    if booked is None:
        raise NotFound(f"there is no request {parameters.id!r}")
    return {
        **request_object(booked.outcome, services),
        "lines": [pricing.line_object(line) for line in booked.lines],
    }


def request_object(call: Outcome, services: Services) -> Object:
    """A call as administrators see it: whose it was, and its numbers; durations in milliseconds."""
    try:
        payer = payer_name(services.directory.payer(call.payer_id))
    except NotFound:
        payer = {}
    return {
        "id": call.id,
        "created_at": timestamp(call.started_at),
        **payer,
        "key": call.key_id,
        "endpoint": call.endpoint,
        "model": call.model,
        "provider": call.provider,
        "upstream_model": call.upstream_model,
        "stream": call.stream,
        "status": call.status,
        "error": call.error,
        "attempts": call.attempts,
        "usage": structs.asdict(call.usage),
        "cost": decimal_usd(call.cost_nano),
        "held": decimal_usd(call.held_nano),
        "shortfall": decimal_usd(call.shortfall_nano),
        "price_factor": decimal_usd(call.price_millionths, LIST_PRICE),
        "first_byte_ms": None if call.first_byte is None else round(call.first_byte * 1_000, 3),
        "duration_ms": round(call.duration * 1_000, 3),
    }


async def _entries(services: Services, parameters: EntriesQuery, _caller: Caller) -> Result:
    found = await reports.entries(services.database, after=parameters.after, limit=parameters.limit + 1)
    return paged(found, parameters.limit, lambda entry: entry_object(entry, services.directory))


async def _audit(services: Services, parameters: AuditQuery, _caller: Caller) -> Result:
    found = await audit.page(
        services.database, subject=parameters.subject, before=parameters.after, limit=parameters.limit + 1
    )
    return paged(found, parameters.limit, _record)


def _record(record: audit.Record) -> Object:
    return {**structs.asdict(record), "at": timestamp(record.at)}


RECORDS: Mapping[str, Operation[Any]] = {
    "accounts.get": Operation(AccountName, _account),
    "orgs.get": Operation(OrganizationName, _organization),
    "keys.get": Operation(RecordId, _key),
    "requests.list": Operation(RequestsQuery, _requests),
    "requests.get": Operation(RecordId, _request),
    "ledger.entries": Operation(EntriesQuery, _entries),
    "audit.list": Operation(AuditQuery, _audit),
}
