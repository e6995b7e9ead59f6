"""Quotes: no usage within a call's bounds costs more, and what is affordable is just affordable."""

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import structs

from tokligenced.dialects import chat
from tokligenced.domain import LIST_PRICE, Call, Deployment, Model, Price, Rates, Usage
from tokligenced.gateway.pricing import cost_nano
from tokligenced.gateway.quotes import quote

TEXT_IN = ("input", "cached_input", "cache_write_5m", "cache_write_1h")
TEXT_OUT = ("output", "reasoning")
TOKENS_PER_IMAGE = 16_384
MOST_SEARCHES = 10

rates = st.builds(
    Rates,
    **dict.fromkeys(Rates.__struct_fields__, st.sampled_from([0, 1, 999, 1_000, 75_000, 10**6, 10**9])),
)
prices = st.builds(
    Price,
    rates=rates,
    tiers=st.lists(st.tuples(st.integers(1, 5_000), rates), max_size=3, unique_by=lambda tier: tier[0]).map(
        lambda tiers: tuple(sorted(tiers, key=lambda tier: tier[0]))
    ),
)
scales = st.sampled_from([0, 1, 333_333, 500_000, LIST_PRICE, 2 * LIST_PRICE, 1_000 * LIST_PRICE])
contents = st.sampled_from(
    [
        "hi",
        "x" * 5_000,
        [
            {"type": "text", "text": "what is this?"},
            {"type": "image_url", "image_url": {"url": "https://a/b"}},
        ],
        [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 3_000}}] * 2,
        [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}],
        [{"type": "file", "file": {"file_id": "file-1"}}],
    ]
)


def model_of(price: Price, *, window: int = 128_000, most: int = 4_096) -> Model:
    """A model with this price."""
    return Model(
        id="m",
        name="m",
        context_window=window,
        max_output_tokens=most,
        prices=(price,),
        deployments=(Deployment(provider="p", model="m"),),
    )


def call_of(content: object = "hi", **members: Any) -> Call:
    """A call as the gateway reads it off the wire."""
    body = {"model": "m", "messages": [{"role": "user", "content": content}], **members}
    return chat.parse(json.dumps(body).encode())


def shared_out(data: st.DataObject, total: int, parts: tuple[str, ...]) -> dict[str, int]:
    """Tokens over the parts that they may be counted as."""
    cuts = sorted(
        data.draw(st.lists(st.integers(0, total), min_size=len(parts) - 1, max_size=len(parts) - 1))
    )
    return {part: end - start for part, start, end in zip(parts, [0, *cuts], [*cuts, total], strict=True)}


@given(
    data=st.data(),
    price=prices,
    scale=scales,
    content=contents,
    window=st.integers(1, 200_000),
    most=st.integers(1, 10_000),
    limit=st.none() | st.integers(1, 20_000),
    choices=st.integers(1, 5),
    search=st.booleans(),
)
def test_no_usage_within_the_bounds_costs_more(
    data: st.DataObject,
    price: Price,
    scale: int,
    content: object,
    window: int,
    most: int,
    limit: int | None,
    choices: int,
    search: bool,
) -> None:
    """Any usage that body, window and limits allow costs the quoted amount at most."""
    members: dict[str, Any] = {"n": choices}
    members |= {} if limit is None else {"max_tokens": limit}
    members |= {"web_search_options": {}} if search else {}
    call = call_of(content, **members)
    model = model_of(price, window=window, most=most)
    kinds = {part["type"] for part in content} if isinstance(content, list) else set()
    anything = bool(search or "file" in kinds)
    images = sum(part["type"] == "image_url" for part in content) if isinstance(content, list) else 0
    bound = window if anything else min(window, len(call.body) + images * TOKENS_PER_IMAGE)
    into = (*TEXT_IN, *(["image_in"] if images else []), *(["audio_in"] if "input_audio" in kinds else []))
    out = (*TEXT_OUT, *(["audio_out"] if "input_audio" in kinds else []))
    usage = Usage(
        **shared_out(data, data.draw(st.integers(0, bound)), into),
        **shared_out(data, data.draw(st.integers(0, min(limit or most, most) * choices)), out),
        searches=data.draw(st.integers(0, MOST_SEARCHES)) if search else 0,
    )
    offer = quote(call, model, price, scale, None)
    assert cost_nano(usage, price, scale) <= offer.amount
    assert offer.output_limit is None


@given(
    price=prices,
    scale=scales,
    content=contents,
    most=st.integers(1, 10_000),
    choices=st.integers(1, 5),
    spendable=st.integers(0, 10**7) | st.integers(0, 10**13),
)
def test_the_affordable_limit_is_just_affordable(
    price: Price, scale: int, content: object, most: int, choices: int, spendable: int
) -> None:
    """The limit given to who can't afford the model's own fits what there is; one more token would not."""
    call = call_of(content, n=choices)
    model = model_of(price, most=most)
    offer = quote(call, model, price, scale, spendable)
    whole = quote(call, model, price, scale, None)
    if whole.amount <= spendable:
        assert offer == whole
        return
    one = quote(call_of(content, n=choices, max_tokens=1), model, price, scale, None).amount
    if offer.output_limit is None:
        # Not even one token: the whole is asked for, and refused by what holds it.
        assert offer == whole
        assert one > spendable
        return
    assert 1 <= offer.output_limit < most
    assert offer.amount <= spendable
    assert amount_at(call, model, price, scale, offer.output_limit) == offer.amount
    assert amount_at(call, model, price, scale, offer.output_limit + 1) > spendable


def amount_at(call: Call, model: Model, price: Price, scale: int, limit: int) -> int:
    """What the same body would be quoted with this limit."""
    limited = Call(
        dialect="chat",
        model=call.model,
        body=call.body,
        members=call.members,
        max_output_tokens=limit,
        choices=call.choices,
    )
    return quote(limited, model, price, scale, None).amount


@given(price=prices, scale=scales, limit=st.integers(1, 10_000), spendable=st.integers(0, 10**7))
def test_a_client_s_own_limit_is_never_lowered(price: Price, scale: int, limit: int, spendable: int) -> None:
    """Who named a limit is quoted it whether it can be paid or not."""
    call, model = call_of(max_tokens=limit), model_of(price)
    assert quote(call, model, price, scale, spendable) == quote(call, model, price, scale, None)


@given(price=prices, small=st.integers(1, 100), more=st.integers(1, 100))
def test_more_output_never_costs_less(price: Price, small: int, more: int) -> None:
    """A quote grows with the limit and with the number of choices."""
    assume(price.rates.output)
    model = model_of(price)

    def amount(limit: int, choices: int) -> int:
        return quote(call_of(max_tokens=limit, n=choices), model, price, LIST_PRICE, None).amount

    assert amount(small, 1) <= amount(small + more, 1)
    assert amount(small, 2) >= amount(small, 1)


@pytest.mark.parametrize(
    "fields", [("max_tokens", "max_completion_tokens"), ("max_completion_tokens", "max_tokens")]
)
def test_of_two_limits_the_larger_is_held_for(fields: tuple[str, str]) -> None:
    """An upstream may go by either name, so a small one can't hide a large one."""
    price = Price(rates=Rates(output=10_000))
    both = call_of(**dict(zip(fields, (1, 1_000), strict=True)))
    large = call_of(max_tokens=1_000)
    model = model_of(price)
    assert (
        quote(both, model, price, LIST_PRICE, None).amount
        == quote(large, model, price, LIST_PRICE, None).amount
    )


def test_a_tier_that_the_prompt_can_reach_is_held_for() -> None:
    """The dearest tier within the prompt's bound prices the quote, one beyond the window does not."""
    price = Price(rates=Rates(input=1_000), tiers=((50, Rates(input=9_000)), (128_000, Rates(input=10**9))))
    small, large = call_of(""), call_of("x" * 500)
    amounts = [quote(call, model_of(price), price, LIST_PRICE, None).amount for call in (small, large)]
    assert amounts == [9 * len(small.body), 9 * len(large.body)]


def test_a_model_that_draws_is_held_for_at_the_price_of_pictures() -> None:
    """Where output can be an image, its tokens are held for at the dearer rate."""
    price = Price(rates=Rates(output=1_000, image_out=30_000))
    model = structs.replace(model_of(price), output_modalities=("text", "image"))
    offer = quote(call_of(max_tokens=100, modalities=["text", "image"]), model, price, LIST_PRICE, None)
    assert offer.amount >= cost_nano(Usage(image_out=100), price)


def test_the_payer_s_own_price_is_quoted() -> None:
    """Half the list price is half the hold, rounded up once."""
    price = Price(rates=Rates(per_call=3_001))
    amounts = [
        quote(call_of(), model_of(price), price, scale, 0).amount
        for scale in (LIST_PRICE, LIST_PRICE // 2, 0)
    ]
    assert amounts == [4, 2, 0]
