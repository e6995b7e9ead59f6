"""The Gemini provider: where requests go, what they carry, and what a chat client gets in the end."""

import json
from typing import Any

import pytest

from tokligenced.config import ProviderSettings, Secret
from tokligenced.dialects import chat
from tokligenced.domain import Deployment, Model
from tokligenced.errors import CallError, InvalidRequest, UpstreamFailed
from tokligenced.providers.base import Exchange
from tokligenced.providers.gemini import Gemini

GOOGLE = "https://generativelanguage.googleapis.com"
ASKED = {"functionCall": {"name": "clock", "args": {"zone": "UTC"}}}
SIGNED = {**ASKED, "thoughtSignature": "c2ln"}
SPOKEN = [{"text": "Hm", "thought": True}, {"text": "Hello"}]
USAGE = {"promptTokenCount": 7, "candidatesTokenCount": 3, "thoughtsTokenCount": 2, "totalTokenCount": 12}
CHUNKS = (
    json.dumps({"candidates": [{"content": {"parts": SPOKEN}}], "responseId": "r1"}),
    json.dumps(
        {
            "candidates": [{"content": {"parts": [SIGNED, ASKED]}, "finishReason": "STOP"}],
            "usageMetadata": USAGE,
        }
    ),
)
SSE = "".join(f"data: {chunk}\r\n\r\n" for chunk in CHUNKS).encode()
CLOCK = {"type": "function", "function": {"name": "clock"}}


def exchange(model: str = "gemini-3-flash-preview", base_url: str = GOOGLE, **members: Any) -> Exchange:
    """An exchange for a chat request with these members."""
    settings = ProviderSettings(name="google", type="gemini", base_url=base_url, api_key=Secret("the-key"))
    request = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **members}
    call = chat.parse(json.dumps(request).encode(), call_id="req_0123456789abcdef0123456789abcdef", at=1000)
    deployment = Deployment(provider="google", model=model)
    served = Model(id="m", name="m", context_window=9, max_output_tokens=9, deployments=(deployment,))
    return Gemini(settings).exchange(call, served, deployment)


def events(out: bytes) -> list[dict[str, Any]]:
    """The data objects of a stream that ended as it should."""
    *datas, done = [line.removeprefix("data: ") for line in out.decode().split("\n\n") if line]
    assert done == "[DONE]"
    return [json.loads(data) for data in datas]


@pytest.mark.parametrize(
    ("base_url", "model", "stream", "url"),
    [
        (GOOGLE, "gemini-2.5-flash", False, f"{GOOGLE}/v1beta/models/gemini-2.5-flash:generateContent"),
        (GOOGLE, "x", True, f"{GOOGLE}/v1beta/models/x:streamGenerateContent?alt=sse"),
        (GOOGLE, "models/x", False, f"{GOOGLE}/v1beta/models/x:generateContent"),
        (GOOGLE, "tunedModels/my x", False, f"{GOOGLE}/v1beta/tunedModels/my%20x:generateContent"),
        (GOOGLE, "a/b?c", False, f"{GOOGLE}/v1beta/models/a%2Fb%3Fc:generateContent"),
        (f"{GOOGLE}/v1alpha", "x", False, f"{GOOGLE}/v1alpha/models/x:generateContent"),
        (f"{GOOGLE}/v1", "x", False, f"{GOOGLE}/v1/models/x:generateContent"),
        (
            "https://v/v1beta1/projects/p/locations/l/publishers/google",
            "x",
            False,
            "https://v/v1beta1/projects/p/locations/l/publishers/google/models/x:generateContent",
        ),
    ],
)
def test_requests_go_where_the_model_is(base_url: str, model: str, stream: bool, url: str) -> None:
    """A base that names a version or a publisher keeps it; a model's name is one step of the path."""
    assert exchange(model, base_url, stream=stream).request.url == url


def test_the_key_is_in_a_header_only() -> None:
    """Addresses end up in logs."""
    request = exchange().request
    assert request.headers["x-goog-api-key"] == "the-key"
    assert "Authorization" not in request.headers
    assert "the-key" not in request.url
    assert b"the-key" not in request.body


def test_a_stream_becomes_a_chat_stream() -> None:
    """Text, reasoning, numbered calls with their signature, one finish reason, the usage."""
    attempt = exchange(stream=True, stream_options={"include_usage": True}, tools=[CLOCK])
    *chunks, usage = events(attempt.feed(SSE[:300]) + attempt.feed(SSE[300:]) + attempt.finish())
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "Hm"
    assert "".join(delta.get("content") or "" for delta in deltas) == "Hello"
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert {call["index"] for call in calls} == {0, 1}
    assert calls[0]["id"] == "call_0123456789abcdef0123456789abcdef0"
    assert calls[0]["extra_content"] == {"google": {"thought_signature": "c2ln"}}
    finishes = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert [finish for finish in finishes if finish] == ["tool_calls"]
    assert usage["usage"]["prompt_tokens"] == 7
    assert usage["usage"]["completion_tokens"] == 5
    assert usage["usage"]["completion_tokens_details"]["reasoning_tokens"] == 2
    assert attempt.usage is not None
    assert attempt.delivered > len("HmHello")


def test_a_whole_answer_becomes_a_chat_completion_and_its_signature_comes_back() -> None:
    """What the client hands back on the next turn stands again where Google put it."""
    attempt = exchange(tools=[CLOCK])
    assert attempt.feed(f"[{','.join(CHUNKS)}]".encode()) == b""
    message = json.loads(attempt.finish())["choices"][0]["message"]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "noon"} for call in message["tool_calls"]
    ]
    asked = [{"role": "user", "content": "hi"}, message, *results]
    contents = json.loads(exchange(tools=[CLOCK], messages=asked).request.body)["contents"]
    assert contents[1]["parts"][0] == {"text": "Hello"}
    assert contents[1]["parts"][1]["thoughtSignature"] == "c2ln"
    assert "thoughtSignature" not in contents[1]["parts"][2]
    assert [part["functionResponse"]["response"] for part in contents[2]["parts"]] == [{"output": "noon"}] * 2


def test_one_call_at_a_time_is_kept() -> None:
    """`parallel_tool_calls: false` has no counterpart at Google; the client still gets one call only."""
    attempt = exchange(tools=[CLOCK], parallel_tool_calls=False)
    attempt.feed(f"[{','.join(CHUNKS)}]".encode())
    assert len(json.loads(attempt.finish())["choices"][0]["message"]["tool_calls"]) == 1


def test_what_one_can_afford_is_the_limit_sent() -> None:
    """The request holds the client's limit under Google's name."""
    body = json.loads(exchange(max_completion_tokens=5).request.body)
    assert body["generationConfig"]["maxOutputTokens"] == 5


def test_a_member_without_a_counterpart_is_refused() -> None:
    """The refusal names the field and the provider."""
    with pytest.raises(InvalidRequest, match=r"google.*logit_bias") as refused:
        exchange(logit_bias={"1": 1})
    assert refused.value.param == "logit_bias"


@pytest.mark.parametrize(
    ("status", "error", "kind", "retry_after"),
    [
        (400, {"message": "API key not valid.", "status": "INVALID_ARGUMENT"}, UpstreamFailed, 1),
        (403, {"message": "No.", "status": "PERMISSION_DENIED"}, UpstreamFailed, 1),
        (404, {"message": "models/x is not found", "status": "NOT_FOUND"}, InvalidRequest, None),
        (429, {"message": "Quota", "details": [{"retryDelay": "34.4s"}]}, UpstreamFailed, 35),
        (503, {"message": "Overloaded", "status": "UNAVAILABLE"}, UpstreamFailed, 1),
    ],
)
def test_googles_errors_mean_what_they_say(
    status: int, error: dict[str, Any], kind: type[CallError], retry_after: int | None
) -> None:
    """A key that fails is the operator's affair, whatever the status; the delay is in the body."""
    told = exchange().reject(status, {}, json.dumps([{"error": error}]).encode())
    assert isinstance(told, kind)
    assert told.retry_after == retry_after


def test_a_stream_that_ends_too_early_is_an_error() -> None:
    """No finish reason, no `[DONE]`."""
    attempt = exchange(stream=True)
    attempt.feed(SSE[: SSE.index(b"\r\n\r\n") + 4])
    with pytest.raises(UpstreamFailed):
        attempt.finish()
