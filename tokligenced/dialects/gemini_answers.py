"""Answers of Gemini's generateContent and streamGenerateContent, read into the hub's events.

A stream has no mark of its end, and some models write a finish reason into every chunk, so the reasons are
told when the stream is over.
https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from tokligenced.dialects import free_text, gemini_errors, gemini_sources, media
from tokligenced.dialects.conversation import (
    AnswerReader,
    Began,
    CallBegan,
    CallGrew,
    Carried,
    Counted,
    Drew,
    Ended,
    Event,
    Finish,
    Foreign,
    Logged,
    Media,
    Refused,
    Said,
    Sealed,
    Thought,
)
from tokligenced.dialects.gemini_arguments import OpenCall, PartialArg
from tokligenced.dialects.gemini_usage import WireUsage, usage_of
from tokligenced.dialects.wire_error import UNREADABLE, ErrorInside, WireError, incomplete, not_the_dialect


class _Blob(Struct, rename="camel", gc=False):
    mime_type: str = "application/octet-stream"
    data: str = ""


class _FileData(Struct, rename="camel", gc=False):
    mime_type: str = "application/octet-stream"
    file_uri: str = ""


class _FunctionCall(Struct, rename="camel"):
    name: str | None = None
    id: str | None = None
    args: Raw | UnsetType = UNSET
    partial_args: list[PartialArg] | None = None
    will_continue: bool | None = None


class _Part(Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: _FunctionCall | None = None
    inline_data: _Blob | None = None
    file_data: _FileData | None = None


class _Content(Struct):
    parts: list[Raw] | None = None


class _Candidate(Struct, rename="camel"):
    index: Annotated[int, Meta(ge=0, lt=128)] | None = None
    content: _Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    grounding_metadata: Raw | UnsetType = UNSET
    citation_metadata: Raw | UnsetType = UNSET
    logprobs_result: Raw | UnsetType = UNSET


class _Feedback(Struct, rename="camel", gc=False):
    block_reason: str | None = None
    block_reason_message: str | None = None


class _Chunk(Struct, rename="camel"):
    """A whole answer, or a piece of one: both have the same form."""

    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: Raw | UnsetType = UNSET
    model_version: str | None = None
    response_id: str | None = None
    error: Raw | UnsetType = UNSET


# Without `alt=sse` a stream is one array of chunks.
_read_chunks = msgspec.json.Decoder(_Chunk | list[_Chunk]).decode
_read_part = msgspec.json.Decoder(_Part).decode
_read_object = msgspec.json.Decoder(dict[str, Any] | None).decode
_read_usage = msgspec.json.Decoder(WireUsage | None).decode

_UNSPECIFIED = frozenset({None, "", "FINISH_REASON_UNSPECIFIED"})
# The model's output could not be used; another attempt may do better.
_FAILED = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "MALFORMED_RESPONSE",
    }
)
# What a part may hold beside what it is.
_ASIDE = frozenset({"thought", "thoughtSignature", "partMetadata", "mediaResolution", "videoMetadata"})


class _Choice:
    """A candidate so far."""

    __slots__ = ("citations", "groundings", "message", "open", "reason", "texts", "tools")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.tools = 0
        self.open: OpenCall | None = None
        self.reason: str | None = None
        self.message: str | None = None
        self.groundings: list[Raw] = []
        self.citations: list[Raw] = []


_OUTPUT_COUNTS = (b"candidatesTokenCount", b"thoughtsTokenCount")


class Reader(AnswerReader):
    """Reads one answer; not shared. Raises `UpstreamFailed` for what is not the dialect.

    `call_id` makes ids for tool calls that came without; `model` is for an upstream that tells none.
    With `single_call` only the first tool call of a choice is told: Gemini can't be asked for one at a time.
    The arguments of tools named in `customs` are free text.
    """

    def __init__(
        self,
        call_id: str,
        model: str,
        *,
        single_call: bool = False,
        customs: frozenset[str] = frozenset(),
    ) -> None:
        self.disbelieved = False
        self._call_id = call_id
        self._model = model
        self._single_call = single_call
        self._customs = customs
        self._began = False
        self._choices: dict[int, _Choice] = {}
        self._ids: set[str] = set()
        self._usage: WireUsage | None = None
        self._unread: Raw | None = None

    def event(self, data: bytes) -> list[Event]:
        """The data of one event of a stream."""
        out: list[Event] = []
        try:
            read = _read_chunks(data)
            for chunk in read if isinstance(read, list) else (read,):
                self._chunk(chunk, out)
        except UNREADABLE:
            raise not_the_dialect("a Gemini answer") from None
        return out

    def whole(self, body: bytes) -> list[Event]:
        """The body of an answer that is not streamed; complete, or it raises."""
        return self.event(body) + self.end()

    def end(self) -> list[Event]:
        """The stream is over; raises when a choice has no finish reason."""
        choices = sorted(self._choices.items())
        if not choices or any(choice.reason is None for _, choice in choices):
            raise incomplete()
        out: list[Event] = []
        for index, choice in choices:
            self._close(index, choice, out)
            try:
                out += gemini_sources.cited(index, choice.texts, choice.groundings, choice.citations)
            except UNREADABLE:
                raise not_the_dialect("a Gemini answer") from None
            finish = _finish(choice)
            if finish == "content_filter" and choice.message:
                out.append(Refused(index, choice.message))
            out.append(Ended(choice=index, finish=finish, native=choice.reason))
        if self._unread is not None:
            self._count(self._unread, out)
            self._unread = None
        return out

    def late(self) -> list[Event]:
        """The latest count, which was put off; one of the prompt alone does not cover what was said."""
        out: list[Event] = []
        if self._unread is not None and any(part in bytes(self._unread) for part in _OUTPUT_COUNTS):
            self._count(self._unread, out)
            self._unread = None
        return out

    def _chunk(self, chunk: _Chunk, out: list[Event]) -> None:
        if chunk.error is not UNSET and (error := gemini_errors.read_inside(chunk.error)) is not None:
            raise ErrorInside(error)
        if not self._began:
            self._began = True
            out.append(Began(id=chunk.response_id or "", model=chunk.model_version or self._model))
        if chunk.usage_metadata is not UNSET:
            self._put_off(chunk.usage_metadata, out)
        for candidate in chunk.candidates or ():
            self._candidate(candidate, out)
        feedback = chunk.prompt_feedback
        if feedback is not None and feedback.block_reason:
            blocked = self._choice(0)
            blocked.reason, blocked.message = feedback.block_reason, feedback.block_reason_message

    def _put_off(self, usage: Raw, out: list[Event]) -> None:
        """Keep a count for the end: every chunk counts anew, and to read it costs more than all else of it.

        The first is read at once, for it tells of the prompt, and before what its chunk says: that it may not
        have counted yet.
        """
        if self._usage is None:
            self._count(usage, out)
        if b"TokenCount" in bytes(usage):
            self._unread = usage.copy()

    def _choice(self, index: int) -> _Choice:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice()
        return choice

    def _candidate(self, candidate: _Candidate, out: list[Event]) -> None:
        index = candidate.index or 0
        choice = self._choice(index)
        if candidate.content is not None:
            for raw in candidate.content.parts or ():
                self._part(index, choice, raw, out)
        if candidate.grounding_metadata is not UNSET:
            choice.groundings.append(candidate.grounding_metadata)
        if candidate.citation_metadata is not UNSET:
            choice.citations.append(candidate.citation_metadata)
        if candidate.logprobs_result is not UNSET:
            tokens = gemini_sources.logged(candidate.logprobs_result)
            if tokens:
                out.append(Logged(index, tokens))
        reason = candidate.finish_reason
        if reason in _FAILED:
            raise ErrorInside(WireError(message=candidate.finish_message or f"{reason}", code=reason))
        if reason not in _UNSPECIFIED:
            choice.reason, choice.message = reason, candidate.finish_message

    def _part(self, index: int, choice: _Choice, raw: Raw, out: list[Event]) -> None:
        part = _read_part(raw)
        if part.text is not None:
            if part.text and part.thought:
                out.append(Thought(index, part.text))
            elif part.text:
                choice.texts.append(part.text)
                out.append(Said(index, part.text))
        elif part.function_call is not None:
            self._call(index, choice, part, part.function_call, out)
            return
        elif part.inline_data is not None:
            blob = part.inline_data
            kind = media.kind_of(blob.mime_type)
            out.append(Drew(index, Media(kind=kind, media_type=blob.mime_type, data=blob.data)))
            return  # a picture's signature has no place in the hub; requests make up for it
        elif part.file_data is not None:
            file = part.file_data
            kind = media.kind_of(file.mime_type)
            out.append(Drew(index, Media(kind=kind, media_type=file.mime_type, url=file.file_uri)))
            return
        elif (_read_object(raw) or {}).keys() - _ASIDE:
            # On one line, so that it fits into an event of a stream.
            block = Raw(msgspec.json.format(bytes(raw), indent=-1))
            out.append(Carried(index, Foreign(dialect="gemini", block=block)))
            return
        if part.thought_signature:
            out.append(Sealed(index, part.thought_signature))

    def _call(self, index: int, choice: _Choice, part: _Part, call: _FunctionCall, out: list[Event]) -> None:
        if call.name:
            self._close(index, choice, out)
            if not (call.will_continue or call.partial_args):
                text = "{}"
                if call.args is not UNSET and _read_object(call.args):
                    text = msgspec.json.format(bytes(call.args), indent=-1).decode()
                self._tell(index, choice, OpenCall(call.name, call.id, part.thought_signature, {}), text, out)
                return
            begun = (_read_object(call.args) if call.args is not UNSET else None) or {}
            choice.open = OpenCall(call.name, call.id, part.thought_signature, begun)
        if choice.open is None:
            if call.args is not UNSET or call.partial_args:
                raise not_the_dialect("a function call with a name")
            return
        choice.open.add(call.partial_args or [])
        if not call.will_continue:
            self._close(index, choice, out)

    def _close(self, index: int, choice: _Choice, out: list[Event]) -> None:
        """Tell the call that came in pieces, if there is one: now it is whole."""
        if (whole := choice.open) is not None:
            choice.open = None
            self._tell(index, choice, whole, whole.arguments(), out)

    def _tell(self, index: int, choice: _Choice, call: OpenCall, arguments: str, out: list[Event]) -> None:
        at = choice.tools
        if at and self._single_call:
            return
        choice.tools += 1
        made = call.id
        if not made or made in self._ids:
            # OpenAI takes ids of 40 characters at most.
            made = f"call_{self._call_id.removeprefix('req_')}{len(self._ids)}"
        self._ids.add(made)
        custom = call.name in self._customs
        if custom:
            arguments = free_text.unwrapped(arguments)
        out.append(
            CallBegan(
                choice=index,
                index=at,
                id=made,
                name=call.name,
                kind="custom" if custom else "function",
                signature=call.signature,
            )
        )
        out.append(CallGrew(index, at, arguments))

    def _count(self, raw: Raw, out: list[Event]) -> None:
        try:
            told = _read_usage(raw)
        except UNREADABLE:
            self.disbelieved = True
            return
        if told is None:
            return
        if self._usage is not None:
            told.keep(self._usage)
        self._usage = told
        if told.silent:
            return
        usage = usage_of(told)
        self.disbelieved = usage is None
        if usage is not None:
            out.append(Counted(usage))


def _finish(choice: _Choice) -> Finish:
    """The hub's word for Google's reason.

    Whatever stopped the model besides its own end and the limit (SAFETY, RECITATION, LANGUAGE, BLOCKLIST,
    SPII, IMAGE_SAFETY, OTHER, what may be added to them, and all that blocks a prompt) held an answer back,
    and OpenAI has one word for that.
    """
    match choice.reason:
        case "STOP":
            return "tool_calls" if choice.tools else "stop"
        case "MAX_TOKENS":
            return "length"
        case _:
            return "content_filter"
