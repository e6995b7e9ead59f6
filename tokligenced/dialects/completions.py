"""OpenAI's legacy Completions, for upstreams that still have them: requests read, answers watched.

https://platform.openai.com/docs/api-reference/completions
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from tokligenced.dialects import body as json_body
from tokligenced.dialects.chat_answers import read_error
from tokligenced.dialects.conversation import AnswerReader, Counted, Ended, Event, Said
from tokligenced.dialects.openai_usage import WireUsage, usage_of
from tokligenced.dialects.tasks import check_name
from tokligenced.dialects.wire_error import UNREADABLE, ErrorInside, incomplete, not_the_dialect
from tokligenced.domain import Call
from tokligenced.errors import InvalidRequest

_Count = Annotated[int, Meta(ge=1, le=2**31)]
_Few = Annotated[int, Meta(ge=1, le=128)]


class _StreamOptions(Struct):
    include_usage: bool | None = None


class _Request(Struct):
    model: Annotated[str, Meta(min_length=1, max_length=256)]
    prompt: str | list[str | int | list[int]]
    max_tokens: _Count | None = None
    n: _Few | None = None
    best_of: _Few | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None


_read_request = msgspec.json.Decoder(_Request)


def parse(body: bytes, *, call_id: str, at: int) -> Call:
    """Read a request. Raises `InvalidRequest` naming the field at fault."""
    members = json_body.members(body)
    request = json_body.decode(_read_request, body)
    check_name(request.model)
    prompts = request.prompt if isinstance(request.prompt, list) else [request.prompt]
    if not prompts:
        raise InvalidRequest("invalid_value", "Invalid value for 'prompt': it is empty.", param="prompt")
    # Token ids may stand there bare: then they are one prompt.
    count = 1 if isinstance(prompts[0], int) else len(prompts)
    return Call(
        dialect="completions",
        model=request.model,
        body=body,
        id=call_id,
        at=at,
        members=members,
        stream=bool(request.stream),
        include_usage=bool(request.stream_options and request.stream_options.include_usage),
        max_output_tokens=request.max_tokens,
        choices=max(request.n or 1, request.best_of or 1) * count,
        text_bytes=len(body),
    )


class _Choice(Struct):
    text: str | None = None
    index: int = 0
    finish_reason: str | None = None


class _Answer(Struct):
    choices: list[_Choice] | None = None
    usage: WireUsage | None = None
    error: Any = None


_read_answer = msgspec.json.Decoder(_Answer)


class Reader(AnswerReader):
    """Reads one answer, which passes as it is; not shared."""

    def __init__(self) -> None:
        self.disbelieved = False
        self._done = False
        self._open: set[int] = set()

    def event(self, data: bytes) -> list[Event]:
        """The data of one event of a stream."""
        if data == b"[DONE]":
            self._done = True
            return []
        try:
            answer = _read_answer.decode(data)
        except UNREADABLE:
            raise not_the_dialect("a completion") from None
        if answer.error is not None:
            raise ErrorInside(read_error(data))
        events: list[Event] = []
        for choice in answer.choices or ():
            self._open.add(choice.index)
            if choice.text:
                events.append(Said(choice.index, choice.text))
            if choice.finish_reason is not None:
                self._open.discard(choice.index)
                events.append(Ended(choice=choice.index, finish="stop", native=choice.finish_reason))
                self._done = self._done or not self._open
        if answer.usage is not None and not answer.usage.silent:
            usage = usage_of(answer.usage)
            self.disbelieved = usage is None
            events += [Counted(usage)] if usage is not None else []
        return events

    def whole(self, body: bytes) -> list[Event]:
        """The body of an answer that is not streamed."""
        events = self.event(body)
        if not any(isinstance(event, Ended | Said) for event in events):
            raise not_the_dialect("a completion")
        return events

    def end(self) -> list[Event]:
        """The stream is over."""
        if not self._done:
            raise incomplete()
        return []
