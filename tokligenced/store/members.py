"""Rows of an organization's members."""

from typing import Literal

from msgspec import Struct

from tokligenced.store.database import Database, Transaction

Role = Literal["owner", "admin", "member"]


class Member(Struct, frozen=True, kw_only=True):
    """An account in an organization."""

    account_id: str
    role: Role


async def load(database: Database, org_id: str) -> list[Member]:
    """An organization's members, in the order in which their accounts were made."""
    rows = await database.read(
        "SELECT account_id, role FROM members JOIN accounts ON accounts.id = account_id"
        " WHERE org_id = ? ORDER BY created_at, account_id",
        (org_id,),
    )
    return [Member(account_id=account_id, role=role) for account_id, role in rows]


async def roles(database: Database, account_id: str) -> dict[str, Role]:
    """What an account is in each of its organizations, by their ids."""
    rows = await database.read(
        "SELECT org_id, role FROM members WHERE account_id = ? ORDER BY org_id", (account_id,)
    )
    return {str(org_id): found for org_id, found in rows}


async def role(tx: Transaction, org_id: str, account_id: str) -> Role | None:
    """What an account is in an organization; None: nothing."""
    rows = await tx.execute(
        "SELECT role FROM members WHERE org_id = ? AND account_id = ?", (org_id, account_id)
    )
    found: Role | None = rows[0][0] if rows else None
    return found


async def owners(tx: Transaction, org_id: str) -> int:
    """How many owners an organization has."""
    rows = await tx.execute("SELECT count(*) FROM members WHERE org_id = ? AND role = 'owner'", (org_id,))
    return int(rows[0][0])


async def put(tx: Transaction, org_id: str, member: Member) -> None:
    """Add a member, or give one another role."""
    await tx.execute(
        "INSERT INTO members (org_id, account_id, role) VALUES (?, ?, ?)"
        " ON CONFLICT (org_id, account_id) DO UPDATE SET role = excluded.role",
        (org_id, member.account_id, member.role),
    )


async def remove(tx: Transaction, org_id: str, account_id: str) -> None:
    """Take a member out."""
    await tx.execute("DELETE FROM members WHERE org_id = ? AND account_id = ?", (org_id, account_id))
