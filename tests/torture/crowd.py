"""Many clients at one moment on money or a limit for few: exactly the few pass."""

import asyncio
import json
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.api.whole_gateway import Gateway, running
from tests.fakes import FakeUpstream, Reply, chat_completion
from tests.torture.audit import broken
from tests.torture.report import Part
from tests.torture.victim import load_average
from tokligenced.clock import SystemClock
from tokligenced.dialects import chat
from tokligenced.domain import LIST_PRICE, Account, Limits
from tokligenced.gateway.pricing import price_at
from tokligenced.gateway.quotes import quote

BODY = json.dumps(
    {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 100}
).encode()
_ENOUGH = {"requests_per_minute": 10**6, "tokens_per_minute": 10**12, "concurrency": 10**6}


def most_cost(gateway: Gateway, body: bytes) -> int:
    """What is held for a call with this body by who can afford it; nano-USD."""
    call = chat.parse(body)
    model = gateway.assembly.front.router.catalog.names[call.model]
    price = price_at(model, 0)
    assert price is not None
    return quote(call, model, price, LIST_PRICE, None).amount


async def customer(gateway: Gateway, name: str, amount: int, **limits: int) -> tuple[Account, str]:
    """A fresh account with so much balance, and a key of it that only `limits` bound."""
    account = await gateway.assembly.directory.create_account(f"{name}@example.com", actor="test")
    if amount:
        await gateway.assembly.ledger.credit(account, amount, reference=name, note=None, actor="test")
    _, key = await gateway.assembly.directory.create_key(
        account, name=name, limits=Limits(**_ENOUGH | limits), actor="test"
    )
    return account, key


async def on_money_for(
    gateway: Gateway, upstream: FakeUpstream, name: str, *, clients: int, calls: int
) -> None:
    """`clients` at once on a balance for exactly `calls`; raises `AssertionError` unless so many pass."""
    account, key = await customer(gateway, name, calls * most_cost(gateway, BODY))
    told = await _all_at_once(gateway, upstream, key, clients=clients, pass_=calls)
    assert told == {"passed": calls, "insufficient_balance": clients - calls}
    balance = gateway.assembly.ledger.balance(account)
    assert balance.held == 0
    assert balance.balance > 0


async def on_a_limit_of(
    gateway: Gateway, upstream: FakeUpstream, name: str, *, clients: int, limit: int
) -> None:
    """`clients` at one moment on `limit` requests a minute; raises `AssertionError` unless exactly they pass.

    The gateway's clock must stand still meanwhile, for a limit of 60 lets one more in each second.
    """
    _, key = await customer(gateway, name, 10**12, requests_per_minute=limit)
    told = await _all_at_once(gateway, upstream, key, clients=clients, pass_=limit)
    assert told == {"passed": limit, "requests_per_minute": clients - limit}


async def _all_at_once(
    gateway: Gateway, upstream: FakeUpstream, key: str, *, clients: int, pass_: int
) -> Counter[str]:
    """How many were told what; those who pass are answered when all others have been refused."""
    gate, refused = asyncio.Event(), asyncio.Event()
    answer = json.dumps(chat_completion()).encode()
    upstream.serve(Reply(before=(gate,), headers={"Content-Type": "application/json"}, parts=(answer,)))
    before = len(upstream.received)
    told: Counter[str] = Counter()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    async def one() -> None:
        async with gateway.call(data=BODY, headers=headers) as response:
            answer = await response.json()
            told["passed" if response.status == 200 else answer["error"]["code"]] += 1
        if told.total() >= clients - pass_:
            refused.set()

    calling = asyncio.gather(*[one() for _ in range(clients)])
    await asyncio.wait_for(refused.wait(), 60)
    await asyncio.wait_for(upstream.arrived(before + pass_), 10)
    assert len(upstream.received) == before + pass_, "more were sent upstream than may pass"
    gate.set()
    await calling
    return told


async def run(folder: Path, *, rounds: int = 100, limit_rounds: int = 20) -> Part:
    """So many rounds of 1,000 clients on money for 10 calls, and of 200 on a limit of 60 a minute."""
    part = Part(name="parallel")
    began = time.monotonic()
    async with FakeUpstream() as upstream, running(upstream, folder) as gateway:
        for number in range(rounds):
            try:
                await on_money_for(gateway, upstream, f"money{number}", clients=1_000, calls=10)
            except AssertionError as broken_promise:
                part.violations.append(f"round {number} of money: {broken_promise}")
        with pytest.MonkeyPatch.context() as patch:
            now = time.monotonic()
            patch.setattr(SystemClock, "monotonic", lambda _clock: now)
            for number in range(limit_rounds):
                try:
                    await on_a_limit_of(gateway, upstream, f"limit{number}", clients=200, limit=60)
                except AssertionError as broken_promise:
                    part.violations.append(f"round {number} of limits: {broken_promise}")
        await gateway.assembly.database.flush()
        ((holds,),) = await gateway.assembly.database.read("SELECT count(*) FROM holds")
        part.expect(holds == 0, f"{holds} holds are left open")
        part.violations += broken(gateway.assembly.database.path)
    part.show(
        rounds_of_1000_clients_on_money_for_10=rounds,
        rounds_of_200_clients_on_a_limit_of_60=limit_rounds,
        seconds=f"{time.monotonic() - began:.1f}",
        load_average=load_average(),
    )
    return part
