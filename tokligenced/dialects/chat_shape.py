"""The shape that OpenAI's own clients expect of chat answers, as strict types.

What fits them passes as it came; what does not is mended (see `chat_mending`).
https://platform.openai.com/docs/api-reference/chat/object
https://platform.openai.com/docs/api-reference/chat-streaming
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

Role = Literal["developer", "system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]
_Something = Annotated[str, Meta(min_length=1)]
ServiceTier = Literal["auto", "default", "flex", "scale", "priority", "fast"]


class Function(Struct, gc=False):
    """A piece of a call of a function."""

    name: str | None = None
    arguments: str | None = None


class Custom(Struct, gc=False):
    """A piece of a call of a custom tool."""

    name: str | None = None
    input: str | None = None


class CallPiece(Struct, gc=False):
    """A piece of a tool call; its first must have all members, see `chat_answers`."""

    index: int
    id: str | None = None
    type: Literal["function", "custom"] | None = None
    function: Function | None = None
    custom: Custom | None = None


class WholeFunction(Struct, gc=False):
    """A call of a function."""

    name: str
    arguments: _Something


class WholeCustom(Struct, gc=False):
    """A call of a custom tool."""

    name: str
    input: str


class WholeCall(Struct, gc=False):
    """A tool call."""

    id: _Something
    type: Literal["function", "custom"]
    function: WholeFunction | None = None
    custom: WholeCustom | None = None


class Audio(Struct, gc=False):
    """Sound, or a piece of it."""

    transcript: str | None = None
    data: str | None = None


class TopLogprob(Struct, gc=False):
    """One of the likeliest tokens at a place."""

    token: str
    logprob: float
    bytes: list[int] | None = None


class TokenLogprob(Struct, gc=False):
    """A token with how likely it was."""

    token: str
    logprob: float
    top_logprobs: list[TopLogprob]
    bytes: list[int] | None = None


class Logprobs(Struct, gc=False):
    """Log probabilities of a choice."""

    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None


class Delta(Struct, gc=False):
    """A piece of a message."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    role: Role | None = None
    tool_calls: list[CallPiece] | None = None
    function_call: Function | None = None
    audio: Audio | None = None
    images: list[Raw] | None = None


class Message(Struct, gc=False):
    """A whole message."""

    role: Literal["assistant"]
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[WholeCall] | None = None
    function_call: WholeFunction | None = None
    audio: Audio | None = None
    images: list[Raw] | None = None


class ChunkChoice(Struct, gc=False):
    """A choice in a chunk."""

    index: int
    delta: Delta
    finish_reason: FinishReason | None = None
    logprobs: Logprobs | None = None

    @property
    def message(self) -> None:
        """A chunk has none."""


class WholeChoice(Struct, gc=False):
    """A choice of a whole answer."""

    index: int
    message: Message
    finish_reason: FinishReason
    logprobs: Logprobs | None = None

    @property
    def delta(self) -> None:
        """A whole answer has none."""


class Details(Struct, gc=False):
    """Parts of what was counted, as far as OpenAI knows them."""

    audio_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    image_tokens: int | None = None
    reasoning_tokens: int | None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None
    text_tokens: int | None = None


class Usage(Struct, gc=False):
    """What was counted; read anew, and doubted, where it is booked."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: Details | None = None
    completion_tokens_details: Details | None = None
    # DeepSeek's: https://api-docs.deepseek.com/guides/kv_cache
    prompt_cache_hit_tokens: int | None = None


class Groq(Struct, gc=False):
    """Groq's own member, where older models' usage stands."""

    usage: Usage | None = None


class Chunk(Struct, gc=False):
    """One event of a stream."""

    id: str
    choices: list[ChunkChoice]
    created: int
    model: str
    object: Literal["chat.completion.chunk"]
    usage: Usage | None = None
    service_tier: ServiceTier | None = None
    x_groq: Groq | None = None
    error: Any = None


class Completion(Struct, gc=False):
    """A whole answer."""

    id: str
    choices: list[WholeChoice]
    created: int
    model: str
    object: Literal["chat.completion"]
    usage: Usage | None = None
    service_tier: ServiceTier | None = None
    x_groq: Groq | None = None
    error: Any = None


read_completion = msgspec.json.Decoder(Completion)
read_chunk = msgspec.json.Decoder(Chunk)
read_chunks = msgspec.json.Decoder(list[Chunk])
