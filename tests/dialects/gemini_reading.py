"""Answers of Gemini, made up and read."""

from typing import Any

import msgspec

from tokligenced.dialects import gemini_answers
from tokligenced.dialects.conversation import Event

CALL_ID = "req_0123456789abcdef0123456789abcdef"


def reader(**more: Any) -> gemini_answers.Reader:
    return gemini_answers.Reader(CALL_ID, "gemini-x", **more)


def answer(*parts: Any, reason: str | None = "STOP", **more: Any) -> bytes:
    """A chunk with one candidate."""
    candidate = {"content": {"role": "model", "parts": list(parts)}, "finishReason": reason, **more}
    return msgspec.json.encode({"candidates": [candidate]})


def told(*parts: Any, **more: Any) -> list[Event]:
    """What the parts of a whole answer become, without its beginning and end."""
    return reader().whole(answer(*parts, **more))[1:-1]


def call(name: str = "f", **more: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, **more}}
