"""POST /v1/messages: Anthropic's bytes pass, everything else is translated; one path for keys and money."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from anthropic import AsyncAnthropic

from tests.api.whole_gateway import Gateway, running
from tests.fakes import FakeUpstream, Trouble, body, chat_chunks, chat_completion, events, split, stream

SETTINGS = """
[database]
path = "{folder}/test.db"
[limits]
requests_per_minute = 1000
tokens_per_minute = 1000000
concurrency = 100
[providers.claude]
type = "anthropic"
base_url = "{url}"
api_key = {{ env = "FAKE_KEY" }}
headers = {{ anthropic-beta = "house-2026" }}
[providers.vendor]
type = "openai"
base_url = "{url}/v1"
[models.claude]
context_window = 200_000
max_output_tokens = 8192
price = {{ input = "3", cached_input = "0.3", cache_write = "3.75", cache_write_1h = "6", output = "15" }}
deployments = [{{ provider = "claude", model = "claude-sonnet-4-5" }}]
[models.gpt]
context_window = 200_000
max_output_tokens = 8192
price = {{ input = "3", output = "15" }}
deployments = [{{ provider = "vendor", model = "gpt-x" }}]
"""

USAGE = {
    "input_tokens": 10,
    "cache_read_input_tokens": 20,
    "cache_creation_input_tokens": 0,
    "output_tokens": 5,
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5",
    "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "Hé"}],
    "stop_sequence": None,
    "usage": USAGE,
}
REQUEST = {"model": "claude", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}


def claude_events(*, end: bool = True) -> list[bytes]:
    start = {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}}
    said = [
        start,
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hé"}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": USAGE,
        },
        {"type": "message_stop"},
    ]
    return [
        f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode()
        for each in (said if end else said[:-3])
    ]


@pytest.fixture
async def gateway(upstream: FakeUpstream, tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway with an Anthropic and an OpenAI-compatible provider."""
    settings = SETTINGS.format(folder=tmp_path, url=upstream.url)
    async with running(upstream, tmp_path, settings=settings) as gateway:
        yield gateway


async def paid(gateway: Gateway) -> tuple[Any, ...]:
    """Status, provider, and each part of what was counted of the only call there was."""
    await gateway.assembly.database.flush()
    (row,) = await gateway.assembly.database.read(
        "SELECT status, provider, input, cached_input, output, cost_nano FROM calls"
    )
    return tuple(row)


@pytest.mark.parametrize("path", ["/v1/messages", "/anthropic/v1/messages"])
async def test_a_whole_answer_passes_byte_for_byte(
    gateway: Gateway, upstream: FakeUpstream, path: str
) -> None:
    """What Anthropic answered is what the client gets, and each part of its usage is charged."""
    upstream.serve(body(MESSAGE))
    async with gateway.call(path, json=REQUEST) as response:
        got = await response.read()
    assert json.loads(got) == MESSAGE
    received = await upstream.arrived()
    assert received.path == "/v1/messages"
    assert received.json == {**REQUEST, "model": "claude-sonnet-4-5"}
    assert received.headers["x-api-key"] == "sk-secret-of-the-upstream"
    assert await paid(gateway) == (200, "claude", 10, 20, 5, 10 * 3_000 + 20 * 300 + 5 * 15_000)


async def test_a_stream_passes_byte_for_byte(gateway: Gateway, upstream: FakeUpstream) -> None:
    """The client gets the very events, pings included, wherever the upstream's packets were cut."""
    sent = b"".join(claude_events())
    upstream.serve(stream(*split(sent, 100, 333, 701)))
    async with gateway.call("/v1/messages", json={**REQUEST, "stream": True}) as response:
        assert await response.read() == sent
        assert response.headers["x-tokligence-provider"] == "claude"
    assert (await paid(gateway))[:5] == (200, "claude", 10, 20, 5)


async def test_the_dialect_s_head_and_unknown_members_pass(gateway: Gateway, upstream: FakeUpstream) -> None:
    """Anthropic's headers and query, and members that the gateway does not know, reach Anthropic as sent."""
    upstream.serve(body(MESSAGE))
    headers = {
        "x-api-key": gateway.key,
        "anthropic-version": "2024-01-01",
        "anthropic-beta": "a-1,b-2",
        "x-app": "cli",
    }
    request = {
        **REQUEST,
        "context_management": {"edits": []},
        "messages": [{"role": "user", "content": [{"type": "new"}]}],
    }
    async with gateway.call("/v1/messages?beta=true", json=request, headers=headers) as response:
        assert response.status == 200
    received = await upstream.arrived()
    assert received.path == "/v1/messages?beta=true"
    assert received.json == {**request, "model": "claude-sonnet-4-5"}
    assert received.headers["anthropic-version"] == "2024-01-01"
    assert received.headers["anthropic-beta"] == "house-2026,a-1,b-2"
    assert received.headers["x-api-key"] == "sk-secret-of-the-upstream"
    assert "x-app" not in received.headers


async def test_a_header_of_several_lines_passes_whole(gateway: Gateway, upstream: FakeUpstream) -> None:
    """Two lines of one header are one list, of which nothing is lost."""
    upstream.serve(body(MESSAGE))
    headers = [("x-api-key", gateway.key), ("anthropic-beta", "a-1"), ("anthropic-beta", "b-2")]
    async with gateway.call("/v1/messages", json=REQUEST, headers=headers) as response:
        assert response.status == 200
    assert (await upstream.arrived()).headers["anthropic-beta"] == "house-2026,a-1,b-2"


async def test_an_error_about_the_request_stays_as_it_is(gateway: Gateway, upstream: FakeUpstream) -> None:
    """Anthropic's own body and status of a refusal reach the client; the call costs nothing."""
    refusal = {
        "type": "error",
        "error": {"type": "not_found_error", "message": "model: x", "details": 1},
        "request_id": "r",
    }
    upstream.serve(body(refusal, status=404))
    async with gateway.call("/v1/messages", json=REQUEST) as response:
        assert (response.status, await response.json()) == (404, refusal)
    assert (await paid(gateway))[-1] == 0


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, "api_error"), (500, "api_error"), (529, "api_error"), (429, "overloaded_error")],
)
async def test_other_errors_are_503_in_the_dialect(
    gateway: Gateway, upstream: FakeUpstream, status: int, kind: str
) -> None:
    """What is not about the request is 503 in Anthropic's form, with the request's id."""
    upstream.serve(body({"type": "error", "error": {"type": "x", "message": "secret"}}, status=status))
    async with gateway.call("/v1/messages", json=REQUEST) as response:
        told = await response.json()
        assert response.status == 503
        assert response.headers["Retry-After"]
        assert told["request_id"] == response.headers["x-request-id"]
    assert (told["type"], told["error"]["type"]) == ("error", kind)
    assert "secret" not in told["error"]["message"]


async def test_a_stream_that_breaks_ends_with_one_error_event(
    gateway: Gateway, upstream: FakeUpstream
) -> None:
    """After the first byte an error is an event of the dialect, and input and output are charged."""
    upstream.serve(stream(*claude_events(end=False), Trouble.CUT))
    async with gateway.call("/v1/messages", json={**REQUEST, "stream": True}) as response:
        got = await response.read()
    last = got.split(b"\n\n")[-2]
    assert last.startswith(b"event: error\ndata: ")
    assert json.loads(last.partition(b"data: ")[2])["error"]["type"] == "api_error"
    assert got.count(b"event: error") == 1
    assert (await paid(gateway))[-1] > 0


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "tk-nope"}, {"Authorization": "Bearer tk-nope"}])
async def test_a_key_that_is_none_is_401_in_the_dialect(gateway: Gateway, headers: dict[str, str]) -> None:
    """Refusals of the gateway itself have Anthropic's form too."""
    async with gateway.call("/v1/messages", json=REQUEST, headers=headers) as response:
        told = await response.json()
    assert (response.status, told["type"], told["error"]["type"]) == (401, "error", "authentication_error")


@pytest.mark.parametrize(
    "request_body",
    [
        {"model": "claude", "messages": REQUEST["messages"]},
        {"model": "claude", "max_tokens": 5, "messages": []},
        {"model": "claude", "max_tokens": -1, "messages": REQUEST["messages"]},
        {"model": "nope", "max_tokens": 5, "messages": REQUEST["messages"]},
        {
            "model": "gpt",
            "max_tokens": 5,
            "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x"}]}],
        },
        {
            "model": "gpt",
            "max_tokens": 5,
            "messages": REQUEST["messages"],
            "tools": [{"type": "bash_20250124", "name": "bash"}],
        },
        [],
    ],
)
async def test_bad_requests_are_told_in_the_dialect(gateway: Gateway, request_body: Any) -> None:
    """A request that can't be served is 400 in Anthropic's form, before any upstream is asked."""
    async with gateway.call("/v1/messages", json=request_body) as response:
        told = await response.json()
    assert (response.status, told["type"]) == (400, "error")
    assert told["error"]["type"] == "invalid_request_error"


async def test_the_sdk_streams_from_a_chat_upstream(gateway: Gateway, upstream: FakeUpstream) -> None:
    """Anthropic's own client accumulates a translated stream to a whole message."""
    upstream.serve(stream(*events(*chat_chunks(["Hé", "llo"], prompt_tokens=7, completion_tokens=3))))
    client = AsyncAnthropic(base_url=gateway.url, api_key=gateway.key, max_retries=0)
    async with (
        client,
        client.messages.stream(
            model="gpt", max_tokens=50, system="be brief", messages=[{"role": "user", "content": "hi"}]
        ) as streaming,
    ):
        seen = [event async for event in streaming]
        message = await streaming.get_final_message()
    assert seen[-1].type == "message_stop"
    assert [block.text for block in message.content if block.type == "text"] == ["Héllo"]
    assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == (
        "end_turn",
        7,
        3,
    )
    received = await upstream.arrived()
    assert received.path == "/v1/chat/completions"
    assert received.json == {
        "model": "gpt-x",
        "max_tokens": 50,
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
    }
    assert (await paid(gateway))[:5] == (200, "vendor", 7, 0, 3)


async def test_the_sdk_gets_a_whole_answer_of_a_chat_upstream(
    gateway: Gateway, upstream: FakeUpstream
) -> None:
    """A tool call of a chat upstream is a tool_use block to Anthropic's own client."""
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
    answer = chat_completion("")
    answer["choices"] = [
        {
            "index": 0,
            "message": {"role": "assistant", "content": None, "tool_calls": [call]},
            "finish_reason": "tool_calls",
        }
    ]
    upstream.serve(body(answer))
    client = AsyncAnthropic(base_url=gateway.url, api_key=gateway.key, max_retries=0)
    async with client:
        message = await client.messages.create(
            model="gpt",
            max_tokens=50,
            messages=[{"role": "user", "content": "hi"}],
            tools=[{"name": "f", "input_schema": {"type": "object"}}],
        )
    (block,) = message.content
    assert block.type == "tool_use"
    assert (block.id, block.name, block.input, message.stop_reason) == ("call_1", "f", {"x": 1}, "tool_use")


async def test_tokens_are_counted_by_who_can(gateway: Gateway, upstream: FakeUpstream) -> None:
    """Anthropic is asked for a count, which costs nothing and needs no max_tokens."""
    upstream.serve(body({"input_tokens": 1234}))
    request = {"model": "claude", "messages": REQUEST["messages"]}
    async with gateway.call("/v1/messages/count_tokens?beta=true", json=request) as response:
        assert (response.status, await response.json()) == (200, {"input_tokens": 1234})
        assert "x-tokligence-estimated" not in response.headers
    assert (await upstream.arrived()).path == "/v1/messages/count_tokens?beta=true"
    assert await paid(gateway) == (200, "claude", 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("model", "reply"), [("gpt", None), ("claude", body({}, status=500)), ("claude", body({"x": 1}))]
)
async def test_tokens_are_estimated_where_nobody_counts(
    gateway: Gateway, upstream: FakeUpstream, model: str, reply: Any
) -> None:
    """Where no provider counts, or fails to, the answer is an estimate on the high side, and says so."""
    if reply is not None:
        upstream.serve(reply)
    request = {"model": model, "messages": [{"role": "user", "content": "word " * 300}]}
    async with gateway.call("/v1/messages/count_tokens", json=request) as response:
        told = await response.json()
        assert response.headers["x-tokligence-estimated"] == "true"
    assert told["input_tokens"] > 300
    assert (await paid(gateway))[-1] == 0
