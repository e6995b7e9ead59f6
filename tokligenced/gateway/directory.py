"""Who exists: accounts, organizations and keys.

The truth is in memory and the file is its journal: a change is first committed, with its audit row in
the same transaction, and then made in memory. Nothing else writes those tables.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from msgspec import structs

from tokligenced.clock import Clock, IdSource
from tokligenced.domain import Account, Key, Limits, Organization, Principal
from tokligenced.errors import Conflict, InvalidInput, NotFound
from tokligenced.gateway import auth, bounds
from tokligenced.store import accounts as account_rows
from tokligenced.store import audit
from tokligenced.store import keys as key_rows
from tokligenced.store.database import Database, Transaction

P = ParamSpec("P")
T = TypeVar("T")

# What is written in one commit with an account's making or end.
Also = Callable[[Transaction, Account], Awaitable[None]]


async def _nothing(_tx: Transaction, _account: Account) -> None:
    """For an account that needs nothing more."""


def _undivided(
    method: Callable[Concatenate["Directory", P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["Directory", P], Coroutine[Any, Any, T]]:
    """Changes are made one at a time, and wholly even where the caller is cancelled in the midst.

    Were a change cut between its commit and memory, the file would know what the daemon doesn't.
    """

    @functools.wraps(method)
    async def whole(self: "Directory", /, *args: P.args, **kwargs: P.kwargs) -> T:
        task = asyncio.create_task(self._alone(functools.partial(method, self, *args, **kwargs)))
        self._changing.add(task)
        task.add_done_callback(self._changing.discard)
        return await asyncio.shield(task)

    return whole


class Directory:
    """Accounts, organizations and keys; look-ups are immediate, changes are durable when they return.

    `actor` names who asks for a change, as the audit has it: an account's id, or `cli`.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        ids: IdSource,
        accounts: Sequence[Account] = (),
        organizations: Sequence[Organization] = (),
        keys: Sequence[Key] = (),
        audited: audit.Audited = audit.unheard,
    ) -> None:
        self._database = database
        self._audited = audited
        self._recorded: list[tuple[str, str, str]] = []
        self._clock = clock
        self._ids = ids
        self._accounts = {account.email: account for account in accounts}
        self._organizations = {organization.slug: organization for organization in organizations}
        self._payers: dict[str, Account | Organization] = {account.id: account for account in accounts}
        self._payers.update((organization.id, organization) for organization in organizations)
        self._keys: dict[str, Key] = {}
        self._principals: dict[bytes, Principal] = {}
        for key in keys:
            self._keep(key)
        self._one_at_a_time = asyncio.Lock()
        self._changing: set[asyncio.Task[Any]] = set()

    @classmethod
    async def load(
        cls, database: Database, *, clock: Clock, ids: IdSource, audited: audit.Audited = audit.unheard
    ) -> Self:
        """What the database holds. `audited` is told of each change that is made."""
        return cls(
            database,
            clock=clock,
            ids=ids,
            accounts=await account_rows.load_accounts(database),
            organizations=await account_rows.load_organizations(database),
            keys=await key_rows.load(database),
            audited=audited,
        )

    def principal(self, key_digest: bytes) -> Principal | None:
        """Whom the key with this SHA-256 proves, be it expired or revoked; None: nobody."""
        return self._principals.get(key_digest)

    def list_accounts(self) -> list[Account]:
        """All accounts, oldest first."""
        return list(self._accounts.values())

    def list_organizations(self) -> list[Organization]:
        """All organizations, oldest first."""
        return list(self._organizations.values())

    def list_keys(self) -> list[Key]:
        """All keys, expired and revoked ones too, oldest first."""
        return list(self._keys.values())

    def account(self, email: str) -> Account:
        """The account with this address, in whatever case; raises `NotFound`."""
        account = self._accounts.get(email.lower())
        if account is None:
            raise NotFound(f"there is no account {email!r}")
        return account

    def organization(self, slug: str) -> Organization:
        """The organization with this slug; raises `NotFound`."""
        organization = self._organizations.get(slug)
        if organization is None:
            raise NotFound(f"there is no organization {slug!r}")
        return organization

    def payer(self, payer_id: str) -> Account | Organization:
        """The account or organization with this id; raises `NotFound`."""
        payer = self._payers.get(payer_id)
        if payer is None:
            raise NotFound(f"there is no account or organization {payer_id!r}")
        return payer

    def key(self, key_id: str) -> Key:
        """The key with this id; raises `NotFound`."""
        key = self._keys.get(key_id)
        if key is None:
            raise NotFound(f"there is no key {key_id!r}")
        return key

    @_undivided
    async def create_account(
        self, email: str, *, admin: bool = False, also: Also = _nothing, actor: str | None
    ) -> Account:
        """A new account, made in one commit with what `also` writes; the address is kept in lower case.

        `actor` None is the account itself. Raises `InvalidInput`, `Conflict`, and what `also` raises.
        """
        address = bounds.email(email)
        if address in self._accounts:
            raise Conflict(f"there is already an account {address!r}")
        account = Account(
            id=self._ids.new("acct_"), email=address, admin=admin, created_at=self._clock.wall_ms()
        )

        async def write(tx: Transaction) -> None:
            await account_rows.insert_account(tx, account)
            detail = {"email": address, "admin": admin}
            await self._record(tx, actor or account.id, "account.created", account.id, detail)
            await also(tx, account)

        await self._database.transact(write)
        self._accounts[address] = account
        self._payers[account.id] = account
        return account

    @_undivided
    async def erase_account(self, account: Account, *, also: Also, actor: str) -> Account:
        """Revoke an account's keys, and put in the place of its address one that says nothing.

        All in one commit with what `also` writes. The account stays, for its entries in the ledger do. Raises
        `NotFound`, `Conflict` where it is the last administrator, and what `also` raises.
        """
        account = self.account(account.email)
        if account.admin and sum(each.admin for each in self._accounts.values()) == 1:
            raise Conflict("there is no other administrator")
        now = self._clock.wall_ms()
        erased = structs.replace(account, email=f"{account.id}@deleted.invalid", admin=False)
        revoked = [
            structs.replace(key, revoked_at=now)
            for key in self._keys.values()
            if key.payer_id == account.id and key.revoked_at is None
        ]

        async def write(tx: Transaction) -> None:
            for key in revoked:
                await key_rows.update(tx, key)
                await self._record(tx, actor, "key.revoked", key.id, {"prefix": key.prefix})
            await account_rows.update_identity(tx, erased)
            await self._record(tx, actor, "account.deleted", account.id, {})
            await also(tx, erased)

        await self._database.transact(write)
        del self._accounts[account.email]
        self._accounts[erased.email] = self._payers[erased.id] = erased
        for key in [key for key in self._keys.values() if key.payer_id == erased.id]:
            self._keep(structs.replace(key, revoked_at=key.revoked_at or now))
        return erased

    @_undivided
    async def create_organization(
        self,
        slug: str,
        *,
        owner_email: str,
        limits: Limits = Limits(),  # noqa: B008 - immutable
        actor: str,
    ) -> Organization:
        """A new organization. Raises `InvalidInput`, `NotFound` (the owner), `Conflict`."""
        bounds.slug(slug)
        owner = self.account(owner_email)
        if slug in self._organizations:
            raise Conflict(f"there is already an organization {slug!r}")
        bounds.limits(limits)
        organization = Organization(
            id=self._ids.new("org_"),
            slug=slug,
            owner_id=owner.id,
            limits=limits,
            created_at=self._clock.wall_ms(),
        )

        async def write(tx: Transaction) -> None:
            await account_rows.insert_organization(tx, organization)
            detail = {"slug": slug, "owner_id": owner.id}
            await self._record(tx, actor, "organization.created", organization.id, detail)

        await self._database.transact(write)
        self._organizations[slug] = organization
        self._payers[organization.id] = organization
        return organization

    @_undivided
    async def change_terms(
        self,
        payer: Account | Organization,
        *,
        unlimited: bool | None = None,
        price_millionths: int | None = None,
        limits: Mapping[str, int | None] | None = None,
        actor: str,
    ) -> Account | Organization:
        """Serve a payer on other terms from the next call on: what is None stays as it is.

        `limits` has those to change, by the names of `Limits`; only organizations have any. Raises
        `InvalidInput`, `NotFound`.
        """
        payer = self.payer(payer.id)  # as it is now that no other change is under way
        changes: dict[str, Any] = {}
        if unlimited is not None:
            changes["unlimited"] = unlimited
        if price_millionths is not None:
            bounds.price(price_millionths)
            changes["price_millionths"] = price_millionths
        if limits:
            if isinstance(payer, Account):
                raise InvalidInput("an account has no limits of its own; its keys have")
            changes["limits"] = structs.replace(payer.limits, **limits)
            bounds.limits(changes["limits"])
        if not changes:
            raise InvalidInput("nothing to change was named")
        changed = structs.replace(payer, **changes)

        async def write(tx: Transaction) -> None:
            await account_rows.update_terms(tx, changed)
            await self._record(tx, actor, "payer.terms_changed", payer.id, changes)

        await self._database.transact(write)
        self._payers[changed.id] = changed
        if isinstance(changed, Account):
            self._accounts[changed.email] = changed
        else:
            self._organizations[changed.slug] = changed
        for key in [key for key in self._keys.values() if key.payer_id == changed.id]:
            self._keep(key)
        return changed

    @_undivided
    async def create_key(
        self,
        payer: Account | Organization,
        *,
        name: str,
        limits: Limits = Limits(),  # noqa: B008 - immutable
        models: frozenset[str] | None = None,
        expires_at: int | None = None,
        spend_cap_nano: int | None = None,
        actor: str,
    ) -> tuple[Key, str]:
        """A new key and what its owner will send; the latter is known only now. Raises `InvalidInput`.

        Model names need not be in today's catalog: a later configuration may bring them.
        """
        now = self._clock.wall_ms()
        bounds.name(name)
        bounds.limits(limits)
        bounds.models(models)
        bounds.expiry(expires_at, now)
        bounds.spend_cap(spend_cap_nano)
        plain = auth.mint()
        key = Key(
            id=self._ids.new("key_"),
            digest=auth.digest(plain),
            prefix=auth.prefix(plain),
            name=name,
            payer_kind="account" if isinstance(payer, Account) else "org",
            payer_id=payer.id,
            limits=limits,
            models=models,
            spend_cap_nano=spend_cap_nano,
            created_at=now,
            expires_at=expires_at,
        )

        async def write(tx: Transaction) -> None:
            await key_rows.insert(tx, key)
            detail = {"prefix": key.prefix, "name": name, "payer_id": payer.id}
            await self._record(tx, actor, "key.created", key.id, detail)

        await self._database.transact(write)
        self._keep(key)
        return key, plain

    @_undivided
    async def revoke_key(self, key_id: str, *, actor: str) -> Key:
        """Make a key useless at once; one that is revoked already stays as it is. Raises `NotFound`."""
        key = self.key(key_id)
        if key.revoked_at is not None:
            return key
        revoked = structs.replace(key, revoked_at=self._clock.wall_ms())

        async def write(tx: Transaction) -> None:
            await key_rows.update(tx, revoked)
            await self._record(tx, actor, "key.revoked", key.id, {"prefix": key.prefix})

        await self._database.transact(write)
        self._keep(revoked)
        return revoked

    @_undivided
    async def rotate_key(self, key_id: str, *, overlap: float = 0.0, actor: str) -> tuple[Key, str]:
        """A new key with the settings of an old one, which expires `overlap` seconds from now.

        The old one never lives longer than it would have. Raises `NotFound`, `InvalidInput`, and
        `Conflict` when the old one is expired or revoked: a useless key is not brought back so.
        """
        now = self._clock.wall_ms()
        old = self.key(key_id)
        if (status := auth.status(old, now)) != "active":
            raise Conflict(f"key {key_id!r} is {status}")
        end = now + round(overlap * 1000)
        if not now <= end <= bounds.LAST_INSTANT:
            raise InvalidInput("overlap must not be negative, nor reach beyond the year 9999")
        plain = auth.mint()
        new = structs.replace(
            old,
            id=self._ids.new("key_"),
            digest=auth.digest(plain),
            prefix=auth.prefix(plain),
            created_at=now,
        )
        ending = structs.replace(old, expires_at=end if old.expires_at is None else min(end, old.expires_at))

        async def write(tx: Transaction) -> None:
            await key_rows.insert(tx, new)
            await key_rows.update(tx, ending)
            detail = {"prefix": old.prefix, "successor_id": new.id, "expires_at": ending.expires_at}
            await self._record(tx, actor, "key.rotated", old.id, detail)

        await self._database.transact(write)
        self._keep(ending)
        self._keep(new)
        return new, plain

    async def _alone(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async with self._one_at_a_time:
            self._recorded.clear()
            result = await work()
            for entry in self._recorded:
                self._audited(*entry)
            return result

    def _keep(self, key: Key) -> None:
        self._keys[key.id] = key
        self._principals[key.digest] = Principal(key=key, payer=self._payers[key.payer_id])

    async def _record(
        self, tx: Transaction, actor: str, action: str, subject: str, detail: dict[str, Any]
    ) -> None:
        at = self._clock.wall_ms()
        await audit.record(tx, at=at, actor=actor, action=action, subject=subject, detail=detail)
        self._recorded.append((actor, action, subject))
