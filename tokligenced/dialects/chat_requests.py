"""OpenAI Chat Completions: requests to and from the hub."""

from tokligenced.dialects.conversation import Conversation
from tokligenced.domain import Call


def read(call: Call) -> Conversation:
    """The conversation that a request holds. Raises `InvalidRequest` naming the field at fault."""
    raise NotImplementedError(call.model)
