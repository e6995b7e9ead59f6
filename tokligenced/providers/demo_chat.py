"""The demo model's chat completions, in the bytes that api.openai.com would send."""

import itertools
import re
import sys
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from tokligenced.providers.demo_answers import count, pieces, report, say, think
from tokligenced.providers.demo_values import fill

_PER_MESSAGE = 4
_PER_ATTACHMENT = 85
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
_LONGEST_FILLER = 3

Positive = Annotated[int, Meta(ge=1)]


class Part(Struct, frozen=True, kw_only=True):
    """A part of a message's content; of other types than text only the type is looked at."""

    type: str
    text: str | None = None


class CalledFunction(Struct, frozen=True, kw_only=True):
    """The function an assistant's message called."""

    name: str = ""
    arguments: str | None = None


class ToolCall(Struct, frozen=True, kw_only=True):
    """A call in an assistant's message; `function` is None for the other kinds of tools."""

    id: str = ""
    function: CalledFunction | None = None


class Message(Struct, frozen=True, kw_only=True):
    """One message, as far as the demo model reads it."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | tuple[Part, ...] | None = None
    tool_calls: tuple[ToolCall, ...] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """The text parts, joined."""
        if isinstance(self.content, tuple):
            return "\n".join([part.text for part in self.content if part.text])
        return self.content or ""

    @property
    def attachments(self) -> int:
        """How many parts are something else than text."""
        return sum(part.text is None for part in self.content) if isinstance(self.content, tuple) else 0


class Function(Struct, frozen=True, kw_only=True):
    """A function on offer."""

    name: str
    parameters: dict[str, Any] | None = None


class Tool(Struct, frozen=True, kw_only=True):
    """A tool on offer; the demo model calls functions only."""

    type: str = "function"
    function: Function | None = None


class Named(Struct, frozen=True, kw_only=True):
    """A function that the request wants called, by name."""

    name: str


class ToolChoice(Struct, frozen=True, kw_only=True):
    """A tool that the request wants called."""

    type: str = "function"
    function: Named | None = None


class JsonSchema(Struct, frozen=True, kw_only=True):
    """The schema an answer shall fit."""

    schema: dict[str, Any] = {}


class ResponseFormat(Struct, frozen=True, kw_only=True):
    """The form an answer shall have."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(Struct, frozen=True, kw_only=True):
    """What a stream shall carry besides the answer."""

    include_usage: bool | None = None


class ChatRequest(Struct, frozen=True, kw_only=True):
    """A chat request as far as the demo model reads it; what is not named here changes nothing."""

    model: str
    messages: Annotated[tuple[Message, ...], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Positive | None = None
    max_completion_tokens: Positive | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: str | tuple[str, ...] | None = None
    response_format: ResponseFormat | None = None
    tools: tuple[Tool, ...] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None


class Invocation(Struct, frozen=True, kw_only=True):
    """A tool call in an answer; it counts one token more than its arguments have."""

    id: str
    name: str
    arguments: list[str]


class Choice(Struct, frozen=True, kw_only=True):
    """One answer, in tokens; `content` is None when tools are called instead."""

    thoughts: list[str]
    content: list[str] | None
    calls: list[Invocation]
    finish: Literal["stop", "length", "tool_calls"]

    @property
    def tokens(self) -> int:
        """All tokens of the answer, thoughts included."""
        called = sum(1 + len(call.arguments) for call in self.calls)
        return len(self.thoughts) + len(self.content or ()) + called


def whole(request: ChatRequest, digest: str, *, usage: bool) -> bytes:
    """The answer as one body; without its `usage` member if `usage` is false."""
    choices = _choices(request, digest)
    answer = _envelope(request, digest, "chat.completion") | {
        "choices": [
            {"index": index, "message": _message(choice), "logprobs": None, "finish_reason": choice.finish}
            for index, choice in enumerate(choices)
        ]
    }
    return msgspec.json.encode(answer | {"usage": _usage(request, choices)} if usage else answer)


def events(request: ChatRequest, digest: str, *, usage: bool) -> Iterator[bytes]:
    """The answer as the events of a stream, usage last if it is asked for and `usage` is true."""
    choices = _choices(request, digest)
    asked = usage and request.stream_options is not None and bool(request.stream_options.include_usage)
    envelope = _envelope(request, digest, "chat.completion.chunk") | {"choices": []}
    if asked:
        envelope["usage"] = None

    def event(index: int, delta: object, finish: str | None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return b"data: " + msgspec.json.encode(envelope | {"choices": [choice]}) + b"\n\n"

    for deltas in itertools.zip_longest(*map(_deltas, choices)):
        for index, delta in enumerate(deltas):
            if delta is not None:
                yield event(index, delta, None)
    for index, choice in enumerate(choices):
        yield event(index, {}, choice.finish)
    if asked:
        yield b"data: " + msgspec.json.encode(envelope | {"usage": _usage(request, choices)}) + b"\n\n"
    yield b"data: [DONE]\n\n"


def _envelope(request: ChatRequest, digest: str, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{digest[:29]}",
        "object": kind,
        "created": created(digest),
        "model": request.model,
        "service_tier": "default",
        "system_fingerprint": "fp_demo",
    }


def created(digest: str) -> int:
    """A time of making that is a function of the request: Unix seconds on one day of June 2025."""
    return 1_750_000_000 + int(digest[:8], 16) % 86_400


def _message(choice: Choice) -> dict[str, Any]:
    content = None if choice.content is None else "".join(choice.content)
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None, "annotations": []}
    if choice.thoughts:
        message["reasoning_content"] = "".join(choice.thoughts)
    if choice.calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": "".join(call.arguments)},
            }
            for call in choice.calls
        ]
    return message


def _deltas(choice: Choice) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": None if choice.content is None else "", "refusal": None}
    for piece in choice.thoughts:
        yield {"reasoning_content": piece}
    for piece in choice.content or ():
        yield {"content": piece}
    for index, call in enumerate(choice.calls):
        function = {"name": call.name, "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]}
        for piece in call.arguments:
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _usage(request: ChatRequest, choices: Sequence[Choice]) -> dict[str, Any]:
    prompt = prompt_tokens(request)
    completion = sum(choice.tokens for choice in choices)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": sum(len(choice.thoughts) for choice in choices),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def prompt_tokens(request: ChatRequest) -> int:
    """Tokens of the texts, called arguments and offered tools; 4 a message, 85 an attachment."""
    tokens = 0
    for message in request.messages:
        tokens += _PER_MESSAGE + count(message.text) + _PER_ATTACHMENT * message.attachments
        for call in message.tool_calls or ():
            if call.function is not None:
                tokens += count(call.function.name) + count(call.function.arguments or "")
    for tool in request.tools or ():
        if tool.function is not None:
            tokens += count(msgspec.json.encode(tool.function).decode())
    return tokens


def _choices(request: ChatRequest, digest: str) -> list[Choice]:
    return [_choice(request, digest, index) for index in range(request.n or 1)]


def _choice(request: ChatRequest, digest: str, index: int) -> Choice:
    """The answer number `index`, cut to the request's limit."""
    asked = _last_user(request)
    budget = request.max_completion_tokens or request.max_tokens or sys.maxsize
    thoughts = pieces(think(asked.text, request.reasoning_effort)) if request.reasoning_effort else []
    cut = len(thoughts) > budget
    thoughts = thoughts[:budget]
    budget -= len(thoughts)
    if functions := _functions(request, asked.text):
        calls: list[Invocation] = []
        for number, function in enumerate(functions):
            if budget < 1:
                cut = True
                break
            arguments = pieces(
                msgspec.json.encode(fill(function.parameters or {"type": "object"}, asked.text)).decode()
            )
            cut = cut or len(arguments) >= budget
            arguments = arguments[: budget - 1]
            budget -= 1 + len(arguments)
            name = sha256(f"{digest}/{index}/{number}".encode()).hexdigest()[:24]
            calls.append(Invocation(id=f"call_{name}", name=function.name, arguments=arguments))
        return Choice(thoughts=thoughts, content=None, calls=calls, finish="length" if cut else "tool_calls")
    content = pieces(_stopped(_text(request, asked, index), request.stop))
    cut = cut or len(content) > budget
    return Choice(thoughts=thoughts, content=content[:budget], calls=[], finish="length" if cut else "stop")


def _last_user(request: ChatRequest) -> Message:
    users = [message for message in request.messages if message.role == "user"]
    return users[-1] if users else request.messages[-1]


def _functions(request: ChatRequest, text: str) -> list[Function]:
    """The functions to call now: none once a result is there, unless the request insists."""
    offered = [tool.function for tool in request.tools or () if tool.function is not None]
    choice = request.tool_choice
    if isinstance(choice, ToolChoice) and choice.function is not None:
        return [function for function in offered if function.name == choice.function.name]
    if not offered or choice == "none" or (_results(request) and choice != "required"):
        return []
    words = {word.lower() for word in _WORDS.findall(text)}
    mentioned = [function for function in offered if not words.isdisjoint(_parts(function.name))]
    if not mentioned or request.parallel_tool_calls is False:
        return (mentioned or offered)[:1]
    return mentioned


def _results(request: ChatRequest) -> list[Message]:
    """What tools gave since the model last spoke; agents add words of their own behind that."""
    since = itertools.takewhile(lambda message: message.role != "assistant", reversed(request.messages))
    return [message for message in since if message.role in {"tool", "function"}][::-1]


def _parts(name: str) -> set[str]:
    return {part.lower() for part in _WORDS.findall(name) if len(part) > _LONGEST_FILLER}


def _text(request: ChatRequest, asked: Message, index: int) -> str:
    form = request.response_format
    if form is not None and form.type == "json_schema" and form.json_schema is not None:
        return msgspec.json.encode(fill(form.json_schema.schema, asked.text)).decode()
    if results := _results(request):
        names = {
            call.id: call.function.name
            for message in request.messages
            for call in message.tool_calls or ()
            if call.function is not None
        }
        answer = report([(names.get(m.tool_call_id or "", "The tool"), m.text) for m in results])
    else:
        answer = say(asked.text, asked.attachments, index)
    if form is not None and form.type == "json_object":
        return msgspec.json.encode({"answer": answer}).decode()
    return answer


def _stopped(text: str, stop: str | tuple[str, ...] | None) -> str:
    """The text before the first place where one of the stop sequences begins."""
    sequences = (stop,) if isinstance(stop, str) else stop or ()
    places = [place for sequence in sequences if sequence and (place := text.find(sequence)) >= 0]
    return text[: min(places)] if places else text
