"""The turns of a conversation as the messages of Anthropic's dialect: roles alternate, results come first.

https://platform.claude.com/docs/en/api/messages
https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
from msgspec import Raw, Struct, structs

from tokligenced.dialects import free_text
from tokligenced.dialects.conversation import (
    Foreign,
    Media,
    Part,
    Refusal,
    Target,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from tokligenced.dialects.messages_media import CACHES, CacheControl, DocumentBlock, ImageBlock, block_of
from tokligenced.errors import InvalidRequest, invalid_value


class TextBlock(Struct, frozen=True, tag_field="type", tag="text", omit_defaults=True):
    """Text; never blank, which Anthropic refuses."""

    text: str
    cache_control: CacheControl | None = None


class ThinkingBlock(Struct, frozen=True, tag_field="type", tag="thinking"):
    """Reasoning that is handed back."""

    thinking: str
    signature: str


class RedactedBlock(Struct, frozen=True, tag_field="type", tag="redacted_thinking"):
    """Reasoning that was never shown."""

    data: str


class ToolUse(Struct, frozen=True, tag_field="type", tag="tool_use", omit_defaults=True):
    """A call; `input` is a JSON object."""

    id: str
    name: str
    input: Raw
    cache_control: CacheControl | None = None


Content = TextBlock | ImageBlock | DocumentBlock | Raw


class ToolResultBlock(Struct, frozen=True, tag_field="type", tag="tool_result", omit_defaults=True):
    """What came of a call."""

    tool_use_id: str
    content: tuple[Content, ...] = ()
    is_error: bool = False
    cache_control: CacheControl | None = None


Block = Content | ThinkingBlock | RedactedBlock | ToolUse | ToolResultBlock
Role = Literal["user", "assistant", "system"]


class Message(Struct, frozen=True):
    """One message; `content` grows while turns of one role follow each other."""

    role: Role
    content: list[Block]


class Layout(Struct, frozen=True, kw_only=True):
    """What turns become. `uses_files` says that something stands for a file at Anthropic."""

    system: list[TextBlock]
    messages: list[Message]
    uses_files: bool

    @property
    def lost_its_thinking(self) -> bool:
        """Whether an unfinished answer, of calls with results or just begun, does not start with thinking.

        With a thinking budget Anthropic refuses to go on with such a one.
        """
        first: Message | None = None
        for message in reversed(self.messages):
            if message.role == "assistant":
                first = message
            elif message.role == "user" and not any(
                isinstance(one, ToolResultBlock) for one in message.content
            ):
                break
        return first is not None and not isinstance(first.content[0], ThinkingBlock | RedactedBlock)


_LEGAL = re.compile(r"[a-zA-Z0-9_-]+")
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]")
_arguments = msgspec.json.Decoder(dict[str, Raw])


def lay_out(turns: Iterable[Turn], target: Target, *, system_turns: bool) -> Layout:
    """The messages for these turns, and the instructions that go before them all.

    With `system_turns` an instruction given later stays where it was given, as near as Anthropic allows.
    Raises `InvalidRequest` naming the turn for what can't be said.
    """
    builder = _Builder(target, system_turns=system_turns)
    for at, turn in enumerate(turns):
        builder.add(at, turn)
    return builder.layout()


class _Builder:
    def __init__(self, target: Target, *, system_turns: bool) -> None:
        self._target = target
        self._system_turns = system_turns
        self._system: list[TextBlock] = []
        self._messages: list[Message] = []
        self._instructions: list[TextBlock] = []
        self._waiting: dict[str, str] = {}
        self._asked_at = 0
        # Each id that was given out, and the last number put behind it.
        self._ids: dict[str, int] = {}
        self._results = 0
        self._uses_files = False

    def add(self, at: int, turn: Turn) -> None:
        if turn.role == "assistant":
            self._answer(at, turn.parts)
        elif turn.role in {"user", "tool"}:
            self._ask(at, turn.parts)
        elif self._system_turns and self._messages:
            self._instructions += self._texts(at, turn.parts)
        else:
            self._system += self._texts(at, turn.parts)

    def layout(self) -> Layout:
        self._expect_no_result()
        self._place_instructions()
        if not self._messages:
            # Anthropic answers nobody but a user.
            if not self._system:
                raise invalid_value("messages", "nothing is said in them")
            self._messages = [Message("user", [*self._system])]
            self._system = []
        last = self._messages[-1]
        if last.role == "assistant" and isinstance(text := last.content[-1], TextBlock):
            # What an answer shall begin with must not end with white space.
            last.content[-1] = structs.replace(text, text=text.text.rstrip())
        return Layout(system=self._system, messages=self._messages, uses_files=self._uses_files)

    def _place_instructions(self) -> None:
        # They may only stand between what a user said and the answer to it.
        # https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages
        if self._instructions and self._messages[-1].role == "user":
            self._messages.append(Message("system", [*self._instructions]))
        else:
            self._system += self._instructions
        self._instructions = []

    def _texts(self, at: int, parts: Sequence[Part]) -> list[TextBlock]:
        texts = []
        for part in parts:
            if not isinstance(part, Text):
                raise _invalid(at, "an instruction is text and nothing else")
            texts += _text(part)
        return texts

    def _answer(self, at: int, parts: Sequence[Part]) -> None:
        calls: dict[str, str] = {}
        blocks = [block for part in parts for block in self._said(at, part, calls)]
        if not blocks:
            return
        self._place_instructions()
        if self._messages and self._messages[-1].role == "assistant":
            self._messages[-1].content.extend(blocks)
        else:
            self._expect_no_result()
            self._messages.append(Message("assistant", blocks))
        if calls.keys() & self._waiting.keys():
            raise _invalid(at, "two tool calls have the same id")
        if calls:
            self._waiting |= calls
            self._asked_at = at

    def _expect_no_result(self) -> None:
        if self._waiting:
            raise _invalid(self._asked_at, "a tool call is not followed by its result")

    def _said(self, at: int, part: Part, calls: dict[str, str]) -> Sequence[Block]:
        """The blocks of an assistant's part; a call's id goes to `calls`, with its id at Anthropic."""
        match part:
            case Text():
                return _text(part)
            case Refusal():
                return _text(Text(text=part.text))
            case Thinking():
                return _thinking(part)
            case Foreign():
                return _foreign(part)
            case ToolCall():
                if part.id in calls:
                    raise _invalid(at, "two tool calls have the same id")
                calls[part.id] = self._fresh_id(part.id)
                return [ToolUse(calls[part.id], part.name, _input(at, part), CACHES[part.cache])]
            case _:
                raise self._target.cannot(f"messages[{at}]", "an assistant's turn can hold no such part")

    def _ask(self, at: int, parts: Sequence[Part]) -> None:
        results: list[Block] = []
        blocks: list[Block] = []
        for part in parts:
            if isinstance(part, ToolResult):
                results.append(self._result(at, part))
            else:
                blocks += self._content(at, part)
        if not results and not blocks:
            return
        if not (self._messages and self._messages[-1].role == "user"):
            self._messages.append(Message("user", []))
            self._results = 0
        content = self._messages[-1].content
        content[self._results : self._results] = results
        self._results += len(results)
        content.extend(blocks)

    def _result(self, at: int, result: ToolResult) -> ToolResultBlock:
        wire_id = self._waiting.pop(result.call_id, None)
        if wire_id is None:
            raise _invalid(at, "the result is of no tool call that waits for one")
        content = [block for part in result.parts for block in self._content(at, part)]
        return ToolResultBlock(wire_id, tuple(content), result.error, CACHES[result.cache])

    def _content(self, at: int, part: Part) -> list[Content]:
        match part:
            case Text():
                return [*_text(part)]
            case Media():
                self._uses_files = self._uses_files or part.file_id is not None
                return [block_of(part, f"messages[{at}]", self._target)]
            case Foreign():
                return [*_foreign(part)]
            case _:
                raise _invalid(at, "only an assistant's turn can hold such a part")

    def _fresh_id(self, given: str) -> str:
        """An id that Anthropic takes, the same in every request of one conversation.

        Some clients count their calls anew in every turn, while Anthropic wants each id once.
        """
        legal = legal_id(given)
        fresh, turn = legal, self._ids.get(legal, 1)
        while fresh in self._ids:
            turn += 1
            fresh = f"{legal}_{turn}"
        self._ids[fresh] = 1
        self._ids[legal] = turn
        return fresh


def legal_id(given: str) -> str:
    """A call's id in the letters that Anthropic takes, always the same for the same one."""
    if _LEGAL.fullmatch(given):
        return given
    return f"{_ILLEGAL.sub('_', given)[:40]}_{hashlib.sha256(given.encode()).hexdigest()[:16]}"


def _text(part: Text) -> list[TextBlock]:
    return [TextBlock(part.text, CACHES[part.cache])] if part.text.strip() else []


def _thinking(part: Thinking) -> list[Block]:
    if part.redacted is not None:
        return [RedactedBlock(part.redacted)]
    return [ThinkingBlock(part.text, part.signature)] if part.signature else []


def _foreign(part: Foreign) -> list[Raw]:
    return [part.block] if part.dialect == "messages" else []


def _input(at: int, call: ToolCall) -> Raw:
    if call.kind == "custom":
        return Raw(free_text.wrapped(call.arguments))
    written = call.arguments.strip().encode() or b"{}"
    try:
        _arguments.decode(written)
    except (msgspec.DecodeError, RecursionError):
        raise _invalid(at, f"the arguments of the call of '{call.name}' are not a JSON object") from None
    return Raw(written)


def _invalid(at: int, reason: str) -> InvalidRequest:
    return invalid_value(f"messages[{at}]", reason)
