"""Money through the whole gateway: held before anything is sent, settled exactly once however a call ends."""

import asyncio
import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.api.conftest import Gateway
from tests.api.customers import INPUT, OUTPUT, REQUEST, STREAMED, Customer, encoded, tokens
from tests.fakes import FakeUpstream, Reply, body, chat_chunks, chat_completion, error, events, stream
from tests.gateway.books import full_disk
from tests.store.test_writer import until
from tests.torture.crowd import most_cost, on_a_limit_of, on_money_for
from tokligenced.clock import SystemClock

pytestmark = pytest.mark.usefixtures("in_order")


# Holds and refusals.


async def test_of_a_thousand_clients_exactly_ten_pass(gateway: Gateway, upstream: FakeUpstream) -> None:
    """On a balance for exactly ten, ten of a thousand parallel calls pass; the rest are sent nowhere."""
    await on_money_for(gateway, upstream, "crowd", clients=1_000, calls=10)


async def test_of_two_hundred_calls_exactly_sixty_pass(
    gateway: Gateway, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a limit of sixty a minute, sixty of two hundred parallel calls pass and are held for."""
    now = time.monotonic()
    monkeypatch.setattr(SystemClock, "monotonic", lambda _clock: now)
    await on_a_limit_of(gateway, upstream, "crowd", clients=200, limit=60)
    await gateway.assembly.database.flush()
    assert await gateway.assembly.database.read("SELECT count(*) FROM calls WHERE held_nano > 0") == [(60,)]


async def test_one_nano_short_is_402(gateway: Gateway, upstream: FakeUpstream) -> None:
    """With one nano-USD less than the call may cost nothing is sent; with it the call passes."""
    upstream.serve(body(chat_completion()))
    poor = await Customer.with_balance(gateway, most_cost(gateway, encoded(REQUEST)) - 1)
    async with poor.call(REQUEST) as response:
        told = (await response.json())["error"]
        assert (response.status, told["type"]) == (402, "insufficient_quota")
        assert told["code"] == "insufficient_balance"
        assert "so 0.000000001 USD are missing" in told["message"]
    assert upstream.received == []
    await gateway.assembly.ledger.credit(poor.account, 1, reference="one", note=None, actor="test")
    assert await poor.told(REQUEST) == (200, "")


async def test_a_402_takes_nothing_of_the_limits(gateway: Gateway, upstream: FakeUpstream) -> None:
    """Who is refused for lack of money has not used up a request, tokens or a place."""
    upstream.serve(body(chat_completion()))
    limits = {"requests_per_minute": 1, "tokens_per_minute": 1_000, "concurrency": 1}
    poor = await Customer.with_balance(gateway, 1, **limits)
    for _ in range(3):
        assert await poor.told(REQUEST) == (402, "insufficient_balance")
    await gateway.assembly.ledger.credit(poor.account, 10**9, reference="more", note=None, actor="test")
    assert await poor.told(REQUEST) == (200, "")
    assert await poor.told(REQUEST) == (429, "requests_per_minute")


async def test_a_spend_cap_is_402(gateway: Gateway, upstream: FakeUpstream) -> None:
    """A key that reached its cap is refused by that name, whatever its payer has."""
    upstream.serve(body(chat_completion(prompt_tokens=10, completion_tokens=100)))
    cap = most_cost(gateway, encoded(REQUEST))
    account = gateway.assembly.directory.account("a@example.com")
    _, key = await gateway.assembly.directory.create_key(
        account, name="capped", spend_cap_nano=cap, actor="test"
    )
    capped = Customer(gateway, account, key, 10**12)
    assert await capped.told(REQUEST) == (200, "")
    assert await capped.told(REQUEST) == (402, "key_spend_cap_reached")
    assert len(upstream.received) == 1


async def test_the_affordable_limit_is_sent_upstream(gateway: Gateway, upstream: FakeUpstream) -> None:
    """Who set no limit and can't afford the model's gets as many tokens as the balance pays for."""
    upstream.serve(body(chat_completion(completion_tokens=7)))
    unlimited = {key: value for key, value in REQUEST.items() if key != "max_tokens"}
    for request in (unlimited, {**unlimited, "max_tokens": None}):
        size = len(encoded(request))
        balance = size * INPUT + 124 * OUTPUT - 1
        who = await Customer.with_balance(gateway, balance, f"poor{size}")
        assert await who.told(request) == (200, "")
        sent = upstream.received[-1].json
        assert sent["max_tokens"] == 123
        assert {**sent, "max_tokens": 0, "model": 0} == {**request, "max_tokens": 0, "model": 0}
        assert (await who.row())["held_nano"] == size * INPUT + 123 * OUTPUT


async def test_a_limit_of_one_s_own_stands(gateway: Gateway, upstream: FakeUpstream, rich: Customer) -> None:
    """Who set a limit is refused when it can't be paid, and sent no other when it can."""
    upstream.serve(body(chat_completion()))
    balance = len(encoded(REQUEST)) * INPUT + 99 * OUTPUT
    poor = await Customer.with_balance(gateway, balance, "poor")
    assert await poor.told(REQUEST) == (402, "insufficient_balance")
    assert upstream.received == []
    assert await rich.told(REQUEST) == (200, "")
    assert upstream.received[0].json["max_tokens"] == 100
    unlimited = {key: value for key, value in REQUEST.items() if key != "max_tokens"}
    assert await rich.told(unlimited) == (200, "")
    assert "max_tokens" not in upstream.received[1].json


async def test_not_even_one_token_is_402(gateway: Gateway, upstream: FakeUpstream) -> None:
    """Who can't pay for the input and one token of output is refused, limit or not."""
    unlimited = {key: value for key, value in REQUEST.items() if key != "max_tokens"}
    poor = await Customer.with_balance(gateway, len(encoded(unlimited)) * INPUT + OUTPUT - 1)
    assert await poor.told(unlimited) == (402, "insufficient_balance")
    assert upstream.received == []


async def test_no_refusal_leaves_a_hold(gateway: Gateway, upstream: FakeUpstream) -> None:
    """400, 401, 402 and 429, ours or the upstream's, leave nothing held and nothing charged."""
    who = await Customer.with_balance(gateway, 10**9, requests_per_minute=6)
    upstream.serve(error(400, "no"))
    assert (await who.told(REQUEST))[0] == 400
    upstream.serve(error(429, "slow down"))
    assert (await who.told(REQUEST))[0] == 503
    assert (await who.told({**REQUEST, "model": "none"}))[0] == 400
    assert (await who.told({**REQUEST, "max_tokens": -1}))[0] == 400
    assert (await who.told({**REQUEST, "n": 10**9}))[0] == 400
    assert await who.told({**REQUEST, "max_tokens": 4096, "n": 100}) == (402, "insufficient_balance")
    for _ in range(10):
        last = await who.told(REQUEST)
    assert last == (429, "requests_per_minute")
    stranger = Customer(gateway, who.account, "tk-" + "0" * 36, 10**9)
    assert (await stranger.told(REQUEST))[0] == 401
    assert await who.paid() == 0


# Usage.


def answered(request: dict[str, Any], usage: object) -> Reply:
    """An answer of 300 bytes of text with this usage, streamed or not."""
    text = "x" * 300
    if not request.get("stream"):
        return body(chat_completion(text, usage=usage))
    *chunks, last = chat_chunks([text])
    return stream(*events(*chunks, {**last, "usage": usage}))


@pytest.mark.parametrize("request_", [REQUEST, STREAMED], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("usage", "alerted"),
    [
        pytest.param(None, False, id="missing"),
        pytest.param({}, False, id="empty"),
        pytest.param({"prompt_tokens": -1, "completion_tokens": 5}, True, id="negative"),
        pytest.param({"prompt_tokens": 1, "completion_tokens": 10**12}, True, id="absurd"),
        pytest.param({"prompt_tokens": 128_001, "completion_tokens": 5}, True, id="beyond the window"),
        pytest.param({"prompt_tokens": 10, "completion_tokens": 1e300}, True, id="huge"),
        pytest.param({"prompt_tokens": "many", "completion_tokens": 5}, True, id="text"),
        pytest.param({"prompt_tokens": [1], "completion_tokens": {}}, True, id="no numbers"),
        pytest.param("a lot", True, id="no object"),
        pytest.param({"prompt_tokens": True, "completion_tokens": 5}, True, id="truth"),
    ],
)
async def test_usage_that_can_t_be_is_counted_here(
    upstream: FakeUpstream, rich: Customer, request_: dict[str, Any], usage: object, alerted: bool
) -> None:
    """Without usage to believe the answer passes and is counted here; operators hear of lies."""
    upstream.serve(answered(request_, usage))
    with capture_logs() as logs:
        async with rich.call(request_) as response:
            assert response.status == 200
            assert b"x" * 300 in await response.read()
        row = await rich.row()
    assert (row["input"], row["output"], row["estimated"]) == (tokens(len(encoded(request_))), 100, 1)
    assert row["cost_nano"] == await rich.paid() == row["input"] * INPUT + 100 * OUTPUT
    assert bool([line for line in logs if line.get("code") == "usage_disbelieved"]) == alerted


@pytest.mark.parametrize("request_", [REQUEST, STREAMED], ids=["whole", "streamed"])
async def test_an_explicit_zero_is_zero(
    upstream: FakeUpstream, rich: Customer, request_: dict[str, Any]
) -> None:
    """An upstream that says it counted nothing is taken at its word."""
    upstream.serve(answered(request_, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}))
    async with rich.call(request_) as response:
        await response.read()
    row = await rich.row()
    assert (row["estimated"], row["cost_nano"], row["shortfall_nano"]) == (0, 0, 0)
    assert await rich.paid() == 0


@pytest.mark.parametrize("request_", [REQUEST, STREAMED], ids=["whole", "streamed"])
async def test_usage_above_the_hold_is_the_operator_s(
    gateway: Gateway, upstream: FakeUpstream, rich: Customer, request_: dict[str, Any]
) -> None:
    """The caller pays the hold, what is beyond it goes to the shortfall, and the row tells both."""
    upstream.serve(answered(request_, {"prompt_tokens": 100_000, "completion_tokens": 5_000}))
    async with rich.call(request_) as response:
        await response.read()
    row = await rich.row()
    held = most_cost(gateway, encoded(request_))
    assert await rich.paid() == row["cost_nano"] == row["held_nano"] == held
    assert row["shortfall_nano"] == 100_000 * INPUT + 5_000 * OUTPUT - held
    assert row["estimated"] == 0
    ((short,),) = await gateway.assembly.database.read(
        "SELECT balance FROM balances WHERE owner = 'operator:shortfall'"
    )
    assert short == -row["shortfall_nano"]


async def test_a_whole_answer_says_what_was_charged(upstream: FakeUpstream, rich: Customer) -> None:
    """The cost in the answer's header is what is gone from the balance, exactly."""
    upstream.serve(body(chat_completion(prompt_tokens=11, completion_tokens=3)))
    async with rich.call(REQUEST) as response:
        assert response.headers["x-tokligence-cost"] == "0.0000575"
    assert await rich.paid() == 57_500


# A database that refuses.


async def test_a_full_disk_refuses_new_calls_and_settles_old_ones(
    gateway: Gateway, upstream: FakeUpstream, rich: Customer
) -> None:
    """While nothing can be written new calls are 503 within a second; running ones end, and all recovers."""
    database = gateway.assembly.database
    gate = asyncio.Event()
    first, *rest = events(*chat_chunks(prompt_tokens=7, completion_tokens=2))
    upstream.serve(stream(first, gate, *rest), body(chat_completion(prompt_tokens=1, completion_tokens=1)))
    async with rich.call(STREAMED) as running:
        await running.content.readuntil(b"\n\n")
        await database.flush()
        with full_disk(database.path):
            for _ in range(3):
                began = time.monotonic()
                async with rich.call(REQUEST) as refused:
                    told = (await refused.json())["error"]
                    assert (refused.status, told["type"]) == (503, "service_unavailable")
                    assert told["code"] == "ledger_unavailable"
                    assert 1 <= int(refused.headers["Retry-After"]) <= 60
                assert time.monotonic() - began < 1
            assert len(upstream.received) == 1
            gate.set()
            assert (await running.read()).endswith(b"data: [DONE]\n\n")
    await database.flush()
    await until(lambda: database.accepting)
    assert await rich.paid() == 7 * INPUT + 2 * OUTPUT
    assert await rich.told(REQUEST) == (200, "")
    assert await rich.paid() == 8 * INPUT + 3 * OUTPUT
