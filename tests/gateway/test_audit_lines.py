"""Every administrative change leaves its line: in the database with the change itself, and in the log."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.office import Office, opened_office
from tokligenced.errors import Conflict, NotFound
from tokligenced.gateway.operations import OPERATIONS

# What only looks, or copies.
READING = {
    "accounts.get",
    "accounts.list",
    "audit.list",
    "backup",
    "keys.get",
    "keys.list",
    "ledger.entries",
    "ledger.export",
    "ledger.verify",
    "orgs.get",
    "orgs.list",
    "orgs.members",
    "requests.get",
    "requests.list",
    "usage",
}
ANN = {"account": "ann@example.com"}
CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "accounts.create": ({"email": "bob@example.com"}, "account.created"),
    "accounts.set": ({"email": "ann@example.com", "unlimited": True}, "payer.terms_changed"),
    "orgs.create": ({"slug": "other", "owner": "ann@example.com"}, "organization.created"),
    "orgs.set": ({"slug": "acme", "price_factor": "0.5"}, "payer.terms_changed"),
    "orgs.members.put": ({"slug": "acme", "email": "bea@example.com"}, "member.added"),
    "orgs.members.remove": ({"slug": "acme", "email": "cid@example.com"}, "member.removed"),
    "keys.create": ({"name": "laptop", **ANN}, "key.created"),
    "keys.revoke": ({"id": "KEY"}, "key.revoked"),
    "keys.rotate": ({"id": "KEY"}, "key.rotated"),
    "credit": ({"amount": "5", "reference": "r", **ANN}, "payer.credited"),
}


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    """Where operations are done."""
    async with opened_office(tmp_path / "t.db") as office:
        yield office


async def lines(office: Office) -> list[tuple[str, str, str]]:
    """Actor, action and subject of every line in the database."""
    rows = await office.services.database.read("SELECT actor, action, subject FROM audit ORDER BY id")
    return [tuple(row) for row in rows]


def test_every_operation_is_known_here() -> None:
    """An operation that is added says whether it changes anything."""
    assert set(OPERATIONS) == READING | set(CHANGES)


@pytest.mark.parametrize("operation", CHANGES)
async def test_a_change_leaves_one_line_in_both(office: Office, operation: str) -> None:
    """One line says who did it, what, and to what; the log has the same."""
    key = await office.ann()
    parameters, action = CHANGES[operation]
    for email in ("bea@example.com", "cid@example.com"):
        await office.do("accounts.create", email=email)
    await office.do("orgs.members.put", slug="acme", email="cid@example.com")
    before = len(await lines(office))
    await office.do(operation, **{name: key.key.id if it == "KEY" else it for name, it in parameters.items()})
    (line,) = (await lines(office))[before:]
    assert line[:2] == ("cli", action)
    assert office.heard == await lines(office)


async def test_what_changes_nothing_leaves_no_line(office: Office) -> None:
    """A refused change, and one that was made before, are told to nobody."""
    await office.do("credit", amount="5", reference="r", **ANN)
    before = await lines(office)
    await office.do("credit", amount="5", reference="r", **ANN)
    with pytest.raises(Conflict):
        await office.do("accounts.create", email="ann@example.com")
    with pytest.raises(NotFound):
        await office.do("keys.revoke", id="key_0")
    await office.do("orgs.members.put", slug="acme", email="ann@example.com", role="owner")
    with pytest.raises(Conflict):
        await office.do("orgs.members.remove", slug="acme", email="ann@example.com")
    assert await lines(office) == before == office.heard
