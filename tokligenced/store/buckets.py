"""Rows of the rate limiter's buckets: written with the hold they admit, read at the start."""

from collections.abc import Iterable

from tokligenced.store.database import Database, Params, Statement


def _last(rows: list[Params]) -> Iterable[Params]:
    return {row[0]: row for row in rows}.values()


BUCKETS = Statement(
    "INSERT OR REPLACE INTO buckets (owner, requests, tokens, at) VALUES (?, ?, ?, ?)", order=60, fold=_last
)


async def load(database: Database) -> dict[str, tuple[float | None, float | None, int]]:
    """Levels of the requests and the tokens bucket at a Unix millisecond, by owner."""
    rows = await database.read("SELECT owner, requests, tokens, at FROM buckets")
    return {owner: (requests, tokens, at) for owner, requests, tokens, at in rows}
