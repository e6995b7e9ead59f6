"""The hub: what every dialect maps its requests to and its answers from, and back.

A request becomes a `Conversation`. An answer, whole or streamed, becomes a sequence of events: a whole answer
is the same events all at once, so both ways give the same message. A value that a dialect has and the hub has
not is no loss within that dialect, where bytes pass through and never come here.
"""

from collections.abc import Iterable
from typing import Any, Literal, Protocol

from msgspec import Raw, Struct

from tokligenced.domain import Dialect, Usage
from tokligenced.errors import CallError, InvalidRequest

Role = Literal["system", "developer", "user", "assistant", "tool"]
MediaKind = Literal["image", "audio", "video", "document"]
CallKind = Literal["function", "custom"]
Finish = Literal["stop", "length", "tool_calls", "content_filter"]
# How long a provider shall keep the prompt up to here: Anthropic's `cache_control`.
Cache = Literal["5m", "1h"]


class Text(Struct, frozen=True, kw_only=True):
    """Text that is said. `signature` is what some providers want back with it, opaque."""

    text: str
    cache: Cache | None = None
    signature: str | None = None


class Refusal(Struct, frozen=True, kw_only=True):
    """What a model said instead of an answer."""

    text: str


class Media(Struct, frozen=True, kw_only=True):
    """A picture, sound or file: by exactly one of `data` (base64), `url` or `file_id` (a provider's own).

    `detail` is OpenAI's resolution of a picture.
    """

    kind: MediaKind
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    name: str | None = None
    detail: str | None = None
    cache: Cache | None = None


class ToolCall(Struct, frozen=True, kw_only=True):
    """A model's wish that a tool be called.

    `arguments` is the text of a JSON object, or free text when the kind is `custom`. `signature` is what some
    providers want back with the call, opaque.
    """

    id: str
    name: str
    arguments: str
    kind: CallKind = "function"
    signature: str | None = None
    cache: Cache | None = None


class ToolResult(Struct, frozen=True, kw_only=True):
    """What came of a tool call."""

    call_id: str
    parts: tuple["Text | Media | Foreign", ...]
    error: bool = False
    cache: Cache | None = None


class Thinking(Struct, frozen=True, kw_only=True):
    """A model's reasoning, to be handed back as it came.

    `signature` proves it to its provider; it may be there without any text. `redacted` is what a provider
    gave in place of text, opaque.
    """

    text: str = ""
    signature: str | None = None
    redacted: str | None = None


class Foreign(Struct, frozen=True, kw_only=True):
    """A block that only its own dialect understands (server-side tools and what came of them).

    Other dialects carry it so that it can be handed back, or leave it out.
    """

    dialect: Dialect
    block: Raw


Part = Text | Refusal | Media | ToolCall | ToolResult | Thinking | Foreign


class Turn(Struct, frozen=True, kw_only=True):
    """What one side said. A result of a tool stands in a turn of the role `tool`."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None


class Tool(Struct, frozen=True, kw_only=True):
    """A tool that the model may ask for.

    `schema` is the JSON Schema of its arguments, None where the client gave none; `format` is a custom tool's
    grammar as OpenAI writes it.
    """

    name: str
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    kind: CallKind = "function"
    format: dict[str, Any] | None = None
    cache: Cache | None = None


class ToolChoice(Struct, frozen=True, kw_only=True):
    """Which tool to use: any of `names`, or of all where there are none."""

    mode: Literal["auto", "none", "required"] = "auto"
    names: tuple[str, ...] = ()


class OutputFormat(Struct, frozen=True, kw_only=True):
    """JSON is wanted; of this schema where there is one."""

    schema: dict[str, Any] | None = None
    name: str = "response"
    description: str | None = None
    strict: bool | None = None


class Reasoning(Struct, frozen=True, kw_only=True):
    """How much to think: an effort in OpenAI's words (`none` for not at all), or a budget in tokens."""

    effort: str | None = None
    budget: int | None = None


class Conversation(Struct, frozen=True, kw_only=True):
    """A request for an answer.

    What is None was not asked for. `unsupported` are names of members that were given, would change the
    result, and that nothing else here stands for: a dialect that has no such thing must refuse them.
    """

    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    choices: int = 1
    logprobs: bool = False
    top_logprobs: int | None = None
    output_format: OutputFormat | None = None
    reasoning: Reasoning | None = None
    modalities: tuple[str, ...] = ("text",)
    user: str | None = None
    stream: bool = False
    unsupported: tuple[str, ...] = ()


class Target(Struct, frozen=True, kw_only=True):
    """Where a conversation goes: the provider by name, its name for the model, and that model's limit."""

    provider: str
    model: str
    max_output_tokens: int

    def cannot(self, param: str, what: str = "") -> InvalidRequest:
        """The refusal of a member that the provider has nothing like, or of a value it can't take."""
        reason = what or f"'{param}' is not supported"
        return InvalidRequest("unsupported_parameter", f"Provider {self.provider}: {reason}.", param=param)


# Events of an answer. `choice` counts from 0.


class Began(Struct, frozen=True, kw_only=True):
    """The answer has an id and a model at the provider; comes first, once."""

    id: str
    model: str


class Said(Struct, frozen=True, gc=False):
    """More text."""

    choice: int
    text: str


class Thought(Struct, frozen=True, gc=False):
    """More visible reasoning."""

    choice: int
    text: str


class Signed(Struct, frozen=True):
    """A block of reasoning is over: the whole of it, for handing back; its text came as `Thought` before."""

    choice: int
    block: Thinking


class Sealed(Struct, frozen=True):
    """What is said so far in this choice bears a signature that must come back with it."""

    choice: int
    signature: str


class Refused(Struct, frozen=True):
    """More of what the model says instead of an answer."""

    choice: int
    text: str


class CallBegan(Struct, frozen=True, kw_only=True):
    """A tool call; `index` counts the calls of its choice from 0. Its arguments follow as `CallGrew`."""

    choice: int
    index: int
    id: str
    name: str
    kind: CallKind = "function"
    signature: str | None = None


class CallGrew(Struct, frozen=True, gc=False):
    """More of a tool call's arguments."""

    choice: int
    index: int
    text: str


class Drew(Struct, frozen=True):
    """A picture or sound, whole."""

    choice: int
    media: Media


class Cited(Struct, frozen=True, kw_only=True):
    """A source of what was said; `start` and `end` are characters of the text where they are known."""

    choice: int
    url: str
    title: str = ""
    start: int = 0
    end: int = 0


class Carried(Struct, frozen=True):
    """A block that only its own dialect understands, whole."""

    choice: int
    block: Foreign


class Logged(Struct, frozen=True):
    """Log probabilities of tokens, in OpenAI's form: a list of objects."""

    choice: int
    tokens: list[dict[str, Any]]


class Ended(Struct, frozen=True, kw_only=True):
    """A choice is complete. `stop_sequence` is the one that ended it, `native` the provider's own word."""

    choice: int
    finish: Finish
    stop_sequence: str | None = None
    native: str | None = None


class Counted(Struct, frozen=True):
    """The provider's count so far; a later one replaces it."""

    usage: Usage


ChoiceEvent = (
    Said
    | Thought
    | Signed
    | Sealed
    | Refused
    | CallBegan
    | CallGrew
    | Drew
    | Cited
    | Carried
    | Logged
    | Ended
)
Event = Began | Counted | ChoiceEvent


class AnswerReader(Protocol):
    """Reads one upstream answer; not shared. All raise `UpstreamFailed` for what is not the dialect.

    `disbelieved` says that the upstream told a usage that can't be.
    """

    disbelieved: bool

    def event(self, data: bytes) -> list[Event]:
        """The data of one event of a stream."""

    def whole(self, body: bytes) -> list[Event]:
        """The body of an answer that is not streamed; complete, or it raises."""

    def end(self) -> list[Event]:
        """The stream is over; raises when the answer is not complete."""

    def late(self) -> list[Event]:
        """What has come and was not told yet, because it is wanted only when the answer breaks off."""
        return []


class AnswerWriter(Protocol):
    """Writes one answer in the client's dialect; not shared."""

    def stream(self, events: Iterable[Event]) -> bytes:
        """What goes to the client now; empty when there is nothing to say yet."""

    def end(self) -> bytes:
        """What ends a complete stream."""

    def fail(self, error: CallError) -> bytes:
        """What ends a stream that broke off; nothing may follow."""

    def whole(self, events: Iterable[Event]) -> bytes:
        """The body of an answer that is not streamed."""
