"""What travels in a benchmark: the request, the answers, and how both are recognised.

The request's own text tells the mock upstream how to answer, so the order survives whatever a gateway
does to the request around it: `bench:CHUNKS:INTERVAL_MS;`, where no chunks means a whole answer.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

Dialect = Literal["chat", "anthropic", "gemini"]

MODEL = "bench"
# What clients ask for when the gateway's upstream shall speak another dialect than they do.
MODELS: Mapping[Dialect, str] = {"chat": MODEL, "anthropic": "bench-anthropic", "gemini": "bench-gemini"}
PATH = "/v1/chat/completions"
ANSWER_MARK = b"the whole answer ends here"
DONE = b"data: [DONE]\n\n"
END_OF_CHUNKS = b"\r\n0\r\n\r\n"

_ORDER = re.compile(rb"bench:(\d+):(\d+);")
_IDENTITY = {"id": "chatcmpl-bench", "created": 1_760_000_000, "model": "bench-upstream"}
_USAGE = {"prompt_tokens": 400, "completion_tokens": 200, "total_tokens": 600}


def request(*, port: int, key: str, chunks: int, interval_ms: int, model: str = MODEL) -> bytes:
    """A chat request of about 2 KB, head and body; like most clients it asks for no usage chunk."""
    body = _encode(
        {
            "model": model,
            "messages": [
                {"role": "system", "content": "You answer briefly and to the point. " * 48},
                {"role": "user", "content": f"bench:{chunks}:{interval_ms}; What is a gateway?"},
            ],
            "max_tokens": 1000,
            "stream": chunks > 0,
        }
    )
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def order(body: bytes) -> tuple[int, int]:
    """Chunks and milliseconds between them, as the request's text asks; ValueError when it doesn't."""
    found = _ORDER.search(body)
    if found is None:
        raise ValueError("the request carries no order")
    return int(found[1]), int(found[2])


def whole_answer() -> bytes:
    """A finished completion with usage, about 600 bytes of JSON."""
    message = {"role": "assistant", "content": "Words. " * 24 + ANSWER_MARK.decode()}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _encode({**_IDENTITY, "object": "chat.completion", "choices": [choice], "usage": _USAGE})


def dialect_of(path: bytes) -> Dialect:
    """Which dialect a request for this path is in."""
    if path.startswith(b"/v1/messages"):
        return "anthropic"
    return "gemini" if b":streamGenerateContent" in path else "chat"


def first_events(dialect: Dialect = "chat") -> bytes:
    """What comes before the first word of a stream."""
    if dialect != "anthropic":
        return b""
    usage = {"input_tokens": 400, "output_tokens": 1}
    message = {"id": "msg_bench", "type": "message", "role": "assistant", "model": "bench-upstream"}
    begun = {**message, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    block = {"type": "text", "text": ""}
    return _named({"type": "message_start", "message": begun}) + _named(
        {"type": "content_block_start", "index": 0, "content_block": block}
    )


def content_event(dialect: Dialect = "chat", said: int = 200) -> bytes:
    """One word of a stream; Gemini tells with each how many tokens were `said` so far."""
    if dialect == "anthropic":
        delta = {"type": "text_delta", "text": " word"}
        return _named({"type": "content_block_delta", "index": 0, "delta": delta})
    if dialect == "gemini":
        return _candidate({"content": {"role": "model", "parts": [{"text": " word"}]}, "index": 0}, said)
    return _event({"role": "assistant", "content": " word"}, None)


def last_events(*, usage: bool, dialect: Dialect = "chat") -> bytes:
    """What follows the last word: the finish reason, the usage (in chat if it was asked for), the end."""
    if dialect == "anthropic":
        ended = {"stop_reason": "end_turn", "stop_sequence": None}
        return (
            _named({"type": "content_block_stop", "index": 0})
            + _named({"type": "message_delta", "delta": ended, "usage": {"output_tokens": 200}})
            + _named({"type": "message_stop"})
        )
    if dialect == "gemini":
        return _candidate({"content": {"role": "model"}, "finishReason": "STOP", "index": 0}, 200)
    counted = {**_IDENTITY, "object": "chat.completion.chunk", "choices": [], "usage": _USAGE}
    return _event({}, "stop") + (_data(counted) if usage else b"") + DONE


def _event(delta: dict[str, str], finish_reason: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return _data({**_IDENTITY, "object": "chat.completion.chunk", "choices": [choice]})


def _named(event: Mapping[str, Any]) -> bytes:
    return b"event: %b\n%b" % (str(event["type"]).encode(), _data(event))


def _candidate(candidate: Mapping[str, Any], said: int) -> bytes:
    counted = {"promptTokenCount": 400, "candidatesTokenCount": said, "totalTokenCount": 400 + said}
    answer = {"candidates": [candidate], "usageMetadata": counted, "modelVersion": "bench-upstream"}
    # Google ends its lines as HTTP does.
    return b"data: " + _encode({**answer, "responseId": "bench"}) + b"\r\n\r\n"


def _data(value: object) -> bytes:
    return b"data: " + _encode(value) + b"\n\n"


def _encode(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
