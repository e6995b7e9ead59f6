"""Reports: every call is counted once in each grouping, and the entries come page by page."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from tests.gateway.books import opened, principal
from tests.store.conftest import Owner
from tokligenced.cli import money
from tokligenced.domain import Account, Key, Organization, Outcome, Usage
from tokligenced.store import accounts, calls, keys, reports
from tokligenced.store.database import Database, Transaction
from tokligenced.store.reports import Group, Grouping

DAY = 86_400_000
START = 1_800_000_000_000 // DAY * DAY
PAYERS = ("acct_1", "org_1", "acct_2")
COUNTED = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "cost_nano")


def call(number: int) -> Outcome:
    """Calls that differ in everything."""
    return Outcome(
        id=f"req_{number:02}",
        started_at=START + number * DAY // 4,
        key_id=f"key_{number % 4}",
        payer_id=PAYERS[number % 3],
        endpoint="chat",
        model=f"m{number % 2}",
        stream=False,
        status=503 if number % 5 == 0 else 200,
        error="upstream_error" if number % 5 == 0 else None,
        provider=None if number % 7 == 0 else f"p{number % 2}",
        usage=Usage(
            input=number, cached_input=2, cache_write_5m=3, cache_write_1h=4, audio_in=5, image_in=6,
            output=7, reasoning=8, audio_out=9, image_out=10, images=11, searches=12,
        ),
        cost_nano=number * 1_000,
    )  # fmt: skip


CALLS = [call(number) for number in range(1, 31)]

LABELS: dict[Grouping, Callable[[Outcome], tuple[str | None, ...] | None]] = {
    "model": lambda call: (call.model,),
    "key": lambda call: {
        "key_1": ("key_1", "tk-000001", "first"),
        "key_2": ("key_2", "tk-000002", "second"),
    }.get(call.key_id, (call.key_id, None, None)),
    "account": lambda call: {"acct_1": ("ann@example.com",), "acct_2": ("bob@example.com",)}.get(
        call.payer_id
    ),
    "org": lambda call: ("crew",) if call.payer_id == "org_1" else None,
    "provider": lambda call: (call.provider,),
    "day": lambda call: (f"2027-01-{15 + (call.started_at - START) // DAY}",),
}


@pytest.fixture
async def database(owner: Owner) -> Database:
    """Thirty calls of an organization and two accounts, with two keys that are known."""
    database = await owner.open(migrations=None)

    async def populate(tx: Transaction) -> None:
        for id_, email in (("acct_1", "ann@example.com"), ("acct_2", "bob@example.com")):
            await accounts.insert_account(tx, Account(id=id_, email=email, created_at=1))
        crew = Organization(id="org_1", slug="crew", owner_id="acct_1", created_at=1)
        await accounts.insert_organization(tx, crew)
        for number, name in ((1, "first"), (2, "second")):
            key = Key(
                id=f"key_{number}", digest=bytes([number]) * 32, prefix=f"tk-00000{number}", name=name,
                payer_kind="account", payer_id="acct_1", created_at=1,
            )  # fmt: skip
            await keys.insert(tx, key)

    await database.transact(populate)
    database.enqueue(*[(calls.RECORD, calls.row(each)) for each in CALLS])
    await database.flush()
    return database


@pytest.mark.parametrize("by", get_args(Grouping))
@pytest.mark.parametrize("since", [0, CALLS[10].started_at, CALLS[-1].started_at + 1])
async def test_every_call_is_counted_once(database: Database, by: Grouping, since: int) -> None:
    """Calls, errors, tokens and costs of each group are those of its calls from that moment on."""
    expected: dict[tuple[str | None, ...], list[int]] = defaultdict(lambda: [0] * 7)
    for each in CALLS:
        label = LABELS[by](each)
        if each.started_at < since or label is None:
            continue
        usage = each.usage
        numbers = [
            1,
            each.error is not None,
            usage.prompt_tokens,
            usage.cached_input,
            usage.completion_tokens,
            usage.reasoning,
            each.cost_nano,
        ]
        expected[label] = [sum(pair) for pair in zip(expected[label], numbers, strict=True)]
    groups = await reports.usage(database, since=since, by=by)
    assert {tuple(group.label.values()): counts(group) for group in groups} == expected
    if by == "day":
        assert [group.label["day"] for group in groups] == sorted(str(group.label["day"]) for group in groups)
    else:
        assert [group.cost_nano for group in groups] == sorted([g.cost_nano for g in groups], reverse=True)


def counts(group: Group) -> list[int]:
    return [group.calls, group.errors, *(getattr(group, name) for name in COUNTED)]


def test_the_command_line_knows_every_grouping() -> None:
    """What reports can group by is what people can ask for."""
    assert money.GROUPINGS == reports.GROUPINGS == get_args(Grouping)


async def test_entries_come_page_by_page(tmp_path: Path) -> None:
    """Whatever the size of a page, the entries come whole, once, and in order."""
    async with opened(tmp_path / "t.db") as books:
        for number in range(5):
            await books.credit(principal(number).payer, 10 + number, "first")
        books.settle(await books.secured(principal(1), 5), 3)
        await books.database.flush()
        pages = {}
        for size in (1, 2, 6, 100):
            after, pages[size] = 0, []
            while page := await reports.entries(books.database, after=after, limit=size):
                assert len(page) <= size
                pages[size] += page
                after = page[-1].seq
        assert pages[1] == pages[2] == pages[6] == pages[100]
        assert [entry.seq for entry in pages[1]] == [1, 2, 3, 4, 5, 6]
        credit, charge = pages[1][0], pages[1][-1]
        assert (credit.kind, credit.source, credit.target) == ("credit", "operator:funding", "acct_0")
        assert (credit.amount, credit.reference, credit.call_id) == (10, "first", None)
        assert (charge.kind, charge.source, charge.amount, charge.call_id) == ("charge", "acct_1", 3, "req_1")
        stored = await books.filed("SELECT hex(hash) FROM entries ORDER BY seq")
        assert [entry.hash.upper() for entry in pages[1]] == [hash_ for (hash_,) in stored]


async def test_a_key_s_spending(tmp_path: Path) -> None:
    """What a key has spent is the sum of its charges, nothing for one that never paid."""
    async with opened(tmp_path / "t.db") as books:
        await books.credit(principal(1).payer, 100, "first")
        for cost in (3, 4):
            books.settle(await books.secured(principal(1), 5), cost)
        await books.database.flush()
        assert await reports.spent(books.database, "key_1_1") == 7
        assert await reports.spent(books.database, "key_9") == 0
