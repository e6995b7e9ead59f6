"""The blocks of a Messages answer while they are read: each kind knows what its pieces mean.

https://platform.claude.com/docs/en/build-with-claude/streaming#content-block-delta-types
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec
from msgspec import Raw, Struct

from tokligenced.dialects import free_text
from tokligenced.dialects.conversation import (
    CallBegan,
    CallGrew,
    Carried,
    Cited,
    Event,
    Foreign,
    Said,
    Signed,
    Thinking,
    Thought,
)


class Delta(Struct):
    """A piece of a block, of whatever kind."""

    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    signature: str | None = None
    citation: Raw = Raw()


class Start(Struct):
    """How a block begins, or the whole of it where the answer is not streamed."""

    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = Raw()
    citations: list[Raw] | None = None


class _Citation(Struct):
    url: str | None = None
    title: str | None = None


_read_start = msgspec.json.Decoder(Start)
_read_citation = msgspec.json.Decoder(_Citation)
_read_members = msgspec.json.Decoder(dict[str, Raw])


class Tools(Struct, frozen=True, kw_only=True):
    """Tools that stand for something else in this dialect.

    `custom` names those whose input is free text, wrapped; `format` is the one whose input is the answer.
    """

    custom: frozenset[str] = frozenset()
    format: str | None = None


class Progress:
    """How far an answer has come: characters said, and the client's tool calls begun."""

    __slots__ = ("calls", "said")

    def __init__(self) -> None:
        self.said = 0
        self.calls = 0


class Block(Protocol):
    """One block that is not over yet."""

    def begin(self) -> list[Event]:
        """What its start says."""

    def grow(self, delta: Delta) -> list[Event]:
        """What one more piece says; pieces that mean nothing here are left out."""

    def close(self) -> list[Event]:
        """What is to say when it is over."""


def block_of(raw: Raw, tools: Tools, progress: Progress) -> Block:
    """The block that begins with `raw`. Raises `msgspec.DecodeError` where that is none."""
    start = _read_start.decode(raw)
    if start.type == "tool_use":
        if start.name is not None and start.name == tools.format:
            return _Format(start, progress)
        return (_Custom if start.name in tools.custom else _Function)(start, progress)
    make = _KINDS.get(start.type)
    return make(start, progress) if make else _Foreign(raw)


class _Text:
    def __init__(self, start: Start, progress: Progress) -> None:
        self._start = start
        self._progress = progress
        self._from = progress.said
        self._citations = start.citations or []

    def begin(self) -> list[Event]:
        return self.grow(Delta(text=self._start.text))

    def grow(self, delta: Delta) -> list[Event]:
        if delta.text:
            self._progress.said += len(delta.text)
            return [Said(0, delta.text)]
        if bytes(delta.citation):
            self._citations.append(delta.citation)
        return []

    def close(self) -> list[Event]:
        citations = [_read_citation.decode(raw) for raw in self._citations]
        return [
            Cited(choice=0, url=one.url, title=one.title or "", start=self._from, end=self._progress.said)
            for one in citations
            if one.url
        ]


class _Thinking:
    def __init__(self, start: Start, progress: Progress) -> None:  # noqa: ARG002 - as all are made
        self._start = start
        self._pieces: list[str] = []
        self._signature = start.signature

    def begin(self) -> list[Event]:
        return self.grow(Delta(thinking=self._start.thinking))

    def grow(self, delta: Delta) -> list[Event]:
        if delta.signature:
            self._signature = delta.signature
        if not delta.thinking:
            return []
        self._pieces.append(delta.thinking)
        return [Thought(0, delta.thinking)]

    def close(self) -> list[Event]:
        if not self._signature:
            return []
        return [Signed(0, Thinking(text="".join(self._pieces), signature=self._signature))]


class _Redacted:
    def __init__(self, start: Start, progress: Progress) -> None:  # noqa: ARG002 - as all are made
        self._data = start.data

    def begin(self) -> list[Event]:
        return []

    def grow(self, delta: Delta) -> list[Event]:  # noqa: ARG002 - it comes whole
        return []

    def close(self) -> list[Event]:
        return [Signed(0, Thinking(redacted=self._data))] if self._data else []


class _Function:
    """A call of a tool by its arguments; one without any piece has none, which is `{}`."""

    def __init__(self, start: Start, progress: Progress) -> None:
        self._start = start
        self._call = progress.calls
        self._empty = True
        progress.calls += 1

    def begin(self) -> list[Event]:
        start = self._start
        began = CallBegan(choice=0, index=self._call, id=start.id or "", name=start.name or "")
        return [began, *self.grow(Delta(partial_json=_given(start)))]

    def grow(self, delta: Delta) -> list[Event]:
        if not delta.partial_json:
            return []
        self._empty = False
        return [CallGrew(0, self._call, delta.partial_json)]

    def close(self) -> list[Event]:
        return [CallGrew(0, self._call, "{}")] if self._empty else []


class _Custom:
    """A call of a tool by free text, which stands in the one member of its input."""

    def __init__(self, start: Start, progress: Progress) -> None:
        self._start = start
        self._call = progress.calls
        self._pieces = [_given(start)]
        progress.calls += 1

    def begin(self) -> list[Event]:
        start = self._start
        name = start.name or ""
        return [CallBegan(choice=0, index=self._call, id=start.id or "", name=name, kind="custom")]

    def grow(self, delta: Delta) -> list[Event]:
        self._pieces.append(delta.partial_json or "")
        return []

    def close(self) -> list[Event]:
        return [CallGrew(0, self._call, free_text.unwrapped("".join(self._pieces)))]


class _Format:
    """The tool that makes the answer JSON: what it is called with is what the model says."""

    def __init__(self, start: Start, progress: Progress) -> None:
        self._start = start
        self._progress = progress
        self._empty = True

    def begin(self) -> list[Event]:
        return self.grow(Delta(partial_json=_given(self._start)))

    def grow(self, delta: Delta) -> list[Event]:
        if not delta.partial_json:
            return []
        self._empty = False
        self._progress.said += len(delta.partial_json)
        return [Said(0, delta.partial_json)]

    def close(self) -> list[Event]:
        return self.grow(Delta(partial_json="{}")) if self._empty else []


class _Foreign:
    """A block that only Anthropic understands, with the input that was streamed."""

    def __init__(self, raw: Raw) -> None:
        self._raw = raw
        self._pieces: list[str] = []

    def begin(self) -> list[Event]:
        return []

    def grow(self, delta: Delta) -> list[Event]:
        self._pieces.append(delta.partial_json or "")
        return []

    def close(self) -> list[Event]:
        return [Carried(0, Foreign(dialect="messages", block=self._whole()))]

    def _whole(self) -> Raw:
        written = "".join(self._pieces)
        whole = bytes(self._raw)
        try:
            msgspec.json.decode(written)
        except (msgspec.DecodeError, RecursionError):
            pass  # none, or cut off by the limit on output
        else:
            whole = msgspec.json.encode(_read_members.decode(whole) | {"input": Raw(written.encode())})
        # On one line, so that it fits into an event of a stream.
        return Raw(msgspec.json.format(whole, indent=-1))


_KINDS: Mapping[str, Callable[[Start, Progress], Block]] = {
    "text": _Text,
    "thinking": _Thinking,
    "redacted_thinking": _Redacted,
}


def _given(start: Start) -> str:
    """The input that stands in the start already, empty for none."""
    given = bytes(start.input)
    return "" if given in {b"{}", b"null"} else given.decode()
