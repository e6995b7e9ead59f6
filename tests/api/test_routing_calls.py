"""Fail-over and time-outs through the whole gateway: who is asked, and what the client hears."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.whole_gateway import Gateway, running
from tests.fakes import (
    STALL,
    FakeUpstream,
    Trouble,
    body,
    chat_chunks,
    chat_completion,
    error,
    events,
    stream,
)

SETTINGS = """
[database]
path = "{folder}/test.db"
[limits]
requests_per_minute = 1000
tokens_per_minute = 1000000
concurrency = 100
[providers.first]
type = "openai"
base_url = "{url}/first"
fail_over_on = [404]
[providers.second]
type = "openai"
base_url = "{url}/second"
first_byte_timeout = "200ms"
[providers.patient]
type = "openai"
base_url = "{url}/patient"
first_byte_timeout = "100ms"
retry_after_send = true
[models.two]
context_window = 128_000
max_output_tokens = 4096
free = true
deployments = [{{ provider = "first", model = "a" }}, {{ provider = "second", model = "b", priority = 2 }}]
[models.slow]
context_window = 128_000
max_output_tokens = 4096
free = true
deployments = [{{ provider = "second", model = "b" }}, {{ provider = "first", model = "a", priority = 2 }}]
[models.patient]
context_window = 128_000
max_output_tokens = 4096
free = true
deployments = [{{ provider = "patient", model = "b" }}, {{ provider = "first", model = "a", priority = 2 }}]
[models.limited]
context_window = 128_000
max_output_tokens = 4096
free = true
total_timeout = "300ms"
deployments = [{{ provider = "first", model = "a" }}]
"""


@pytest.fixture
async def gateway(upstream: FakeUpstream, tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway with providers of different patience."""
    settings = SETTINGS.format(folder=tmp_path, url=upstream.url)
    async with running(upstream, tmp_path, settings=settings) as gateway:
        yield gateway


def asking(model: str, *, streamed: bool = False) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": streamed}


def asked(upstream: FakeUpstream) -> list[str]:
    return [received.path.split("/")[1] for received in upstream.received]


@pytest.mark.parametrize("status", [404, 429, 500, 503, 529])
@pytest.mark.parametrize("streamed", [True, False])
async def test_the_next_serves_what_the_first_can_not(
    gateway: Gateway, upstream: FakeUpstream, status: int, streamed: bool
) -> None:
    """Overload, failure, and what the operator lists go on to the next deployment, and the headers say so."""
    answer = stream(*events(*chat_chunks())) if streamed else body(chat_completion())
    upstream.serve(error(status), answer)
    async with gateway.call(json=asking("two", streamed=streamed)) as response:
        assert response.status == 200
        await response.read()
    assert asked(upstream) == ["first", "second"]
    assert (response.headers["x-tokligence-provider"], response.headers["x-tokligence-attempts"]) == (
        "second",
        "2",
    )


async def test_an_overload_told_in_the_stream_goes_on(gateway: Gateway, upstream: FakeUpstream) -> None:
    """An error before anything was said is like one in the status, if the provider was only too busy."""
    busy = {"error": {"message": "overloaded", "type": "overloaded_error"}}
    upstream.serve(stream(*events(busy, done=False)), stream(*events(*chat_chunks(["hi"]))))
    async with gateway.call(json=asking("two", streamed=True)) as response:
        assert b'"hi"' in await response.read()
    assert asked(upstream) == ["first", "second"]


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_first_byte_that_does_not_come(
    gateway: Gateway, upstream: FakeUpstream, streamed: bool
) -> None:
    """An upstream that takes a request and stays silent is given up; nobody else does the work again."""
    upstream.serve(stream(STALL))
    async with gateway.call(json=asking("slow", streamed=streamed)) as response:
        told = (await response.json())["error"]
    assert (response.status, told["code"]) == (503, "upstream_timeout")
    assert asked(upstream) == ["second"]
    await asyncio.wait_for((await upstream.arrived()).gone.wait(), 5)


async def test_the_operator_may_want_it_asked_again(gateway: Gateway, upstream: FakeUpstream) -> None:
    """Where the configuration says that asking twice does no harm, the next deployment is asked."""
    upstream.serve(stream(STALL), body(chat_completion()))
    async with gateway.call(json=asking("patient")) as response:
        assert response.status == 200
    assert asked(upstream) == ["patient", "first"]


async def test_a_call_has_its_time(gateway: Gateway, upstream: FakeUpstream) -> None:
    """A stream that comes on and on ends with an error when all its time is over."""
    chunk = events(*chat_chunks(["x"])[:2], done=False)
    upstream.serve(stream(*chunk, STALL))
    async with gateway.call(json=asking("limited", streamed=True)) as response:
        got = await response.read()
    assert b"upstream_timeout" in got.split(b"\n\n")[-2]


async def test_a_failing_deployment_is_left_alone(gateway: Gateway, upstream: FakeUpstream) -> None:
    """After five failures in a row calls go straight to the next deployment, and /v1/providers says why."""
    answers = [reply for _ in range(5) for reply in (error(500), body(chat_completion()))]
    upstream.serve(*answers, body(chat_completion()))
    for _ in range(6):
        async with gateway.call(json=asking("two")) as response:
            assert response.status == 200
    assert asked(upstream) == ["first", "second"] * 5 + ["second"]
    async with gateway.get("/v1/providers") as response:
        found = {each["id"]: each["status"] for each in (await response.json())["data"]}
    assert (found["first"], found["second"]) == ("failing", "available")


async def test_the_least_bad_is_probed(gateway: Gateway, upstream: FakeUpstream) -> None:
    """A model whose only deployment is open is tried all the same, and serves again when it can."""
    upstream.serve(*[error(500)] * 6, body(chat_completion()))
    statuses = []
    for _ in range(7):
        async with gateway.call(json=asking("limited")) as response:
            statuses.append(response.status)
    assert statuses == [503] * 6 + [200]


async def test_a_stream_that_breaks_counts_against_its_deployment(
    gateway: Gateway, upstream: FakeUpstream
) -> None:
    """Five streams cut in the middle open the breaker as five refusals do."""
    upstream.serve(stream(*events(*chat_chunks(["x"])[:2], done=False), Trouble.CUT))
    alone = {"Authorization": f"Bearer {gateway.key}", "Connection": "close"}
    for _ in range(5):
        async with gateway.call(json=asking("two", streamed=True), headers=alone) as response:
            await response.read()
    upstream.serve(body(chat_completion()))
    async with gateway.call(json=asking("two")) as response:
        assert response.headers["x-tokligence-provider"] == "second"
