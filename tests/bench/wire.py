"""What travels in a benchmark: the request, the answers, and how both are recognised.

The request's own text tells the mock upstream how to answer, so the order survives whatever a gateway
does to the request around it: `bench:CHUNKS:INTERVAL_MS;`, where no chunks means a whole answer.
"""

import json
import re

MODEL = "bench"
PATH = "/v1/chat/completions"
ANSWER_MARK = b"the whole answer ends here"
DONE = b"data: [DONE]\n\n"
END_OF_CHUNKS = b"\r\n0\r\n\r\n"

_ORDER = re.compile(rb"bench:(\d+):(\d+);")
_IDENTITY = {"id": "chatcmpl-bench", "created": 1_760_000_000, "model": "bench-upstream"}
_USAGE = {"prompt_tokens": 400, "completion_tokens": 200, "total_tokens": 600}


def request(*, port: int, key: str, chunks: int, interval_ms: int) -> bytes:
    """A chat request of about 2 KB, head and body; like most clients it asks for no usage chunk."""
    body = _encode(
        {
            "model": MODEL,
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


def content_event() -> bytes:
    """One word of a stream."""
    return _event({"role": "assistant", "content": " word"}, None)


def last_events(*, usage: bool) -> bytes:
    """What follows the last word: the finish reason, the usage chunk if it was asked for, `[DONE]`."""
    counted = {**_IDENTITY, "object": "chat.completion.chunk", "choices": [], "usage": _USAGE}
    usage_event = b"data: " + _encode(counted) + b"\n\n" if usage else b""
    return _event({}, "stop") + usage_event + DONE


def _event(delta: dict[str, str], finish_reason: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return (
        b"data: " + _encode({**_IDENTITY, "object": "chat.completion.chunk", "choices": [choice]}) + b"\n\n"
    )


def _encode(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
