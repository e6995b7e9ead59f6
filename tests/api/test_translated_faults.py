"""Upstreams of other dialects that fail: the client hears of it in its own, and pays for what it got."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.whole_gateway import Gateway, running
from tests.fakes import CUT, ENDLESS, STALL, FakeUpstream, Reply, body, gzipped, redirect, stream

SETTINGS = """
[database]
path = "{folder}/test.db"
[limits]
requests_per_minute = 1000
tokens_per_minute = 1000000
concurrency = 100
[providers.anthropic]
type = "anthropic"
base_url = "{url}"
api_key = {{ env = "FAKE_KEY" }}
idle_timeout = "300ms"
[providers.gemini]
type = "gemini"
base_url = "{url}"
api_key = {{ env = "FAKE_KEY" }}
idle_timeout = "300ms"
[models.anthropic]
context_window = 200_000
max_output_tokens = 8192
price = {{ input = "3", output = "15" }}
deployments = [{{ provider = "anthropic", model = "claude-sonnet-4-5" }}]
[models.gemini]
context_window = 200_000
max_output_tokens = 8192
price = {{ input = "3", output = "15" }}
deployments = [{{ provider = "gemini", model = "gemini-2.5-flash" }}]
"""
SECRET = "sk-secret-of-the-upstream"


def told(model: str, status: int, kind: str, message: str = f"no {SECRET}", **members: Any) -> Reply:
    """An error as this provider tells it."""
    if model == "anthropic":
        return body({"type": "error", "error": {"type": kind, "message": message}}, status=status)
    detail = {"code": status, "message": message, "status": kind, **members}
    return body({"error": detail}, status=status)


def answer(model: str, text: str, *, end: bool = True) -> list[bytes]:
    """The events of an answer, or its beginning."""
    if model == "gemini":
        candidate = {"index": 0, "content": {"role": "model", "parts": [{"text": text}]}}
        chunks: list[Any] = [{"candidates": [candidate], "usageMetadata": {"promptTokenCount": 9}}]
        chunks += [{"candidates": [{"index": 0, "finishReason": "STOP"}]}] if end else []
        return [b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks]
    said: list[Any] = [
        {
            "type": "message_start",
            "message": {"id": "m", "model": "c", "usage": {"input_tokens": 9, "output_tokens": 1}},
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
    ]
    if end:
        said += [
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}},
            {"type": "message_stop"},
        ]
    return [f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in said]


@pytest.fixture
async def gateway(upstream: FakeUpstream, tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway with an upstream of each other dialect."""
    settings = SETTINGS.format(folder=tmp_path, url=upstream.url)
    async with running(upstream, tmp_path, settings=settings) as gateway:
        yield gateway


def asking(model: str, *, streamed: bool) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": streamed}


def replies() -> list[Any]:
    """Each fault of an upstream before its first byte, and the code that the client is told."""
    found: list[Any] = []
    words = {
        "anthropic": (
            "invalid_request_error",
            "authentication_error",
            "rate_limit_error",
            "overloaded_error",
        ),
        "gemini": ("INVALID_ARGUMENT", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "UNAVAILABLE"),
    }
    for model, (wrong, denied, limited, busy) in words.items():
        retry = {"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}]}
        cases: list[tuple[str, Reply, int, str]] = [
            ("wrong", told(model, 400, wrong), 400, "invalid_value"),
            ("missing", told(model, 404, wrong), 400, "invalid_value"),
            ("denied", told(model, 403, denied), 503, "upstream_error"),
            ("unauthenticated", told(model, 401, denied), 503, "upstream_error"),
            ("limited", told(model, 429, limited, **retry), 503, "upstream_rate_limited"),
            ("busy", told(model, 529, busy), 503, "upstream_error"),
            ("broken", Reply(status=500, parts=(b"<html>",)), 503, "upstream_error"),
            ("odd status", Reply(status=999), 503, "upstream_error"),
            ("elsewhere", redirect("http://127.0.0.1:9/"), 503, "upstream_error"),
            ("compressed", gzipped(body({})), 503, "upstream_error"),
            ("no JSON", Reply(parts=(b"{",)), 503, "upstream_error"),
            ("another shape", body([7]), 503, "upstream_error"),
            ("nothing", Reply(), 503, "upstream_error"),
            (
                "a page",
                Reply(parts=(b"<html>",), headers={"Content-Type": "text/html"}),
                503,
                "upstream_error",
            ),
            ("an error in a 200", told(model, 200, busy), 503, "upstream_error"),
            ("reset", Reply(before=(CUT,)), 503, "upstream_error"),
            ("silence", Reply(before=(STALL,)), 503, "upstream_timeout"),
            ("cut", Reply(parts=(b"{", CUT, b"}")), 503, "upstream_error"),
        ]
        found += [pytest.param(model, *case[1:], id=f"{model} {case[0]}") for case in cases]
    return found


@pytest.mark.parametrize(("model", "reply", "status", "code"), replies())
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_failure_before_the_first_byte_costs_nothing(
    gateway: Gateway, upstream: FakeUpstream, model: str, reply: Reply, status: int, code: str, streamed: bool
) -> None:
    """Whatever the upstream did, the client gets one clean error, and the whole hold is released."""
    upstream.serve(reply)
    async with gateway.call(json=asking(model, streamed=streamed)) as response:
        error = (await response.json())["error"]
    assert (response.status, error["code"]) == (status, code)
    assert "secret" not in error["message"]
    if code == "upstream_rate_limited" and model == "gemini":
        assert response.headers["Retry-After"] == "7"
    ((booked, _, provider, _, *_, cost),) = await gateway.rows()
    assert (booked, provider, cost) == (status, model, 0)
    await gateway.assembly.database.flush()
    assert await gateway.assembly.database.read("SELECT * FROM holds") == []


@pytest.mark.parametrize("model", ["anthropic", "gemini"])
@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param((CUT,), id="cut"),
        pytest.param((), id="clean end"),
        pytest.param((STALL,), id="silence"),
        pytest.param((b"data: {oops\n\n", STALL), id="no JSON"),
        pytest.param((b"data: [7]\n\n", STALL), id="another shape"),
        pytest.param(
            (b'data: {"type":"error","error":{"type":"x","status":"X","message":"no"}}\n\n', STALL),
            id="error",
        ),
        pytest.param((b"data: ", ENDLESS), id="endless line"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
async def test_a_stream_that_breaks_ends_with_an_error_of_the_client_s_dialect(
    gateway: Gateway, upstream: FakeUpstream, model: str, trouble: tuple[Any, ...], path: str
) -> None:
    """A failure after the first byte is told in the stream, nothing looks complete, what came is charged."""
    gate = asyncio.Event()
    upstream.serve(stream(*answer(model, "x" * 3000, end=False), gate, *trouble))
    request = {**asking(model, streamed=True), "max_tokens": 4000, "input": "hi"}
    async with gateway.call(path, json=request) as response:
        assert response.status == 200
        first = await response.content.readuntil(b"xxx")
        gate.set()
        got = first + await response.read()
    last = json.loads(got.split(b"\n\n")[-2].partition(b"data: ")[2])
    if path.endswith("responses"):
        assert last["type"] == "response.failed"
    else:
        assert "error" in last
    for end in (b"[DONE]", b"message_stop", b"response.completed", b'"finish_reason":"stop"'):
        assert end not in got
    ((status, code, _, _, prompt, completion, cost),) = await gateway.rows()
    assert status == 503
    assert code in {"upstream_error", "upstream_timeout"}
    assert prompt > 0
    assert completion >= 750
    assert cost > 0
