"""Passwords and second factors of accounts, and the patience that guessing them takes."""

from collections.abc import Callable
from ipaddress import ip_address, ip_network

from tokligenced.clock import Clock
from tokligenced.domain import Account
from tokligenced.errors import Conflict, InvalidInput
from tokligenced.gateway.people import passwords, tokens, totp
from tokligenced.gateway.people.changes import Change, Changes
from tokligenced.gateway.people.nouns import SignInRefused, TotpOffer
from tokligenced.gateway.people.passwords import Passwords
from tokligenced.gateway.people.slowdown import SlowDown
from tokligenced.store import people as rows
from tokligenced.store.database import Database
from tokligenced.store.people import Factor

_FREE_FAILURES = 5
_FREE_OF_ADDRESS = 20  # many people may share one
_RECOVERY_CODES = 10
_LONGEST_NAME = 254


class Credentials:
    """Checks and changes what accounts prove themselves with."""

    def __init__(self, database: Database, clock: Clock, hasher: Passwords, changes: Changes) -> None:
        self._database = database
        self._clock = clock
        self._passwords = hasher
        self._changes = changes
        self._by_name = SlowDown(clock, free=_FREE_FAILURES)
        self._by_address = SlowDown(clock, free=_FREE_OF_ADDRESS)

    def begin(self, name: str, address: str | None = None) -> "Attempt":
        """An attempt to prove to be `name`, from a network address; raises `SignInRefused` (`slow_down`).

        It counts as a failure unless it is told otherwise.
        """
        attempt = Attempt(
            [(self._by_name, name[:_LONGEST_NAME])]
            + ([] if address is None else [(self._by_address, _network(address))])
        )
        if wait := attempt.wait():
            raise SignInRefused("slow_down", wait)
        attempt.count()
        return attempt

    async def proved(self, account: Account | None, password: str) -> str | None:
        """The kept hash that the password is right for; None: it is wrong, or there is none.

        It takes as long in any case.
        """
        kept = await rows.password(self._database.read, account.id if account is not None else "")
        return kept if await self._passwords.verify(kept, password) else None

    async def confirm(self, account: Account, password: str) -> str:
        """The hash for which the signed-in person's password is right. Raises `InvalidInput` if it is not."""
        try:
            attempt = self.begin(account.email)
        except SignInRefused as error:
            raise InvalidInput(f"too many attempts: try again in {error.wait:.0f} seconds") from error
        kept = await self.proved(account, password)
        if kept is None:
            raise InvalidInput("the password is wrong")
        attempt.succeeded()
        return kept

    async def hashed(self, password: str, email: str) -> str:
        """The hash of a password that the account of `email` may have. Raises `InvalidInput`."""
        passwords.check(password, email)
        return await self._passwords.hash(password)

    async def change(self, account: Account, old: str, new: str, after: Callable[[], None]) -> None:
        """Replace the password and delete all sessions; `after` is called then. Raises `InvalidInput`."""
        kept = await self.confirm(account, old)
        hash_ = await self.hashed(new, account.email)

        async def write(change: Change) -> None:
            if await rows.password(change.tx.execute, account.id) != kept:
                raise InvalidInput("the password was changed meanwhile")
            await rows.set_password(change.tx, account.id, hash_, change.now)
            await rows.delete_sessions(change.tx, account.id)
            await change.record(account.id, "password.changed", account.id)

        await self._changes.make(write, after)

    async def check_code(self, change: Change, account: Account, code: str | None) -> None:
        """Use the code up, if the account needs one. Raises `SignInRefused` (`code_needed`, `wrong_code`)."""
        factor = await rows.factor(change.tx.execute, account.id)
        if factor is None:
            return
        if not code or not code.strip():
            raise SignInRefused("code_needed")
        step = totp.accepted_step(factor.secret, code, change.now, after=factor.last_step)
        if step is not None:
            await rows.note_step(change.tx, account.id, step)
        elif await rows.use_recovery_code(change.tx, account.id, tokens.recovery_digest(code)):
            await change.record(account.id, "recovery_code.used", account.id)
        else:
            raise SignInRefused("wrong_code")

    def offer_totp(self, account: Account, issuer: str) -> TotpOffer:
        """A fresh secret, of which nothing is kept."""
        secret = tokens.mint_secret()
        return TotpOffer(secret=totp.to_text(secret), uri=totp.uri(secret, account.email, issuer))

    async def begin_totp(self, account: Account, secret: str, code: str) -> list[str]:
        """Need codes of `secret` from now on; the recovery codes. Raises `InvalidInput`, `Conflict`."""
        plain = totp.from_text(secret)
        if plain is None:
            raise InvalidInput("that is not a secret that was offered")
        step = totp.accepted_step(plain, code, self._clock.wall_ms())
        if step is None:
            raise InvalidInput("the code is wrong; is the clock of the authenticator right?")
        codes = [tokens.mint_recovery_code() for _ in range(_RECOVERY_CODES)]
        factor = Factor(secret=plain, last_step=step)

        async def write(change: Change) -> None:
            if await rows.factor(change.tx.execute, account.id) is not None:
                raise Conflict("codes are needed already")
            digests = [tokens.recovery_digest(each) for each in codes]
            await rows.insert_factor(change.tx, account.id, factor, digests, change.now)
            await change.record(account.id, "totp.enabled", account.id)

        await self._changes.make(write)
        return codes

    async def end_totp(self, account: Account, password: str) -> None:
        """Need no codes any more. Raises `InvalidInput`."""
        await self.confirm(account, password)

        async def write(change: Change) -> None:
            if await rows.factor(change.tx.execute, account.id) is not None:
                await rows.delete_factor(change.tx, account.id)
                await change.record(account.id, "totp.disabled", account.id)

        await self._changes.make(write)

    async def has_totp(self, account: Account) -> bool:
        """Whether codes are needed."""
        return await rows.factor(self._database.read, account.id) is not None


class Attempt:
    """One attempt at a password or code, counted as a failure of its name and of its address."""

    def __init__(self, counted: list[tuple[SlowDown, str]]) -> None:
        self._counted = counted

    def wait(self) -> float:
        """In how many seconds it may be made; 0: now."""
        return max(slow.wait(name) for slow, name in self._counted)

    def count(self) -> None:
        """It begins."""
        for slow, name in self._counted:
            slow.count(name)

    def pardoned(self) -> None:
        """It was no failure, but no proof either."""
        for slow, name in self._counted:
            slow.pardon(name)

    def succeeded(self) -> None:
        """It was a proof, which clears the name; its address may still be one of somebody who guesses."""
        self.pardoned()
        slow, name = self._counted[0]
        slow.forget(name)


def _network(address: str) -> str:
    """What one subscriber has: an IPv4 address, or 64 bits of an IPv6 address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:_LONGEST_NAME]
    if parsed.version == 4:
        return str(parsed)
    return str(parsed.ipv4_mapped or ip_network((parsed.packed[:8] + bytes(8), 64)))
