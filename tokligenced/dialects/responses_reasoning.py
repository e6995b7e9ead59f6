"""What travels in the `encrypted_content` of OpenAI Responses' reasoning items, so that a turn loses nothing.

A client that keeps no state at the gateway hands the items of an answer back as it got them. So a reasoning
item carries, opaque to the client, what a provider wants back word for word: its reasoning with the proof of
it, blocks that only its own dialect understands, and the signatures of the text before or the call after it.
https://platform.openai.com/docs/guides/reasoning#encrypted-reasoning-items
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from tokligenced.dialects.conversation import Foreign, Thinking

# OpenAI's own have no full stop in them.
_PREFIX = "tk1."


class Secret(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of these: a block, the signature of the text said before, or of the tool call that comes next."""

    thinking: Thinking | None = None
    foreign: Foreign | None = None
    text_signature: str | None = None
    call_signature: str | None = None


_read_secrets = msgspec.json.Decoder(list[Secret])


def sealed(secrets: Sequence[Secret]) -> str:
    """The opaque text for these."""
    return _PREFIX + urlsafe_b64encode(msgspec.json.encode(secrets)).decode()


def opened(text: str) -> list[Secret] | None:
    """What `sealed` put in; None for what somebody else made, which means nothing here."""
    if not text.startswith(_PREFIX):
        return None
    try:
        return _read_secrets.decode(urlsafe_b64decode(text[len(_PREFIX) :]))
    except (ValueError, RecursionError):  # what is no base64, no JSON, or of another shape
        return None
