"""Rows of calls: one for each, written once, with everything reports are made of."""

from msgspec import Struct, structs

from tokligenced.domain import Outcome, Usage
from tokligenced.store.database import Database, Params, Row, Statement

_COLUMNS = (
    "id, started_at, key_id, payer_id, endpoint, model, provider, upstream_model, stream, status, error, "
    "attempts, input, cached_input, cache_write_5m, cache_write_1h, audio_in, image_in, output, reasoning, "
    "audio_out, image_out, images, searches, estimated, cost_nano, shortfall_nano, held_nano, price_id, "
    "price_millionths, first_byte_us, duration_us"
)
_MICROSECONDS = 1_000_000

RECORD = Statement(
    f"INSERT INTO calls ({_COLUMNS}) VALUES ({', '.join('?' * len(_COLUMNS.split(', ')))})",  # noqa: S608 - constants
    order=100,
)


def row(outcome: Outcome) -> Params:
    """What `RECORD` writes of `outcome`; times become whole microseconds."""
    usage = outcome.usage
    return (
        outcome.id,
        outcome.started_at,
        outcome.key_id,
        outcome.payer_id,
        outcome.endpoint,
        outcome.model,
        outcome.provider,
        outcome.upstream_model,
        outcome.stream,
        outcome.status,
        outcome.error,
        outcome.attempts,
        usage.input,
        usage.cached_input,
        usage.cache_write_5m,
        usage.cache_write_1h,
        usage.audio_in,
        usage.image_in,
        usage.output,
        usage.reasoning,
        usage.audio_out,
        usage.image_out,
        usage.images,
        usage.searches,
        usage.estimated,
        outcome.cost_nano,
        outcome.shortfall_nano,
        outcome.held_nano,
        outcome.price_id,
        outcome.price_millionths,
        None if outcome.first_byte is None else round(outcome.first_byte * _MICROSECONDS),
        round(outcome.duration * _MICROSECONDS),
    )


async def find(database: Database, call_id: str) -> Outcome | None:
    """The call with this id; None when no row tells of it, as while it runs."""
    rows = await database.read(f"SELECT {_COLUMNS} FROM calls WHERE id = ?", (call_id,))  # noqa: S608 - constants
    return _outcome(rows[0]) if rows else None


async def recent(database: Database, payer_id: str, *, limit: int = 50) -> list[Outcome]:
    """A payer's last calls, the newest first."""
    rows = await database.read(
        f"SELECT {_COLUMNS} FROM calls WHERE payer_id = ? ORDER BY started_at DESC, id DESC LIMIT ?",  # noqa: S608
        (payer_id, limit),
    )
    return [_outcome(each) for each in rows]


class Filter(Struct, frozen=True, kw_only=True):
    """Which calls are meant: those that have all of these values; None: whatever it is."""

    payer_id: str | None = None
    key_id: str | None = None
    model: str | None = None
    provider: str | None = None
    status: int | None = None


async def page(database: Database, wanted: Filter, *, before: str | None, limit: int) -> list[Outcome]:
    """The next calls, the newest first: those that began before the call with the id `before`."""
    values = {name: value for name, value in structs.asdict(wanted).items() if value is not None}
    tests = [f"{name} = ?" for name in values]
    params: list[str | int] = list(values.values())
    if before is not None:
        tests.append("(started_at, id) < (SELECT started_at, id FROM calls WHERE id = ?)")
        params.append(before)
    rows = await database.read(
        f"SELECT {_COLUMNS} FROM calls WHERE {' AND '.join(tests) or 'TRUE'}"  # noqa: S608 - names of fields
        " ORDER BY started_at DESC, id DESC LIMIT ?",
        (*params, limit),
    )
    return [_outcome(each) for each in rows]


def _outcome(values: Row) -> Outcome:
    column = dict(zip(_COLUMNS.split(", "), values, strict=True))
    first_byte_us = column.pop("first_byte_us")
    usage = {name: column.pop(name) for name in Usage.__struct_fields__}
    return Outcome(
        stream=bool(column.pop("stream")),
        first_byte=None if first_byte_us is None else first_byte_us / _MICROSECONDS,
        duration=column.pop("duration_us") / _MICROSECONDS,
        usage=Usage(**usage | {"estimated": bool(usage["estimated"])}),
        **column,
    )
