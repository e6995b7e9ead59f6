"""What a call costs: exact integers, rounded up once."""

from tokligenced.domain import PICO_PER_NANO, Call, Model, Price, Rates, Usage

# Bytes of text per token, on the low side: where the gateway counts itself, it counts rather too much.
_BYTES_PER_TOKEN = 3


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


def cost_nano(usage: Usage, price: Price | None) -> int:
    """Nano-USD for a call, rounded up; 0 for a free model."""
    if price is None:
        return 0
    rates = rates_for(price, usage.prompt_tokens)
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
    return -(-pico // PICO_PER_NANO)


def estimated_usage(call: Call, delivered: int) -> Usage:
    """Usage as the gateway counts it, from the request's bytes and the delivered ones."""
    return Usage(input=_tokens(len(call.body)), output=_tokens(delivered), estimated=True)


def expected_tokens(call: Call, model: Model) -> int:
    """Tokens to take from the rate limit until the true number is known."""
    output = call.max_output_tokens or min(model.max_output_tokens, _USUAL_OUTPUT)
    return _tokens(len(call.body)) + output * call.choices


# A client that names no limit rarely gets near the model's own; the difference is corrected at the end.
_USUAL_OUTPUT = 512


def _tokens(size: int) -> int:
    return -(-size // _BYTES_PER_TOKEN)
