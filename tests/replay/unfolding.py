"""An answer that was recorded whole, cut into the stream that the provider would have sent instead."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.replay.recordings import Recording, Wire, as_events

Json = dict[str, Any]


def stream(recording: Recording) -> bytes:
    """The event stream, in the provider's own language."""
    return _STREAMS[recording.wire](recording.data[0])


def _pieces(text: str) -> list[str]:
    """A text in three pieces, none of them empty unless it is."""
    third = max(1, len(text) // 3)
    return [piece for piece in (text[:third], text[third : 2 * third], text[2 * third :]) if piece]


def _chat(answer: Json) -> bytes:
    common = {name: value for name, value in answer.items() if name not in {"choices", "usage"}}
    common["object"] = "chat.completion.chunk"

    def chunk(index: int, delta: Json, rest: Json | None = None) -> Json:
        choice = {"index": index, "delta": delta, "finish_reason": None, **(rest or {})}
        return {**common, "choices": [choice]}

    chunks = []
    for choice in answer["choices"]:
        index, message = choice.get("index", 0), choice.get("message") or {}
        chunks += [chunk(index, delta) for delta in _deltas(message)]
        rest = {name: value for name, value in choice.items() if name != "message"}
        chunks.append(chunk(index, {}, rest))
    if answer.get("usage"):
        chunks.append({**common, "choices": [], "usage": answer["usage"]})
    return as_events(chunks) + b"data: [DONE]\n\n"


def _deltas(message: Json) -> Iterator[Json]:
    texts = {name: value for name, value in message.items() if isinstance(value, str) and name != "role"}
    others = {name: value for name, value in message.items() if name not in {*texts, "tool_calls"}}
    yield {**others, "role": "assistant"}
    for name, text in texts.items():
        yield from ({name: piece} for piece in _pieces(text))
    for index, call in enumerate(message.get("tool_calls") or []):
        function = call["function"]
        begun = {**call, "index": index, "function": {"name": function["name"], "arguments": ""}}
        yield {"tool_calls": [begun]}
        for piece in _pieces(function["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _messages(message: Json) -> bytes:
    begun = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    begun["usage"] = {**message["usage"], "output_tokens": 1}
    events: list[Json] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for index, block in enumerate(message["content"]):
        start, deltas = _block(block)
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    ended = {
        name: value for name, value in message.items() if name.startswith("stop_") or name == "container"
    }
    events.append({"type": "message_delta", "delta": ended, "usage": message["usage"]})
    events.append({"type": "message_stop"})
    named = [b"event: %b\n%b" % (event["type"].encode(), as_events([event])) for event in events]
    return b"".join(named)


def _block(block: Json) -> tuple[Json, list[Json]]:
    """A block as it begins, and what makes it grow to what it is."""
    match block["type"]:
        case "text":
            cited = [{"type": "citations_delta", "citation": each} for each in block.get("citations") or []]
            grows = [{"type": "text_delta", "text": piece} for piece in _pieces(block["text"])]
            return {**block, "text": "", **({"citations": []} if cited else {})}, grows + cited
        case "thinking":
            grows = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(block["thinking"])]
            signed = {"type": "signature_delta", "signature": block["signature"]}
            return {**block, "thinking": "", "signature": ""}, [*grows, signed]
        case "tool_use" | "server_tool_use":
            text = json.dumps(block["input"]) if block["input"] else ""
            grows = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *_pieces(text)]]
            return {**block, "input": {}}, grows
        case _:
            return block, []


def _gemini(answer: Json) -> bytes:
    common = {name: value for name, value in answer.items() if name not in {"candidates", "usageMetadata"}}
    chunks: list[Json] = []
    for candidate in answer.get("candidates") or []:
        content = candidate.get("content") or {}
        parts = [piece for part in content.get("parts") or [] for piece in _parts(part)]
        rest = {name: value for name, value in candidate.items() if name != "content"}
        at = {"index": candidate["index"]} if "index" in candidate else {}
        chunks += [
            {**common, "candidates": [{**at, "content": {"role": "model", "parts": [part]}}]}
            for part in parts
        ]
        chunks.append({**common, "candidates": [{**rest, "content": {"role": "model"}}]})
    usage = {"usageMetadata": answer["usageMetadata"]} if "usageMetadata" in answer else {}
    chunks[-1:] = [{**(chunks[-1] if chunks else common), **usage}]
    return as_events(chunks)


def _parts(part: Json) -> list[Json]:
    """A part in pieces; what proves it comes with the last."""
    if "text" not in part:
        return [part]
    kind = {"thought": part["thought"]} if "thought" in part else {}
    *texts, last = _pieces(part["text"]) or [""]
    return [*[{**kind, "text": text} for text in texts], {**part, "text": last}]


_STREAMS: Mapping[Wire, Callable[[Json], bytes]] = {
    "openai": _chat,
    "anthropic": _messages,
    "gemini": _gemini,
}
