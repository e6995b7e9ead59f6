"""OpenAI Chat Completions: answers read into the hub's events, for clients that speak another dialect.

https://platform.openai.com/docs/api-reference/chat-streaming
"""

import re
from collections.abc import Sequence

import msgspec

from tokligenced.dialects import chat_shape, free_text
from tokligenced.dialects.chat_answers import read_error
from tokligenced.dialects.chat_mending import Mender
from tokligenced.dialects.conversation import (
    AnswerReader,
    Began,
    CallBegan,
    CallGrew,
    CallKind,
    Counted,
    Drew,
    Ended,
    Event,
    Finish,
    Media,
    Refused,
    Said,
    Thought,
)
from tokligenced.dialects.openai_usage import WireUsage, usage_of
from tokligenced.dialects.wire_error import UNREADABLE, ErrorInside, incomplete, not_the_dialect

_read_object = msgspec.json.Decoder(dict[str, object])
_read_images = msgspec.json.Decoder(dict[str, dict[str, str] | str | int | None])
_PICTURE = re.compile(r"data:(image/[a-z0-9.+-]+);base64,(.+)", re.DOTALL)


class Reader(AnswerReader):
    """Reads one answer; not shared. `custom` names the functions that stand for tools of free text."""

    def __init__(self, mender: Mender, custom: frozenset[str] = frozenset()) -> None:
        self.disbelieved = False
        self._mender = mender
        self._custom = custom
        self._begun = False
        self._done = False
        # By choice and the upstream's index: a call's number within its choice, and the pieces of free text.
        self._calls: dict[int, dict[int, tuple[int, list[str] | None]]] = {}
        self._free: list[tuple[int, int, list[str]]] = []
        self._open: set[int] = set()
        self._finished: set[int] = set()

    def event(self, data: bytes) -> list[Event]:
        """The data of one event of a stream."""
        if data == b"[DONE]":
            self._done = True
            return []
        try:
            chunk = chat_shape.read_chunk.decode(data)
        except UNREADABLE:
            chunk = None
        if chunk is None or (chunk.error is None and not self._mender.fits(chunk)):
            chunk = self._mended(data)
        if chunk.error is not None:
            raise ErrorInside(read_error(data))
        events: list[Event] = []
        if not self._begun and chunk.choices:
            self._begun = True
            events.append(Began(id=chunk.id, model=chunk.model))
        for choice in chunk.choices:
            self._open.add(choice.index)
            self._read(choice.index, choice.delta, events)
            if choice.finish_reason is not None:
                self._finish(choice.index, choice.finish_reason, events)
        self._count(chunk.usage or (chunk.x_groq.usage if chunk.x_groq else None), events)
        return events

    def whole(self, body: bytes) -> list[Event]:
        """The body of an answer that is not streamed."""
        try:
            answer = chat_shape.read_completion.decode(body)
        except UNREADABLE:
            answer = self._mended_whole(body)
        if answer.error is not None:
            raise ErrorInside(read_error(body))
        if not answer.choices:
            raise not_the_dialect("a chat completion")
        events: list[Event] = [Began(id=answer.id, model=answer.model)]
        for choice in answer.choices:
            self._read(choice.index, choice.message, events)
            self._finish(choice.index, choice.finish_reason, events)
        self._count(answer.usage or (answer.x_groq.usage if answer.x_groq else None), events)
        return events

    def end(self) -> list[Event]:
        """The stream is over."""
        if not self._finished or (not self._done and self._open - self._finished):
            raise incomplete()
        return []

    def _mended(self, data: bytes) -> chat_shape.Chunk:
        try:
            found = _read_object.decode(data)
            if found.get("error") is not None:
                raise ErrorInside(read_error(data))
            return chat_shape.read_chunk.decode(msgspec.json.encode(self._mender.chunk(found)))
        except UNREADABLE:
            raise not_the_dialect("a chat completion") from None

    def _mended_whole(self, body: bytes) -> chat_shape.Completion:
        try:
            found = _read_object.decode(body)
            if found.get("error") is not None:
                raise ErrorInside(read_error(body))
            return chat_shape.read_completion.decode(msgspec.json.encode(self._mender.whole(found)))
        except UNREADABLE:
            raise not_the_dialect("a chat completion") from None

    def _read(self, index: int, part: chat_shape.Delta | chat_shape.Message, events: list[Event]) -> None:
        if thought := part.reasoning_content or part.reasoning:
            events.append(Thought(index, thought))
        if part.content:
            events.append(Said(index, part.content))
        if part.refusal:
            events.append(Refused(index, part.refusal))
        calls: Sequence[chat_shape.CallPiece | chat_shape.WholeCall] = part.tool_calls or ()
        for number, call in enumerate(calls):
            place = call.index if isinstance(call, chat_shape.CallPiece) else number
            self._grow(index, place, call, events)
        for raw in part.images or ():
            events += _drawn(index, bytes(raw))

    def _grow(
        self, choice: int, number: int, call: chat_shape.CallPiece | chat_shape.WholeCall, events: list[Event]
    ) -> None:
        function, custom = call.function, call.custom
        calls = self._calls.setdefault(choice, {})
        known = calls.get(number)
        if known is None:
            name = (function.name if function else custom.name if custom else None) or ""
            known = calls[number] = len(calls), [] if name in self._custom else None
            if known[1] is not None:
                self._free.append((choice, known[0], known[1]))
            kind: CallKind = "custom" if custom or name in self._custom else "function"
            events.append(CallBegan(choice=choice, index=known[0], id=call.id or "", name=name, kind=kind))
        index, pieces = known
        text = (function.arguments if function else custom.input if custom else None) or ""
        if pieces is not None:
            pieces.append(text)
        elif text:
            events.append(CallGrew(choice, index, text))

    def _finish(self, choice: int, reason: chat_shape.FinishReason, events: list[Event]) -> None:
        for of, index, pieces in self._free:
            if of == choice and pieces:
                events.append(CallGrew(choice, index, free_text.unwrapped("".join(pieces))))
                pieces.clear()
        if choice in self._finished:
            return
        self._finished.add(choice)
        finish: Finish = "tool_calls" if reason == "function_call" else reason
        if finish == "stop" and choice in self._calls:
            finish = "tool_calls"  # as some vendors say it when a tool was forced
        events.append(Ended(choice=choice, finish=finish, native=None if reason == finish else reason))

    def _count(self, told: chat_shape.Usage | None, events: list[Event]) -> None:
        if told is None:
            return
        usage = usage_of(msgspec.convert(told, WireUsage, from_attributes=True))
        self.disbelieved = usage is None
        if usage is not None:
            events.append(Counted(usage))


def _drawn(choice: int, raw: bytes) -> list[Event]:
    try:
        shown = _read_images.decode(raw).get("image_url")
    except UNREADABLE:
        return []
    url = shown.get("url", "") if isinstance(shown, dict) else str(shown or "")
    if (picture := _PICTURE.fullmatch(url)) is None:
        return [Drew(choice, Media(kind="image", url=url))] if url else []
    return [Drew(choice, Media(kind="image", media_type=picture[1], data=picture[2]))]
