"""On what terms payers are served: what is set is kept, shown, and in force at once."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import FixedIds
from tests.gateway.office import Office, opened_office
from tokligenced.errors import InvalidInput
from tokligenced.gateway.directory import Directory
from tokligenced.gateway.operations.access import price_millionths


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    """An office with an account and an organization."""
    async with opened_office(tmp_path / "t.db") as office:
        yield office


async def test_terms_are_shown_and_kept(office: Office) -> None:
    """What part of the price is paid, whether a balance is needed, and an organization's limits."""
    account = await office.do("accounts.set", email="ann@example.com", unlimited=True, price_factor="0.8")
    assert (account["unlimited"], account["price_factor"]) == (True, "0.8")
    assert await office.do("accounts.list") == [account]
    limits = {"requests_per_minute": 5, "tokens_per_minute": 6, "concurrency": 7}
    org = await office.do("orgs.set", slug="acme", limits=limits)
    assert (org["limits"], org["unlimited"], org["price_factor"]) == (limits, False, "1")
    fewer = await office.do("orgs.set", slug="acme", price_factor="1.25", limits={"tokens_per_minute": None})
    assert fewer["limits"] == {**limits, "tokens_per_minute": None}
    assert await office.do("orgs.list") == [fewer]
    born = await office.do("orgs.create", slug="new", owner="ann@example.com", limits={"concurrency": 2})
    assert born["limits"] == {"requests_per_minute": None, "tokens_per_minute": None, "concurrency": 2}
    services = office.services
    again = await Directory.load(services.database, clock=services.clock, ids=FixedIds())
    assert again.list_accounts() == services.directory.list_accounts()
    assert again.list_organizations() == services.directory.list_organizations()


@pytest.mark.parametrize(
    ("operation", "parameters", "message"),
    [
        ("accounts.set", {"email": "ann@example.com"}, "nothing to change"),
        ("accounts.set", {"email": "ann@example.com", "price_factor": "-1"}, "price_factor"),
        ("accounts.set", {"email": "ann@example.com", "price_factor": "1e1"}, "price_factor"),
        ("accounts.set", {"email": "ann@example.com", "price_factor": "0.0000001"}, "price_factor"),
        ("accounts.set", {"email": "ann@example.com", "price_factor": "1001"}, "price_factor"),
        ("accounts.set", {"email": "ann@example.com", "price_factor": "\u0661"}, "price_factor"),
        ("accounts.set", {"email": "ann@example.com", "limits": {}}, "unknown field"),
        ("orgs.set", {"slug": "acme", "limits": {"rpm": 1}}, "unknown field"),
        ("orgs.set", {"slug": "acme", "limits": {"requests_per_minute": 0}}, "requests_per_minute"),
        ("orgs.set", {"slug": "acme", "limits": {"concurrency": 10**13}}, "concurrency"),
        ("orgs.set", {"slug": "acme", "limits": {"concurrency": "none"}}, "int"),
        ("orgs.set", {"slug": "acme", "limits": {"concurrency": 1.5}}, "int"),
        (
            "orgs.create",
            {"slug": "b", "owner": "ann@example.com", "limits": {"concurrency": 0}},
            "concurrency",
        ),
    ],
)
async def test_terms_are_checked(
    office: Office, operation: str, parameters: dict[str, object], message: str
) -> None:
    """A term that can't be is refused by name, and nothing changes."""
    before = office.services.directory.list_organizations(), office.services.directory.list_accounts()
    with pytest.raises(InvalidInput, match=message):
        await office.do(operation, **parameters)
    directory = office.services.directory
    assert (directory.list_organizations(), directory.list_accounts()) == before


@given(st.integers(0, 1_000_000_000))
def test_a_price_factor_is_exact(millionths: int) -> None:
    """Every part of the price down to a millionth can be said, and is shown as it was said."""
    whole, rest = divmod(millionths, 1_000_000)
    assert price_millionths(f"{whole}.{rest:06}") == millionths


async def test_new_terms_hold_from_the_next_call_on(office: Office) -> None:
    """Whoever shows a key is served on its payer's new terms at once, and the change is in the audit."""
    directory = office.services.directory
    org = directory.organization("acme")
    key, _ = await directory.create_key(org, name="ours", actor="cli")
    mine, _ = await directory.create_key(directory.account("ann@example.com"), name="mine", actor="cli")
    await asyncio.gather(
        office.do("orgs.set", slug="acme", limits={"concurrency": 3}),
        office.do("orgs.set", slug="acme", limits={"requests_per_minute": 4}),
        office.do("orgs.set", slug="acme", unlimited=True),
    )
    principal = directory.principal(key.digest)
    assert principal is not None
    assert principal.payer == directory.organization("acme") == directory.payer(org.id)
    assert principal.payer.unlimited
    assert principal.payer.limits.concurrency == 3
    assert principal.payer.limits.requests_per_minute == 4
    await office.do("accounts.set", email="ann@example.com", price_factor="0.5")
    principal = directory.principal(mine.digest)
    assert principal is not None
    assert principal.payer.price_millionths == 500_000
    with pytest.raises(InvalidInput, match="no limits of its own"):
        await directory.change_terms(
            directory.account("ann@example.com"), limits={"concurrency": 1}, actor="cli"
        )
    audit = await office.services.database.read(
        "SELECT subject, detail FROM audit WHERE action = 'payer.terms_changed' ORDER BY id"
    )
    assert [subject for subject, _ in audit] == [org.id] * 3 + [mine.payer_id]
    assert json.loads(audit[0][1])["limits"]["concurrency"] == 3
    assert json.loads(audit[3][1]) == {"price_millionths": 500_000}
