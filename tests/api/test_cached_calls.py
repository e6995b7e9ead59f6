"""The cache through the whole gateway: the same bytes, marked, at a share of the price, for one payer."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.api.customers import Customer
from tests.api.whole_gateway import CONFIG, Gateway, running
from tests.fakes import CUT, FakeUpstream, body, chat_chunks, chat_completion, error, events, stream
from tests.torture.audit import broken

SETTINGS = (
    CONFIG
    + """
[cache]
enabled = true
share = "{share}"
[endpoints]
embeddings = true
[models.free]
context_window = 128_000
max_output_tokens = 4096
free = true
deployments = [{{ provider = "fake", model = "free" }}]
[models.embedder]
context_window = 8192
max_output_tokens = 0
price = {{ input = "1.00", output = "0" }}
deployments = [{{ provider = "fake", model = "text-embedding-3-small" }}]
"""
)
REQUEST: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "hi"}],
    "max_tokens": 100,
    "temperature": 0,
}
STREAMED = {**REQUEST, "stream": True}
COST = 10 * 2_500 + 5 * 10_000

Start = Callable[..., AbstractAsyncContextManager[Gateway]]
Told = tuple[int, dict[str, str], bytes]


@pytest.fixture
def start(upstream: FakeUpstream, tmp_path: Path) -> Start:
    """Starts a gateway that caches at a share of the price."""

    def started(share: str = "0") -> AbstractAsyncContextManager[Gateway]:
        settings = SETTINGS.format(folder=tmp_path, url=upstream.url, share=share)
        return running(upstream, tmp_path, settings=settings)

    return started


@pytest.fixture
async def caching(start: Start) -> AsyncIterator[Gateway]:
    """A gateway whose cached answers are free; at its end nothing is held and the books are in order."""
    async with start() as gateway:
        yield gateway
        await in_order(gateway)


async def in_order(gateway: Gateway) -> None:
    """Nothing is held, nothing is lost, and the books are right."""
    database = gateway.assembly.database
    await gateway.assembly.lifecycle.idle()
    await database.flush()
    assert broken(database.path) == []
    assert await database.read("SELECT call_id FROM holds") == []
    assert database.lost == 0


async def told(
    gateway: Gateway, request: dict[str, Any], path: str = "/v1/chat/completions", **headers: str
) -> Told:
    """Status, headers and body of the answer to a call with the gateway's own key."""
    headers = {"Authorization": f"Bearer {gateway.key}", "Content-Type": "application/json"} | headers
    async with gateway.call(path, data=json.dumps(request).encode(), headers=headers) as response:
        given = {name.lower(): value for name, value in response.headers.items()}
        return response.status, given, await response.read()


def marks(answers: list[Told]) -> list[str | None]:
    """What each answer says of the cache."""
    return [headers.get("x-tokligence-cache") for _, headers, _ in answers]


@pytest.mark.parametrize("request_body", [REQUEST, {**REQUEST, "model": "gpt", "temperature": 1, "seed": 5}])
async def test_the_same_again_comes_out_of_the_cache(
    caching: Gateway, upstream: FakeUpstream, request_body: dict[str, Any]
) -> None:
    """The second answer is the first one's bytes, is marked, and is booked with its usage and no cost."""
    upstream.serve(body(chat_completion("first")), body(chat_completion("second")))
    one, two = [await told(caching, request_body) for _ in range(2)]
    assert marks([one, two]) == ["miss", "hit"]
    assert (one[0], one[2]) == (two[0], two[2]) == (200, one[2])
    assert two[1]["content-type"] == one[1]["content-type"]
    assert (two[1]["x-tokligence-provider"], two[1]["x-tokligence-attempts"]) == ("cache", "0")
    assert two[1]["x-tokligence-cost"] == "0"
    assert len(upstream.received) == 1
    assert await caching.rows() == [(200, None, "fake", 1, 10, 5, COST), (200, None, "cache", 0, 10, 5, 0)]


async def test_a_stream_comes_out_of_the_cache_as_a_stream(caching: Gateway, upstream: FakeUpstream) -> None:
    """Every event is there, in its order, up to [DONE]; what was not streamed is another answer."""
    gate = asyncio.Event()
    gate.set()
    chunks = events(*chat_chunks(["a", "b", "c"]))
    upstream.serve(stream(chunks[0], gate, *chunks[1:]), body(chat_completion()))
    answers = [await told(caching, each) for each in (STREAMED, STREAMED, REQUEST, STREAMED)]
    assert marks(answers) == ["miss", "hit", "miss", "hit"]
    assert answers[0][2] == answers[1][2] == answers[3][2]
    assert answers[1][2].endswith(b"data: [DONE]\n\n")
    assert answers[1][1]["content-type"] == answers[0][1]["content-type"]
    assert [row[2] for row in await caching.rows()] == ["fake", "cache", "fake", "cache"]


async def test_messages_and_embeddings_too(caching: Gateway, upstream: FakeUpstream) -> None:
    """Translated answers are cached as the client got them, embeddings without a word about temperature."""
    vectors = {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
        "model": "e",
    }
    upstream.serve(
        body(chat_completion()), body(vectors | {"usage": {"prompt_tokens": 2, "total_tokens": 2}})
    )
    for path, request in (
        ("/v1/messages", REQUEST),
        ("/v1/embeddings", {"model": "embedder", "input": "hi"}),
    ):
        one, two = [await told(caching, request, path) for _ in range(2)]
        assert marks([one, two]) == ["miss", "hit"]
        assert one[2] == two[2]
    assert len(upstream.received) == 2


async def test_a_dialect_has_answers_of_its_own(caching: Gateway, upstream: FakeUpstream) -> None:
    """A body that two dialects read is two requests."""
    upstream.serve(body(chat_completion()))
    answers = [await told(caching, REQUEST, path) for path in ("/v1/chat/completions", "/v1/messages")]
    assert marks(answers) == ["miss", "miss"]


async def test_a_share_of_the_price(start: Start, upstream: FakeUpstream) -> None:
    """A cached answer is held, charged and told of at its share, rounded up once, of what the payer pays."""
    upstream.serve(body(chat_completion()))
    async with start("0.1") as gateway:
        rich = await Customer.with_balance(gateway, 10**9, "rich")
        await gateway.assembly.directory.change_terms(rich.account, price_millionths=500_000, actor="test")
        for cost in (COST // 2, COST // 20):
            async with rich.call(REQUEST) as response:
                assert response.headers["x-tokligence-cost"] == f"{cost / 10**9:.9f}".rstrip("0")
        assert await rich.paid() == COST // 2 + COST // 20
        row = await rich.row()
        assert (row["cost_nano"], row["held_nano"], row["shortfall_nano"]) == (COST // 20, COST // 20, 0)
        await in_order(gateway)


async def test_who_can_not_pay_the_share_gets_nothing(start: Start, upstream: FakeUpstream) -> None:
    """A cap or a balance bounds cached answers as it does all others, to the nano-USD."""
    upstream.serve(body(chat_completion()))
    async with start("1") as gateway:
        rich = await Customer.with_balance(gateway, 10**9, "rich")
        assert await rich.told(REQUEST) == (200, "")
        for cap, status in ((COST - 1, 402), (COST, 200)):
            _, key = await gateway.assembly.directory.create_key(
                rich.account, name="capped", spend_cap_nano=cap, actor="test"
            )
            assert (await told(gateway, REQUEST, Authorization=f"Bearer {key}"))[0] == status
        assert await rich.paid() == 2 * COST
        await in_order(gateway)


async def test_free_models_are_cached_too(caching: Gateway, upstream: FakeUpstream) -> None:
    """There is nothing to hold or charge."""
    upstream.serve(body(chat_completion()))
    answers = [await told(caching, {**REQUEST, "model": "free"}) for _ in range(2)]
    assert marks(answers) == ["miss", "hit"]


async def test_limits_hold_for_cached_answers(caching: Gateway, upstream: FakeUpstream) -> None:
    """A hit takes a request and its tokens like any call, and is refused when they are used up."""
    upstream.serve(body(chat_completion()))
    key = await caching.new_key(requests_per_minute=2)
    bearer = {"Authorization": f"Bearer {key}"}
    answers = [await told(caching, REQUEST, **bearer) for _ in range(3)]
    assert [status for status, _, _ in answers] == [200, 200, 429]
    assert marks(answers)[:2] == ["miss", "hit"]
    assert answers[1][1]["x-ratelimit-remaining-requests"] == "0"


async def test_never_across_accounts(caching: Gateway, upstream: FakeUpstream) -> None:
    """Another account's key gets an answer of its own; another key of the account gets the cached one."""
    upstream.serve(body(chat_completion()))
    await told(caching, REQUEST)
    own = await told(caching, REQUEST, Authorization=f"Bearer {await caching.new_key()}")
    stranger = await Customer.with_balance(caching, 10**9, "stranger")
    other = await told(caching, REQUEST, Authorization=stranger.headers["Authorization"])
    assert marks([own, other]) == ["hit", "miss"]


async def test_a_key_that_may_not_use_the_model_gets_no_cached_answer(
    caching: Gateway, upstream: FakeUpstream
) -> None:
    """What another key of the account may use does not open it to this one."""
    upstream.serve(body(chat_completion()))
    await told(caching, REQUEST)
    key = await caching.new_key(models=frozenset({"free"}))
    status, headers, answer = await told(caching, REQUEST, Authorization=f"Bearer {key}")
    assert (status, json.loads(answer)["error"]["code"]) == (400, "model_not_allowed")
    assert "x-tokligence-cache" not in headers


@pytest.mark.parametrize(
    ("said", "seen"),
    [("no-store", [None, None, "miss"]), ("no-cache", ["miss", "miss", "hit"])],
)
async def test_clients_may_say_no(
    caching: Gateway, upstream: FakeUpstream, said: str, seen: list[str | None]
) -> None:
    """Cache-Control: no-store takes no part at all, no-cache asks anew."""
    upstream.serve(*[body(chat_completion(str(number))) for number in range(3)])
    control = {"Cache-Control": said}
    answers = [await told(caching, REQUEST, **headers) for headers in (control, control, {})]
    assert marks(answers) == seen


async def test_errors_and_broken_answers_are_not_kept(caching: Gateway, upstream: FakeUpstream) -> None:
    """What failed, whole or in mid-stream, is asked for anew."""
    chunks = events(*chat_chunks(), done=False)
    upstream.serve(
        error(500), body(chat_completion()), stream(*chunks[:2], CUT), stream(*events(*chat_chunks()))
    )
    whole = [await told(caching, REQUEST) for _ in range(3)]
    assert marks(whole) == ["miss", "miss", "hit"]
    assert [status for status, _, _ in whole] == [503, 200, 200]
    streams = [await told(caching, STREAMED, Connection="close") for _ in range(3)]
    assert marks(streams) == ["miss", "miss", "hit"]
    assert streams[1][2] == streams[2][2] != streams[0][2]


async def test_what_was_cut_for_want_of_money_is_not_kept(caching: Gateway, upstream: FakeUpstream) -> None:
    """An answer whose limit the balance imposed is no answer for who has more by then."""
    upstream.serve(body(chat_completion()))
    poor = await Customer.with_balance(caching, 10**7, "poor")
    request = {name: value for name, value in REQUEST.items() if name != "max_tokens"}
    assert await poor.told(request) == (200, "")
    await caching.assembly.ledger.credit(poor.account, 10**9, reference="more", note=None, actor="test")
    async with poor.call(request) as response:
        assert response.headers["x-tokligence-cache"] == "miss"
    async with poor.call(request) as response:
        assert response.headers["x-tokligence-cache"] == "hit"


async def test_who_leaves_a_cached_stream_has_had_it(caching: Gateway, upstream: FakeUpstream) -> None:
    """Nothing is left open or held, whenever the client goes."""
    upstream.serve(stream(*events(*chat_chunks())))
    await told(caching, STREAMED)
    for _ in range(3):
        response = await caching.call(
            data=json.dumps(STREAMED).encode(),
            headers={"Authorization": f"Bearer {caching.key}", "Content-Type": "application/json"},
        )
        response.close()
    await caching.assembly.lifecycle.idle()
    assert len(upstream.received) == 1


async def test_off_by_default(upstream: FakeUpstream, tmp_path: Path) -> None:
    """Without the operator's word nothing is cached, and no header speaks of it."""
    upstream.serve(body(chat_completion()))
    async with running(upstream, tmp_path) as gateway:
        answers = [await told(gateway, REQUEST) for _ in range(2)]
    assert marks(answers) == [None, None]
    assert len(upstream.received) == 2


async def test_idempotency_goes_before_the_cache(caching: Gateway, upstream: FakeUpstream) -> None:
    """A call under a key may be answered out of the cache, and is then replayed for nothing."""
    upstream.serve(body(chat_completion()))
    await told(caching, REQUEST)
    keyed = {"Idempotency-Key": "a"}
    one, two = [await told(caching, REQUEST, **keyed) for _ in range(2)]
    assert marks([one, two]) == ["hit", None]
    assert (one[1].get("idempotent-replayed"), two[1].get("idempotent-replayed")) == (None, "true")
    assert len(upstream.received) == 1
