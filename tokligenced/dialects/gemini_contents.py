"""A conversation's turns as Gemini's contents.

https://ai.google.dev/api/caching#Content
https://ai.google.dev/gemini-api/docs/thought-signatures
"""

import itertools
import re
from collections.abc import Iterable

import msgspec
from msgspec import Raw, Struct

from tokligenced.dialects import free_text, media
from tokligenced.dialects.conversation import (
    Foreign,
    Media,
    Refusal,
    Target,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from tokligenced.dialects.gemini_models import Traits
from tokligenced.errors import InvalidRequest

# What Google's documentation gives for calls that no Gemini made, or whose signature was lost.
_UNSIGNED = "skip_thought_signature_validator"
# What may stand within a function's response; other media stand beside it.
# https://ai.google.dev/gemini-api/docs/function-calling#multimodal
_WITHIN = frozenset({"image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"})
_FILES = "https://generativelanguage.googleapis.com/v1beta/"
# Addresses that every model takes: Google's own files, its cloud storage, and YouTube.
_GOOGLES = re.compile(
    r"gs://|https://generativelanguage\.googleapis\.com/|https://(?:www\.|m\.)?youtube\.com/|https://youtu\.be/"
)


class Blob(Struct, frozen=True, rename="camel"):
    """Bytes, in base64."""

    mime_type: str
    data: str


class FileData(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A file by its address."""

    file_uri: str
    mime_type: str | None = None


class FunctionCall(Struct, frozen=True, omit_defaults=True):
    """A call of a tool."""

    name: str
    args: Raw
    id: str | None = None


class ResponsePart(Struct, frozen=True, rename="camel"):
    """A picture or file within a tool's result."""

    inline_data: Blob


class FunctionResponse(Struct, frozen=True, omit_defaults=True):
    """What came of a call."""

    name: str
    response: Raw
    id: str | None = None
    parts: list[ResponsePart] = []


class Part(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One of these, and a signature at times."""

    text: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    thought_signature: str | None = None


class Content(Struct, frozen=True, omit_defaults=True):
    """What one side said; a system instruction has no role."""

    parts: list[Part | Raw]
    role: str | None = None


_read_object = msgspec.json.Decoder(dict[str, object]).decode
_encode = msgspec.json.encode


class Contents:
    """The turns of one conversation; not shared. Raises `InvalidRequest` for what Gemini can't be told."""

    def __init__(self, turns: Iterable[Turn], target: Target, traits: Traits) -> None:
        self.system: list[Part | Raw] = []
        self.contents: list[Content] = []
        self._target = target
        self._traits = traits
        # The name of each call so far, and its place among them; some clients use ids again in later turns.
        self._calls: dict[str, tuple[str, int]] = {}
        self._places = itertools.count()
        self._responses: list[tuple[int, Part]] = []
        # Whether the last content holds tools' results, beside which Gemini wants nothing else.
        self._answered = False
        self._beside: list[Part | Raw] = []
        for turn in turns:
            self._add(turn)
        self._close_responses()
        if not self.contents or self.contents[0].role != "user":
            # Gemini wants a user's turn first, and one that is not empty.
            self.contents.insert(0, Content([Part(text=" ")], "user"))

    def _add(self, turn: Turn) -> None:
        if turn.role == "assistant":
            self._close_responses()
        said = self._said(turn)
        match turn.role:
            case "system" | "developer":
                self.system += said
            case "assistant":
                self._append("model", said)
            case "tool":
                self._beside += said
            case "user":
                if any(isinstance(part, Foreign) and part.dialect != "gemini" for part in turn.parts):
                    raise self._target.cannot("messages", "only another provider knows a part of it")
                self._close_responses()
                self._append("user", said)

    def _append(self, role: str, parts: list[Part | Raw]) -> None:
        if not parts:
            return
        last = self.contents[-1] if self.contents else None
        if last is None or last.role != role or self._answered:
            self.contents.append(Content(parts, role))
            self._answered = False
        else:
            last.parts.extend(parts)

    def _close_responses(self) -> None:
        """All results of one turn's calls stand in one content, in the order of the calls."""
        if self._responses:
            self._responses.sort(key=lambda placed: placed[0])
            self.contents.append(Content([part for _, part in self._responses], "user"))
            self._responses = []
            self._answered = True
        self._append("user", self._beside)
        self._beside = []

    def _said(self, turn: Turn) -> list[Part | Raw]:
        said: list[Part | Raw] = []
        unsigned = self._traits.signed
        for part in turn.parts:
            match part:
                case Text():
                    if part.text or part.signature:
                        said.append(Part(text=part.text, thought_signature=part.signature))
                case Refusal() if part.text:
                    said.append(Part(text=part.text))
                case Media():
                    if turn.role in {"system", "developer"}:
                        raise self._target.cannot("messages", "a system message can only be text")
                    signature = _UNSIGNED if turn.role == "assistant" and self._traits.signed else None
                    said.append(self._medium(part, signature))
                case ToolCall():
                    # Only a step's first call must be signed.
                    said.append(self._call(part, _UNSIGNED if unsigned else None))
                    unsigned = False
                case ToolResult():
                    self._result(part)
                case Foreign(dialect="gemini"):
                    said.append(part.block)
                case _:
                    # Thinking is never sent back: its signatures stand on calls and texts.
                    pass
        return said

    def _medium(self, medium: Media, signature: str | None = None) -> Part:
        if medium.data is not None:
            if medium.media_type is None:
                raise InvalidRequest(
                    "invalid_value",
                    "Invalid value for 'messages': a file has no media type.",
                    param="messages",
                )
            return Part(inline_data=Blob(medium.media_type, medium.data), thought_signature=signature)
        address = medium.url or medium.file_id or ""
        if address.startswith("files/"):
            address = _FILES + address
        if not _GOOGLES.match(address):
            if medium.url is None:
                raise self._target.cannot("messages", f"it does not know the file '{medium.file_id}'")
            if not (self._traits.modern and address.startswith("https://")):
                raise self._target.cannot("messages", "it takes no file from this address; send its data")
        kind = medium.media_type or media.type_of_file(address.partition("?")[0])
        return Part(file_data=FileData(address, kind), thought_signature=signature)

    def _call(self, call: ToolCall, signature: str | None) -> Part:
        self._calls[call.id] = (call.name, next(self._places))
        if call.kind == "custom":
            args = free_text.wrapped(call.arguments)
        else:
            args = call.arguments.strip().encode() or b"{}"
            if not _is_object(args):
                raise InvalidRequest(
                    "invalid_value",
                    f"Invalid value for 'messages': the arguments of call '{call.id}' are no JSON object.",
                    param="messages",
                )
        return Part(
            function_call=FunctionCall(call.name, Raw(args), call.id),
            thought_signature=call.signature or signature,
        )

    def _result(self, result: ToolResult) -> None:
        known = self._calls.get(result.call_id)
        if known is None:
            raise InvalidRequest(
                "invalid_value",
                f"Invalid value for 'messages': no call before this result has the id '{result.call_id}'.",
                param="messages",
            )
        name, place = known
        texts: list[str] = []
        within: list[ResponsePart] = []
        beside: list[Part | Raw] = []
        for part in result.parts:
            if isinstance(part, Text):
                texts.append(part.text)
            elif isinstance(part, Media):
                made = self._medium(part)
                if self._traits.signed and made.inline_data and made.inline_data.mime_type in _WITHIN:
                    within.append(ResponsePart(made.inline_data))
                else:
                    beside.append(made)
        response = _response("".join(texts), error=result.error, media=bool(within or beside))
        self._responses.append(
            (place, Part(function_response=FunctionResponse(name, response, result.call_id, within)))
        )
        self._beside += beside


def _response(text: str, *, error: bool, media: bool) -> Raw:
    """A result as the object that Gemini wants: as it is when it is one, else under the documented name."""
    encoded = text.encode()
    given = _is_object(encoded)
    if not error and given:
        return Raw(encoded)
    if not text and media:
        return Raw(b"{}")
    return Raw(_encode({"error" if error else "output": Raw(encoded) if given else text}))


def _is_object(text: bytes) -> bool:
    if not text.lstrip().startswith(b"{"):
        return False
    try:
        _read_object(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
