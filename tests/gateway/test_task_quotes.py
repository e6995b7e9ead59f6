"""Quotes of embeddings, images and rankings: no usage that their requests allow costs more than is held."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tests.gateway.test_quotes import TEXT_IN, model_of, prices, scales, shared_out
from tokligenced.dialects import embeddings, images, rerank
from tokligenced.domain import Call, Model, Price, Rates, Usage
from tokligenced.gateway.pricing import cost_nano, estimated_usage, expected_tokens
from tokligenced.gateway.quotes import quote

AROUND = 32  # tokens that a model puts around a text

texts = st.lists(st.text(min_size=1, max_size=2_000), min_size=1, max_size=20)
windows = st.integers(1, 10_000)
spendables = st.none() | st.integers(0, 10**13)


def embeddings_of(given_input: object) -> Call:
    """A call for embeddings as the gateway reads it off the wire."""
    return embeddings.parse(json.dumps({"model": "m", "input": given_input}).encode())


def ranking_of(query: str, documents: list[str], **members: Any) -> Call:
    """A call for a ranking."""
    body = {"model": "m", "query": query, "documents": documents, **members}
    return rerank.parse(json.dumps(body).encode())


def images_of(**members: Any) -> Call:
    """A call for images."""
    return images.parse(json.dumps({"model": "m", "prompt": "a cat", **members}).encode())


@given(
    data=st.data(),
    price=prices,
    scale=scales,
    given_input=texts | st.lists(st.lists(st.integers(0, 200_000), min_size=1), min_size=1, max_size=20),
    window=windows,
    spendable=spendables,
)
def test_no_embeddings_cost_more_than_is_held(
    data: st.DataObject,
    price: Price,
    scale: int,
    given_input: list[Any],
    window: int,
    spendable: int | None,
) -> None:
    """Each text takes a token a byte and a few around it, or as many as it has ids, and a window at most."""
    call, model = embeddings_of(given_input), model_of(price, window=window)
    bounds = [
        min(window, AROUND + len(each if isinstance(each, list) else each.encode())) for each in given_input
    ]
    usage = Usage(**shared_out(data, data.draw(st.integers(0, sum(bounds))), TEXT_IN))
    offer = quote(call, model, price, scale, spendable)
    assert cost_nano(usage, price, scale) <= offer.amount
    assert offer.output_limit is None
    assert expected_tokens(call, model) <= window * len(given_input)


@given(
    data=st.data(),
    price=prices,
    scale=scales,
    query=st.text(min_size=1, max_size=240),
    documents=texts,
    longest=st.none() | st.integers(1, 10_000),
    window=windows,
    spendable=spendables,
)
def test_no_ranking_costs_more_than_is_held(
    data: st.DataObject,
    price: Price,
    scale: int,
    query: str,
    documents: list[str],
    longest: int | None,
    window: int,
    spendable: int | None,
) -> None:
    """The query counts with each document; a unit is a hundred pieces of 500 tokens, the query included."""
    call = ranking_of(query, documents, max_tokens_per_doc=longest)
    model = model_of(price, window=window)
    asked = data.draw(st.integers(1, min(260, len(query.encode()))))
    counts = [data.draw(st.integers(0, len(each.encode()))) for each in documents]
    looked_at = [min(count, longest or 4_096) for count in counts]
    pieces = sum(max(1, -(-count // (500 - asked))) for count in looked_at)
    usage = Usage(
        **shared_out(data, sum(min(window, AROUND + asked + count) for count in counts), TEXT_IN),
        searches=-(-pieces // 100),
    )
    offer = quote(call, model, price, scale, spendable)
    assert cost_nano(usage, price, scale) <= offer.amount
    assert offer.output_limit is None


@given(
    data=st.data(),
    price=prices,
    scale=scales,
    wanted=st.integers(1, 10),
    most=st.integers(0, 10_000),
    spendable=spendables,
)
def test_no_images_cost_more_than_is_held(
    data: st.DataObject, price: Price, scale: int, wanted: int, most: int, spendable: int | None
) -> None:
    """As many images as were asked for, each with the output that the model may have."""
    call, model = images_of(n=wanted), model_of(price, most=most)
    usage = Usage(
        **shared_out(data, data.draw(st.integers(0, len("a cat") + AROUND)), TEXT_IN),
        **shared_out(data, data.draw(st.integers(0, most * wanted)), ("output", "image_out")),
        images=data.draw(st.integers(0, wanted)),
    )
    offer = quote(call, model, price, scale, spendable)
    assert cost_nano(usage, price, scale) <= offer.amount
    assert offer.output_limit is None


def test_pictures_are_held_for_one_by_one() -> None:
    """Where only images have a price, the hold is exactly theirs."""
    price = Price(rates=Rates(per_image=40_000_000_000))
    model = model_of(price)
    amounts = [quote(images_of(n=n), model, price, 1_000_000, None).amount for n in (1, 4)]
    assert amounts == [40_000_000, 160_000_000]


def test_a_hundred_short_documents_are_one_unit() -> None:
    """The bound on a ranking's units is exact where no document is long."""
    units = [ranking_of("q", ["short"] * count).search_units for count in (1, 100, 101, 1_000)]
    assert units == [1, 1, 2, 10]


def test_what_an_upstream_does_not_count_is_counted() -> None:
    """Tokens by the texts' bytes or as ids, pictures by their base64, and units as they were told."""
    told = Usage(images=2, searches=3, estimated=True)
    assert estimated_usage(embeddings_of(["abc", "abcd"]), 0) == Usage(input=3, estimated=True)
    assert estimated_usage(embeddings_of([[1, 2], [3]]), 0) == Usage(input=3, estimated=True)
    assert estimated_usage(ranking_of("abc", ["abc", "abc"]), 0, told).input == 4
    assert estimated_usage(images_of(), 300, told) == structs.replace(told, input=2, image_out=100)


def test_nothing_is_generated_where_nothing_can_be() -> None:
    """A model's limit on output neither raises the hold of embeddings nor fills the bucket of tokens."""
    price = Price(rates=Rates(input=1_000, output=10**12))
    model: Model = model_of(price, most=32_000)
    call = embeddings_of("abc")
    assert quote(call, model, price, 1_000_000, None).amount == 3 + AROUND
    assert expected_tokens(call, model) == 1
