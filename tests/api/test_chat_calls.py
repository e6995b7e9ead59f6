"""Chat calls through the whole gateway, over real sockets on both sides."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.api.conftest import Gateway
from tests.fakes import (
    CUT,
    ENDLESS,
    STALL,
    FakeUpstream,
    Reply,
    body,
    chat_chunks,
    chat_completion,
    error,
    events,
    gzipped,
    redirect,
    split,
    stream,
)

MESSAGES = [{"role": "user", "content": "hi"}]
REQUEST = {"model": "gpt-4o", "messages": MESSAGES}
STREAMED = {**REQUEST, "stream": True}
ERROR_FIELDS = {"message", "type", "param", "code"}


async def assert_error(response: aiohttp.ClientResponse, status: int, kind: str, code: str) -> dict[str, Any]:
    """The one shape of errors on these routes."""
    assert response.status == status
    assert response.headers["Content-Type"].startswith("application/json")
    found = json.loads(await response.read())
    assert set(found) == {"error"}
    assert set(found["error"]) == ERROR_FIELDS
    assert (found["error"]["type"], found["error"]["code"]) == (kind, code)
    assert response.headers["x-request-id"].startswith("req_")
    if status in (429, 503):
        assert 1 <= int(response.headers["Retry-After"]) <= 60
    return dict(found["error"])


async def test_a_whole_answer_passes_byte_for_byte(gateway: Gateway, upstream: FakeUpstream) -> None:
    """The body leaves as it came, with the price in a header; the request differs by the model alone."""
    reply = body(chat_completion(prompt_tokens=100, completion_tokens=10))
    upstream.serve(reply)
    sent = json.dumps(REQUEST, indent=3).encode()
    async with gateway.call(
        data=sent,
        headers={"Authorization": f"Bearer {gateway.key}", "Content-Type": "application/json; charset=utf-8"},
    ) as response:
        assert response.status == 200
        assert await response.read() == reply.parts[0]
        assert response.headers["x-tokligence-provider"] == "fake"
        assert response.headers["x-tokligence-attempts"] == "1"
        assert response.headers["x-tokligence-cost"] == "0.00035"
        assert response.headers["X-RateLimit-Limit"] == "1000"
        assert response.headers["X-RateLimit-Remaining"] == "999"
    received = upstream.received[0]
    assert received.path == "/v1/chat/completions"
    assert received.body == sent.replace(b'"gpt-4o"', b'"gpt-4o-2024-08-06"')
    assert received.headers["Authorization"] == "Bearer sk-secret-of-the-upstream"
    assert received.headers["Accept-Encoding"] == "identity"
    assert await gateway.rows() == [(200, None, "fake", 1, 100, 10, 350_000)]


async def test_a_stream_passes_without_the_usage_nobody_asked_for(
    gateway: Gateway, upstream: FakeUpstream
) -> None:
    """Every byte but the usage event's reaches the client, and the usage is booked."""
    parts = events(*chat_chunks(prompt_tokens=100, completion_tokens=10))
    upstream.serve(stream(*split(b"".join(parts), 5, 333, 334, 700)))
    async with gateway.call(json=STREAMED) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        assert await response.read() == b"".join(part for part in parts if b'"usage":{' not in part)
    assert upstream.received[0].json["stream_options"] == {"include_usage": True}
    assert await gateway.rows() == [(200, None, "fake", 1, 100, 10, 350_000)]


async def test_a_stream_with_usage_asked_for_passes_whole(gateway: Gateway, upstream: FakeUpstream) -> None:
    """A client that asks for the usage event gets it, byte for byte."""
    parts = events(*chat_chunks())
    upstream.serve(stream(*parts))
    async with gateway.call(json={**STREAMED, "stream_options": {"include_usage": True}}) as response:
        assert await response.read() == b"".join(parts)


async def test_chunks_leave_as_they_arrive(gateway: Gateway, upstream: FakeUpstream) -> None:
    """The first event reaches the client while the upstream still holds the second back."""
    first, *rest = events(*chat_chunks())
    gate = asyncio.Event()
    upstream.serve(stream(first, gate, *rest))
    async with gateway.call(json=STREAMED) as response:
        assert await response.content.readuntil(b"\n\n") == first
        gate.set()
        assert (await response.read()).endswith(b"data: [DONE]\n\n")


async def test_a_stream_over_http_1_0_ends_with_its_connection(
    gateway: Gateway, upstream: FakeUpstream
) -> None:
    """Where no chunk can tell that the stream is over the connection closes, even if asked to stay."""
    parts = events(*chat_chunks())
    upstream.serve(stream(*parts))
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
    data = json.dumps({**STREAMED, "stream_options": {"include_usage": True}})
    writer.write(
        f"POST /v1/chat/completions HTTP/1.0\r\nAuthorization: Bearer {gateway.key}\r\n"
        f"Connection: keep-alive\r\nContent-Length: {len(data)}\r\n\r\n{data}".encode()
    )
    head, _, rest = (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n\r\n")
    writer.close()
    assert b"keep-alive" not in head
    assert rest == b"".join(parts)


async def test_missing_usage_is_counted_and_marked(gateway: Gateway, upstream: FakeUpstream) -> None:
    """An answer without usage passes as it is; the gateway counts for itself and says so."""
    reply = body(chat_completion("x" * 300, usage=None))
    upstream.serve(reply)
    async with gateway.call(json=REQUEST) as response:
        assert await response.read() == reply.parts[0]
    ((*_, prompt, completion, cost),) = await gateway.rows()
    assert prompt > 0
    assert 75 <= completion <= 150
    assert cost > 0
    assert await gateway.assembly.database.read("SELECT estimated FROM calls") == [(1,)]


@pytest.mark.parametrize(
    ("reply", "status", "kind", "code"),
    [
        (
            error(400, "bad", code="context_length_exceeded"),
            400,
            "invalid_request_error",
            "context_length_exceeded",
        ),
        (error(404, "no such"), 400, "invalid_request_error", "invalid_value"),
        (error(422, "no"), 400, "invalid_request_error", "invalid_value"),
        (error(401, "bad key sk-secret-of-the-upstream"), 503, "service_unavailable", "upstream_error"),
        (error(403, "no"), 503, "service_unavailable", "upstream_error"),
        (error(429, "slow down", retry_after="7"), 503, "service_unavailable", "upstream_rate_limited"),
        (error(500, "oops"), 503, "service_unavailable", "upstream_error"),
        (error(529, "overloaded"), 503, "service_unavailable", "upstream_error"),
        (error(999, "odd"), 503, "service_unavailable", "upstream_error"),
        (redirect("http://127.0.0.1:9/"), 503, "service_unavailable", "upstream_error"),
        (gzipped(body(chat_completion())), 503, "service_unavailable", "upstream_error"),
        (body({"error": {"message": "in a 200"}}), 503, "service_unavailable", "upstream_error"),
        (Reply(parts=(b"{",)), 503, "service_unavailable", "upstream_error"),
        (Reply(parts=(b"", CUT, b"{}")), 503, "service_unavailable", "upstream_error"),
        (Reply(before=(CUT,)), 503, "service_unavailable", "upstream_error"),
        (Reply(framing="raw", parts=(b"nonsense\r\n\r\n",)), 503, "service_unavailable", "upstream_error"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_an_upstream_that_fails_costs_nothing(
    gateway: Gateway, upstream: FakeUpstream, reply: Reply, status: int, kind: str, code: str, streamed: bool
) -> None:
    """Before the first byte every failure is a clean error, cleaned of secrets and free of charge."""
    upstream.serve(reply)
    async with gateway.call(json=STREAMED if streamed else REQUEST) as response:
        found = await assert_error(response, status, kind, code)
    assert "sk-" not in found["message"]
    if "slow down" in str(reply.parts):
        assert response.headers["Retry-After"] == "7"
    ((booked, _, provider, attempts, *_, cost),) = await gateway.rows()
    assert (booked, provider, attempts, cost) == (status, "fake", 1, 0)


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param((CUT,), id="cut"),
        pytest.param((), id="clean end"),
        pytest.param((b"data: {oops\n\n", STALL), id="no JSON"),
        pytest.param((b'data: {"error":{"message":"overloaded"}}\n\n', STALL), id="error event"),
        pytest.param((b"data: ", ENDLESS), id="endless line"),
    ],
)
async def test_a_stream_that_breaks_ends_with_one_error_event(
    gateway: Gateway, upstream: FakeUpstream, trouble: tuple[Any, ...]
) -> None:
    """After the first byte a failure is one error event, no [DONE]; what was delivered is charged."""
    first = events(*chat_chunks(["x" * 3000]))[:2]
    gate = asyncio.Event()
    upstream.serve(stream(*first, gate, *trouble))
    async with gateway.call(json=STREAMED) as response:
        assert response.status == 200
        await response.content.readuntil(b"\n\n")
        gate.set()
        rest = await response.read()
        assert response.connection is None or response.connection.closed
    *_, last, empty = rest.split(b"\n\n")
    assert empty == b""
    assert set(json.loads(last.removeprefix(b"data: "))["error"]) == ERROR_FIELDS
    assert b"[DONE]" not in rest
    assert rest.count(b'"error"') == 1
    ((status, code, _, _, prompt, completion, cost),) = await gateway.rows()
    assert (status, code) == (503, "upstream_error")
    assert prompt > 0
    assert completion >= 750
    assert cost > 0


async def test_the_next_deployment_serves_when_the_first_fails(
    gateway: Gateway, upstream: FakeUpstream
) -> None:
    """The client does not see a failure before the first byte; the headers say who served, and how late."""
    upstream.serve(error(529), body(chat_completion()))
    async with gateway.call(json={**REQUEST, "model": "team/two"}) as response:
        assert response.status == 200
        assert response.headers["x-tokligence-provider"] == "second"
        assert response.headers["x-tokligence-attempts"] == "2"
    assert [request.path for request in upstream.received] == [
        "/v1/chat/completions",
        "/second/chat/completions",
    ]
    assert "Authorization" not in upstream.received[1].headers
    # The client's own fault is not tried elsewhere.
    upstream.serve(error(400))
    async with gateway.call(json={**REQUEST, "model": "team/two"}) as response:
        assert response.status == 400
        assert response.headers["x-tokligence-attempts"] == "1"


async def test_an_unreachable_provider_is_503(gateway: Gateway) -> None:
    """A refused connection is an error of ours, without the provider's address in it."""
    async with gateway.call(json={**REQUEST, "model": "unreachable"}) as response:
        found = await assert_error(response, 503, "service_unavailable", "upstream_error")
    assert "127.0.0.1" not in found["message"]


async def test_a_client_that_leaves_frees_the_upstream(gateway: Gateway, upstream: FakeUpstream) -> None:
    """When the client hangs up the upstream's connection is closed, and what was delivered is booked."""
    first, *_ = events(*chat_chunks())
    upstream.serve(stream(first, STALL))
    async with gateway.call(json=STREAMED) as response:
        await response.content.readuntil(b"\n\n")
        response.close()
    await (await upstream.arrived()).gone.wait()
    await gateway.assembly.lifecycle.idle()
    ((status, code, *_, cost),) = await gateway.rows()
    assert (status, code) == (499, "client_left")
    assert cost > 0


async def test_a_client_that_leaves_a_silent_upstream_frees_it(
    gateway: Gateway, upstream: FakeUpstream
) -> None:
    """A client that leaves before the upstream said anything pays nothing."""
    upstream.serve(Reply(before=(STALL,)))
    call = asyncio.ensure_future(gateway.call(json=REQUEST).__aenter__())
    received = await upstream.arrived()
    call.cancel()
    await received.gone.wait()
    await gateway.assembly.lifecycle.idle()
    ((status, code, *_, cost),) = await gateway.rows()
    assert (status, code, cost) == (499, "client_left", 0)


@pytest.mark.parametrize(("model", "code"), [("nope", "model_not_found"), ("team/two", "model_not_allowed")])
async def test_a_model_that_is_not_for_this_key(gateway: Gateway, model: str, code: str) -> None:
    """Unknown and forbidden models are 400, each by its own code, and asked of nobody."""
    key = await gateway.new_key(models=frozenset({"gpt"}))
    headers = {"Authorization": f"Bearer {key}"}
    async with gateway.call(json={**REQUEST, "model": model}, headers=headers) as response:
        assert (await assert_error(response, 400, "invalid_request_error", code))["param"] == "model"


async def test_an_alias_is_the_model(gateway: Gateway, upstream: FakeUpstream) -> None:
    """A key that may use a model by an alias may use it by its name, and the other way round."""
    upstream.serve(body(chat_completion()))
    key = await gateway.new_key(models=frozenset({"gpt"}))
    for name in ("gpt", "gpt-4o"):
        async with gateway.call(
            json={**REQUEST, "model": name}, headers={"Authorization": f"Bearer {key}"}
        ) as response:
            assert response.status == 200
    assert {request.json["model"] for request in upstream.received} == {"gpt-4o-2024-08-06"}


@pytest.mark.parametrize(
    ("limits", "code"),
    [({"requests_per_minute": 1}, "requests_per_minute"), ({"tokens_per_minute": 1}, "tokens_per_minute")],
)
async def test_a_limit_is_429(
    gateway: Gateway, upstream: FakeUpstream, limits: dict[str, int], code: str
) -> None:
    """The second call over a limit of one is refused by the limit's name, with nothing remaining."""
    upstream.serve(body(chat_completion()))
    headers = {"Authorization": f"Bearer {await gateway.new_key(**limits)}"}
    async with gateway.call(json=REQUEST, headers=headers) as response:
        assert response.status == 200
    async with gateway.call(json=REQUEST, headers=headers) as response:
        await assert_error(response, 429, "rate_limit_error", code)
        if code == "requests_per_minute":
            assert response.headers["X-RateLimit-Remaining"] == "0"
    assert len(upstream.received) == 1


async def test_a_body_s_own_address_and_key_are_never_honoured(
    gateway: Gateway, upstream: FakeUpstream
) -> None:
    """`base_url`, `api_base` and `api_key` in a body lead nowhere."""
    upstream.serve(body(chat_completion()))
    extra = {"base_url": "http://127.0.0.1:9", "api_base": "http://127.0.0.1:9", "api_key": "sk-x"}
    async with gateway.call(json={**REQUEST, **extra}) as response:
        assert response.status == 200
    assert upstream.received[0].headers["Authorization"] == "Bearer sk-secret-of-the-upstream"


async def test_draining_refuses_new_calls_and_finishes_running_ones(
    gateway: Gateway, upstream: FakeUpstream
) -> None:
    """While draining a new call is 503 shutting_down, and a stream that runs comes to its end."""
    first, *rest = events(*chat_chunks())
    gate = asyncio.Event()
    upstream.serve(stream(first, gate, *rest))
    async with gateway.call(json=STREAMED) as running:
        await running.content.readuntil(b"\n\n")
        gateway.assembly.lifecycle.drain()
        async with gateway.call(json=REQUEST) as refused:
            await assert_error(refused, 503, "service_unavailable", "shutting_down")
        gate.set()
        assert (await running.read()).endswith(b"data: [DONE]\n\n")
    await gateway.assembly.lifecycle.idle()


async def test_the_final_cut_tells_every_client(gateway: Gateway, upstream: FakeUpstream) -> None:
    """At the deadline an open stream gets an error event and a waiting call 503; both are settled."""
    first, *_ = events(*chat_chunks())
    upstream.serve(stream(first, STALL), Reply(before=(STALL,)))
    async with gateway.call(json=STREAMED) as running:
        await running.content.readuntil(b"\n\n")
        waiting = asyncio.ensure_future(gateway.call(json=REQUEST).__aenter__())
        await upstream.arrived(2)
        gateway.assembly.live.cut()
        rest = await running.read()
        assert json.loads(rest.removeprefix(b"data: "))["error"]["code"] == "shutting_down"
        await assert_error(await waiting, 503, "service_unavailable", "shutting_down")
    await gateway.assembly.lifecycle.idle()
    assert [row[0] for row in await gateway.rows()] == [503, 503]
