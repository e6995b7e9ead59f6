"""Answers of OpenAI Chat Completions, watched while they pass through.

https://platform.openai.com/docs/api-reference/chat-streaming
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from tokligenced.dialects import sse
from tokligenced.dialects.openai_usage import WireUsage, usage_of
from tokligenced.dialects.wire_error import ErrorInside, WireError, incomplete, not_the_dialect
from tokligenced.domain import Usage
from tokligenced.errors import UpstreamFailed


class _Function(Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(Struct, gc=False):
    function: _Function | None = None


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
    """A whole answer or one chunk of a stream, as far as it is watched; nonsense for usage does no harm."""

    choices: list[_Choice] | None = None
    usage: Any = None
    error: dict[str, Raw] | str | None = None
    x_groq: _Groq | None = None


_read_answer = msgspec.json.Decoder(_Answer)
_read_answers = msgspec.json.Decoder(list[_Answer])
_UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)

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
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
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
        "_splitter",
        "_whole",
        "delivered",
        "disbelieved",
        "told_at",
        "usage",
    )

    def __init__(self, *, stream: bool, choices: int = 1, hide_usage: bool = False) -> None:
        self.usage: Usage | None = None
        self.delivered = 0
        self.disbelieved = False
        self.told_at = 0
        self._choices = choices
        self._hide_usage = hide_usage
        self._finished: set[int] = set()
        self._done = False
        self._splitter = sse.Splitter() if stream else None
        self._whole: list[bytes] = []

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes of the answer, give those that go on to the client.

        Raises `UpstreamFailed` on an error event or on what is not the dialect.
        """
        splitter = self._splitter
        if splitter is None:
            self._whole.append(chunk)
            return b""
        whole = splitter.feed(chunk)
        if not whole:
            return whole
        passed = self._pass_as_one(whole)
        if passed is None:
            before = self.delivered
            try:
                passed = b"".join([event for event in sse.events(whole) if self._passes(event)])
            except UpstreamFailed:
                self.delivered = before  # nothing of this piece goes on
                raise
        return passed

    def finish(self) -> bytes:
        """What is left at the end. Raises `UpstreamFailed` when the answer is not whole."""
        if self._splitter is None:
            whole = self._whole[0] if len(self._whole) == 1 else b"".join(self._whole)
            self._look(whole)
            if not self._finished:
                raise UpstreamFailed("upstream_error", "The provider's answer holds no message.")
            return whole
        # The specification drops an event without its closing empty line; providers' last `[DONE]`
        # comes that way at times, so it counts here.
        rest = self._splitter.flush()
        out = rest if rest and self._passes(rest) else b""
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
        answers: list[_Answer] = []
        if data:
            try:
                answers = _read_answers.decode(b"[%b]" % data.replace(_END + _DATA, b","))
            except _UNREADABLE:
                return None
            if len(answers) != data.count(_END) + 1:
                return None
        for answer in answers:
            if answer.error is not None:
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

    def _passes(self, event: bytes) -> bool:
        data = sse.data_of(event)
        if data is None:
            return True
        if data == b"[DONE]":
            self._done = True
            return True
        return not self._hides(self._look(data))

    def _hides(self, answer: _Answer) -> bool:
        return self._hide_usage and answer.usage is not None and not answer.choices

    def _look(self, data: bytes) -> _Answer:
        try:
            answer = _read_answer.decode(data)
        except _UNREADABLE:
            raise not_the_dialect("a chat completion") from None
        if answer.error is not None:
            raise ErrorInside(read_error(data))
        self._note(answer)
        return answer

    def _note(self, answer: _Answer) -> None:
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
            told = msgspec.convert(usage, WireUsage)
        except msgspec.ValidationError:
            self.disbelieved = True
            return
        if not told.silent:
            self.usage = usage_of(told)
            self.told_at = self.delivered
            self.disbelieved = self.usage is None


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def _size_of_rest(part: _Delta) -> int:
    """What is delivered besides plain text, in bytes of text that take as many tokens."""
    texts = [part.reasoning_content, part.reasoning, part.refusal]
    for call in part.tool_calls or ():
        if call.function is not None:
            texts += call.function.name, call.function.arguments
    if part.function_call is not None:
        texts += part.function_call.name, part.function_call.arguments
    size = sum([_size(text) for text in texts if text])
    if part.audio is not None:
        size += len(part.audio.transcript or "") + len(part.audio.data or "") // _BASE64_PER_BYTE
    size += sum([len(bytes(raw)) // _BASE64_PER_BYTE for raw in part.images or ()])
    if isinstance(part.content, list):
        size += sum([len(bytes(raw)) for raw in part.content])
    return size


# Sound and pictures take many more bytes for a token than text does.
_BASE64_PER_BYTE = 300
