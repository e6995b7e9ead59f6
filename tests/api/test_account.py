"""What callers may see of their money: what is there, and what one call cost, line by line."""

from decimal import ROUND_CEILING, Decimal
from typing import Any

import pytest

from tests.api.conftest import Gateway
from tests.fakes import FakeUpstream, body, chat_chunks, chat_completion, error, events, stream
from tokligenced.domain import Account, Limits
from tokligenced.gateway.auth import digest

REQUEST = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 50}
USAGE = {
    "prompt_tokens": 1_001,
    "completion_tokens": 33,
    "total_tokens": 1_034,
    "prompt_tokens_details": {"cached_tokens": 400},
    "completion_tokens_details": {"reasoning_tokens": 8},
}


async def called(gateway: Gateway, **changes: Any) -> str:
    """A call's id, once its client has all of the answer."""
    async with gateway.call(json=REQUEST | changes) as response:
        await response.read()
        request_id: str = response.headers["x-request-id"]
        return request_id


async def generation(gateway: Gateway, call_id: str, key: str | None = None) -> tuple[int, Any]:
    """(status, what is told) of a call."""
    headers = {"Authorization": f"Bearer {key or gateway.key}"}
    async with gateway.get("/v1/generation", params={"id": call_id}, headers=headers) as response:
        return response.status, await response.json()


async def payer(gateway: Gateway) -> Account:
    """Who pays for `gateway.key`."""
    return gateway.assembly.directory.account("a@example.com")


def recomputed(told: Any) -> Decimal:
    """What a call costs by its own lines."""
    for line in told["lines"]:
        assert Decimal(line["amount"]) == line["count"] * Decimal(line["rate"])
    exact = sum((Decimal(line["amount"]) for line in told["lines"]), Decimal(0))
    return (exact * Decimal(told["price_factor"])).quantize(Decimal("1e-9"), ROUND_CEILING)


async def test_credits_are_what_is_there(gateway: Gateway, upstream: FakeUpstream) -> None:
    """Balance, what is held of it, and what this key has spent, right after a call."""
    upstream.serve(body(chat_completion(usage=USAGE)))
    async with gateway.call(json=REQUEST) as response:
        cost = Decimal(response.headers["x-tokligence-cost"])
    async with gateway.get("/v1/credits") as response:
        assert response.status == 200
        told = await response.json()
    assert cost > 0
    assert told == {
        "object": "credits",
        "balance": str(1000 - cost),
        "held": "0.00",
        "available": str(1000 - cost),
        "currency": "USD",
        "unlimited": False,
        "key": {"spent": str(cost), "spend_cap": None},
    }
    other = await gateway.new_key()
    async with gateway.get("/v1/credits", headers={"Authorization": f"Bearer {other}"}) as response:
        theirs = await response.json()
    assert theirs == told | {"key": {"spent": "0.00", "spend_cap": None}}


async def test_a_key_sees_its_cap_and_whether_its_payer_is_unlimited(gateway: Gateway) -> None:
    """A spend cap is shown beside what was spent, and an account that needs no balance says so."""
    directory = gateway.assembly.directory
    account = await directory.create_account("b@example.com", actor="test")
    _, key = await directory.create_key(account, name="capped", spend_cap_nano=12_500_000_000, actor="test")
    await directory.change_terms(account, unlimited=True, actor="test")
    async with gateway.get("/v1/credits", headers={"Authorization": f"Bearer {key}"}) as response:
        told = await response.json()
    assert (told["unlimited"], told["balance"]) == (True, "0.00")
    assert told["key"] == {"spent": "0.00", "spend_cap": "12.50"}


@pytest.mark.parametrize("factor", [1_000_000, 333_333, 1_250_001])
async def test_a_call_shows_its_arithmetic(gateway: Gateway, upstream: FakeUpstream, factor: int) -> None:
    """The lines of a call, times what part of the price is paid, rounded up once, are what it cost."""
    if factor != 1_000_000:
        account = await payer(gateway)
        await gateway.assembly.directory.change_terms(account, price_millionths=factor, actor="test")
    upstream.serve(body(chat_completion(usage=USAGE)))
    call_id = await called(gateway)
    status, told = await generation(gateway, call_id)
    assert status == 200
    assert recomputed(told) == Decimal(told["cost"]) + Decimal(told["shortfall"]) > 0
    assert Decimal(told["held"]) >= Decimal(told["cost"])
    assert {line["part"]: line["count"] for line in told["lines"]} == {
        "input": 601,
        "cached_input": 400,
        "output": 25,
        "reasoning": 8,
    }
    assert {line["part"]: line["rate"] for line in told["lines"]}["output"] == "0.00001"
    assert told["usage"] == {
        "prompt_tokens": 1_001,
        "completion_tokens": 33,
        "total_tokens": 1_034,
        "prompt_tokens_details": {
            "cached_tokens": 400,
            "cache_write_tokens": 0,
            "audio_tokens": 0,
            "image_tokens": 0,
        },
        "completion_tokens_details": {"reasoning_tokens": 8, "audio_tokens": 0},
    }
    assert {
        name: told[name] for name in ("object", "id", "model", "provider", "upstream_model", "endpoint")
    } == {
        "object": "generation",
        "id": call_id,
        "model": "gpt-4o",
        "provider": "fake",
        "upstream_model": "gpt-4o-2024-08-06",
        "endpoint": "chat",
    }
    assert (told["stream"], told["status"], told["error"], told["attempts"]) == (False, 200, None, 1)
    assert told["estimated"] is False
    assert told["created_at"].endswith("Z")
    assert 0 < told["first_byte_ms"] <= told["duration_ms"]


async def test_what_the_operator_pays_is_in_the_sum(gateway: Gateway, upstream: FakeUpstream) -> None:
    """Where a call cost more than was held, its lines make what the caller and the operator paid together."""
    upstream.serve(body(chat_completion(usage=USAGE | {"completion_tokens": 4_000, "total_tokens": 5_001})))
    _, told = await generation(gateway, await called(gateway, max_tokens=1))
    assert told["cost"] == told["held"]
    assert Decimal(told["shortfall"]) > 0
    assert recomputed(told) == Decimal(told["cost"]) + Decimal(told["shortfall"])


async def test_a_stream_is_told_of_once_it_is_over(gateway: Gateway, upstream: FakeUpstream) -> None:
    """The client that has read a stream to its end can ask for its cost at once."""
    upstream.serve(stream(*events(*chat_chunks(prompt_tokens=7, completion_tokens=3))))
    for _ in range(5):
        status, told = await generation(gateway, await called(gateway, stream=True))
        assert (status, told["stream"], told["usage"]["total_tokens"]) == (200, True, 10)
        assert recomputed(told) == Decimal(told["cost"]) > 0


async def test_what_was_counted_here_says_so(gateway: Gateway, upstream: FakeUpstream) -> None:
    """Where the upstream said nothing of usage the call is marked estimated, and its lines fit no less."""
    upstream.serve(body(chat_completion("x" * 60, usage=None)))
    _, told = await generation(gateway, await called(gateway))
    assert told["estimated"] is True
    assert recomputed(told) == Decimal(told["cost"]) > 0


async def test_a_refused_call_cost_nothing(gateway: Gateway, upstream: FakeUpstream) -> None:
    """A call that failed is told of with its error, without lines."""
    upstream.serve(error(400, "no such thing"))
    _, told = await generation(gateway, await called(gateway))
    assert (told["status"], told["cost"], told["lines"], told["first_byte_ms"]) == (400, "0", [], None)
    assert told["error"]


async def test_calls_of_others_are_not_there(gateway: Gateway, upstream: FakeUpstream) -> None:
    """Another payer's call is as if it were nobody's; another key of the same payer sees it."""
    upstream.serve(body(chat_completion()))
    call_id = await called(gateway)
    directory = gateway.assembly.directory
    eve = await directory.create_account("eve@example.com", actor="test")
    _, hers = await directory.create_key(eve, name="hers", actor="test")
    mine = await gateway.new_key()
    assert (await generation(gateway, call_id, mine))[0] == 200
    status, refusal = await generation(gateway, call_id, hers)
    assert (status, refusal["error"]["code"]) == (404, "not_found")
    nobodys = call_id[:-1] + ("0" if call_id[-1] != "0" else "1")
    assert await generation(gateway, nobodys, hers) == (status, refusal)


@pytest.mark.parametrize("call_id", ["req_", "x", "req_" + "0" * 27, "' OR 1=1 --", "a" * 5_000, "☂", "\0"])
async def test_what_is_no_id_is_not_there(gateway: Gateway, call_id: str) -> None:
    """Whatever is asked for that can't be a call's id is a plain 404."""
    status, refusal = await generation(gateway, call_id)
    assert (status, refusal["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["/v1/generation", "/v1/generation?id=", "/v1/generation?ID=req_1"])
async def test_an_id_is_needed(gateway: Gateway, path: str) -> None:
    """Without an id the answer says that it is missing."""
    async with gateway.get(path) as response:
        assert response.status == 400
        refusal = (await response.json())["error"]
    assert (refusal["code"], refusal["param"]) == ("missing_required_parameter", "id")


@pytest.mark.parametrize("path", ["/v1/credits", "/v1/generation?id=req_1", "/v1/generation"])
async def test_nobody_is_told_without_a_key(gateway: Gateway, path: str) -> None:
    """Money is nobody else's business."""
    async with gateway.get(path, headers={}) as response:
        assert response.status == 401
    async with gateway.get(path) as response:
        assert response.headers["x-request-id"].startswith("req_")
        assert int(response.headers["X-RateLimit-Remaining"]) >= 0


async def test_new_terms_reach_a_key_in_use(gateway: Gateway) -> None:
    """What an administrator sets is what the next request of an old key meets."""
    directory = gateway.assembly.directory
    account = await payer(gateway)
    org = await directory.create_organization("acme", owner_email=account.email, actor="test")
    _, key = await directory.create_key(org, name="ours", actor="test")
    await directory.change_terms(org, unlimited=True, limits={"concurrency": 3}, actor="test")
    principal = directory.principal(digest(key))
    assert principal is not None
    assert principal.payer.unlimited
    async with gateway.get("/v1/credits", headers={"Authorization": f"Bearer {key}"}) as response:
        assert (await response.json())["unlimited"] is True
    assert directory.organization("acme").limits == Limits(concurrency=3)
