"""Embeddings, images and rankings through the whole gateway, over real sockets on both sides."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.test_chat_calls import assert_error
from tests.api.whole_gateway import Gateway, running
from tests.fakes import CUT, FakeUpstream, Reply, body, error
from tests.torture.audit import broken
from tests.torture.crowd import customer

CONFIG = """
[server]
max_request_bytes = "64KiB"
[database]
path = "{folder}/test.db"
[endpoints]
embeddings = true
images = true
rerank = true
[providers.fake]
type = "openai"
base_url = "{url}/v1"
api_key = {{ env = "FAKE_KEY" }}
[providers.ranker]
type = "cohere"
base_url = "{url}"
[models.embedder]
context_window = 8192
max_output_tokens = 0
price = {{ input = "1.00", output = "0" }}
deployments = [{{ provider = "fake", model = "text-embedding-3-small" }}]
[models.painter]
context_window = 8192
max_output_tokens = 0
price = {{ image = "0.04" }}
deployments = [{{ provider = "fake", model = "dall-e-3" }}]
[models.token-painter]
context_window = 8192
max_output_tokens = 1000
price = {{ input = "5.00", output = "0", image_output = "40.00" }}
deployments = [{{ provider = "fake", model = "gpt-image-1" }}]
[models.ranker]
context_window = 4096
max_output_tokens = 0
price = {{ search = "0.002" }}
deployments = [{{ provider = "ranker", model = "rerank-v3.5" }}]
[models.free]
context_window = 8192
max_output_tokens = 0
free = true
deployments = [
  {{ provider = "fake", model = "first", priority = 1 }},
  {{ provider = "fake", model = "second", priority = 2 }},
]
"""
EMBEDDINGS = {"model": "embedder", "input": ["hello", "world"]}
IMAGES = {"model": "painter", "prompt": "a cat"}
RANKING = {"model": "ranker", "query": "q", "documents": ["a", "b"]}
PATHS = [("/v1/embeddings", EMBEDDINGS), ("/v1/images/generations", IMAGES), ("/v1/rerank", RANKING)]


def settings(folder: Path, url: str) -> str:
    """The configuration of a gateway that serves all three."""
    return CONFIG.format(folder=folder, url=url)


@pytest.fixture
async def tasks(upstream: FakeUpstream, tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway that serves all three; at its end nothing is held and the books are in order."""
    async with running(upstream, tmp_path, settings=settings(tmp_path, upstream.url)) as gateway:
        yield gateway
        database = gateway.assembly.database
        await database.flush()
        assert broken(database.path) == []
        assert await database.read("SELECT call_id FROM holds") == []


def embedded(*vectors: list[float], **usage: int) -> Reply:
    """An upstream's answer with these vectors."""
    data = [
        {"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)
    ]
    return body({"object": "list", "data": data, "model": "text-embedding-3-small", "usage": usage})


async def booked(gateway: Gateway) -> dict[str, Any]:
    """The row of the last call."""
    columns = "endpoint, status, error, input, image_out, images, searches, estimated, cost_nano, held_nano"
    await gateway.assembly.database.flush()
    rows = await gateway.assembly.database.read(f"SELECT {columns} FROM calls ORDER BY rowid DESC LIMIT 1")
    return {name: value for name, value in zip(columns.split(", "), rows[0], strict=True) if value}


async def test_embeddings_pass_and_are_paid_for(tasks: Gateway, upstream: FakeUpstream) -> None:
    """Request and answer leave as they came, the model's name aside; the tokens are charged."""
    reply = embedded([0.5, 0.25], [1.0, 2.0], prompt_tokens=2, total_tokens=2)
    upstream.serve(reply)
    sent = json.dumps(EMBEDDINGS, indent=2).encode()
    headers = {"Authorization": f"Bearer {tasks.key}", "Content-Type": "application/json"}
    async with tasks.call("/v1/embeddings", data=sent, headers=headers) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/json"
        assert await response.read() == reply.parts[0]
        assert response.headers["x-tokligence-cost"] == "0.000002"
        assert response.headers["x-tokligence-provider"] == "fake"
    assert upstream.received[0].path == "/v1/embeddings"
    assert upstream.received[0].body == sent.replace(b'"embedder"', b'"text-embedding-3-small"')
    held = 1_000 * (len("helloworld") + 2 * 32)
    row = {"endpoint": "embeddings", "status": 200, "input": 2, "cost_nano": 2_000, "held_nano": held}
    assert await booked(tasks) == row


async def test_embeddings_that_nobody_counted_are_counted(tasks: Gateway, upstream: FakeUpstream) -> None:
    """The books and the client's own answer say the same, and the books that it is estimated."""
    upstream.serve(embedded([0.5], [1.0]))
    async with tasks.call("/v1/embeddings", json=EMBEDDINGS) as response:
        assert (await response.json())["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    row = await booked(tasks)
    assert (row["input"], row["estimated"], row["cost_nano"]) == (4, 1, 4_000)


async def test_a_batch_may_be_larger_than_one_window(tasks: Gateway, upstream: FakeUpstream) -> None:
    """Each text has a window of its own, so what a batch of them counts together is believed."""
    upstream.serve(embedded([0.5], [1.0], prompt_tokens=10_000, total_tokens=10_000))
    async with tasks.call("/v1/embeddings", json={**EMBEDDINGS, "input": ["x" * 9_000] * 2}) as response:
        assert response.status == 200
    row = await booked(tasks)
    assert (row["input"], row.get("estimated")) == (10_000, None)


async def test_images_are_paid_for_one_by_one(tasks: Gateway, upstream: FakeUpstream) -> None:
    """What is held for are the images asked for, what is charged are those that came."""
    upstream.serve(body({"created": 1, "data": [{"url": "https://a/1.png"}]}))
    async with tasks.call("/v1/images/generations", json={**IMAGES, "n": 3}) as response:
        assert response.status == 200
        assert response.headers["x-tokligence-cost"] == "0.04"
    row = await booked(tasks)
    assert (row["images"], row["cost_nano"], row["held_nano"]) == (1, 40_000_000, 120_000_000)


@pytest.mark.parametrize(
    ("usage", "tokens", "estimated"),
    [({"input_tokens": 3, "output_tokens": 272, "total_tokens": 275}, 272, None), (None, 4, 1)],
)
async def test_images_are_paid_for_by_tokens(
    tasks: Gateway, upstream: FakeUpstream, usage: Any, tokens: int, estimated: int | None
) -> None:
    """By those the upstream told, else by the size of the pictures; both at the price of images."""
    upstream.serve(body({"created": 1, "data": [{"b64_json": "Q" * 3_000}], "usage": usage}))
    async with tasks.call("/v1/images/generations", json={**IMAGES, "model": "token-painter"}) as response:
        assert response.status == 200
    row = await booked(tasks)
    assert (row["image_out"], row.get("estimated"), row["images"]) == (tokens, estimated, 1)
    assert row["cost_nano"] == row["input"] * 5_000 + tokens * 40_000


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
async def test_rankings_are_paid_for_by_units(tasks: Gateway, upstream: FakeUpstream, path: str) -> None:
    """Cohere's units are the price; the answer has the gateway's own shape on both addresses."""
    meta = {"billed_units": {"search_units": 1}}
    results = [{"index": 0, "relevance_score": 0.1}, {"index": 1, "relevance_score": 0.9}]
    upstream.serve(body({"id": "r", "results": results, "meta": meta}))
    async with tasks.call(path, json=RANKING) as response:
        assert response.status == 200
        assert response.headers["x-tokligence-cost"] == "0.002"
        answer = await response.json()
    assert answer["results"] == results[::-1]
    assert set(answer) == {"id", "model", "results", "usage"}
    assert upstream.received[0].path == "/v2/rerank"
    row = await booked(tasks)
    assert (row["endpoint"], row["searches"], row["cost_nano"]) == ("rerank", 1, 2_000_000)


@pytest.mark.parametrize(("path", "request_body"), PATHS)
async def test_an_endpoint_that_is_not_wanted_is_not_there(
    gateway: Gateway, upstream: FakeUpstream, path: str, request_body: dict[str, Any]
) -> None:
    """Unless the configuration turns it on it answers 404, to those who have a key; nothing is sent."""
    async with gateway.call(path, json=request_body) as response:
        await assert_error(response, 404, "invalid_request_error", "endpoint_disabled")
    async with gateway.call(path, json=request_body, headers={}) as response:
        await assert_error(response, 401, "authentication_error", "missing_api_key")
    assert upstream.received == []


async def test_endpoints_follow_a_reload(tasks: Gateway, upstream: FakeUpstream, tmp_path: Path) -> None:
    """Turned off they are gone at once, turned on they are there again."""
    upstream.serve(embedded([0.5], [1.0], prompt_tokens=2, total_tokens=2))
    written = settings(tmp_path, upstream.url)
    for state, status in (("false", 404), ("true", 200)):
        text = written.replace("embeddings = true", f"embeddings = {state}").replace(
            'api_key = { env = "FAKE_KEY" }\n', ""
        )
        (tmp_path / "config.toml").write_text(text)
        tasks.assembly.reloader.reload("test")
        async with tasks.call("/v1/embeddings", json=EMBEDDINGS) as response:
            assert response.status == status


@pytest.mark.parametrize(("path", "request_body"), PATHS)
async def test_who_can_t_pay_is_refused_before_anything_is_sent(
    tasks: Gateway, upstream: FakeUpstream, path: str, request_body: dict[str, Any]
) -> None:
    """One billionth of a dollar short of the most it can cost is 402."""
    upstream.serve(error(500))
    async with tasks.call(path, json=request_body) as response:
        await response.read()
    held = (await booked(tasks))["held_nano"]
    sent = len(upstream.received)
    _, key = await customer(tasks, "poor", held - 1)
    headers = {"Authorization": f"Bearer {key}"}
    async with tasks.call(path, json=request_body, headers=headers) as response:
        await assert_error(response, 402, "insufficient_quota", "insufficient_balance")
    assert len(upstream.received) == sent
    _, enough = await customer(tasks, "enough", held)
    headers = {"Authorization": f"Bearer {enough}"}
    async with tasks.call(path, json=request_body, headers=headers) as response:
        assert response.status == 503
    assert len(upstream.received) == sent + 1


@pytest.mark.parametrize(("path", "request_body"), PATHS)
@pytest.mark.parametrize(
    "reply",
    [
        Reply(headers={"Content-Type": "application/json"}, parts=(b'{"data": [', CUT)),
        Reply(headers={"Content-Type": "application/json"}, parts=(b'{"data": []}',)),
        body({"error": {"message": "no", "type": "server_error"}}),
        body([]),
        error(500),
        error(401),
    ],
    ids=["cut", "empty", "error inside", "another thing", "500", "401"],
)
async def test_a_failed_call_costs_nothing(
    tasks: Gateway, upstream: FakeUpstream, path: str, request_body: dict[str, Any], reply: Reply
) -> None:
    """Whatever the upstream does instead of answering is a 503, and the hold is free again."""
    upstream.serve(reply)
    async with tasks.call(path, json=request_body) as response:
        await assert_error(response, 503, "service_unavailable", "upstream_error")
    row = await booked(tasks)
    assert (row["status"], row.get("cost_nano")) == (503, None)
    assert row["held_nano"] > 0


async def test_an_upstream_s_refusal_is_the_client_s(tasks: Gateway, upstream: FakeUpstream) -> None:
    """What is wrong with a request is said in the provider's words."""
    upstream.serve(body({"message": "too many tokens"}, status=400))
    async with tasks.call("/v1/rerank", json=RANKING) as response:
        found = await assert_error(response, 400, "invalid_request_error", "invalid_value")
    assert found["message"] == "too many tokens"


async def test_the_next_deployment_serves_when_the_first_does_not(
    tasks: Gateway, upstream: FakeUpstream
) -> None:
    """Free models need no balance, and fail over as chats do."""
    upstream.serve(error(429), embedded([0.5], prompt_tokens=1, total_tokens=1))
    async with tasks.call("/v1/embeddings", json={"model": "free", "input": "a"}) as response:
        assert response.status == 200
        assert response.headers["x-tokligence-attempts"] == "2"
        assert response.headers["x-tokligence-cost"] == "0"
    assert [received.json["model"] for received in upstream.received] == ["first", "second"]


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/images/generations", "/v1/rerank"])
@pytest.mark.parametrize(
    "sent", [b"", b"[]", b"{", b"[" * 50_000, b'{"model": NaN}', b"\xff", b'{"model": "m", "model": "m"}']
)
async def test_what_is_no_request_is_refused(tasks: Gateway, path: str, sent: bytes) -> None:
    """Bodies that are no JSON object, or no good one, are 400."""
    headers = {"Authorization": f"Bearer {tasks.key}", "Content-Type": "application/json"}
    async with tasks.call(path, data=sent, headers=headers) as response:
        await assert_error(response, 400, "invalid_request_error", "invalid_json")
