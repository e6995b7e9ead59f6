"""Prices: exact, rounded up once."""

from decimal import ROUND_CEILING, Decimal

from hypothesis import given
from hypothesis import strategies as st

from tokligenced.domain import Deployment, Model, Price, Rates, Usage, decimal_usd
from tokligenced.gateway.pricing import cost_nano, price_at, rates_for

TOKEN_PARTS = (
    "input",
    "cached_input",
    "cache_write_5m",
    "cache_write_1h",
    "audio_in",
    "image_in",
    "output",
    "reasoning",
    "audio_out",
    "image_out",
)
counts = st.integers(0, 10**7)
rates = st.integers(0, 10**9)


@given(
    st.fixed_dictionaries(dict.fromkeys(TOKEN_PARTS, counts)),
    st.fixed_dictionaries(dict.fromkeys(TOKEN_PARTS, rates)),
)
def test_the_cost_is_the_exact_sum_rounded_up_once(usage: dict[str, int], price: dict[str, int]) -> None:
    """Each part of usage is charged at its own rate, and only the sum is rounded."""
    exact = sum((Decimal(usage[part]) * price[part] / 1000 for part in TOKEN_PARTS), Decimal(0))
    cost = cost_nano(Usage(**usage), Price(rates=Rates(**price)))
    assert cost == int(exact.to_integral_value(ROUND_CEILING))


def test_units_and_the_call_itself_are_charged() -> None:
    """Images, searches and a price per call are added to the tokens."""
    price = Price(rates=Rates(per_call=1000, per_image=2000, per_search=3000))
    assert cost_nano(Usage(images=2, searches=3), price) == 1 + 4 + 9


def test_a_free_model_costs_nothing() -> None:
    """Without a price there is no cost."""
    assert cost_nano(Usage(input=1000, output=1000), None) == 0


def test_a_tier_applies_above_its_prompt_size() -> None:
    """The last tier whose threshold the prompt exceeds prices the whole call."""
    price = Price(rates=Rates(input=1), tiers=((100, Rates(input=2)), (200, Rates(input=3))))
    assert [rates_for(price, size).input for size in (0, 100, 101, 200, 201)] == [1, 1, 2, 2, 3]


def test_the_price_of_its_time_applies() -> None:
    """A price takes effect at its moment, and the earliest is good for all before it."""
    first, second = Price(effective_at=100), Price(effective_at=200)
    model = Model(
        id="m",
        name="m",
        context_window=1,
        max_output_tokens=1,
        prices=(first, second),
        deployments=(Deployment(provider="p", model="m"),),
    )
    assert [price_at(model, at) for at in (0, 100, 199, 200, 300)] == [first, first, first, second, second]


@given(st.integers(-(10**20), 10**20))
def test_amounts_are_shown_exactly(amount: int) -> None:
    """A decimal string of USD reads back as the same number of nano-USD."""
    assert Decimal(decimal_usd(amount)) * 10**9 == amount
