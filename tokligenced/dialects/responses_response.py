"""The Response object of OpenAI Responses: what was asked, what came of it.

https://platform.openai.com/docs/api-reference/responses/object
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Raw

from tokligenced.dialects import responses_usage
from tokligenced.domain import Call, Usage

Status = Literal["in_progress", "completed", "incomplete", "failed"]
Item = dict[str, Any]

# What a client that did not say gets told.
_DEFAULTS: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


class Response:
    """One response to a call, by its id; items of output have ids of their own."""

    def __init__(self, call: Call, model: str) -> None:
        self._core = call.id.removeprefix("req_")
        self._created_at = call.at // 1000
        self._echo = {name: Raw(call.member(name) or _encode(value)) for name, value in _DEFAULTS.items()}
        self._store = call.member("store") == b"true"
        self.model = model
        self.usage: Usage | None = None

    def item_id(self, prefix: str, index: int) -> str:
        """The id of an item of the output."""
        return f"{prefix}_{self._core}{index:04x}"

    def shown(
        self,
        status: Status,
        output: Sequence[Item] = (),
        *,
        error: Mapping[str, str] | None = None,
        reason: str | None = None,
    ) -> Item:
        """The response as it stands; `reason` is why it is incomplete."""
        return {
            "id": f"resp_{self._core}",
            "object": "response",
            "created_at": self._created_at,
            "status": status,
            "background": False,
            "error": error,
            "incomplete_details": {"reason": reason} if reason else None,
            "model": self.model,
            "output": output,
            "service_tier": "default",
            "store": self._store,
            "usage": responses_usage.wire_of(self.usage) if self.usage else None,
            **self._echo,
        }


_encode = msgspec.json.Encoder().encode
