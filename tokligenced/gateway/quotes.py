"""The most a call can cost, reckoned before it is sent, so that it can be held.

The input is bounded by the body's bytes, for no tokenizer makes more tokens than there are bytes, and by
the model's window; what stands behind a reference (an image, a file, a search) by the window alone or by a
generous number. The output is bounded by the client's limit or the model's own. Texts that are embedded or
ranked have a window each, and take a few tokens more than their bytes; the units of a ranking are bounded as
`dialects/rerank.py` says.
"""

from msgspec import Struct

from tokligenced.domain import LIST_PRICE, PICO_PER_NANO, TASKS, Call, Model, Price, Rates, Usage
from tokligenced.gateway.pricing import cost_nano

# More than any provider counts for one picture.
_TOKENS_PER_IMAGE = 16_384
# More searches than one answer makes.
_SEARCHES = 10
# More than any model puts around a text: its special tokens, and the instruction an `input_type` stands for.
_TOKENS_AROUND_TEXT = 32


class Quote(Struct, frozen=True, kw_only=True):
    """The most a call can cost, in nano-USD, and by what it was reckoned.

    `output_limit` is None where the client's own limit or the model's stands; else it is what the payer can
    afford, and must be sent upstream.
    """

    amount: int
    price: Price
    price_millionths: int
    output_limit: int | None = None


def quote(
    call: Call,
    model: Model,
    price: Price,
    price_millionths: int,
    spendable: int | None,
    *,
    known: Usage | None = None,
) -> Quote:
    """What to hold for a call.

    `spendable` is the most that can be held, None where nothing bounds it. A client that set no limit of its
    own and can't afford the model's is quoted what it can afford, if that is anything at all. A call whose
    usage is `known`, because its answer is, is quoted what it costs.
    """
    if known is not None:
        amount = cost_nano(known, price, price_millionths)
        return Quote(amount=amount, price=price, price_millionths=price_millionths)
    bounds = _Bounds(call, model, price, price_millionths)
    output = min(call.max_output_tokens or model.max_output_tokens, model.max_output_tokens)
    amount = bounds.most(output)
    limit = None
    limitable = call.max_output_tokens is None and call.dialect not in TASKS
    if limitable and spendable is not None and amount > spendable:
        affordable = bounds.affordable(spendable)
        if affordable > 0:
            limit = min(affordable, model.max_output_tokens)
            amount = bounds.most(limit)
    return Quote(amount=amount, price=price, price_millionths=price_millionths, output_limit=limit)


class _Bounds:
    """Pico-USD that a call can't exceed: a part that is fixed, and a rate for each token of output."""

    __slots__ = ("_choices", "_fixed", "_rate", "_scale")

    def __init__(self, call: Call, model: Model, price: Price, price_millionths: int) -> None:
        self._scale = price_millionths
        self._choices = call.choices
        prompt = _most_input(call, model)
        self._fixed = _most_fixed(call, price.rates, prompt)
        self._rate = _most_output_rate(call, model, price.rates)
        for above, rates in price.tiers:
            if prompt > above:
                self._fixed = max(self._fixed, _most_fixed(call, rates, prompt))
                self._rate = max(self._rate, _most_output_rate(call, model, rates))

    def most(self, output: int) -> int:
        """Nano-USD, rounded up, with so many tokens of output for each choice."""
        pico = self._fixed + self._rate * output * self._choices
        return -(-pico * self._scale // (PICO_PER_NANO * LIST_PRICE))

    def affordable(self, spendable: int) -> int:
        """The most tokens of output for each choice that `most` keeps within `spendable` nano-USD."""
        each = self._rate * self._choices * self._scale
        left = spendable * PICO_PER_NANO * LIST_PRICE - self._fixed * self._scale
        return left // each if each else 0


def _most_input(call: Call, model: Model) -> int:
    if call.dialect in TASKS:
        around = call.inputs * _TOKENS_AROUND_TEXT
        return min(model.context_window * call.inputs, call.text_bytes + call.tokens + around)
    if call.files or call.searches:
        return model.context_window
    return min(model.context_window, len(call.body) + call.images * _TOKENS_PER_IMAGE)


def _most_fixed(call: Call, rates: Rates, prompt: int) -> int:
    """Pico-USD for a prompt of so many tokens, each at the dearest rate it can have, and for the units."""
    dearest = max(rates.input, rates.cached_input, rates.cache_write_5m, rates.cache_write_1h)
    if call.images or call.files:
        dearest = max(dearest, rates.image_in)
    if call.audio or call.files:
        dearest = max(dearest, rates.audio_in)
    units = rates.per_search * (_SEARCHES if call.searches else call.search_units)
    if call.dialect == "images":
        units += rates.per_image * call.choices
    return prompt * dearest + rates.per_call + units


def _most_output_rate(call: Call, model: Model, rates: Rates) -> int:
    dearest = max(rates.output, rates.reasoning)
    if call.audio or "audio" in model.output_modalities:
        dearest = max(dearest, rates.audio_out)
    if call.draws or "image" in model.output_modalities:
        dearest = max(dearest, rates.image_out)
    return dearest
