from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tokligenced.clock import Tasks
from tokligenced.domain import Outcome, Usage
from tokligenced.store import books, calls
from tokligenced.store.database import Database

DAY = 86_400_000


def call(number: int, *, at: int, payer: str = "acct_1", model: str = "m", failed: bool = False) -> Outcome:
    return Outcome(
        id=f"req_{number}",
        started_at=at,
        key_id=f"key_{payer}",
        payer_id=payer,
        endpoint="chat",
        model=model,
        stream=False,
        status=503 if failed else 200,
        error="upstream_error" if failed else None,
        usage=Usage(input=10, cached_input=5, output=3, reasoning=2),
        cost_nano=0 if failed else 7,
    )


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    tasks = Tasks(on_crash=lambda _name, error: pytest.fail(repr(error)))
    database = await Database.open(
        tmp_path / "test.db", durability="normal", tasks=tasks, on_lost=lambda *_: pytest.fail("lost")
    )
    outcomes = [
        call(1, at=DAY - 1),
        call(2, at=DAY, model="n"),
        call(3, at=DAY + 5, failed=True),
        call(4, at=2 * DAY),
        call(5, at=DAY, payer="acct_2"),
    ]
    database.enqueue(*((calls.RECORD, calls.row(outcome)) for outcome in outcomes))
    await database.flush()
    yield database
    await database.close()
    await tasks.close()


async def test_use_by_day(database: Database) -> None:
    """A payer's own calls are counted by the UTC day they began on, in the order of days."""
    used = await books.used(database, "acct_1", since=0, until=2 * DAY, by="day")
    assert used == [
        books.Used(label="1970-01-01", calls=1, prompt_tokens=15, completion_tokens=5, cost_nano=7),
        books.Used(
            label="1970-01-02", calls=2, errors=1, prompt_tokens=30, completion_tokens=10, cost_nano=7
        ),
    ]


async def test_use_by_model(database: Database) -> None:
    """Grouped by model, the dearest comes first."""
    used = await books.used(database, "acct_1", since=0, until=3 * DAY, by="model")
    assert [(each.label, each.cost_nano) for each in used] == [("m", 14), ("n", 7)]


async def test_last_use(database: Database) -> None:
    """Each key's last use is of its payer's calls alone."""
    assert await books.last_used(database, "acct_1") == {"key_acct_1": 2 * DAY}
    assert await books.last_used(database, "nobody") == {}
    assert await books.open_holds(database, "acct_1") == []
