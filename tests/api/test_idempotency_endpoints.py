"""Idempotency-Key on every endpoint that answers whole, and what is kept of a response beside it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.test_task_calls import CONFIG, EMBEDDINGS, IMAGES, RANKING, embedded
from tests.api.whole_gateway import Gateway, running
from tests.fakes import FakeUpstream, Reply, body, chat_completion
from tests.torture.audit import broken
from tokligenced.gateway.idempotency import Claim

SETTINGS = (
    CONFIG
    + """
[responses]
store = true
[models.talker]
context_window = 8192
max_output_tokens = 1000
price = {{ input = "1.00", output = "2.00" }}
deployments = [{{ provider = "fake", model = "talker" }}]
"""
)
HI = [{"role": "user", "content": "hi"}]
RANKED = {"results": [{"index": 0, "relevance_score": 0.5}], "meta": {"billed_units": {"search_units": 1}}}
COMPLETED: dict[str, Any] = {
    "id": "cmpl-1",
    "object": "text_completion",
    "choices": [{"text": "there", "index": 0, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
}
ENDPOINTS: list[tuple[str, dict[str, Any], Reply]] = [
    ("/v1/chat/completions", {"model": "talker", "messages": HI}, body(chat_completion())),
    ("/v1/completions", {"model": "talker", "prompt": "hi"}, body(COMPLETED)),
    ("/v1/messages", {"model": "talker", "messages": HI, "max_tokens": 9}, body(chat_completion())),
    ("/anthropic/v1/messages", {"model": "talker", "messages": HI, "max_tokens": 9}, body(chat_completion())),
    ("/v1/responses", {"model": "talker", "input": "hi"}, body(chat_completion())),
    ("/v1/embeddings", EMBEDDINGS, embedded([0.5], [1.0], prompt_tokens=2, total_tokens=2)),
    ("/v1/images/generations", IMAGES, body({"created": 1, "data": [{"url": "u"}]})),
    ("/v1/rerank", RANKING, body(RANKED)),
    ("/v2/rerank", RANKING, body(RANKED)),
]


@pytest.fixture
async def every(upstream: FakeUpstream, tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway that serves all endpoints and keeps responses; at its end the books are in order."""
    settings = SETTINGS.format(folder=tmp_path, url=upstream.url)
    async with running(upstream, tmp_path, settings=settings) as gateway:
        yield gateway
        await gateway.assembly.database.flush()
        assert broken(gateway.assembly.database.path) == []


def under(gateway: Gateway, name: str = "a") -> dict[str, str]:
    """Headers of a call under this key."""
    return {"Authorization": f"Bearer {gateway.key}", "Idempotency-Key": name}


async def charges(gateway: Gateway) -> int:
    """How many calls were charged for."""
    await gateway.assembly.database.flush()
    ((count,),) = await gateway.assembly.database.read("SELECT count(*) FROM entries WHERE kind = 'charge'")
    return int(count)


@pytest.mark.parametrize(("path", "request_body", "reply"), ENDPOINTS, ids=[each[0] for each in ENDPOINTS])
async def test_every_endpoint_answers_the_same_again(
    every: Gateway, upstream: FakeUpstream, path: str, request_body: dict[str, Any], reply: Reply
) -> None:
    """One upstream call and one charge; status, body and type of the second answer are the first one's."""
    upstream.serve(reply)
    told = []
    for _ in range(2):
        async with every.call(path, json=request_body, headers=under(every)) as response:
            told.append((response.status, response.headers["Content-Type"], await response.read()))
    assert told[0] == told[1]
    assert told[1][0] == 200, told
    assert response.headers["idempotent-replayed"] == "true"
    assert (len(upstream.received), await charges(every)) == (1, 1)


async def test_a_key_that_ended_gets_nothing_again(every: Gateway, upstream: FakeUpstream) -> None:
    """Whoever asks for a stored answer proves first that they may."""
    path, request_body, reply = ENDPOINTS[0]
    upstream.serve(reply)
    async with every.call(path, json=request_body, headers=under(every)) as response:
        assert response.status == 200
    directory = every.assembly.directory
    (key,) = directory.list_keys()
    await directory.revoke_key(key.id, actor="test")
    async with every.call(path, json=request_body, headers=under(every)) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (401, "key_revoked")


async def test_a_response_is_kept_though_its_client_left(
    every: Gateway, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who hangs up while the answer lands gets it again, and it can be gone on from."""
    landing, never = asyncio.Event(), asyncio.Event()

    async def stuck(_claim: Claim) -> None:
        landing.set()
        await never.wait()

    upstream.serve(body(chat_completion("Hé")))
    request = {"model": "talker", "input": "hi"}
    with monkeypatch.context() as patched:
        patched.setattr(Claim, "landed", stuck)

        async def ask() -> None:
            async with every.call("/v1/responses", json=request, headers=under(every)):
                pass

        leaving = asyncio.ensure_future(ask())
        await landing.wait()
        leaving.cancel()
        await asyncio.wait([leaving])
    async with every.call("/v1/responses", json=request, headers=under(every)) as response:
        assert response.headers["idempotent-replayed"] == "true"
        again = await response.json()
    async with every.get(f"/v1/responses/{again['id']}") as response:
        assert (response.status, await response.json()) == (200, again)
    assert (len(upstream.received), await charges(every)) == (1, 1)
