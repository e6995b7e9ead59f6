"""Models: their names, deployments and prices."""

# One case a line, however long: so the tables can be read.
# ruff: noqa: E501

from collections.abc import Callable

import pytest

from tokligenced.config import Config
from tokligenced.domain import Deployment, Model, Price, Rates

Load = Callable[..., Config]
Refused = Callable[..., list[str]]

PROVIDER = '[providers.p]\ntype = "openai"\n[providers.q]\ntype = "openai"\n'
DEPLOYMENTS = 'deployments = [{ provider = "p", model = "m-1" }]'
SIZES = "context_window = 8\nmax_output_tokens = 4\n"
PRICE = 'price = { input = "1", output = "1" }\n'


def model(price: str, more: str = "", name: str = "m") -> str:
    """A model that is complete but for its price."""
    return f'{PROVIDER}[models."{name}"]\n{SIZES}{price}\n{DEPLOYMENTS}\n{more}'


def prices_of(config: Config) -> tuple[Price, ...]:
    """The prices of model `m`."""
    return config.models["m"].prices


def test_least(load: Load) -> None:
    """What need not be said has sensible values."""
    assert load(model("free = true", name="org/m 1")).models == {
        "org/m 1": Model(
            id="org/m 1",
            name="org/m 1",
            context_window=8,
            max_output_tokens=4,
            free=True,
            deployments=(Deployment(provider="p", model="m-1", weight=1, priority=1),),
            owned_by="p",
        )
    }


def test_everything(load: Load) -> None:
    """Each value lands in its field."""
    config = load(f"""
        {PROVIDER}
        [models.m]
        context_window = 200_000
        max_output_tokens = 8192
        name = "The Model"
        owned_by = "somebody"
        aliases = ["m-latest", "x/m"]
        input_modalities = ["text", "image"]
        output_modalities = ["text", "audio"]
        supported_parameters = ["tools"]
        created = 2024-10-22
        price = {{ input = 3, output = 15.0 }}
        deployments = [{{ provider = "q", model = "m-1", weight = 3, priority = 2 }}, {{ provider = "p", model = "m" }}]
    """)
    three, fifteen = 3_000_000, 15_000_000
    assert config.models["m"] == Model(
        id="m",
        name="The Model",
        context_window=200_000,
        max_output_tokens=8192,
        prices=(
            Price(
                rates=Rates(
                    input=three,
                    cached_input=three,
                    cache_write_5m=three,
                    cache_write_1h=three,
                    audio_in=three,
                    image_in=three,
                    output=fifteen,
                    reasoning=fifteen,
                    audio_out=fifteen,
                    image_out=fifteen,
                )
            ),
        ),
        deployments=(
            Deployment(provider="q", model="m-1", weight=3, priority=2),
            Deployment(provider="p", model="m"),
        ),
        aliases=("m-latest", "x/m"),
        owned_by="somebody",
        input_modalities=("text", "image"),
        output_modalities=("text", "audio"),
        supported_parameters=("tools",),
        created_at=1_729_555_200_000,
    )


def test_parts_of_a_price(load: Load) -> None:
    """Each part is a rate of its own, in pico-USD; those that count units too."""
    parts = {
        "input": "input", "cached_input": "cached_input", "cache_write": "cache_write_5m",
        "cache_write_1h": "cache_write_1h", "output": "output", "reasoning": "reasoning",
        "audio_input": "audio_in", "audio_output": "audio_out", "image_input": "image_in",
        "image_output": "image_out", "request": "per_call", "image": "per_image", "search": "per_search",
    }  # fmt: skip
    written = ", ".join(f'{part} = "{number}"' for number, part in enumerate(parts, 1))
    (price,) = prices_of(load(model(f"price = {{ {written} }}")))
    units = ("per_call", "per_image", "per_search")
    assert price.rates == Rates(
        **{
            field: number * (10**12 if field in units else 10**6)
            for number, field in enumerate(parts.values(), 1)
        }
    )


def test_an_hour_of_cache_costs_what_five_minutes_do(load: Load) -> None:
    """cache_write_1h follows cache_write where only that is given."""
    (price,) = prices_of(load(model('price = { input = "1", cache_write = "2", output = "3" }')))
    assert (price.rates.cache_write_5m, price.rates.cache_write_1h) == (2_000_000, 2_000_000)


def test_tiers(load: Load) -> None:
    """A tier takes what it does not give from the base, and what neither gives from its own parts."""
    (price,) = prices_of(
        load(
            model(
                'price = { input = "3", cached_input = "0.3", output = "15", request = "0.01", tiers = ['
                '{ above = 400_000, output = "30" }, { above = 200_000, input = "6", output = "22.5" }] }'
            )
        )
    )
    (low, low_rates), (high, high_rates) = price.tiers
    assert (low, high) == (200_000, 400_000)
    assert (low_rates.input, low_rates.cached_input, low_rates.cache_write_5m) == (
        6_000_000,
        300_000,
        6_000_000,
    )
    assert (low_rates.output, low_rates.reasoning) == (22_500_000, 22_500_000)
    assert low_rates.per_call == 10_000_000_000
    assert (high_rates.input, high_rates.output) == (3_000_000, 30_000_000)


def test_dated_prices(load: Load) -> None:
    """Prices are put in the order in which they come into force; one may hold from ever."""
    config = load(
        model(
            "",
            "[[models.m.price]]\nfrom = 2026-07-01T02:00:00+02:00\ninput = 3\noutput = 3\n"
            "[[models.m.price]]\ninput = 1\noutput = 1\n"
            "[[models.m.price]]\nfrom = 2026-01-01\ninput = 2\noutput = 2\n",
        )
    )
    assert [(price.effective_at, price.rates.input) for price in prices_of(config)] == [
        (0, 1_000_000),
        (1_767_225_600_000, 2_000_000),
        (1_782_864_000_000, 3_000_000),
    ]


def test_half_a_price_warns(load: Load) -> None:
    """Tokens that would be given away by omission are pointed out; a zero or a price by unit is meant."""
    (warning,) = load(model('price = { input = "1" }')).warnings
    assert 'models."m".price.output: is not given, so it costs nothing' in warning
    assert load(model('price = { input = "1", output = "0" }')).warnings == ()
    assert load(model('price = { image = "0.04" }')).warnings == ()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (model(""), 'models."m".price: is required, unless the model says free = true'),
        (model("free = false"), 'models."m".price: is required, unless the model says free = true'),
        (model(PRICE + "free = true"), 'models."m".free: a model that has a price is not free'),
        (model("price = 3"), 'models."m".price: must be an array of tables'),
        (model("price = []"), 'models."m".price: holds no price'),
        (model("price = {}"), 'models."m".price: holds no price'),
        (model("price = { from = 2026-01-01 }"), 'models."m".price: holds no price'),
        (model('price = { input = "-3.00", output = 1 }'), 'models."m".price.input: -3.00: must not be negative'),
        (model("price = { input = nan, output = 1 }"), 'models."m".price.input: must be an amount in USD like "0.15", not NaN'),
        (model("price = { input = true, output = 1 }"), 'models."m".price.input: must be an amount in USD like "0.15", not true'),
        (model('price = { input = "0.0000001", output = 1 }'), 'models."m".price.input: 0.0000001: finer than a pico-USD per token'),
        (model("price = { input = 1e13, output = 1 }"), 'models."m".price.input: 1E+13: too large'),
        (model('price = { input = 1, output = 1, tiers = [{ input = "2" }] }'), 'models."m".price.tiers[0].above: is required'),
        (model("price = { input = 1, output = 1, tiers = [{ above = 0, input = 2 }] }"), 'models."m".price.tiers[0].above: must be at least 1, not 0'),
        (model("price = { input = 1, output = 1, tiers = [{ above = 5 }] }"), 'models."m".price.tiers[0]: holds no price'),
        (model("price = { input = 1, output = 1, tiers = [{ above = 5, input = 2 }, { above = 5, input = 3 }] }"), 'models."m".price.tiers[1].above: there are two tiers above 5'),
        (model("price = [{ input = 1, output = 1 }, { input = 2, output = 1 }]"), 'models."m".price[1]: needs a from: another price holds from ever'),
        (model("price = [{ from = 2026-01-01, input = 1, output = 1 }, { from = 2026-01-01T00:00:00Z, input = 2, output = 1 }]"), 'models."m".price[1]: holds from the same moment as another price'),
        (model("price = { from = '2026-01-01', input = 1, output = 1 }"), 'models."m".price.from: must be a date like 2026-01-31, without quotes, not "2026-01-01"'),
        (model(PRICE).replace("context_window = 8\n", ""), 'models."m".context_window: is required'),
        (model(PRICE).replace("max_output_tokens = 4\n", ""), 'models."m".max_output_tokens: is required'),
        (model(PRICE).replace("window = 8", "window = 0"), 'models."m".context_window: must be at least 1, not 0'),
        (model(PRICE).replace("window = 8", "window = true"), 'models."m".context_window: must be an integer, not true'),
        (model(PRICE).replace("tokens = 4", "tokens = -1"), 'models."m".max_output_tokens: must be at least 0, not -1'),
        (model(PRICE).replace(DEPLOYMENTS, ""), 'models."m".deployments: must name at least one deployment'),
        (model(PRICE).replace(DEPLOYMENTS, "deployments = []"), 'models."m".deployments: must name at least one deployment'),
        (model(PRICE).replace(DEPLOYMENTS, "deployments = ['p']"), 'models."m".deployments: must be an array of tables'),
        (model(PRICE).replace('provider = "p"', 'provider = "z"'), 'models."m".deployments[0].provider: there is no provider "z"'),
        (model(PRICE).replace('provider = "p", ', ""), 'models."m".deployments[0].provider: is required'),
        (model(PRICE).replace(', model = "m-1"', ""), 'models."m".deployments[0].model: is required'),
        (model(PRICE).replace('"m-1"', '"m-1", weight = 0'), 'models."m".deployments[0].weight: must be at least 1, not 0'),
        (model(PRICE).replace('"m-1"', '"m-1", priority = 1.5'), 'models."m".deployments[0].priority: must be an integer, not 1.5'),
        (model(PRICE, "aliases = ['a', 'a']"), 'models."m".aliases: "a" is already a name of model "m"'),
        (model(PRICE, "aliases = ['m']"), 'models."m".aliases: "m" is already a name of model "m"'),
        (model(PRICE, "aliases = 'a'"), 'models."m".aliases: must be an array of strings, not "a"'),
        (model(PRICE, "aliases = ['']"), 'models."m".aliases: must not be empty'),
        (model(PRICE, "created = 2024"), 'models."m".created: must be a date like 2026-01-31, without quotes, not 2024'),
        (model(PRICE, "input_modalities = 'text'"), 'models."m".input_modalities: must be an array of strings, not "text"'),
        (model(PRICE, name="a\\tb"), 'models."a\\tb": a model\'s name must be printable, without spaces at its ends'),
        (model(PRICE, name=""), 'models."": a model\'s name must be printable, without spaces at its ends'),
    ],
)  # fmt: skip
def test_wrong_models(refused: Refused, text: str, line: str) -> None:
    """A model that could not be served, or not be charged for, is refused by the key at fault."""
    assert refused(text) == [f"config.toml: {line}"]


@pytest.mark.parametrize(("alias", "owner"), [("a", "first"), ("first", "first"), ("third", "third")])
def test_names_have_one_owner(refused: Refused, alias: str, owner: str) -> None:
    """An alias that is another model's name or alias is refused, naming both."""
    rest = f"{SIZES}{PRICE}{DEPLOYMENTS}\n"
    text = (
        f'{PROVIDER}[models.first]\n{rest}aliases = ["a"]\n[models.second]\n{rest}aliases = ["{alias}"]\n'
        f"[models.third]\n{rest}"
    )
    assert refused(text) == [
        f'config.toml: models."second".aliases: "{alias}" is already a name of model "{owner}"'
    ]
