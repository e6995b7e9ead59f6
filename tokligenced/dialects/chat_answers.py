"""Answers of OpenAI Chat Completions, watched while they pass through.

What fits the shape that clients expect passes as it came; only what does not is written anew.

https://platform.openai.com/docs/api-reference/chat-streaming
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from tokligenced.dialects import chat_shape, sse
from tokligenced.dialects.chat_mending import Mender
from tokligenced.dialects.media import BASE64_PER_BYTE
from tokligenced.dialects.openai_usage import WireUsage, usage_of
from tokligenced.dialects.wire_error import (
    UNREADABLE,
    ErrorInside,
    WireError,
    incomplete,
    not_the_dialect,
    utf8,
)
from tokligenced.domain import Usage
from tokligenced.errors import UpstreamFailed


class _Function(Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Custom(Struct, gc=False):
    name: str | None = None
    input: str | None = None


class _ToolCall(Struct, gc=False):
    function: _Function | None = None
    custom: _Custom | None = None


class _Audio(Struct, gc=False):
    transcript: str | None = None
    data: str | None = None


class _Delta(Struct, gc=False):
    """A message, or a piece of one. Mistral's content is a list of parts at times."""

    content: str | list[Raw] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None
    audio: _Audio | None = None
    images: list[Raw] | None = None


class _Choice(Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None


class _Groq(Struct):
    usage: Any = None


class _Answer(Struct):
    """An answer or chunk that had to be mended, as far as it is watched; nonsense for usage does no harm."""

    choices: list[_Choice] | None = None
    usage: Any = None
    error: dict[str, Raw] | str | None = None
    x_groq: _Groq | None = None


_Any = chat_shape.Chunk | chat_shape.Completion | _Answer

_read_answer = msgspec.json.Decoder(_Answer)
_read_object = msgspec.json.Decoder(dict[str, Any])

_DATA = b"data: "
_END = b"\n\n"
_DONE = b"data: [DONE]\n\n"


class _ErrorBody(Struct):
    error: WireError | str | None = None
    message: str | None = None
    detail: str | None = None


_read_error_body = msgspec.json.Decoder(_ErrorBody)


def read_error(body: bytes) -> WireError:
    """Read an error body; vendors disagree on where the message stands. Empty where it can't be read."""
    try:
        read = _read_error_body.decode(body)
    except UNREADABLE:
        return WireError()
    if isinstance(read.error, WireError):
        return read.error
    return WireError(message=read.error or read.message or read.detail or "")


class Watch:
    """Looks at an answer that passes through: usage, ends, errors, and how much was delivered.

    `disbelieved` says that the upstream told a usage that can't be.

    One an exchange, not shared. `choices` is how many must finish before the answer is whole;
    `hide_usage` withholds the event that carries usage alone, which the client did not ask for.
    """

    __slots__ = (
        "_choices",
        "_done",
        "_finished",
        "_hide_usage",
        "_mender",
        "_splitter",
        "_whole",
        "delivered",
        "disbelieved",
        "told_at",
        "usage",
    )

    def __init__(self, mender: Mender, *, stream: bool, choices: int = 1, hide_usage: bool = False) -> None:
        self.usage: Usage | None = None
        self.delivered = 0
        self.disbelieved = False
        self.told_at = 0
        self._choices = choices
        self._hide_usage = hide_usage
        self._mender = mender
        self._finished: set[int] = set()
        self._done = False
        self._splitter = sse.Splitter() if stream else None
        self._whole: list[bytes] = []

    @property
    def complete(self) -> bool:
        """Whether the answer is over by its own word."""
        return self._done

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes of the answer, give those that go on to the client.

        Raises `UpstreamFailed` on an error event or on what is not the dialect.
        """
        splitter = self._splitter
        if splitter is None:
            self._whole.append(chunk)
            return b""
        whole = utf8(splitter.feed(chunk))
        if not whole:
            return whole
        passed = self._pass_as_one(whole)
        if passed is None:
            before = self.delivered
            try:
                passed = b"".join([self._passed(event) for event in sse.events(whole)])
            except UpstreamFailed:
                self.delivered = before  # nothing of this piece goes on
                raise
        return passed

    def finish(self) -> bytes:
        """What is left at the end. Raises `UpstreamFailed` when the answer is not whole."""
        if self._splitter is None:
            whole = utf8(self._whole[0] if len(self._whole) == 1 else b"".join(self._whole))
            try:
                answer: _Any = chat_shape.read_completion.decode(whole)
            except UNREADABLE:
                whole, answer = self._mended(whole)
            if answer.error is not None:
                raise ErrorInside(read_error(whole))
            self._note(answer)
            if not self._finished:
                raise UpstreamFailed("upstream_error", "The provider's answer holds no message.")
            return whole
        # The specification drops an event without its closing empty line; providers' last `[DONE]`
        # comes that way at times, so it counts here.
        rest = utf8(self._splitter.flush())
        out = self._passed(rest) if rest else b""
        if not self._done and len(self._finished) < self._choices:
            raise incomplete()
        return out

    def _pass_as_one(self, whole: bytes) -> bytes | None:
        """What goes on of a piece that is nothing but plain one-line events; None for any other.

        They are decoded in one go, as the array they are when commas stand between them.
        """
        if not (whole.startswith(_DATA) and whole.endswith(_END)):
            return None
        done = whole.endswith(_DONE)
        data = whole.removesuffix(_DONE)[len(_DATA) : -len(_END)]
        answers: list[chat_shape.Chunk] = []
        if data:
            try:
                answers = chat_shape.read_chunks.decode(b"[%b]" % data.replace(_END + _DATA, b","))
            except UNREADABLE:
                return None
            if len(answers) != data.count(_END) + 1:
                return None
        for answer in answers:
            if answer.error is not None or not self._mender.fits(answer):
                return None
        hidden = 0
        for answer in answers:
            self._note(answer)
            hidden += self._hides(answer)
        self._done = self._done or done
        if not hidden:
            return whole
        kept = [
            event + _END
            for event, answer in zip(whole.split(_END), answers, strict=False)
            if not self._hides(answer)
        ]
        return b"".join(kept) + (_DONE if done else b"")

    def _passed(self, event: bytes) -> bytes:
        """What goes on of one event."""
        data = sse.data_of(event)
        if data is None:
            return event
        if data == b"[DONE]":
            self._done = True
            return event
        try:
            chunk = chat_shape.read_chunk.decode(data)
        except UNREADABLE:
            chunk = None
        answer: _Any
        if chunk is None or (chunk.error is None and not self._mender.fits(chunk)):
            mended, answer = self._mended(data)
            event = event if mended is data else b"data: %b\n\n" % mended
        else:
            answer = chunk
        if answer.error is not None:
            raise ErrorInside(read_error(data))
        self._note(answer)
        return b"" if self._hides(answer) else event

    def _hides(self, answer: _Any) -> bool:
        return self._hide_usage and answer.usage is not None and not answer.choices

    def _mended(self, data: bytes) -> tuple[bytes, _Answer]:
        """The same in a form that clients can read; the very same where there is nothing to mend."""
        try:
            found = _read_object.decode(data)
            if found.get("error") is None:
                mended = self._mender.whole(found) if self._splitter is None else self._mender.chunk(found)
                data = data if mended == found else msgspec.json.encode(mended)
            return data, _read_answer.decode(data)
        except UNREADABLE:
            raise not_the_dialect("a chat completion") from None

    def _note(self, answer: _Any) -> None:
        for choice in answer.choices or ():
            part = choice.delta or choice.message
            if part is not None:
                # A piece of a stream is text or something else; a whole message may be both.
                if isinstance(part.content, str):
                    self.delivered += _size(part.content)
                if choice.message or not part.content or part.tool_calls or part.reasoning_content:
                    self.delivered += _size_of_rest(part)
            if choice.finish_reason is not None:
                self._finished.add(choice.index)
        usage = answer.usage or (answer.x_groq.usage if answer.x_groq else None)
        if usage is not None:
            self._book(usage)

    def _book(self, usage: object) -> None:
        try:
            told = msgspec.convert(usage, WireUsage, from_attributes=True)
        except msgspec.ValidationError:
            self.disbelieved = True
            return
        if not told.silent:
            self.usage = usage_of(told)
            self.told_at = self.delivered
            self.disbelieved = self.usage is None


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def _size_of_rest(part: "chat_shape.Delta | chat_shape.Message | _Delta") -> int:
    """What is delivered besides plain text, in bytes of text that take as many tokens."""
    texts = [part.reasoning_content, part.reasoning, part.refusal]
    for call in part.tool_calls or ():
        if call.function is not None:
            texts += call.function.name, call.function.arguments
        if call.custom is not None:
            texts += call.custom.name, call.custom.input
    if part.function_call is not None:
        texts += part.function_call.name, part.function_call.arguments
    size = sum([_size(text) for text in texts if text])
    if part.audio is not None:
        size += len(part.audio.transcript or "") + len(part.audio.data or "") // BASE64_PER_BYTE
    size += sum([len(bytes(raw)) // BASE64_PER_BYTE for raw in part.images or ()])
    if isinstance(part.content, list):
        size += sum([len(bytes(raw)) for raw in part.content])
    return size
