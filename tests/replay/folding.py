"""A recorded stream folded into the answer that the provider would have given whole."""

import json
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from itertools import pairwise
from typing import Any

from tests.replay.recordings import Recording, Wire

Json = dict[str, Any]
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]|\['([^']*)'\]")
_NEVER_GROW = frozenset({"role", "type", "id", "name", "index"})
_VALUES = ("stringValue", "numberValue", "boolValue")


def whole(recording: Recording) -> Json:
    """The whole answer, in the provider's own language."""
    if not recording.streamed:
        answer: Json = recording.data[0]
        return answer
    return _FOLDS[recording.wire](recording.data)


def grown(old: Any, new: Any) -> Any:
    """What two pieces of one value make together: texts and lists go on, members are laid together."""
    if isinstance(old, str) and isinstance(new, str):
        return old + new
    if isinstance(old, list) and isinstance(new, list):
        return old + new
    if isinstance(old, dict) and isinstance(new, dict):
        return merged(old, new)
    return old if new is None else new


def merged(old: Json, new: Json) -> Json:
    """Two pieces of one object; what names it does not grow."""
    return {
        name: (old.get(name) or new.get(name)) if name in _NEVER_GROW else grown(old.get(name), new.get(name))
        for name in [*old, *[name for name in new if name not in old]]
    }


def chat(chunks: list[Json]) -> Json:
    """Chunks of a chat completion as the completion."""
    choices: dict[int, Json] = {}
    answer: Json = {}
    for chunk in chunks:
        answer |= {name: value for name, value in chunk.items() if name != "choices" and value is not None}
        for piece in chunk.get("choices") or []:
            choice = choices.setdefault(piece.get("index") or 0, {"message": {"role": "assistant"}})
            _grow_message(choice["message"], piece.get("delta") or {})
            rest = {name: value for name, value in piece.items() if name not in {"delta", "message"}}
            choice.update({name: value for name, value in rest.items() if value is not None})
    for choice in choices.values():
        for call in choice["message"].get("tool_calls", []):
            del call["index"]
    return {**answer, "object": "chat.completion", "choices": [choices[at] for at in sorted(choices)]}


def _grow_message(message: Json, delta: Json) -> None:
    calls: list[Json] = message.get("tool_calls", [])
    for at, piece in enumerate(delta.get("tool_calls") or []):
        index = at if piece.get("index") is None else piece["index"]
        known = next((number for number, call in enumerate(calls) if call["index"] == index), None)
        if known is None:
            calls.append({**piece, "index": index})
        else:
            calls[known] = merged(calls[known], piece)
    rest = {name: value for name, value in delta.items() if name != "tool_calls" and value is not None}
    message.update(merged(message, rest))
    if calls:
        message["tool_calls"] = calls


def _messages(events: list[Json]) -> Json:
    message: Json = {}
    blocks: dict[int, Json] = {}
    inputs: dict[int, str] = {}
    for event in events:
        match event["type"]:
            case "message_start":
                message = deepcopy(event["message"])
            case "content_block_start":
                blocks[event["index"]] = deepcopy(event["content_block"])
            case "content_block_delta":
                _grow_block(blocks[event["index"]], event["delta"], inputs, event["index"])
            case "message_delta":
                message |= {name: value for name, value in event["delta"].items() if value is not None}
                told = event.get("usage") or {}
                # The later count is the one that holds; a zero for what went in says nothing.
                message["usage"] |= {
                    name: value for name, value in told.items() if value or name == "output_tokens"
                }
    for index, text in inputs.items():
        blocks[index]["input"] = json.loads(text or "{}")
    return {**message, "content": [blocks[index] for index in sorted(blocks)]}


def _grow_block(block: Json, delta: Json, inputs: dict[int, str], index: int) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "input_json_delta":
            inputs[index] = inputs.get(index, "") + delta["partial_json"]
        case "citations_delta":
            block["citations"] = [*(block.get("citations") or []), delta["citation"]]


def _gemini(chunks: list[Json]) -> Json:
    answer: Json = {}
    candidates: dict[int, Json] = {}
    for chunk in chunks:
        answer |= {name: value for name, value in chunk.items() if name != "candidates"}
        for piece in chunk.get("candidates") or []:
            candidate = candidates.setdefault(piece.get("index") or 0, {"content": {"parts": []}})
            parts = candidate["content"]["parts"]
            for part in (piece.get("content") or {}).get("parts") or []:
                _add_part(parts, deepcopy(part))
            candidate.update({name: value for name, value in piece.items() if name != "content"})
            candidate["content"]["role"] = "model"
    if candidates:
        answer["candidates"] = [candidates[at] for at in sorted(candidates)]
    return answer


def _add_part(parts: list[Json], part: Json) -> None:
    call = part.get("functionCall")
    open_call = parts[-1].get("functionCall", {}) if parts else {}
    if call is not None and open_call.get("willContinue") and not call.get("name"):
        _add_arguments(open_call, call)
        return
    parts.append(part)
    if call is not None and call.get("willContinue"):
        pieces = {"partialArgs": call.pop("partialArgs", []), "willContinue": True}
        call.setdefault("args", {})
        _add_arguments(call, pieces)


def _add_arguments(call: Json, piece: Json) -> None:
    """Streamed arguments: each names the place of its value by a path, and a text may come in pieces."""
    for argument in piece.get("partialArgs", []):
        steps = [
            int(at) if at else name or quoted for name, at, quoted in _STEP.findall(argument["jsonPath"])
        ]
        value = next((argument[kind] for kind in _VALUES if kind in argument), None)
        _put(call["args"], steps, value)
    if not piece.get("willContinue"):
        call.pop("willContinue", None)


def _put(place: Any, steps: list[int | str], value: Any) -> None:
    for step, following in pairwise(steps):
        if isinstance(step, int):
            place += [None] * (step + 1 - len(place))
            place[step] = place[step] or ([] if isinstance(following, int) else {})
        else:
            place.setdefault(step, [] if isinstance(following, int) else {})
        place = place[step]
    last = steps[-1]
    if isinstance(last, int):
        place += [None] * (last + 1 - len(place))
        place[last] = grown(place[last], value)
    else:
        place[last] = grown(place.get(last), value)


_FOLDS: Mapping[Wire, Callable[[list[Json]], Json]] = {
    "openai": chat,
    "anthropic": _messages,
    "gemini": _gemini,
}
