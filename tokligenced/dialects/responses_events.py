"""Events of an OpenAI Responses stream: named, numbered from 0, written.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

from typing import Any

import msgspec

from tokligenced.errors import CallError

_encode = msgspec.json.Encoder().encode

# What OpenAI sends itself while a model thinks for long, so its clients know it or ignore what they don't
# know. A comment would not do: Codex waits for an event, and a stream's time-out is in its hands.
KEEP_ALIVE = b'event: keepalive\ndata: {"type":"keepalive","sequence_number":0}\n\n'


class Wire:
    """Events on their way to the client, numbered from `number` on.

    Where it is `mute`, for an answer that is not streamed, nothing is kept.
    """

    def __init__(self, number: int, *, mute: bool) -> None:
        self._number = number
        self._mute = mute
        self._out: list[bytes] = []

    def send(self, kind: str, members: dict[str, Any]) -> None:
        """An event of a kind."""
        if not self._mute:
            self._out.append(event(kind, members, self._number))
            self._number += 1

    def grow(self, head: bytes, text: str) -> None:
        """An event whose last member but the number is a text; `head` is all before that."""
        if not self._mute:
            self._out.append(b'%b%b,"sequence_number":%d}\n\n' % (head, _encode(text), self._number))
            self._number += 1

    def taken(self) -> bytes:
        """What was sent since the last time."""
        out = b"".join(self._out)
        self._out.clear()
        return out


def event(kind: str, members: dict[str, Any], number: int) -> bytes:
    """One event."""
    data = _encode({"type": kind, **members, "sequence_number": number})
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


def head(kind: str, members: dict[str, Any]) -> bytes:
    """The beginning of `kind`'s events up to the value of `delta`."""
    return b'event: %b\ndata: %b,"delta":' % (kind.encode(), _encode({"type": kind, **members})[:-1])


def error_members(error: CallError) -> dict[str, Any]:
    """The members of an `error` event, in both spellings: as documented, and as OpenAI really sends it.

    The official SDKs raise at the member `error`.
    """
    told = {"message": error.message, "code": error.code, "param": error.param}
    return {**told, "error": {"type": error.type, **told}}


def failure(error: CallError) -> dict[str, str]:
    """The member `error` of a response that failed.

    The codes are OpenAI's. Codex gives up at the two that it knows to be hopeless and tries again at others.
    """
    if error.code == "context_length_exceeded":
        code = "context_length_exceeded"
    elif error.status == 402:
        code = "insufficient_quota"
    elif error.status == 429 or error.code == "upstream_rate_limited":
        code = "rate_limit_exceeded"
    else:
        code = "invalid_prompt" if error.status < 500 else "server_error"
    return {"code": code, "message": error.message}
