"""By what a conversation is known from turn to turn, so that it stays where its prompt is cached."""

import re

import msgspec
from msgspec import Raw, Struct

from tokligenced.domain import Call

# Clients move this mark to the latest message from turn to turn.
_CACHE_MARK = re.compile(rb',?\s*"cache_control"\s*:\s*\{[^{}]*\}')
_LONGEST = 4096


class _Role(Struct):
    role: str = ""


_read_turns = msgspec.json.Decoder(list[Raw] | str)
_read_role = msgspec.json.Decoder(_Role)


def conversation_key(call: Call) -> bytes | None:
    """What stays the same in all turns of a conversation: its beginning, up to the first thing its user said.

    A client that names its cache is known by that name. None where there is no conversation.
    """
    if named := call.member("prompt_cache_key"):
        return named
    turns = call.member("messages") or call.member("input")
    if not turns or call.dialect not in {"chat", "messages", "responses"}:
        return None
    found = [call.member("system"), call.member("instructions")]
    try:
        read = _read_turns.decode(turns)
        if isinstance(read, str):
            found.append(turns)
        else:
            for turn in read:
                found.append(bytes(turn)[:_LONGEST])
                if _read_role.decode(turn).role == "user":
                    break
    except msgspec.DecodeError:
        return None  # whoever serves the call says what is wrong with it
    return _CACHE_MARK.sub(b"", b"\0".join(part[:_LONGEST] for part in found))
