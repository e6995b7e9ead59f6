"""The service behind every page on which somebody says who they are."""

from collections.abc import Callable

from tokligenced.clock import Clock, IdSource
from tokligenced.config import AccountSettings
from tokligenced.domain import Account
from tokligenced.gateway.directory import Directory
from tokligenced.gateway.ledger import Ledger
from tokligenced.gateway.people.nouns import SessionRow, TotpOffer, Viewer
from tokligenced.store import audit
from tokligenced.store.database import Database


class People:
    """Sign-up, sign-in, sessions, passwords, second factors and one-time links.

    Made by `load`; `close` it before the database. `address` is always the network address a request came
    from. Messages of `InvalidInput`, `Conflict`, `NotFound` and `SignInRefused` are fit to be shown.
    """

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
    ) -> "People":
        """What the database holds. `settings` says who may sign up now; links begin with `public_url`."""
        raise NotImplementedError

    async def sign_up(self, email: str, password: str, *, address: str, invite: str | None = None) -> Account:
        """A new account with its welcome credit. `invite` is the token of an invitation's link.

        Raises `InvalidInput` (what is wrong with address or password, or that an invitation is needed),
        `Conflict` (closed, taken, or too many from this address), `NotFound` (no such invitation any more).
        """
        raise NotImplementedError

    async def sign_in(self, email: str, password: str, *, address: str, code: str | None = None) -> str:
        """A fresh session's token, for the cookie. `code` is of the authenticator, or a recovery code.

        Raises `SignInRefused`; for an unknown address after the same time as for a wrong password.
        """
        raise NotImplementedError

    async def viewer(self, token: str) -> Viewer | None:
        """Whom the session's token proves; None when it is unknown, ended or expired. Costs no I/O."""
        raise NotImplementedError

    async def sign_out(self, token: str) -> None:
        """End the token's session; an unknown one is no error."""
        raise NotImplementedError

    async def sessions(self, account_id: str) -> list[SessionRow]:
        """The account's sessions that are not over, newest first."""
        raise NotImplementedError

    async def end_session(self, account_id: str, session_id: str) -> None:
        """End one of the account's sessions. Raises `NotFound` for any other."""
        raise NotImplementedError

    async def change_password(self, account: Account, old: str, new: str) -> None:
        """Replace the password and end all of the account's sessions. Raises `InvalidInput`."""
        raise NotImplementedError

    async def begin_totp(self, account: Account) -> TotpOffer:
        """A fresh secret for an authenticator; nothing is kept of it yet."""
        raise NotImplementedError

    async def confirm_totp(self, account: Account, secret: str, code: str) -> list[str]:
        """From now on sign-in needs a code of `secret`; the ten recovery codes, known only now.

        Raises `InvalidInput` (the code is not one of this secret), `Conflict` (there is one already).
        """
        raise NotImplementedError

    async def end_totp(self, account: Account, password: str) -> None:
        """Sign-in needs no code any more. Raises `InvalidInput` (wrong password)."""
        raise NotImplementedError

    async def has_totp(self, account: Account) -> bool:
        """Whether sign-in needs a code."""
        raise NotImplementedError

    async def reset_link(self, account: Account) -> str:
        """A link `/reset?token=…`, good for one hour and one use, by which to choose a new password."""
        raise NotImplementedError

    async def reset_password(self, token: str, new_password: str) -> None:
        """Use a reset link's token; all of the account's sessions end. Raises `NotFound`, `InvalidInput`."""
        raise NotImplementedError

    async def invite_link(self, email: str | None, *, by: Account) -> str:
        """A link `/signup?invite=…`, good for a week and one account, of this address unless it is None."""
        raise NotImplementedError

    async def setup_link(self) -> str | None:
        """A link `/setup?token=…` by which the first administrator is made; None when there is one.

        The latest link is the only good one, for a day.
        """
        raise NotImplementedError

    async def set_up(self, token: str, email: str, password: str) -> Account:
        """The first administrator. Raises `NotFound` (the link), `InvalidInput`, `Conflict`."""
        raise NotImplementedError

    async def delete_account(self, account: Account, password: str) -> None:
        """Revoke the account's keys, end its sessions and forget who it was; its entries stay in the ledger.

        Raises `InvalidInput` (wrong password), `Conflict` (it owns an organization, or is the last
        administrator).
        """
        raise NotImplementedError
