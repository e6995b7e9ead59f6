"""What administrators do with money: exact amounts in, exact amounts out, and wrong ones refused."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateway.office import Office, opened_office
from tokligenced.errors import Conflict, InvalidInput, NotFound, StoreError
from tokligenced.gateway.operations import OPERATIONS, Caller, Operations, money
from tokligenced.store import witness
from tokligenced.store.ledger import Head


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    """An office with an account and an organization."""
    async with opened_office(tmp_path / "t.db") as office:
        yield office


# Credits.


async def test_a_credit_adds_to_the_balance(office: Office) -> None:
    """What is credited is there, for accounts and organizations alike, as decimal USD."""
    assert await office.do("credit", account="ANN@example.com", amount="10", reference="inv-1") == {
        "account": "ann@example.com",
        "amount": "10.00",
        "balance": "10.00",
        "held": "0.00",
        "available": "10.00",
        "reference": "inv-1",
    }
    second = await office.do("credit", account="ann@example.com", amount="2.000000001", reference="inv-2")
    assert second["balance"] == second["available"] == "12.000000001"
    ours = await office.do("credit", org="acme", amount="0.5", reference="inv-1", note="a gift")
    assert (ours["org"], ours["balance"]) == ("acme", "0.50")


async def test_a_reference_credits_once(office: Office) -> None:
    """The same reference again says the same balance and adds nothing; with another amount it is a no."""
    for _ in range(3):
        said = await office.do("credit", account="ann@example.com", amount="10.00", reference="inv-1")
        assert said["balance"] == "10.00"
    with pytest.raises(Conflict, match=r"'inv-1' already credited 10 USD, not 11"):
        await office.do("credit", account="ann@example.com", amount="11", reference="inv-1")
    assert (await office.do("ledger.verify"))["entries"] == 1


@pytest.mark.parametrize(
    "amount",
    [
        "-1", "-0.01", "0", "0.00", "NaN", "nan", "Infinity", "1e3", "1E-3", "0.0000000001", "1.0000000001",
        "9223372036.854775808", "1" + "0" * 40, "1" * 5_000, "", " ", "1,5", "$1", "+1", "1_000", "0x10",
        ".5", "5.", "one", "\u0661", "1\n", "1\0", " 1",
    ],
)  # fmt: skip
async def test_an_amount_must_be_one(office: Office, amount: str) -> None:
    """What is negative, zero, no number, not exact or too large is refused, and nothing is credited."""
    with pytest.raises(InvalidInput, match="amount"):
        await office.do("credit", account="ann@example.com", amount=amount, reference="r")
    assert (await office.do("ledger.verify"))["entries"] == 0


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"amount": "1", "reference": "r"}, InvalidInput, "exactly one of account and org"),
        ({"amount": "1", "reference": "r", "account": "a", "org": "b"}, InvalidInput, "exactly one"),
        ({"amount": "1", "reference": "r", "account": "bob@example.com"}, NotFound, "no account 'bob@"),
        ({"amount": "1", "reference": "r", "org": "umbrella"}, NotFound, "no organization 'umbrella'"),
        ({"amount": "1", "account": "ann@example.com"}, InvalidInput, "`reference`"),
        ({"amount": 1, "reference": "r", "account": "ann@example.com"}, InvalidInput, "`str`"),
        ({"amount": "1", "reference": "", "account": "ann@example.com"}, InvalidInput, "reference"),
        ({"amount": "1", "reference": "a\nb", "account": "ann@example.com"}, InvalidInput, "reference"),
    ],
)
async def test_a_credit_must_be_whole(
    office: Office, parameters: dict[str, object], error: type[Exception], message: str
) -> None:
    """A credit without its payer, amount or reference is refused and named."""
    with pytest.raises(error, match=message):
        await office.do("credit", **parameters)


async def test_the_greatest_balance(office: Office) -> None:
    """A balance goes up to 2⁶³ - 1 nano-USD exactly, and not one further."""
    said = await office.do(
        "credit", account="ann@example.com", amount="9223372036.854775807", reference="all"
    )
    assert said["balance"] == "9223372036.854775807"
    with pytest.raises(InvalidInput):
        await office.do("credit", account="ann@example.com", amount="0.000000001", reference="more")
    assert (await office.do("ledger.verify"))["ok"]


async def test_parallel_credits_of_one_reference(office: Office) -> None:
    """However many come at once with the same reference, one is credited."""
    said = await asyncio.gather(
        *[office.do("credit", org="acme", amount="3", reference="once") for _ in range(50)]
    )
    assert {each["balance"] for each in said} == {"3.00"}
    assert (await office.do("ledger.verify"))["entries"] == 1


# Usage.


async def test_usage_is_told_by_group_and_in_all(office: Office) -> None:
    """Each group with its names, counts and cost, and what they make together."""
    await office.do("credit", account="ann@example.com", amount="1", reference="r")
    who = await office.ann()
    for number, cost in enumerate((100, 200)):
        await office.call(number, who, cost)
    used = await office.do("usage")
    assert used["by"] == "model"
    assert used["since"] == "2023-10-15T22:13:20.000Z"
    counts = {
        "calls": 2,
        "errors": 0,
        "prompt_tokens": 0,
        "cached_tokens": 0,
        "completion_tokens": 0,
        "reasoning_tokens": 0,
        "cost": "0.0000003",
    }
    assert used["groups"] == [{"model": "m", **counts}]
    assert used["total"] == counts
    by_key = (await office.do("usage", by="key"))["groups"]
    assert by_key == [{"key": who.key.id, "prefix": who.key.prefix, "name": "test", **counts}]
    assert (await office.do("usage", by="account"))["groups"] == [{"account": "ann@example.com", **counts}]
    assert (await office.do("usage", by="org"))["groups"] == []
    later = await office.do("usage", since="2023-11-14T23:00:00Z")
    assert (later["groups"], later["total"]["calls"], later["total"]["cost"]) == ([], 0, "0")
    for wrong in ({"by": "colour"}, {"since": "soon"}, {"since": "2023-11-14T23:00:00"}):
        with pytest.raises(InvalidInput):
            await office.do("usage", **wrong)


# The ledger.


async def test_right_books_are_said_to_be(office: Office) -> None:
    """The proof says how much it looked at, and the head, which later can be asked for."""
    await office.do("credit", account="ann@example.com", amount="1", reference="r")
    await office.call(1, await office.ann(), 100)
    said = await office.do("ledger.verify")
    head = said["head"]
    assert said == {"ok": True, "broken": [], "entries": 2, "payers": 1, "open_holds": 0, "head": head}
    for cut in (8, 64):
        assert (await office.do("ledger.verify", head=f"2:{head['hash'][:cut]}"))["ok"]
    said = await office.do("ledger.verify", head="2:" + "0" * 64)
    assert said["broken"] == ["the file went back in time: entry 2, seen by whoever asks, is another one now"]
    for wrong in ("2", "2:", "2:abc", "x:" + "0" * 64, f"-1:{'0' * 64}", f"2:{'0' * 65}", f"2:{'x' * 64}"):
        with pytest.raises(InvalidInput, match="head"):
            await office.do("ledger.verify", head=wrong)


async def test_the_witness_is_heard(office: Office) -> None:
    """An entry that the file beside the database names must be there; a damaged witness is a finding."""
    path = witness.path_beside(office.services.database.path)
    witness.write(path, Head(3, "ab" * 32), 1_700_000_000_000)
    said = await office.do("ledger.verify")
    assert not said["ok"]
    assert said["broken"] == [
        "the file went back in time: entry 3, seen by t.db.head at 2023-11-14T22:13:20.000Z, is not there"
    ]
    path.write_bytes(b"nonsense")
    said = await office.do("ledger.verify")
    assert not said["ok"]
    assert "t.db.head" in said["broken"][0]


async def test_entries_are_told_page_by_page(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """All entries come in order, with the names of payers, however many pages they fill."""
    monkeypatch.setattr(money, "_PAGE", 2)
    for number in range(4):
        await office.do("credit", account="ann@example.com", amount="1.5", reference=f"r{number}", note="n")
    await office.call(1, await office.ann(), 100)
    assert await office.do("ledger.export") == {"entries": 5}
    assert [len(page["entries"]) for page in office.told] == [2, 2, 1]
    entries = [entry for page in office.told for entry in page["entries"]]
    assert [entry["seq"] for entry in entries] == [1, 2, 3, 4, 5]
    account = office.services.directory.account("ann@example.com").id
    assert {name: entries[0][name] for name in entries[0] if name != "hash"} == {
        "seq": 1,
        "at": "2023-11-14T22:13:20.000Z",
        "kind": "credit",
        "source": "operator:funding",
        "source_name": None,
        "target": account,
        "target_name": "ann@example.com",
        "amount": "1.5",
        "call_id": None,
        "reference": "r0",
        "note": "n",
    }
    assert (entries[4]["source"], entries[4]["source_name"]) == (account, "ann@example.com")
    assert (entries[4]["amount"], entries[4]["call_id"]) == ("0.0000001", f"req_{1:026d}")


async def test_who_leaves_is_not_told_the_rest(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export waits until each page was taken, and ends where nobody takes any more."""
    monkeypatch.setattr(money, "_PAGE", 1)
    for number in range(4):
        await office.do("credit", account="ann@example.com", amount="1", reference=f"r{number}")

    async def taken() -> None:
        if len(office.told) == 2:
            raise ConnectionResetError

    caller = Caller(actor="cli", progress=office.told.append, taken=taken)
    with pytest.raises(ConnectionError):
        await Operations(office.services, OPERATIONS).perform("ledger.export", {}, caller)
    assert len(office.told) == 2


# Backups.


async def test_a_backup_is_a_database(office: Office, tmp_path: Path) -> None:
    """The copy is where it was asked for, as large as is said, and holds what the database holds."""
    await office.do("credit", account="ann@example.com", amount="1", reference="r")
    target = tmp_path / "copy.db"
    said = await office.do("backup", path=str(target))
    assert said == {"path": str(target), "bytes": target.stat().st_size, "seconds": 0.0}
    assert office.told
    assert office.told[-1]["done"] == office.told[-1]["total"] > 0
    with pytest.raises(Conflict, match="exists already"):
        await office.do("backup", path=str(target))
    with pytest.raises(StoreError):
        await office.do("backup", path=str(tmp_path / "gone" / "copy.db"))
    for wrong in ("copy.db", "", "/tmp/a\0b"):
        with pytest.raises(InvalidInput, match="path must be absolute"):
            await office.do("backup", path=wrong)
