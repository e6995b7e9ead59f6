"""What all operations share: how they are called, what they work on, how values are read and shown."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Generic, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from tokligenced.clock import Clock
from tokligenced.config import values
from tokligenced.domain import Account, Organization
from tokligenced.errors import InvalidInput
from tokligenced.gateway.directory import Directory
from tokligenced.gateway.ledger import Ledger
from tokligenced.store import audit
from tokligenced.store.database import Database

Object: TypeAlias = dict[str, Any]
Result: TypeAlias = Object | list[Object]
P = TypeVar("P")
T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Services(Struct, frozen=True, kw_only=True):
    """What operations work on; `audited` is told of changes that neither directory nor ledger makes."""

    directory: Directory
    ledger: Ledger
    database: Database
    clock: Clock
    audited: audit.Audited = audit.unheard


async def _at_once() -> None:
    """For who takes what he is told while he is told it."""


class Caller(Struct, frozen=True, kw_only=True):
    """Who asks, and how to tell them how far a long operation is: `progress` takes JSON objects.

    `actor` is what the audit writes: an account's id, `cli` for who may use the control socket, `local` for
    who asks the API on the machine itself.
    `taken` waits until the caller has taken most of what he was told; it raises `ConnectionError` when
    he has left. Whoever has much to tell awaits it now and then, lest it pile up.
    """

    actor: str
    progress: Callable[[Object], None]
    taken: Callable[[], Awaitable[None]] = _at_once


class Operation(Struct, Generic[P], frozen=True):
    """A function and the type of its parameters, which is also what they are checked against."""

    parameters: type[P]
    run: Callable[[Services, P, Caller], Awaitable[Result]]


class Operations:
    """Operations by name over the same services."""

    def __init__(self, services: Services, operations: Mapping[str, Operation[Any]]) -> None:
        self._services = services
        self._operations = operations

    def parameters(self, name: str) -> type[Struct]:
        """The type of an operation's parameters."""
        kind: type[Struct] = self._operations[name].parameters
        return kind

    async def perform(self, name: str, parameters: Object, caller: Caller, *, strict: bool = True) -> Result:
        """Do it; raises `InvalidInput`, `NotFound`, `Conflict`, or what else the operation raises.

        Where not `strict`, numbers and truths may come as text, as in a URL.
        """
        operation = self._operations.get(name)
        if operation is None:
            raise InvalidInput(f"there is no operation {name!r}")
        try:
            checked = msgspec.convert(parameters, operation.parameters, strict=strict)
        except msgspec.ValidationError as error:
            raise InvalidInput(f"{name}: {error}") from error
        return await operation.run(self._services, checked, caller)


# How many records of a list are told at once.
PageSize = Annotated[int, Meta(ge=1, le=1000)]
# A record's number in a list that only grows.
Number = Annotated[int, Meta(ge=0, le=2**53)]


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


def read(name: str, reader: Callable[[str], T], text: str) -> T:
    """What `reader` makes of a parameter. Raises `InvalidInput` with its name."""
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


def payer_name(payer: Account | Organization) -> Object:
    """A payer as objects name it: an account by address, an organization by slug."""
    return {"account": payer.email} if isinstance(payer, Account) else {"org": payer.slug}


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


def paged(rows: Sequence[T], limit: int, shown: Callable[[T], Object]) -> Object:
    """A page of a list, of whose rows one more than `limit` was asked for: that tells whether more come."""
    return {
        "object": "list",
        "data": [shown(each) for each in rows[:limit]],
        "has_more": len(rows) > limit,
    }
