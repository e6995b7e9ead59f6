"""What a call costs: exact integers, rounded up once."""

from msgspec import Struct

from tokligenced.domain import (
    LIST_PRICE,
    PICO_PER_NANO,
    PICO_PER_USD,
    Call,
    Model,
    Price,
    Rates,
    Usage,
    decimal_usd,
    tokens_in,
)


def price_at(model: Model, at: int) -> Price | None:
    """The model's price at a Unix millisecond; None for a free model."""
    current = None
    for price in model.prices:
        if price.effective_at <= at or current is None:
            current = price
    return current


def rates_for(price: Price, prompt_tokens: int) -> Rates:
    """The rates of the tier that a prompt of this size falls into."""
    rates = price.rates
    for above, tier in price.tiers:
        if prompt_tokens > above:
            rates = tier
    return rates


class Line(Struct, frozen=True):
    """One line of a call's arithmetic: so many of a part at so many pico-USD each."""

    part: str
    count: int
    rate: int

    @property
    def pico(self) -> int:
        """What the line comes to."""
        return self.count * self.rate


def line_object(line: Line) -> dict[str, object]:
    """A line as the API shows it; money in decimal USD strings."""
    return {
        "part": line.part,
        "count": line.count,
        "rate": decimal_usd(line.rate, PICO_PER_USD),
        "amount": decimal_usd(line.pico, PICO_PER_USD),
    }


_TOKENS = (
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


def lines(usage: Usage, price: Price) -> list[Line]:
    """The call's arithmetic, part by part; parts that are zero are left out."""
    rates = rates_for(price, usage.prompt_tokens)
    every = [
        *(Line(part, getattr(usage, part), getattr(rates, part)) for part in _TOKENS),
        Line("image", usage.images, rates.per_image),
        Line("search", usage.searches, rates.per_search),
        Line("call", 1, rates.per_call),
    ]
    return [line for line in every if line.pico]


def cost_nano(usage: Usage, price: Price | None, price_millionths: int = LIST_PRICE) -> int:
    """Nano-USD for a call: the sum of `lines` at the payer's part of the price, rounded up once."""
    if price is None:
        return 0
    rates = rates_for(price, usage.prompt_tokens)
    # The same as the sum of `lines`, which is for people, but this is done for every call.
    pico = (
        usage.input * rates.input
        + usage.cached_input * rates.cached_input
        + usage.cache_write_5m * rates.cache_write_5m
        + usage.cache_write_1h * rates.cache_write_1h
        + usage.audio_in * rates.audio_in
        + usage.image_in * rates.image_in
        + usage.output * rates.output
        + usage.reasoning * rates.reasoning
        + usage.audio_out * rates.audio_out
        + usage.image_out * rates.image_out
        + usage.images * rates.per_image
        + usage.searches * rates.per_search
        + rates.per_call
    )
    return _nano(pico, price_millionths)


def _nano(pico: int, price_millionths: int) -> int:
    return -(-pico * price_millionths // (PICO_PER_NANO * LIST_PRICE))


def estimated_usage(call: Call, delivered: int, told: Usage | None = None) -> Usage:
    """Usage as the gateway counts it, from the request's bytes and the delivered ones; units as `told`."""
    output = tokens_in(delivered)
    drawn = call.dialect == "images"
    return Usage(
        input=input_tokens(call),
        output=0 if drawn else output,
        image_out=output if drawn else 0,
        images=told.images if told else 0,
        searches=told.searches if told else 0,
        estimated=True,
    )


def expected_tokens(call: Call, model: Model) -> int:
    """Tokens to take from the rate limit until the true number is known."""
    output = call.max_output_tokens or min(model.max_output_tokens, _USUAL_OUTPUT)
    return min(input_tokens(call), model.context_window * call.inputs) + output * call.choices


# A client that names no limit rarely gets near the model's own; the difference is corrected at the end.
_USUAL_OUTPUT = 512
# What providers count for a picture of common size, and for a file of a page or two.
_USUAL_ATTACHMENT = 1_500


def input_tokens(call: Call) -> int:
    """The tokens that go in, as the gateway counts them itself: rather too many."""
    return tokens_in(call.text_bytes) + call.tokens + (call.images + call.files) * _USUAL_ATTACHMENT
