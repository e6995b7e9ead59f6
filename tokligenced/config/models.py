"""The `[models.NAME]` tables and their prices."""

from collections.abc import Collection, Mapping
from functools import partial

from tokligenced.config.reading import Table
from tokligenced.config.values import (
    flag,
    moment,
    shown,
    text,
    texts,
    time_limit,
    usd_per_million_tokens,
    usd_per_unit,
    whole,
)
from tokligenced.domain import Deployment, Model, Price, Rates, Timeouts

# The parts of a price as people write them, and their fields in `Rates`.
_TOKEN_PARTS = {
    "input": "input",
    "cached_input": "cached_input",
    "cache_write": "cache_write_5m",
    "cache_write_1h": "cache_write_1h",
    "output": "output",
    "reasoning": "reasoning",
    "audio_input": "audio_in",
    "audio_output": "audio_out",
    "image_input": "image_in",
    "image_output": "image_out",
}
_UNIT_PARTS = {"request": "per_call", "image": "per_image", "search": "per_search"}
# A part that is not given costs what the other does; in an order in which the other is known already.
_LIKE = {
    "cached_input": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "reasoning": "output",
    "audio_input": "input",
    "audio_output": "output",
    "image_input": "input",
    "image_output": "output",
}


def read(table: Table, providers: Collection[str]) -> dict[str, Model]:
    """All models by id. `providers` are the names that deployments may use."""
    owners = {name: name for name in table.names()}
    return {name: _model(name, entry, providers, owners) for name, entry in table.entries()}


def _model(name: str, table: Table, providers: Collection[str], owners: dict[str, str]) -> Model:
    if not name or not name.isprintable() or name != name.strip():
        table.refuse("a model's name must be printable, without spaces at its ends")
    entries = table.tables("deployments")
    deployments = tuple(_deployment(entry, providers) for entry in entries)
    if table.get("deployments") in (None, []):
        table.refuse("must name at least one deployment", "deployments")
    free = table.take("free", flag, default=False)
    plain = Model(id=name, name=name, context_window=1, max_output_tokens=0, deployments=deployments)
    model = Model(
        id=name,
        name=table.take("name", text, name),
        context_window=table.need("context_window", whole, 1),
        max_output_tokens=table.need("max_output_tokens", partial(whole, minimum=0), 0),
        prices=_prices(table, free=free),
        free=free,
        deployments=deployments,
        aliases=_aliases(name, table, owners),
        owned_by=table.take("owned_by", text, deployments[0].provider if deployments else ""),
        input_modalities=table.take("input_modalities", texts, plain.input_modalities),
        output_modalities=table.take("output_modalities", texts, plain.output_modalities),
        supported_parameters=table.take("supported_parameters", texts, plain.supported_parameters),
        timeouts=_timeouts(table),
        created_at=table.take("created", moment, plain.created_at),
    )
    table.done()
    return model


def _timeouts(table: Table) -> Timeouts:
    return Timeouts(
        connect=table.take("connect_timeout", time_limit, None),
        first_byte=table.take("first_byte_timeout", time_limit, None),
        idle=table.take("idle_timeout", time_limit, None),
        total=table.take("total_timeout", time_limit, None),
    )


def _deployment(table: Table, providers: Collection[str]) -> Deployment:
    provider = table.need("provider", text, "")
    if provider and provider not in providers:
        table.refuse(f"there is no provider {shown(provider)}", "provider")
    plain = Deployment(provider=provider, model="")
    deployment = Deployment(
        provider=provider,
        model=table.need("model", text, ""),
        weight=table.take("weight", whole, plain.weight),
        priority=table.take("priority", whole, plain.priority),
    )
    table.done()
    return deployment


def _aliases(name: str, table: Table, owners: dict[str, str]) -> tuple[str, ...]:
    aliases: tuple[str, ...] = table.take("aliases", texts, ())
    for alias in aliases:
        if alias in owners:
            table.refuse(f"{shown(alias)} is already a name of model {shown(owners[alias])}", "aliases")
        owners.setdefault(alias, name)
    return aliases


def _prices(table: Table, *, free: bool) -> tuple[Price, ...]:
    """All prices in the order in which they come into force."""
    if "price" not in table and not free:
        table.refuse("is required, unless the model says free = true", "price")
    if "price" in table and free:
        table.refuse("a model that has a price is not free", "free")
    if table.get("price") == []:
        table.refuse("holds no price", "price")
    prices: dict[int, Price] = {}
    for entry in table.tables("price"):
        price = _price(entry)
        if price.effective_at in prices:
            entry.refuse(
                "holds from the same moment as another price"
                if "from" in entry
                else "needs a from: another price holds from ever"
            )
        prices[price.effective_at] = price
    return tuple(price for _, price in sorted(prices.items()))


def _price(table: Table) -> Price:
    given = _parts(table)
    for part in ("input", "output"):
        if part not in table and not any(unit in table for unit in _UNIT_PARTS):
            table.warn(f'is not given, so it costs nothing; {part} = "0" says that this is meant', part)
    tiers: dict[int, Rates] = {}
    for entry in table.tables("tiers"):
        above = entry.need("above", whole, 0)
        if above in tiers:
            entry.refuse(f"there are two tiers above {above}", "above")
        tiers[above] = _rates({**given, **_parts(entry)})
        entry.done()
    price = Price(
        rates=_rates(given),
        tiers=tuple(sorted(tiers.items())),
        effective_at=table.take("from", moment, 0),
    )
    table.done()
    return price


def _parts(table: Table) -> dict[str, int]:
    """The parts that a price or a tier gives itself, in pico-USD."""
    if not any(part in table for part in (*_TOKEN_PARTS, *_UNIT_PARTS)):
        table.refuse("holds no price")
    parts = {part: table.take(part, usd_per_million_tokens, None) for part in _TOKEN_PARTS}
    parts |= {part: table.take(part, usd_per_unit, None) for part in _UNIT_PARTS}
    return {part: price for part, price in parts.items() if price is not None}


def _rates(given: Mapping[str, int]) -> Rates:
    full = dict(given)
    for part, other in _LIKE.items():
        full.setdefault(part, full.get(other, 0))
    return Rates(**{field: full.get(part, 0) for part, field in (_TOKEN_PARTS | _UNIT_PARTS).items()})
