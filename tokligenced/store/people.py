"""Rows of what people prove themselves with: passwords, second factors, sessions, one-time links."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Literal

from msgspec import Struct

from tokligenced.store.database import Database, Params, Row, Statement, Transaction

# `Database.read` outside of a transaction, `Transaction.execute` inside.
Query = Callable[[str, Params], Awaitable[list[Row]]]

LinkKind = Literal["reset", "invite", "setup"]

# Before the audit's rows; ends come after sights, which then find nothing.
SEEN = Statement("UPDATE sessions SET seen_at = ? WHERE id = ?", order=100)
END = Statement("DELETE FROM sessions WHERE id = ?", order=101)


class Session(Struct, frozen=True, kw_only=True):
    """A session; `digest` is the SHA-256 of its token, times are Unix milliseconds."""

    id: str
    digest: bytes
    account_id: str
    created_at: int
    seen_at: int
    address: str


class Factor(Struct, frozen=True, kw_only=True):
    """A second factor: its secret, and the time step of the last code that was accepted."""

    secret: bytes
    last_step: int


class Link(Struct, frozen=True, kw_only=True):
    """A one-time link; `account_id` is set for a reset, `email` may be for an invitation."""

    digest: bytes
    kind: LinkKind
    account_id: str | None = None
    email: str | None = None
    made_at: int
    expires_at: int


async def password(query: Query, account_id: str) -> str | None:
    """The hash of the account's password; None: it has none."""
    rows = await query("SELECT hash FROM passwords WHERE account_id = ?", (account_id,))
    return rows[0][0] if rows else None


async def set_password(tx: Transaction, account_id: str, hash_: str, at: int) -> None:
    """Give the account a password, in place of any other."""
    await tx.execute(
        "INSERT INTO passwords (account_id, hash, changed_at) VALUES (?, ?, ?) ON CONFLICT DO UPDATE"
        " SET hash = excluded.hash, changed_at = excluded.changed_at",
        (account_id, hash_, at),
    )


async def factor(query: Query, account_id: str) -> Factor | None:
    """The account's second factor; None: it has none."""
    rows = await query("SELECT secret, last_step FROM second_factors WHERE account_id = ?", (account_id,))
    return Factor(secret=rows[0][0], last_step=rows[0][1]) if rows else None


async def insert_factor(
    tx: Transaction, account_id: str, factor: Factor, recovery_digests: Iterable[bytes], at: int
) -> None:
    """Give the account, which has none, a second factor and recovery codes."""
    await tx.execute(
        "INSERT INTO second_factors (account_id, secret, last_step, made_at) VALUES (?, ?, ?, ?)",
        (account_id, factor.secret, factor.last_step, at),
    )
    await tx.executemany(
        "INSERT INTO recovery_codes (account_id, digest) VALUES (?, ?)",
        [(account_id, digest) for digest in recovery_digests],
    )


async def note_step(tx: Transaction, account_id: str, step: int) -> None:
    """Remember that the code of this time step was accepted."""
    await tx.execute("UPDATE second_factors SET last_step = ? WHERE account_id = ?", (step, account_id))


async def use_recovery_code(tx: Transaction, account_id: str, digest: bytes) -> bool:
    """Take the recovery code away; whether it was there."""
    gone = await tx.execute(
        "DELETE FROM recovery_codes WHERE account_id = ? AND digest = ? RETURNING 1", (account_id, digest)
    )
    return bool(gone)


async def delete_factor(tx: Transaction, account_id: str) -> None:
    """Take the account's second factor away, and its recovery codes."""
    await tx.execute("DELETE FROM second_factors WHERE account_id = ?", (account_id,))


async def insert_session(tx: Transaction, session: Session) -> None:
    """Add `session`."""
    await tx.execute(
        "INSERT INTO sessions (id, digest, account_id, created_at, seen_at, address)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (
            session.id,
            session.digest,
            session.account_id,
            session.created_at,
            session.seen_at,
            session.address,
        ),
    )


async def delete_sessions(tx: Transaction, account_id: str) -> None:
    """Take all of the account's sessions away."""
    await tx.execute("DELETE FROM sessions WHERE account_id = ?", (account_id,))


async def load_sessions(database: Database) -> list[Session]:
    """All sessions, oldest first."""
    rows = await database.read(
        "SELECT id, digest, account_id, created_at, seen_at, address FROM sessions ORDER BY created_at, id"
    )
    return [
        Session(
            id=id_,
            digest=digest,
            account_id=account_id,
            created_at=created_at,
            seen_at=seen_at,
            address=address,
        )
        for id_, digest, account_id, created_at, seen_at, address in rows
    ]


async def insert_link(tx: Transaction, link: Link) -> None:
    """Add `link`; what it is instead of goes: those expired, the account's other resets, any other set-up."""
    await tx.execute(
        "DELETE FROM links WHERE expires_at <= ? OR (kind = ? AND (account_id = ? OR kind = 'setup'))",
        (link.made_at, link.kind, link.account_id),
    )
    await tx.execute(
        "INSERT INTO links (digest, kind, account_id, email, made_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
        (link.digest, link.kind, link.account_id, link.email, link.made_at, link.expires_at),
    )


async def link(query: Query, digest: bytes, kind: LinkKind, now: int) -> Link | None:
    """The link of this kind that is still good; None: there is none."""
    rows = await query(
        "SELECT account_id, email, made_at, expires_at FROM links"
        " WHERE digest = ? AND kind = ? AND expires_at > ?",
        (digest, kind, now),
    )
    if not rows:
        return None
    account_id, email, made_at, expires_at = rows[0]
    return Link(
        digest=digest, kind=kind, account_id=account_id, email=email, made_at=made_at, expires_at=expires_at
    )


async def delete_link(tx: Transaction, digest: bytes) -> None:
    """Take a link away: it has been used."""
    await tx.execute("DELETE FROM links WHERE digest = ?", (digest,))


async def owned_alone(tx: Transaction, account_id: str) -> list[str]:
    """Slugs of the organizations that have no other owner."""
    rows = await tx.execute(
        "SELECT slug FROM organizations JOIN members ON org_id = id WHERE role = 'owner' AND account_id = ?"
        " AND NOT EXISTS (SELECT 1 FROM members AS other WHERE other.org_id = id AND other.role = 'owner'"
        " AND other.account_id <> members.account_id) ORDER BY slug",
        (account_id,),
    )
    return [slug for (slug,) in rows]


async def forget(tx: Transaction, account_id: str) -> None:
    """Take away all that the account proved itself with, its places in organizations, and answers kept."""
    for sql in (
        "DELETE FROM sessions WHERE account_id = ?",
        "DELETE FROM second_factors WHERE account_id = ?",
        "DELETE FROM passwords WHERE account_id = ?",
        "DELETE FROM links WHERE account_id = ?",
        "DELETE FROM members WHERE account_id = ?",
        "DELETE FROM responses WHERE key_id IN (SELECT id FROM keys WHERE payer_id = ?)",
        "DELETE FROM idempotent_answers WHERE key_id IN (SELECT id FROM keys WHERE payer_id = ?)",
    ):
        await tx.execute(sql, (account_id,))
