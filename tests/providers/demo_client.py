"""What the tests of the demo provider share: asking it, and reading what it answers."""

import json
from collections.abc import Mapping
from typing import Any

from tokligenced.providers.demo import Script, respond

CHAT = "/chat/completions"

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"enum": ["celsius", "kelvin"]},
                "days": {"type": "integer", "minimum": 3},
                "note": {"type": "string"},
            },
            "required": ["city", "unit", "days"],
        },
    },
}

CLOCK: dict[str, Any] = {"type": "function", "function": {"name": "read_clock", "parameters": {}}}


def ask(text: str = "Which tea is best?", **members: Any) -> dict[str, Any]:
    """A chat request with one message."""
    return {"model": "demo", "messages": [{"role": "user", "content": text}], **members}


def play(request: object, path: str = CHAT) -> Script:
    """The script that answers a request."""
    return respond(path, json.dumps(request).encode())


def whole(request: object, path: str = CHAT) -> dict[str, Any]:
    """The one body of an answer that succeeded."""
    script = play(request, path)
    assert script.status == 200
    assert script.headers["content-type"] == "application/json"
    answer: dict[str, Any] = json.loads(b"".join([step.data for step in script.steps]))
    return answer


def events(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The chunks of a stream that ended well."""
    script = play({**request, "stream": True})
    assert script.status == 200
    assert script.headers["content-type"].startswith("text/event-stream")
    sent = [step.data for step in script.steps]
    assert sent.pop() == b"data: [DONE]\n\n"
    assert all(event.startswith(b"data: ") and event.endswith(b"\n\n") for event in sent)
    return [json.loads(event[6:]) for event in sent]


def message(request: object) -> dict[str, Any]:
    """The message of the first choice."""
    answer: dict[str, Any] = whole(request)["choices"][0]["message"]
    return answer
