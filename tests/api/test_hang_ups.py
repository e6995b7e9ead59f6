"""Hang-ups: whoever leaves pays for the input and for what was delivered, once, and frees the upstream."""

import asyncio
import time
from typing import Any

import pytest

from tests.api.conftest import Gateway
from tests.api.customers import INPUT, OUTPUT, REQUEST, STREAMED, Customer, HangUp, tokens
from tests.fakes import CUT, STALL, FakeUpstream, Reply, chat_chunks, error, events, stream
from tests.torture.crowd import most_cost

CLOSED_WITHIN = 0.1

pytestmark = pytest.mark.usefixtures("in_order")


async def closed_in_time(upstream: FakeUpstream, left_at: float) -> None:
    """The upstream loses its client soon after ours left."""
    await asyncio.wait_for((await upstream.arrived()).gone.wait(), 5)
    assert time.monotonic() - left_at < CLOSED_WITHIN


@pytest.mark.parametrize("request_", [REQUEST, STREAMED], ids=["whole", "streamed"])
async def test_leaving_before_the_upstream_answers_costs_nothing(
    gateway: Gateway, upstream: FakeUpstream, rich: Customer, request_: dict[str, Any]
) -> None:
    """Before the upstream's head nothing was delivered: the hold is voided, the connection closed."""
    upstream.serve(Reply(before=(STALL,)))
    async with HangUp(gateway, rich, request_) as client:
        await upstream.arrived()
        await closed_in_time(upstream, client.leave())
    assert await rich.paid() == 0
    row = await rich.row()
    assert (row["status"], row["error"], row["cost_nano"]) == (499, "client_left", 0)


async def test_leaving_before_the_first_token_costs_the_input(
    gateway: Gateway, upstream: FakeUpstream, rich: Customer
) -> None:
    """Once the upstream has begun to answer the input is paid for."""
    upstream.serve(stream(b": thinking\n\n", STALL))
    async with HangUp(gateway, rich, STREAMED) as client:
        await client.read_events(1)
        await closed_in_time(upstream, client.leave())
        size = len(client.body)
    assert await rich.paid() == tokens(size) * INPUT
    row = await rich.row()
    assert (row["status"], row["output"], row["estimated"]) == (499, 0, 1)


@pytest.mark.parametrize("words", [1, 2, 20])
async def test_leaving_in_mid_stream_costs_input_and_what_was_delivered(
    gateway: Gateway, upstream: FakeUpstream, rich: Customer, words: int
) -> None:
    """Who leaves after some words pays for the input and for these."""
    pieces = ["word after word "] * words
    upstream.serve(stream(*events(*chat_chunks(pieces)[: words + 1], done=False), STALL))
    async with HangUp(gateway, rich, STREAMED) as client:
        await client.read_events(words + 1)
        await closed_in_time(upstream, client.leave())
        size = len(client.body)
    row = await rich.row()
    assert (row["input"], row["output"], row["estimated"]) == (tokens(size), tokens(16 * words), 1)
    assert await rich.paid() == row["input"] * INPUT + row["output"] * OUTPUT


async def test_what_was_delivered_is_never_charged_above_the_hold(
    gateway: Gateway, upstream: FakeUpstream, rich: Customer
) -> None:
    """An upstream that goes on beyond the limit is not paid for by the caller who left."""
    upstream.serve(stream(*events(*chat_chunks(["x" * 30_000])[:2], done=False), STALL))
    async with HangUp(gateway, rich, STREAMED) as client:
        await client.read_events(2)
        client.leave()
        held = most_cost(gateway, client.body)
    assert await rich.paid() == held


async def test_leaving_just_before_the_usage_costs_what_was_delivered(
    gateway: Gateway, upstream: FakeUpstream, rich: Customer
) -> None:
    """An answer that was whole but for its usage is charged as it was counted here."""
    *chunks, _usage = chat_chunks(["x" * 90])
    upstream.serve(stream(*events(*chunks, done=False), STALL))
    async with HangUp(gateway, rich, STREAMED) as client:
        await client.read_events(3)
        await closed_in_time(upstream, client.leave())
        size = len(client.body)
    assert await rich.paid() == tokens(size) * INPUT + 30 * OUTPUT


async def test_leaving_just_after_the_usage_costs_what_the_upstream_said(
    gateway: Gateway, upstream: FakeUpstream, rich: Customer
) -> None:
    """Usage that has arrived counts, though the stream never came to its end."""
    chunks = chat_chunks(["x" * 90], prompt_tokens=7, completion_tokens=2)
    upstream.serve(stream(*events(*chunks, done=False), b": more\n\n", STALL))
    async with HangUp(gateway, rich, STREAMED) as client:
        await client.read_events(4)
        client.leave()
    assert await rich.paid() == 7 * INPUT + 2 * OUTPUT
    assert (await rich.row())["estimated"] == 0


async def test_leaving_a_provider_that_drains_costs_its_own_count(
    gateway: Gateway, upstream: FakeUpstream, rich: Customer
) -> None:
    """With `on_disconnect = "drain"` the stream is read to its end, and its usage is charged, once."""
    gate = asyncio.Event()
    first, *rest = events(*chat_chunks(["x" * 90, "y" * 90], prompt_tokens=7, completion_tokens=2))
    upstream.serve(error(529), stream(first, gate, *rest))
    async with HangUp(gateway, rich, {**STREAMED, "model": "team/two"}) as client:
        await client.read_events(1)
        client.leave()
    database = gateway.assembly.database
    await asyncio.sleep(0.1)  # so that the leaving is noticed before the rest comes
    await database.flush()
    assert await database.read("SELECT count(*) FROM holds") == [(1,)]
    gate.set()
    assert await rich.paid() == 7 * INPUT + 2 * OUTPUT
    assert not (await upstream.arrived(2)).gone.is_set()
    row = await rich.row()
    assert (row["status"], row["error"], row["estimated"]) == (499, "client_left", 0)


async def test_draining_a_stream_that_breaks_costs_what_was_delivered(
    gateway: Gateway, upstream: FakeUpstream, rich: Customer
) -> None:
    """A drained stream that is cut is charged like any that is."""
    gate = asyncio.Event()
    first, second, *_ = events(*chat_chunks(["x" * 90]))
    upstream.serve(error(529), stream(first, gate, second, CUT))
    async with HangUp(gateway, rich, {**STREAMED, "model": "team/two"}) as client:
        await client.read_events(1)
        client.leave()
        size = len(client.body)
    await asyncio.sleep(0.1)
    gate.set()
    paid = await rich.paid()
    assert tokens(size) * INPUT <= paid <= tokens(size) * INPUT + 30 * OUTPUT


async def test_a_hang_up_and_a_shut_down_at_once_settle_once(
    gateway: Gateway, upstream: FakeUpstream, rich: Customer
) -> None:
    """The final cut and the client's leaving end a call together, and it is charged once."""
    upstream.serve(stream(*events(*chat_chunks(["x" * 90])[:2], done=False), STALL))
    async with HangUp(gateway, rich, STREAMED) as client:
        await client.read_events(2)
        client.leave()
        gateway.assembly.live.cut()
        size = len(client.body)
    assert await rich.paid() == tokens(size) * INPUT + 30 * OUTPUT
    await gateway.assembly.database.flush()
    assert await gateway.assembly.database.read("SELECT count(*) FROM calls") == [(1,)]
