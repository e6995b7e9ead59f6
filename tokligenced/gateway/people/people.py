"""The service behind every page on which somebody says who they are."""

from collections.abc import Callable
from urllib.parse import urlencode, urlsplit

from tokligenced.clock import Clock, IdSource
from tokligenced.config import AccountSettings
from tokligenced.domain import Account
from tokligenced.errors import Conflict, InvalidInput, NotFound, StoreError
from tokligenced.gateway import bounds
from tokligenced.gateway.directory import Directory
from tokligenced.gateway.ledger import Ledger
from tokligenced.gateway.people import tokens
from tokligenced.gateway.people.changes import Change, Changes
from tokligenced.gateway.people.credentials import Credentials
from tokligenced.gateway.people.nouns import SessionRow, SignInRefused, TotpOffer, Viewer
from tokligenced.gateway.people.passwords import Passwords
from tokligenced.gateway.people.sessions import Sessions
from tokligenced.gateway.people.slowdown import SlowDown
from tokligenced.store import audit
from tokligenced.store import people as rows
from tokligenced.store.database import Database, Transaction
from tokligenced.store.people import Link, LinkKind

_HOUR = 3_600_000  # milliseconds
_GOOD_FOR: dict[LinkKind, int] = {"reset": _HOUR, "invite": 7 * 24 * _HOUR, "setup": 24 * _HOUR}
_PLACES: dict[LinkKind, tuple[str, str]] = {
    "reset": ("/reset", "token"),
    "invite": ("/signup", "invite"),
    "setup": ("/setup", "token"),
}
_FREE_SIGN_UPS = 20  # of an address, in a quarter of an hour


class People:
    """Sign-up, sign-in, sessions, passwords, second factors and one-time links.

    Made by `load`; `close` it before the database. `address` is always the network address a request came
    from. Messages of `InvalidInput`, `Conflict`, `NotFound` and `SignInRefused` are fit to be shown.
    """

    def __init__(
        self,
        directory: Directory,
        database: Database,
        *,
        clock: Clock,
        ledger: Ledger,
        settings: Callable[[], AccountSettings],
        public_url: str,
        sessions: Sessions,
        passwords: Passwords,
        changes: Changes,
    ) -> None:
        self._directory = directory
        self._database = database
        self._clock = clock
        self._ledger = ledger
        self._settings = settings
        self._public_url = public_url.rstrip("/")
        self._sessions = sessions
        self._passwords = passwords
        self._changes = changes
        self._credentials = Credentials(database, clock, passwords, changes)
        self._sign_ups = SlowDown(clock, free=_FREE_SIGN_UPS)

    @classmethod
    async def load(
        cls,
        directory: Directory,
        database: Database,
        *,
        clock: Clock,
        ids: IdSource,
        ledger: Ledger,
        settings: Callable[[], AccountSettings],
        public_url: str,
        audited: audit.Audited = audit.unheard,
        passwords: Passwords | None = None,
    ) -> "People":
        """What the database holds. `settings` says who may sign up now; links begin with `public_url`."""
        return cls(
            directory,
            database,
            clock=clock,
            ledger=ledger,
            settings=settings,
            public_url=public_url,
            sessions=Sessions(database, clock=clock, ids=ids, sessions=await rows.load_sessions(database)),
            passwords=passwords or Passwords(),
            changes=Changes(database, clock, audited),
        )

    def close(self) -> None:
        """Let its threads end."""
        self._passwords.close()

    async def sign_up(self, email: str, password: str, *, address: str, invite: str | None = None) -> Account:
        """A new account with its welcome credit. `invite` is the token of an invitation's link.

        Raises `InvalidInput` (what is wrong with address or password, or that an invitation is needed),
        `Conflict` (closed, taken, or too many from this address), `NotFound` (no such invitation any more).
        """
        settings = self._settings()
        self._open(settings)
        email = bounds.email(email.strip())
        link = None
        if invite:
            link = await self._link(invite, "invite")
            if link.email not in {None, email}:
                raise InvalidInput("the invitation is for another e-mail address")
        elif settings.signup == "invite":
            raise InvalidInput("an invitation is needed to sign up")
        if wait := self._sign_ups.wait(address):
            raise Conflict(f"too many accounts were made from here: try again in {wait:.0f} seconds")
        self._sign_ups.count(address)
        account = await self._create(email, password, link, admin=False)
        if settings.welcome_credit_nano:
            await self._ledger.credit(
                account, settings.welcome_credit_nano, reference="welcome", note=None, actor=account.id
            )
        return account

    async def sign_in(self, email: str, password: str, *, address: str, code: str | None = None) -> str:
        """A fresh session's token, for the cookie. `code` is of the authenticator, or a recovery code.

        Raises `SignInRefused`; for an unknown address after the same time as for a wrong password.
        """
        email = email.strip().lower()
        attempt = self._credentials.begin(email, address)
        account = self._known(email)
        kept = await self._credentials.proved(account, password)
        if account is None or kept is None:
            raise SignInRefused("wrong")
        account_id = account.id
        token, session = self._sessions.fresh(account_id, address)

        async def write(change: Change) -> None:
            # The password may have been changed, or the account deleted, while this one was looked at.
            if await rows.password(change.tx.execute, account_id) != kept:
                raise SignInRefused("wrong")
            await self._credentials.check_code(change, account, code)
            await rows.insert_session(change.tx, session)
            await change.record(account_id, "session.began", session.id, address=session.address)

        def keep() -> None:
            self._database.enqueue(*self._sessions.drop(self._sessions.surplus(account_id)))
            self._sessions.keep(session)

        try:
            await self._changes.make(write, keep)
        except SignInRefused as error:
            if error.reason == "code_needed":
                attempt.pardoned()
            raise
        except StoreError:
            attempt.pardoned()
            raise
        attempt.succeeded()
        return token

    async def viewer(self, token: str) -> Viewer | None:
        """Whom the session's token proves; None when it is unknown, ended or expired. Costs no I/O."""
        session = self._sessions.seen(token)
        if session is None:
            return None
        account = self._account(session.account_id)
        return Viewer(account=account, session_id=session.id, created_at=session.created_at)

    async def sign_out(self, token: str) -> None:
        """End the token's session; an unknown one is no error."""
        session = self._sessions.by_token(token)
        if session is not None:
            await self._end(session)

    async def sessions(self, account_id: str) -> list[SessionRow]:
        """The account's sessions that are not over, newest first."""
        return [
            SessionRow(
                id=session.id,
                created_at=session.created_at,
                seen_at=session.seen_at,
                address=session.address,
            )
            for session in self._sessions.of(account_id)
        ]

    async def end_session(self, account_id: str, session_id: str) -> None:
        """End one of the account's sessions. Raises `NotFound` for any other."""
        for session in self._sessions.of(account_id):
            if session.id == session_id:
                return await self._end(session)
        raise NotFound("there is no such session")

    async def change_password(self, account: Account, old: str, new: str) -> None:
        """Replace the password and end all of the account's sessions. Raises `InvalidInput`."""
        await self._credentials.change(account, old, new, lambda: self._sessions.drop_all(account.id))

    async def begin_totp(self, account: Account) -> TotpOffer:
        """A fresh secret for an authenticator; nothing is kept of it yet."""
        return self._credentials.offer_totp(account, urlsplit(self._public_url).hostname or "tokligenced")

    async def confirm_totp(self, account: Account, secret: str, code: str) -> list[str]:
        """From now on sign-in needs a code of `secret`; the ten recovery codes, known only now.

        Raises `InvalidInput` (the code is not one of this secret), `Conflict` (there is one already).
        """
        return await self._credentials.begin_totp(account, secret, code)

    async def end_totp(self, account: Account, password: str) -> None:
        """Sign-in needs no code any more. Raises `InvalidInput` (wrong password)."""
        await self._credentials.end_totp(account, password)

    async def has_totp(self, account: Account) -> bool:
        """Whether sign-in needs a code."""
        return await self._credentials.has_totp(account)

    async def reset_link(self, account: Account, *, actor: str | None = None) -> str:
        """A link `/reset?token=…`, good for one hour and one use, by which to choose a new password.

        `actor` is who asks for it, as the audit has it; None: the account itself.
        """
        return await self._make_link("reset", account_id=account.id, actor=actor or account.id)

    async def reset_password(self, token: str, new_password: str) -> None:
        """Use a reset link's token; all of the account's sessions end. Raises `NotFound`, `InvalidInput`."""
        link = await self._link(token, "reset")
        account = self._account(link.account_id or "")
        hash_ = await self._credentials.hashed(new_password, account.email)

        async def write(change: Change) -> None:
            await self._use(change.tx, link)
            await rows.set_password(change.tx, account.id, hash_, change.now)
            await rows.delete_sessions(change.tx, account.id)
            await change.record(account.id, "password.reset", account.id)

        await self._changes.make(write, lambda: self._sessions.drop_all(account.id))

    async def invite_link(self, email: str | None, *, by: Account | str) -> str:
        """A link `/signup?invite=…`, good for a week and one account, of this address unless it is None.

        `by` is who invites: an account, or an actor as the audit has it. Raises `InvalidInput`, and
        `Conflict` where nobody may sign up, or the address has an account.
        """
        self._open(self._settings())
        if email is not None:
            email = bounds.email(email.strip())
            if self._known(email) is not None:
                raise Conflict(f"there is already an account {email!r}")
        return await self._make_link("invite", email=email, actor=by if isinstance(by, str) else by.id)

    async def setup_link(self) -> str | None:
        """A link `/setup?token=…` by which the first administrator is made; None when there is one.

        The latest link is the only good one, for a day. None, too, while the disk takes nothing.
        """
        if self._administered() or not self._database.accepting:
            return None
        return await self._make_link("setup", actor="setup")

    async def set_up(self, token: str, email: str, password: str) -> Account:
        """The first administrator. Raises `NotFound` (the link), `InvalidInput`, `Conflict`."""
        link = await self._link(token, "setup")
        if self._administered():
            raise Conflict("there is an administrator already")
        return await self._create(bounds.email(email.strip()), password, link, admin=True)

    async def delete_account(self, account: Account, password: str) -> None:
        """Revoke the account's keys, end its sessions and forget who it was; its entries stay in the ledger.

        Raises `InvalidInput` (wrong password), `Conflict` (an organization has no other owner, or it is the
        last administrator).
        """
        await self._credentials.confirm(account, password)

        async def forget(tx: Transaction, erased: Account) -> None:
            if alone := await rows.owned_alone(tx, erased.id):
                raise Conflict(f"the account owns the organization {alone[0]!r}; make somebody else an owner")
            await rows.forget(tx, erased.id)

        async def erase() -> None:
            await self._directory.erase_account(account, also=forget, actor=account.id)
            self._sessions.drop_all(account.id)

        await self._changes.alone(erase)

    def _known(self, email: str) -> Account | None:
        try:
            return self._directory.account(email)
        except NotFound:
            return None

    def _account(self, account_id: str) -> Account:
        account = self._directory.payer(account_id)
        if not isinstance(account, Account):
            raise NotFound(f"there is no account {account_id!r}")
        return account

    def _administered(self) -> bool:
        return any(account.admin for account in self._directory.list_accounts())

    def _open(self, settings: AccountSettings) -> None:
        if settings.signup == "closed":
            raise Conflict("nobody can sign up here")

    async def _create(self, email: str, password: str, link: Link | None, *, admin: bool) -> Account:
        if self._known(email) is not None:
            raise Conflict(f"there is already an account {email!r}")
        hash_ = await self._credentials.hashed(password, email)

        async def also(tx: Transaction, account: Account) -> None:
            if link is not None:
                await self._use(tx, link)
            await rows.set_password(tx, account.id, hash_, account.created_at)

        return await self._directory.create_account(email, admin=admin, also=also, actor=None)

    async def _end(self, session: rows.Session) -> None:
        said = session.account_id, "session.ended", session.id
        now = self._clock.wall_ms()
        entry = audit.row(at=now, actor=said[0], action=said[1], subject=said[2], detail={})
        # It holds at once, and whatever the disk says lands in the end.
        self._database.enqueue(*self._sessions.drop([session]), (audit.RECORD, entry))
        await self._database.flush()
        self._changes.tell(*said)

    async def _make_link(
        self, kind: LinkKind, *, account_id: str | None = None, email: str | None = None, actor: str
    ) -> str:
        token = tokens.mint()

        async def write(change: Change) -> None:
            link = Link(
                digest=tokens.digest(token),
                kind=kind,
                account_id=account_id,
                email=email,
                made_at=change.now,
                expires_at=change.now + _GOOD_FOR[kind],
            )
            await rows.insert_link(change.tx, link)
            await change.record(actor, f"{kind}_link.made", account_id or kind, email=email)

        await self._changes.make(write)
        path, name = _PLACES[kind]
        return f"{self._public_url}{path}?{urlencode({name: token})}"

    async def _link(self, token: str, kind: LinkKind) -> Link:
        link = await rows.link(self._database.read, tokens.digest(token), kind, self._clock.wall_ms())
        if link is None:
            raise _no_link()
        return link

    async def _use(self, tx: Transaction, link: Link) -> None:
        """Take the link away, which somebody else may have done meanwhile."""
        if await rows.link(tx.execute, link.digest, link.kind, self._clock.wall_ms()) is None:
            raise _no_link()
        await rows.delete_link(tx, link.digest)


def _no_link() -> NotFound:
    return NotFound("this link was used already, or is too old")
