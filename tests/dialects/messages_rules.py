"""What Anthropic's Messages API demands of a request's shape, as far as its documentation tells."""

import base64
import re
from typing import Any

_ID = re.compile(r"[a-zA-Z0-9_-]+")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_MEMBERS = {
    "model",
    "max_tokens",
    "messages",
    "system",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "metadata",
    "stream",
}
_IMAGES = {"image/jpeg", "image/png", "image/gif", "image/webp"}
_USERS = {"text", "image", "document", "tool_result", "search_result"}


def check(body: dict[str, Any]) -> None:
    """Fail where the API would refuse the body, whichever the model."""
    assert body.keys() <= _MEMBERS
    assert isinstance(body["model"], str)
    assert body["max_tokens"] >= 1
    for block in body.get("system", []):
        _check_text(block)
    _check_messages(body["messages"])
    _check_tools(body)
    _check_thinking(body)
    assert all(stop.strip() for stop in body.get("stop_sequences", []))
    assert 0 <= body.get("temperature", 1) <= 1
    assert len(body.get("metadata", {}).get("user_id", "")) <= 256


def _check_messages(messages: list[dict[str, Any]]) -> None:
    assert messages
    seen: set[str] = set()
    for at, message in enumerate(messages):
        role, content = message["role"], message["content"]
        before = messages[at - 1]["role"] if at else None
        after = messages[at + 1] if at + 1 < len(messages) else None
        assert content
        if role == "system":
            assert before == "user"
            assert after is None or after["role"] == "assistant"
        else:
            assert role in {"user", "assistant"}
            assert role != before
        calls = []
        for block in content:
            _check_block(role, block)
            if block["type"] == "tool_use":
                calls.append(block["id"])
        assert not seen & set(calls)
        assert len(set(calls)) == len(calls)
        seen |= set(calls)
        if role == "assistant":
            answered = _leading_results(after) if after else []
            assert sorted(answered) == sorted(calls)
        if role == "user":
            kinds = [block["type"] == "tool_result" for block in content]
            assert kinds == sorted(kinds, reverse=True), "results come first"
            assert before == "assistant" or not any(kinds)
    last = messages[-1]
    if last["role"] == "assistant" and last["content"][-1]["type"] == "text":
        assert last["content"][-1]["text"] == last["content"][-1]["text"].rstrip()


def _leading_results(message: dict[str, Any]) -> list[str]:
    return [block["tool_use_id"] for block in message["content"] if block["type"] == "tool_result"]


def _check_block(role: str, block: dict[str, Any]) -> None:
    kind = block["type"]
    if role == "system":
        assert kind == "text"
    if role == "user":
        assert kind in _USERS
    if kind == "text":
        _check_text(block)
    elif kind in {"image", "document"}:
        assert role == "user"
        _check_source(kind, block["source"])
    elif kind == "tool_use":
        assert _ID.fullmatch(block["id"])
        assert isinstance(block["input"], dict)
        assert block["name"]
    elif kind == "tool_result":
        assert _ID.fullmatch(block["tool_use_id"])
        for inner in block.get("content", []):
            assert inner["type"] in {"text", "image", "document", "search_result", "tool_reference"}
            _check_block("user", inner)
    elif kind == "thinking":
        assert block["signature"]
        assert isinstance(block["thinking"], str)
    elif kind == "redacted_thinking":
        assert block["data"]


def _check_text(block: dict[str, Any]) -> None:
    assert block["type"] == "text"
    assert block["text"].strip()
    assert block.get("cache_control", {"type": "ephemeral"})["type"] == "ephemeral"


def _check_source(kind: str, source: dict[str, Any]) -> None:
    match source["type"]:
        case "base64":
            assert source["media_type"] in (_IMAGES if kind == "image" else {"application/pdf"})
            base64.b64decode(source["data"], validate=True)
        case "text":
            assert kind == "document"
            assert source["media_type"] == "text/plain"
        case "url":
            assert source["url"]
        case other:
            assert other == "file"
            assert source["file_id"]


def _check_tools(body: dict[str, Any]) -> None:
    tools = body.get("tools", [])
    names = [tool["name"] for tool in tools]
    for tool in tools:
        assert _NAME.fullmatch(tool["name"])
        assert tool["input_schema"]["type"] == "object"
        assert "strict" not in tool or tool["input_schema"]["additionalProperties"] is False
    choice = body.get("tool_choice")
    if choice is not None:
        assert tools
        assert choice["type"] in {"auto", "any", "tool", "none"}
        assert (choice["type"] == "tool") == ("name" in choice)
        assert choice.get("name", names[0]) in names
        assert choice["type"] != "none" or "disable_parallel_tool_use" not in choice


def _check_thinking(body: dict[str, Any]) -> None:
    thinking = body.get("thinking")
    config = body.get("output_config", {})
    assert config.get("effort", "low") in {"low", "medium", "high", "xhigh", "max"}
    if "format" in config:
        assert config["format"]["type"] == "json_schema"
        assert isinstance(config["format"]["schema"], dict)
    if thinking is None:
        return
    assert thinking["type"] in {"enabled", "adaptive", "disabled", "between_tools"}
    if thinking["type"] in {"enabled", "adaptive"}:
        assert body.get("temperature", 1) == 1
        assert body.get("top_p", 1) >= 0.95
        assert "top_k" not in body
    if thinking["type"] == "enabled":
        assert 1024 <= thinking["budget_tokens"] < body["max_tokens"]
        assert body.get("tool_choice", {"type": "auto"})["type"] in {"auto", "none"}
