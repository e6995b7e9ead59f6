"""Idempotency-Key through the whole gateway: one upstream call, one charge, the same answer."""

import asyncio
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.api.customers import REQUEST, STREAMED, Customer
from tests.api.whole_gateway import Gateway
from tests.fakes import CUT, FakeUpstream, Reply, body, chat_chunks, chat_completion, error, events, stream

pytestmark = pytest.mark.usefixtures("in_order")
COST = 10 * 2_500 + 5 * 10_000


def under(who: Customer, name: str) -> dict[str, str]:
    """Headers of a call of theirs under this key."""
    return who.headers | {"Idempotency-Key": name}


def held_back(gate: asyncio.Event) -> Reply:
    """An answer that waits."""
    return replace(body(chat_completion()), before=(gate,))


async def sent(
    gateway: Gateway,
    headers: dict[str, str],
    request: dict[str, Any] = REQUEST,
    path: str = "/v1/chat/completions",
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer."""
    async with gateway.call(path, data=json.dumps(request).encode(), headers=headers) as response:
        headers = {name.lower(): value for name, value in response.headers.items()}
        return response.status, headers, await response.read()


async def test_the_same_again_is_answered_the_same_and_charged_once(
    gateway: Gateway, upstream: FakeUpstream, rich: Customer
) -> None:
    """The second answer is the first one's bytes, says so, costs nothing, and no provider hears of it."""
    upstream.serve(body(chat_completion("first")), body(chat_completion("second")))
    one = await sent(gateway, under(rich, "a"))
    two = await sent(gateway, under(rich, "a"))
    assert (one[0], one[2]) == (two[0], two[2])
    assert b"first" in two[2]
    assert "idempotent-replayed" not in one[1]
    assert two[1]["idempotent-replayed"] == "true"
    assert (one[1]["x-tokligence-cost"], two[1]["x-tokligence-cost"]) == ("0.000075", "0")
    assert one[1]["x-request-id"] != two[1]["x-request-id"]
    assert two[1]["content-type"] == one[1]["content-type"]
    assert len(upstream.received) == 1
    assert await rich.paid() == COST
    assert await gateway.rows() == [(200, None, "fake", 1, 10, 5, COST), (200, None, None, 0, 0, 0, 0)]


async def test_another_key_is_another_call(gateway: Gateway, upstream: FakeUpstream, rich: Customer) -> None:
    """The name of a key is all that makes it; each API key has its own, also where one account has both."""
    upstream.serve(body(chat_completion()))
    other = await gateway.new_key()
    await sent(gateway, under(rich, "a"))
    for headers in (
        under(rich, "b"),
        rich.headers,
        under(rich, "a") | {"Authorization": f"Bearer {other}"},
    ):
        status, answered, _ = await sent(gateway, headers)
        assert (status, answered.get("idempotent-replayed")) == (200, None)
    assert len(upstream.received) == 4


@pytest.mark.parametrize(
    ("path", "request_body", "kind"),
    [
        ("/v1/chat/completions", REQUEST | {"temperature": 1}, "invalid_request_error"),
        ("/v1/messages", REQUEST, "invalid_request_error"),
    ],
)
async def test_another_request_under_a_used_key(
    gateway: Gateway,
    upstream: FakeUpstream,
    rich: Customer,
    path: str,
    request_body: dict[str, Any],
    kind: str,
) -> None:
    """It is refused with 422 in the client's dialect, whether the first is answered yet or not."""
    gate = asyncio.Event()
    upstream.serve(held_back(gate))
    running = asyncio.ensure_future(sent(gateway, under(rich, "a")))
    await upstream.arrived()
    for _ in range(2):
        status, _, answer = await sent(gateway, under(rich, "a"), request_body, path)
        told = json.loads(answer)["error"]
        assert (status, told["type"]) == (422, kind)
        assert told.get("code") in {"idempotency_key_reused", None}
        gate.set()
        await running
    assert len(upstream.received) == 1
    assert await rich.paid() == COST


async def test_many_at_once(gateway: Gateway, upstream: FakeUpstream, rich: Customer) -> None:
    """Of fifty at one moment one is served; the others are told to wait, and then get its answer."""
    gate = asyncio.Event()
    upstream.serve(held_back(gate))
    told: asyncio.Queue[tuple[int, dict[str, str], bytes]] = asyncio.Queue()

    async def ask() -> None:
        told.put_nowait(await sent(gateway, under(rich, "a")))

    calls = [asyncio.ensure_future(ask()) for _ in range(50)]
    refused = [await told.get() for _ in range(49)]
    assert Counter(status for status, _, _ in refused) == {409: 49}
    for _, headers, answer in refused:
        assert json.loads(answer)["error"]["code"] == "idempotency_in_flight"
        assert headers["retry-after"] == "1"
    gate.set()
    status, _, served = await told.get()
    await asyncio.gather(*calls)
    assert status == 200
    again = await asyncio.gather(*[sent(gateway, under(rich, "a")) for _ in range(50)])
    assert {answer for _, _, answer in again} == {served}
    assert {headers.get("idempotent-replayed") for _, headers, _ in again} == {"true"}
    assert len(upstream.received) == 1
    assert await rich.paid() == COST


@pytest.mark.parametrize(
    ("reply", "status"),
    [(error(400), 400), (error(429), 503), (error(500), 503), (Reply(parts=(b"{", CUT)), 503)],
)
async def test_an_error_leaves_the_key_free(
    gateway: Gateway, upstream: FakeUpstream, rich: Customer, reply: Reply, status: int
) -> None:
    """What failed has cost nothing, and the same call is tried anew."""
    upstream.serve(reply, body(chat_completion()))
    assert (await sent(gateway, under(rich, "a")))[0] == status
    again = await sent(gateway, under(rich, "a"))
    assert (again[0], again[1].get("idempotent-replayed")) == (200, None)
    assert (await sent(gateway, under(rich, "a")))[1]["idempotent-replayed"] == "true"
    assert len(upstream.received) == 2
    assert await rich.paid() == COST


async def test_who_hangs_up_may_ask_again(gateway: Gateway, upstream: FakeUpstream, rich: Customer) -> None:
    """A client that left before the answer finds its key free, and pays for the answer it gets."""
    upstream.serve(Reply(before=(asyncio.Event(),)), body(chat_completion()))
    leaving = asyncio.ensure_future(sent(gateway, under(rich, "a")))
    received = await upstream.arrived()
    leaving.cancel()
    await received.gone.wait()
    await gateway.assembly.lifecycle.idle()
    assert (await sent(gateway, under(rich, "a")))[0] == 200
    assert await rich.paid() == COST


async def test_refusals_leave_the_key_free(gateway: Gateway, upstream: FakeUpstream) -> None:
    """402 and 429 are no answers to keep."""
    upstream.serve(body(chat_completion()))
    poor = await Customer.with_balance(gateway, 1, "poor", requests_per_minute=2)
    assert [(await sent(gateway, under(poor, "a")))[0] for _ in range(2)] == [402, 402]
    await gateway.assembly.ledger.credit(poor.account, 10**9, reference="more", note=None, actor="test")
    assert [(await sent(gateway, under(poor, "a")))[0] for _ in range(3)] == [200, 200, 429]
    assert len(upstream.received) == 1


@pytest.mark.parametrize("name", ["", "x" * 256, "caf\u00e9"])
async def test_a_bad_key(gateway: Gateway, upstream: FakeUpstream, rich: Customer, name: str) -> None:
    """It is refused with 400, naming the header."""
    status, _, answer = await sent(gateway, under(rich, name))
    told = json.loads(answer)["error"]
    assert (status, told["code"], told["param"]) == (400, "invalid_value", "Idempotency-Key")
    assert upstream.received == []


@pytest.mark.parametrize("name", ["a", "x" * 256])
async def test_streams_are_served_as_if_there_were_no_key(
    gateway: Gateway, upstream: FakeUpstream, rich: Customer, name: str
) -> None:
    """A stream is never given again, and never fails for its key."""
    upstream.serve(stream(*events(*chat_chunks())))
    for _ in range(2):
        status, headers, answer = await sent(gateway, under(rich, name), STREAMED)
        assert (status, headers.get("idempotent-replayed")) == (200, None)
        assert answer.endswith(b"data: [DONE]\n\n")
    assert len(upstream.received) == 2


async def test_the_sdk_retries_into_the_answer(
    gateway: Gateway, upstream: FakeUpstream, rich: Customer
) -> None:
    """OpenAI's SDK takes 409 as a reason to wait, and gets the answer of the call that it repeats."""
    gate = asyncio.Event()
    upstream.serve(held_back(gate))
    key = rich.headers["Authorization"].removeprefix("Bearer ")
    async with AsyncOpenAI(api_key=key, base_url=gateway.url + "/v1", max_retries=4) as client:

        async def ask() -> str | None:
            answer = await client.chat.completions.create(
                model="gpt-4o",
                messages=[{"role": "user", "content": "hi"}],
                max_tokens=100,
                extra_headers={"Idempotency-Key": "a"},
            )
            return answer.choices[0].message.content

        first = asyncio.ensure_future(ask())
        await upstream.arrived()
        second = asyncio.ensure_future(ask())
        while not await gateway.rows():  # noqa: ASYNC110 - no event tells that the second has met the first
            await asyncio.sleep(0.005)
        gate.set()
        assert await asyncio.gather(first, second) == ["Hello", "Hello"]
    assert len(upstream.received) == 1
    assert await rich.paid() == COST
