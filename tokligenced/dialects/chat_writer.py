"""OpenAI Chat Completions: answers written from the hub's events.

A stream's finish reasons are held back until the upstream's answer is known to be complete.
https://platform.openai.com/docs/api-reference/chat-streaming
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from tokligenced.dialects import chat, chat_extensions, openai_usage
from tokligenced.dialects.conversation import (
    Began,
    CallBegan,
    CallGrew,
    Carried,
    ChoiceEvent,
    Cited,
    Counted,
    Drew,
    Ended,
    Event,
    Logged,
    Media,
    Refused,
    Said,
    Sealed,
    Signed,
    Thought,
)
from tokligenced.domain import Call, Usage
from tokligenced.errors import CallError

_encode = msgspec.json.Encoder().encode
_SAID = b'"delta":{"content":'
_THOUGHT = b'"delta":{"reasoning_content":'
_OPEN_END = b'},"finish_reason":null}]}\n\n'


class Writer:
    """Writes one answer of a model to a call; not shared."""

    def __init__(self, call: Call, model: str) -> None:
        self._call = call
        self._id = f"chatcmpl-{call.id}"
        self._model = model
        # Who offers functions, as they were before there were tools, knows no tool calls.
        self._legacy = bool(call.member("functions"))
        self._prefix = b""
        self._choices: dict[int, _Choice] = {}
        self._usage: Usage | None = None

    def stream(self, events: Iterable[Event]) -> bytes:
        """What goes to the client now; empty when there is nothing to say yet."""
        out: list[bytes] = []
        for event in events:
            match event:
                case Began():
                    self._begin(event)
                case Counted():
                    self._usage = event.usage
                case _:
                    choice = self._choices.get(event.choice)
                    if choice is None:
                        choice = self._choices[event.choice] = _Choice(legacy=self._legacy)
                    if chunk := self._chunk(choice, event):
                        out.append(chunk)
        return b"".join(out)

    def end(self) -> bytes:
        """What ends a complete stream: the reasons why, the usage if it was asked for, `[DONE]`."""
        out = [
            self._data({"choices": [{"index": index, "delta": choice.unsaid(), **choice.ending()}]})
            for index, choice in sorted(self._choices.items())
        ]
        if self._call.include_usage and self._usage is not None:
            out.append(self._data({"choices": [], "usage": openai_usage.wire_of(self._usage)}))
        return b"".join([*out, b"data: [DONE]\n\n"])

    def fail(self, error: CallError) -> bytes:
        """What ends a stream that broke off."""
        return chat.render_error_event(error)

    def whole(self, events: Iterable[Event]) -> bytes:
        """The body of an answer that is not streamed."""
        for event in events:
            match event:
                case Began():
                    self._begin(event)
                case Counted():
                    self._usage = event.usage
                case _:
                    choice = self._choices.setdefault(event.choice, _Choice(legacy=self._legacy))
                    choice.keep(event, self._call)
        answer: dict[str, Any] = {
            "id": self._id,
            "object": "chat.completion",
            "created": self._call.at // 1000,
            "model": self._model,
            "choices": [
                {"index": index, "message": choice.message(), **choice.ending()}
                for index, choice in sorted(self._choices.items())
            ],
        }
        if self._usage is not None:
            answer["usage"] = openai_usage.wire_of(self._usage)
        return _encode(answer)

    def _begin(self, began: Began) -> None:
        self._id = began.id or self._id
        self._model = began.model or self._model

    def _chunk(self, choice: "_Choice", event: ChoiceEvent) -> bytes:
        # Most of all events are these two, so they are written without building objects.
        if choice.begun and isinstance(event, Said | Thought):
            choice.characters += len(event.text) if isinstance(event, Said) else 0
            kind = _SAID if isinstance(event, Said) else _THOUGHT
            head = b'data: %b"choices":[{"index":%d,%b' % (self._head(), event.choice, kind)
            return head + _encode(event.text) + _OPEN_END
        if isinstance(event, Ended):
            choice.ended = event
            return b""
        delta = choice.said(choice.delta(event, self._call))
        shown: dict[str, Any] = {"index": event.choice, "delta": delta, "finish_reason": None}
        if isinstance(event, Logged):
            shown["logprobs"] = _logprobs(event.tokens)
        if not choice.begun:
            choice.begun = True
            shown["delta"] = {"role": "assistant", **delta}
        return self._data({"choices": [shown]})

    def _head(self) -> bytes:
        """The members that all chunks share, from the brace on."""
        if not self._prefix:
            shared = {
                "id": self._id,
                "object": "chat.completion.chunk",
                "created": self._call.at // 1000,
                "model": self._model,
            }
            self._prefix = _encode(shared)[:-1] + b","
        return self._prefix

    def _data(self, members: dict[str, Any]) -> bytes:
        return b"data: %b%b\n\n" % (self._head(), _encode(members)[1:])


class _Choice:
    """One choice so far: what later blocks must know of earlier ones, and for a whole answer all of it."""

    __slots__ = ("begun", "blocks", "characters", "customs", "ended", "kept", "legacy", "logprobs", "tools")

    def __init__(self, *, legacy: bool) -> None:
        self.legacy = legacy
        self.begun = False
        self.characters = 0
        self.tools = 0
        self.blocks = 0
        self.customs: set[int] = set()
        self.ended: Ended | None = None
        self.kept: dict[str, list[Any]] = {}
        self.logprobs: list[dict[str, Any]] | None = None

    def unsaid(self) -> dict[str, Any]:
        """What the last chunk's delta has to say: who speaks, where nothing told it before."""
        return {} if self.begun else {"role": "assistant", "content": ""}

    def ending(self) -> dict[str, Any]:
        """The members of the choice beside its message or delta."""
        ended = self.ended
        finish = ended.finish if ended else "stop"
        legacy = self.legacy and finish == "tool_calls"
        members: dict[str, Any] = {"finish_reason": "function_call" if legacy else finish}
        if self.logprobs is not None:
            members["logprobs"] = _logprobs(self.logprobs)
        if ended and ended.native is not None:
            members["native_finish_reason"] = ended.native
        if ended and ended.stop_sequence is not None:
            members["stop_sequence"] = ended.stop_sequence
        return members

    def delta(self, event: ChoiceEvent, call: Call) -> dict[str, Any]:  # noqa: C901, PLR0911 - one case for each event
        """What an event adds to the message; lists hold only what is new."""
        match event:
            case Said():
                self.characters += len(event.text)
                return {"content": event.text}
            case Thought():
                return {"reasoning_content": event.text}
            case Refused():
                return {"refusal": event.text}
            case CallBegan():
                self.tools += 1
                if event.kind == "custom":
                    self.customs.add(event.index)
                return {"tool_calls": [{"index": event.index, **_call(event, "")}]}
            case CallGrew():
                custom = event.index in self.customs
                more = (
                    {"custom": {"input": event.text}} if custom else {"function": {"arguments": event.text}}
                )
                return {"tool_calls": [{"index": event.index, **more}]}
            case Signed():
                return {"thinking_blocks": [chat_extensions.thinking(event.block, self._next_block())]}
            case Carried():
                return {"provider_blocks": [chat_extensions.provider(event.block, self._next_block())]}
            case Sealed():
                return {"extra_content": chat_extensions.google(event.signature)}
            case Cited():
                return {"annotations": [_citation(event)]}
            case Drew():
                return _drawn(event.media, call)
            case _:
                return {}

    def said(self, members: dict[str, Any]) -> dict[str, Any]:
        """A message or delta as its client knows calls: where there are functions, the one it asked for."""
        if not self.legacy or "tool_calls" not in members:
            return members
        (call, *_) = members.pop("tool_calls")
        return {**members, "function_call": call["function"]}

    def _next_block(self) -> chat_extensions.Position:
        position = chat_extensions.Position(self.characters, self.tools, self.blocks)
        self.blocks += 1
        return position

    def keep(self, event: ChoiceEvent, call: Call) -> None:
        """Keep what an event adds for the whole message."""
        match event:
            case Ended():
                self.ended = event
            case Logged():
                self.logprobs = self.logprobs or []
                self.logprobs += event.tokens
            case CallGrew():
                self.kept["tool_calls"][event.index][1].append(event.text)
            case CallBegan():
                self.tools += 1
                self.kept.setdefault("tool_calls", []).append((event, []))
            case _:
                for name, value in self.delta(event, call).items():
                    self.kept.setdefault(name, []).append(value)

    def message(self) -> dict[str, Any]:
        """The whole message."""
        kept = dict(self.kept)
        calls = kept.pop("tool_calls", [])
        text = "".join(kept.pop("content", []))
        message: dict[str, Any] = {"role": "assistant", "content": text or (None if calls or kept else "")}
        message["refusal"] = "".join(kept.pop("refusal", [])) or None
        for name, values in kept.items():
            match values[0]:
                case str():
                    message[name] = "".join(values)
                case list():
                    message[name] = [each for value in values for each in value]
                case _:
                    message[name] = values[-1]
        if calls:
            message["tool_calls"] = [_call(began, "".join(texts)) for began, texts in calls]
        return self.said(message)


def _call(event: CallBegan, arguments: str) -> dict[str, Any]:
    if event.kind == "custom":
        call: dict[str, Any] = {"custom": {"name": event.name, "input": arguments}}
    else:
        call = {"function": {"name": event.name, "arguments": arguments}}
    if event.signature is not None:
        call["extra_content"] = chat_extensions.google(event.signature)
    return {"id": event.id, "type": event.kind, **call}


def _citation(event: Cited) -> dict[str, Any]:
    source = {
        "url": event.url,
        "title": event.title,
        "start_index": event.start,
        "end_index": event.end,
    }
    return {"type": "url_citation", "url_citation": source}


def _drawn(drawn: Media, call: Call) -> dict[str, Any]:
    """A picture as OpenRouter and its followers show it, a sound as OpenAI does."""
    if drawn.kind == "audio":
        expires_at = call.at // 1000
        return {"audio": {"id": call.id, "data": drawn.data, "expires_at": expires_at, "transcript": ""}}
    url = drawn.url or f"data:{drawn.media_type};base64,{drawn.data}"
    return {"images": [{"type": "image_url", "image_url": {"url": url}}]}


def _logprobs(tokens: list[dict[str, Any]]) -> dict[str, Any]:
    return {"content": tokens, "refusal": None}
