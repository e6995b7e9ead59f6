"""Rows of accounts and organizations."""

from tokligenced.domain import Account, Limits, Organization
from tokligenced.errors import Conflict
from tokligenced.store.database import Database, Transaction


async def insert_account(tx: Transaction, account: Account) -> None:
    """Add `account`; raises `Conflict` when its e-mail address, in whatever case, is taken."""
    added = await tx.execute(
        """
        INSERT INTO accounts (id, email, admin, unlimited, price_millionths, created_at)
        VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id
        """,
        (
            account.id,
            account.email,
            account.admin,
            account.unlimited,
            account.price_millionths,
            account.created_at,
        ),
    )
    if not added:
        raise Conflict(f"there is already an account {account.email!r}")


async def insert_organization(tx: Transaction, organization: Organization) -> None:
    """Add `organization` with its owner as a member; raises `Conflict` when its slug is taken."""
    added = await tx.execute(
        """
        INSERT INTO organizations (id, slug, owner_id, unlimited, price_millionths, requests_per_minute,
                                   tokens_per_minute, concurrency, created_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id
        """,
        (
            organization.id,
            organization.slug,
            organization.owner_id,
            organization.unlimited,
            organization.price_millionths,
            organization.limits.requests_per_minute,
            organization.limits.tokens_per_minute,
            organization.limits.concurrency,
            organization.created_at,
        ),
    )
    if not added:
        raise Conflict(f"there is already an organization {organization.slug!r}")
    await tx.execute(
        "INSERT INTO members (org_id, account_id, role) VALUES (?, ?, 'owner')",
        (organization.id, organization.owner_id),
    )


async def load_accounts(database: Database) -> list[Account]:
    """All accounts, oldest first."""
    rows = await database.read(
        "SELECT id, email, admin, unlimited, price_millionths, created_at FROM accounts"
        " ORDER BY created_at, id"
    )
    return [
        Account(
            id=id_,
            email=email,
            admin=bool(admin),
            unlimited=bool(unlimited),
            price_millionths=price_millionths,
            created_at=created_at,
        )
        for id_, email, admin, unlimited, price_millionths, created_at in rows
    ]


async def load_organizations(database: Database) -> list[Organization]:
    """All organizations, oldest first."""
    rows = await database.read(
        "SELECT id, slug, owner_id, unlimited, price_millionths, requests_per_minute, tokens_per_minute,"
        " concurrency, created_at FROM organizations ORDER BY created_at, id"
    )
    return [
        Organization(
            id=id_,
            slug=slug,
            owner_id=owner_id,
            unlimited=bool(unlimited),
            price_millionths=price_millionths,
            limits=Limits(requests_per_minute=rpm, tokens_per_minute=tpm, concurrency=concurrency),
            created_at=created_at,
        )
        for id_, slug, owner_id, unlimited, price_millionths, rpm, tpm, concurrency, created_at in rows
    ]


async def update_identity(tx: Transaction, account: Account) -> None:
    """Write the account's address, and whether it is an administrator's."""
    await tx.execute(
        "UPDATE accounts SET email = ?, admin = ? WHERE id = ?", (account.email, account.admin, account.id)
    )


async def update_terms(tx: Transaction, payer: Account | Organization) -> None:
    """Write on what terms the payer is served: unlimited or not, the part of the price, an org's limits."""
    if isinstance(payer, Account):
        await tx.execute(
            "UPDATE accounts SET unlimited = ?, price_millionths = ? WHERE id = ?",
            (payer.unlimited, payer.price_millionths, payer.id),
        )
    else:
        await tx.execute(
            "UPDATE organizations SET unlimited = ?, price_millionths = ?, requests_per_minute = ?,"
            " tokens_per_minute = ?, concurrency = ? WHERE id = ?",
            (
                payer.unlimited,
                payer.price_millionths,
                payer.limits.requests_per_minute,
                payer.limits.tokens_per_minute,
                payer.limits.concurrency,
                payer.id,
            ),
        )
