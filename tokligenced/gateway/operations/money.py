"""Operations on money: credits, usage, the ledger's proof and its entries, and a copy of it all."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from tokligenced.config import values
from tokligenced.domain import Account, decimal_usd
from tokligenced.errors import InvalidInput, NotFound, StoreError
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
from tokligenced.store import reports, verify, witness

_USUAL_DAYS = 30
_DAY = 86_400_000  # milliseconds
_PAGE = 250  # entries, some milliseconds of the loop
_HEAD = re.compile(r"([0-9]{1,18}):([0-9a-f]{8,64})").fullmatch


class Credit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `credit`: `amount` in USD, for an account by its address or an organization by slug."""

    amount: str
    reference: str
    account: str | None = None
    org: str | None = None
    note: str | None = None


class UsageQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `usage`: without `since`, the last thirty days."""

    since: str | None = None
    by: reports.Grouping = "model"


class Verification(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `ledger.verify`: `head` is `SEQ:HASH` as a log or an earlier answer had it."""

    head: str | None = None


class Backup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `backup`: an absolute path at which nothing is yet."""

    path: str


async def _credit(services: Services, parameters: Credit, caller: Caller) -> Result:
    payer = payer_of(parameters.account, parameters.org, services.directory)
    amount = read("amount", values.usd, parameters.amount)
    balance = await services.ledger.credit(
        payer, amount, reference=parameters.reference, note=parameters.note, actor=caller.actor
    )
    return {
        **payer_name(payer),
        "amount": decimal_usd(amount, places=2),
        "balance": decimal_usd(balance.balance, places=2),
        "held": decimal_usd(balance.held, places=2),
        "available": decimal_usd(balance.available, places=2),
        "reference": parameters.reference,
    }


async def _usage(services: Services, parameters: UsageQuery, _caller: Caller) -> Result:
    since = services.clock.wall_ms() - _USUAL_DAYS * _DAY
    if parameters.since is not None:
        since = read("since", instant, parameters.since)
    groups = await reports.usage(services.database, since=since, by=parameters.by)
    counted = reports.Group.__struct_fields__[1:]
    total = reports.Group(
        label={}, **{name: sum(getattr(group, name) for group in groups) for name in counted}
    )
    return {
        "since": timestamp(since),
        "by": parameters.by,
        "groups": [_used(group) for group in groups],
        "total": _used(total),
    }


def _used(group: reports.Group) -> Object:
    fields = structs.asdict(group)
    label, cost = fields.pop("label"), fields.pop("cost_nano")
    return {**label, **fields, "cost": decimal_usd(cost)}


async def _verify(services: Services, parameters: Verification, _caller: Caller) -> Result:
    claims = []
    broken = []
    if parameters.head is not None:
        said = _HEAD(parameters.head)
        if said is None:
            raise InvalidInput("head must be SEQ:HASH, with 8 to 64 hexadecimal digits of the hash")
        claims.append(verify.Claim(seq=int(said[1]), hash=said[2], source="whoever asks"))
    path = witness.path_beside(services.database.path)
    # Before the ledger: what the file says then is in what is looked at later.
    try:
        seen = witness.read(path)
    except StoreError as error:
        broken.append(str(error))
    else:
        if seen is not None:
            source = f"{path.name} at {timestamp(seen.at)}"
            claims.append(verify.Claim(seq=seen.seq, hash=seen.hash, source=source))
    verdict = await services.database.inspect(lambda connection: verify.examine(connection, claims))
    broken += verdict.broken
    return {
        "ok": not broken,
        "broken": broken,
        "entries": verdict.entries,
        "payers": verdict.payers,
        "open_holds": verdict.open_holds,
        "head": structs.asdict(verdict.head),
    }


async def _export(services: Services, _parameters: Nothing, caller: Caller) -> Result:
    """All entries, a page at a time as progress; they are never changed, so pages fit together."""
    after = count = 0
    while page := await reports.entries(services.database, after=after, limit=_PAGE):
        caller.progress({"entries": [entry_object(entry, services.directory) for entry in page]})
        await caller.taken()
        after, count = page[-1].seq, count + len(page)
    return {"entries": count}


def entry_object(entry: reports.Entry, directory: Directory) -> Object:
    """An entry of the ledger as it is shown, with the names of those between whom it moves money."""
    return {
        "seq": entry.seq,
        "at": timestamp(entry.at),
        "kind": entry.kind,
        "source": entry.source,
        "source_name": _name(entry.source, directory),
        "target": entry.target,
        "target_name": _name(entry.target, directory),
        "amount": decimal_usd(entry.amount),
        "call_id": entry.call_id,
        "reference": entry.reference,
        "note": entry.note,
        "hash": entry.hash,
    }


def _name(owner: str, directory: Directory) -> str | None:
    try:
        payer = directory.payer(owner)
    except NotFound:  # the operator's own accounts have no other name
        return None
    return payer.email if isinstance(payer, Account) else payer.slug


async def _backup(services: Services, parameters: Backup, caller: Caller) -> Result:
    target = Path(parameters.path)
    if not target.is_absolute() or "\0" in parameters.path:
        raise InvalidInput(f"path must be absolute, unlike {values.shown(parameters.path)}")
    started = services.clock.monotonic()
    await services.database.backup(
        target, lambda done, total: caller.progress({"done": done, "total": total})
    )
    return {
        "path": str(target),
        "bytes": (await asyncio.to_thread(target.stat)).st_size,
        "seconds": round(services.clock.monotonic() - started, 3),
    }


MONEY: Mapping[str, Operation[Any]] = {
    "credit": Operation(Credit, _credit),
    "usage": Operation(UsageQuery, _usage),
    "ledger.verify": Operation(Verification, _verify),
    "ledger.export": Operation(Nothing, _export),
    "backup": Operation(Backup, _backup),
}
