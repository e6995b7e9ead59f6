"""The dialects in which clients hold conversations: how each reads a request and writes an answer."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from tokligenced.dialects import chat_requests, chat_writer
from tokligenced.dialects.conversation import AnswerWriter, Conversation
from tokligenced.domain import Call, Dialect


class Client(Struct, frozen=True):
    """A client's dialect: `read` a request, and make the `writer` of its answer for an upstream's model."""

    read: Callable[[Call], Conversation]
    writer: Callable[[Call, str], AnswerWriter]


CLIENTS: Mapping[Dialect, Client] = {
    "chat": Client(chat_requests.read, chat_writer.Writer),
}
