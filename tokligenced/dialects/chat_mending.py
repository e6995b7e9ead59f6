"""Answers of vendors that are nearly OpenAI's, made to fit what OpenAI's own clients can read.

Only what does not fit is changed, and nothing is lost: a value that can't stand where it stood goes on under
its name with `native_` before it.
"""

from collections.abc import Mapping
from typing import Any, cast, get_args

import msgspec
from msgspec import Struct

from tokligenced.dialects import chat_shape
from tokligenced.dialects.wire_error import ErrorInside, WireError

Object = dict[str, Any]

# Tuples: what a vendor puts in the place of a word may be anything, and a list can't be looked for in a set.
_REASONS = get_args(chat_shape.FinishReason)
_TIERS = get_args(chat_shape.ServiceTier)
_ROLES = get_args(chat_shape.Role)
# Vendors' words for OpenAI's. Together, Mistral, Z.ai.
_SAME_REASONS = {
    "eos": "stop",
    "model_length": "length",
    "sensitive": "content_filter",
    "max_tokens": "length",
}
# DeepSeek, OpenRouter, Z.ai: the answer broke off.
_FAILURES = ("insufficient_system_resource", "error", "network_error")


class _Seen(Struct):
    """A tool call that has begun: its id and its place."""

    id: str
    index: int


class _Calls:
    """The tool calls of one choice; `unfilled` are those of whose arguments nothing came yet."""

    __slots__ = ("by_id", "by_index", "last", "next", "unfilled")

    def __init__(self) -> None:
        self.by_index: dict[int, _Seen] = {}
        self.by_id: dict[str, _Seen] = {}
        self.unfilled: dict[int, _Seen] = {}
        self.last: _Seen | None = None
        self.next = 0

    def begin(self, index: int, call_id: str) -> _Seen:
        """A new call."""
        seen = self.last = _Seen(call_id, index)
        self.by_index[index] = self.by_id[call_id] = self.unfilled[index] = seen
        self.next = max(self.next, index + 1)
        return seen

    def of(self, piece: Object, name: object) -> _Seen | None:
        """The call that a piece belongs to; None for a new one, which some vendors do not number."""
        call_id, index = piece.get("id"), piece.get("index")
        named = self.by_id.get(call_id) if isinstance(call_id, str) else None
        if not isinstance(index, int):
            return named or (None if call_id or name else self.last)
        seen = self.by_index.get(index)
        return named if seen is not None and call_id and call_id != seen.id and name else seen


class Mender:
    """Mends one answer; not shared. What it fills in where something is missing is made from the call."""

    def __init__(self, *, call_id: str, created: int, model: str) -> None:
        self._id = call_id
        self._created = created
        self._model = model
        self._choices: dict[int, _Calls] = {}

    def fits(self, chunk: chat_shape.Chunk) -> bool:
        """Whether a chunk of the right types also tells of tool calls what clients must know."""
        for choice in chunk.choices:
            if choice.delta.tool_calls and not self._know(choice.index, choice.delta.tool_calls):
                return False
            if choice.finish_reason is not None and self._calls(choice.index).unfilled:
                return False
        return True

    def _know(self, choice: int, pieces: list[chat_shape.CallPiece]) -> bool:
        calls = self._calls(choice)
        for piece in pieces:
            part = piece.function or piece.custom
            seen = calls.by_index.get(piece.index)
            if seen is None:
                if not (piece.id and piece.type and part and part.name):
                    return False
                calls.begin(piece.index, piece.id)
            elif piece.id and piece.id != seen.id and part and part.name:
                return False
            if piece.custom or (piece.function and piece.function.arguments):
                calls.unfilled.pop(piece.index, None)
        return True

    def _calls(self, choice: int) -> _Calls:
        calls = self._choices.get(choice)
        if calls is None:
            calls = self._choices[choice] = _Calls()
        return calls

    def whole(self, answer: Object) -> Object:
        """A whole answer as clients can read it; raises `ErrorInside` where it is none."""
        choices = [
            self._whole_choice(at, choice) for at, choice in enumerate(_objects(answer.get("choices")))
        ]
        return {**self._shared(answer), "object": "chat.completion", "choices": choices}

    def chunk(self, chunk: Object) -> Object:
        """One event of a stream as clients can read it; raises `ErrorInside` where the answer broke off."""
        choices = [self._chunk_choice(at, choice) for at, choice in enumerate(_objects(chunk.get("choices")))]
        return {**self._shared(chunk), "object": "chat.completion.chunk", "choices": choices}

    def _shared(self, answer: Object) -> Object:
        created = answer.get("created")
        mended = {
            **answer,
            "id": answer["id"] if isinstance(answer.get("id"), str) else f"chatcmpl-{self._id}",
            "created": int(created) if isinstance(created, int | float) else self._created,
            "model": answer["model"] if isinstance(answer.get("model"), str) else self._model,
        }
        if (tier := answer.get("service_tier")) is not None and tier not in _TIERS:
            mended["service_tier"] = None
            mended["native_service_tier"] = tier
        if isinstance(usage := answer.get("usage"), dict):
            mended["usage"] = _usage(usage)
        return mended

    def _whole_choice(self, at: int, choice: Object) -> Object:
        mended = {**choice, **_reason(choice), "index": _index(choice, at)}
        mended["finish_reason"] = mended["finish_reason"] or "stop"
        message = choice.get("message")
        message = _content(message) if isinstance(message, dict) else {"content": None}
        message["role"] = "assistant"
        if isinstance(message.get("tool_calls"), list):
            calls = _objects(message["tool_calls"])
            message["tool_calls"] = [self._whole_call(number, at, call) for number, call in enumerate(calls)]
        if isinstance(call := message.get("function_call"), dict):
            message["function_call"] = _function(call, empty="{}")
        return {**mended, "message": message, **_logprobs(choice)}

    def _whole_call(self, number: int, choice: int, call: Object) -> Object:
        mended = {**call, "id": call.get("id") or self._call_id(choice, number)}
        if isinstance(call.get("function"), dict):
            mended |= {"type": "function", "function": _function(call["function"], empty="{}")}
        return mended

    def _chunk_choice(self, at: int, choice: Object) -> Object:
        index = _index(choice, at)
        mended = {**choice, **_reason(choice), "index": index, **_logprobs(choice)}
        delta = choice.get("delta")
        delta = _content(delta) if isinstance(delta, dict) else {}
        if delta.get("role") not in _ROLES:
            delta.pop("role", None)
        pieces = [self._piece(index, piece) for piece in _objects(delta.get("tool_calls"))]
        if mended["finish_reason"] is not None:
            unfilled = self._calls(index).unfilled
            # A call without arguments has an empty object of them.
            pieces += [{"index": number, "function": {"arguments": "{}"}} for number in unfilled]
            unfilled.clear()
        if pieces:
            delta["tool_calls"] = pieces
        return {**mended, "delta": delta}

    def _piece(self, choice: int, piece: Object) -> Object:
        function = piece.get("function")
        function = _function(function, empty="") if isinstance(function, dict) else None
        custom = piece.get("custom")
        name = (function or {}).get("name")
        if (given := piece.get("id")) is not None and not isinstance(given, str):
            piece = {**piece, "id": msgspec.json.encode(given).decode()}
        calls = self._calls(choice)
        seen = calls.of(piece, name)
        mended = dict(piece)
        if seen is None:
            index = calls.next
            call_id = piece.get("id") or self._call_id(choice, index)
            mended |= {"id": call_id, "type": "custom" if custom else "function"}
            seen = calls.begin(index, call_id)
        mended["index"] = seen.index
        if function is not None:
            mended["function"] = function
        if custom or (function or {}).get("arguments"):
            calls.unfilled.pop(seen.index, None)
        return mended

    def _call_id(self, choice: int, number: int) -> str:
        # OpenAI takes up to 40 characters; the last of a call's id are the random ones.
        return f"call_{self._id[-20:].removeprefix('req_')}_{choice}_{number}"


def _objects(value: object) -> list[Object]:
    return (
        [cast("Object", each) for each in value if isinstance(each, dict)] if isinstance(value, list) else []
    )


def _index(choice: Object, at: int) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) else at


def _reason(choice: Object) -> Object:
    """The finish reason, and the vendor's own word for it where that is another."""
    reason = choice.get("finish_reason")
    if reason in _FAILURES:
        raise ErrorInside(WireError(message=f"the answer broke off: {reason}", type=reason))
    if reason in _REASONS:
        return {"finish_reason": reason}
    if not isinstance(reason, str) or not reason:
        return {"finish_reason": None}
    return {"finish_reason": _SAME_REASONS.get(reason, "stop"), "native_finish_reason": reason}


def _content(message: Object) -> Object:
    """The message, with Mistral's list of parts as text and reasoning."""
    content = message.get("content")
    if not isinstance(content, list):
        return dict(message)
    text: list[str] = []
    thoughts: list[str] = []
    for part in content:
        match part:
            case str() | {"type": "text", "text": str()}:
                text.append(part if isinstance(part, str) else part["text"])
            case {"type": "thinking", "thinking": list() as pieces}:
                thoughts += [piece["text"] for piece in pieces if isinstance(piece.get("text"), str)]
            case {"type": "thinking", "thinking": str() as piece}:
                thoughts.append(piece)
    mended = {**message, "content": "".join(text)}
    if thoughts:
        mended["reasoning_content"] = "".join(thoughts)
    unread = [part for part in content if not _is_read(part)]
    return {**mended, "native_content": unread} if unread else mended


def _is_read(part: object) -> bool:
    return isinstance(part, str) or (isinstance(part, dict) and part.get("type") in {"text", "thinking"})


def _function(function: Mapping[str, Any], *, empty: str) -> Object:
    """A call whose arguments are text; `empty` stands for none."""
    arguments = function.get("arguments")
    if arguments is None or arguments == "":
        arguments = empty
    elif not isinstance(arguments, str):
        arguments = msgspec.json.encode(arguments).decode()
    return {**function, "arguments": arguments}


def _logprobs(choice: Object) -> Object:
    logprobs = choice.get("logprobs")
    if logprobs is None:
        return {}
    try:
        msgspec.convert(logprobs, chat_shape.Logprobs)
    except msgspec.ValidationError:
        return {"logprobs": None, "native_logprobs": logprobs}
    return {}


def _usage(usage: Object) -> Object | None:
    """The usage with its total, None where nothing is counted."""
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if prompt is None and completion is None:
        return None
    if not isinstance(prompt, int | float | None) or not isinstance(completion, int | float | None):
        return usage
    total = usage.get("total_tokens")
    return {
        **usage,
        "prompt_tokens": prompt or 0,
        "completion_tokens": completion or 0,
        "total_tokens": (prompt or 0) + (completion or 0) if total is None else total,
    }
