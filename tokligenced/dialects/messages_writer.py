"""Answers of Anthropic's Messages, written from the hub's events.

Blocks follow each other: one is closed before the next is opened, and nothing reaches a closed one.
https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec
from msgspec import Raw

from tokligenced.dialects import free_text, messages_errors, messages_usage
from tokligenced.dialects.conversation import (
    Began,
    CallBegan,
    CallGrew,
    Carried,
    Cited,
    Counted,
    Ended,
    Event,
    Finish,
    Refused,
    Said,
    Signed,
    Thought,
)
from tokligenced.dialects.messages_answers import FINISHES
from tokligenced.dialects.messages_turns import legal_id
from tokligenced.domain import Call, Usage
from tokligenced.errors import CallError

_encode = msgspec.json.Encoder().encode
_object = msgspec.json.Decoder(dict[str, Raw])

_REASONS: Mapping[Finish, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
# What Anthropic itself wraps arguments in that are no JSON object.
# https://platform.claude.com/docs/en/agents-and-tools/tool-use/fine-grained-tool-streaming
_INVALID = "INVALID_JSON"


class Writer:
    """Writes one answer of a model to a call; not shared."""

    def __init__(self, call: Call, model: str) -> None:
        self._call_id = call.id
        self._began = Began(id=f"msg_{call.id}", model=model)
        self._usage: Usage | None = None
        self._started = False
        self._wire = _Wire()
        self._content = _Content(self._wire)

    def stream(self, events: Iterable[Event]) -> bytes:
        """What goes to the client now; empty when there is nothing to say yet."""
        for event in events:
            match event:
                case Began():
                    self._begin(event)
                case Counted():
                    self._usage = event.usage
                case _:
                    self._content.take(event)
        said = self._wire.taken()
        # Nothing leaves before there is something to say: until then another upstream can be asked.
        if self._started or not said:
            return said
        self._started = True
        message = self._message([], None, None)
        return _event("message_start", {"message": message}) + said

    def end(self) -> bytes:
        """What ends a complete stream: the blocks that are open, the reason why, the usage."""
        self._content.end()
        start = b"" if self._started else _event("message_start", {"message": self._message([], None, None)})
        reason, delta = self._content.ending()
        usage = messages_usage.wire_of(self._usage or Usage())
        return b"".join(
            (
                start,
                self._wire.taken(),
                _event("message_delta", {"delta": {"stop_reason": reason, **delta}, "usage": usage}),
                _event("message_stop", {}),
            )
        )

    def fail(self, error: CallError) -> bytes:
        """What ends a stream that broke off."""
        return messages_errors.render_error_event(error, self._call_id)

    def whole(self, events: Iterable[Event]) -> bytes:
        """The body of an answer that is not streamed."""
        blocks = _Blocks()
        content = _Content(blocks)
        for event in events:
            match event:
                case Began():
                    self._begin(event)
                case Counted():
                    self._usage = event.usage
                case _:
                    content.take(event)
        content.end()
        reason, delta = content.ending()
        return _encode(self._message(blocks.found, reason, delta))

    def _begin(self, began: Began) -> None:
        self._began = Began(id=began.id or self._began.id, model=began.model or self._began.model)

    def _message(
        self, content: list[Any], reason: str | None, delta: dict[str, Any] | None
    ) -> dict[str, Any]:
        return {
            "id": self._began.id,
            "type": "message",
            "role": "assistant",
            "model": self._began.model,
            "content": content,
            "stop_reason": reason,
            **(delta or {"stop_sequence": None}),
            "usage": messages_usage.wire_of(self._usage or Usage()),
        }


_Start = dict[str, Any] | Raw


class _Out(Protocol):
    """Where blocks go."""

    def start(self, block: _Start) -> None:
        """A block begins."""

    def add(self, kind: str, member: str, value: str | dict[str, str]) -> None:
        """The block that is open gets more; `kind` is of the delta, `member` its own."""

    def stop(self) -> None:
        """The block is over."""


class _Wire:
    """Blocks as events of a stream."""

    def __init__(self) -> None:
        self._index = -1
        self._out: list[bytes] = []

    def start(self, block: _Start) -> None:
        self._index += 1
        self._out.append(_event("content_block_start", {"index": self._index, "content_block": block}))

    def add(self, kind: str, member: str, value: str | dict[str, str]) -> None:
        self._out.append(
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":"%b","%b":%b}}\n\n'
            % (self._index, kind.encode(), member.encode(), _encode(value))
        )

    def stop(self) -> None:
        self._out.append(_event("content_block_stop", {"index": self._index}))

    def taken(self) -> bytes:
        """What is new since it was asked last."""
        taken = b"".join(self._out)
        self._out.clear()
        return taken


class _Blocks:
    """Blocks as they stand in a whole message."""

    def __init__(self) -> None:
        self.found: list[_Start] = []
        self._last: dict[str, Any] = {}
        self._pieces: list[str] = []

    def start(self, block: _Start) -> None:
        self.found.append(block)
        if isinstance(block, dict):
            self._last = block

    def add(self, kind: str, member: str, value: str | dict[str, str]) -> None:
        if isinstance(value, dict):
            self._last.setdefault("citations", []).append(value)
        elif kind == "signature_delta":
            self._last[member] = value
        else:
            self._pieces.append(value)

    def stop(self) -> None:
        if not self._pieces:
            return
        text = "".join(self._pieces)
        self._pieces.clear()
        block = self._last
        if block["type"] == "tool_use":
            block["input"] = Raw(text.encode()) if _is_object(text) else {_INVALID: text}
        else:
            block[block["type"]] = text


class _Content:
    """Puts events in blocks, one after the other.

    Some upstreams mix the pieces of several tool calls. What comes while a call's arguments are not complete
    is held until the end, so that no piece comes too late for its block.
    """

    def __init__(self, out: _Out) -> None:
        self._out = out
        self._open = ""
        self._call = CallBegan(choice=0, index=-1, id="", name="")
        self._arguments: list[str] = []
        self._held: list[Event] | None = None
        self._refused: list[str] = []
        self._ended: Ended | None = None

    def take(self, event: Event) -> None:
        """Say an event; what this dialect has no place for is left out."""
        if isinstance(event, Ended):
            self._ended = self._ended or event
        elif isinstance(event, Refused):
            self._refused.append(event.text)
        elif isinstance(event, CallGrew) and self._open == "tool_use" and event.index == self._call.index:
            self._grow(event.text)
        elif self._held is not None:
            self._held.append(event)
        elif self._open == "tool_use" and not _is_object("".join(self._arguments)):
            self._held = [event]
        else:
            if self._open == "tool_use":
                self._close()  # once its arguments are complete they need not be looked at again
            self._say(event)

    def end(self) -> None:
        """All events were taken: say what is held, and close what is open."""
        held, self._held = self._held or [], None
        self._close()
        arguments: dict[int, list[str]] = {}
        for event in held:
            if isinstance(event, CallGrew):
                arguments.setdefault(event.index, []).append(event.text)
        for event in held:
            if isinstance(event, CallGrew):
                continue
            self._say(event)
            if isinstance(event, CallBegan):
                self._grow("".join(arguments.get(event.index, ())))
        self._close()

    def ending(self) -> tuple[str, dict[str, Any]]:
        """Why the answer ended, and what goes with that."""
        ended = self._ended or Ended(choice=0, finish="stop")
        reason = _REASONS[ended.finish]
        if ended.native is not None and FINISHES.get(ended.native) == ended.finish:
            reason = ended.native
        elif ended.stop_sequence is not None and ended.finish == "stop":
            reason = "stop_sequence"
        more: dict[str, Any] = {"stop_sequence": ended.stop_sequence}
        if self._refused:
            reason = "refusal"
            explanation = "".join(self._refused)
            more["stop_details"] = {"type": "refusal", "category": None, "explanation": explanation}
        return reason, more

    def _say(self, event: Event) -> None:
        match event:
            case Said():
                self._in("text", {"type": "text", "text": ""})
                self._out.add("text_delta", "text", event.text)
            case Thought():
                self._in("thinking", {"type": "thinking", "thinking": "", "signature": ""})
                self._out.add("thinking_delta", "thinking", event.text)
            case Signed():
                self._sign(event)
            case CallBegan():
                self._close()
                self._open, self._call = "tool_use", event
                self._out.start(_tool_use(event))
            case Cited():
                self._in("text", {"type": "text", "text": ""})
                self._out.add("citations_delta", "citation", _citation(event))
            case Carried() if event.block.dialect == "messages":
                self._close()
                self._out.start(event.block.block)
                self._out.stop()
            case _:
                pass

    def _sign(self, event: Signed) -> None:
        block = event.block
        if block.redacted is not None:
            self._in("redacted_thinking", {"type": "redacted_thinking", "data": block.redacted})
        elif block.signature is not None:
            self._in("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            self._out.add("signature_delta", "signature", block.signature)
        if self._open != "text":
            self._close()

    def _grow(self, text: str) -> None:
        if text:
            self._arguments.append(text)
            if self._call.kind == "function":
                self._out.add("input_json_delta", "partial_json", text)

    def _in(self, kind: str, block: dict[str, Any]) -> None:
        if self._open != kind:
            self._close()
            self._open = kind
            self._out.start(block)

    def _close(self) -> None:
        if not self._open:
            return
        if self._open == "tool_use" and self._call.kind == "custom":
            # Free text has its place in an object, as everything a tool is called with.
            written = free_text.wrapped("".join(self._arguments)).decode()
            self._out.add("input_json_delta", "partial_json", written)
        self._arguments.clear()
        self._open = ""
        self._out.stop()


def _tool_use(began: CallBegan) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "tool_use", "id": legal_id(began.id), "name": began.name, "input": {}}
    if began.signature is not None:
        # Google wants it back with the call; it travels as in Google's own compatible API.
        block["extra_content"] = {"google": {"thought_signature": began.signature}}
    return block


def _citation(cited: Cited) -> dict[str, Any]:
    return {
        "type": "web_search_result_location",
        "url": cited.url,
        "title": cited.title,
        "cited_text": "",
        "encrypted_index": "",
    }


def _is_object(text: str) -> bool:
    try:
        _object.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _event(kind: str, members: dict[str, Any]) -> bytes:
    data = _encode({"type": kind, **members})
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)
