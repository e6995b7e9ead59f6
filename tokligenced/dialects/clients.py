"""The dialects in which clients hold conversations: how each asks, is answered, and is told of errors."""

from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct

from tokligenced.dialects import (
    chat,
    chat_requests,
    chat_writer,
    completions,
    messages,
    messages_calls,
    messages_errors,
    messages_writer,
    responses_calls,
    responses_events,
    responses_requests,
    responses_writer,
    sse,
)
from tokligenced.dialects.conversation import AnswerWriter, Conversation
from tokligenced.domain import Call, Dialect
from tokligenced.errors import CallError


class Parse(Protocol):
    """Reads a request's body as far as the gateway itself needs it; raises `InvalidRequest`."""

    def __call__(self, body: bytes, *, call_id: str, at: int) -> Call:
        """The call; `at` is in Unix milliseconds."""


class Inlet(Struct, frozen=True, kw_only=True):
    """How a client's dialect comes in, and what the gateway itself says in it.

    `render_error` makes the body of an error for a request's id; `keep_alive` is what a silent stream sends.
    `takes_api_key` says that the key may stand in `x-api-key`. Headers whose names begin with `headers`
    belong to the dialect, as `query` does where it stands in the request's URL.
    """

    parse: Parse
    render_error: Callable[[CallError, str], bytes] = chat.render_error
    keep_alive: bytes = sse.KEEP_ALIVE
    takes_api_key: bool = False
    headers: str = ""
    query: str = ""


class Client(Inlet, frozen=True, kw_only=True):
    """A dialect in which conversations are held.

    `read` gives the conversation that a call holds, `writer` what writes its answer for an upstream's model.
    """

    read: Callable[[Call], Conversation]
    writer: Callable[[Call, str], AnswerWriter]


CHAT = Client(parse=chat.parse, read=chat_requests.read, writer=chat_writer.Writer)
MESSAGES = Client(
    parse=messages.parse,
    read=messages_calls.read,
    writer=messages_writer.Writer,
    render_error=messages_errors.render_error,
    keep_alive=messages_errors.KEEP_ALIVE,
    takes_api_key=True,
    headers="anthropic-",
    query="beta=true",
)
RESPONSES = Client(
    parse=responses_calls.parse,
    read=responses_requests.read,
    writer=responses_writer.Writer,
    keep_alive=responses_events.KEEP_ALIVE,
)
COMPLETIONS = Inlet(parse=completions.parse)
CLIENTS: Mapping[Dialect, Client] = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}
