"""Who is signed in: in memory, where asking costs nothing and an end holds at once, with a journal."""

from collections.abc import Iterable

from msgspec import structs

from tokligenced.clock import Clock, IdSource
from tokligenced.gateway.people import tokens
from tokligenced.store import people as rows
from tokligenced.store.database import Database
from tokligenced.store.people import Session
from tokligenced.store.statements import Write

_DAY = 86_400_000  # milliseconds
_IDLE = 30 * _DAY
_LIFE = 90 * _DAY
_HOUR = 3_600_000
_MOST = 50  # of an account
_LONGEST_ADDRESS = 100


class Sessions:
    """All sessions. One lasts thirty days after it was last seen, and never longer than ninety.

    What is made by `fresh` counts after `keep`; what `drop` takes away is gone from memory, and its writes
    are the caller's to land.
    """

    def __init__(
        self, database: Database, *, clock: Clock, ids: IdSource, sessions: Iterable[Session] = ()
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._by_digest: dict[bytes, Session] = {}
        self._by_account: dict[str, dict[str, Session]] = {}
        for session in sessions:
            self.keep(session)

    def fresh(self, account_id: str, address: str) -> tuple[str, Session]:
        """A new session's token, and the session, which is not yet one."""
        token, now = tokens.mint(), self._clock.wall_ms()
        session = Session(
            id=self._ids.new("sess_"),
            digest=tokens.digest(token),
            account_id=account_id,
            created_at=now,
            seen_at=now,
            address=address[:_LONGEST_ADDRESS],
        )
        return token, session

    def keep(self, session: Session) -> None:
        """From now on its token proves its account."""
        self._by_digest[session.digest] = session
        self._by_account.setdefault(session.account_id, {})[session.id] = session

    def seen(self, token: str) -> Session | None:
        """The token's session, which is being used now; None: there is none, or it is over."""
        session = self._by_digest.get(tokens.digest(token))
        if session is None:
            return None
        if self._over(session):
            self._database.enqueue(*self.drop([session]))
            return None
        now = self._clock.wall_ms()
        if now - session.seen_at >= _HOUR:
            session = structs.replace(session, seen_at=now)
            self.keep(session)
            self._database.enqueue((rows.SEEN, (now, session.id)))
        return session

    def by_token(self, token: str) -> Session | None:
        """The token's session, be it over or not; it is not being used."""
        return self._by_digest.get(tokens.digest(token))

    def of(self, account_id: str) -> list[Session]:
        """The account's sessions that are not over, newest first."""
        sessions = [each for each in self._by_account.get(account_id, {}).values() if not self._over(each)]
        return sorted(sessions, key=lambda session: (session.created_at, session.id), reverse=True)

    def surplus(self, account_id: str) -> list[Session]:
        """What has to go before the account gets another: those that are over, the oldest of too many."""
        good = self.of(account_id)[: _MOST - 1]
        return [each for each in self._by_account.get(account_id, {}).values() if each not in good]

    def drop(self, sessions: Iterable[Session]) -> list[Write]:
        """Let none of these prove anybody any more; what to write about it."""
        writes: list[Write] = []
        for session in list(sessions):
            self._by_digest.pop(session.digest, None)
            remaining = self._by_account.get(session.account_id, {})
            remaining.pop(session.id, None)
            if not remaining:
                self._by_account.pop(session.account_id, None)
            writes.append((rows.END, (session.id,)))
        return writes

    def drop_all(self, account_id: str) -> None:
        """Let none of the account's sessions prove it any more."""
        self.drop(self._by_account.get(account_id, {}).values())

    def _over(self, session: Session) -> bool:
        now = self._clock.wall_ms()
        return now - session.seen_at >= _IDLE or now - session.created_at >= _LIFE
